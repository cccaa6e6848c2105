"""sgan/models/metadata.py: what a saved classifier says about itself."""

import json

import h5py
import keras
import numpy as np
import pytest
from conftest import ROOT
from keras import layers

from sgan.models.metadata import check_about
from sgan.runs.command import InputError
from sgan.runs.files import save_model
from sgan.models.loading import load_classifier, read_about

ABOUT = {"classes": ["cat", "dog"], "image_shape": [8, 8, 1], "pixels": [-1, 1], "pictures": "whole", "run": "5f"}


def classifier():
    return keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(2, "softmax")])


def test_a_model_says_what_it_needs_and_still_loads_with_keras_alone(tmp_path):
    model, path = classifier(), tmp_path / "c_model.h5"
    save_model(model, path, ABOUT)
    assert read_about(path, load_classifier(path)) == ABOUT
    image = np.random.default_rng(0).random((1, 8, 8, 1), "float32")
    np.testing.assert_array_equal(keras.models.load_model(path)(image), model(image))
    save_model(model, path)
    assert read_about(path, model) is None


@pytest.mark.parametrize("change, words", [
    ({"classes": ["cat"]}, "classes"), ({"classes": ["cat", "cat"]}, "classes"), ({"classes": "cd"}, "classes"),
    ({"classes": ["cat", 3]}, "classes"), ({"classes": ["cat", ""]}, "classes"), ({"classes": None}, "classes"),
    ({"classes": ["cat", "\ud800"]}, "no text that could be written"),
    ({"image_shape": [28, 28, 1]}, "image_shape"), ({"image_shape": 8}, "image_shape"),
    ({"pixels": [0, 1]}, "pixels"), ({"pictures": "lambda"}, "pictures"), ({"pictures": ["digits"]}, "pictures"),
    ({"run": 3}, "run"),
])
def test_what_does_not_fit_the_model_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        check_about(json.dumps({**ABOUT, **change}), (8, 8, 1), 2)


@pytest.mark.parametrize("text", ["", "[]", "{", "3", "[" * 100_000, "9" * 10_000, '{"classes": NaN}'])
def test_what_is_no_description_is_refused(tmp_path, text):
    path, model = tmp_path / "c_model.h5", classifier()
    save_model(model, path)
    with h5py.File(path, "r+") as file:
        file.attrs["about"] = text
    with pytest.raises(InputError, match="about itself is damaged"):
        read_about(path, model)


def test_attributes_that_are_not_one_string(tmp_path):
    path, model = tmp_path / "c_model.h5", classifier()
    save_model(model, path)
    for value in (3, ["a", "b"], np.zeros(3), " " * 5_000_000):
        with h5py.File(path, "r+") as file:
            file.attrs["about"] = value
        with pytest.raises(InputError, match="its about is"):
            read_about(path, model)


def test_the_committed_classifier_is_known_to_be_of_digits():
    path = ROOT / "results" / "tuned" / "c_model_4200.h5"
    about = read_about(path, load_classifier(path))
    assert about["classes"] == list("0123456789") and about["pictures"] == "digits"
    assert about["run"] in (ROOT / "results" / "runs" / "tuned-sgan-mnist.jsonl").read_text()
