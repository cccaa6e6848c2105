"""sgan/runs/run_folder.py: whole runs of sgan_mnist.py, stopped and resumed ones, and what is refused."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import ROOT, USERS_ENVIRONMENT
from helpers import SMALL, assert_same_variables, read_history, read_record, resume

import sgan_mnist
from sgan.data import dataset
from sgan.data.dataset import load_real_samples
from sgan.models.evaluation import accuracy
from sgan.runs import files
from sgan.runs.command import InputError
from sgan.runs.run_folder import SaveEpoch, open_run
from sgan_mnist import Settings, main

def bytes_of(run):
    return {path.name: path.read_bytes() for path in run.iterdir()}


def change_state(run, change):
    """Rewrite a state; `change(arrays, record)` changes its variables and what else it holds."""
    with np.load(run / "state.npz") as state:
        arrays = dict(state)
    record = json.loads(str(arrays.pop("run")))
    change(arrays, record)
    np.savez(run / "state.npz", run=json.dumps(record), **arrays)


def assert_same_state(run, other):
    """States and pictures of two runs are equal, bit for bit, and so are their histories, except for the seconds."""
    assert_same_variables(run, other)
    histories = [[{**row, "seconds": 0} for row in read_history(each)] for each in (run, other)]
    assert histories[0] == histories[1]
    pictures = [[path.read_bytes() for path in sorted(each.glob("generated_*"))] for each in (run, other)]
    assert pictures[0] == pictures[1] and len(pictures[0]) == 3  # of the same latent points


@pytest.fixture(scope="module")
def whole_run(small_digits, tmp_path_factory):
    """The folder of three epochs of two steps that nothing interrupts."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    main(["--data", str(small_digits), "--out", str(out), "--epochs", "3", *SMALL])
    return out


@pytest.fixture
def copied_run(whole_run, tmp_path):
    """A copy of the whole run, for tests that change it."""
    return shutil.copytree(whole_run, tmp_path / "run")


def test_run_folder_is_complete(whole_run, small_digits):
    models = [f"{kind}_{step:04d}.{suffix}" for step in (2, 4, 6)
              for kind, suffix in (("c_model", "h5"), ("g_model", "h5"), ("generated_plot", "png"))]
    assert sorted(path.name for path in whole_run.iterdir()) == sorted(
        [*models, ".lock", "history.csv", "run.json", "state.npz", "training_curves.png"])
    record = read_record(whole_run)
    labels = load_real_samples(str(small_digits)).train_labels[record["label_indices"]]
    assert (np.bincount(labels) == 2).all() and len(labels) == 20
    assert record["settings"]["batch_size"] == 10 and record["data"]["source"] == str(small_digits)
    assert record["versions"]["keras"] == keras.__version__ and record["resumed"] == []


def test_history_holds_the_losses_and_the_saved_models_accuracies(whole_run, small_digits):
    history, data = read_history(whole_run), load_real_samples(str(small_digits))
    losses = [history[0][name] for name in ("c_loss", "d_loss_real", "d_loss_fake", "g_loss")]
    assert losses == pytest.approx([2.3, 0.095, 2.4, 0.095], abs=0.05)  # as after the tutorial's first steps
    c_model = keras.models.load_model(whole_run / "c_model_0004.h5")
    assert history[1]["train_accuracy"] == pytest.approx(accuracy(c_model, data.train_images, data.train_labels))
    assert history[1]["test_accuracy"] == pytest.approx(
        c_model.evaluate((data.test_images - 127.5) / 127.5, data.test_labels, verbose=0)[1])
    assert [(row["epoch"], row["step"]) for row in history] == [(1, 2), (2, 4), (3, 6)]
    assert read_record(whole_run)["final"] == history[2]


def test_the_result_is_the_last_epoch_even_if_an_earlier_one_was_better(copied_run):
    change_state(copied_run, lambda arrays, record: record["history"][0].update(test_accuracy=1.0))
    resume(copied_run)
    assert read_record(copied_run)["final"]["epoch"] == 3


# Stopped and resumed


@pytest.mark.slow
def test_killed_and_resumed_run_equals_the_whole_one_bit_for_bit(whole_run, small_digits, tmp_path, capsys):
    """Killed after the first step of the second epoch."""
    out = tmp_path / "killed"
    program = """if True:
        import os, signal, sys, sgan_mnist
        def kill_in_the_second_epoch(callback, batch, logs=None):
            if callback.epochs_left == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        sgan_mnist.TimeLeft.on_train_batch_end = kill_in_the_second_epoch
        sgan_mnist.main(sys.argv[1:])
    """
    arguments = "--data", small_digits, "--out", out, "--epochs", "3", *SMALL
    killed = subprocess.run([sys.executable, "-c", program, *arguments], cwd=ROOT, env=USERS_ENVIRONMENT)
    assert killed.returncode == -signal.SIGKILL and not (out / "c_model_0004.h5").exists()

    out = out.rename(tmp_path / "moved")
    resume(out)
    assert_same_state(out, whole_run)
    assert bytes_of(out).keys() == bytes_of(whole_run).keys() and len(read_record(out)["resumed"]) == 1
    assert (out / "g_model_0006.h5").read_bytes() == (whole_run / "g_model_0006.h5").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("n, name", [(2, "run.json"), (8, "state.npz"), (12, "c_model_0004.h5")])
