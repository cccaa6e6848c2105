"""What is made of finished runs: a CSV with every run, a table of means and paired differences, a picture."""

import string
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sgan.runs.command import InputError
from sgan.data.dataset import MNIST_FINGERPRINT
from sgan.runs.files import write_csv, atomic_write
from sgan.studies.pictures import draw_ablation, draw_curves, draw_errors, save_picture
from sgan.studies.published import (
    EPOCH_STEPS, ODENA, PUBLISHED_ARTICLE, PUBLISHED_EPOCHS, PUBLISHED_ERRORS, PUBLISHED_TUTORIAL
)
from sgan.studies.run import FIRST
from sgan.tuned import INGREDIENTS, NEEDS

# Student's t for a two-sided interval of 95 %: the entry at index i has i + 1 degrees of freedom.
T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042)


# --------------------------------------------------------------------------------------------------------------
# Rows and groups


def as_row(result):
    """One run as a flat dictionary, a row of the CSV. Accuracies are 0..1, and None where the run failed."""
    settings, final, history = result["settings"], result.get("final") or {}, result.get("history") or []
    return {
        **{name: settings[name] for name in ("preset", "method", "variant", "labels", "label_seed", "seed",
                                             "unlabelled", "without", "steps", "evaluate_every")},
        "train_accuracy": final.get("train_accuracy"),
        "test_accuracy": final.get("test_accuracy"),
        "balanced_test_accuracy": final.get("balanced_test_accuracy"),
        "oracle_test_accuracy": max((row["test_accuracy"] for row in history), default=None) if final else None,
        "seconds_to_tutorial": seconds_to(history, PUBLISHED_TUTORIAL) if settings["evaluate_every"] <= 100 else None,
        "seconds_per_step": result.get("seconds_per_step"),
        "weights": result.get("weights"),
        "unlabelled_images": result.get("unlabelled_images"),
        "device": result.get("device"),
        "threads": result.get("threads"),
        "error": result["error"] or "",
        "name": result["name"],
        "id": result["id"],
    }


def seconds_to(history, accuracy):
    """Seconds until a run was first above a test accuracy in three evaluations in a row, or None."""
    for first, *others in zip(history, history[1:], history[2:]):
        if all(row["test_accuracy"] > accuracy for row in (first, *others)):
            return first.get("seconds")
    return None


class Group(NamedTuple):
    """What runs of one group share: all settings but the seeds. The article's own labels are a group of their own."""

    preset: str
    method: str
    variant: str
    labels: int
    unlabelled: int | None
    first: bool
    steps: int
    without: str


def group_of(row):
    """The group that a row belongs to."""
    settings = {name: row[name] for name in Group._fields if name != "first"}
    return Group(first=row["label_seed"] == FIRST, **settings)


def title_of(group, leave_out=None):
    """A group in words; `leave_out` "labels" or "unlabelled" for a line over their number."""
    what = f"SGAN, {group.variant}" if group.method == "sgan" else "supervised only"
    words = ["tuned SGAN" if group.preset == "tuned" else f"{group.preset}: {what}"]
    if group.without != "nothing":
        left_out = set(group.without.split(","))
        need_it = [name for name, needed in NEEDS.items() if left_out & set(needed) and name not in left_out]
        words.append(f"without {group.without}" + (f" (and {', '.join(need_it)})" if need_it else ""))
    if leave_out != "labels":
        words.append(f"{group.labels:,} labels" + (" (the first of each class)" if group.first else ""))
    if group.unlabelled and leave_out != "unlabelled":
        words.append(f"{group.unlabelled:,} unlabelled")
    return ", ".join([*words, f"{group.steps:,} steps"])


def groups(rows):
    """{group: its rows}, in order of their first row."""
    found = {}
    for row in rows:
        found.setdefault(group_of(row), []).append(row)
    return found


def finished(rows, name):
    """One entry of each run that did not fail."""
    return [row[name] for row in rows if not row["error"]]


def finished_histories(results):
    """{group: the histories of its runs that did not fail}."""
    found = {}
    for result in results:
        if not result["error"]:
            found.setdefault(group_of(as_row(result)), []).append(result["history"])
    return found


# --------------------------------------------------------------------------------------------------------------
# Means and differences


def mean_std(values):
    """"90.12 ± 0.34 (n = 5)" in per cent of values in 0..1; the standard deviation is the sample's."""
    if not values:
        return "–"
    spread = f" ± {100 * np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.2f}{spread} (n = {len(values)})"


