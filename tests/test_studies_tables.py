"""sgan/studies/tables.py and pictures.py: CSV, table and picture of a study, from results written by hand."""

import csv
import math
import shutil
from functools import partial

import numpy as np
import pytest
from conftest import ROOT
from helpers import hand_made
from matplotlib.figure import Figure

from sgan.runs.command import InputError
from sgan.studies import study, tables
from sgan.studies.pictures import draw_ablation, draw_curves, draw_errors
from sgan.studies.results import read_results
from sgan.studies.run import FIRST
from sgan.tuned import INGREDIENTS

T_95 = {2: 12.706, 3: 4.303, 5: 2.776}  # of Student's distribution, two-sided, for a mean of so many values


def write(name, runs, results, folder):
    """Write the tables of a study. Returns (lines of the table, {name of the run: row of the CSV})."""
    tables.write_tables(name, runs, results, folder, " --splits 3")
    (path,) = folder.glob(f"{name}*.csv")
    with open(path, newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    return path.with_suffix(".md").read_text().splitlines(), rows


def cells_of(lines, start):
    """The cells of the only line of a table that begins so."""
    (line,) = (line for line in lines if line.startswith(start))
    return [cell.strip() for cell in line.split("|")[1:-1]]


def mean_std(values):
    spread = f" ± {100 * np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.2f}{spread} (n = {len(values)})"


def mean_interval(values):
    """A mean of differences and its 95 % interval by Student's t, in percentage points."""
    mean, n = 100 * np.mean(values), len(values)
    half = T_95[n] * 100 * np.std(values, ddof=1) / n**0.5
    return f"{mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}] (n = {n})"


def test_tables_hold_the_numbers_that_numpy_gives(tmp_path):
    runs = study.make_runs("variants", "mnist", splits=3)
    random = np.random.default_rng(0)
    values = {(run.method, run.variant, run.seed): random.uniform(0.5, 0.9) for run in runs}
    results = [hand_made(run, values[run.method, run.variant, run.seed]) for run in runs]
    failed = next(i for i, run in enumerate(runs) if run.variant == "shared" and run.seed == 1)
    results[failed] = hand_made(runs[failed], 0, error="diverged", final=None, history=[])
    missing = next(i for i, run in enumerate(runs) if run.variant == "multi-output" and run.seed == 2)
    results[missing] = None
    lines, rows = write("variants", runs, results, tmp_path)

    assert len(rows) == 11 and runs[missing].name not in rows and rows[runs[failed].name]["error"] == "diverged"
    for i, run in enumerate(runs):
        if i not in (failed, missing):
            value = values[run.method, run.variant, run.seed]
            assert float(rows[run.name]["test_accuracy"]) == value
            assert float(rows[run.name]["oracle_test_accuracy"]) == value + 0.1
            assert rows[run.name]["id"] == results[i]["id"]

    header = cells_of(lines, "| run |")
    for variant, seeds in (("stacked", (0, 1, 2)), ("shared", (0, 2)), ("multi-output", (0, 1))):
        cells = dict(zip(header, cells_of(lines, f"| tutorial: SGAN, {variant}, 100 labels")))
        ours, supervised, stacked = (np.array([values[key[0], key[1], seed] for seed in seeds]) for key in
                                     (("sgan", variant), ("supervised-only", "stacked"), ("sgan", "stacked")))
        assert cells["test accuracy, %"] == mean_std(ours)
        assert cells["test accuracy minus supervised only, same splits"] == mean_interval(ours - supervised)
        assert cells["test accuracy minus stacked, same splits"] == (
            "" if variant == "stacked" else mean_interval(ours - stacked))
        assert cells["oracle: best test accuracy, %"] == mean_std(ours + 0.1)
        assert cells["failed"] == ("1" if variant == "shared" else "0")
    assert f"- not run: {runs[missing].name}" in lines and f"- failed: {runs[failed].name}: diverged" in lines
    assert "`python -m sgan.studies variants --splits 3`: 11 of 12 runs done, 1 of these failed." in lines
    assert (tmp_path / "variants.png").read_bytes().startswith(b"\x89PNG")


def test_a_study_of_which_nothing_is_done_has_no_table(tmp_path):
    runs = study.make_runs("default", "mnist")
    with pytest.raises(InputError, match="no run of the study 'default' is done yet"):
        tables.write_tables("default", runs, [None] * len(runs), tmp_path)


@pytest.mark.parametrize("values, said", [
    ([], "–"), ([0.9], "90.00 (n = 1)"), ([0.9, 0.8], f"85.00 ± {100 * np.std([0.9, 0.8], ddof=1):.2f} (n = 2)"),
])
def test_standard_deviations_are_the_samples(values, said):
    assert tables.mean_std(values) == said


@pytest.mark.parametrize("values, said", [
    ([], "–"), ([0.01], "+1.00 (n = 1)"), ([-0.01, -0.01], "-1.00 [-1.00, -1.00] (n = 2)"),
    ([0.01, 0.03], "+2.00 [-10.71, +14.71] (n = 2)"),  # 12.706 standard errors of 1
])
def test_intervals_of_differences_are_students(values, said):
    assert tables.mean_interval(values) == said


@pytest.mark.parametrize("freedom", range(1, 31))
def test_intervals_cover_95_percent_of_students_distribution(freedom):
    """Integrated numerically; the quantiles are rounded to three digits."""
    quantile = tables.T_95[freedom - 1]
    x = np.linspace(0, quantile, 100_001)
    density = (1 + x**2 / freedom) ** (-(freedom + 1) / 2) * math.gamma((freedom + 1) / 2) / (
        math.sqrt(math.pi * freedom) * math.gamma(freedom / 2))
    inside = np.sum(density[1:] + density[:-1]) * (x[1] - x[0])
    assert inside == pytest.approx(0.95, abs=2 * density[-1] * 0.00051, rel=0)
    assert len(tables.T_95) == 30


def test_differences_are_between_runs_on_the_same_split_with_the_same_seed():
    runs = study.make_runs("article", "mnist", splits=2)
    rows = [tables.as_row(hand_made(run, 0.9 - 0.1 * (run.method == "supervised-only") - 0.01 * run.seed))
            for run in runs]
    ours, theirs = ([row for row in rows if row["method"] == method] for method in ("sgan", "supervised-only"))
    assert len(ours) == 3  # two random label splits, and the article's own labels
    differences = partial(tables.differences, measured="test_accuracy")
    np.testing.assert_allclose(differences(ours, theirs), [0.1] * 3)
    random_splits = [row for row in theirs if row["label_seed"] != FIRST]
    np.testing.assert_allclose(differences(ours, random_splits), [0.1] * 2)
    assert differences([{**row, "seed": 7} for row in ours], theirs) == []


def test_error_table_stands_beside_the_published_errors(tmp_path):
    runs = study.make_runs("labels", "mnist", splits=2, labels=(20, 100), unlabelled=(500,))
    results = [hand_made(run, 0.8 + 0.01 * run.seed) for run in runs]
    lost = next(i for i, run in enumerate(runs) if run.unlabelled)  # killed: its result says little
    results[lost] = runs[lost].result(results[lost]["data"]["fingerprint"], error="killed")
    lines, _ = write("labels", runs, results, tmp_path)
    std = np.std([20, 19], ddof=1)
    cells = cells_of(lines, "| ours: tutorial: SGAN, stacked, 1,200 steps |")
    assert cells[1:6] == [f"19.50 ± {std:.2f} (n = 2)", "", f"19.50 ± {std:.2f} (n = 2)", "", ""]
    header = cells_of(lines, "| run |")
    cells = cells_of(lines, "| tutorial: SGAN, stacked, 100 labels, 500 unlabelled, 1,200 steps |")
    difference = dict(zip(header, cells))["test accuracy minus all unlabelled images, same splits"]
    assert difference == "+0.00 (n = 1)"  # on the split that is left
    assert "16.77 ± 4.52" in "\n".join(lines)


def test_published_figures_stand_only_beside_runs_on_mnist(tmp_path):
    for name, published in (("labels", "16.77"), ("article", "90.67"), ("default", "95.43")):
        runs = study.make_runs(name, "mnist")
        for fingerprint, there in ((tables.MNIST_FINGERPRINT, True), ("another", False)):
            folder = tmp_path / f"{name}-{there}"
            folder.mkdir()
            lines, _ = write(name, runs, [hand_made(run, 0.8, fingerprint) for run in runs], folder)
            assert any(published in line for line in lines) == there, (name, there)


def test_tables_of_other_data_have_files_of_their_own_and_balanced_accuracies(tmp_path):
    """On images of which nine tenths are of one class, an accuracy of 90 % means nothing."""
    runs = study.make_runs("other-data", "letters.npz", labels=(20,), splits=2)
    assert [(run.without, run.label_seed) for run in runs] == [
        ("nothing", 36), ("unlabelled-images", 36), ("nothing", 37), ("unlabelled-images", 37)]
    results = [hand_made(run, 0.9, "letters") for run in runs]
    lines, rows = write("other-data", runs, results, tmp_path)
    assert "balanced" not in lines[2] and {row["balanced_test_accuracy"] for row in rows.values()} == {""}  # old runs
    for result, balanced in zip(results, (0.8, 0.7, 0.82, 0.7)):
        result["final"]["balanced_test_accuracy"] = balanced
        result["ingredients"] = ["unlabelled-images", "generator", "teacher"]
    lines, rows = write("other-data", runs, results, tmp_path)
    assert lines[0] == "# other-data-letters" and sorted(path.name for path in tmp_path.iterdir()) == [
        "other-data-letters.csv", "other-data-letters.md", "other-data-letters.png"]
    header, whole, alone = (cells_of(lines, start) for start in (
        "| run |", "| tuned SGAN, 20", "| tuned SGAN, without unlabelled"))
    assert header[1:3] == ["balanced test accuracy, %", "test accuracy, %"]
    assert whole[1:3] == [mean_std([0.8, 0.82]), mean_std([0.9, 0.9])] and alone[1] == mean_std([0.7, 0.7])
    difference = dict(zip(header, alone))["balanced test accuracy minus complete, same splits"]
    assert difference == tables.mean_interval([-0.1, -0.12])
    assert {row["balanced_test_accuracy"] for row in rows.values()} == {"0.8", "0.82", "0.7"}
    assert lines[-1].startswith("For these images the tuned SGAN has no mutual-information, ")
    with pytest.raises(InputError, match="is about other data than MNIST; name them with --data"):
        study.main(["other-data", "--list"])


def test_the_default_runs_are_shown_after_each_epoch(tmp_path):
    runs = study.make_runs("default", "mnist", splits=2)
    results = []
    for run in runs:
        history = [{"step": 600 * epoch, "test_accuracy": 0.9 - 0.001 * epoch - 0.01 * run.seed,
                    "train_accuracy": 0.8 + 0.001 * epoch} for epoch in range(1, 21)]
        history[2 + run.seed]["test_accuracy"] = 0.95
        results.append(hand_made(run, 0, history=history, final=history[-1]))
    lines, _ = write("default", runs, results, tmp_path)
    assert cells_of(lines, "| 1 |")[1:] == [mean_std([0.801] * 2), mean_std([0.899, 0.889]), "85.54"]
    assert cells_of(lines, "| 20 (the result) |")[1:] == [mean_std([0.82] * 2), mean_std([0.88, 0.87]), "92.18"]
    assert cells_of(lines, "| oracle")[0] == "oracle: each run's best epoch on the test set (3, 4)"
    assert cells_of(lines, "| oracle")[2:] == [mean_std([0.95] * 2), "95.43 (its best)"]


def test_tables_of_the_tuned_sgan_and_its_ablation(tmp_path):
    runs = study.make_runs("ablation", "mnist", splits=2)
    assert {run.label_seed for run in runs} == {1110, 1111}
    assert {run.without for run in runs} == {"nothing", *INGREDIENTS}
    results = []
    for run in runs:
        value = 0.99 - 0.01 * (run.without == "augmentation") + 0.001 * (run.seed - 1110)
        history = [{"step": 100 * i, "seconds": 10.0 * i, "test_accuracy": at, "train_accuracy": at}
                   for i, at in enumerate((0.95, 0.97, 0.9, 0.97, 0.98, value), start=1)]
        results.append(hand_made(run, value, history=history, final=history[-1]))
    lines, rows = write("ablation", runs, results, tmp_path)
    cells = dict(zip(cells_of(lines, "| run |"), cells_of(
        lines, "| tuned SGAN, without augmentation (and clutter), 100 labels")))
    assert cells["test accuracy, %"].startswith("98.05 ± 0.07")
    assert cells["test accuracy minus complete, same splits"] == "-1.00 [-1.00, -1.00] (n = 2)"
    assert cells["seconds to 95.92%, each run"] == "40, 40"  # the first of three in a row above it
    assert {row["without"]: row for row in rows.values()}["teacher"]["seconds_to_tutorial"] == "40.0"
    rarely = results[0]
    rarely["settings"]["evaluate_every"] = 600  # too seldom to say when an accuracy was reached
    lines, rows = write("ablation", runs, results, tmp_path)
    text = "\n".join(lines)
    assert rows[rarely["name"]]["seconds_to_tutorial"] == ""
    assert "seconds to" not in text and "minus supervised only" not in text
    assert "tuned SGAN, without clutter, 100 labels" in text


def test_seconds_a_step_are_averaged_for_each_machine(tmp_path):
    runs = study.make_runs("default", "mnist", splits=3)
    machines = [("A", 2, 0.4), ("A", 2, 0.6), ("B", 1, 0.9)]
    results = [hand_made(run, 0.9, device=device, threads=threads, seconds_per_step=seconds)
               for run, (device, threads, seconds) in zip(runs, machines)]
    lines, _ = write("default", runs, results, tmp_path)
    assert "0.500 (A), 0.900 (B)" in cells_of(lines, "| tutorial: SGAN, stacked, 100 labels")
    assert "- machine A: A, threads a run: 2" in lines and "- machine B: B, threads a run: 1" in lines


# --------------------------------------------------------------------------------------------------------------
# The committed tables


@pytest.fixture
def committed(tmp_path, monkeypatch):
    """A folder with a copy of the committed runs, results/runs/, as the current one."""
    shutil.copytree(ROOT / "results" / "runs", tmp_path / "results" / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results"


def assert_committed(path, name=None):
    assert path.read_bytes() == (ROOT / "results" / (name or path.name)).read_bytes(), path.name


@pytest.mark.parametrize("name", ["variants", "article", "supervised-only", "labels", "default", "tuned"])
def test_committed_tables_are_what_the_committed_runs_give(committed, name):
    study.main([name, "--table"])
    assert_committed(committed / f"{name}.csv")
    assert_committed(committed / f"{name}.md")


def test_the_committed_table_of_the_articles_labels_is_what_its_runs_give(committed):
    study.main(["labels", "--presets", "article", "--labels", "20,100,1000", "--unlabelled", "1000", "--splits", "1",
                "--table"])
    assert_committed(committed / "labels.csv", "labels_article.csv")


def test_the_committed_ablation_is_what_its_runs_give(committed):
    """Its images, MNIST's training images split in two, are not here: their fingerprint is in the runs."""
    runs, found = study.make_runs("ablation", "development.npz"), read_results(committed)
    (fingerprint,) = {result["data"]["fingerprint"] for result in found.values()
                      if result["data"]["name"] == "development.npz"}
    results = [found.get(run.identity(fingerprint)) for run in runs]
    tables.write_tables("ablation", runs, results, committed, " --data development.npz")
    assert_committed(committed / "ablation-development.csv")
    assert_committed(committed / "ablation-development.md")


# --------------------------------------------------------------------------------------------------------------
# Pictures


def lines_of(draw, *args):
    """{label: points} and all points, of what is drawn."""
    axes = Figure().add_subplot()
    draw(axes, *args)
    drawn = [(line.get_label(), np.transpose(line.get_data()).tolist()) for line in axes.lines]
    return {label: points for label, points in drawn if not label.startswith("_")}, [points for _, points in drawn]


def test_curves_show_each_run_their_mean_and_what_is_published():
    first, second = {100: 80.0, 200: 90.0}, {100: 82.0, 150: 1.0, 200: 91.0}
    named, drawn = lines_of(draw_curves, {"ours": [first, second]}, {"theirs": {100: 70}}, "test accuracy")
    assert [[100, 80], [200, 90]] in drawn and [[100, 82], [150, 1], [200, 91]] in drawn
    assert named == {"ours (n = 2)": [[100, 81], [200, 90.5]], "theirs": [[100, 70]]}
    only_at_the_end = {200: 70.0}
    named, _ = lines_of(draw_curves, {"ours": [first, only_at_the_end, second]}, {}, "test accuracy")
    assert named == {"ours (n = 2)": [[100, 81], [200, 90.5]]}
    named, _ = lines_of(draw_curves, {"ours": [only_at_the_end]}, {}, "test accuracy")
    assert named == {"ours (n = 1)": [[200, 70]]}


def test_errors_show_each_run_their_mean_and_what_is_published():
    errors = {"ours": {100: [2.0, 4.0], 20: [9.0]}}
    named, drawn = lines_of(draw_errors, errors, {"theirs": {100: 7.2}}, "labelled images")
    assert [[100, 2], [100, 4]] in drawn and [[20, 9]] in drawn
    assert named == {"ours": [[20, 9], [100, 3]], "theirs": [[100, 7.2]]}


def test_ablation_shows_each_run():
    axes = Figure().add_subplot()
    draw_ablation(axes, {"100 labels": {"nothing": [0.7, 0.8], "clutter": [1.0]}})
    assert axes.lines[0].get_xdata().tolist() == [0.7, 0.8, 1.0]
    assert list(axes.lines[0].get_ydata(orig=True)) == ["nothing", "nothing", "clutter"]
