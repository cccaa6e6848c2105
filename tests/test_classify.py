"""sgan/models/classify.py, and evaluate_classifier.py --predict: which pictures are read, and what is said of them."""

import contextlib
import csv
import os

import numpy as np
import pytest
from helpers import nearest, refusal, small_classifier
from PIL import Image

from evaluate_classifier import main
from sgan.data.dataset import Dataset, synthetic_digits
from sgan.models import classify
from sgan.models.classify import find_pictures
from sgan.models.loading import load_classifier
from sgan.models.metadata import describe_classifier
from sgan.runs.command import InputError
from sgan.runs.files import save_model

RECORD = {"id": "5f", "data": {"fingerprint": "not MNIST"}}


def of_shades(path, names, channels=3):
    """A classifier of 8x8 images by their brightness, which knows the names of its classes; its path."""
    shades = np.linspace(0, 255, len(names)).astype("uint8")
    images = np.ones((1, 8, 8, channels), "uint8") * shades.reshape(-1, 1, 1, 1)
    data = Dataset("folder", images, np.arange(len(names)), class_names=names)
    return nearest(images, path, describe_classifier(data, RECORD))


@pytest.fixture(scope="module")
def shades(tmp_path_factory):
    return of_shades(tmp_path_factory.mktemp("shades") / "c_model.h5", ("dark", "grey", "light"))


@pytest.fixture
def folder(tmp_path):
    """Pictures of the three shades, with names that take care."""
    (tmp_path / "my pictures" / "more" / ".hidden").mkdir(parents=True)
    for name, shade in {"a.png": 10, "b.JPG": 120, "more/c": 250, "more/ü \n\x1b[31m.png": 70,
                        "more/.hidden/d.png": 0, ".e.png": 0}.items():
        kind = {"b.JPG": "JPEG", "more/c": "GIF"}.get(name)
        Image.new("L", (30, 20), shade).save(tmp_path / "my pictures" / name, format=kind)
    return tmp_path / "my pictures"


@pytest.fixture
def predict(capsys):
    """predict(model, pictures, options...) is main's exit status, and the lines of its output and of its errors."""
    def run(model, *arguments):
        status = 0
        try:
            main([str(model), "--predict", *map(str, arguments)])
        except SystemExit as error:
            status = error.code
        output = capsys.readouterr()
        return status, output.out.splitlines(), output.err.splitlines()
    return run


