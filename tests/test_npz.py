"""Reading .npz files in the forms in which people have them; what can be read in two ways is refused with both."""

import os
import zipfile

import numpy as np
import pytest

from sgan.runs.command import InputError
from sgan.data.dataset import default_labels, load_real_samples

RANDOM = np.random.default_rng(0)
TRAIN, TEST, MORE = (RANDOM.integers(0, 256, (n, 12, 8), np.uint8) for n in (12, 6, 5))
COLOUR = RANDOM.integers(0, 256, (12, 12, 8, 3), np.uint8)
LABELS, TEST_LABELS = np.arange(12) % 3, np.arange(6) % 3


def arrays(**changes):
    """The arrays of a good file, 12 images of 12x8 pixels in 3 classes, 6 to test; None takes a key away."""
    good = {"x_train": TRAIN, "y_train": LABELS, "x_test": TEST, "y_test": TEST_LABELS}
    return {key: array for key, array in (good | changes).items() if array is not None}


@pytest.fixture
def read(tmp_path):
    """read(**changes) loads a good file with these changes."""
    def load(**changes):
        np.savez(tmp_path / "images.npz", **arrays(**changes))
        return load_real_samples(str(tmp_path / "images.npz"))
    return load


def same(data, images=TRAIN, labels=LABELS):
    """Whether the training set holds these."""
    return (data.train_images.dtype == np.uint8 and data.train_labels.dtype == np.int64
            and np.array_equal(data.train_images.squeeze(), images.squeeze())
            and np.array_equal(data.train_labels, labels))


def test_plain_file_needs_no_note(read):
    data = read()
    assert data.name.endswith("images.npz") and data.warning == ""
    assert same(data) and data.notes == () and data.class_names == ("0", "1", "2") and data.n_classes == 3
    assert np.array_equal(data.test_images[..., 0], TEST) and np.array_equal(data.test_labels, TEST_LABELS)
    assert default_labels(data) == 100


@pytest.mark.parametrize("size", [(8, 8), (9, 31), (30, 45)])
def test_sizes_from_8_pixels_on(read, size):
    images = RANDOM.integers(0, 256, (12, *size), np.uint8)
    assert read(x_train=images, x_test=images[:6]).train_images.shape == (12, *size, 1)


# --------------------------------------------------------------------------------------------------------------
# Labels


@pytest.mark.parametrize("start", [1, 7, 3_000_000_000])
def test_labels_from_a_larger_start_are_names(read, start):
    data = read(y_train=LABELS + start, y_test=TEST_LABELS + start)
    assert same(data) and data.class_names == (f"{start}", f"{start + 1}", f"{start + 2}")
    assert data.notes == (f"the 3 classes are {start}, {start + 1}, {start + 2}",)


def test_labels_that_do_not_occur_are_no_classes(read):
    data = read(y_train=np.array([0, 5, 9] * 4), y_test=np.array([9, 5, 0, -1, 9, 9]))
    assert same(data) and data.class_names == ("0", "5", "9") and data.test_labels.tolist() == [2, 1, 0, -1, 2, 2]


@pytest.mark.parametrize("kind", [str, bytes])
def test_strings_are_class_names(read, kind):
    names = np.array(["dog", "cat", "übel"])
    encoded = names if kind is str else np.char.encode(names, "utf-8")
    data = read(y_train=encoded[LABELS], y_test=encoded[TEST_LABELS])
    assert same(data, labels=np.array([1, 0, 2] * 4)) and data.class_names == ("cat", "dog", "übel")
    assert data.test_labels.tolist() == [1, 0, 2] * 2 and data.notes == ("the 3 classes are cat, dog, übel",)


@pytest.mark.parametrize("kind", [bool, int, np.float32])
def test_one_hot_labels(read, kind):
    data = read(y_train=np.eye(3, dtype=kind)[LABELS], y_test=np.eye(3, dtype=kind)[TEST_LABELS])
    assert same(data) and np.array_equal(data.test_labels, TEST_LABELS)
    assert data.notes == ("y_train: one-hot, the classes are numbers of columns, from 0 on",
                          "y_test: one-hot, the classes are numbers of columns, from 0 on")


