"""sgan_mnist.py as its users run it: the label split, whole runs, resuming, and what it refuses."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from conftest import ROOT, is_tensorflow_log
from mnist_data import InputError, load_real_samples
from sgan_mnist import accuracy, main, select_supervised_samples, step_numbers
from studies.tuned import TunedSettings, build_tuned

SMALL = ("--batch-size", 10, "--steps-per-epoch", 2, "--labels", 20, "--print-every", 1)


def read_history(run):
    with open(run / "history.csv", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


# --- which images keep their labels ---


def test_split_is_balanced_without_repetition_and_drawn_by_its_seed():
    labels = np.random.default_rng(0).integers(0, 10, 1000)
    rows = select_supervised_samples(labels, 100, 10, seed=1)
    assert len(set(rows)) == 100 and (np.diff(rows) > 0).all()
    assert (np.bincount(labels[rows]) == 10).all()
    assert np.array_equal(rows, select_supervised_samples(labels, 100, 10, seed=1))
    assert not np.array_equal(rows, select_supervised_samples(labels, 100, 10, seed=2))


def test_split_never_takes_an_unlabelled_image_and_can_take_all_labelled_ones():
    labels = np.array([-1, 0, -1, 1, 0, 0, -1, 1])
    assert select_supervised_samples(labels, None, 2).tolist() == [1, 3, 4, 5, 7]
    for seed in range(5):
        assert (labels[select_supervised_samples(labels, 4, 2, seed)] >= 0).all()


@pytest.mark.parametrize("labels, n_samples, complaint", [
    ([0, 1, 2] * 9, 10, "must be a multiple of 3"),
    ([0, 1, 2] * 9, 2, "must be a multiple of 3"),
    ([0, 0, 0, 1, 2, 2], 6, "class 1 has 1"),
    ([0, 0, -1, 2], None, "class 1 has 0"),
])
def test_splits_that_cannot_be_made(labels, n_samples, complaint):
    with pytest.raises(InputError, match=complaint):
        select_supervised_samples(np.array(labels), n_samples, 3)


# --- a whole run, killed and resumed ---


def test_numbers_of_steps_come_without_a_tuner_to_wait_for():
    numbers = step_numbers(3)
    assert list(numbers.as_numpy_iterator()) == [0, 1, 2] and numbers.options().autotune.enabled is False


@pytest.fixture(scope="module")
def whole_run(run_script, digits_file, tmp_path_factory):
    """Three epochs of two steps that nothing interrupts: (folder, standard output)."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    status, output, errors = run_script("sgan_mnist.py", "--data", digits_file, "--out", out, "--epochs", 3, *SMALL)
    assert status == 0 and errors == []
    return out, output


def test_run_folder_is_complete(whole_run, digits_file):
    out, output = whole_run
    models = [f"{kind}_{step:04d}.{suffix}" for step in (2, 4, 6)
              for kind, suffix in (("c_model", "h5"), ("g_model", "h5"), ("generated_plot", "png"))]
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*models, "history.csv", "run.json", "state.npz", "training_curves.png"])
    assert output.startswith("Device: ")
    number = r"\d+\.\d{3}"
    assert len(re.findall(rf"^>\d, c\[{number},\d+\], d\[{number},{number}\], g\[{number}\]$", output, re.M)) == 6

    record = json.loads((out / "run.json").read_text())
    labels = load_real_samples(str(digits_file)).train_labels[record["label_indices"]]
    assert (np.bincount(labels) == 2).all() and len(labels) == 20
    assert record["settings"]["batch_size"] == 10 and record["data"]["source"] == str(digits_file)
    assert record["versions"]["keras"] == keras.__version__


