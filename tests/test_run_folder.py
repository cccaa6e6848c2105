"""sgan/runs/run_folder.py: whole runs of sgan_mnist.py, killed and resumed ones, and what is refused."""

import csv
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

import sgan_mnist
from sgan.runs import run_folder
from sgan.runs.command import InputError
from sgan.data.dataset import load_real_samples
from sgan.models.evaluation import accuracy
from sgan_mnist import main

SMALL = ("--batch-size", 10, "--steps-per-epoch", 2, "--labels", 20, "--print-every", 1)


def read_history(run):
    with open(run / "history.csv", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def rewrite_record(run, **changes):
    """Change entries of a run.json. Returns the record as it was."""
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, **changes}))
    return record


def resume(run, *arguments):
    main(["--out", str(run), "--resume", *arguments])


def bytes_of(run):
    return {path.name: path.read_bytes() for path in run.iterdir()}


# --------------------------------------------------------------------------------------------------------------
# A whole run, killed and resumed


@pytest.fixture(scope="module")
def whole_run(run_script, small_digits, tmp_path_factory):
    """Three epochs of two steps that nothing interrupts: (folder, standard output)."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    status, output, errors = run_script("sgan_mnist.py", "--data", small_digits, "--out", out, "--epochs", 3, *SMALL)
    assert status == 0 and errors == []
    return out, output


@pytest.fixture
def copied_run(whole_run, tmp_path):
    """A copy of the whole run, for tests that change it."""
    return shutil.copytree(whole_run[0], tmp_path / "run")


def test_run_folder_is_complete(whole_run, small_digits):
    out, output = whole_run
    models = [f"{kind}_{step:04d}.{suffix}" for step in (2, 4, 6)
              for kind, suffix in (("c_model", "h5"), ("g_model", "h5"), ("generated_plot", "png"))]
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*models, "history.csv", "run.json", "state.npz", "training_curves.png"])
    assert output.startswith("Device: ")
    number = r"\d+\.\d{3}"
    assert len(re.findall(rf"^>\d, c\[{number},\d+\], d\[{number},{number}\], g\[{number}\]$", output, re.M)) == 6

    record = json.loads((out / "run.json").read_text())
    labels = load_real_samples(str(small_digits)).train_labels[record["label_indices"]]
    assert (np.bincount(labels) == 2).all() and len(labels) == 20
    assert record["settings"]["batch_size"] == 10 and record["data"]["source"] == str(small_digits)
    assert record["versions"]["keras"] == keras.__version__


def test_history_holds_the_means_of_the_printed_steps_and_the_saved_models_accuracies(whole_run, small_digits):
    out, output = whole_run
    history = read_history(out)
    printed = [float(loss) for loss in re.findall(r"^>\d, c\[([\d.]+),", output, re.M)]
    assert [row["c_loss"] for row in history] == pytest.approx(np.mean(np.reshape(printed, (3, 2)), axis=1), abs=6e-4)

    data = load_real_samples(str(small_digits))
    c_model = keras.models.load_model(out / "c_model_0004.h5")
    assert history[1]["train_accuracy"] == pytest.approx(accuracy(c_model, data.train_images, data.train_labels))
    assert history[1]["test_accuracy"] == pytest.approx(
        c_model.evaluate((data.test_images - 127.5) / 127.5, data.test_labels, verbose=0)[1])
    assert json.loads((out / "run.json").read_text())["final"]["test_accuracy"] == history[2]["test_accuracy"]


def start_and_wait_for(start_script, line_start, *arguments):
    """Start a run and wait until it prints a line that begins so; the process."""
    process = start_script("sgan_mnist.py", *arguments, PYTHONUNBUFFERED="1")
    assert any(line.startswith(line_start) for line in iter(process.stdout.readline, ""))
    return process


def assert_same_state(run, other):
    """The states of two runs are equal, bit for bit, except for the run's id and its seconds."""
    with np.load(run / "state.npz") as ours, np.load(other / "state.npz") as theirs:
        names = [sorted(set(each.files) - {"run"}) for each in (ours, theirs)]  # numbered within a process
        assert len(names[0]) == len(names[1]) > 50
        assert [a for a, b in zip(*names) if ours[a].tobytes() != theirs[b].tobytes()] == []
    histories = [[{**row, "seconds": 0} for row in read_history(each)] for each in (run, other)]
    assert histories[0] == histories[1]