def table(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


# --------------------------------------------------------------------------------------------------------------
# Which files


def test_folders_are_searched_for_pictures(shades, folder, predict):
    (folder / "notes.txt").write_text("no picture")
    status, lines, errors = predict(shades, folder)
    assert [line.rsplit(" ", 1)[0] for line in lines] == [
        "Model:", f"{folder}/a.png: dark", f"{folder}/b.JPG: grey", f"{folder}/more/c: light",
        f"{folder}/more/ü \\n\\x1b[31m.png: grey"]
    assert status == 2 and len(errors) == 1 and errors[0].startswith(f"{folder}/notes.txt: cannot be read as a picture")


def test_links_are_followed_as_in_training_and_each_folder_is_read_once(folder, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "all").symlink_to(folder)
    (folder / "more" / "back").symlink_to(folder)
    assert find_pictures([tmp_path / "links"]) == [
        tmp_path / "links" / "all" / name for name in ("a.png", "b.JPG", "more/c", "more/ü \n\x1b[31m.png")]


def test_pictures_that_are_not_found(shades, tmp_path, monkeypatch, predict):
    assert "no picture is in this folder" in refusal(predict, shades, tmp_path)
    Image.new("L", (9, 9), 250).save(tmp_path / "-3.png")
    monkeypatch.chdir(tmp_path)
    assert "-3.png: is a file named like an option; write ./-3.png, or ./*" in refusal(predict, shades, "-3.png")
    assert predict(shades, "./-3.png")[1][1].startswith("-3.png: light")


# --------------------------------------------------------------------------------------------------------------
# What is said of them


def test_a_table_with_the_least_sure_first(shades, folder, tmp_path, predict):
    path = tmp_path / "new" / "classes.csv"
    status, lines, errors = predict(shades, folder, folder / "a.png", "--csv", path)
    assert (status, errors) == (0, []) and lines[1:] == [
        "predicted: dark 2, grey 2, light 1", f"Saved: {path} and .png, 5 of 5 pictures, the least confident first"]
    rows = table(path)
    assert list(rows[0]) == ["path", "class", "probability", "second_class", "second_probability"]
    probabilities = [float(row["probability"]) for row in rows]
    assert probabilities == sorted(probabilities) and 0.3 < probabilities[0] < 0.9 and (
        probabilities[0] + float(rows[0]["second_probability"]) == pytest.approx(1, abs=0.05))
    assert (rows[0]["path"], rows[0]["class"], rows[0]["second_class"]) == (
        f"{folder}/more/ü \n\x1b[31m.png", "grey", "dark")
    assert len({row["path"] for row in rows}) == 4 and sorted(os.listdir(path.parent)) == ["classes.csv", "classes.png"]


def test_the_least_sure_are_drawn_with_their_predictions(shades, folder, tmp_path, predict, monkeypatch):
    drawn = []
    monkeypatch.setattr(classify, "MAX_SHOWN", 2)
    monkeypatch.setattr(classify, "save_titled_images", lambda *arguments: drawn.append(arguments))
    predict(shades, folder, "--csv", tmp_path / "c.csv")
    (((first, second), titles, heading, path),) = drawn
    assert (path, heading) == (tmp_path / "c.png", "predicted: dark 1, grey 2, light 1; the least confident:")
    assert first.shape == (8, 8, 3) and (first == 70).all() and titles[0].startswith("grey ")
    assert titles[0] == f"grey {float(table(tmp_path / 'c.csv')[0]['probability']):.0%}" and (second != 70).any()


def test_a_picture_of_the_user_is_not_replaced(shades, folder, tmp_path, predict):
    (tmp_path / "mine.png").write_bytes(b"mine")
    for pictures, name in (folder, "mine"), (folder / "a.png", "my pictures/a"):  # one of those that are classified
        (tmp_path / "my pictures" / "a.csv").write_text("from an earlier time")
        before = (tmp_path / f"{name}.png").read_bytes()
        with pytest.raises(InputError, match="would also replace .*.png; give another name"):
            predict(shades, pictures, "--csv", tmp_path / f"{name}.csv")
        assert (tmp_path / f"{name}.png").read_bytes() == before


def test_no_cell_of_the_table_is_computed_by_a_spreadsheet_or_no_text(tmp_path, predict):
    path = of_shades(tmp_path / "c_model.h5", ("+dark", "light"), channels=1)
    names = ["=1+2.png", "@a.png", "b.png", os.fsdecode(b"\xff.png")]
    for name in names:
        Image.new("L", (8, 8), 250).save(tmp_path / name)
    with contextlib.chdir(tmp_path):
        assert predict(path, *names, "--csv", "c.csv")[2] == [
            "4 of 4 pictures: name changed in the table, so that spreadsheets do not compute it and all is UTF-8"]
    assert (tmp_path / "c.csv").read_bytes().startswith(b"\xef\xbb\xbfpath,class,")
    assert {(row["path"], row["second_class"]) for row in table(tmp_path / "c.csv")} == {
        (name, "'+dark") for name in ("'=1+2.png", "'@a.png", "b.png", "\\udcff.png")}


def test_more_pictures_than_a_batch_holds(shades, folder, monkeypatch, predict):
    at_once = predict(shades, folder)
    monkeypatch.setattr(classify, "batch_size_for", lambda *_: 3)
    assert predict(shades, folder) == at_once and len(at_once[1]) == 5


def test_broken_files_stop_nothing(shades, folder, tmp_path, predict):
    (folder / "broken.heic").write_text("rubbish")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:40])
    (folder / "empty.png").touch()
    os.mkfifo(folder / "pipe.png")
    broken = [*(folder / name for name in ("broken.heic", "cut.png", "empty.png", "pipe.png")), "none.png"]
    for _ in range(2):  # the second time the table's own picture is there, with which the others are compared
        status, lines, errors = predict(
            shades, folder / "a.png", *broken, folder / "b.JPG", "--csv", tmp_path / "c.csv")
    assert status == 2 and "c.csv and .png, 2 of 7 pictures" in lines[2] and "save it as JPEG or PNG" in errors[0]
    assert [error.split(": ")[0] for error in errors] == [str(path) for path in broken]


def test_tables_that_are_not_written(shades, folder, tmp_path, predict):
    (tmp_path / "old.csv").write_text("of another time")
    status, lines, errors = predict(shades, tmp_path / "old.csv", "--csv", tmp_path / "old.csv")
    assert status == 2 and errors[-1] == f"{tmp_path / 'old.csv'}: not written, as no picture could be read"
    assert (tmp_path / "old.csv").read_text() == "of another time"
    assert "lies in a folder of pictures" in refusal(predict, shades, folder, "--csv", folder / "more" / "a.csv")
    with pytest.raises(OSError, match="old.csv"):  # before any picture is read
        predict(shades, folder / "gone.png", "--csv", tmp_path / "old.csv" / "a.csv")


# --------------------------------------------------------------------------------------------------------------
# Strokes


@pytest.fixture(scope="module")
def drawn():
    return synthetic_digits(1000, 30)


@pytest.fixture
def of_strokes(drawn, tmp_path):
    """of_strokes(change, name="own") is a classifier of the digits that `change` makes of uint8 (N, 28, 28, 1)."""
    def save(change=lambda images: images, name="own"):
        data = drawn._replace(name=name, train_images=change(drawn.train_images))
        means = [data.train_images[data.train_labels == k].mean(axis=0) for k in range(10)]
        return nearest(means, tmp_path / "c_model.h5", describe_classifier(data, RECORD))
    return save


