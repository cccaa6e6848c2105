"""Reading .npz files: the forms in which people have them; what can be read in two ways is refused."""

import os
import zipfile

import numpy as np
import pytest
from helpers import refusal

from sgan.data.dataset import default_labels, load_real_samples

RANDOM = np.random.default_rng(0)
TRAIN, TEST, MORE = (RANDOM.integers(0, 256, (n, 12, 8), np.uint8) for n in (12, 6, 5))
COLOUR = RANDOM.integers(0, 256, (12, 12, 8, 3), np.uint8)
LABELS, TEST_LABELS = np.arange(12) % 3, np.arange(6) % 3
NAMES = np.array(["dog", "cat", "übel"])


def save(path, **changes):
    """Write a good file, 12 images of 12x8 pixels in 3 classes, 6 to test, so changed; None takes a key away."""
    good = {"x_train": TRAIN, "y_train": LABELS, "x_test": TEST, "y_test": TEST_LABELS}
    np.savez(path, **{key: array for key, array in (good | changes).items() if array is not None})
    return path


@pytest.fixture
def read(tmp_path):
    """read(**changes) loads such a file."""
    return lambda **changes: load_real_samples(str(save(tmp_path / "images.npz", **changes)))


@pytest.fixture
def refused(tmp_path):
    """refused(**changes): the one line with which it is refused."""
    return lambda **changes: refusal(load_real_samples, save(tmp_path / "images.npz", **changes))


