"""sgan/models/classify.py, and evaluate_classifier.py --predict: which pictures are read, and what is said of them."""

import contextlib
import csv
import os
import shutil

import numpy as np
import pytest
from helpers import nearest, small_classifier
from PIL import Image

from evaluate_classifier import main
from sgan.data.dataset import Dataset, synthetic_digits
from sgan.models import classify
from sgan.models.classify import find_pictures
from sgan.models.loading import load_classifier
from sgan.models.metadata import describe_classifier
from sgan.runs.command import InputError
from sgan.runs.files import save_model

NAMES = ("dark", "grey", "light")

RECORD = {"id": "5f", "data": {"fingerprint": "not MNIST"}}


@pytest.fixture(scope="module")
def shades(tmp_path_factory):
    """A classifier of 8x8 colour images by their brightness, which knows the names of its three classes."""
    means = np.ones((3, 8, 8, 3)) * np.array([0, 128, 255])[:, None, None, None]
    data = Dataset("folder", np.zeros((3, 8, 8, 3), "uint8"), np.arange(3), class_names=NAMES)
    return nearest(means, tmp_path_factory.mktemp("shades") / "c_model.h5", describe_classifier(data, RECORD))


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


# --------------------------------------------------------------------------------------------------------------
# Which files


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


# --------------------------------------------------------------------------------------------------------------
# What is said of them


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
    path, names = nearest(images, tmp_path / "c_model.h5", about), ("=1+2.png", "@a.png", "b.png", b"\xff.png")
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
    with pytest.raises(OSError, match="file"):
        run(shades, "--predict", folder, "--csv", tmp_path / "file" / "a.csv")
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


# --------------------------------------------------------------------------------------------------------------
# Strokes


@pytest.fixture(scope="module")
def drawn():
    return synthetic_digits(2000, 30)


@pytest.fixture
def of_strokes(drawn, tmp_path):
    """of_strokes(change, name="own") is a classifier of the digits that `change` makes of uint8 (N, 28, 28, 1)."""
    def save(change=lambda images: images, name="own"):
        images, labels = change(drawn.train_images), drawn.train_labels
        data = Dataset(name, images, labels, class_names=tuple("0123456789"))
        means = [images[labels == k].mean(axis=0) for k in range(10)]
        return nearest(means, tmp_path / "c_model.h5", describe_classifier(data, RECORD))
    return save


def page(digit, paper, ink):
    """A digit, uint8 (28, 28), drawn four times as large on a page of 320x240 pixels, off the middle."""
    large = np.asarray(Image.fromarray(digit).resize((112, 112), Image.Resampling.BICUBIC), "float32")
    picture = np.full((240, 320), paper, "float32")
    picture[64:176, 140:252] += (ink - paper) * large / 255
    return Image.fromarray(picture.clip(0, 255).astype("uint8"))


@pytest.fixture
def pages(drawn, tmp_path):
    """Twenty digits photographed: small, off the middle, dark on light and light on dark."""
    (tmp_path / "pages").mkdir()
    for i, (image, label) in enumerate(zip(drawn.test_images[:20], drawn.test_labels)):
        page(image[..., 0], *((210, 60) if i % 2 else (40, 190))).save(tmp_path / "pages" / f"{label}_{i}.png")
    return tmp_path / "pages"


def right(*arguments):
    """The share of the pictures that is read as the first letter of its name, in a table beside the model."""
    path = arguments[0].with_name("c.csv")
    assert run(*arguments, "--csv", path) == 0
    return np.mean([row["class"] == os.path.basename(row["path"])[0] for row in table(path)])


@pytest.mark.parametrize("says", [True, False])
def test_classifiers_of_mnist_cut_digits_out_of_pages(of_strokes, drawn, pages, capsys, says):
    path = of_strokes(name="synthetic")
    if not says:
        save_model(load_classifier(path), path)
    assert right(path, "--predict", pages) >= 0.7  # which such a simple classifier reaches on the digits themselves
    errors = capsys.readouterr().err.splitlines()
    assert ["taken for digits" in error for error in errors] == ([] if says else [True])
    assert right(path, "--predict", pages, "--whole") <= 0.4