def test_minus_one_is_no_label(read):
    labels = np.array([-1, 3, 4] * 4)
    data = read(y_train=labels, x_test=None, y_test=None)
    assert same(data, labels=np.where(labels < 0, -1, labels - 3)) and data.class_names == ("3", "4")
    assert default_labels(data) == "all"


@pytest.mark.parametrize("changes, message", [
    ({"y_test": np.array([0, 1, 2, 3, 0, 1])}, "y_test holds the label 3, which y_train does not have"),
    ({"y_test": np.array(list("abcabc"))}, r"label a, which y_train does not have \(its classes are 0, 1, 2\)"),
    ({"y_train": np.array([-1, 1] * 6)}, "two classes, save them as 0 and 1; if -1 means no label"),
    ({"y_train": np.array([0, 1, -2] * 4)}, "y_train holds -2"),
    ({"y_train": np.array(["cat", "dog", ""] * 4)}, "the label '', which may be a class or mean 'no label'"),
    ({"y_train": np.array(["0", "1", "-1"] * 4)}, "the label '-1', which may be"),
    ({"y_train": np.array(["cat", "Unlabelled", "b"] * 4)}, "the label 'Unlabelled', which may be"),
    ({"y_train": np.array(["cat", "dog", " "] * 4)}, "the label ' ', which may be"),
    ({"y_train": np.array(["0", "1", " -1 "] * 4)}, "the label ' -1 ', which may be"),
    ({"y_train": np.array(["cat", "dog", "nan"] * 4)}, "the label 'nan', which may be"),  # what pandas makes of none
    ({"y_train": np.array(["cat", "dog", "None"] * 4)}, "the label 'None', which may be"),
    ({"y_train": np.array([b"\xff", b"a"] * 6)}, "not UTF-8"),
    ({"y_train": np.array(["\ud800", "a"] * 6)}, r"the label '\\ud800', which is no text"),
    ({"y_train": np.eye(12, 3)}, r"shape \(12, 3\), but is not one-hot"),
    ({"y_train": np.full((12, 3), 0.5)}, "is not one-hot"),
    ({"y_train": LABELS + 0.5}, "y_train is float64, not integers or strings: save integers, -1 for 'no label'"),
    ({"y_train": np.full(12, "cat")}, "the only class is cat"),
    ({"y_train": np.array(["a", "b"] * 6, object)}, "y_train holds Python objects; .*dtype=str"),
    ({"x_train": None}, "has no x_train"),
    ({"y_train": None}, "has no y_train"),
    ({"x_test": None}, "has y_test but no x_test"),
    ({"y_test": None}, "has x_test but no y_test"),
    ({"x_test": np.uint8(3)}, r"x_test has the shape \(\)"),
    ({"x_train": np.zeros((0, 12, 8), np.uint8), "y_train": np.zeros(0, int)}, "x_train is empty"),
    ({"x_test": np.zeros((6, 12, 0), np.uint8)}, "x_test is empty"),
    ({"x_test": RANDOM.integers(0, 256, (6, 12, 12), np.uint8)},
     r"x_test are \(12, 12, 1\), those of x_train \(12, 8, 1\)"),
    ({"x_test": RANDOM.integers(0, 256, (6, 12, 8, 3), np.uint8)},
     r"x_test are \(12, 8, 3\), those of x_train \(12, 8, 1\)"),
    ({"y_train": np.arange(11) % 3}, r"y_train has the shape \(11,\).* 12 images"),
    ({"y_test": np.arange(7) % 3}, r"y_test has the shape \(7,\).* 6 images"),
    ({"y_train": np.zeros((12, 3), int)}, r"y_train has the shape \(12, 3\).*one class number"),
    ({"y_train": np.int64(1)}, r"y_train has the shape \(\)"),
    ({"y_test": np.array([True, False] * 3)}, "y_test is bool, not integers"),
    ({"y_test": np.array([0, 1, 2, 0, 1, -7])}, "y_test holds -7"),
    ({"y_train": np.array([0, 1, -1] * 4).astype(np.uint8)}, "uint8 and holds 255.*signed type"),
    ({"y_train": np.array([0, 1, -1] * 4).astype(np.uint64)}, "uint64 and holds 18446744073709551615"),
    ({"y_train": np.full(12, -1)}, "every label in y_train is -1"),
    ({"y_test": np.full(6, -1)}, "every label in y_test is -1"),
    ({"y_train": np.zeros(12, int), "y_test": np.zeros(6, int)}, "at least 2 classes"),
])
def test_unclear_or_wrong_arrays_are_refused(read, changes, message):
    with pytest.raises(InputError, match=message) as refusal:
        read(**changes)
    assert "images.npz" in str(refusal.value) and "\n" not in str(refusal.value)


