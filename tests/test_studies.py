"""The studies: one run, a study of several, and the development split."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import sgan_mnist

# isort: split
import keras
import numpy as np
import pytest
from helpers import hand_made

from mnist_data import InputError, load_real_samples
from studies import development, study, tables
from studies import run as one_run
from studies.networks import PRESETS
from studies.run import FIRST, Run, choose_rows, read_result, result_path, write_result

ROOT = Path(study.ROOT)


# --- one run ---


def test_which_images_are_labelled_and_unlabelled():
    labels = np.random.default_rng(0).integers(0, 10, 1000)
    drawn, unlabelled = choose_rows(labels, 10, Run(labels=20, label_seed=3))
    assert np.array_equal(drawn, sgan_mnist.select_supervised_samples(labels, 20, 10, 3))
    assert np.array_equal(unlabelled, np.arange(1000))
    again, fewer = choose_rows(labels, 10, Run(labels=20, label_seed=3, unlabelled=50))
    assert np.array_equal(again, drawn) and len(set(fewer)) == 50 and set(drawn) <= set(fewer)
    first, others = choose_rows(labels, 10, Run(labels=20, label_seed=FIRST))
    assert all(np.array_equal(first[labels[first] == k], np.flatnonzero(labels == k)[:2]) for k in range(10))
    assert np.array_equal(others, np.arange(20, 1000))
    for wrong in (dict(unlabelled=10), dict(unlabelled=1001), dict(labels=25), dict(labels=25, label_seed=FIRST),
                  dict(labels=5, label_seed=FIRST), dict(labels=5000, label_seed=FIRST)):
        with pytest.raises(InputError, match="must be"):
            choose_rows(labels, 10, Run(**{"labels": 20, **wrong}))


@pytest.mark.parametrize("arguments, complaint", [
    (["--data", "auto"], "--data auto"), (["--method", "alone", "--variant", "shared"], "--method alone"),
    (["--preset", "tuned", "--method", "alone"], "--preset tuned"), (["--without", "average"], "--without average"),
    (["--preset", "tuned", "--without", "average,luck"], "--without average,luck: choose among"),
    (["--steps", "0"], "--steps"), (["--label-seed", "x"], "--label-seed: x: must be a number from 0 on, or first"),
    (["--data", "none.npz"], "none.npz"),
])
def test_runs_that_cannot_be_made(arguments, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=complaint):
        one_run.main(arguments)
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_out_has_one_name():
    runs = [Run(preset="tuned", without=names) for names in ("balance,information", "information,balance,balance")]
    assert runs[0] == runs[1] and runs[0].without == "information,balance"


@pytest.mark.parametrize("option", ["--results", "--keep"])
def test_a_folder_that_cannot_be_written_is_known_before_the_training(small_digits, tmp_path, monkeypatch, option):
    monkeypatch.setattr(one_run, "build", lambda *_: pytest.fail("trained"))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        one_run.main(["--data", str(small_digits), "--results", str(tmp_path), option, str(tmp_path / "file")])


def test_a_run_says_all_about_itself_and_the_classifier_alone_learns(small_digits, tmp_path, capsys):
    arguments = ["--method", "alone", "--labels", "100", "--steps", "250", "--evaluate-every", "100",
                 "--data", str(small_digits), "--results", str(tmp_path), "--keep", str(tmp_path / "kept")]
    one_run.main(arguments)
    (path,) = (tmp_path / "raw").iterdir()
    result = read_result(path)
    assert path.stem == result["name"] == "small-tutorial-alone-100labels-draw_0-seed0-250steps"
    assert result["settings"]["data"] == "small.npz" and str(tmp_path) not in path.read_text()
    assert [row["step"] for row in result["history"]] == [100, 200, 250] and result["history"][-1] == result["final"]
    assert result["final"]["c_accuracy"] > 0.9 and result["final"]["test_accuracy"] > 0.5 and result["error"] is None
    assert result["seconds_per_step"] > 0 and len(result["label_indices"]) == 100
    dataset = load_real_samples(str(small_digits))
    c_model = keras.models.load_model(tmp_path / "kept" / "c_model_0250.h5")
    assert sgan_mnist.accuracy(c_model, dataset.test_images, dataset.test_labels) == result["final"]["test_accuracy"]
    assert (tmp_path / "kept" / "c_model_0250.h5").stat().st_size < 1.2 * 4 * result["weights"] + 50_000

    one_run.main(arguments[:-2])
    assert "done already" in capsys.readouterr().out

    written = path.read_bytes()
    (tmp_path / "kept" / "c_model_0250.h5").unlink()
    one_run.main(arguments)  # again, for the model alone
    assert (tmp_path / "kept" / "c_model_0250.h5").exists() and path.read_bytes() == written


def test_the_tutorials_preset_is_the_training_script(small_digits, tmp_path):
    """Same seeds, same weights, however the steps are cut into pieces."""
    common = ["--data", str(small_digits), "--labels", "20", "--seed", "5", "--label-seed", "7"]
    sgan_mnist.main([*common, "--epochs", "1", "--steps-per-epoch", "3", "--out", str(tmp_path / "sgan")])
    one_run.main([*common, "--steps", "3", "--evaluate-every", "2", "--results", str(tmp_path),
                  "--keep", str(tmp_path / "run")])
    for name in ("c_model_0003.h5", "g_model_0003.h5"):
        ours, theirs = (keras.models.load_model(tmp_path / each / name, compile=False) for each in ("run", "sgan"))
        for a, b in zip(ours.weights, theirs.weights):
            np.testing.assert_array_equal(a, b, err_msg=a.path)


def test_a_run_that_ends_before_its_first_step_is_recorded(small_digits, tmp_path, monkeypatch):
    def out_of_memory(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(one_run, "build", out_of_memory)
    with pytest.raises(SystemExit, match="no room"):
        one_run.main(["--data", str(small_digits), "--labels", "20", "--results", str(tmp_path)])
    (path,) = (tmp_path / "raw").iterdir()
    assert read_result(path)["error"] == "MemoryError: no room"


def test_a_training_that_diverges_is_recorded(small_digits, tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "tutorial", replace(PRESETS["tutorial"], learning_rate=1e30))
    run = Run(method="alone", labels=20, steps=10, data=str(small_digits))
    with pytest.raises(SystemExit) as stop:
        one_run.main([*run.arguments(), "--results", str(tmp_path)])
    result = read_result(result_path(tmp_path, run))
    assert "diverged" in stop.value.code == result["error"] and result["final"] is None
    with pytest.raises(SystemExit, match="failed before: .*diverged"):
        one_run.main([*run.arguments(), "--results", str(tmp_path)])


# --- a study of several runs ---


def fake_command(run, results):
    """Instead of training, write a hand-made result, or end without one for the draw 1."""
    path = result_path(results, run)
    code = "import os, pathlib, sys; os.kill(os.getpid(), 9)"
    if run.label_seed != 1:
        code = ("import pathlib, sys; p = pathlib.Path(sys.argv[1]); p.parent.mkdir(exist_ok=True); "
                "p.write_text(sys.argv[2]); print('made')")
    return ["python", "-c", code, str(path), json.dumps(hand_made(run, 0.75))]


def test_a_study_makes_what_is_missing_and_records_what_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "command", fake_command)
    monkeypatch.setattr(study, "load_real_samples", lambda data: SimpleNamespace(fingerprint=lambda: tables.MNIST))
    arguments = ["article", "--draws", "3", "--labels", "100", "--jobs", "2", "--results", str(tmp_path)]
    runs = study.make_runs("article", "mnist", draws=3)
    write_result(result_path(tmp_path, runs[0]), hand_made(runs[0], 0.5))

    with pytest.raises(SystemExit) as stop:
        study.main(arguments)
    assert stop.value.code == 1  # two runs failed
    output = capsys.readouterr().out
    assert "8 runs, 1 of them done already\n" in output and "FAILED" in output and "minutes left" in output
    results = [read_result(result_path(tmp_path, run)) for run in runs]
    assert [bool(result["error"]) for result in results] == [run.label_seed == 1 for run in runs]
    assert results[0]["final"]["test_accuracy"] == 0.5 and results[1]["final"]["test_accuracy"] == 0.75
    text = (tmp_path / "article.md").read_text()
    assert text.count("- failed: mnist-article") == 2 and "status -9" in text and "90.67" in text
    assert f"`python -m studies.study article --results {tmp_path} --labels 100 --draws 3`:\n8 of 8 runs done" in text
    assert (tmp_path / "article.png").read_bytes().startswith(b"\x89PNG")

    for more, said in ([], "8 of them done already (2 failed"), (["--retry"], "6 of them done already\n"):
        with pytest.raises(SystemExit):
            study.main([*arguments, *more])
        assert said in capsys.readouterr().out


@pytest.mark.parametrize("arguments, complaint", [
    (["article", "--presets", "tuned"], "--presets: tuned: choose among tutorial, article"),
    (["alone", "--epochs", "2"], "--epochs or --steps: the study 'alone' has no such choice"),
    (["tuned", "--alone-steps", "2"], "no such choice, only --labels, .*--epochs or --steps"),
])
def test_choices_that_a_study_does_not_have(arguments, complaint):
    with pytest.raises(InputError, match=complaint):
        study.main([*arguments, "--list"])


def test_runs_on_other_images_of_the_same_name_are_not_taken_for_these(small_digits, tmp_path):
    runs = study.make_runs("article", str(small_digits), draws=1)
    write_result(result_path(tmp_path, runs[0]), hand_made(runs[0], 0.5))
    common = ["--data", str(small_digits), "--results", str(tmp_path)]
    for command in (lambda: study.main(["article", "--draws", "1", *common]),
                    lambda: one_run.main([*runs[0].arguments(), *common])):
        with pytest.raises(InputError, match="other images of the same name"):
            command()
    assert len(list((tmp_path / "raw").iterdir())) == 1


@pytest.mark.parametrize("text", ["{}", "[1]", '{"name": "x"', '"error"'])
def test_a_file_that_is_no_result_is_said_to_be_none(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match="x.json: .*delete it, and the run is made again"):
        read_result(tmp_path / "x.json")


def test_a_study_that_cannot_be_made_stops_and_records_nothing(tmp_path, monkeypatch):
    code = "import sys; print('run.py: no such file'); sys.exit(2)"
    monkeypatch.setattr(study, "command", lambda run, results: ["python", "-c", code])
    with pytest.raises(InputError, match="no such file"):
        study.main(["article", "--results", str(tmp_path)])
    assert not (tmp_path / "raw").exists()
    with pytest.raises(InputError, match="--unlabelled.*'article'"):
        study.main(["article", "--unlabelled", "5"])
    with pytest.raises(InputError, match="--steps: not allowed with argument --epochs"):
        study.main(["article", "--epochs", "1", "--steps", "7"])


def test_ctrl_c_stops_the_runs_and_says_how_to_go_on(tmp_path, monkeypatch):
    processes = []

    def slow(run, results):
        if len(processes) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        processes.append(run)
        return ["python", "-c", "import time; time.sleep(60)"]

    monkeypatch.setattr(study, "command", slow)
    started = []
    monkeypatch.setattr(study.subprocess, "Popen", lambda *a, **k: started.append(REAL_POPEN(*a, **k)) or started[-1])
    with pytest.raises(KeyboardInterrupt, match="0 of 12 runs are done; the same command goes on"):
        study.main(["article", "--jobs", "3", "--results", str(tmp_path)])
    assert len(started) == 2 and all(process.poll() is not None for process in started)
    assert not (tmp_path / "raw").exists()


REAL_POPEN = subprocess.Popen


def test_listed_commands_run_and_the_study_then_finds_them_done(small_digits, tmp_path):
    """As a job array would have it: every line of --list, then --table."""
    options = ["alone", "--presets", "article", "--labels", "20", "--draws", "1", "--alone-steps", "3",
               "--data", str(small_digits), "--results", str(tmp_path)]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def output(command):
        return subprocess.run(command, cwd=ROOT, env=environment, shell=True, text=True, capture_output=True,
                              check=True, timeout=200).stdout

    (line,) = output(f"python -m studies.study {' '.join(options)} --list").splitlines()
    assert line.startswith("python -m studies.run ")
    assert "written: " in output(line)
    study.main([*options, "--table"])
    assert "1 of 1 runs done" in (tmp_path / "alone.md").read_text()


def test_compare_is_the_study_of_the_variants(tmp_path, capsys):
    import discriminator_variants

    discriminator_variants.main(["--compare", "--epochs", "1", "--seeds", "3", "--data", "d.npz", "--list"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12 and sum("--method alone" in line for line in lines) == 3
    assert sum("--variant multi-output" in line and "--steps 600" in line for line in lines) == 3
    for wrong in ["--epochs", "1"], ["--compare", "--out", "x"]:
        with pytest.raises(InputError, match=wrong[-2]):
            discriminator_variants.main(wrong)


def test_the_study_of_labels_has_what_its_runs_are_compared_with():
    runs = study.make_runs("labels", "mnist", presets=("tutorial", "article"), labels=(20,), unlabelled=(500,), draws=1)
    assert {(run.preset, run.method, run.labels, run.unlabelled, run.steps) for run in runs} == {
        (preset, *rest) for preset, steps in (("tutorial", 1200), ("article", 6000)) for rest in (
            ("alone", 20, None, 2000), ("sgan", 20, None, steps), ("alone", 100, None, 2000),
            ("sgan", 100, None, steps), ("sgan", 100, 500, steps))}


# --- the development split ---


def test_development_images_are_training_images_split_in_two(small_digits, tmp_path):
    command = [str(tmp_path / "development.npz"), "--data", str(small_digits)]
    development.main(command)
    with np.load(small_digits) as whole, np.load(tmp_path / "development.npz") as split:
        assert len(split["x_test"]) == len(whole["x_train"]) - len(whole["x_train"]) * 5 // 6
        pairs = [sorted((image.tobytes(), label) for image, label in zip(images, labels)) for images, labels in (
            (whole["x_train"], whole["y_train"]),
            (np.concatenate([split["x_train"], split["x_test"]]), np.concatenate([split["y_train"], split["y_test"]])))]
    assert pairs[0] == pairs[1]
    with pytest.raises(InputError, match="is there already"):
        development.main(command)
    with pytest.raises(InputError, match="must end in .npz"):
        development.main([str(tmp_path / "split"), "--data", str(small_digits)])