@pytest.mark.parametrize("change", [lambda images: images, lambda images: 220 - images // 2,
                                    lambda images: images[:, 3:25, 3:25]], ids=["light", "dark", "to the edge"])
def test_any_classifier_of_strokes_cuts_characters_out_of_pages_if_asked(of_strokes, pages, capsys, change):
    path = of_strokes(change)
    assert right(path, "--predict", pages, "--cut-out") >= 0.7
    assert not capsys.readouterr().err
    assert right(path, "--predict", pages) <= 0.4


@pytest.mark.parametrize("dark, name, more", [(False, "own", []), (True, "own", []), (False, "synthetic", ["--whole"])])
def test_pictures_the_other_way_round_are_inverted_which_is_said(of_strokes, drawn, tmp_path, capsys, dark, name, more):
    path = of_strokes(lambda images: 255 - images if dark else images, name)
    said = []
    for invert, options in (dark, more), (not dark, more), (not dark, [*more, "--invert"]):
        for i, image in enumerate(drawn.test_images[..., 0]):
            Image.fromarray(255 - image if invert else image).save(tmp_path / f"{i}.png")
        assert run(path, "--predict", *(tmp_path / f"{i}.png" for i in range(30)), *options) == 0
        said.append(capsys.readouterr())
    assert said[0].out == said[1].out == said[2].out and not said[0].err and not said[2].err
    seen = "light on dark" if dark else "dark on light"
    assert said[1].err.startswith(f"30 of 30 pictures: {seen}, the opposite of those trained on, and inverted")
    assert said[1].err.count("\n") == 1


def test_what_is_printed_is_the_class_and_its_probability(of_strokes, drawn, tmp_path, capsys):
    path = of_strokes()
    Image.fromarray(drawn.test_images[0, ..., 0]).save(tmp_path / "a.png")
    assert run(path, "--predict", tmp_path / "a.png") == 0
    probabilities = load_classifier(path).predict((drawn.test_images[:1] - 127.5) / 127.5, verbose=0)[0]
    assert capsys.readouterr().out.splitlines()[1] == (
        f"{tmp_path}/a.png: {probabilities.argmax()} ({probabilities.max():.2%})")


def test_other_classifiers_cut_nothing_out_and_invert_only_if_told(shades, tmp_path, capsys):
    Image.new("L", (30, 20), 250).save(tmp_path / "a.png")
    assert "strokes on a plain ground, as --cut-out needs" in refusal(shades, "--predict", "a.png", "--cut-out")
    assert "not allowed with" in refusal(shades, "--predict", "a.png", "--cut-out", "--whole")
    assert run(shades, "--predict", tmp_path / "a.png") == 0 and ": light (" in capsys.readouterr().out
    assert run(shades, "--predict", tmp_path / "a.png", "--invert") == 0 and ": dark (" in capsys.readouterr().out
    save_model(small_classifier(in_shape=(28, 28, 2)), tmp_path / "two.h5")
    assert "2 channels" in refusal(tmp_path / "two.h5", "--predict", "a.png")


def test_a_blank_page_is_not_guessed(of_strokes, tmp_path, capsys):
    path = of_strokes(name="synthetic")
    Image.new("L", (300, 200), 220).save(tmp_path / "blank.png")
    Image.new("L", (4, 4), 220).save(tmp_path / "tiny.png")
    assert run(path, "--predict", tmp_path / "blank.png", tmp_path / "tiny.png") == 2
    output = capsys.readouterr()
    assert output.out == f"Model: {path}\n"
    blank, tiny = output.err.splitlines()
    assert blank == f"{tmp_path}/blank.png: no ink found" and tiny.startswith(f"{tmp_path}/tiny.png: too small")