def test_a_run_that_stops_at_any_file_is_resumed_bit_for_bit(whole_run, small_digits, tmp_path, monkeypatch, n, name):
    """As when it is killed before its n-th file has its final name."""
    out, replaced, replace = tmp_path / "run", [], os.replace

    def stop(temporary, path):
        replaced.append(str(path))
        if len(replaced) == n:
            raise SystemExit
        replace(temporary, path)

    monkeypatch.setattr(files.os, "replace", stop)
    with pytest.raises(SystemExit):
        main(["--data", str(small_digits), "--out", str(out), "--epochs", "3", *SMALL])
    assert replaced[-1].endswith(name)
    resume(out)
    assert_same_state(out, whole_run)
    assert bytes_of(out).keys() == bytes_of(whole_run).keys() and "final" in read_record(out)


@pytest.mark.slow
def test_a_folder_belongs_to_one_process_and_an_interrupted_run_says_how_to_go_on(start_script, small_digits, tmp_path):
    out = tmp_path / "run"
    process = start_script("sgan_mnist.py", "--data", small_digits, "--out", out, "--epochs", 1000, *SMALL)
    assert any(line.startswith("epoch 1 of 1000 done") for line in iter(process.stdout.readline, ""))
    for arguments in ["--out", str(out), "--resume"], ["--out", str(out), "--data", str(small_digits)]:
        with pytest.raises(InputError, match="another process is training in this folder"):
            main(arguments)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.splitlines()[-1].endswith(f"go on with: python sgan_mnist.py --out {out} --resume")
    assert "Traceback" not in errors


def test_a_folder_is_held_once_and_let_go(tmp_path):
    path = tmp_path / "run"
    options = {"out": str(path), "resume": False}
    for existed in False, True:
        with open_run(Settings, options):
            with pytest.raises(InputError, match="another process"), open_run(Settings, options):
                pytest.fail("held twice")
        assert path.exists() == existed and not [*path.glob("*")]  # nothing was saved
        path.mkdir(exist_ok=True)  # by the user
    with open_run(Settings, options):
        (path / "mine").write_text("")
    assert (path / "mine").exists()
    with pytest.raises(FileExistsError), open_run(Settings, {"out": str(path / "mine"), "resume": False}):
        pytest.fail("held")


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_is_removed_during_the_run_ends_it(tmp_path, replaced):
    path = tmp_path / "run"
    with open_run(Settings, {"out": str(path), "resume": False}) as run:
        shutil.rmtree(path)
        if replaced:
            path.mkdir()
            (path / ".lock").touch()
        with pytest.raises(InputError, match="the folder was removed or replaced"):
            SaveEpoch(run, pytest.fail).on_epoch_end(1, {})


@pytest.mark.slow
def test_a_run_that_diverges_stops_at_once_and_keeps_its_files(copied_run):
    def make_infinite(arrays, record):
        kernel = next(name for name in arrays if arrays[name].shape == (3, 3, 128, 128))
        arrays[kernel] = np.full_like(arrays[kernel], np.inf)  # as after a step that was too long

    change_state(copied_run, make_infinite)
    before = bytes_of(copied_run)
    with pytest.raises(FloatingPointError, match=r"diverged: c_loss is nan at step 7 \(epoch 4\); try a smaller"):
        resume(copied_run, "--epochs", "5")
    after = bytes_of(copied_run)
    assert all(before[name] == after[name] for name in before if name.endswith((".h5", ".csv")))
    assert before.keys() == after.keys()


# What is refused


@pytest.mark.parametrize("arguments, complaint", [
    (["--epochs", "0"], "--epochs: 0: must be at least 1"),
    (["--learning-rate", "nan"], "--learning-rate: nan: must be at least 1e-09"),
    (["--beta-1", "1"], "--beta-1: 1: must be at least 0 and below 1"),
    (["--validation-split", "-0.1"], "--validation-split: -0.1: must be at least 0 and below 1"),
    (["--labels", "15"], "--labels must be a multiple of 10"),
    (["--labels", "4000"], "class 0 has 40; see --labels"),
    (["--batch-size", "500"], "--batch-size 500: more than the 400 images"),
    (["--epoch", "3"], "unrecognized arguments: --epoch 3"),
    (["--resume"], "--resume: no run in"),
])
def test_settings_that_are_refused_leave_nothing_behind(arguments, complaint, small_digits, tmp_path):
    with pytest.raises(InputError, match=re.escape(complaint)):
        main(["--data", str(small_digits), "--out", str(tmp_path / "run"), *arguments])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("arguments, complaint", [
    (["--data", "synthetic", "--epochs", "1", *SMALL], "holds a run already"),
    (["--resume", "--labels", "10"], "--labels 10 is not what the run was started with (20); only --data and --epochs"),
    (["--resume", "--seed", "1"], "--seed 1 is not what the run was started with (0)"),
    (["--resume", "--image-size", "9"], "--image-size 9x9 is not what the run was started with (the default)"),
    (["--resume", "--epochs", "2"], "--epochs 2: the run has finished 3 already"),
    (["--resume", "--data", "synthetic"], "synthetic does not hold the images"),
    (["--resume", "--data", "gone.npz"], "no such file: gone.npz"),
])
def test_a_run_is_never_mixed_with_another(whole_run, digits, monkeypatch, arguments, complaint):
    monkeypatch.setattr(dataset, "synthetic_digits", lambda: digits)
    before = {path.name: path.stat().st_mtime_ns for path in whole_run.iterdir()}
    with pytest.raises(InputError, match=re.escape(complaint)):
        main(["--out", str(whole_run), *arguments])
    assert {path.name: path.stat().st_mtime_ns for path in whole_run.iterdir()} == before


