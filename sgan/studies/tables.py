"""What is made of finished runs: every run in a CSV, means and differences in a table, a picture."""

import csv
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mnist_data import InputError
from run_folder import written_whole
from studies.run import FIRST, read_result, result_path
from studies.tuned import NEEDS

# Published test errors on MNIST in per cent, mean ± standard deviation where there are several runs. Their networks,
# budgets and choice of models differ from ours: a frame, not a race.
ODENA = "SGAN (Odena 2016, arXiv 1606.01583)"
PUBLISHED_ERRORS = {
    ODENA: {50: "11.7", 100: "7.2", 1000: "3.6"},
    "feature matching (Salimans et al. 2016, arXiv 1606.03498)":
        {20: "16.77 ± 4.52", 50: "2.21 ± 1.36", 100: "0.93 ± 0.065", 200: "0.90 ± 0.04"},
    "the same, ensemble of 10": {100: "0.86 ± 0.06", 200: "0.81 ± 0.04"},
    "CatGAN (arXiv 1511.06390)": {100: "1.91 ± 0.10"},
    "Triple-GAN (arXiv 1703.02291)": {20: "4.81 ± 4.95", 50: "1.56 ± 0.72", 100: "0.91 ± 0.58"},
    "Bad GAN (arXiv 1705.09783)": {100: "0.795 ± 0.098"},
    "Ladder + PBWN (arXiv 1710.02338)": {20: "2.52 ± 2.42", 50: "1.06 ± 0.48", 100: "0.91 ± 0.05"},
    "Ladder network (arXiv 1507.02672)": {50: "1.62 ± 0.65", 100: "1.06 ± 0.37"},
}
MNIST = "9b3e06386e3ac883"  # the fingerprint of the data that all of these are about
PUBLISHED_TUTORIAL = 0.9592  # test accuracy of the tutorial's model after 7,200 steps, chosen by the training labels
# The second article's, one run each: test accuracy in per cent after so many steps.
PUBLISHED_ARTICLE = {"sgan": {500: 75.9, 2000: 86.9, 2500: 89.8, 6000: 90.67}, "alone": {400: 66.63}}


def load_results(runs, results):
    """The results of those runs that have one, in order. Raises InputError where they come of different data, or tuned
    ones of different recipes."""
    found = [read_result(path) for path in (result_path(results, run) for run in runs) if path.exists()]
    if len({result.get("data_fingerprint") for result in found} - {None}) > 1:
        raise InputError(f"{results}: its results come of different images; use a folder for each data set")
    if len({json.dumps(result["recipe"]) for result in found if result.get("recipe")}) > 1:
        raise InputError(f"{results}: its tuned results come of different recipes; use a folder for each")
    return found


# --------------------------------------------------------------------------------------------------------------
# Rows and groups


def as_row(result):
    """One run as a flat dictionary: the row of the CSV. Figures of a run that failed are None."""
    settings, final = result["settings"], result.get("final") or {}
    history = result.get("history") or []
    return {
        **{name: settings[name] for name in ("preset", "method", "variant", "labels", "label_seed", "seed",
                                             "unlabelled", "steps", "evaluate_every")},
        "without": settings.get("without", "nothing"),
        "train_accuracy": final.get("train_accuracy"),
        "test_accuracy": final.get("test_accuracy"),
        "oracle_test_accuracy": max((row["test_accuracy"] for row in history), default=None) if final else None,
        "seconds_to_tutorial": seconds_to(history, PUBLISHED_TUTORIAL) if settings["evaluate_every"] <= 100 else None,
        "seconds_per_step": result.get("seconds_per_step"),
        "weights": result.get("weights"),
        "unlabelled_images": result.get("unlabelled_images"),
        "error": result["error"] or "",
        "name": result["name"],
    }


def seconds_to(history, accuracy):
    """When, since its process began, a run first was above a test accuracy in three evaluations in a row; or None."""
    for first, *others in zip(history, history[1:], history[2:]):
        if all(row["test_accuracy"] > accuracy for row in (first, *others)):
            return first.get("seconds")
    return None


class Group(NamedTuple):
    """What a row is a repetition of: all settings but the seeds; whether labels were drawn is a setting."""

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
    """A group in words; `leave_out` "labels" or "unlabelled" for a line that goes over their number."""
    what = f"SGAN, {group.variant}" if group.method == "sgan" else "classifier alone"
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


def differences(rows, others):
    """Test accuracies of `rows` minus those of `others` with the same network, labels, draw and seed."""
    def pair(row):
        return tuple(row[name] for name in ("preset", "labels", "label_seed", "seed"))

    theirs = {pair(row): row["test_accuracy"] for row in others if not row["error"]}
    return [row["test_accuracy"] - theirs[pair(row)] for row in rows if not row["error"] and pair(row) in theirs]


def mean_std(values, sign=""):
    """"90.12 ± 0.34 (n = 5)" in per cent of values in 0..1; the standard deviation is the sample's."""
    if not values:
        return "–"
    spread = f" ± {100 * np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):{sign}.2f}{spread} (n = {len(values)})"


