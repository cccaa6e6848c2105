"""sgan/data.py: MNIST and its fallback, a file of the user's, fingerprints. No network is touched.

The forms of .npz files are in test_npz_file.py, folders in test_image_folder.py, options in test_data_settings.py.
"""

import hashlib
import os
import threading
import time

import keras
import numpy as np
import pytest

from sgan import data as sgan_data
from sgan.command_line import InputError
from sgan.data import MNIST_FINGERPRINT, load_real_samples, synthetic_digits

DEAD_NETWORK = "URL fetch failure on https://example.org: None --\nTemporary failure in name resolution"


def arrays(**changes):
    """The arrays of a good file, 12 images of 12x8 pixels in 3 classes, 6 to test; None takes a key away."""
    rng = np.random.default_rng(0)
    good = {"x_train": rng.integers(0, 256, (12, 12, 8), np.uint8), "y_train": np.arange(12) % 3,
            "x_test": rng.integers(0, 256, (6, 12, 8), np.uint8), "y_test": np.arange(6) % 3}
    return {key: array for key, array in (good | changes).items() if array is not None}


@pytest.fixture
def saved(tmp_path):
    """saved(**changes) writes these arrays to a file and gives its path."""
    def save(**changes):
        np.savez(tmp_path / "images.npz", **arrays(**changes))
        return tmp_path / "images.npz"
    return save


# --------------------------------------------------------------------------------------------------------------
# A user's .npz file


def test_npz_file_gives_its_arrays(saved):
    data = load_real_samples(str(saved()))
    good = arrays()
    assert data.name.endswith("images.npz") and data.warning == "" and data.n_classes == 3
    for images, key in ((data.train_images, "x_train"), (data.test_images, "x_test")):
        assert images.dtype == np.uint8
        np.testing.assert_array_equal(images, good[key][..., None])
    for labels, key in ((data.train_labels, "y_train"), (data.test_labels, "y_test")):
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(labels, good[key])


def test_colour_images_keep_their_channels(saved):
    colour = np.random.default_rng(0).integers(0, 256, (12, 12, 8, 3), np.uint8)
    data = load_real_samples(str(saved(x_train=colour, x_test=colour[:6])))
    assert np.array_equal(data.train_images, colour) and np.array_equal(data.test_images, colour[:6])


def test_file_without_test_set(saved):
    data = load_real_samples(str(saved(x_test=None, y_test=None)))
    assert data.test_images is None and data.test_labels is None
    assert data.n_classes == 3 and len(data.fingerprint()) == 16


def test_unlabelled_images_are_kept_as_minus_one(saved):
    train, test = np.array([-1] * 9 + [0, 1, 2], np.int8), np.array([-1, 0, 1, 1, 0, -1])
    data = load_real_samples(str(saved(y_train=train, y_test=test)))
    np.testing.assert_array_equal(data.train_labels, train)
    np.testing.assert_array_equal(data.test_labels, test)
    assert data.n_classes == 3


def test_labels_of_other_integer_types_and_columns(saved):
    column = (np.arange(12) % 3).astype(np.uint8)[:, None]
    data = load_real_samples(str(saved(y_train=column)))
    np.testing.assert_array_equal(data.train_labels, column[:, 0])
    assert data.train_labels.dtype == np.int64


