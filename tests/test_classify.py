"""sgan/models/classify.py, and evaluate_classifier.py --predict: which pictures are read, and what is said of them."""

import contextlib
import csv
import os
import shutil

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from evaluate_classifier import main
from sgan.data.dataset import Dataset, synthetic_digits
from sgan.models import classify
from sgan.models.classify import find_pictures
from sgan.models.metadata import describe_classifier
from sgan.runs.command import InputError
from sgan.runs.files import save_model

NAMES = ("dark", "grey", "light")

RECORD = {"id": "5f", "data": {"fingerprint": "not MNIST"}}


def nearest(means, about=None, path=None):
    """A classifier that names the class whose mean image, (K, H, W, C) in 0..255, is the nearest; saved at `path`."""
    means = (np.asarray(means, "float64") - 127.5) / 127.5
    model = keras.Sequential([keras.Input(means.shape[1:]), layers.Flatten(), layers.Dense(len(means), "softmax")])
    flat = means.reshape(len(means), -1)
    scale = 20 / flat.shape[1]
    model.layers[-1].set_weights([scale * flat.T, -scale * (flat**2).sum(axis=1) / 2])
    save_model(model, path, about)
    return path


@pytest.fixture(scope="module")
def shades(tmp_path_factory):
    """A classifier of 8x8 colour images by their brightness, which knows the names of its three classes."""
    means = np.ones((3, 8, 8, 3)) * np.array([0, 128, 255])[:, None, None, None]
    data = Dataset("folder", np.zeros((3, 8, 8, 3), "uint8"), np.arange(3), class_names=NAMES)
    return nearest(means, describe_classifier(data, RECORD), tmp_path_factory.mktemp("shades") / "c_model.h5")


@pytest.fixture(scope="module")
def digit_means():
    data = synthetic_digits(2000, 10)
    return [data.train_images[data.train_labels == k].mean(axis=0) for k in range(10)]


@pytest.fixture
def folder(tmp_path):
    """Pictures of the three shades, with names that take care."""
    folder = tmp_path / "my pictures"
    (folder / "more" / ".hidden").mkdir(parents=True)
    for name, shade in {"a.png": 10, "b.JPG": 120, "more/c": 250, "more/ü \n\x1b[31m.png": 70,
                        "more/.hidden/d.png": 0, ".e.png": 0}.items():
        picture = Image.new("L", (30, 20), shade)
        picture.save(folder / name, format={"b.JPG": "JPEG", "more/c": "GIF"}.get(name))
    (folder / "notes.txt").write_text("no picture")
    return folder


