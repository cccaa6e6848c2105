"""Tables and CSV files of studies, from results written by hand."""

import csv

import numpy as np
import pytest
from helpers import hand_made

from benchmarks import time_to_accuracy
from mnist_data import InputError
from studies import study, tables
from studies.run import result_path, write_result
from studies.tuned import INGREDIENTS, RECIPE


def test_tables_hold_the_numbers_that_numpy_gives(tmp_path):
    runs = study.make_runs("variants", "mnist", seeds=3)
    random = np.random.default_rng(0)
    figures = {}
    for run in runs:
        figures[run.method, run.variant, run.seed] = value = random.uniform(0.5, 0.9)
        write_result(result_path(tmp_path, run), hand_made(run, value))
    failed = next(run for run in runs if run.variant == "shared" and run.seed == 1)
    write_result(result_path(tmp_path, failed), hand_made(failed, 0, error="diverged", final=None, history=[]))
    missing = next(run for run in runs if run.variant == "multi-output" and run.seed == 2)
    result_path(tmp_path, missing).unlink()
    tables.write_tables("variants", runs, tmp_path)

    with open(tmp_path / "variants.csv", newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert len(rows) == 11 and missing.name not in rows and rows[failed.name]["error"] == "diverged"
    for run in runs:
        if run not in (failed, missing):
            value = figures[run.method, run.variant, run.seed]
            assert float(rows[run.name]["test_accuracy"]) == value
            assert float(rows[run.name]["oracle_test_accuracy"]) == value + 0.1

    def expected(values, sign=""):
        return f"{100 * np.mean(values):{sign}.2f} ± {100 * np.std(values, ddof=1):.2f} (n = {len(values)})"

    lines = (tmp_path / "variants.md").read_text().splitlines()
    for variant, seeds in (("stacked", (0, 1, 2)), ("shared", (0, 2)), ("multi-output", (0, 1))):
        (line,) = (line for line in lines if line.startswith(f"| tutorial: SGAN, {variant}, 100 labels"))
        ours, alone, stacked = (np.array([figures[key[0], key[1], seed] for seed in seeds]) for key in
                                (("sgan", variant), ("alone", "stacked"), ("sgan", "stacked")))
        cells = [cell.strip() for cell in line.split("|")]
        assert cells[2] == expected(ours)
        assert cells[4] == expected(ours - alone, "+")
        assert cells[5] == ("" if variant == "stacked" else expected(ours - stacked, "+"))
        assert cells[-2] == ("1" if variant == "shared" else "0")
    assert f"- not run: {missing.name}" in lines and f"- failed: {failed.name}: diverged" in lines
    assert "11 of 12 runs done, 1 of these failed" in "\n".join(lines)


def test_error_table_stands_beside_the_published_figures(tmp_path):
    runs = study.make_runs("labels", "mnist", draws=2, labels=(20, 100), unlabelled=(500,))
    for run in runs:
        write_result(result_path(tmp_path, run), hand_made(run, 0.8 + 0.01 * run.seed))
    lost = next(run for run in runs if run.unlabelled)  # killed: its result says little
    write_result(result_path(tmp_path, lost),
                 {"name": lost.name, "settings": hand_made(lost, 0)["settings"], "error": "killed"})
    tables.write_tables("labels", runs, tmp_path)
    text = (tmp_path / "labels.md").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("| ours: tutorial: SGAN, stacked, 1,200 steps |"))
    std = np.std([20, 19], ddof=1)
    assert line.split("|")[2:7] == [f" 19.50 ± {std:.2f} (n = 2) ", "  ", f" 19.50 ± {std:.2f} (n = 2) ", "  ", "  "]
    (line,) = (line for line in text.splitlines() if line.startswith("| tutorial: SGAN") and "500 unlabelled" in line)
    assert line.split(" | ")[4].startswith("+0.00 (n = 1)")  # minus all unlabelled images, on the draw that is left
    assert "16.77 ± 4.52" in text and "tutorial: SGAN, stacked, 100 labels, 500 unlabelled" in text
    write_result(result_path(tmp_path, runs[0]), hand_made(runs[0], 0.8, data_fingerprint="another"))
    with pytest.raises(InputError, match="different images"):
        tables.write_tables("labels", runs, tmp_path)


def test_tables_of_the_tuned_sgan_and_its_ablation(tmp_path):
    runs = study.make_runs("ablation", "mnist", draws=2)
    assert {run.label_seed for run in runs} == {1110, 1111}
    assert {run.without for run in runs} == {"nothing", *INGREDIENTS}
    for run in runs:
        value = 0.99 - 0.01 * (run.without == "augmentation") + 0.001 * (run.seed - 1110)
        rows = [{"step": 100 * i, "seconds": 10.0 * i, "test_accuracy": at, "train_accuracy": at}
                for i, at in enumerate((0.95, 0.97, 0.9, 0.97, 0.98, value), start=1)]
        write_result(result_path(tmp_path, run), hand_made(run, value, history=rows, recipe={"learning_rate": 1}))
    tables.write_tables("ablation", runs, tmp_path)
    lines = (tmp_path / "ablation.md").read_text().splitlines()
    (line,) = (line for line in lines if "without augmentation (and growth, clutter)," in line)
    cells = [cell.strip() for cell in line.split("|")]
    assert cells[2].startswith("98.05 ± 0.07") and "-1.00 ± 0.00 (n = 2)" in cells
    assert "40, 40" in cells  # seconds: the first of three above 95.92 %
    with open(tmp_path / "ablation.csv", newline="") as file:
        assert {row["without"]: row for row in csv.DictReader(file)}["average"]["seconds_to_tutorial"] == "40.0"
    rarely = study.make_runs("ablation", "mnist", draws=1)[0]
    rarely.evaluate_every = 600  # too seldom to say when an accuracy was reached
    write_result(result_path(tmp_path, rarely), hand_made(rarely, 0.8, recipe={"learning_rate": 1}))
    tables.write_tables("ablation", runs, tmp_path)
    text = (tmp_path / "ablation.md").read_text()
    assert "seconds to" not in text and "minus alone" not in text and "tuned SGAN, without clutter, 100 labels" in text
    write_result(result_path(tmp_path, runs[0]), hand_made(runs[0], 0.8, recipe={"learning_rate": 2}))
    with pytest.raises(InputError, match="different recipes"):
        tables.write_tables("ablation", runs, tmp_path)


def test_accuracy_against_time_shows_whole_complete_runs_with_several_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(time_to_accuracy, "RESULTS", tmp_path)
    runs = study.make_runs("tuned", "mnist", draws=7)
    shown, failed, one_thread, shorter, rarely, earlier, others = (
        run for run in runs if run.labels == 100 and run.without == "nothing")
    shorter.steps, rarely.evaluate_every = 600, 600
    changes = {failed.name: {"error": "diverged"}, one_thread.name: {"threads": 1},
               earlier.name: {"recipe": {"recipe": RECIPE - 1}}, others.name: {"data_fingerprint": "other images"}}
    for run in runs:
        result = hand_made(run, 0.9, **{"threads": 2, "recipe": {"recipe": RECIPE}, **changes.get(run.name, {})})
        write_result(result_path(tmp_path, run), result)
    assert list(time_to_accuracy.tuned_histories()) == [shown.name]