def in_seconds(value):
    """Whole seconds, or "never" for None."""
    return "never" if value is None else f"{value:.0f}"


def finished(rows, name):
    """One figure of each run that did not fail."""
    return [row[name] for row in rows if not row["error"]]


def finished_histories(results):
    """{group: the histories of its runs}."""
    found = {}
    for result in results:
        if not result["error"]:
            found.setdefault(group_of(as_row(result)), []).append(result["history"])
    return found


# --------------------------------------------------------------------------------------------------------------
# Tables


def markdown(header, rows):
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def main_table(rows):
    """One line a group: accuracies at the last step, differences on identical draws, cost."""
    alone = [row for row in rows if row["method"] == "alone"]
    stacked = [row for row in rows if row["method"] == "sgan" and row["variant"] == "stacked" and not row["unlabelled"]]
    complete = [row for row in stacked if row["without"] == "nothing"]
    several = len({row["variant"] for row in rows}) > 1
    fewer = any(row["unlabelled"] for row in rows)
    ablated = len({row["without"] for row in rows}) > 1
    timed = any(row["seconds_to_tutorial"] for row in rows) and all(row["evaluate_every"] <= 100 for row in rows)
    header = ["run", "test accuracy, %", "training set, %", *(["minus alone, same draws"] if alone else []),
              *(["minus stacked, same draws"] if several else []),
              *(["minus all unlabelled images, same draws"] if fewer else []),
              *(["minus complete, same draws"] if ablated else []),
              *([f"seconds to {PUBLISHED_TUTORIAL:.2%}, each run"] if timed else []),
              "oracle: best test, %", "seconds a step", "weights", "failed"]
    lines = []
    for group, members in groups(rows).items():
        sgan, is_stacked = group.method == "sgan", group.variant == "stacked"
        costs = finished(members, "seconds_per_step")
        lines.append([
            title_of(group),
            mean_std(finished(members, "test_accuracy")), mean_std(finished(members, "train_accuracy")),
            *([mean_std(differences(members, alone), "+") if sgan else ""] if alone else []),
            *([mean_std(differences(members, stacked), "+") if sgan and not is_stacked else ""] if several else []),
            *([mean_std(differences(members, stacked), "+") if group.unlabelled else ""] if fewer else []),
            *([mean_std(differences(members, complete), "+") if group.without != "nothing" else ""] if ablated else []),
            *([", ".join(map(in_seconds, finished(members, "seconds_to_tutorial")))] if timed else []),
            mean_std(finished(members, "oracle_test_accuracy")), f"{np.mean(costs):.3f}" if costs else "–",
            f"{finished(members, 'weights')[0]:,}" if costs else "–", len(members) - len(costs),
        ])
    return markdown(header, lines)


def article_table(results):
    """Test accuracy after as many steps as the second article names, beside its own figures."""
    shown = list(PUBLISHED_ARTICLE["sgan"])
    lines = [["published: SGAN, the article's own labels, one run", *PUBLISHED_ARTICLE["sgan"].values()],
             ["published: classifier alone, 400 updates, one run, labelled images drawn with repetition", *[""] * 3,
              PUBLISHED_ARTICLE["alone"][400]]]
    for group, histories in finished_histories(results).items():
        at = [[row["test_accuracy"] for history in histories for row in history if row["step"] == step]
              for step in (*shown[:-1], group.steps)]
        lines.append([title_of(group), *(mean_std(values) if values else "" for values in at)])
    return markdown(["test accuracy, %", *(f"after {step:,} steps" for step in shown[:-1]), "last step"], lines)


def errors_table(rows):
    """Test errors by number of labels, beside the published ones."""
    counts = sorted({row["labels"] for row in rows} | {20, 50, 100, 200, 1000})

    table = {}
    for group, members in groups(rows).items():
        values = [1 - value for value in finished(members, "test_accuracy")]
        if values and not group.unlabelled:
            table.setdefault("ours: " + title_of(group, leave_out="labels"), {})[group.labels] = mean_std(values)
    table.update({"published: " + name: errors for name, errors in PUBLISHED_ERRORS.items()})
    lines = [[name, *(errors.get(n, "") for n in counts)] for name, errors in table.items()]
    return markdown(["test error, %", *(f"{n:,} labels" for n in counts)], lines)


# --------------------------------------------------------------------------------------------------------------
# Pictures


def draw_curves(axes, results):
    """Test accuracy against steps: a thin line a run, a thick one for a group's mean."""
    for i, (group, histories) in enumerate(finished_histories(results).items()):
        curves = [{row["step"]: 100 * row["test_accuracy"] for row in history} for history in histories]
        for curve in curves:
            axes.plot(curve.keys(), curve.values(), color=f"C{i}", alpha=0.25, linewidth=1)
        steps = sorted(set.intersection(*map(set, curves)))
        means = [np.mean([curve[step] for curve in curves]) for step in steps]
        axes.plot(steps, means, color=f"C{i}", marker=".", label=f"{title_of(group)} (n = {len(curves)})")
    axes.set(xlabel="steps", ylabel="test accuracy, %")


