"""Reading a folder of pictures whose sub-folders are the classes."""

import os
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from sgan.data import folders as image_folder
from sgan.runs import device
from sgan.runs.command import InputError
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


def refusal(folder, **options):
    """The message with which a folder is refused."""
    with pytest.raises(InputError) as error:
        load_real_samples(str(folder), **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# --------------------------------------------------------------------------------------------------------------
# Classes and sets


def test_sub_folders_are_classes_by_name(folder):
    save_classes(folder, ["b", "10", "9", "Ä b\nc"], n=1)
    save(folder / "b" / "0.png", BLUE)
    data = load_real_samples(str(folder))
    assert data.class_names == ("10", "9", "b", "Ä b\nc") and data.n_classes == 4
    assert data.train_labels.tolist() == [0, 1, 2, 3] and data.train_labels.dtype == np.int64
    assert data.train_images.shape == (4, 12, 20, 3) and data.train_images.dtype == np.uint8
    assert data.train_images[:, 5, 5].tolist() == [[*RED], [*RED], [*BLUE], [*RED]]
    assert data.test_images is None and data.name == str(folder) and len(data.fingerprint()) == 16
    assert data.notes[0] == "pictures are read as 12x20 pixels, RGB"
    assert data.notes[-1] == "the 4 classes are 10, 9, b, Ä b\\nc"


@pytest.mark.parametrize("name", ["unlabelled", "Unlabeled", "UNLABELLED"])
def test_unlabelled_pictures_are_no_class_and_come_last(folder, name):
    save_classes(folder, ["cat", "zebra"])
    save(folder / name / "0.png", BLUE)
    data = load_real_samples(str(folder))
    assert data.class_names == ("cat", "zebra") and data.train_labels.tolist() == [0, 0, 1, 1, -1]
    assert data.train_images[-1, 0, 0].tolist() == [*BLUE]
    assert default_labels(data) == "all"


def test_all_labels_of_a_folder_are_used_by_default(folder):
    save_classes(folder)
    assert default_labels(load_real_samples(str(folder))) == "all"


def test_train_and_test_folders(folder):
    save_classes(folder / "Train", ["cat", "dog", "unlabelled"])
    save(folder / "test" / "dog" / "x.png", BLUE)
    data = load_real_samples(str(folder))
    assert data.class_names == ("cat", "dog") and data.train_labels.tolist() == [0, 0, 1, 1, -1, -1]
    assert data.test_labels.tolist() == [1] and data.test_images[0, 0, 0].tolist() == [*BLUE]
    assert load_real_samples(str(folder / "Train")).test_images is None


def test_train_folder_needs_no_test_set(folder):
    save_classes(folder / "train")
    assert load_real_samples(str(folder)).test_images is None


def test_hidden_files_are_skipped(folder, capsys):
    save_classes(folder)
    for hidden in ".DS_Store", "cat/.DS_Store", ".cache/x", "__MACOSX/cat/0.png", "dog/__MACOSX/x", "Thumbs.db":
        (folder / hidden).parent.mkdir(parents=True, exist_ok=True)
        (folder / hidden).write_bytes(b"?")
    data = load_real_samples(str(folder))
    assert data.class_names == ("cat", "dog") and len(data.train_images) == 4 and capsys.readouterr().err == ""


def test_a_loose_text_is_named_and_a_loose_picture_refused(folder, capsys):
    save_classes(folder)
    (folder / "notes.txt").write_text("?")
    assert load_real_samples(str(folder)).n_classes == 2
    assert capsys.readouterr().err.count("notes.txt") == 1
    save(folder / "loose.png")
    assert "loose.png: a picture outside of the class folders" in refusal(folder)


def test_forms_that_are_refused(folder):
    def change(name, remove=False):
        path = folder / name
        if remove:
            path.unlink()
            path.parent.rmdir()
        else:
            save(path)

    folder.mkdir()
    assert "no class folders" in refusal(folder)
    change("cat/0.png")
    assert "the only class is cat" in refusal(folder)
    change("unlabelled/0.png")
    assert "the only class is cat" in refusal(folder)
    change("dog/0.png")
    change("dog/small/0.png")
    assert "small: a folder inside a class" in refusal(folder)
    change("dog/small/0.png", remove=True)
    change("test/cat/0.png")
    message = refusal(folder)
    assert "has test/ but no train/: if it is the test set" in message and "if it is a class" in message
    change("train/cat/0.png")
    assert "beside train/" in refusal(folder)


@pytest.mark.parametrize("name", ["nan", "-1", "None", "unlabelled ", "unlabelled pictures"])
def test_folders_that_may_hold_pictures_without_a_label_are_refused(folder, name):
    save_classes(folder)
    save(folder / name / "0.png")
    assert f"{folder / name}: may be a class or hold pictures without a label" in refusal(folder)


@pytest.mark.parametrize("name, refused, beside", [
    ("val", "val", "train"), ("unlabelled", "unlabelled", "train"), ("notes.txt", "notes.txt", "train"),
    ("TRAIN", "TRAIN", "train"),  # of two that could be meant
])
def test_what_is_beside_train_is_refused_by_name(folder, name, refused, beside):
    save_classes(folder / "train")
    save_classes(folder / "test")
    if name.endswith(".txt"):
        (folder / name).write_text("no folder")
    else:
        (folder / name).mkdir()
    assert f"{folder / refused}: beside {beside}/" in refusal(folder)


def test_test_sets_that_do_not_fit_are_refused(folder):
    save_classes(folder / "train")
    (folder / "test" / "cat").mkdir(parents=True)
    assert "a test set without a readable picture" in refusal(folder)
    save_classes(folder / "test", ["bird", "cat"])
    assert "bird: a class that" in refusal(folder)
    (folder / "test" / "bird").rename(folder / "test" / "unlabelled")
    assert "unlabelled: the test set needs labels" in refusal(folder)


# --------------------------------------------------------------------------------------------------------------
# Sizes and colours


@pytest.mark.parametrize("size, expected", [((64, 64), (64, 64)), ((8, 31), (31, 8)), ((65, 64), (32, 32)),
                                            ((7, 20), (32, 32))])
def test_a_common_small_size_is_kept(folder, size, expected):
    save_classes(folder, size=size)
    assert load_real_samples(str(folder)).train_images.shape[1:3] == expected


@pytest.mark.parametrize("sizes", [[(20, 12)] * 5 + [(20, 13)], [(20, 12)] * 5 + [(200, 120)], [(32, 32), (90, 90)]])
def test_different_sizes_are_scaled_to_32(folder, sizes):
    for i, size in enumerate(sizes):
        save(folder / ("cat" if i % 2 else "dog") / f"{i}.png", size=size)
    assert load_real_samples(str(folder)).train_images.shape == (len(sizes), 32, 32, 3)


def test_proportions_are_kept_and_the_rest_has_the_colour_of_the_border(folder):
    for name in "cat", "dog":
        save(folder / name / "0.png", BLUE, (60, 20))
        with Image.open(folder / name / "0.png") as picture:
            picture.paste(RED, (15, 5, 45, 15))
            picture.save(folder / name / "0.png")
    image = load_real_samples(str(folder), (24, 30)).train_images[0]
    assert image.shape == (24, 30, 3) and image[12, 15].tolist() == [*RED]
    assert image[0, 0].tolist() == image[5, 15].tolist() == [*BLUE]


def test_the_way_in_which_pictures_are_fitted_does_not_depend_on_the_others(folder):
    for name in "cat", "dog":
        (folder / name).mkdir(parents=True)
        pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name / "0.png")
    asked = load_real_samples(str(folder), (32, 32)).train_images
    save(folder / "dog" / "1.png", size=(50, 50))
    assert np.array_equal(load_real_samples(str(folder)).train_images[:2], asked)


