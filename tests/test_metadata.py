"""sgan/models/metadata.py: what a saved classifier says about itself."""

import json

import h5py
import keras
import numpy as np
import pytest
from conftest import ROOT
from helpers import small_classifier

from sgan.models.loading import load_classifier, read_about
from sgan.models.metadata import check_about
from sgan.runs.command import InputError
from sgan.runs.files import save_model

ABOUT = {"classes": ["cat", "dog"], "image_shape": [8, 8, 1], "pixels": [-1, 1], "pictures": "whole", "run": "5f"}


@pytest.fixture
def saved(tmp_path):
    """(path, model) of a classifier that says nothing about itself."""
    model, path = small_classifier(in_shape=(8, 8, 1), n_outputs=2), tmp_path / "c_model.h5"
    save_model(model, path)
    return path, model


def test_a_model_says_what_it_needs_and_still_loads_with_keras_alone(saved):
    path, model = saved
    assert read_about(path, model) is None
    save_model(model, path, ABOUT)
    assert read_about(path, load_classifier(path)) == ABOUT
    image = np.random.default_rng(0).random((1, 8, 8, 1), "float32")
    np.testing.assert_array_equal(keras.models.load_model(path)(image), model(image))


@pytest.mark.parametrize("change, words", [
    ({"classes": ["cat"]}, "classes"), ({"classes": ["cat", "cat"]}, "classes"), ({"classes": "cd"}, "classes"),
    ({"classes": ["cat", 3]}, "classes"), ({"classes": {"cat": 0, "dog": 1}}, "classes"),
    ({"classes": None}, "classes"), ({"classes": ["cat", []]}, "classes"),
    ({"image_shape": [28, 28, 1]}, "image_shape"),
    ({"image_shape": 8}, "image_shape"), ({"pixels": [0, 1]}, "pixels"), ({"pictures": "lambda"}, "pictures"),
    ({"pictures": ["digits"]}, "pictures"), ({"run": 3}, "run"),
])
def test_what_does_not_fit_the_model_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        check_about(json.dumps({**ABOUT, **change}), (8, 8, 1), 2)


@pytest.mark.parametrize("shape", [(8, 8, 3), (8, 10, 1)])
def test_digits_are_cut_out_only_for_square_grey_images(shape):
    about = {**ABOUT, "image_shape": [*shape], "pictures": "digits"}
    with pytest.raises(ValueError, match="pictures"):
        check_about(json.dumps(about), shape, 2)
    assert check_about(json.dumps({**about, "image_shape": [8, 8, 1]}), (8, 8, 1), 2)


@pytest.mark.parametrize("text", ["", "[]", "{", "3", "{}", "[" * 100_000, "9" * 10_000, '{"classes": NaN}', 3,
                                  ["a", "b"], np.zeros(3), np.bytes_(b"\xff")])
def test_what_is_no_description_is_refused(saved, text):
    path, model = saved
    with h5py.File(path, "r+") as file:
        file.attrs["about"] = text
    with pytest.raises(InputError) as caught:
        read_about(path, model)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("file, about", [
    ("results/tuned/c_model_4200.h5", {"classes": [*"0123456789"], "image_shape": [28, 28, 1], "pixels": [-1, 1],
                                       "pictures": "digits", "run": "172507713212"}),
    ("tests/data/keras2_c_model.h5", None),
])
def test_classifiers_of_before_are_known(file, about):
    assert read_about(ROOT / file, load_classifier(ROOT / file)) == about
