"""sgan/data/dataset.py: options, MNIST and its fallback, fingerprints, validation. No network is touched.

What an .npz file may hold is in test_npz.py, what a folder in test_folders.py, copies are in test_copies.py.
"""

import hashlib
import os
import threading
import time
from dataclasses import asdict

import keras
import numpy as np
import pytest
from PIL import Image

from sgan.data import dataset as sgan_data
from sgan.runs.command import InputError
from sgan.runs.options import ArgumentParser, add_options
from sgan.data.dataset import (
    MNIST_FINGERPRINT, DataSettings, Dataset, default_labels, load_real_samples, split_validation, synthetic_digits
)

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


def parsed(*arguments):
    """The settings of a command line."""
    parser = ArgumentParser()
    add_options(parser, DataSettings)
    return DataSettings(**vars(parser.parse_args(arguments)))


# --------------------------------------------------------------------------------------------------------------
# Options


@pytest.mark.parametrize("arguments, name, value", [
    (["--labels", "40"], "labels", 40), (["--labels", "all"], "labels", "all"), ([], "labels", None),
    (["--image-size", "24X30"], "image_size", "24x30"), (["--image-size", "24"], "image_size", "24x24"),
    ([], "image_size", None), (["--grey"], "grey", True), (["--validation-split", "0.2"], "validation_split", 0.2),
    ([], "validation_split", 0.0),
])
def test_options(arguments, name, value):
    assert asdict(parsed(*arguments))[name] == value


@pytest.mark.parametrize("arguments, message", [
    (["--labels", "0"], "at least 1"), (["--labels", "some"], "some: must be a number from 1 on, or all"),
    (["--image-size", "7x20"], "7x20: must be HEIGHTxWIDTH or one number, of pixels, each at least 8"),
    (["--image-size", "20x20x3"], "must be HEIGHTxWIDTH"), (["--image-size", "x"], "must be HEIGHTxWIDTH"),
    (["--validation-split", "1"], "at least 0 and below 1"), (["--validation-split", "nan"], "at least 0 and below 1"),
])
def test_wrong_options_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        parsed(*arguments)


def test_a_folder_is_read_as_the_options_say(tmp_path):
    for name in "cat", "dog":
        (tmp_path / name).mkdir()
        Image.new("RGB", (20, 12), (200, 0, 0)).save(tmp_path / name / "0.png")
    assert DataSettings(data=str(tmp_path)).load().train_images.shape == (2, 12, 20, 3)
    settings = DataSettings(data=str(tmp_path), image_size="8x16", grey=True)
    assert settings.load().train_images.shape == (2, 8, 16, 1)
    with pytest.raises(InputError, match="--image-size and --grey are for folders of pictures; synthetic is none"):
        DataSettings(data="synthetic", grey=True).load()


def test_default_labels(tmp_path, monkeypatch):
    images = np.zeros((4, 8, 8, 1), np.uint8)
    (tmp_path / "mnist").mkdir()
    monkeypatch.chdir(tmp_path)
    assert default_labels(Dataset("mnist", images, np.array([0, 1, 0, 1]))) == 100
    assert default_labels(Dataset("some.npz", images, np.array([0, 1, 0, 1]))) == 100
    assert default_labels(Dataset("some.npz", images, np.array([0, 1, -1, 1]))) == "all"
    assert default_labels(Dataset(str(tmp_path), images, np.array([0, 1, 0, 1]))) == "all"


def test_synthetic_digits_have_class_names():
    assert synthetic_digits(10, 10).class_names == tuple("0123456789") and synthetic_digits(10, 10).notes == ()


# --------------------------------------------------------------------------------------------------------------
# Sources


def test_missing_file_misspelt_source_and_empty_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file: .*none.npz"):
        load_real_samples(str(tmp_path / "none.npz"))
    with pytest.raises(InputError, match="no such file: minst .*auto, mnist, synthetic"):
        load_real_samples("minst")
    with pytest.raises(InputError, match="--data: is empty"):  # not the folder in which it was started
        load_real_samples("")
    with pytest.raises(InputError, match=str(tmp_path)):
        load_real_samples(str(tmp_path))  # an empty folder


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="for Unix")
def test_a_pipe_in_the_cache_is_not_waited_for(cache):
    os.mkfifo(cache)
    with pytest.raises(InputError, match="is not a file but a pipe"):
        load_real_samples("mnist")


def test_a_home_of_nobody_is_a_folder_of_that_name_as_for_keras(monkeypatch):
    monkeypatch.setenv("KERAS_HOME", "~nobody_of_this_name/keras")
    assert sgan_data.cached_mnist().name == "mnist.npz"


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


# --------------------------------------------------------------------------------------------------------------
# Validation


LABELS = np.array([-1, *np.arange(10)] * 30)
LABELLED = Dataset("x.npz", np.random.default_rng(0).integers(0, 256, (330, 8, 8, 1), np.uint8), LABELS,
                   class_names=("cat", *"123456789"))


def test_validation_takes_its_share_of_each_class():
    rows = np.sort(np.concatenate([np.flatnonzero(LABELS == k)[5:15] for k in range(10)]))
    train, validation = split_validation(rows, LABELLED, 0.2, seed=0)
    assert len(train) == 80 and len(validation) == 20
    assert np.array_equal(np.sort(np.concatenate([train, validation])), rows)
    assert (np.diff(train) > 0).all() and (np.diff(validation) > 0).all()
    assert np.bincount(LABELS[validation]).tolist() == [2] * 10
    again, other = (split_validation(rows, LABELLED, 0.2, seed)[1] for seed in (0, 1))
    assert np.array_equal(again, validation) and not np.array_equal(other, validation)
    assert validation[:10].tolist() == [56, 59, 61, 69, 70, 71, 79, 84, 87, 90]


@pytest.mark.parametrize("share, count", [(0.01, 1), (0.99, 4), (0.5, 2)])
def test_at_least_one_and_never_all_of_a_class(share, count):
    rows = np.concatenate([np.flatnonzero(LABELS == k)[:5] for k in (0, 3)])
    assert np.bincount(LABELS[split_validation(np.sort(rows), LABELLED, share, 0)[1]]).tolist() == [count, 0, 0, count]


def test_a_class_of_one_labelled_image_is_refused():
    rows = np.array([1, 2, 13])
    with pytest.raises(InputError, match="--validation-split 0.2: class cat has only one labelled image"):
        split_validation(rows, LABELLED, 0.2, 0)


def test_no_validation_draws_no_random_number(monkeypatch):
    monkeypatch.setattr(np.random, "default_rng", None)
    train, validation = split_validation(np.array([1, 2, 13]), LABELLED, 0.0, 0)
    assert train.tolist() == [1, 2, 13] and len(validation) == 0
