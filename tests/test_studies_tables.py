"""sgan/studies/tables.py: rows, means, paired differences and tables, from results written by hand."""

import math

import numpy as np
import pytest
from helpers import hand_made

from sgan.studies import study, tables
from sgan.studies.run import FIRST

T_95 = {2: 12.706, 3: 4.303, 5: 2.776}  # of Student's distribution, two-sided, for a mean of so many values


def cells_of(table, start):
    """{column: cell} of the only line of a table that begins so, or is called so."""
    header, _, *lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    (line,) = [line for line in lines if line[0] == start] or [line for line in lines if line[0].startswith(start)]
    return dict(zip(header, line, strict=True))


def mean_std(values, n=None):
    """As in a table whose line is about n runs."""
    spread = f" ± {100 * np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.2f}{spread}" + (f" (n = {len(values)})" if len(values) != n else "")


def mean_interval(values):
    """A mean of differences and its 95 % interval by Student's t, in percentage points."""
    mean, n = 100 * np.mean(values), len(values)
    half = T_95[n] * 100 * np.std(values, ddof=1) / n**0.5
    return f"{mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}]"


def results_of(name, accuracy=0.8, **changes):
    """A result written by hand of each run of a study; `accuracy`: a number, or a function of the run."""
    runs = study.make_runs(name, "mnist", **changes)
    return [hand_made(run, accuracy(run) if callable(accuracy) else accuracy) for run in runs]


def settings_are(result, **settings):
    return settings.items() <= result["settings"].items()


def test_the_main_table_holds_the_numbers_that_numpy_gives():
    random, values = np.random.default_rng(0), {}

    def accuracy(run):
        return values.setdefault((run.method, run.variant, run.seed), random.uniform(0.5, 0.9))

    results = [result for result in results_of("variants", accuracy, splits=3)
               if not settings_are(result, variant="shared", seed=1)]  # as if it had failed
    table = tables.main_table(results)
    for variant, seeds in (("stacked", (0, 1, 2)), ("shared", (0, 2)), ("multi-output", (0, 1, 2))):
        cells = cells_of(table, f"tutorial: SGAN, {variant}, 100 labels, 1,200 steps")
        ours, supervised, stacked = (np.array([values[*key, seed] for seed in seeds]) for key in (
            ("sgan", variant), ("supervised-only", "stacked"), ("sgan", "stacked")))
        assert list(cells.values())[1:] == [
            f"{len(seeds)}", mean_std(ours, len(seeds)), mean_std([0.5] * len(seeds), len(seeds)),
            mean_std(ours + 0.1, len(seeds)), mean_interval(ours - supervised),
            "" if variant == "stacked" else mean_interval(ours - stacked)]
    assert list(cells) == ["run", "n", "test accuracy, %", "training set, %", "oracle, %", "minus supervised only",
                           "minus stacked"]
    assert cells_of(table, "tutorial: supervised only")["minus supervised only"] == ""


def test_rows_say_what_became_of_a_run():
    result, = results_of("default", 0.7, splits=1)
    row = tables.as_row(result)
    assert (row["test_accuracy"], row["train_accuracy"], row["oracle_test_accuracy"]) == (0.7, 0.5, 0.7 + 0.1)
    assert row["labels"] == 100 and row["id"] == result["id"] and row["error"] is None
    row = tables.as_row({**result, "error": "diverged", "final": None, "history": []})
    assert row["error"] == "diverged" and row["test_accuracy"] is row["oracle_test_accuracy"] is None


def test_an_accuracy_is_reached_at_the_first_of_three_evaluations_in_a_row():
    result, = results_of("tuned", splits=1, labels=[100])[:1]
    result["settings"]["evaluate_every"] = 100
    result["history"] = [{"seconds": 10.0 * i, "test_accuracy": at}
                         for i, at in enumerate((0.95, 0.97, 0.9, 0.97, 0.98, 0.99), start=1)]
    assert tables.as_row(result)["seconds_to_tutorial"] == 40
    assert tables.seconds_to(result["history"][:5], 0.9592) is None
    result["settings"]["evaluate_every"] = 600  # too seldom to say
    assert tables.as_row(result)["seconds_to_tutorial"] is None


@pytest.mark.parametrize("values, mean, interval", [
    ([], "", ""), ([0.9], "90.00 (n = 1)", "+90.00 (n = 1)"),
    ([0.01, 0.03], "2.00 ± 1.41 (n = 2)", "+2.00 [-10.71, +14.71] (n = 2)"),
    ([-0.1] * 40, "-10.00 ± 0.00 (n = 40)", "-10.00 [-10.00, -10.00] (n = 40)"),
])
def test_means_have_the_samples_deviation_and_students_interval(values, mean, interval):
    assert (tables.mean_std(values), tables.mean_interval(values)) == (mean, interval)


def test_intervals_cover_95_percent_of_students_distribution():
    """Integrated numerically; the quantiles are rounded to three digits."""
    for freedom, quantile in enumerate(tables.T_95, start=1):
        x = np.linspace(0, quantile, 100_001)
        density = (1 + x**2 / freedom) ** (-(freedom + 1) / 2) * math.gamma((freedom + 1) / 2) / (
            math.sqrt(math.pi * freedom) * math.gamma(freedom / 2))
        inside = np.sum(density[1:] + density[:-1]) * (x[1] - x[0])
        assert inside == pytest.approx(0.95, abs=2 * density[-1] * 0.00051, rel=0), freedom
    assert freedom == 30


