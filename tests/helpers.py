"""What several test files need."""

import csv
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from sgan.data.dataset import MNIST_FINGERPRINT
from sgan.runs.command import InputError
from sgan.runs.files import save_model
from sgan_mnist import SGAN, Settings, main

SMALL = ("--batch-size", "10", "--steps-per-epoch", "2", "--labels", "20")  # a short run


def hand_made(run, test_accuracy, fingerprint=MNIST_FINGERPRINT, **others):
    """What a `sgan.studies.run.Run` would write if it ended with that accuracy; `others` replace entries."""
    final = {"step": run.steps, "seconds": 9, "test_accuracy": test_accuracy, "train_accuracy": 0.5}
    before = {"step": 500, "seconds": 5, "test_accuracy": test_accuracy + 0.1}
    return {**run.result(fingerprint, error=None), "final": final, "history": [before, final],
            "seconds_per_step": 0.5, "seconds": 1, "weights": 7, "unlabelled_images": run.unlabelled or 60000,
            "labelled_images": {"number": run.labels, "sha256": "0"}, "versions": {}, "device": "none", "threads": 1,
            **others}


def small_classifier(*extra, in_shape=(28, 28, 1), n_outputs=10, activation="softmax"):
    """One dense layer, behind other layers if there are any."""
    last = layers.Dense(n_outputs, activation)
    return keras.Sequential([keras.Input(in_shape), *extra, layers.Flatten(), last])


def nearest(means, path, about=None):
    """A classifier that names the class whose mean image, (K, H, W, C) in 0..255, is the nearest; saved at `path`."""
    flat = (np.reshape(means, (len(means), -1)) - 127.5) / 127.5
    model, scale = small_classifier(in_shape=np.shape(means)[1:], n_outputs=len(means)), 20 / flat.shape[1]
    model.layers[-1].set_weights([scale * flat.T, -scale * (flat**2).sum(axis=1) / 2])
    model.compile("adam", "sparse_categorical_crossentropy")
    save_model(model, path, about)
    return path


def batches(seed=0, n=4, shape=(8, 8, 1)):
    """The arguments of `SGAN.update`: labelled images, labels, unlabelled images, and two batches of latent points."""
    random = np.random.default_rng(seed)
    labelled, unlabelled = random.uniform(-1, 1, (2, n, *shape)).astype("float32")
    points = random.normal(size=(3 * n, 100)).astype("float32")
    return [tf.constant(each) for each in (labelled, np.arange(n), unlabelled, points[:n], points[n:])]


def make_sgan(seed=0, shape=(8, 8, 1)):
    """An SGAN on 40 random images, 20 of them labelled; weights, images and noise come from `seed`."""
    keras.utils.set_random_seed(seed)
    images = np.random.default_rng(seed).integers(0, 256, (40, *shape)).astype("uint8")
    return SGAN(Settings(batch_size=8, seed=seed), (images[:20], np.arange(20) % 10), images, n_classes=10)


def values(weights):
    """The weights of a model as NumPy arrays, a list."""
    return [weight.numpy().copy() for weight in weights]  # which the next update would change


def refusal(call, *arguments):
    """The one line with which a function refuses its arguments."""
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read_history(run):
    """The rows of a run's history.csv, dictionaries of numbers."""
    with open(run / "history.csv", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def read_record(run):
    """What a run's run.json holds."""
    return json.loads((run / "run.json").read_text())


def assert_same_variables(run, other):
    """The states of two runs are equal, bit for bit."""
    with np.load(run / "state.npz") as ours, np.load(other / "state.npz") as theirs:
        names = set(ours.files) - {"run"}
        assert names == set(theirs.files) - {"run"} and len(names) > 50
        assert [name for name in names if ours[name].tobytes() != theirs[name].tobytes()] == []


def resume(run, *arguments):
    """Go on with a run in this folder."""
    main(["--out", str(run), "--resume", *arguments])