@pytest.mark.parametrize("changes, message", [
    ({"x_train": None}, "has no x_train"),
    ({"y_train": None}, "has no y_train"),
    ({"x_test": None}, "has y_test but no x_test"),
    ({"y_test": None}, "has x_test but no y_test"),
    ({"x_train": np.zeros((12, 32), np.uint8)}, r"x_train has the shape \(12, 32\)"),
    ({"x_test": np.uint8(3)}, r"x_test has the shape \(\)"),
    ({"x_train": np.zeros((12, 12, 8), np.float32)}, "x_train is float32 with values from 0 to 0"),
    ({"x_test": np.zeros((6, 12, 8), np.int64)}, "x_test is int64 with values from 0 to 0"),
    ({"x_train": np.zeros((0, 12, 8), np.uint8), "y_train": np.zeros(0, int)}, "x_train is empty"),
    ({"x_test": np.zeros((6, 12, 0), np.uint8)}, "x_test is empty"),
    ({"x_test": np.full((6, 12, 12), 200, np.uint8)}, r"x_test are \(12, 12, 1\), those of x_train \(12, 8, 1\)"),
    ({"x_test": np.full((6, 12, 8, 3), 200, np.uint8)}, r"x_test are \(12, 8, 3\), those of x_train \(12, 8, 1\)"),
    ({"y_train": np.arange(11) % 3}, r"y_train has the shape \(11,\).* 12 images"),
    ({"y_test": np.arange(7) % 3}, r"y_test has the shape \(7,\).* 6 images"),
    ({"y_train": np.zeros((12, 3), int)}, r"y_train has the shape \(12, 3\).*one class number"),
    ({"y_train": np.int64(1)}, r"y_train has the shape \(\)"),
    ({"y_train": np.arange(12.0) % 3}, "y_train is float64, not integers"),
    ({"y_test": np.array([True, False] * 3)}, "y_test is bool, not integers"),
    ({"y_train": np.array(list("012") * 4)}, "y_train and y_test must both be numbers"),
    ({"y_train": np.arange(12) - 2}, "y_train holds -2"),
    ({"y_test": np.array([0, 1, 2, 0, 1, -7])}, "y_test holds -7"),
    ({"y_train": np.array([0, 1, -1] * 4).astype(np.uint8)}, "uint8 and holds 255.*signed type"),
    ({"y_train": np.array([0, 1, -1] * 4).astype(np.uint64)}, "uint64 and holds 18446744073709551615"),
    ({"y_train": np.full(12, -1)}, "every label in y_train is -1"),
    ({"y_test": np.full(6, -1)}, "every label in y_test is -1"),
    ({"y_train": np.zeros(12, int), "y_test": np.zeros(6, int)}, "at least 2 classes"),
])
def test_wrong_arrays_are_refused_in_one_line(saved, changes, message):
    with pytest.raises(InputError, match=message) as refusal:
        load_real_samples(str(saved(**changes)))
    assert "images.npz" in str(refusal.value) and "\n" not in str(refusal.value)


def test_missing_file_misspelt_source_and_empty_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file: .*none.npz"):
        load_real_samples(str(tmp_path / "none.npz"))
    with pytest.raises(InputError, match="no such file: minst .*auto, mnist, synthetic"):
        load_real_samples("minst")
    with pytest.raises(InputError, match=str(tmp_path)):
        load_real_samples(str(tmp_path))  # an empty folder


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


# --------------------------------------------------------------------------------------------------------------
# MNIST and its fallback


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Keras' cache in an empty folder, and no network: where mnist.npz would be."""
    def dead(path):
        raise Exception(DEAD_NETWORK)
    (tmp_path / "datasets").mkdir()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.datasets.mnist, "load_data", dead)
    return tmp_path / "datasets" / "mnist.npz"


