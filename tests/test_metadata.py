"""sgan/models/metadata.py: what a saved classifier says about itself."""

import h5py
import keras
import numpy as np
import pytest
from conftest import ROOT
from helpers import refusal, small_classifier

from sgan.models.loading import load_classifier, read_about
from sgan.models.metadata import check_about, describe_strokes
from sgan.runs.files import save_model

ABOUT = {"classes": ["cat", "dog"], "image_shape": [8, 8, 1], "pixels": [-1, 1], "pictures": "whole", "run": "5f"}
STROKES = {"ground": 0, "ink": 255, "extent": 0.7}


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
    ({"classes": None}, "classes"), ({"classes": ["cat", []]}, "classes"), ({"pixels": [0, 1]}, "pixels"),
    ({"image_shape": [28, 28, 1]}, "image_shape"), ({"image_shape": 8}, "image_shape"), ({"run": 3}, "run"),
    ({"pictures": "lambda"}, "pictures"), ({"pictures": ["digits"]}, "pictures"), ({"strokes": 3}, None),
    ({"strokes": {}}, None), *(({"strokes": {**STROKES, **each}}, None) for each in (
        {"ink": -1}, {"ground": 256}, {"ground": "0"}, {"extent": 0}, {"extent": None}, {"extent": float("nan")})),
])
def test_what_does_not_fit_the_model_is_refused(change, words):
    with pytest.raises((ValueError, TypeError, KeyError), match=words):
        check_about({**ABOUT, **change}, (8, 8, 1), 2)


@pytest.mark.parametrize("shape, change", [((8, 8, 3), {"pictures": "digits"}), ((8, 10, 1), {"pictures": "digits"}),
                                           ((8, 8, 3), {"strokes": STROKES})])
def test_what_only_grey_or_square_images_have(shape, change):
    with pytest.raises(ValueError, match="does not fit"):
        check_about({**ABOUT, **change, "image_shape": [*shape]}, shape, 2)
    assert check_about({**ABOUT, **change}, (8, 8, 1), 2) == {**ABOUT, **change}


def drawings(length, ground, ink):
    """20 images of 16x16 pixels with a line, `length` pixels long."""
    images = np.full((20, 16, 16, 1), ground, "uint8")
    images[:, 2:2 + length, 7] = ink
    return images


@pytest.mark.parametrize("images, strokes", [
    (drawings(8, 0, 255), {"ground": 0, "ink": 255, "extent": 0.5}),
    (drawings(12, 200, 30), {"ground": 200, "ink": 30, "extent": 0.75}),
    (drawings(12, 90, 30), {"ground": 90, "ink": 30, "extent": 0.75}),
    (np.concatenate([*[drawings(8, 0, 255)] * 9, drawings(8, 12, 255)]), {"ground": 1, "ink": 255, "extent": 0.5}),
    (np.concatenate([drawings(8, 0, 255), drawings(8, 255, 0)]), None),
    (np.repeat(drawings(8, 0, 255), 3, axis=3), None), (drawings(8, 100, 100), None),
    (np.random.default_rng(0).integers(0, 256, (20, 16, 16, 1), "uint8"), None),
])
def test_how_images_show_strokes(images, strokes):
    assert describe_strokes(images) == strokes


@pytest.mark.parametrize("text", ["", "[]", "{", "3", "{}", "[" * 100_000, "9" * 10_000, '{"classes": NaN}', 3,
                                  ["a", "b"], np.zeros(3), np.bytes_(b"\xff")])
def test_what_is_no_description_is_refused(saved, text):
    path, model = saved
    with h5py.File(path, "r+") as file:
        file.attrs["about"] = text
    assert refusal(read_about, path, model).startswith(str(path))


@pytest.mark.parametrize("file, about", [
    ("results/tuned/c_model_4200.h5", {"classes": [*"0123456789"], "image_shape": [28, 28, 1], "pixels": [-1, 1],
                                       "pictures": "digits", "run": "172507713212"}),
    ("tests/data/keras2_c_model.h5", None),
])
def test_classifiers_of_before_are_known(file, about):
    assert read_about(ROOT / file, load_classifier(ROOT / file)) == about