@pytest.fixture
def pages(drawn, tmp_path):
    """Twelve digits photographed: small, off the middle, dark on light and light on dark."""
    (tmp_path / "pages").mkdir()
    for i, (digit, label) in enumerate(zip(drawn.test_images[:12, ..., 0], drawn.test_labels)):
        paper, ink = (210, 60) if i % 2 else (40, 190)
        large = np.asarray(Image.fromarray(digit).resize((56, 56), Image.Resampling.BICUBIC), "float32")
        picture = np.full((120, 160), paper, "float32")
        picture[32:88, 70:126] += (ink - paper) * large / 255
        Image.fromarray(picture.clip(0, 255).astype("uint8")).save(tmp_path / "pages" / f"{label}_{i}.png")
    return tmp_path / "pages"


@pytest.fixture
def right(predict):
    """right(model, pictures, options...) is the share of pictures read as their names begin, and the errors."""
    def share(*arguments):
        status, lines, errors = predict(*arguments)
        read = [os.path.basename(line)[0] == line.rsplit(": ")[-1][0] for line in lines[1:]]
        assert status == 0 and read
        return np.mean(read), errors
    return share


@pytest.mark.parametrize("says", [True, False])
def test_classifiers_of_mnist_cut_digits_out_of_pages(of_strokes, pages, right, says):
    path = of_strokes(name="synthetic")
    if not says:
        save_model(load_classifier(path), path)
    share, errors = right(path, pages)
    assert share >= 0.7  # which such a simple classifier reaches on the digits themselves
    assert ["taken for digits" in error for error in errors] == ([] if says else [True])
    assert right(path, pages, "--whole")[0] <= 0.4


@pytest.mark.parametrize("change", [lambda images: 220 - images // 2, lambda images: images[:, 3:25, 3:25]],
                         ids=["dark", "to the edge"])
def test_any_classifier_of_strokes_cuts_characters_out_of_pages_if_asked(of_strokes, pages, right, change):
    path = of_strokes(change)
    share, errors = right(path, pages, "--cut-out")
    assert share >= 0.7 and not errors
    assert right(path, pages)[0] <= 0.4


@pytest.mark.parametrize("dark, name, more", [(True, "own", []), (False, "synthetic", ["--whole"])])
def test_pictures_the_other_way_round_are_inverted_and_said(of_strokes, drawn, tmp_path, predict, dark, name, more):
    path = of_strokes(lambda images: 255 - images if dark else images, name)
    images = 255 - drawn.test_images if dark else drawn.test_images
    said, files = [], [tmp_path / f"{i}.png" for i in range(30)]
    for opposite, options in (False, more), (True, more), (True, [*more, "--invert"]):
        for file, image in zip(files, images[..., 0]):
            Image.fromarray(255 - image if opposite else image).save(file)
        said.append(predict(path, *files, *options))
    seen = "light on dark" if dark else "dark on light"
    assert said[0] == said[2] == (0, said[1][1], []) and said[1][2] == [
        f"30 of 30 pictures: {seen}, the opposite of those trained on, and inverted; photographs may need --cut-out"]
    probabilities = load_classifier(path).predict((images - 127.5) / 127.5, verbose=0)
    assert said[0][1][1:] == [f"{file}: {row.argmax()} ({row.max():.2%})" for file, row in zip(files, probabilities)]


def test_other_classifiers_cut_nothing_out_and_invert_only_if_told(shades, tmp_path, predict):
    Image.new("L", (30, 20), 250).save(tmp_path / "a.png")
    assert "strokes on a plain ground, as --cut-out needs" in refusal(predict, shades, "a.png", "--cut-out")
    assert "not allowed with" in refusal(predict, shades, "a.png", "--cut-out", "--whole")
    for name, options in ("light", []), ("dark", ["--invert"]):
        status, lines, errors = predict(shades, tmp_path / "a.png", *options)
        assert f": {name} (" in lines[-1] and not errors
    save_model(small_classifier(in_shape=(28, 28, 2)), tmp_path / "two.h5")
    assert "2 channels" in refusal(predict, tmp_path / "two.h5", "a.png")


def test_a_blank_page_is_not_guessed(of_strokes, tmp_path, predict):
    Image.new("L", (300, 200), 220).save(tmp_path / "blank.png")
    Image.new("L", (4, 4), 220).save(tmp_path / "tiny.png")
    path = of_strokes(name="synthetic")
    status, lines, errors = predict(path, tmp_path / "blank.png", tmp_path / "tiny.png")
    assert status == 2 and len(lines) == 1 and errors[0] == f"{tmp_path}/blank.png: no ink found"
    assert errors[1].startswith(f"{tmp_path}/tiny.png: too small")