def test_grey_pictures_in_colour_files_are_grey(folder):
    save_classes(folder, colour=GREY)
    data = load_real_samples(str(folder))
    assert data.train_images.shape == (4, 12, 20, 1) and data.notes[0] == "pictures are read as 12x20 pixels, grey"
    assert data.train_images.flags.c_contiguous and (data.train_images == 90).all()
    assert load_real_samples(str(folder), channels=3).train_images.shape == (4, 12, 20, 3)
    save(folder / "cat" / "1.png", RED)
    assert load_real_samples(str(folder)).train_images.shape == (4, 12, 20, 3)
    assert load_real_samples(str(folder), channels=1).train_images.shape == (4, 12, 20, 1)
    assert "1 or 3 channels, not 4" in refusal(folder, channels=4)


def test_one_coloured_pixel_is_colour_even_if_scaling_loses_it(folder):
    save_classes(folder, colour=GREY, size=(200, 200))
    with Image.open(folder / "cat" / "0.png") as picture:
        picture.putpixel((100, 100), (90, 91, 90))
        picture.save(folder / "cat" / "0.png")
    assert load_real_samples(str(folder)).train_images.shape == (4, 32, 32, 3)


def test_pictures_of_all_kinds(folder):
    (folder / "cat").mkdir(parents=True)
    save_classes(folder, ["dog"], colour=GREY)
    Image.new("L", (20, 12), 90).save(folder / "cat" / "grey.png")
    Image.new("1", (20, 12), 1).save(folder / "cat" / "bit.png")
    Image.new("I;16", (20, 12), 90 * 257).save(folder / "cat" / "deep.png")
    Image.new("RGBA", (20, 12), (0, 0, 0, 0)).save(folder / "cat" / "transparent.png")
    Image.new("RGB", (20, 12), GREY).quantize().save(folder / "cat" / "palette.gif")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (12, 20), GREY).save(folder / "cat" / "turned.jpg", exif=turned)
    data = load_real_samples(str(folder))
    assert data.train_images.shape == (8, 12, 20, 1)
    assert data.train_images[:, 0, 0, 0].tolist() == [255, 90, 90, 90, 255, 90, 90, 90]


# --------------------------------------------------------------------------------------------------------------
# Bad input


