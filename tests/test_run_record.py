"""A run.json, a state or a history that somebody has changed: `--resume` says so in one line and changes nothing."""

import json
import os
import shutil
import zipfile

import numpy as np
import pytest

from sgan.runs.command import InputError
from sgan.runs.files import MAX_TEXT
from sgan_mnist import main

LABELS = np.array([0, 1, 2, -1] * 10)  # so that every fourth image has no label


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of one step on 40 random images of three classes, a quarter of them without a label."""
    folder = tmp_path_factory.mktemp("finished")
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), "uint8")
    np.savez(folder / "own.npz", x_train=images, y_train=LABELS)
    main(["--data", str(folder / "own.npz"), "--out", str(folder / "run"), "--epochs", "1", "--steps-per-epoch", "1",
          "--batch-size", "4", "--labels", "12", "--validation-split", "0.25"])
    return folder / "run"


@pytest.fixture
def run(finished, tmp_path):
    """A copy, for a test to change."""
    return shutil.copytree(finished, tmp_path / "run")


def refusal(run):
    """The one line that --resume raises, after which every file is as it was."""
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(InputError) as caught:
        main(["--out", str(run), "--resume"])
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
    return str(caught.value)


def edit(run, part, name, value):
    """Change one entry of the record, or take it out where the value is `KeyError`; `part` may be None."""
    record = json.loads((run / "run.json").read_text())
    of = record if part is None else record[part]
    if value is KeyError:
        del of[name]
    else:
        of[name] = value(of[name]) if callable(value) else value
    (run / "run.json").write_text(json.dumps(record))


def test_the_run_itself_can_be_resumed(run):
    main(["--out", str(run), "--resume", "--epochs", "2"])
    assert (run / "c_model_0002.h5").exists()


@pytest.mark.parametrize("name", ["label_indices", "validation_indices"])
@pytest.mark.parametrize("rows, words", [
    (lambda rows: [-1, *rows[1:]], "not ascending rows of labelled images among the 40"),
    (lambda rows: [*rows[:-1], 40], "not ascending rows of labelled images"),
    (lambda rows: [*rows[:-1], 10**30], "not ascending rows of labelled images"),
    (lambda rows: [rows[0], *rows[:-1]], "not ascending rows of labelled images"),  # one is there twice
    (lambda rows: sorted([*rows[1:], 3]), "not ascending rows of labelled images"),  # LABELS[3] is -1
    (lambda rows: rows[:-1], "do not belong together"),
    (lambda rows: [0.5, *rows[1:]], "not the record of a run"),
    (lambda rows: [None], "not the record of a run"), (3, "not the record of a run"), (KeyError, "not the record"),
])
def test_rows_of_labelled_images(run, name, rows, words):
    edit(run, None, name, rows)
    assert words in refusal(run)


@pytest.mark.parametrize("name, other", [("label_indices", None), ("validation_indices", "label_indices")])
def test_rows_of_a_run_of_which_only_the_record_was_saved(run, name, other):
    for path in run.iterdir():
        if path.name != "run.json":
            path.unlink()
    edit(run, None, name, json.loads((run / "run.json").read_text())[other] if other else [])
    assert "no image is labelled, or one both labelled and validating" in refusal(run)


@pytest.mark.parametrize("name, value, words", [
    ("batch_size", 0, "--batch-size 0: must be at least 2"), ("batch_size", 3, "--batch-size 3: must be even"),
    ("batch_size", 2**40, "below 2**31"), ("batch_size", [4], "--batch-size [4]: must be int"),
    ("batch_size", True, "--batch-size True: must be int"), ("epochs", None, "--epochs None: must be int"),
    ("epochs", 0, "--epochs 0: must be at least 1"), ("steps_per_epoch", 0, "must be at least 1"),
    ("learning_rate", 0.1, "do not belong together: their settings differ"),
    ("learning_rate", -1.0, "--learning-rate -1.0: must be above 0"), ("learning_rate", "1", "must be float"),
    ("learning_rate", float("nan"), "--learning-rate nan"), ("beta_1", 1.0, "--beta-1 1.0: must be from 0 to below 1"),
    ("seed", 1, "do not belong together: their settings differ"), ("seed", "0", "--seed '0': must be int"),
    ("latent_dim", 7, "do not belong together: their settings differ"), ("latent_dim", -1, "must be at least 1"),
    ("labels", "some", "--labels some: must be a number from 1 on, or all"), ("labels", {}, "--labels {}: must be int"),
    ("validation_split", 2.0, "--validation-split 2.0: must be from 0 to below 1"),
    ("image_size", "3x3", "--image-size 3x3: must be HEIGHTxWIDTH"),
    ("image_size", "24", "--image-size '24': must be '24x24'"), ("image_size", "8X16", "must be '8x16'"),
    ("labels", "7", "--labels '7': must be 7"), ("labels", 0, "--labels 0: must be at least 1"),
    ("grey", "no", "--grey 'no': must be bool"),
    ("tensorboard", 1, "--tensorboard 1: must be bool"), ("data", 3, "--data 3: must be str"),
    ("epochs", KeyError, "has other settings than this program"),
])
def test_settings(run, name, value, words):
    edit(run, "settings", name, value)
    assert words in refusal(run)


@pytest.mark.parametrize("part, name, value, words", [
    (None, "id", "another", "do not belong together: their id differ"), (None, "id", None, "not the record of a run"),
    (None, "settings", [], "not the record of a run"), (None, "data", "x", "not the record of a run"),
    ("data", "fingerprint", "0", "does not hold the images and labels that the run began with"),
    ("data", "source", KeyError, "not the record of a run"), ("data", "source", 3, "not the record of a run"),
    ("data", "warning", ["x"], "not the record of a run"), (None, "resumed", 3, "not the record of a run"),
    (None, "versions", [], "not the record of a run"), (None, "device", None, "not the record of a run"),
    (None, "id", list(range(10_000)), "not the record of a run"),
    ("data", "source", "gone.npz", "no such file: gone.npz"),
])
def test_the_rest_of_the_record(run, part, name, value, words):
    edit(run, part, name, value)
    assert words in refusal(run)


@pytest.mark.parametrize("text, words", [
    ("", "is not readable JSON"), ("null", "not the record of a run"), ("[" * 100_000, "is not readable JSON"),
    ('{"id": ' * 100_000 + "0" + "}" * 100_000, "is not readable JSON"), (" " * (2**24 + 1), "is larger than 16 MB"),
    ("\0", "is not readable JSON"), ('{"id": 1, "id"', "is not readable JSON"),
])
def test_texts_that_are_no_record(run, text, words):
    (run / "run.json").write_text(text)
    assert words in refusal(run)


def test_the_state_of_another_run(run, finished, tmp_path):
    """A run of other labels and noise, with networks of the same shapes."""
    other = tmp_path / "other"
    main(["--data", str(finished.parent / "own.npz"), "--out", str(other), "--epochs", "1", "--steps-per-epoch", "1",
          "--batch-size", "4", "--labels", "12", "--validation-split", "0.25", "--seed", "1", "--label-seed", "1"])
    shutil.copy(other / "state.npz", run)
    assert "state.npz and run.json do not belong together: their id differ" in refusal(run)
    with np.load(run / "state.npz") as state:
        arrays = dict(state)
    of_the_run = json.loads(str(arrays.pop("run")))
    of_the_run["id"] = json.loads((run / "run.json").read_text())["id"]
    np.savez(run / "state.npz", run=json.dumps(of_the_run), **arrays)
    assert "do not belong together: their settings differ" in refusal(run)


def change_state(run, change):
    """Rewrite the state; `change(arrays, of_the_run)` changes its arrays and the dictionary beside them."""
    with np.load(run / "state.npz") as state:
        arrays = dict(state)
    of_the_run = json.loads(str(arrays.pop("run")))
    change(arrays, of_the_run)
    np.savez(run / "state.npz", run=json.dumps(of_the_run), **arrays)


@pytest.mark.parametrize("change, words", [
    (lambda row: row.pop("c_loss"), "damaged"), (lambda row: row.update(epoch=2), "damaged"),
    (lambda row: row.update(c_loss=float("nan")), "damaged"), (lambda row: row.update(c_loss="high"), "damaged"),
    (lambda row: row.update(c_loss=True), "damaged"), (lambda row: row.update(step=1.0), "damaged"),
    (lambda row: row.update(loss=1.0), "damaged"), (lambda row: row.pop("step"), "damaged"),
    (lambda row: row.clear(), "damaged"), (lambda row: row.update(c_loss=7.5), "history.csv is not the history"),
])
def test_a_history_in_the_state_that_is_not_one_of_whole_rows(run, change, words):
    change_state(run, lambda arrays, of_the_run: change(of_the_run["history"][0]))
    message = refusal(run)
    assert message.startswith("--resume: ") and words in message
    (run / "history.csv").unlink()
    if words == "damaged":
        assert words in refusal(run)


@pytest.mark.parametrize("history, words", [({}, "not a list"), (None, "not a list"), ([], "history.csv is not")])
def test_a_history_in_the_state_that_is_none(run, history, words):
    (run / "history.csv").write_text((run / "history.csv").read_text() + "2,2\n")
    change_state(run, lambda arrays, of_the_run: of_the_run.update(history=history))
    assert words in refusal(run)


@pytest.mark.parametrize("kind", ["<U4", "float64", "bool"])
def test_a_state_of_another_type(run, kind):
    def change(arrays, of_the_run):
        name = next(name for name in arrays if name.endswith("kernel"))
        arrays[name] = arrays[name].astype(kind)

    change_state(run, change)
    assert "belongs to other networks" in refusal(run)


def test_a_state_that_is_too_large_or_holds_something_else(run):
    with zipfile.ZipFile(run / "state.npz", "a") as archive:
        archive.writestr("notes.txt", "hello")
    assert "belongs to other networks" in refusal(run)
    with zipfile.ZipFile(run / "state.npz", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("more.npy", bytes(100_000_000))
    assert "holds more than the state of these networks" in refusal(run)
    (run / "state.npz").write_text("no zip file")
    assert "not a zip file" in refusal(run)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_state_that_is_a_pipe_is_not_waited_for(run):
    (run / "state.npz").unlink()
    os.mkfifo(run / "state.npz")
    with pytest.raises(InputError, match="cannot read .*state.npz: not a regular file"):
        main(["--out", str(run), "--resume"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_history_file_that_is_no_text(run):
    path = run / "history.csv"
    for content in (bytes(range(256)), b"epoch\n" + 200_000 * b"1", b"epoch\0", b"", b" " * (MAX_TEXT + 1)):
        path.write_bytes(content)
        assert "history.csv" in refusal(run)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="history.csv: is not a file but a pipe"):
        main(["--out", str(run), "--resume"])


def test_links_in_the_folder_of_a_run_are_not_followed(run):
    """Nobody who packs a folder chooses which files are overwritten."""
    other = run.parent / "other"
    other.write_text("of somebody")
    (run / ".run.partial.json").symlink_to(other)
    main(["--out", str(run), "--resume"])
    (run / ".lock").symlink_to(other)
    with pytest.raises(OSError, match="lock"):
        main(["--out", str(run), "--resume"])
    assert other.read_text() == "of somebody"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_pipes_in_the_folder_of_a_run_are_not_waited_for(run):
    os.mkfifo(run / ".run.partial.json")
    main(["--out", str(run), "--resume"])
    os.mkfifo(run / ".lock")
    with pytest.raises(OSError, match="lock"):
        main(["--out", str(run), "--resume"])


def test_the_history_file_of_another_run(run):
    header, row = (run / "history.csv").read_text().splitlines()
    (run / "history.csv").write_text(f"{header}\n{row.replace('0.', '1.', 1)}\n")
    assert "history.csv is not the history of this run's state" in refusal(run)


@pytest.mark.parametrize("kept", ["c_model_0001.h5", "history.csv"])
def test_models_or_a_history_without_their_state_are_not_overwritten(run, kept):
    for path in run.iterdir():
        if path.name not in (kept, "run.json"):
            path.unlink()
    assert f"state.npz is missing, but {kept} is there, which would be overwritten" in refusal(run)


def test_a_warning_in_a_record_does_not_reach_the_terminal_raw(run, capsys):
    edit(run, "data", "warning", "one\ntwo \x1b[31m")
    main(["--out", str(run), "--resume"])
    assert capsys.readouterr().err.splitlines()[:2] == ["one", "two \\x1b[31m"]
