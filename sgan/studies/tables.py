"""What is made of finished runs: a row of a CSV for each, and tables of means and paired differences in Markdown.

`results` are those of runs (results.py says what is in one); for all but `as_row` and `on_mnist`, of runs that did not
fail.
"""

import numpy as np

from sgan.data.dataset import MNIST_FINGERPRINT
from sgan.studies.published import EPOCH_STEPS, PUBLISHED_ARTICLE, PUBLISHED_EPOCHS, PUBLISHED_TUTORIAL
from sgan.studies.run import FIRST, LOSS_OF
from sgan.tuned import NEEDS

# Student's t for a two-sided interval of 95 %: the entry at index i has i + 1 degrees of freedom.
T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042)
MEASURES = {"test_accuracy": "test accuracy, %", "balanced_test_accuracy": "balanced test accuracy, %",
            "train_accuracy": "training set, %", "oracle_test_accuracy": "oracle, %"}
PAIRED = "preset", "method", "variant", "labels", "unlabelled", "without", "label_seed", "seed"
COMPARED = {  # with what: the run of the same study that differs in these settings only
    "supervised only": {"method": "supervised-only", "variant": "stacked", "unlabelled": None},
    "default variant": {"variant": "stacked"},
    "all unlabelled images": {"unlabelled": None},
    "complete": {"without": "nothing"},
}

# --------------------------------------------------------------------------------------------------------------
# Runs


def on_mnist(results):
    """Whether all runs are about MNIST, as all published figures are."""
    return all(result["data"]["fingerprint"] == MNIST_FINGERPRINT for result in results)


def as_row(result):
    """One run as a flat dictionary, a row of the CSV. Accuracies are 0..1, and None if the run failed."""
    settings, final, history = result["settings"], result.get("final") or {}, result.get("history") or []
    row = {name: settings[name] for name in ("preset", "method", "variant", "labels", "label_seed", "seed",
                                             "unlabelled", "without", "steps", "evaluate_every")}
    row |= {name: final.get(name) for name in ("train_accuracy", "test_accuracy", "balanced_test_accuracy")}
    row["oracle_test_accuracy"] = max(each["test_accuracy"] for each in history) if final else None
    row["seconds_to_tutorial"] = seconds_to(history, PUBLISHED_TUTORIAL) if row["evaluate_every"] <= 100 else None
    row |= {name: result.get(name) for name in ("seconds_per_step", "weights", "unlabelled_images", "device", "threads",
                                                "error", "name", "id")}
    return row


def seconds_to(history, accuracy):
    """Seconds until a run was first above a test accuracy in three evaluations in a row, or None."""
    for first, *others in zip(history, history[1:], history[2:]):
        if all(row["test_accuracy"] > accuracy for row in (first, *others)):
            return first.get("seconds")
    return None


def title_of(settings, leave_out=None):
    """The settings of a run in words, all but its seeds; `leave_out`: "labels", "unlabelled" or "without"."""
    variant = LOSS_OF[settings["variant"]] if settings["preset"] == "feature-matching" else settings["variant"]
    what = f"SGAN, {variant}" if settings["method"] == "sgan" else "supervised only"
    words = ["tuned SGAN" if settings["preset"] == "tuned" else f"{settings['preset']}: {what}"]
    if settings["without"] != "nothing" and leave_out != "without":
        left_out = set(settings["without"].split(","))
        need_it = [name for name, needed in NEEDS.items() if left_out & set(needed) and name not in left_out]
        words.append(f"without {settings['without']}" + (f" (and {', '.join(need_it)})" if need_it else ""))
    if leave_out != "labels":
        first = " (the first of each class)" if settings["label_seed"] == FIRST else ""
        words.append(f"{settings['labels']:,} labels{first}")
    if settings["unlabelled"] and leave_out != "unlabelled":
        words.append(f"{settings['unlabelled']:,} unlabelled")
    return ", ".join([*words, f"{settings['steps']:,} steps"])


def grouped(results):
    """{title: results of the runs that differ in their seeds only}, in the order of their first one."""
    found = {}
    for result in results:
        found.setdefault(title_of(result["settings"]), []).append(result)
    return found


def errors_over(results, name):
    """{title of runs that differ in one entry of `as_row`: {the entry `name`: their test errors, 0..1}}."""
    found = {}
    for result in results:
        row = as_row(result)
        title = title_of(result["settings"], leave_out=name.removesuffix("_images"))
        found.setdefault(title, {}).setdefault(row[name], []).append(1 - row["test_accuracy"])
    return found


