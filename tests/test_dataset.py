"""sgan/data/dataset.py and mnist.py: options, MNIST and its fallback, fingerprints, validation; without internet.

What an .npz file may hold is in test_npz.py, what a folder in test_folders.py, copies are in test_copies.py.
"""

import hashlib
import os
import socket
from dataclasses import asdict

import keras
import numpy as np
import pytest
from PIL import Image

from sgan.data import mnist
from sgan.data.dataset import (
    MNIST_FINGERPRINT, DataSettings, Dataset, load_real_samples, split_validation, synthetic_digits
)
from sgan.runs.command import InputError
from sgan.runs.options import ArgumentParser, add_options

DEAD_NETWORK = "URL fetch failure on https://example.org: None -- [Errno -3] Temporary failure in name resolution"


def parsed(*arguments):
    """The settings of a command line."""
    parser = ArgumentParser()
    add_options(parser, DataSettings)
    return DataSettings(**vars(parser.parse_args(arguments)))


# --------------------------------------------------------------------------------------------------------------
# Options


@pytest.mark.parametrize("arguments, name, value", [
    (["--labels", "40"], "labels", 40), (["--labels", "all"], "labels", "all"), ([], "labels", None),
    (["--image-size", "24x30"], "image_size", "24x30"), (["--image-size", "24"], "image_size", "24x24"),
    ([], "image_size", None), (["--grey"], "grey", True), (["--validation-split", "0.2"], "validation_split", 0.2),
    ([], "validation_split", 0.0),
])
def test_options(arguments, name, value):
    assert asdict(parsed(*arguments))[name] == value


@pytest.mark.parametrize("arguments, message", [
    (["--labels", "0"], "--labels: 0: must be at least 1"), (["--labels", "some"], "--labels: .*'some'"),
    (["--image-size", "7x20"], "--image-size: 7: must be at least 8"), (["--image-size", "x"], "--image-size: .*'x'"),
    (["--image-size", "20x20x9"], "--image-size: .*'20x20x9'"), (["--validation-split", "1"], "and below 1"),
    (["--validation-split", "-0.1"], "at least 0"), (["--validation-split", "nan"], "at least 0"),
])
def test_wrong_options_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        parsed(*arguments)


def test_a_folder_is_read_as_the_options_say(tmp_path):
    for name in "cat", "dog":
        (tmp_path / name).mkdir()
        Image.new("RGB", (20, 12), (200, 0, 0)).save(tmp_path / name / "0.png")
    assert parsed("--data", str(tmp_path)).load().train_images.shape == (2, 12, 20, 3)
    settings = parsed("--data", str(tmp_path), "--image-size", "8x16", "--grey")
    assert settings.load().train_images.shape == (2, 8, 16, 1)
    with pytest.raises(InputError, match="are for folders of pictures; synthetic is not a folder"):
        DataSettings(data="synthetic", grey=True).load()


@pytest.mark.parametrize("source, words", [("none/x.npz", "no such file: none/x.npz"), ("", "an empty path"),
                                           ("minst", "no such file: minst .*auto, mnist, synthetic")])
def test_missing_files_and_misspelt_sources_are_refused(source, words):
    with pytest.raises(InputError, match=words):
        load_real_samples(source)


# --------------------------------------------------------------------------------------------------------------
# MNIST and its fallback


@pytest.fixture
def content(digits_file, monkeypatch):
    """The bytes of a small file whose hash is the one that is expected of MNIST's."""
    monkeypatch.setattr(mnist, "MNIST_SHA256", hashlib.sha256(digits_file.read_bytes()).hexdigest())
    return digits_file.read_bytes()


@pytest.fixture
def network(tmp_path, monkeypatch):
    """network(content) lets Keras download this into its cache in an empty folder, or fail with an exception. Returns
    where mnist.npz would be, and a list of the names under which it was written."""
    cached, names, timeouts = tmp_path / "datasets" / "mnist.npz", [], []
    cached.parent.mkdir()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(socket, "setdefaulttimeout", timeouts.append)

    def prepare(content):
        def load(name):
            names.append((name, timeouts[-1]))
            print("a progress bar")
            if isinstance(content, Exception):
                cached.with_name(name).write_bytes(b"half a file")
                raise content
            cached.with_name(name).write_bytes(content)
        monkeypatch.setattr(keras.datasets.mnist, "load_data", load)
        return cached, names
    return prepare