@pytest.mark.parametrize("changes, images, labels, names, notes", [
    ({}, TRAIN, LABELS, ("0", "1", "2"), ()),
    ({"x_train": np.asfortranarray(TRAIN)}, TRAIN, LABELS, ("0", "1", "2"), ()),
    ({"x_train": COLOUR, "x_test": 255 - COLOUR[:6]}, COLOUR, LABELS, ("0", "1", "2"), ()),
    ({"y_train": LABELS + 7, "y_test": TEST_LABELS + 7}, TRAIN, LABELS, ("7", "8", "9"), ()),
    ({"y_train": LABELS[:, None], "y_test": TEST_LABELS[:, None]}, TRAIN, LABELS, ("0", "1", "2"), ()),
    ({"y_train": NAMES[LABELS], "y_test": NAMES[TEST_LABELS]}, TRAIN, [1, 0, 2] * 4, ("cat", "dog", "übel"), ()),
    ({"y_train": np.array([0, 5, 9] * 4), "y_test": np.array([0, 5, 9, 0, -1, 9])}, TRAIN, LABELS, ("0", "5", "9"),
     ()),
    ({"y_train": np.array([-1, 3, 4] * 4), "x_test": None, "y_test": None}, TRAIN, [-1, 0, 1] * 4, ("3", "4"), ()),
    ({"x_unlabelled": MORE}, [*TRAIN, *MORE], [*LABELS, *[-1] * 5], ("0", "1", "2"), ()),
    ({"x_unlabeled": MORE}, [*TRAIN, *MORE], [*LABELS, *[-1] * 5], ("0", "1", "2"), ()),
    ({"x_val": MORE, "a\n\x1b[2J": MORE}, TRAIN, LABELS, ("0", "1", "2"), (r"not used: a\n\x1b[2J, x_val",)),
    ({"x_train": TRAIN // 16}, TRAIN // 16, LABELS, ("0", "1", "2"), ("dark, the largest pixel is 15 of 255",)),
])
def test_what_is_read(read, changes, images, labels, names, notes):
    data = read(**changes)
    assert data.train_images.dtype == np.uint8 and data.train_images.flags.c_contiguous
    assert np.array_equal(data.train_images.squeeze(), images) and data.train_images.ndim == 4
    assert data.train_labels.dtype == np.int64 and np.array_equal(data.train_labels, labels)
    assert data.class_names == names and data.n_classes == len(names)
    notes += (f"the {len(names)} classes are {', '.join(names)}",)
    assert len(data.notes) == len(notes) and all(words in note for words, note in zip(notes, data.notes))
    assert default_labels(data) == ("all" if -1 in labels else 100)


def test_the_test_set(read):
    data = read(y_test=np.array([2, 0, -1, 1, 1, 1]))
    assert np.array_equal(data.test_images[..., 0], TEST) and data.test_labels.tolist() == [2, 0, -1, 1, 1, 1]
    data = read(x_test=None, y_test=None)
    assert data.test_images is None and data.test_labels is None and len(data.fingerprint()) == 16


@pytest.mark.parametrize("kind", [bool, int, np.float32])
def test_one_hot_labels(read, kind):
    data = read(y_train=np.eye(3, dtype=kind)[LABELS], y_test=np.eye(3, dtype=kind)[TEST_LABELS])
    assert np.array_equal(data.train_labels, LABELS) and np.array_equal(data.test_labels, TEST_LABELS)
    assert data.notes[:2] == ("y_train: one-hot, the classes are numbers of columns, from 0 on",
                              "y_test: one-hot, the classes are numbers of columns, from 0 on")


@pytest.mark.parametrize("images, scale", [
    ((TRAIN / 255).astype(np.float16), 1), ((TRAIN / 255).astype(np.float32), 1), (TRAIN / 255, 1),
    (TRAIN.astype(np.float32), 255), (TRAIN.astype(np.int64), 255), (TRAIN.astype(np.int16), 255),
])
def test_other_types_of_pixels(read, images, scale):
    data = read(x_train=images)
    assert np.array_equal(data.train_images[..., 0], TRAIN)
    assert data.notes[0] == f"x_train: {images.dtype} pixels from 0 to {scale} are taken as 0 to 255"


# --------------------------------------------------------------------------------------------------------------
# Refusals


@pytest.mark.parametrize("images, words", [
    (TRAIN % 2, "uint8 with values from 0 to 1: save"),
    (TRAIN % 2 == 1, "bool with values from 0 to 1: .* x_train.astype(float)"),
    (TRAIN * 0, "from 0 to 0"), (TRAIN * 0.0, "from 0 to 0"), (TRAIN * 0 + 200, "from 200 to 200"),
    (TRAIN / 127.5 - 1, "float64 with values from -1 to 1: save pixels as uint8 from 0 to 255, or floats from 0 to 1"),
    (TRAIN / 16, "from 0 to 15.938"), (TRAIN * 2.0, "from 0 to 510"), (TRAIN.astype(np.int32) - 9, "from -9 to 246"),
    (TRAIN.astype(np.uint16) * 16, "uint16 with values from 0 to 4080"), (TRAIN.astype(">u2"), ">u2"),
    (TRAIN.astype(np.uint16), "uint16"),
    (np.where(TRAIN > 200, np.nan, 0.5), "nan"), (TRAIN * 1j, "complex128"), (TRAIN.astype(str), "x_train is <U3"),
    (np.moveaxis(COLOUR, 3, 1), r"shape (12, 3, 12, 8), not (N, height, width) or .* np.moveaxis(x_train, 1, -1)"),
    (TRAIN[:, None], "shape (12, 1, 12, 8)"), (np.zeros((12, 7, 30), np.uint8), "at least 8 pixels"),
    (np.zeros((12, 32, 32, 32), np.uint8), "shape (12, 32, 32, 32)"), (np.uint8(3), "shape ()"),
    (TRAIN.reshape(12, -1), "shape (12, 96)"), (TRAIN[:0], "(0, 12, 8)"), (COLOUR[..., :0], "shape (12, 12, 8, 0)"),
])
def test_images_of_unknown_scale_or_order_are_refused(refused, images, words):
    assert all(part in refused(x_train=images) for part in ("images.npz: x_train", *words.split(" .* ")))


@pytest.mark.parametrize("key", ["x_test", "x_unlabelled"])
def test_every_set_of_images_is_checked(refused, key):
    assert f"{key} is uint8 with values from 0 to 1" in refused(**{key: TEST % 2})
    assert f"'{key}': (8, 12, 1)" in refused(**{key: TEST.transpose(0, 2, 1)})


@pytest.mark.parametrize("changes, words", [
    ({"y_test": np.array([0, 1, 2, 3, 0, 1])}, "y_test: has the classes 0, 1, 2, 3, but those to train on are 0, 1, 2"),
    ({"y_test": np.array(list("abcabc"))}, "y_test: has the classes a, b, c, but those to train on are 0, 1, 2"),
    ({"y_test": np.full(6, -1)}, "y_test: no image has a label"),
    ({"y_train": np.full(12, -1)}, "y_train: no image has a label; each class needs some"),
    ({"y_train": np.array([-1, 1] * 6), "x_test": None, "y_test": None}, "the only class is 1; a classifier needs"),
    ({"y_train": np.full(12, "cat"), "x_test": None, "y_test": None}, "the only class is cat"),
    ({"y_train": np.array([0, 1, -2] * 4)}, "y_train holds -2, which may be a class or mean 'no label': save"),
    ({"y_train": np.array(["cat", "dog", ""] * 4)}, "y_train holds '', which may"),
    ({"y_train": np.array(["0", "1", " -1 "] * 4)}, "y_train holds ' -1 ', which may"),
    ({"y_train": np.array(["cat", "Unlabelled", "b"] * 4)}, "y_train holds 'Unlabelled', which may"),
    ({"y_train": np.array(["cat", "dog", "nan"] * 4)}, "y_train holds 'nan', which may"),  # what pandas makes of none
    ({"y_test": np.array(["0", "1", "None"] * 2)}, "y_test holds 'None', which may"),
    ({"y_train": np.array([0, 1, -1] * 4).astype(np.uint8)}, "y_train holds 255, which may .* in a signed type"),
    ({"y_train": np.array([0, 1, -1] * 4).astype(np.uint64)}, "y_train holds 18446744073709551615"),
    ({"y_train": np.array([b"cat", b"dog"] * 6)}, "y_train is |S3 of the shape (12,), but each of the 12 images needs"),
    ({"y_train": LABELS + 0.5}, "y_train is float64"), ({"y_test": np.array([True, False] * 3)}, "y_test is bool"),
    ({"y_train": np.eye(12, 3)}, "y_train is float64 of the shape (12, 3), but each"),
    ({"y_train": np.full((12, 3), 0.5)}, "a string or a one-hot row"), ({"y_train": np.ones((12, 3), int)}, "(12, 3)"),
    ({"y_train": np.zeros((12, 0))}, "(12, 0)"),
    ({"y_train": np.arange(11) % 3}, "y_train is int64 of the shape (11,), but each of the 12 images needs a whole"),
    ({"y_test": np.arange(7) % 3}, "y_test is int64 of the shape (7,), but each of the 6 images"),
    ({"y_train": np.int64(1)}, "y_train is int64 of the shape ()"),
    ({"x_train": None}, "has no x_train, only y_train, x_test, y_test; x_train and y_train are needed"),
    ({"y_train": None, "\x1b[2J": MORE}, r"has no y_train, only x_train, x_test, y_test, \x1b[2J; x_train"),
    ({"x_test": None}, "has no x_test"), ({"y_test": None}, "has no y_test, .* x_test and y_test go together"),
])
def test_labels_that_do_not_fit_or_may_mean_none_are_refused(refused, changes, words):
    assert all(part in refused(**changes) for part in ("images.npz: ", *words.split(" .* ")))


def damage(path):
    """Change a pixel, so that the archive's checksum is wrong."""
    path.write_bytes(save(path).read_bytes().replace(TRAIN.tobytes(), TEST.tobytes() * 2))


def pack(path):
    """An archive of pictures."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pets/cat/1.png", b"?")
        archive.writestr("x_train", b"no array")


@pytest.mark.parametrize("write, words", [
    (lambda path: path.write_bytes(save(path).read_bytes()[:-40]), "not a readable .npz file of plain arrays"),
    (damage, "not a readable .npz file of plain arrays (Bad CRC"),
    (lambda path: save(path, x_train=np.array([{"an": "object"}] * 12)), "not a readable .npz file of plain arrays"),
    (lambda path: save(path, y_train=np.array(["a", "b"] * 6, object)), "Object arrays cannot be loaded"),
    (lambda path: np.save(path.open("wb"), TRAIN), "not a readable .npz file of plain arrays"),
    (lambda path: path.write_bytes(b""), "not a readable .npz file of plain arrays"),
    (lambda path: path.write_text("<html>not found</html>"), "unpack an archive of pictures"),
    (pack, "has no y_train, only x_train, pets/cat/1.png; .* unpack an archive of pictures"),
    (os.mkfifo, "a pipe or a device"),
])
def test_files_that_hold_no_arrays_are_refused_in_a_line(tmp_path, write, words):
    write(tmp_path / "images.npz")
    message = refusal(load_real_samples, tmp_path / "images.npz")
    assert all(part in message for part in (str(tmp_path), *words.split(" .* ")))