def differences(rows, others, measured):
    """Accuracies `measured` of `rows` minus those of `others` with the same network, labels, label split and seed."""
    def pair(row):
        return tuple(row[name] for name in ("preset", "labels", "label_seed", "seed"))

    theirs = {pair(row): row[measured] for row in others if not row["error"]}
    return [row[measured] - theirs[pair(row)] for row in rows if not row["error"] and pair(row) in theirs]


def mean_interval(values):
    """"+9.17 [+7.92, +10.42] (n = 5)": mean and its 95 % interval by Student's t, in percentage points."""
    n = len(values)
    if not n:
        return "–"
    mean = 100 * np.mean(values)
    if n == 1:
        return f"{mean:+.2f} (n = 1)"
    half = T_95[min(n - 1, len(T_95)) - 1] * 100 * np.std(values, ddof=1) / np.sqrt(n)
    return f"{mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}] (n = {n})"


# --------------------------------------------------------------------------------------------------------------
# Tables


def markdown(header, rows):
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def in_seconds(value):
    """Whole seconds, or "never" for None."""
    return "never" if value is None else f"{value:.0f}"


def machines(rows):
    """{(device, threads): a letter} of the runs that did not fail."""
    found = {(row["device"], row["threads"]) for row in rows if not row["error"]}
    return dict(zip(sorted(found), string.ascii_uppercase))


def step_seconds(members, letters):
    """Mean seconds a step on each machine: "0.480 (A), 0.912 (B)"; `letters`: as `machines` returns them."""
    means = {letter: [row["seconds_per_step"] for row in members
                      if not row["error"] and (row["device"], row["threads"]) == machine]
             for machine, letter in letters.items()}
    return ", ".join(f"{np.mean(values):.3f} ({letter})" for letter, values in means.items() if values) or "–"


def main_table(rows, measured="test_accuracy"):
    """A line for each group: accuracies at the last step, differences of the `measured` one, cost."""
    shown = {name: name.replace("_", " ") for name in (measured, "test_accuracy")}
    supervised = [row for row in rows if row["method"] == "supervised-only"]
    stacked = [row for row in rows if row["method"] == "sgan" and row["variant"] == "stacked" and not row["unlabelled"]]
    complete = [row for row in stacked if row["without"] == "nothing"]
    compared = []  # what is subtracted, in words; its rows; the groups for which it is
    if supervised and len(supervised) < len(rows):
        compared.append(("supervised only", supervised, lambda group: group.method == "sgan"))
    if len({row["variant"] for row in rows}) > 1:
        compared.append(("stacked", stacked, lambda group: group.variant != "stacked"))
    if any(row["unlabelled"] for row in rows):
        compared.append(("all unlabelled images", stacked, lambda group: group.unlabelled))
    if len({row["without"] for row in rows}) > 1:
        compared.append(("complete", complete, lambda group: group.without != "nothing"))
    timed = any(row["seconds_to_tutorial"] for row in rows) and all(row["evaluate_every"] <= 100 for row in rows)
    header = ["run", *(f"{words}, %" for words in shown.values()), "training set, %",
              *(f"{shown[measured]} minus {what}, same splits" for what, _, _ in compared),
              *([f"seconds to {PUBLISHED_TUTORIAL:.2%}, each run"] if timed else []),
              "oracle: best test accuracy, %", "seconds a step", "weights", "failed"]
    lines = []
    for group, members in groups(rows).items():
        weights = finished(members, "weights")
        lines.append([
            title_of(group),
            *(mean_std(finished(members, name)) for name in (*shown, "train_accuracy")),
            *(mean_interval(differences(members, others, measured)) if applies(group) else ""
              for _, others, applies in compared),
            *([", ".join(map(in_seconds, finished(members, "seconds_to_tutorial")))] if timed else []),
            mean_std(finished(members, "oracle_test_accuracy")), step_seconds(members, machines(rows)),
            f"{weights[0]:,}" if weights else "–", len(members) - len(weights),
        ])
    return markdown(header, lines)


