"""The committed classifier, saved again, elsewhere: in a program that knows nothing of this project, on each backend of
Keras; TensorFlow's SavedModel."""

import subprocess
import sys
from importlib.util import find_spec

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, USERS_ENVIRONMENT

from sgan.models.evaluation import scale_images
from sgan.runs.files import save_model

CLASSIFIER = ROOT / "results" / "tuned" / "c_model_4200.h5"
PREDICT = """
import keras, numpy
c_model, images = keras.models.load_model("c_model.h5"), numpy.load("images.npy")
predictions = c_model.predict(images, verbose=0)
numpy.savez("predicted.npz", predictions, c_model.evaluate(images, predictions.argmax(axis=1)))
"""


@pytest.fixture(scope="module")
def c_model():
    return keras.models.load_model(CLASSIFIER)


@pytest.fixture(scope="module")
def images(digits):
    return scale_images(digits.test_images).numpy()


@pytest.fixture(scope="module")
def expected(c_model, images):
    return c_model.predict(images, verbose=0)


def check(predictions, expected):
    np.testing.assert_allclose(predictions, expected, rtol=0, atol=1e-5)
    assert np.array_equal(predictions.argmax(axis=1), expected.argmax(axis=1))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_a_program_that_knows_nothing_of_this_project_predicts_the_same(backend, c_model, images, expected, tmp_path):
    if not find_spec(backend):
        pytest.skip(f"{backend} is not installed")
    save_model(c_model, tmp_path / "c_model.h5")
    np.save(tmp_path / "images.npy", images)
    subprocess.run([sys.executable, "-c", PREDICT], env={**USERS_ENVIRONMENT, "KERAS_BACKEND": backend}, cwd=tmp_path,
                   check=True)
    with np.load(tmp_path / "predicted.npz") as predicted:
        check(predicted["arr_0"], expected)
        assert predicted["arr_1"].shape == (2,) and predicted["arr_1"][1] == 1


def test_a_saved_model_predicts_the_same(c_model, images, expected, tmp_path):
    c_model.export(tmp_path / "c_model", verbose=False)
    saved = tf.saved_model.load(tmp_path / "c_model")
    check(saved.serve(images).numpy(), expected)
