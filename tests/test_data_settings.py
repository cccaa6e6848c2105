"""The options about data, and which of the labelled images validate."""

from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from sgan.command_line import ArgumentParser, InputError, add_options, check_values
from sgan.data import DataSettings, Dataset, default_labels, split_validation, synthetic_digits


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
    settings = parsed(*arguments)
    assert asdict(settings)[name] == value
    check_values(settings)
    settings.check()


@pytest.mark.parametrize("arguments, message", [
    (["--labels", "0"], "at least 1"), (["--labels", "some"], "some: must be a number from 1 on, or all"),
    (["--image-size", "7x20"], "7x20: must be HEIGHTxWIDTH or one number, of pixels, each at least 8"),
    (["--image-size", "20x20x3"], "must be HEIGHTxWIDTH"), (["--image-size", "x"], "must be HEIGHTxWIDTH"),
])
def test_wrong_options_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        parsed(*arguments)


@pytest.mark.parametrize("changes", [
    {"labels": "some"}, {"labels": 0}, {"image_size": "4x4"}, {"image_size": ""},
    {"validation_split": 1.0}, {"validation_split": -0.1}, {"validation_split": float("nan")},
])
def test_settings_of_a_file_are_checked_too(changes):
    with pytest.raises(InputError, match="--"):
        DataSettings(**changes).check()


def test_a_folder_is_read_as_the_options_say(tmp_path):
    for name in "cat", "dog":
        (tmp_path / name).mkdir()
        Image.new("RGB", (20, 12), (200, 0, 0)).save(tmp_path / name / "0.png")
    assert DataSettings(data=str(tmp_path)).load().train_images.shape == (2, 12, 20, 3)
    settings = DataSettings(image_size="8x16", grey=True)
    assert settings.load(str(tmp_path)).train_images.shape == (2, 8, 16, 1)
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
# Validation


LABELS = np.array([-1, *np.arange(10)] * 30)


def test_validation_takes_its_share_of_each_class():
    rows = np.sort(np.concatenate([np.flatnonzero(LABELS == k)[5:15] for k in range(10)]))
    train, validation = split_validation(rows, LABELS, 0.2, seed=0)
    assert len(train) == 80 and len(validation) == 20
    assert np.array_equal(np.sort(np.concatenate([train, validation])), rows)
    assert (np.diff(train) > 0).all() and (np.diff(validation) > 0).all()
    assert np.bincount(LABELS[validation]).tolist() == [2] * 10
    again, other = (split_validation(rows, LABELS, 0.2, seed)[1] for seed in (0, 1))
    assert np.array_equal(again, validation) and not np.array_equal(other, validation)


@pytest.mark.parametrize("share, count", [(0.01, 1), (0.99, 4), (0.5, 2)])
def test_at_least_one_and_never_all_of_a_class(share, count):
    rows = np.concatenate([np.flatnonzero(LABELS == k)[:5] for k in (0, 3)])
    assert np.bincount(LABELS[split_validation(np.sort(rows), LABELS, share, 0)[1]]).tolist() == [count, 0, 0, count]


def test_a_class_of_one_labelled_image_is_refused():
    rows = np.array([1, 2, 13])
    with pytest.raises(InputError, match="--validation-split 0.2: class 0 has only one labelled image"):
        split_validation(rows, LABELS, 0.2, 0)


def test_no_validation_draws_no_random_number(monkeypatch):
    monkeypatch.setattr(np.random, "default_rng", None)
    train, validation = split_validation(np.array([1, 2, 13]), LABELS, 0.0, 0)
    assert train.tolist() == [1, 2, 13] and len(validation) == 0