@pytest.mark.slow
def test_killed_and_resumed_run_equals_the_whole_one_bit_for_bit(whole_run, start_script, run_script, small_digits,
                                                                 tmp_path):
    out = tmp_path / "killed"
    process = start_and_wait_for(start_script, ">3,", "--data", small_digits, "--out", out, "--epochs", 3, *SMALL)
    process.send_signal(signal.SIGKILL)  # after the first step of the second epoch
    process.communicate()
    assert not (out / "c_model_0004.h5").exists()

    status, output, errors = run_script("sgan_mnist.py", "--out", out, "--resume")
    assert status == 0 and errors == []
    assert ">2," not in output and ">3," in output
    assert_same_state(out, whole_run[0])
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in whole_run[0].iterdir())
    for name in ("g_model_0006.h5", "c_model_0006.h5"):
        ours, theirs = (keras.models.load_model(run / name) for run in (out, whole_run[0]))
        assert all(np.array_equal(a, b) for a, b in zip(ours.get_weights(), theirs.get_weights()))


@pytest.mark.slow
def test_a_run_killed_in_its_first_epoch_begins_anew(whole_run, start_script, small_digits, tmp_path):
    out = tmp_path / "killed"
    process = start_and_wait_for(start_script, ">1,", "--data", small_digits, "--out", out, "--epochs", 3, *SMALL)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for path in out.glob("*_0002.*"):
        path.unlink()  # in case the epoch ended before the kill
    resume(out)
    assert_same_state(out, whole_run[0])


@pytest.mark.slow
def test_a_folder_belongs_to_one_process_and_an_interrupted_run_says_how_to_go_on(start_script, small_digits, tmp_path):
    out = tmp_path / "run"
    process = start_and_wait_for(start_script, ">1,", "--data", small_digits, "--out", out, "--epochs", 1000, *SMALL)
    for arguments in ["--out", str(out), "--resume"], ["--out", str(out), "--data", str(small_digits)]:
        with pytest.raises(InputError, match="another process is training in this folder"):
            main(arguments)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.splitlines()[-1].endswith(f"go on with: python sgan_mnist.py --out {out} --resume")
    assert "Traceback" not in errors and not (out / ".lock").exists()


def test_a_folder_that_is_removed_during_the_run_ends_it(small_digits, tmp_path, monkeypatch):
    out, check = tmp_path / "run", run_folder.RunFolder.check_still_there

    def remove_and_check(run):
        if (out / "state.npz").exists():  # the first epoch is over
            shutil.rmtree(out)
        check(run)

    monkeypatch.setattr(run_folder.RunFolder, "check_still_there", remove_and_check)
    with pytest.raises(InputError, match="the folder was removed or replaced"):
        main(["--data", str(small_digits), "--out", str(out), *map(str, SMALL)])
    assert not out.exists()


def test_a_run_that_diverges_stops_at_once_and_keeps_its_files(copied_run):
    with np.load(copied_run / "state.npz") as saved:
        state = dict(saved)
    kernel = next(name for name in state if "conv_2/kernel" in name and "adam" not in name.lower())
    state[kernel] = np.full_like(state[kernel], np.inf)  # as after a step that was too long
    np.savez(copied_run / "state.npz", **state)
    before = bytes_of(copied_run)
    with pytest.raises(FloatingPointError, match=r"diverged: c_loss is nan at step 7 \(epoch 4\); the files of the "
                                                 "last finished epoch are kept; try a smaller .*, with another --out"):
        resume(copied_run, "--epochs", "5")
    after = bytes_of(copied_run)
    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} <= {"run.json"}


def test_a_run_that_diverges_in_its_first_epoch_has_no_files_to_speak_of(small_digits, tmp_path):
    with pytest.raises(FloatingPointError, match=r"\(epoch 1\); try a smaller --learning-rate, with another --out"):
        main(["--data", str(small_digits), "--out", str(tmp_path / "run"), "--learning-rate", "1e30", *map(str, SMALL)])


def test_a_resumed_run_makes_the_pictures_that_a_kill_left_out(copied_run):
    before = bytes_of(copied_run)
    for name in "generated_plot_0006.png", "training_curves.png":
        (copied_run / name).unlink()
    resume(copied_run)
    assert (copied_run / "generated_plot_0006.png").read_bytes() == before["generated_plot_0006.png"]
    assert (copied_run / "training_curves.png").read_bytes().startswith(b"\x89PNG")
    assert len(json.loads((copied_run / "run.json").read_text())["resumed"]) == 1


# --------------------------------------------------------------------------------------------------------------
# Other people's images


def test_own_colour_images_with_few_labels_and_no_test_set(tmp_path, capsys):
    """(N, H, W, 3), label -1 for "no label", three classes: all labels are used, no test accuracy."""
    random = np.random.default_rng(0)
    labels = np.array([0, 1, 2, 2] + [-1] * 36, "int8")
    np.savez(tmp_path / "own.npz", x_train=random.integers(0, 256, (40, 8, 12, 3), "uint8"), y_train=labels)
    main(["--data", str(tmp_path / "own.npz"), "--out", str(tmp_path / "run"), "--epochs", "1", "--batch-size", "8",
          "--latent-dim", "7"])
    assert "4 of them with their labels; no validation and no test images" in capsys.readouterr().out
    (row,) = read_history(tmp_path / "run")
    assert row["step"] == 5 and "test_accuracy" not in row
    assert row["train_accuracy"] in (0, 0.25, 0.5, 0.75, 1)  # over the four images whose label is known
    assert keras.models.load_model(tmp_path / "run" / "c_model_0005.h5").output_shape == (None, 3)
    assert keras.models.load_model(tmp_path / "run" / "g_model_0005.h5").output_shape == (None, 8, 12, 3)