@pytest.mark.parametrize("name", ["run.json", "state.npz", "history.csv", "g_model_0002.h5"])
def test_leftovers_of_a_run_are_not_mixed_with_a_new_one(whole_run, small_digits, tmp_path, name):
    shutil.copy(whole_run / name, tmp_path)
    with pytest.raises(InputError, match="holds a run already"):
        main(["--data", str(small_digits), "--out", str(tmp_path), "--epochs", "1", *SMALL])
    assert [path.name for path in tmp_path.glob("[!.]*")] == [name]


def of_other_networks(arrays, record):
    arrays["arr_0"] = arrays["arr_0"].astype("float64")


def of_other_rows(arrays, record):
    record["label_indices"][0] += 1


@pytest.mark.parametrize("change, complaint", [
    (lambda arrays, record: record["settings"].pop("epochs"), "begun by another version"),
    (of_other_networks, "belongs to other networks"), (of_other_rows, "other images would keep their labels"),
    (lambda arrays, record: arrays.popitem(), "belongs to other networks"),
    (lambda arrays, record: record["settings"].update(moods=3), "begun by another version or another program"),
    (lambda arrays, record: record.pop("history"), "cannot read .*state.npz: 'history'"),
    (lambda arrays, record: record.update(id="another"), "is of another run than the other files there"),
    (lambda arrays, record: record["data"].update(fingerprint="0"), "does not hold the images and classes"),
    (lambda arrays, record: record["data"].update(classes=["a"]), "does not hold the images and classes"),
    (lambda arrays, record: arrays.update(arr_0=np.array([{"an": "object"}])), "Object arrays cannot be loaded"),
])
def test_a_state_of_something_else_is_refused(copied_run, change, complaint):
    change_state(copied_run, change)
    before = bytes_of(copied_run)
    with pytest.raises(InputError, match=complaint) as caught:
        resume(copied_run, "--epochs", "4")
    assert bytes_of(copied_run) == before and "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", [lambda content: content[:len(content) // 2], lambda content: b"",
                                    lambda content: content[:9999] + b"damaged" + content[10006:]])
def test_a_damaged_state_is_one_line(copied_run, damage):
    path = copied_run / "state.npz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match="cannot read .*state.npz") as caught:
        resume(copied_run)
    assert "\n" not in str(caught.value)


def test_a_damaged_record_or_history_has_no_effect(copied_run, whole_run):
    """They are written for people, from the state."""
    (copied_run / "run.json").write_text('{"id": 3, "label_indices": ["a"]')
    (copied_run / "history.csv").write_text("\0\xff")
    (copied_run / "training_curves.png").unlink()
    resume(copied_run)
    assert_same_state(copied_run, whole_run)
    assert read_history(copied_run) == read_history(whole_run) and (copied_run / "training_curves.png").exists()
    record, before = read_record(copied_run), read_record(whole_run)
    assert len(record.pop("resumed")) == 1 and before.pop("resumed") == []
    assert record.pop("settings")["out"] == str(copied_run) and before.pop("settings") and record == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on a file's size")
@pytest.mark.parametrize("function, file, left", [
    ("SGAN", "state.npz", set()),
    pytest.param("summarize_performance", "g_model_0001.h5", {".lock", "run.json", "state.npz"},
                 marks=pytest.mark.slow)])
def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing_half_written(small_digits, tmp_path, monkeypatch,
                                                                                function, file, left):
    """As on a full disk: from the call of a function on, no file may be larger than 100 kB."""
    import resource

    limits, call = resource.getrlimit(resource.RLIMIT_FSIZE), getattr(sgan_mnist, function)

    def limit_and_call(*arguments):
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        return call(*arguments)

    monkeypatch.setattr(sgan_mnist, function, limit_and_call)
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            main(["--data", str(small_digits), "--out", str(tmp_path / "run"), *SMALL, "--steps-per-epoch", "1"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(tmp_path / "run" / file)
    assert {path.name for path in tmp_path.glob("run/*")} == left


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_state_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "state.npz")
    with open(os.open(tmp_path / "state.npz", os.O_RDWR), "wb", buffering=0) as pipe:
        pipe.write(b"of a state")  # a program that reads it finds this, and does not keep the tests waiting
        with pytest.raises(InputError, match="a pipe or a device"):
            resume(tmp_path)
