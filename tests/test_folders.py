"""Reading a folder of pictures whose sub-folders are the classes."""

import os

import numpy as np
import pytest
from helpers import refusal
from PIL import Image

from sgan.data.dataset import default_labels, load_real_samples

RED, BLUE, GREY = (200, 0, 0), (0, 0, 200), (90, 90, 90)


@pytest.fixture
def folder(tmp_path):
    """The name of a folder that is not there yet."""
    return tmp_path / "my pictures"


def save(path, colour=RED, size=(20, 12), **options):
    """Save a picture of one colour, `size` (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)


def save_classes(folder, names=("cat", "dog"), n=2, **options):
    for name in names:
        for i in range(n):
            save(folder / name / f"{i}.png", **options)


def make(folder, *names):
    """Make files: pictures if their names end in .png, folders if they end in /, or else texts."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".png"):
            save(path)
        elif name.endswith("/"):
            path.mkdir()
        else:
            path.write_text("no picture")


# --------------------------------------------------------------------------------------------------------------
# Classes and sets


@pytest.mark.parametrize("place", ["", "Train"])
def test_sub_folders_are_classes_and_unlabelled_is_none_and_comes_last(folder, place, monkeypatch):
    make(folder / place, "zebra/1.png", "zebra/0.png", "Ä b\nc/0.png", "ant/0.png", "Unlabeled/0.png",
         "unlabelled/1.png")
    save(folder / place / "ant" / "0.png", BLUE)
    monkeypatch.chdir(folder.parent)
    data = load_real_samples(folder.name)  # its path is noted in full: this one may be "synthetic"
    assert data.class_names == ("ant", "zebra", "Ä b\nc") and data.n_classes == 3
    assert data.train_labels.tolist() == [0, 1, 1, 2, -1, -1] and data.train_labels.dtype == np.int64
    assert data.train_images.shape == (6, 12, 20, 3) and data.train_images.dtype == np.uint8
    assert data.train_images[:, 5, 5].tolist() == [[*BLUE], *[[*RED]] * 5]
    assert data.test_images is None and data.name == str(folder) and default_labels(data) == "all"
    assert data.notes[0] == "pictures are read as 12x20 pixels, RGB"
    assert data.notes[-1] == "the 3 classes are ant, zebra, Ä b\\nc"


def test_the_test_set(folder):
    make(folder, "TRAIN/cat/0.png", "TRAIN/dog/0.png", "test/dog/0.png", "test/dog/1.txt", "TRAIN/cat/1.txt",
         "test/unlabelled/0.png")
    save(folder / "test" / "dog" / "0.png", BLUE)
    data = load_real_samples(str(folder))
    assert data.train_labels.tolist() == [0, 1] and data.test_labels.tolist() == [1, -1]
    assert (data.train_images[:, 0, 0] == RED).all() and data.test_images[:, 0, 0].tolist() == [[*BLUE], [*RED]]
    assert load_real_samples(str(folder / "TRAIN")).test_images is None


def test_hidden_files_are_skipped_and_others_that_are_no_pictures_are_named(folder, capsys):
    save_classes(folder)
    make(folder, ".DS_Store", "cat/.DS_Store", ".cache/x", "__MACOSX/cat/0.png", "dog/__MACOSX/x", "Thumbs.db")
    assert len(load_real_samples(str(folder)).train_images) == 4 and capsys.readouterr().err == ""
    make(folder, "labels.csv", "1.png", "unlabelled/")
    assert load_real_samples(str(folder)).n_classes == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"{folder}: left out, as in no class and not in 'unlabelled': 1.png, labels.csv"


@pytest.mark.parametrize("names, words", [
    (["cat/0.png"], "the only class is cat; a classifier needs at least 2"), (["x/"], "x: has no pictures"),
    ([".hidden"], "has no folders of classes; pictures without a label go to {folder}/unlabelled, or are classified"),
    (["unlabelled/0.png", "cat/0.png"], "the only class is cat"), (["a/x", "b/x"], "not one of its 2 files is a"),
    (["a/0.png", "b/"], "b: has no pictures"), (["a/0.png", "b/x"], "no picture of the class b can be read"),
    (["a/0.png", "b/0.png", "b/c/0.png"], "c: a folder inside a class"),
    (["a/0.png", "nan/0.png"], "nan: may be a class or hold pictures without a label"),
    (["a/0.png", "-1/0.png"], "-1: may be a class"), (["a/0.png", "unlabelled too/0.png"], "too: may be a class"),
    (["0.png", "1.png"], "has no folders of classes; pictures without a label go to {folder}/unlabelled, or are"),
    (["train/0.png", "bus/0.png", "tram/0.png"], "folders bus, train, tram, but .* rename one that is a class"),
    (["test/0.png"], "has the folders test, but only test/ may stand beside train/"),
    (["train/a/0.png", "train/b/0.png", "valid/a/0.png"], "folders train, valid, but .* there is --validation-split"),
    (["train/a/0.png", "train/b/0.png", "TRAIN/a/0.png"], "has the folders TRAIN, train, but"),
    (["train/a/0.png", "train/b/0.png", "test/0.png"],
     "without a label go to {folder}/train/unlabelled, or are classified with evaluate_classifier.py --predict"),
    (["train/a/0.png", "train/b/0.png", "test/c/0.png"], "test: has the classes c, but those to train on are a, b"),
    (["train/a/0.png", "train/b/0.png", "test/a/x"], "test: no image has a label; each class needs some"),
])
def test_forms_that_are_refused(folder, names, words):
    make(folder, *names)
    message = refusal(load_real_samples, folder)
    assert all(part in message for part in words.format(folder=folder).split(" .* ")) and str(folder) in message