def test_labelled_images_that_validate_are_not_trained_on(small_digits, tmp_path, monkeypatch):
    given = []

    class Spy(sgan_mnist.SGAN):
        def __init__(self, settings, labelled, unlabelled_images, n_classes):
            super().__init__(settings, labelled, unlabelled_images, n_classes)
            given.extend([labelled[0], unlabelled_images])

    monkeypatch.setattr(sgan_mnist, "SGAN", Spy)
    main(["--data", str(small_digits), "--out", str(tmp_path / "run"), "--epochs", "1", "--steps-per-epoch", "1",
          "--batch-size", "10", "--labels", "50", "--validation-split", "0.4"])
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    rows, validation_rows = record["label_indices"], record["validation_indices"]
    data = load_real_samples(str(small_digits))
    assert len(rows) == 30 and len(validation_rows) == 20 and not set(rows) & set(validation_rows)
    assert np.array_equal(given[0], data.train_images[rows])
    assert np.array_equal(given[1], np.delete(data.train_images, validation_rows, axis=0))
    c_model = keras.models.load_model(tmp_path / "run" / "c_model_0001.h5")
    expected = accuracy(c_model, data.train_images[validation_rows], data.train_labels[validation_rows])
    assert read_history(tmp_path / "run")[0]["validation_accuracy"] == pytest.approx(expected)


@pytest.mark.slow
def test_without_a_network_auto_trains_on_synthetic_digits_and_says_so(run_script, tmp_path):
    status, output, errors = run_script(
        "sgan_mnist.py", "--epochs", 1, "--out", tmp_path / "run", *SMALL, KERAS_HOME=str(tmp_path / "keras"),
        http_proxy="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9")
    assert status == 0
    assert "\n".join(errors).count("NOT MNIST") == 2  # at the start and at the end
    data = json.loads((tmp_path / "run" / "run.json").read_text())["data"]
    assert data["source"] == "synthetic" and "NOT MNIST" in data["warning"]


# --------------------------------------------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize("arguments, complaint", [
    (["--batch-size", "7"], "--batch-size 7: must be even"),
    (["--epochs", "0"], "--epochs: 0: must be at least 1"),
    (["--epochs", "many"], "invalid int value: 'many'"),
    (["--learning-rate", "nan"], "--learning-rate nan"),
    (["--beta-1", "1"], "--beta-1 1.0"),
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


def test_a_run_is_never_mixed_with_another(whole_run):
    before = {path.name: path.stat().st_mtime_ns for path in whole_run[0].iterdir()}
    for arguments, complaint in [
        ([], "holds a run already"),
        (["--resume", "--labels", "10"], "--labels 10 is not what the run was started with (20)"),
        (["--resume", "--seed", "1"], "--seed 1 is not what the run was started with (0)"),
        (["--resume", "--epochs", "2"], "--epochs 2: the run has finished 3 already"),
        (["--resume", "--data", "synthetic"], "synthetic does not hold the images"),
    ]:
        with pytest.raises(InputError, match=re.escape(complaint)):
            main(["--out", str(whole_run[0]), *arguments])
    assert {path.name: path.stat().st_mtime_ns for path in whole_run[0].iterdir()} == before