def test_mnist_is_downloaded_once_and_never_half(network, content, capsys):
    cached, names = network(content)
    data = load_real_samples("mnist")
    assert data.name == "mnist" and data.n_classes == 10 and data.warning == "" and data.notes == ()
    ((name, timeout),) = names
    assert name != "mnist.npz", "a killed download would leave half a file under the final name"
    assert timeout == mnist.MAX_SILENCE
    assert os.listdir(cached.parent) == ["mnist.npz"] and cached.read_bytes() == content
    printed = capsys.readouterr()
    assert printed.out == f"Downloading MNIST (11 MB) to {cached}\n" and not printed.err
    assert load_real_samples("auto").fingerprint() == data.fingerprint() and len(names) == 1
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error, words", [(Exception(DEAD_NETWORK), "Temporary failure in name resolution"),
                                          (TimeoutError("The read operation timed out"), "timed out"),
                                          (ValueError("Incomplete or corrupted file detected."), "corrupted file")])
def test_without_a_network_mnist_is_refused(network, error, words):
    cached, _ = network(error)
    with pytest.raises(InputError, match=words) as refusal:
        load_real_samples("mnist")
    for part in "--data FILE.npz", str(cached.parent), "KERAS_HOME", "--data synthetic":
        assert part in str(refusal.value) and "\n" not in str(refusal.value)
    assert os.listdir(cached.parent) == []


@pytest.mark.slow
def test_auto_falls_back_to_synthetic_digits_with_a_warning(network, capsys):
    network(Exception(DEAD_NETWORK))
    data = load_real_samples("auto")
    assert data.name == "synthetic" and len(data.train_images) == 12000 and len(data.test_images) == 2000
    assert "NOT MNIST but synthetic" in data.warning and "Temporary failure in name resolution" in data.warning
    assert data.warning in capsys.readouterr().err


def test_a_cached_file_with_another_hash_is_left_alone(network, digits_file):
    cached, names = network(b"MNIST")
    cached.write_bytes(digits_file.read_bytes())
    with pytest.raises(InputError, match=f"left alone: use it with --data {cached}"):
        load_real_samples("mnist")
    assert cached.read_bytes() == digits_file.read_bytes() and not names
    assert load_real_samples(str(cached)).n_classes == 10


def test_where_nothing_can_be_written_the_cache_is_keras_other_one(network, monkeypatch):
    network(Exception(DEAD_NETWORK))
    monkeypatch.setenv("KERAS_HOME", "~nobody_of_this_name/keras")
    with pytest.raises(InputError, match="into /tmp/.keras/datasets "):
        load_real_samples("mnist")


def test_a_pipe_in_the_cache_is_not_waited_for(network):
    os.mkfifo(network(b"MNIST")[0])
    with pytest.raises(InputError, match="is not a file but a pipe"):
        load_real_samples("mnist")


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


@pytest.mark.skipif("MNIST_NPZ" not in os.environ, reason="MNIST_NPZ does not name the real mnist.npz")
def test_mnist_has_its_fingerprint():
    assert load_real_samples(os.environ["MNIST_NPZ"]).fingerprint() == MNIST_FINGERPRINT


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
    assert split_validation(rows, LABELLED, 0.0, seed=0)[0] is rows
    assert validation[:10].tolist() == [56, 59, 61, 69, 70, 71, 79, 84, 87, 90]


@pytest.mark.parametrize("share, count", [(0.01, 1), (0.99, 4), (0.5, 2)])
def test_at_least_one_and_never_all_of_a_class(share, count):
    rows = np.concatenate([np.flatnonzero(LABELS == k)[:5] for k in (0, 3)])
    assert np.bincount(LABELS[split_validation(np.sort(rows), LABELLED, share, 0)[1]]).tolist() == [count, 0, 0, count]