def run(*arguments):
    """main's exit status for these arguments."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as error:
        return error.code
    return 0


def refusal(*arguments):
    with pytest.raises(InputError) as caught:
        main([str(argument) for argument in arguments])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def table(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


# ------------------------------------------------------------------------------------- which files


def test_folders_are_searched_for_pictures(shades, folder, capsys):
    assert run(shades, "--predict", folder) == 2  # one is none
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert lines[0] == f"Model: {shades}"
    assert [line.rsplit(" ", 1)[0] for line in lines[1:]] == [
        f"{folder}/a.png: dark", f"{folder}/b.JPG: grey", f"{folder}/more/c: light",
        f"{folder}/more/ü \\n\\x1b[31m.png: grey"]
    assert output.err.startswith(f"{folder}/notes.txt: cannot be read as a picture") and output.err.count("\n") == 1


def test_links_are_followed_as_in_training_and_each_folder_is_read_once(folder, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "all").symlink_to(folder)
    (folder / "more" / "back").symlink_to(folder)
    found = find_pictures([tmp_path / "links"])
    assert [path.name for path in found] == ["a.png", "b.JPG", "notes.txt", "c", "ü \n\x1b[31m.png"]
    assert found[0] == tmp_path / "links" / "all" / "a.png"


def test_folders_without_files_and_folders_that_are_closed(shades, tmp_path, monkeypatch):
    assert "no picture is in this folder" in refusal(shades, "--predict", tmp_path)

    def closed(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", closed)
    assert refusal(shades, "--predict", tmp_path) == f"{tmp_path}: Permission denied"


def test_a_file_that_is_named_like_an_option(shades, tmp_path, monkeypatch, capsys):
    Image.new("L", (9, 9), 250).save(tmp_path / "-3.png")
    monkeypatch.chdir(tmp_path)
    assert "-3.png: is a file named like an option; write ./-3.png, or ./*" in refusal(shades, "--predict", "-3.png")
    assert run(shades, "--predict", "./-3.png") == 0 and "-3.png: light" in capsys.readouterr().out


# ------------------------------------------------------------------------------------- what is said of them


def test_a_table_with_the_least_sure_first(shades, folder, tmp_path, capsys):
    path = tmp_path / "new" / "classes.csv"
    (folder / "notes.txt").unlink()
    assert run(shades, "--predict", folder, folder / "a.png", "--csv", path) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [f"Saved: {path}, 5 of 5 pictures, the least confident first"]
    rows = table(path)
    assert list(rows[0]) == ["path", "class", "probability", "second_class", "second_probability"]
    probabilities = [float(row["probability"]) for row in rows]
    assert probabilities == sorted(probabilities) and 0.3 < probabilities[0] < 0.9
    by_path = {row["path"]: row for row in rows}
    assert len(by_path) == 4 and by_path[f"{folder}/more/ü \n\x1b[31m.png"] == rows[0]
    assert (rows[0]["class"], rows[0]["second_class"]) == ("grey", "dark")
    assert probabilities[0] + float(rows[0]["second_probability"]) == pytest.approx(1, abs=0.05)
    assert os.listdir(path.parent) == ["classes.csv"]


def test_no_cell_of_the_table_is_computed_by_a_spreadsheet_or_no_text(tmp_path, capsys):
    images = np.array([0, 255], "uint8")[:, None, None, None] * np.ones((1, 8, 8, 1), "uint8")
    about = describe_classifier(Dataset("", images, np.arange(2), class_names=("+dark", "light")), RECORD)
    path, names = nearest(images, about, tmp_path / "c_model.h5"), ("=1+2.png", "@a.png", "b.png", b"\xff.png")
    for name in names:
        Image.new("L", (8, 8), 250).save(os.fsdecode(tmp_path / os.fsdecode(name)))
    with contextlib.chdir(tmp_path):
        assert run(path, "--predict", *map(os.fsdecode, names), "--csv", "c.csv") == 0
    assert "4 of 4 pictures: name changed in the table" in capsys.readouterr().err
    assert (tmp_path / "c.csv").read_bytes().startswith(b"\xef\xbb\xbfpath,class,")
    rows = table(tmp_path / "c.csv")
    assert {row["path"] for row in rows} == {"'=1+2.png", "'@a.png", "b.png", "\\udcff.png"}
    assert {row["second_class"] for row in rows} == {"'+dark"}


def test_more_pictures_than_a_batch_holds(shades, tmp_path, monkeypatch):
    for i in range(7):
        Image.new("L", (9, 9), 40 * i).save(tmp_path / f"{i}.png")
    (tmp_path / "3.txt").write_text("no picture")
    assert run(shades, "--predict", tmp_path, "--csv", tmp_path / ".one.csv") == 2
    monkeypatch.setattr(classify, "batch_size_for", lambda *_: 3)
    assert run(shades, "--predict", tmp_path, "--csv", tmp_path / ".three.csv") == 2
    assert len(table(tmp_path / ".one.csv")) == 7 and table(tmp_path / ".one.csv") == table(tmp_path / ".three.csv")


def test_a_terminal_shows_a_progress_bar_if_no_lines_do(shades, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    full = f"\rPictures [{'=' * 30}] 5/5\n"
    for more in ((), ("--csv", tmp_path / "classes.csv")):
        assert run(shades, "--predict", folder, *more) == 2
        assert capsys.readouterr().err.endswith(full)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    run(shades, "--predict", folder)
    assert "Pictures [" not in capsys.readouterr().err


def test_broken_files_stop_nothing(shades, folder, tmp_path, capsys):
    (folder / "broken.heic").write_text("rubbish")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:40])
    (folder / "empty.png").touch()
    os.mkfifo(folder / "pipe.png")
    broken = [*(folder / name for name in ("broken.heic", "cut.png", "empty.png", "pipe.png")), "none.png"]
    assert run(shades, "--predict", folder / "a.png", *broken, folder / "b.JPG") == 2
    output = capsys.readouterr()
    assert len(output.out.splitlines()) == 3 and "b.JPG: grey" in output.out
    errors = output.err.splitlines()
    assert [error.split(": ")[0] for error in errors] == [str(path) for path in broken]
    assert "convert it to JPEG or PNG" in errors[0] and errors[2].endswith("as a picture (it is empty)")
    assert run(shades, "--predict", folder / "a.png", *broken, "--csv", tmp_path / "c.csv") == 2
    assert "c.csv, 1 of 6 pictures" in capsys.readouterr().out and len(table(tmp_path / "c.csv")) == 1


def test_a_table_of_nothing_is_not_written_which_is_said(shades, tmp_path, capsys):
    (tmp_path / "a.png").write_text("no picture")
    (tmp_path / "old.csv").write_text("of another time")
    assert run(shades, "--predict", tmp_path / "a.png", "--csv", tmp_path / "old.csv") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"{tmp_path / 'old.csv'}: not written, as no picture could be read"
    assert (tmp_path / "old.csv").read_text() == "of another time"


def test_a_table_that_cannot_be_written_is_refused_before_any_picture_is_read(shades, folder, tmp_path, capsys):
    (tmp_path / "file").write_text("of the user")
    assert "is not a folder" in refusal(shades, "--predict", folder, "--csv", tmp_path / "file" / "a.csv")
    assert capsys.readouterr().out == ""


def test_a_picture_of_many_is_said_once(shades, tmp_path, capsys):
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 255)]
    for name in ("a.gif", "b.gif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    assert run(shades, "--predict", tmp_path) == 0
    output = capsys.readouterr()
    assert output.out.count(": dark (") == 2
    assert output.err.startswith("2 of 2 pictures: more than one picture in a file") and output.err.count("\n") == 1


def test_tilde_is_the_home_folder(shades, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(shades, tmp_path / "c.h5")
    assert run("~/c.h5", "--predict", "~/my pictures/a.png", "--csv", "~/out.csv") == 0
    assert len(table(tmp_path / "out.csv")) == 1


# ------------------------------------------------------------------------------------- digits


def page(digit, size, scale, ink=-150, paper=210):
    """A digit, uint8 (28, 28), drawn `scale` times as large on a page of `size` (width, height), off the middle."""
    width, height = size
    large = np.asarray(Image.fromarray(digit).resize((28 * scale, 28 * scale), Image.Resampling.BICUBIC), "float32")
    picture = np.full((height, width), paper, "float32")
    top, left = (height - len(large)) // 2, (width - len(large)) * 2 // 3
    picture[top:top + len(large), left:left + len(large)] += ink * large / 255
    return Image.fromarray(picture.clip(0, 255).astype("uint8"))


@pytest.fixture
def pages(tmp_path):
    """Twenty digits photographed: small, off the middle, dark on light and light on dark; and a blank page."""
    data, folder = synthetic_digits(20, 10, seed=3), tmp_path / "pages"
    folder.mkdir()
    for i, (image, label) in enumerate(zip(data.train_images, data.train_labels)):
        dark = {"ink": -150, "paper": 210} if i % 2 else {"ink": 150, "paper": 40}
        page(image[..., 0], (320, 240), 4, **dark).save(folder / f"{label}_{i}.png")
    return folder


def right(path):
    return np.mean([row["class"] == os.path.basename(row["path"])[0] for row in table(path)])


@pytest.mark.parametrize("says", [True, False])
def test_digits_are_cut_out_of_pages(digit_means, pages, tmp_path, capsys, says):
    about = describe_classifier(synthetic_digits(10, 10), RECORD) if says else None
    path = nearest(digit_means, about, tmp_path / "c_model.h5")
    assert run(path, "--predict", pages, "--csv", tmp_path / "cut.csv") == 0
    errors = capsys.readouterr().err.splitlines()
    assert ["taken for digits" in error for error in errors] == ([] if says else [True])
    assert run(path, "--predict", pages, "--whole", "--csv", tmp_path / "whole.csv") == 0
    assert right(tmp_path / "cut.csv") >= 0.7  # which such a simple classifier reaches on the digits themselves
    assert right(tmp_path / "whole.csv") <= 0.4


def test_other_classifiers_of_such_images_see_the_whole_picture(digit_means, pages, tmp_path, capsys):
    data = synthetic_digits(10, 10)
    about = describe_classifier(data._replace(name="letters.npz", class_names=tuple("abcdefghij")), RECORD)
    path = nearest(digit_means, about, tmp_path / "c_model.h5")
    for name, more in (("a.csv", []), ("b.csv", ["--whole"])):
        assert run(path, "--predict", pages, "--csv", tmp_path / name, *more) == 0
    assert table(tmp_path / "a.csv") == table(tmp_path / "b.csv")
    assert {row["class"] for row in table(tmp_path / "a.csv")} <= set("abcdefghij")


def test_a_blank_page_is_not_guessed(digit_means, pages, tmp_path, capsys):
    path = nearest(digit_means, describe_classifier(synthetic_digits(10, 10), RECORD), tmp_path / "c_model.h5")
    Image.new("L", (300, 200), 220).save(pages / "blank.png")
    Image.new("L", (4, 4), 220).save(pages / "tiny.png")
    assert run(path, "--predict", pages / "blank.png", pages / "tiny.png") == 2
    output = capsys.readouterr()
    assert output.out == f"Model: {path}\n"
    blank, tiny = output.err.splitlines()
    assert blank == f"{pages}/blank.png: no ink found" and tiny.startswith(f"{pages}/tiny.png: ")


# ------------------------------------------------------------------------------------- measuring own classes


@pytest.fixture
def shades_folder(tmp_path):
    """A folder of the three classes, two pictures each."""
    for name, shade in zip(NAMES, (5, 120, 250)):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (12, 12), (shade, shade, shade + i)).save(tmp_path / "set" / name / f"{i}.png")
    return tmp_path / "set"


def test_a_folder_is_measured_at_the_models_size(shades, shades_folder, tmp_path, capsys):
    main([str(shades), "--data", str(shades_folder), "--confusion", str(tmp_path / "c.png")])
    output = capsys.readouterr().out
    assert "Train Accuracy: 100.000%" in output and (tmp_path / "c.png").exists()
    assert [line.split()[0] for line in output.splitlines() if line.endswith("100.00%")] == list(NAMES)


def test_classes_of_other_names(shades, shades_folder):
    (shades_folder / "light").rename(shades_folder / "white")
    message = refusal(shades, "--data", shades_folder)
    assert "only the model has light" in message and "has white" in message