def test_unreadable_files_are_named_and_the_others_read(folder, capsys):
    save_classes(folder, n=3)
    bad = ["empty.jpg", "text.jpg", "new\nline ü.png", "cut.png", "dangling.png"]
    (folder / "cat" / bad[0]).write_bytes(b"")
    (folder / "dog" / bad[1]).write_text("no picture")
    (folder / "dog" / bad[2]).write_text("no picture \33[2J")
    Image.effect_noise((20, 12), 50).save(folder / "dog" / bad[3])
    os.truncate(folder / "dog" / bad[3], 100)
    (folder / "dog" / bad[4]).symlink_to("nowhere.png")
    os.mkfifo(folder / "dog" / "pipe.png")
    data = load_real_samples(str(folder))
    assert data.train_labels.tolist() == [0, 0, 0, 1, 1, 1] and (data.train_images[:, 0, 0] == RED).all()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6 and all(str(folder) in line for line in lines)
    assert any("new\\nline ü.png" in line for line in lines)
    assert data.notes[0] == "6 of 12 files could not be read"


def test_a_class_without_a_readable_picture_is_refused(folder):
    save_classes(folder, ["ant", "cat"])
    (folder / "bee").mkdir()
    (folder / "bee" / "0.jpg").write_text("no picture")
    save(folder / "unlabelled" / "0.png")
    assert "bee: a class without a readable picture" in refusal(folder)
    (folder / "bee" / "0.jpg").unlink()
    assert refusal(folder) == f"{folder / 'bee'}: a class without a picture"


def test_no_readable_picture_at_all(folder):
    for name in "cat", "dog":
        (folder / name).mkdir(parents=True)
        (folder / name / "0.jpg").write_text("no picture")
    assert "not one of its 2 files is a picture" in refusal(folder)


def test_too_many_pixels_are_not_decoded(folder, capsys):
    save_classes(folder)
    (folder / "cat" / "bomb.png").write_bytes(png_header(20_000, 10_000))
    assert len(load_real_samples(str(folder)).train_images) == 4
    assert "bomb.png: has more than 100 million pixels" in capsys.readouterr().err


def png_header(width, height):
    """The start of a PNG file of this size."""
    chunk = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4) + (99).to_bytes(4) + b"IDAT"


def test_links_are_followed(folder, tmp_path):
    save_classes(tmp_path / "elsewhere", ["kept"], colour=BLUE)
    save_classes(folder)
    (folder / "cat" / "2.png").symlink_to(tmp_path / "elsewhere" / "kept" / "0.png")
    (folder / "linked").symlink_to(tmp_path / "elsewhere" / "kept")
    data = load_real_samples(str(folder))
    assert data.class_names == ("cat", "dog", "linked") and data.train_labels.tolist() == [0, 0, 0, 1, 1, 2, 2]
    (folder / "dog" / "loop").symlink_to(folder)
    assert "loop: a folder inside a class" in refusal(folder)


def test_no_permission_is_one_line(folder, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))
    save_classes(folder)
    monkeypatch.setattr(os, "listdir", refuse)
    assert refusal(folder) == f"{folder}: Permission denied"


def test_animations_are_said(folder):
    save_classes(folder, n=1)
    for i in range(2):
        Image.new("RGB", (20, 12), RED).save(folder / "cat" / f"moving{i}.gif", save_all=True,
                                             append_images=[Image.new("RGB", (20, 12), BLUE)])
    data = load_real_samples(str(folder))
    assert (data.train_images[:3, 0, 0] == RED).all()
    assert data.notes[0].startswith("2 of the files hold several pictures, of which the first is used")


def test_names_that_are_no_unicode(folder, capsys):
    save_classes(folder)
    with open(os.fsencode(folder / "cat") + b"/\xff.png", "wb") as file:
        file.write(b"?")
    assert len(load_real_samples(str(folder)).train_images) == 4
    assert "\\udcff.png" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------------------
# How they are read


def test_many_threads_read_in_order_and_leave_the_warnings_alone(folder, monkeypatch):
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda _: range(8), raising=False)
    for i in range(100):
        save(folder / ("cat" if i < 50 else "dog") / f"{i:03d}.png", (i, 0, 0))
    threads, filters = set(), list(warnings.filters)
    open_picture = image_folder.open_picture
    monkeypatch.setattr(image_folder, "open_picture",
                        lambda path: (threads.add(threading.get_ident()), open_picture(path))[1])
    data = load_real_samples(str(folder))
    assert data.train_images[:, 0, 0, 0].tolist() == list(range(100))
    assert threading.get_ident() not in threads and warnings.filters == filters


class Terminal(list):
    def isatty(self):
        return True

    def write(self, text):
        self.append(text)

    def flush(self):
        pass


def test_a_terminal_shows_a_progress_bar(folder, monkeypatch):
    save_classes(folder)
    (folder / "cat" / "x.png").write_text("?")
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    load_real_samples(str(folder))
    shown = "".join(terminal)
    assert shown.endswith(f"\rReading pictures [{'=' * 30}] 5/5\n") and "\r\33[K" in shown
    assert shown.count("\n") == 2


def test_without_standard_error(folder, monkeypatch):
    save_classes(folder)
    monkeypatch.setattr("sys.stderr", None)
    assert len(load_real_samples(str(folder)).train_images) == 4
