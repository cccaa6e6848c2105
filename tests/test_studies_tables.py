"""sgan/studies/tables.py: means and paired differences of results written by hand. The tables themselves are compared
with the committed ones in test_studies_study.py."""

import math

import numpy as np
import pytest
from helpers import hand_made

from sgan.studies import study, tables

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
    for result in results:
        result["settings"]["seed"] += settings_are(result, method="sgan")
    assert tables.differences(results, results, changes, "test_accuracy") == []