def test_differences_are_between_runs_on_the_same_split_with_the_same_seed():
    results = results_of("article", lambda run: 0.8 + 0.1 * (run.method == "sgan") - 0.01 * run.seed, splits=2)
    changes = tables.COMPARED["supervised only"]
    assert tables.differences(results, results, changes, "test_accuracy") == pytest.approx([0.1] * 3)
    others = [result for result in results if not settings_are(result, label_seed=FIRST)]
    assert tables.differences(results, others, changes, "test_accuracy") == pytest.approx([0.1] * 2)
    for result in others:
        result["settings"]["seed"] += settings_are(result, method="sgan")
    assert tables.differences(others, others, changes, "test_accuracy") == []


def test_runs_are_compared_with_those_that_differ_in_one_setting_only():
    table = tables.main_table(results_of(
        "labels", lambda run: 0.9 - 0.2 * bool(run.unlabelled), labels=[20], unlabelled=[500], splits=2))
    column, start = "minus all unlabelled images", "tutorial: SGAN, stacked, 100 labels, "
    assert cells_of(table, start + "500 unlabelled")[column] == "-20.00 [-20.00, -20.00]"
    assert cells_of(table, start + "1,200 steps")[column] == ""
    table = tables.main_table(results_of("ablation", lambda run: 0.9 - 0.1 * (run.without == "clutter"), splits=2))
    assert cells_of(table, "tuned SGAN, without clutter, 100")["minus complete"] == "-10.00 [-10.00, -10.00]"
    assert cells_of(table, "tuned SGAN, without augmentation (and clutter)")["minus complete"].startswith("+0.00 [")
    assert "minus supervised only" not in table


def test_where_classes_are_rare_balanced_accuracies_are_compared():
    """On images of which nine tenths are of one class, an accuracy of 90 % means nothing."""
    results = results_of("other-data", 0.9, labels=[20], splits=2)
    for result, balanced in zip(results, (0.8, 0.7, 0.82, 0.7)):
        result["final"]["balanced_test_accuracy"] = balanced
    whole, alone = (cells_of(tables.main_table(results, "balanced_test_accuracy"), start)
                    for start in ("tuned SGAN, 20", "tuned SGAN, without unlabelled-images"))
    assert list(whole)[2:4] == ["balanced test accuracy, %", "test accuracy, %"]
    assert [*whole.values()][2:4] == [mean_std([0.8, 0.82], 2), "90.00 ± 0.00"]
    assert alone["minus complete"] == mean_interval([-0.1, -0.12])


def test_accuracies_stand_beside_the_articles_after_as_many_steps():
    results = results_of("article", splits=2)
    for result in results:
        result["history"].insert(0, {"step": 400, "test_accuracy": 0.6 + 0.01 * result["settings"]["seed"]})
    table = tables.article_table(results)
    assert cells_of(table, "published: SGAN")["after 2,500 steps"] == "89.8"
    cells = cells_of(table, "article: SGAN, stacked, 100 labels, 6,000 steps")
    assert (cells["n"], cells["after 400 steps"], cells["after 500 steps"], cells["after 2,000 steps"]) == (
        "2", mean_std([0.6, 0.61], 2), "90.00 ± 0.00", "")
    assert cells_of(table, "article: SGAN, stacked, 100 labels (the first of each class)")["after 400 steps"] == "60.00"


def test_errors_stand_beside_the_published_ones():
    table = tables.errors_table(results_of("tuned", lambda run: 0.8 + 0.01 * (run.seed - 36), splits=2))
    cells = cells_of(table, "ours: tuned SGAN, 4,200 steps")
    assert cells["10 labels"] == cells["1,000 labels"] == mean_std([0.2, 0.19]) and cells["200 labels"] == ""
    assert cells_of(table, "published: feature matching")["20 labels"] == "16.77 ± 4.52"


def test_the_default_runs_are_shown_after_each_epoch():
    results = results_of("default", splits=2)
    for seed, result in enumerate(results):
        result["history"] = [{"step": 600 * epoch, "test_accuracy": 0.9 - 0.001 * epoch - 0.01 * seed}
                             for epoch in range(1, 21)]
        result["history"][2 + seed]["test_accuracy"] = 0.95
        result["history"][-1]["train_accuracy"] = 0.82
    results[0]["history"][0]["train_accuracy"] = 0.801
    table = tables.epochs_table(results)
    assert list(cells_of(table, "1").values()) == ["1", "2", "80.10 (n = 1)", mean_std([0.899, 0.889], 2), "85.54"]
    assert list(cells_of(table, "20").values()) == ["20", "2", "82.00 ± 0.00", mean_std([0.88, 0.87], 2), "92.18"]
    oracle = cells_of(table, "oracle: each run's best epoch on the test set (3, 4)")
    assert oracle["test set, %"] == "95.00 ± 0.00" and oracle["published run, training set, %"] == "95.43"
