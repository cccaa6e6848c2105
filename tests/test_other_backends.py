"""The committed classifier elsewhere: other backends of Keras, TensorFlow Lite, TensorFlow's SavedModel."""

import os
import subprocess
import sys
from importlib.util import find_spec

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT

from sgan.models.evaluation import scale_images

CLASSIFIER = ROOT / "results" / "tuned" / "c_model_4200.h5"
PREDICT = """
import sys, keras, numpy
classifier, images, predictions = sys.argv[1:]
numpy.save(predictions, keras.models.load_model(classifier).predict(numpy.load(images), verbose=0))
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
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_predicts_the_same(backend, images, expected, tmp_path):
    if not find_spec(backend):
        pytest.skip(f"{backend} is not installed")
    np.save(tmp_path / "images.npy", images)
    subprocess.run([sys.executable, "-c", PREDICT, CLASSIFIER, tmp_path / "images.npy", tmp_path / "predictions.npy"],
                   env={**os.environ, "KERAS_BACKEND": backend}, check=True)
    check(np.load(tmp_path / "predictions.npy"), expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_tensorflow_lite_predicts_the_same(c_model, images, expected):
    interpreter = tf.lite.Interpreter(model_content=tf.lite.TFLiteConverter.from_keras_model(c_model).convert())
    (given,), (returned,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], images)
    interpreter.invoke()
    check(interpreter.get_tensor(returned["index"]), expected)


def test_a_saved_model_predicts_the_same(c_model, images, expected, tmp_path):
    c_model.export(tmp_path / "c_model", verbose=False)
    saved = tf.saved_model.load(tmp_path / "c_model")
    check(saved.serve(images).numpy(), expected)
