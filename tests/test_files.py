"""sgan/runs/files.py and plots.py: files written whole or not at all, what is read of files, a run's pictures."""

import errno
import os
import tempfile

import keras
import numpy as np
import pytest
from PIL import Image

from sgan.runs.command import InputError
from sgan.runs.files import atomic_write, check_writable, expand, first_line, regular_file, save_model, write_csv
from sgan.runs.plots import save_image_grid, save_titled_images, save_training_curves

no_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")


def test_a_file_is_there_when_all_of_it_was_written_and_on_the_disk(tmp_path, monkeypatch):
    path, done, replace = tmp_path / "new" / "a.txt", [], os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: done.append(os.fstat(descriptor).st_size))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("rename"), replace(*paths)))
    with atomic_write(path) as temporary:
        assert temporary.suffix == ".txt" and temporary.parent == path.parent
        temporary.write_text("all of it")
        assert not path.exists()
    assert [each.name for each in path.parent.iterdir()] == ["a.txt"] and path.read_text() == "all of it"
    assert done == [9, "rename"]


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left"),
                                   OSError(errno.EROFS, "Read-only", ".a.partial.txt")])
def test_a_file_that_fails_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch, error):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(type(error)) as caught, atomic_write("a.txt") as temporary:
        temporary.write_text("half")
        raise error
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"
    if isinstance(error, OSError):  # the file that was to be written is named
        assert (caught.value.errno, caught.value.filename) == (error.errno, "a.txt")


def test_a_csv_is_whole(tmp_path):
    path = tmp_path / "a.csv"
    write_csv(path, [{"path": "ü,\n.png", "n": 1}, {"path": "b", "n": 0.5}], encoding="utf-8-sig")
    assert path.read_bytes() == b'\xef\xbb\xbfpath,n\r\n"\xc3\xbc,\n.png",1\r\nb,0.5\r\n'
    with pytest.raises(ValueError, match="not in fieldnames"):
        write_csv(path, [{"path": "c"}, {"other": 1}])
    assert [each.name for each in tmp_path.iterdir()] == ["a.csv"] and b"b,0.5" in path.read_bytes()


def test_a_folder_that_takes_no_file_or_is_a_file_is_named(tmp_path, monkeypatch):
    check_writable(tmp_path / "new")
    assert [*(tmp_path / "new").iterdir()] == []
    (tmp_path / "file").write_text("of the user")
    with pytest.raises(OSError, match="file"):
        check_writable(tmp_path / "file" / "more")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: open(f"{dir}/gone/tmp1a2b"))  # as if it was read-only
    with pytest.raises(OSError) as caught:
        check_writable(tmp_path)
    assert caught.value.filename == str(tmp_path)


def test_a_model_that_does_not_fit_on_the_disk_is_no_file(tmp_path, monkeypatch):
    """HDF5 may crash if it finds that out itself: space is asked for beforehand, for the optimizer's state too."""
    model = keras.Sequential([keras.Input((1000,)), keras.layers.Dense(500)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_weights)
    asked = []

    def write_bytes(path, content):
        asked.append(len(content))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "write_bytes", write_bytes)
    with pytest.raises(OSError, match="No space left"):
        save_model(model, tmp_path / "model.h5")
    assert asked[0] > 3 * 4 * 500_000 and list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    save_model(model, tmp_path / "model.h5")
    assert (tmp_path / "model.h5").stat().st_size < asked[0]


@no_pipes
@pytest.mark.parametrize("put", [os.mkfifo, lambda path: path.symlink_to("other"),
                                 lambda path: path.write_text("half")])
def test_what_has_the_temporary_name_is_neither_followed_nor_waited_for(tmp_path, put):
    (tmp_path / "other").write_text("of somebody")
    put(tmp_path / ".a.partial.txt")
    with atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a.txt").read_text() == "new" and (tmp_path / "other").read_text() == "of somebody"


# Reading