def article_table(results):
    """Test accuracy after as many steps as the second article names, beside its own."""
    shown = list(PUBLISHED_ARTICLE["sgan"])
    lines = [["published: SGAN, the article's own labels, one run", *PUBLISHED_ARTICLE["sgan"].values()],
             ["published: supervised only, 400 updates, one run, labelled images drawn with repetition", *[""] * 3,
              PUBLISHED_ARTICLE["supervised-only"][400]]]
    for group, histories in finished_histories(results).items():
        at = [[row["test_accuracy"] for history in histories for row in history if row["step"] == step]
              for step in (*shown[:-1], group.steps)]
        lines.append([title_of(group), *(mean_std(values) if values else "" for values in at)])
    return markdown(["test accuracy, %", *(f"after {step:,} steps" for step in shown[:-1]), "last step"], lines)


def errors_table(rows):
    """Test errors by number of labels, beside the published ones."""
    counts = sorted({row["labels"] for row in rows}.union(*PUBLISHED_ERRORS.values(), (1000,)))
    table = {}
    for group, members in groups(rows).items():
        values = [1 - value for value in finished(members, "test_accuracy")]
        if values and not group.unlabelled:
            table.setdefault("ours: " + title_of(group, leave_out="labels"), {})[group.labels] = mean_std(values)
    table.update({"published: " + name: errors for name, errors in PUBLISHED_ERRORS.items()})
    lines = [[name, *(errors.get(n, "") for n in counts)] for name, errors in table.items()]
    return markdown(["test error, %", *(f"{n:,} labels" for n in counts)], lines)


def epochs_table(results, published):
    """Accuracies of the default runs after each epoch of 600 steps; `published`: the tutorial's, in per cent."""
    histories = [result["history"] for result in results if not result["error"]]
    if not histories:
        return ""

    def accuracies(rows):
        known = [row["train_accuracy"] for row in rows if "train_accuracy" in row]
        return mean_std(known), mean_std([row["test_accuracy"] for row in rows])

    last = max(row["step"] for history in histories for row in history) // EPOCH_STEPS
    lines = []
    for epoch in range(1, last + 1):
        rows = [row for history in histories for row in history if row["step"] == epoch * EPOCH_STEPS]
        lines.append([f"{epoch} (the result)" if epoch == last else epoch, *accuracies(rows),
                      f"{published[epoch - 1]:.2f}" if epoch <= len(published) else ""])
    best = [max(history, key=lambda row: row["test_accuracy"]) for history in histories]
    epochs = ", ".join(f"{row['step'] / EPOCH_STEPS:g}" for row in best)
    lines.append([f"oracle: each run's best epoch on the test set ({epochs})", *accuracies(best),
                  f"{max(published):.2f} (its best)" if published else ""])
    return markdown(["epoch", "training set, %", "test set, %", "published run, training set, %"], lines)


# --------------------------------------------------------------------------------------------------------------
# Pictures


def curves(results, name):
    """{title: a curve {step: accuracy in per cent} for each run} of the accuracy with this name."""
    return {title_of(group): [{row["step"]: 100 * row[name] for row in history if name in row} for history in histories]
            for group, histories in finished_histories(results).items()}


def errors_over(rows, number, title, chosen=lambda group: True):
    """{title: {number: test errors in per cent, one for each run}} of the chosen groups."""
    found = {}
    for group, members in groups(rows).items():
        values = [100 * (1 - value) for value in finished(members, "test_accuracy")]
        if values and chosen(group):
            found.setdefault(title(group), {}).setdefault(number(group, members), []).extend(values)
    return found


def panels_of(name, results, rows, published):
    """What is drawn of a study, functions of a matplotlib axes; `published` says whether the data are MNIST."""
    if name == "default":
        epochs = {epoch * EPOCH_STEPS: value for epoch, value in enumerate(PUBLISHED_EPOCHS, start=1)}
        return [partial(draw_curves, groups=curves(results, "test_accuracy"), published={}, what="test accuracy"),
                partial(draw_curves, groups=curves(results, "train_accuracy"),
                        published={"published run": epochs} if published else {}, what="accuracy on the training set")]
    if name in ("article", "variants"):
        stars = {f"published: {method.replace('sgan', 'SGAN').replace('-', ' ')}": curve
                 for method, curve in PUBLISHED_ARTICLE.items()}
        return [partial(draw_curves, groups=curves(results, "test_accuracy"),
                        published=stars if published and name == "article" else {}, what="test accuracy")]
    if name == "ablation":
        return [partial(draw_ablation, groups=errors_over(
            rows, lambda group, _: group.without, lambda group: f"{group.labels:,} labels, each run"))]
    odena = {f"published: {ODENA}": {n: float(error) for n, error in PUBLISHED_ERRORS[ODENA].items()}}
    panels = [partial(draw_errors, what="labelled images", groups=errors_over(
        rows, lambda group, _: group.labels, lambda group: title_of(group, leave_out="labels"),
        lambda group: not group.unlabelled),
        published=odena if published and name != "tuned" else {})]  # with the tuned, it would be far off the scale
    fewer = {group._replace(unlabelled=None) for group in groups(rows) if group.unlabelled}
    if fewer:
        panels.append(partial(draw_errors, what="unlabelled images", published={}, groups=errors_over(
            rows, lambda _, members: finished(members, "unlabelled_images")[0],
            lambda group: title_of(group, leave_out="unlabelled"),
            lambda group: group._replace(unlabelled=None) in fewer)))
    return panels


