"""sgan/studies/tables.py: means and paired differences. The tables are compared with the committed ones in
test_studies_study.py."""

import pytest
from helpers import hand_made
from scipy.stats import t as student

from sgan.studies import study, tables


@pytest.mark.parametrize("values, mean, interval", [
    ([], "", ""), ([0.9], "90.00 (n = 1)", "+90.00 (n = 1)"),
    ([0.01, 0.03], "2.00 ± 1.41 (n = 2)", "+2.00 [-10.71, +14.71] (n = 2)"),
    ([-0.1] * 40, "-10.00 ± 0.00 (n = 40)", "-10.00 [-10.00, -10.00] (n = 40)"),
])
def test_means_have_the_samples_deviation_and_students_interval(values, mean, interval):
    assert (tables.mean_std(values), tables.mean_interval(values)) == (mean, interval)


def test_intervals_cover_95_percent_of_students_distribution():
    assert tables.T_95 == pytest.approx([student.ppf(0.975, freedom) for freedom in range(1, 31)], abs=0.00051)


def test_differences_are_between_runs_on_the_same_split_with_the_same_seed():
    runs = study.make_runs("article", "mnist", splits=2)
    results = [hand_made(run, 0.8 + 0.1 * (run.method == "sgan") - 0.01 * run.seed) for run in runs]
    changes = tables.COMPARED["supervised only"]
    assert tables.differences(results, results, changes, "test_accuracy") == pytest.approx([0.1] * 3)
    assert tables.differences(results, results[:-2], changes, "test_accuracy") == pytest.approx([0.1] * 2)
    for result in results:
        result["settings"]["seed"] += result["settings"]["method"] == "sgan"
    assert tables.differences(results, results, changes, "test_accuracy") == []