def measured(results, name):
    """A number of each run, as `as_row` names it; without those of older runs, in which it was not measured."""
    values = [as_row(result)[name] for result in results]
    return [value for value in values if value is not None]


# --------------------------------------------------------------------------------------------------------------
# Means and differences


def mean_std(values):
    """"90.12 ± 0.34 (n = 5)" in per cent of values in 0..1; the standard deviation is the sample's."""
    if not values:
        return ""
    spread = f" ± {100 * np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.2f}{spread} (n = {len(values)})"


def mean_interval(values):
    """"+9.17 [+7.92, +10.42] (n = 5)": mean and its 95 % interval by Student's t, in percentage points."""
    n = len(values)
    if not n:
        return ""
    mean, interval = 100 * np.mean(values), ""
    if n > 1:
        half = T_95[min(n - 1, len(T_95)) - 1] * 100 * np.std(values, ddof=1) / np.sqrt(n)
        interval = f" [{mean - half:+.2f}, {mean + half:+.2f}]"
    return f"{mean:+.2f}{interval} (n = {n})"


def differences(members, results, changes, name):
    """A number of each run in `members` minus that of the run in `results` with the same settings but for `changes`.

    The numbers of steps may differ, too. Runs that `changes` leave as they are have no difference.
    """
    def key(result, **changes):
        return tuple({**result["settings"], **changes}[name] for name in PAIRED)

    found = {key(result): value for result in results for value in measured([result], name)}
    pairs = [(key(member), key(member, **changes)) for member in members]
    return [found[one] - found[other] for one, other in pairs if one != other and one in found and other in found]


# --------------------------------------------------------------------------------------------------------------
# Tables


def markdown(header, *lines):
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *lines]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def line_of(title, n, cells):
    """A line of a table; n, the number of runs, stands in a cell of its own and in those that have another."""
    return [title, n, *(cell.removesuffix(f" (n = {n})") for cell in cells)]


def main_table(results, compared_by="test_accuracy"):
    """A line for each group of runs: accuracies at the last step, first the one whose paired differences follow."""
    shown = dict.fromkeys([compared_by, "test_accuracy", "train_accuracy", "oracle_test_accuracy"])
    compared = {what: changes for what, changes in COMPARED.items()
                if differences(results, results, changes, compared_by)}
    lines = []
    for title, members in grouped(results).items():
        means = [mean_std(measured(members, name)) for name in shown]
        minus = [mean_interval(differences(members, results, changes, compared_by)) for changes in compared.values()]
        lines.append(line_of(title, len(members), means + minus))
    return markdown(["run", "n", *map(MEASURES.get, shown), *(f"minus {what}" for what in compared)], *lines)


def article_table(results):
    """Test accuracy in per cent after as many steps as the second article names, beside its own single runs."""
    steps = sorted(set().union(*PUBLISHED_ARTICLE.values()))
    lines = [[title, 1, *(curve.get(step, "") for step in steps)] for title, curve in PUBLISHED_ARTICLE.items()]
    for title, members in grouped(results).items():
        rows = [row for result in members for row in result["history"]]
        cells = [mean_std([row["test_accuracy"] for row in rows if row["step"] == step]) for step in steps]
        lines.append(line_of(title, len(members), cells))
    return markdown(["test accuracy, %", "n", *(f"after {step:,} steps" for step in steps)], *lines)


def epochs_table(results):
    """Accuracies in per cent after each of the tutorial's epochs, beside those of its run."""
    def line(title, rows, published):
        train, test = ([row[name] for row in rows if name in row] for name in ("train_accuracy", "test_accuracy"))
        return line_of(title, len(rows), [mean_std(train), mean_std(test), f"{published:.2f}"])

    histories, lines = [result["history"] for result in results], []
    for step, published in PUBLISHED_EPOCHS.items():
        rows = [row for history in histories for row in history if row["step"] == step]
        lines.append(line(step // EPOCH_STEPS, rows, published))
    best = [max(history, key=lambda row: row["test_accuracy"]) for history in histories]
    epochs = ", ".join(f"{row['step'] / EPOCH_STEPS:g}" for row in best)
    oracle = f"oracle: each run's best epoch on the test set ({epochs})"
    lines.append(line(oracle, best, max(PUBLISHED_EPOCHS.values())))
    return markdown(["epoch", "n", "training set, %", "test set, %", "published run, training set, %"], *lines)