@no_pipes
def test_only_files_that_end_are_read(tmp_path):
    (tmp_path / "file").write_text("x")
    assert regular_file(str(tmp_path / "file")) == tmp_path / "file"
    os.mkfifo(tmp_path / "pipe")
    for path, words in {tmp_path: "is not a file but a folder", tmp_path / "none": "no such file",
                        tmp_path / "pipe": "a pipe or a device", "/dev/zero": "a pipe or a device",
                        tmp_path / "file" / "x": "no such file", "a\0b": "no such file"}.items():
        with pytest.raises(InputError, match=words):
            regular_file(path)


def test_only_the_first_line_of_an_error_is_shown():
    assert first_line(ValueError(" first\nsecond")) == "first" and first_line(KeyError()) == "KeyError"
    assert len(first_line(ValueError("x" * 1000))) == 200


def test_a_tilde_is_the_home_folder_or_a_name(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match="an empty path"):
        expand("")
    assert expand("~/a") == tmp_path / "a" and str(expand("~nobody_of_this_name/a")) == "~nobody_of_this_name/a"


# Pictures of a run


@pytest.mark.parametrize("n_channels", [1, 2, 5])
def test_generated_images_are_ten_rows_of_ten_dark_on_white_by_their_first_channel(tmp_path, n_channels):
    images = np.full((100, 12, 8, n_channels), -1.0)
    images[10, ..., 0] = 1  # the first of the second row
    images[12, ..., 0] = 0
    save_image_grid(images, tmp_path / "grid.png")
    grey = np.asarray(Image.open(tmp_path / "grid.png"))
    assert grey.shape == (1200, 800)  # 120 rows of pixels and 80 columns, ten times
    assert (grey[120:240, :80] == 0).all() and (grey[:120] == 255).all() and (grey[120:240, 80:160] == 255).all()
    assert (grey[120:240, 160:240] == 127).all()


@pytest.mark.parametrize("shape, size", [((8, 100, 3), (1000, 80)), ((28, 28, 3), (840, 840))])
def test_colours_of_generated_images_are_kept_whatever_their_size(tmp_path, shape, size):
    images = np.full((100, *shape), -1.0)
    images[99, ..., 2] = 1
    save_image_grid(images, tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == size and picture.getpixel((0, 0)) == (0, 0, 0)
        assert picture.getpixel((size[0] - 1, size[1] - 1)) == (0, 0, 255)


@pytest.mark.parametrize("name", ["test_accuracy", "validation_accuracy"])
def test_curves_show_the_accuracy_on_held_out_images_if_there_are_any(tmp_path, name):
    row = {"c_loss": 1, "d_loss_real": 0, "d_loss_fake": 1, "g_loss": 1, "c_accuracy": 0.1, "train_accuracy": 0.2}
    pictures = []
    for others in {}, {name: 0.5}:
        save_training_curves([{"step": step, **row, **others} for step in (5, 10)], tmp_path / "curves.png")
        with Image.open(tmp_path / "curves.png") as picture:
            assert picture.size == (1210, 440)
            pictures.append(picture.tobytes())
    assert pictures[0] != pictures[1]


def test_images_are_drawn_under_their_titles(tmp_path, recwarn):
    for n, channels in (1, 1), (9, 3):
        save_titled_images(np.zeros((n, 8, 8, channels), "uint8"), ["$x 漢"] * n, "a heading", tmp_path / f"{n}.png")
    with Image.open(tmp_path / "1.png") as one, Image.open(tmp_path / "9.png") as two_rows:
        assert one.width == two_rows.width and one.height < two_rows.height
        dark = [np.mean(np.asarray(picture.convert("L")) < 30) for picture in (one, two_rows)]
        assert 0.02 < dark[0] < 0.1 and 0.2 < dark[1] < 0.6  # one black image in a row of eight; nine in two rows
    assert not [str(each.message) for each in recwarn]