def test_a_run_is_not_resumed_on_other_images_or_from_a_damaged_state(copied_run, digits, tmp_path):
    state = (copied_run / "state.npz").read_bytes()
    (copied_run / "state.npz").write_bytes(state[:len(state) // 2])
    with pytest.raises(InputError, match="cannot read .*state.npz"):
        resume(copied_run, "--epochs", "4")

    np.savez(tmp_path / "other.npz", x_train=255 - digits.train_images, y_train=digits.train_labels)
    record = json.loads((copied_run / "run.json").read_text())
    record["data"]["source"] = str(tmp_path / "other.npz")
    (copied_run / "run.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="does not hold the images"):
        resume(copied_run, "--epochs", "4")

    other_version = {**record, "settings": {**record["settings"], "moods": 3}}
    for content, complaint in [("{", "not readable JSON"), ("[]", "not the record of a run"),
                               ('{"settings": {}}', "not the record of a run"),
                               (json.dumps({**record, "label_indices": ["a"]}), "not the record of a run"),
                               (json.dumps({**record, "id": 3}), "not the record of a run"),
                               (json.dumps(other_version), "written by another version or another")]:
        (copied_run / "run.json").write_text(content)
        with pytest.raises(InputError, match=complaint):
            resume(copied_run)


def test_a_state_is_not_taken_for_that_of_another_run(copied_run):
    record = json.loads((copied_run / "run.json").read_text())
    rows = record["label_indices"]
    others = [row for row in range(400) if row not in rows]
    for changes, complaint in [
        ({"id": "another"}, "do not belong together: their id differ"),
        ({"settings": {**record["settings"], "seed": 5}}, "do not belong together: their settings differ"),
        ({"label_indices": sorted([*rows[1:], others[0]])}, "do not belong together: their label_indices differ"),
        ({"label_indices": rows[::-1]}, "are not ascending rows of labelled images"),
        ({"label_indices": [*rows[:-1], 400]}, "are not ascending rows of labelled images"),
        ({"settings": {**record["settings"], "batch_size": 7}}, "--batch-size 7: must be even"),
        ({"settings": {**record["settings"], "epochs": "4"}}, "--epochs '4': must be int"),
    ]:
        rewrite_record(copied_run, **{**record, **changes})
        with pytest.raises(InputError, match=complaint):
            resume(copied_run)
    rewrite_record(copied_run, **record)
    lines = (copied_run / "history.csv").read_text().splitlines()
    (copied_run / "history.csv").write_text("\n".join([*lines[:2], lines[3], lines[2]]) + "\n")
    with pytest.raises(InputError, match="history.csv is not the history of this run's state"):
        resume(copied_run)
    (copied_run / "state.npz").unlink()
    with pytest.raises(InputError, match="state.npz is missing, but .* is there, which would be overwritten"):
        resume(copied_run)


def test_leftovers_of_a_run_are_not_mixed_with_a_new_one(whole_run, small_digits, tmp_path):
    for name in ("state.npz", "history.csv", "g_model_0002.h5"):
        out = tmp_path / name
        out.mkdir()
        shutil.copy(whole_run[0] / name, out)
        with pytest.raises(InputError, match="holds a run already"):
            main(["--data", str(small_digits), "--out", str(out)])
        assert [path.name for path in out.iterdir()] == [name]


def test_a_run_goes_on_after_its_data_have_moved(copied_run, small_digits):
    record = json.loads((copied_run / "run.json").read_text())
    rewrite_record(copied_run, data={**record["data"], "source": "gone.npz"})
    with pytest.raises(InputError, match="no such file: gone.npz"):
        resume(copied_run, "--epochs", "4")
    resume(copied_run, "--epochs", "4", "--data", str(small_digits))
    assert len(read_history(copied_run)) == 4
    record = json.loads((copied_run / "run.json").read_text())
    assert record["final"]["epoch"] == record["settings"]["epochs"] == 4 and len(record["resumed"]) == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on a file's size")
def test_a_file_that_cannot_be_written_is_one_line_and_leaves_nothing_half_written(small_digits, tmp_path):
    """As on a full disk: when the first model is saved, no file may be larger than 100 kB."""
    program = f"""if True:
        import sgan
        sgan.begin_script()
        import resource
        import sgan_mnist
        from sgan.runs.command import run_command
        save_model = sgan_mnist.save_model

        def save_without_space(*arguments):
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            save_model(*arguments)

        sgan_mnist.save_model = save_without_space
        run_command(lambda: sgan_mnist.main([
            "--data", {str(small_digits)!r}, "--out", {str(tmp_path / "run")!r}, "--epochs", "1", "--batch-size", "10",
            "--steps-per-epoch", "1"]))
    """
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=USERS_ENVIRONMENT, capture_output=True,
                           text=True)
    assert ended.returncode == 2
    assert re.fullmatch(r"-c: File too large: .*g_model_0001.h5\n", ended.stderr)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["run.json", "state.npz"]


@pytest.mark.slow
@pytest.mark.skipif("MNIST_NPZ" not in os.environ, reason="MNIST_NPZ does not name the real mnist.npz")
def test_learns_from_real_mnist(tmp_path):
    """100 labels, 10,000 images, 80 steps: far better than chance. (After 600 steps, whole runs have 85 %: README.)"""
    with np.load(os.environ["MNIST_NPZ"]) as mnist:
        few = {name: values[:10000 if "train" in name else 2000] for name, values in mnist.items()}
    np.savez(tmp_path / "few.npz", **few)
    main(["--data", str(tmp_path / "few.npz"), "--out", str(tmp_path / "run"), "--epochs", "1", "--steps-per-epoch",
          "80"])
    (row,) = read_history(tmp_path / "run")
    assert row["test_accuracy"] > 0.6