def test_history_holds_the_means_of_the_printed_steps_and_the_saved_models_accuracies(whole_run, digits_file):
    out, output = whole_run
    history = read_history(out)
    printed = [float(loss) for loss in re.findall(r"^>\d, c\[([\d.]+),", output, re.M)]
    assert [row["c_loss"] for row in history] == pytest.approx(np.mean(np.reshape(printed, (3, 2)), axis=1), abs=6e-4)

    data = load_real_samples(str(digits_file))
    c_model = keras.models.load_model(out / "c_model_0004.h5")
    assert history[1]["train_accuracy"] == pytest.approx(accuracy(c_model, data.train_images, data.train_labels))
    assert history[1]["test_accuracy"] == pytest.approx(
        c_model.evaluate((data.test_images - 127.5) / 127.5, data.test_labels, verbose=0)[1])
    assert json.loads((out / "run.json").read_text())["final"]["test_accuracy"] == history[2]["test_accuracy"]


def test_killed_and_resumed_run_equals_the_whole_one_bit_for_bit(whole_run, start_script, run_script, digits_file,
                                                                 tmp_path):
    out = tmp_path / "killed"
    process = start_script("sgan_mnist.py", "--data", digits_file, "--out", out, "--epochs", 3, *SMALL,
                           PYTHONUNBUFFERED="1")
    for line in process.stdout:
        if line.startswith(">3,"):  # the first step of the second epoch
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "c_model_0004.h5").exists()

    status, output, errors = run_script("sgan_mnist.py", "--out", out, "--resume")
    assert status == 0 and errors == []
    assert ">2," not in output and ">3," in output
    with np.load(whole_run[0] / "state.npz") as whole, np.load(out / "state.npz") as resumed:
        assert whole.files == resumed.files and len(whole.files) > 50
        for name in whole.files:
            if name != "history":
                assert whole[name].tobytes() == resumed[name].tobytes(), name
    drop_time = [{**row, "seconds": 0} for row in read_history(whole_run[0])]
    assert [{**row, "seconds": 0} for row in read_history(out)] == drop_time
    for name in ("g_model_0006.h5", "c_model_0006.h5"):
        ours, theirs = (keras.models.load_model(run / name) for run in (out, whole_run[0]))
        assert all(np.array_equal(a, b) for a, b in zip(ours.get_weights(), theirs.get_weights()))


def test_interrupted_run_says_how_to_go_on(start_script, digits_file, tmp_path):
    process = start_script("sgan_mnist.py", "--data", digits_file, "--out", tmp_path / "run", *SMALL,
                           PYTHONUNBUFFERED="1")
    for line in process.stdout:
        if line.startswith(">1,"):
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.splitlines()[-1].endswith(f"go on with: python sgan_mnist.py --out {tmp_path / 'run'} --resume")
    assert "Traceback" not in errors


def test_a_run_that_diverges_stops_at_once_and_keeps_its_files(whole_run, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole_run[0], out)
    with np.load(out / "state.npz") as saved:
        state = dict(saved)
    kernel = next(name for name in state if "conv_2/kernel" in name and "adam" not in name.lower())
    state[kernel] = np.full_like(state[kernel], np.inf)  # as after a step that was too long
    np.savez(out / "state.npz", **state)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(FloatingPointError, match=r"diverged: c_loss is nan at step 7 \(epoch 4\)"):
        main(["--out", str(out), "--resume", "--epochs", "5"])
    assert {path.name for path in out.iterdir()} == set(before)
    assert all((out / name).read_bytes() == content for name, content in before.items() if name != "run.json")


# --- other people's images ---