# --------------------------------------------------------------------------------------------------------------
# Images


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_from_0_to_1(read, dtype):
    data = read(x_train=(TRAIN / 255).astype(dtype))
    assert same(data)
    assert data.notes == (f"x_train: {np.dtype(dtype)} pixels from 0 to 1 are taken as 0 to 255",)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.int16])
def test_other_types_from_0_to_255(read, dtype):
    data = read(x_train=TRAIN.astype(dtype))
    assert same(data) and "pixels from 0 to 255" in data.notes[0]


def test_uint16_that_fills_its_range(read):
    data = read(x_train=TRAIN.astype(np.uint16) * 257)
    assert same(data) and data.notes == ("x_train: uint16 pixels from 0 to 65535 are taken as 0 to 255",)


def test_large_arrays_are_converted_in_parts(read):
    images = RANDOM.random((2500, 8, 8), np.float32)
    data = read(x_train=images, y_train=np.arange(2500) % 3, x_test=None, y_test=None)
    assert np.array_equal(data.train_images[..., 0], np.rint(images * 255))


def test_dark_images_are_said(read):
    data = read(x_train=TRAIN // 16)
    assert same(data, TRAIN // 16) and data.notes == ("x_train: dark, the largest pixel is 15 of 255",)


@pytest.mark.parametrize("n_channels", [1, 3, 4])
def test_channels_first(read, n_channels):
    images = RANDOM.integers(0, 256, (12, 32, 30, n_channels), np.uint8)
    data = read(x_train=np.moveaxis(images, 3, 1), x_test=255 - images[:6])
    assert data.train_images.shape == (12, 32, 30, n_channels) and same(data, images)
    assert data.train_images.flags.c_contiguous
    assert data.notes == (f"x_train: the channels come first, the images are 32x30 with {n_channels} of them",)


def test_channels_last_stay(read):
    assert read(x_train=COLOUR, x_test=255 - COLOUR[:6]).notes == ()


def test_unlabelled_images_come_last(read):
    for key in "x_unlabelled", "x_unlabeled":
        data = read(**{key: MORE})
        assert same(data, np.concatenate([TRAIN, MORE]), np.append(LABELS, [-1] * 5))
        assert data.notes == (f"{key}: 5 images without labels",) and default_labels(data) == "all"


def test_unknown_arrays_are_named(read):
    assert read(x_val=MORE, ids=np.arange(3)).notes == ("images.npz: not used: ids, x_val",)
    assert read(**{"a\nb\x1b[2J": MORE}).notes == (r"images.npz: not used: a\nb\x1b[2J",)
    with pytest.raises(InputError) as refusal:
        read(y_train=None, **{"\x1b[2J": MORE})
    assert "\x1b" not in str(refusal.value)


@pytest.mark.parametrize("images, message", [
    (TRAIN % 2, "values from 0 to 1, only 0 and 1: .*lost their greys; save the floats. If .*black and white"),
    (TRAIN % 2 == 1, "x_train is bool .* only 0 and 1"),
    (TRAIN * 0, "values from 0 to 0: all pixels are equal"),
    (TRAIN * 0.0, "values from 0 to 0: all pixels are equal"),
    (TRAIN * 0 + 200, "values from 200 to 200: all pixels are equal"),
    (TRAIN / 127.5 - 1, r"float64 with values from -1 to 1: if -1 is black .*\(x \+ 1\) / 2; if a mean was subtracted"),
    (TRAIN / 50 - 2.5, "values from -2.5 to 2.6: neither"),
    (TRAIN / 16, "values from 0 to 15.938: neither from 0 to 1 nor from 0 to 255"),
    (TRAIN * 2.0, "values from 0 to 510: neither"),
    (TRAIN.astype(np.uint16) * 16, "uint16 with values from 0 to 4080: .*12 bits, or dark ones of 16"),
    (TRAIN.astype(np.uint16), "uint16 with values from 0 to 255: .*8 bits, or dark ones of 16"),
    (np.where(TRAIN > 200, np.nan, 0.5), "every pixel must be a number"),
    (TRAIN * 1j, "complex128, not pixels"),
    (TRAIN.astype(str), "not pixels"),
    (np.zeros((12, 7, 30), np.uint8), "7x30, but height and width must be at least 8"),
    (np.zeros((12, 3, 7, 30), np.uint8), "7x30, but height and width must be at least 8"),
    (np.zeros((12, 3, 32, 3), np.uint8), "may be 3x32 with 3 channels or 32x3 with 3 channels"),
    (np.zeros((12, 32, 32, 32), np.uint8), "may be 32x32 with 32 channels or 32x32 with 32"),
    (np.zeros((12, 784), np.uint8), r"shape \(12, 784\), not \(N, height, width\)"),
])
def test_unclear_images_are_refused(read, images, message):
    with pytest.raises(InputError, match=message) as refusal:
        read(x_train=images)
    assert "x_train" in str(refusal.value) and "\n" not in str(refusal.value)


def test_each_set_is_checked(read):
    for key in "x_test", "x_unlabelled":
        with pytest.raises(InputError, match=f"{key} is uint8 .* only 0 and 1"):
            read(**{key: TEST % 2})
        with pytest.raises(InputError, match=rf"{key} are \(8, 12, 1\), those of x_train \(12, 8, 1\)"):
            read(**{key: TEST.transpose(0, 2, 1)})


# --------------------------------------------------------------------------------------------------------------
# Files that ask for too much


@pytest.fixture
def nothing_is_unpacked(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("unpacked")
    monkeypatch.setattr(np.lib.format, "read_array", refuse)


def test_few_of_many_unknown_arrays_are_named(read):
    (note,) = read(**{f"a{i:03d}": np.zeros(1) for i in range(500)}).notes
    assert "a019, ..." in note and "a020" not in note


def test_more_labels_than_images_are_not_unpacked(read, nothing_is_unpacked):
    with pytest.raises(InputError, match=r"y_train has the shape \(100000,\).* 12 images"):
        read(y_train=np.zeros(100000, np.int64))


def test_a_header_that_promises_too_much(tmp_path, nothing_is_unpacked):
    path = tmp_path / "images.npz"
    np.savez(path, x_train=TRAIN, y_train=LABELS)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["x_train.npy"] = members["x_train.npy"].replace(b"(12, 12, 8), }      ", b"(12, 99999, 99999), }")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match="not a readable .npz file of plain arrays: x_train is cut off"):
        load_real_samples(str(path))


def test_arrays_of_the_format_for_named_fields_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        for name, array in arrays().items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array, version=(3, 0))
    with pytest.raises(InputError, match="x_train is of the .npy format 3.0, which .* save a plain array"):
        load_real_samples(str(tmp_path / "x.npz"))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a pipe or a device"):
        load_real_samples(str(tmp_path / "pipe"))


def test_file_without_test_set(read):
    data = read(x_test=None, y_test=None)
    assert data.test_images is None and data.test_labels is None
    assert data.n_classes == 3 and len(data.fingerprint()) == 16


def write_truncated(path):
    np.savez(path, **arrays())
    path.write_bytes(path.read_bytes()[:-40])


def write_damaged(path):
    np.savez(path, **arrays())
    content = bytearray(path.read_bytes())
    position = content.index(arrays()["x_train"].tobytes())
    content[position] ^= 255
    path.write_bytes(content)


def write_pickled(path):
    np.savez(path, **arrays(x_train=np.array([{"an": "object"}] * 12, dtype=object)))


def write_npy(path):
    with open(path, "wb") as file:
        np.save(file, arrays()["x_train"])


@pytest.mark.parametrize("write", [
    write_truncated, write_damaged, write_pickled, write_npy,
    lambda path: path.write_bytes(b""), lambda path: path.write_text("<html>not found</html>"),
])
def test_unreadable_file_is_refused_in_one_line(tmp_path, write):
    path = tmp_path / "images.npz"
    write(path)
    with pytest.raises(InputError, match="not a readable .npz file of plain arrays: .+") as refusal:
        load_real_samples(str(path))
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)