# --------------------------------------------------------------------------------------------------------------


EXPLANATION = [
    "Failed runs count in no mean. Accuracies are mean ± sample standard deviation over runs. Differences are means",
    "over pairs of runs on the same label split with the same seed, with their 95 % interval (Student's t). Everything",
    "is the last step's, except in the column named oracle, which chooses the step by the test labels, among more",
    "evaluations in one study than in another. Seconds a step depend on the machine's other work; each machine has its",
    "own mean.",
]


BALANCED = [
    "",
    "Balanced accuracy is the mean over the classes of the share of each that is predicted right; the column named",
    "oracle and the picture are about the plain one.",
]


def left_out_for_these_images(results):
    """A line that names what the complete recipe left out for what the images show; none where that is nothing."""
    complete = [result["ingredients"] for result in results
                if result["settings"]["without"] == "nothing" and result.get("ingredients")]
    left_out = [name for name in INGREDIENTS if complete and name not in complete[0]]
    return [f"For these images the tuned SGAN has no {', '.join(left_out)}."] if left_out else []


def notes_of(name, runs, rows, options):
    """What stands below a table: command, number of runs, machines, failed and missing runs."""
    failed = [f"- failed: {row['name']}: {row['error']}" for row in rows if row["error"]]
    done = {row["name"] for row in rows}
    missing = [f"- not run: {run.name}" for run in runs if run.name not in done]
    return [f"`python -m sgan.studies {name}{options}`: {len(rows)} of {len(runs)} runs done, "
            f"{len(failed)} of these failed.",
            *EXPLANATION, "",
            *(f"- machine {letter}: {device}, threads a run: {threads}"
              for (device, threads), letter in machines(rows).items()), *failed, *missing]


def write_tables(name, runs, results, folder, options=""):
    """Write FOLDER/NAME.csv, .md and .png of a study, for other data than MNIST NAME-DATA, and print the table.

    Args:
        name: of the study.
        runs: its runs, each a `Run`.
        results: a list parallel to `runs`: each one's result (see results.py), or None where it is not done.
        folder: of results.
        options: of the command line, those that chose the runs.
    """
    found = [result for result in results if result]
    if not found:
        raise InputError(f"{folder}: no run of the study '{name}' is done yet")
    data = found[0]["data"]
    published = data["fingerprint"] == MNIST_FINGERPRINT  # which all published figures are about
    title = name if published else f"{name}-{data['name'].removesuffix('.npz')}"
    rows, folder = [as_row(result) for result in found], Path(folder)
    write_csv(folder / f"{title}.csv", rows)
    text = f"# {title}\n\n"
    balanced = name == "other-data" and None not in finished(rows, "balanced_test_accuracy")  # older runs lack it
    text += main_table(rows, "balanced_test_accuracy" if balanced else "test_accuracy")
    if name == "default":
        text += "\n## After each epoch\n\n" + epochs_table(found, PUBLISHED_EPOCHS if published else ())
    elif name == "article" and published:
        text += "\n## Beside the article's figures\n\n" + article_table(found)
    elif name in ("supervised-only", "labels", "tuned") and published:
        text += "\n## Beside published figures\n\n" + errors_table(rows)
    text += "\n" + "\n".join(notes_of(name, runs, rows, options))
    if balanced:
        text += "\n".join(["", *BALANCED, *left_out_for_these_images(found)])
    text += "\n"
    with atomic_write(folder / f"{title}.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    save_picture(folder / f"{title}.png", panels_of(name, found, rows, published))
    print(f"{text}\nwritten: {folder / title}.csv, .md, .png")