def test_own_colour_images_with_few_labels_and_no_test_set(tmp_path, capsys):
    """(N, H, W, 3), label -1 for "no label", three classes: all labels are used, no test figures."""
    random = np.random.default_rng(0)
    labels = np.array([0, 1, 2, 2] + [-1] * 36, "int8")
    np.savez(tmp_path / "own.npz", x_train=random.integers(0, 256, (40, 8, 12, 3), "uint8"), y_train=labels)
    main(["--data", str(tmp_path / "own.npz"), "--out", str(tmp_path / "run"), "--epochs", "1", "--batch-size", "8",
          "--latent-dim", "7"])
    assert "4 of them with their labels; no test set" in capsys.readouterr().out
    (row,) = read_history(tmp_path / "run")
    assert row["step"] == 5 and "test_accuracy" not in row
    assert row["train_accuracy"] in (0, 0.25, 0.5, 0.75, 1)  # over the four images whose label is known
    assert keras.models.load_model(tmp_path / "run" / "c_model_0005.h5").output_shape == (None, 3)
    assert keras.models.load_model(tmp_path / "run" / "g_model_0005.h5").output_shape == (None, 8, 12, 3)


def test_without_a_network_auto_trains_on_synthetic_digits_and_says_so(run_script, tmp_path):
    status, output, errors = run_script(
        "sgan_mnist.py", "--epochs", 1, "--out", tmp_path / "run", *SMALL, KERAS_HOME=str(tmp_path / "keras"),
        http_proxy="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9")
    assert status == 0
    assert "\n".join(errors).count("NOT MNIST") == 2  # at the start and at the end
    data = json.loads((tmp_path / "run" / "run.json").read_text())["data"]
    assert data["source"] == "synthetic" and "NOT MNIST" in data["warning"]


# --- what is refused ---


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
def test_settings_that_are_refused_leave_nothing_behind(arguments, complaint, digits_file, tmp_path):
    with pytest.raises(InputError, match=re.escape(complaint)):
        main(["--data", str(digits_file), "--out", str(tmp_path / "run"), *arguments])
    assert not (tmp_path / "run").exists()


def test_a_run_is_never_mixed_with_another(whole_run, digits_file):
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


