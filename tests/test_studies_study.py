"""sgan/studies/study.py and workers.py: lists of runs, made side by side in processes of their own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from helpers import hand_made

from sgan.runs.command import InputError
from sgan.data.dataset import MNIST_FINGERPRINT
from sgan.studies import pack, study, workers
from sgan.studies.results import new_path, read_results, write_result

REAL_POPEN = subprocess.Popen


def fake_command(run, results):
    """Instead of training, write a hand-made result, or end without one for the label split 1."""
    path = new_path(results, run.name, run.identity(MNIST_FINGERPRINT))
    code = "import os, pathlib, sys; os.kill(os.getpid(), 9)"
    if run.label_seed != 1:
        code = ("import pathlib, sys; p = pathlib.Path(sys.argv[1]); p.parent.mkdir(exist_ok=True); "
                "p.write_text(sys.argv[2]); print('made')")
    return ["python", "-c", code, str(path), json.dumps(hand_made(run, 0.75))]


def test_a_study_makes_what_is_missing_and_records_what_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(workers, "command", fake_command)
    arguments = ["article", "--splits", "3", "--labels", "100", "--jobs", "2", "--results", str(tmp_path)]
    runs = study.make_runs("article", "mnist", splits=3)
    write_result(tmp_path, hand_made(runs[0], 0.5))

    with pytest.raises(SystemExit) as stop:
        study.main(arguments)
    assert stop.value.code == 1  # two runs failed
    output = capsys.readouterr().out
    assert "8 runs, 1 of them done already\n" in output and "FAILED" in output and "minutes left" in output
    found = read_results(tmp_path)
    results = [found[run.identity(MNIST_FINGERPRINT)] for run in runs]
    assert [bool(result["error"]) for result in results] == [run.label_seed == 1 for run in runs]
    assert results[0]["final"]["test_accuracy"] == 0.5 and results[1]["final"]["test_accuracy"] == 0.75
    text = (tmp_path / "article.md").read_text()
    assert text.count("- failed: article-") == 2 and "status -9" in text and "90.67" in text
    command = f"`python -m sgan.studies article --results {tmp_path} --labels 100 --splits 3`"
    assert f"{command}: 8 of 8 runs done, 2 of these failed" in text
    assert (tmp_path / "article.png").read_bytes().startswith(b"\x89PNG")

    for more, said in ([], "8 of them done already (2 failed"), (["--retry"], "6 of them done already\n"):
        with pytest.raises(SystemExit):
            study.main([*arguments, *more])
        assert said in capsys.readouterr().out


def test_a_study_on_other_images_of_the_same_name_makes_its_own(small_digits, small_dataset, tmp_path, monkeypatch):
    np.savez(tmp_path / "small.npz", x_train=255 - small_dataset.train_images, y_train=small_dataset.train_labels,
             x_test=small_dataset.test_images, y_test=small_dataset.test_labels)
    made = []
    monkeypatch.setattr(study.Workers, "work", lambda workers: made.append(workers.waiting))
    runs = study.make_runs("article", str(small_digits), splits=1)
    write_result(tmp_path, hand_made(runs[0], 0.5, small_dataset.fingerprint()))
    options = ["--splits", "1", "--results", str(tmp_path), "--data"]
    study.main(["article", *options, str(small_digits)])
    with pytest.raises(InputError, match="no run of the study 'article' is done yet"):
        study.main(["article", *options, str(tmp_path / "small.npz")])
    assert [len(waiting) for waiting in made] == [len(runs) - 1, len(runs)]


def test_runs_side_by_side_share_the_cores_unless_the_user_says_how_many_threads(tmp_path, monkeypatch):
    names = "TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(workers, "available_cores", lambda: 6)
    for jobs, threads in ((1, "6"), (2, "3"), (4, "1"), (9, "1")):
        environment = workers.Workers([], "x", tmp_path, jobs).environment
        assert [environment[name] for name in names] == [threads, threads]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    environment = workers.Workers([], "x", tmp_path, 2).environment
    assert [environment[name] for name in names] == ["3", "5"]


@pytest.mark.parametrize("arguments, complaint", [
    (["article", "--presets", "tuned"], "--presets: tuned: choose among tutorial, article"),
    (["article", "--unlabelled", "5"], "--unlabelled: the study 'article' has no such choice"),
    (["default", "--epochs", "2"], "--epochs or --steps: the study 'default' has no such choice"),
    (["article", "--epochs", "1", "--steps", "7"], "--steps: not allowed with argument --epochs"),
    (["tuned", "--presets", "article"], "no such choice, only --labels, .*--epochs or --steps"),
    (["article", "--splits", "0"], "--splits: 0: must be at least 1"),
    (["article", "--splits", "2147483647"], "--splits 2147483647: must be at most 1,000"),
    (["article", "--labels", "3,"], "--labels: '3,': must be numbers from 1 on, with commas between them"),
    (["other"], "invalid choice: 'other'"),
])
def test_choices_that_a_study_does_not_have_are_refused(arguments, complaint):
    with pytest.raises(InputError, match=complaint):
        study.main([*arguments, "--list"])


def test_a_study_that_cannot_be_made_stops_and_records_nothing(tmp_path, monkeypatch):
    code = "import sys; print('run.py: no such file'); sys.exit(2)"
    monkeypatch.setattr(workers, "command", lambda run, results: ["python", "-c", code])
    with pytest.raises(InputError, match="no such file"):
        study.main(["article", "--results", str(tmp_path)])
    assert read_results(tmp_path) == {}


def test_ctrl_c_stops_the_runs_and_says_how_to_go_on(tmp_path, monkeypatch):
    asked, started = [], []

    def slow(run, results):
        if len(asked) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        asked.append(run)
        return ["python", "-c", "import time; time.sleep(60)"]

    monkeypatch.setattr(workers, "command", slow)
    monkeypatch.setattr(workers.subprocess, "Popen", lambda *a, **k: started.append(REAL_POPEN(*a, **k)) or started[-1])
    with pytest.raises(KeyboardInterrupt, match="0 of 12 runs are done; the same command goes on"):
        study.main(["article", "--jobs", "3", "--results", str(tmp_path)])
    assert [process.poll() for process in started] == [-signal.SIGTERM] * 2
    assert read_results(tmp_path) == {}


def test_a_run_that_is_packed_while_the_study_goes_on_is_not_taken_for_a_failed_one(tmp_path, monkeypatch):
    def done_elsewhere(run, results):
        write_result(results, hand_made(run, 0.9))
        pack.main(["--results", str(results)])
        return ["python", "-c", "pass"]

    monkeypatch.setattr(workers, "command", done_elsewhere)
    study.main(["default", "--splits", "1", "--results", str(tmp_path)])
    (result,) = read_results(tmp_path).values()
    assert result["error"] is None and not list((tmp_path / "new").glob("*.json"))


@pytest.mark.slow
def test_listed_commands_run_and_the_study_then_finds_them_done(small_digits, tmp_path):
    """As a job array would have it: every line of --list, then --table; after packing, too."""
    options = ["supervised-only", "--presets", "article", "--labels", "20", "--splits", "1", "--steps", "3",
               "--data", str(small_digits), "--results", str(tmp_path)]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def output(command):
        return subprocess.run(command, cwd=ROOT, env=environment, shell=True, text=True, capture_output=True,
                              check=True, timeout=200).stdout

    (line,) = output(f"python -m sgan.studies {' '.join(options)} --list").splitlines()
    assert line.startswith("python -m sgan.studies.run ")
    assert "written: " in output(line)
    study.main([*options, "--table"])
    assert "1 of 1 runs done" in (tmp_path / "supervised-only-small.md").read_text()
    before = (tmp_path / "supervised-only-small.csv").read_bytes()
    assert "packed: 1 new results" in output(f"python -m sgan.studies.pack --results {tmp_path}")
    study.main([*options, "--table"])
    assert (tmp_path / "supervised-only-small.csv").read_bytes() == before


def test_the_study_of_labels_has_what_its_runs_are_compared_with():
    changes = dict(presets=("tutorial", "article"), labels=(20,), unlabelled=(500,), splits=1)
    runs = study.make_runs("labels", "mnist", **changes)
    assert {(run.preset, run.method, run.labels, run.unlabelled, run.steps) for run in runs} == {
        (preset, *rest) for preset, steps in (("tutorial", 1200), ("article", 6000)) for rest in (
            ("supervised-only", 20, None, 2000), ("sgan", 20, None, steps), ("supervised-only", 100, None, 2000),
            ("sgan", 100, None, steps), ("sgan", 100, 500, steps))}


@pytest.mark.parametrize("name", study.STUDIES)
def test_compared_runs_share_label_split_and_seed(name):
    runs = study.make_runs(name, "mnist")
    assert all(run.seed == (0 if run.label_seed == "first" else run.label_seed) for run in runs)
    assert len({run.identity("x") for run in runs}) == len(runs) == len({run.name for run in runs})


def test_logs_of_tensorflow_are_not_what_a_run_said_last(tmp_path):
    log = tmp_path / "run.log"
    assert workers.last_line(log) == "starting"
    log.write_text("step 5\nI0000 port.cc:153] oneDNN\nWARNING: absl::InitializeLog()\n\n")
    assert workers.last_line(log) == "step 5"