def test_classes_that_differ_only_in_capitals_are_said(folder):
    make(folder, "Cat/0.png", "cat/0.png", "dog/0.png")
    assert "classes that differ only in capitals: Cat, cat" in load_real_samples(str(folder)).notes


def test_links_are_followed(folder, tmp_path):
    save_classes(tmp_path / "elsewhere", ["kept"], colour=BLUE)
    save_classes(folder)
    (folder / "cat" / "2.png").symlink_to(tmp_path / "elsewhere" / "kept" / "0.png")
    (folder / "linked").symlink_to(tmp_path / "elsewhere" / "kept")
    data = load_real_samples(str(folder))
    assert data.class_names == ("cat", "dog", "linked") and data.train_labels.tolist() == [0, 0, 0, 1, 1, 2, 2]
    (folder / "dog" / "loop").symlink_to(folder)
    assert "loop: a folder inside a class" in refusal(load_real_samples, folder)


# --------------------------------------------------------------------------------------------------------------
# Sizes and colours


@pytest.mark.parametrize("sizes, expected", [
    ([(64, 64)], (64, 64)), ([(8, 31)], (31, 8)), ([(65, 64)], (32, 32)), ([(7, 20)], (32, 32)),
    ([(20, 12), (20, 13)], (32, 32)), ([(20, 12), (200, 120)], (32, 32)), ([(90, 90), (32, 32)], (32, 32)),
])
def test_a_small_size_that_all_have_is_kept_and_others_are_scaled_to_32(folder, sizes, expected):
    for i in range(4):
        save(folder / ("cat" if i % 2 else "dog") / f"{i}.png", size=sizes[i // 2 % len(sizes)])
    assert load_real_samples(str(folder)).train_images.shape == (4, *expected, 3)


def test_grey_pictures_in_colour_files_are_grey(folder):
    save_classes(folder, colour=GREY, size=(200, 120))
    data = load_real_samples(str(folder))
    assert data.train_images.shape == (4, 32, 32, 1) and data.notes[0] == "pictures are read as 32x32 pixels, grey"
    assert data.train_images.flags.c_contiguous and (data.train_images == 90).all()
    assert load_real_samples(str(folder), channels=3).train_images.shape == (4, 32, 32, 3)
    save(folder / "cat" / "1.png", RED)
    assert load_real_samples(str(folder)).train_images.shape == (4, 32, 32, 3)
    assert load_real_samples(str(folder), channels=1).train_images.shape == (4, 32, 32, 1)


# --------------------------------------------------------------------------------------------------------------
# Reading


def test_unreadable_files_are_named_and_the_others_read(folder, capsys):
    save_classes(folder, n=3)
    save(folder / "cat" / "moving.gif", save_all=True, append_images=[Image.new("RGB", (20, 12), BLUE)])
    make(folder, "dog/text.jpg", "dog/new\nline ü.png\33[2J")
    (folder / "cat" / "empty.jpg").write_bytes(b"")
    Image.effect_noise((20, 12), 50).save(folder / "dog" / "cut.png")
    os.truncate(folder / "dog" / "cut.png", 100)
    (folder / "dog" / "dangling.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "dog" / "pipe.png")
    with open(os.fsencode(folder / "cat") + b"/\xff.png", "wb") as file:
        file.write(b"?")
    data = load_real_samples(str(folder))
    assert data.train_labels.tolist() == [0, 0, 0, 1, 1, 1] and (data.train_images[:, 0, 0] == RED).all()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 8 and all(str(folder) in line for line in lines)
    assert any("new\\nline ü.png\\x1b[2J" in line for line in lines) and any("\\udcff.png" in line for line in lines)
    assert data.notes[1] == "8 of 14 files could not be read"


def test_no_permission_is_one_line(folder, monkeypatch):
    def deny(path):
        raise PermissionError(13, "Permission denied", str(path))
    save_classes(folder)
    monkeypatch.setattr(os, "listdir", deny)
    assert refusal(load_real_samples, folder) == f"{folder}: Permission denied"


def test_many_pictures_are_read_in_order_and_dark_ones_said(folder):
    for i in range(60):
        save(folder / ("cat" if i < 30 else "dog") / f"{i:03d}.png", (i, 0, 0))
    assert (data := load_real_samples(str(folder))).train_images[:, 0, 0, 0].tolist() == list(range(60))
    assert data.notes[0].endswith(", dark: the largest value is 59 of 255")


class Terminal(list):
    isatty, write, flush = (lambda self: True), list.append, (lambda self: None)


def test_a_terminal_shows_a_progress_bar(folder, monkeypatch):
    save_classes(folder)
    make(folder, "cat/x.png.txt")
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    load_real_samples(str(folder))
    shown = "".join(terminal)
    assert shown.endswith("\rReading pictures: 5 of 5\n") and "\r\33[K" in shown and shown.count("\n") == 2