def test_a_run_is_not_resumed_on_other_images_or_from_a_damaged_state(whole_run, digits, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole_run[0], out)
    state = (out / "state.npz").read_bytes()
    (out / "state.npz").write_bytes(state[:len(state) // 2])
    with pytest.raises(InputError, match="cannot read .*state.npz"):
        main(["--out", str(out), "--resume", "--epochs", "4"])

    np.savez(tmp_path / "other.npz", x_train=255 - digits.train_images, y_train=digits.train_labels)
    record = json.loads((out / "run.json").read_text())
    record["data"]["source"] = str(tmp_path / "other.npz")
    (out / "run.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="does not hold the images"):
        main(["--out", str(out), "--resume", "--epochs", "4"])

    other_version = {**record, "settings": {**record["settings"], "moods": 3}}
    for content, complaint in [("{", "not the record of a run"), ("[]", "not the record of a run"),
                               ('{"settings": {}}', "not the record of a run"),
                               (json.dumps({**record, "label_indices": ["a"]}), "not the record of a run"),
                               (json.dumps(other_version), "written by another version")]:
        (out / "run.json").write_text(content)
        with pytest.raises(InputError, match=complaint):
            main(["--out", str(out), "--resume"])


def test_leftovers_of_a_run_are_not_mixed_with_a_new_one(whole_run, digits_file, tmp_path):
    for name in ("state.npz", "history.csv", "g_model_0002.h5"):
        out = tmp_path / name
        out.mkdir()
        shutil.copy(whole_run[0] / name, out)
        with pytest.raises(InputError, match="holds a run already"):
            main(["--data", str(digits_file), "--out", str(out)])
        assert [path.name for path in out.iterdir()] == [name]


def test_a_run_goes_on_after_its_data_have_moved(whole_run, digits_file, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(whole_run[0], out)
    record = json.loads((out / "run.json").read_text())
    record["data"]["source"] = "gone.npz"
    (out / "run.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="no such file: gone.npz"):
        main(["--out", str(out), "--resume", "--epochs", "4"])
    main(["--out", str(out), "--resume", "--epochs", "4", "--data", str(digits_file)])
    assert len(read_history(out)) == 4
    record = json.loads((out / "run.json").read_text())
    assert record["final"]["epoch"] == record["settings"]["epochs"] == 4 and len(record["resumed"]) == 1


def test_a_full_disk_is_one_line_and_leaves_no_half_written_file(digits_file, tmp_path):
    program = f"""if True:
        import collections, shutil
        import sgan_mnist, run_folder
        usage = collections.namedtuple("usage", "total used free")
        shutil.disk_usage = lambda path: usage(10**9, 10**9 - 10**6, 10**6)  # HDF5 is asked only if there is room
        run_folder.run_command(lambda: sgan_mnist.main([
            "--data", {str(digits_file)!r}, "--out", {str(tmp_path / "run")!r}, "--epochs", "1", "--batch-size", "10",
            "--steps-per-epoch", "1"]))
    """
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    lines = [line for line in ended.stderr.splitlines() if not is_tensorflow_log(line)]
    assert ended.returncode == 2 and len(lines) == 1
    assert re.search(r"No space left on device: .*g_model_0001.h5", lines[0])
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["generated_plot_0001.png", "run.json"]


def test_bad_input_is_one_line_and_status_2(run_script, tmp_path):
    status, output, errors = run_script("sgan_mnist.py", "--data", tmp_path / "missing.npz", "--out", tmp_path / "run")
    assert status == 2 and len(errors) == 1
    assert errors[0].startswith("sgan_mnist.py: ") and "missing.npz" in errors[0]
    (tmp_path / "file").write_text("")
    status, output, errors = run_script("sgan_mnist.py", "--data", "synthetic", "--out", tmp_path / "file" / "run")
    assert status == 2 and len(errors) == 1 and "file" in errors[0]


# --- the real thing ---


@pytest.mark.skipif("MNIST_NPZ" not in os.environ, reason="MNIST_NPZ does not name the real mnist.npz")
@pytest.mark.parametrize("options, at_least, how", [
    (["--steps-per-epoch", "80"], 0.6, ()),  # (Full runs reach 85 % after 600 steps: see README.)
    (["--steps-per-epoch", "100", "--labels-first", "20"], 0.75, (TunedSettings, build_tuned)),
])
def test_learns_from_real_mnist(tmp_path, options, at_least, how):
    """100 labels, 10,000 images, few steps: far better than chance."""
    with np.load(os.environ["MNIST_NPZ"]) as mnist:
        few = {name: values[:10000 if "train" in name else 2000] for name, values in mnist.items()}
    np.savez(tmp_path / "few.npz", **few)
    main(["--data", str(tmp_path / "few.npz"), "--out", str(tmp_path / "run"), "--epochs", "1", *options], *how)
    (row,) = read_history(tmp_path / "run")
    assert row["test_accuracy"] > at_least


def test_readme_gives_each_command_only_its_own_options():
    commands = ["sgan_mnist.py", "evaluate_classifier.py", "discriminator_variants.py", "-m benchmarks.train_step",
                "-m benchmarks.time_to_accuracy", "-m studies.study", "-m studies.run", "-m studies.tuned",
                "-m studies.development"]
    readme = (ROOT / "README.md").read_text()
    named, known = set(re.findall(OPTION, readme)), set()

    def options(command):
        return set(re.findall(OPTION, subprocess.run([sys.executable, *command.split(), "--help"], cwd=ROOT, check=True,
                                                     capture_output=True, text=True).stdout))

    with ThreadPoolExecutor(4) as pool:  # starting TensorFlow takes seconds
        options_of = dict(zip(commands, pool.map(options, commands)))
    for command, own in options_of.items():
        given = {option for line in readme.splitlines() if f"python {command}" in line
                 for option in re.findall(OPTION, re.split("[#`]", line.split(f"python {command}")[1])[0])}
        assert f"python {command}" in readme and given <= own, command
        known |= own
    assert len(named) > 5 and named <= known


OPTION = r"(?<![\w-])--[a-z][a-z0-9-]*"