def trust(monkeypatch, path):
    """Let this file's hash be the one that Keras expects."""
    monkeypatch.setattr(sgan_data, "MNIST_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())


def test_mnist_by_name_never_falls_back(cache, capsys):
    with pytest.raises(InputError) as refusal:
        load_real_samples("mnist")
    message = str(refusal.value)
    assert "Temporary failure in name resolution" in message and "\n" not in message
    for help_ in ("--data FILE.npz", str(cache.parent), "KERAS_HOME", "--data synthetic"):
        assert help_ in message
    printed = capsys.readouterr()
    assert printed.out.startswith("Downloading MNIST") and printed.out.count("\n") == 1 and not printed.err


def test_auto_falls_back_with_a_warning_that_is_kept(cache, capsys):
    data = load_real_samples("auto")
    assert data.name == "synthetic" and data.train_images.shape == (12000, 28, 28, 1)
    assert data.test_images.shape == (2000, 28, 28, 1)
    assert "NOT MNIST but synthetic" in data.warning and "name resolution" in data.warning
    assert data.warning in capsys.readouterr().err


def test_silent_network_is_given_up(cache, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda path: released.wait(30))
    monkeypatch.setattr(sgan_data, "STALL_SECONDS", 0.1)
    monkeypatch.setattr(sgan_data, "DOWNLOAD_SECONDS", 10)
    started = time.monotonic()
    try:
        with pytest.raises(InputError, match="stands still"):
            load_real_samples("mnist")
        assert time.monotonic() - started < 5
    finally:
        released.set()


def test_slow_download_is_waited_for_and_cached_whole(cache, saved, monkeypatch):
    """It takes longer than a silence may last, but it is never silent."""
    content = saved().read_bytes()
    trust(monkeypatch, saved())
    monkeypatch.setattr(sgan_data, "STALL_SECONDS", 0.5)
    names = []

    def drip(path):
        names.append(path)
        with open(cache.with_name(path), "wb", buffering=0) as file:
            for start in range(0, len(content), 100):
                file.write(content[start:start + 100])
                time.sleep(0.1)

    monkeypatch.setattr(keras.datasets.mnist, "load_data", drip)
    assert len(content) > 1000
    data = load_real_samples("mnist")
    assert data.name == "mnist" and data.n_classes == 3
    assert names != ["mnist.npz"], "a killed download would leave half a file under the final name"
    assert os.listdir(cache.parent) == ["mnist.npz"]
    assert load_real_samples("auto").fingerprint() == data.fingerprint() and len(names) == 1


def test_failed_download_leaves_nothing_behind(cache, monkeypatch):
    def torn(path):
        cache.with_name(path).write_bytes(b"half a file")
        raise ValueError("Incomplete or corrupted file detected.")
    monkeypatch.setattr(keras.datasets.mnist, "load_data", torn)
    with pytest.raises(InputError, match="Incomplete or corrupted"):
        load_real_samples("mnist")
    assert os.listdir(cache.parent) == []


def test_cached_mnist_needs_no_network(cache, saved, monkeypatch, capsys):
    cache.write_bytes(saved().read_bytes())
    trust(monkeypatch, cache)
    for source in ("mnist", "auto"):
        data = load_real_samples(source)
        assert data.name == "mnist" and data.warning == ""
        np.testing.assert_array_equal(data.train_labels, arrays()["y_train"])
    assert capsys.readouterr() == ("", "")


def test_cached_file_with_another_hash_survives(cache, saved, monkeypatch):
    """Keras would delete it and download; here it is never even shown to Keras."""
    content = saved().read_bytes()
    cache.write_bytes(content)
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda path: cache.unlink())
    with pytest.raises(InputError, match=f"left alone: use it with --data {cache}"):
        load_real_samples("mnist")
    data = load_real_samples("auto")
    assert data.name == "synthetic" and "left alone" in data.warning
    assert cache.read_bytes() == content
    assert load_real_samples(str(cache)).n_classes == 3


# --------------------------------------------------------------------------------------------------------------
# Fingerprints


def test_fingerprint_knows_one_pixel_and_one_label():
    data = synthetic_digits(20, 10)
    image, label = data.train_images.copy(), data.test_labels.copy()
    image[7, 3, 3] ^= 1
    label[2] = -1
    prints = {data.fingerprint(), data._replace(train_images=image).fingerprint(),
              data._replace(test_labels=label).fingerprint(),
              data._replace(test_images=None, test_labels=None).fingerprint()}
    assert len(prints) == 4
    assert data._replace(name="another", warning="!").fingerprint() == data.fingerprint()
    assert len(data.fingerprint()) == 16 and len(MNIST_FINGERPRINT) == 16


@pytest.mark.skipif("MNIST_NPZ" not in os.environ, reason="MNIST_NPZ does not name the real mnist.npz")
def test_mnist_has_its_fingerprint():
    assert load_real_samples(os.environ["MNIST_NPZ"]).fingerprint() == MNIST_FINGERPRINT


def test_images_are_the_same_however_they_are_stored(saved):
    images = np.random.default_rng(0).integers(0, 256, (12, 12, 8), "uint8")
    for stored in (images, np.asfortranarray(images)):
        read = load_real_samples(str(saved(x_train=stored))).train_images
        assert np.array_equal(read[..., 0], images) and read.flags.c_contiguous