def draw_errors(axes, rows, over):
    """Test error with error bars against the number of "labels", or of "unlabelled" images, all of them included."""
    fewer = {group[:4] for group in groups(rows) if group.unlabelled}
    lines, numbers = {}, set()
    for group, members in groups(rows).items():
        values = [100 * (1 - value) for value in finished(members, "test_accuracy")]
        if values and (group[:4] in fewer if over == "unlabelled" else not group.unlabelled):
            number = finished(members, "unlabelled_images")[0] if over == "unlabelled" else group.labels
            spread = np.std(values, ddof=1) if len(values) > 1 else np.nan  # one run has no spread
            lines.setdefault(title_of(group, leave_out=over), []).append((number, np.mean(values), spread))
            numbers.add(number)
    for what, points in lines.items():
        x, means, spreads = zip(*sorted(points))
        axes.errorbar(x, means, spreads, marker=".", capsize=3, label=what)
    axes.set(xlabel="unlabelled images" if over == "unlabelled" else "labelled images",
             ylabel="test error, % (mean ± standard deviation)", xscale="log", ylim=(0, None))
    axes.set_xticks(sorted(numbers), [f"{number:,}" for number in sorted(numbers)])
    axes.minorticks_off()


def draw_ablation(axes, rows):
    """Test error of the tuned SGAN without each of its ingredients: a point a run."""
    for n in sorted({row["labels"] for row in rows}):
        runs = [row for row in rows if row["labels"] == n and not row["error"]]
        axes.plot([100 * (1 - row["test_accuracy"]) for row in runs], [row["without"] for row in runs], "o", alpha=0.6,
                  label=f"{n:,} labels, each run")
    axes.set(xlabel="test error, %", ylabel="without")
    axes.invert_yaxis()


def save_picture(name, results, rows, on_mnist, path):
    """Test accuracy against steps, or errors against numbers of images, whichever the study is about."""
    panels = ["curves"] if name in ("article", "variants") else ["ablation"] if name == "ablation" else ["labels"]
    if any(row["unlabelled"] for row in rows):
        panels.append("unlabelled")
    figure = Figure(figsize=(8 * len(panels), 6.5), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        if panel == "curves":
            draw_curves(axes, results)
            if name == "article" and on_mnist:
                axes.plot(*zip(*PUBLISHED_ARTICLE["sgan"].items()), "k*", label="published, SGAN")
                axes.plot(*zip(*PUBLISHED_ARTICLE["alone"].items()), "kx", label="published, classifier alone")
        elif panel == "ablation":
            draw_ablation(axes, rows)
        else:
            draw_errors(axes, rows, panel)
            if panel == "labels" and on_mnist and name != "tuned":  # with that, it would be far off the scale
                errors = PUBLISHED_ERRORS[ODENA]
                axes.plot(errors.keys(), [float(error) for error in errors.values()], "k*", label=f"published: {ODENA}")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12))  # below, where it hides nothing
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=110)


# --------------------------------------------------------------------------------------------------------------


def write_tables(name, runs, results, options=""):
    """Write NAME.csv, NAME.md and NAME.png of the runs of a study that there are, and print the table; `options` are
    those that chose the runs."""
    found = load_results(runs, results)
    rows = [as_row(result) for result in found]
    if not rows:
        raise InputError(f"{results}: no run of the study '{name}' is done yet")
    folder = Path(results)
    with written_whole(folder / f"{name}.csv") as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=rows[0])
            writer.writeheader()
            writer.writerows(rows)
    failed = [f"- failed: {row['name']}: {row['error']}" for row in rows if row["error"]]
    done = {row["name"] for row in rows}
    missing = [f"- not run: {run.name}" for run in runs if run.name not in done]
    machines = sorted({f"{r['device']}, {r['threads']} threads a run" for r in found if r.get("device")})
    notes = [f"`python -m studies.study {name}{options}`:",
             f"{len(rows)} of {len(runs)} runs done, {len(failed)} of these failed; failed runs count in no mean.",
             "Mean ± standard deviation over runs. All figures are the last step's, but for the column named oracle,",
             "which chooses the step by the test labels, among more evaluations in one study than in another.",
             f"Seconds a step depend on what else the machine did. Measured on: {'; '.join(machines)}.",
             "", *failed, *missing]
    text = f"# {name}\n\n" + main_table(rows)
    on_mnist = any(result.get("data_fingerprint") == MNIST for result in found)
    if name == "article" and on_mnist:
        text += "\n## Beside the article's figures\n\n" + article_table(found)
    elif name in ("alone", "labels", "tuned") and on_mnist:
        text += "\n## Beside published figures\n\n" + errors_table(rows)
    text += "\n" + "\n".join(notes) + "\n"
    with written_whole(folder / f"{name}.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    save_picture(name, found, rows, on_mnist, folder / f"{name}.png")
    print(f"{text}\nwritten: {folder / name}.csv, .md, .png")
