"""Identical images are counted, and stay on one side of every split."""

import numpy as np
import pytest

from sgan.data.copies import count_copies, find_originals
from sgan.data.dataset import Dataset, load_real_samples, split_validation
from sgan.runs.command import InputError
from sgan.studies.own_data import make_folds

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)
LABELS = np.arange(40) % 2


def of(images, labels):
    """A Dataset of two classes."""
    return Dataset("x.npz", images, np.array(labels), class_names=("cat", "dog"))


def test_each_image_is_the_original_or_a_copy_of_it():
    assert find_originals(IMAGES).tolist() == [*range(40)]
    assert find_originals(IMAGES[[3, 1, 3]], IMAGES[[1, 2, 2, 3]]).tolist() == [0, 1, 0, 1, 4, 4, 0]
    changed = IMAGES[:2].copy()
    changed[0, 7, 7, 0] ^= 1
    assert find_originals(IMAGES[:2], changed).tolist() == [0, 1, 2, 1]
    assert find_originals(np.asfortranarray(IMAGES), IMAGES)[40:].tolist() == [*range(40)]


def test_copies_are_counted_within_and_between_the_sets_and_classes():
    assert count_copies(IMAGES, LABELS, None, None) == []
    assert count_copies(IMAGES[:20], LABELS[:20], IMAGES[20:], LABELS[20:]) == []
    rows = [0, 1, 2, 0, 0, 1, 3]
    labels = [0, 1, 0, 0, 0, 0, 1]
    same, other = "labelled images that are copies of others, kept together by --validation-split", "other labels"
    said = [f"{same}: 3", f"images whose copies have {other}: 1"]
    assert count_copies(IMAGES[rows], np.array(labels), None, None) == said
    said = [f"{same}: 2", "unlabelled images that are copies of others: 1"]
    assert count_copies(IMAGES[rows], np.array([0, 1, 0, 0, 0, -1, -1]), None, None) == said
    test = IMAGES[[8, 9, 9, 3, 1]], np.array([0, 0, 0, 1, 0])
    assert count_copies(IMAGES[[0, 1, 2, 3]], np.array([0, 1, 0, -1]), *test) == [
        "test images that are copies of others: 1", "test images that are training images, too: 2",
        f"images whose copies have {other}: 1"]


def test_copies_are_said_when_data_are_loaded(tmp_path):
    np.savez(tmp_path / "x.npz", x_train=IMAGES[:30], y_train=LABELS[:30], x_test=IMAGES[25:], y_test=LABELS[25:])
    assert load_real_samples(str(tmp_path / "x.npz")).notes[0] == "test images that are training images, too: 5"


# --------------------------------------------------------------------------------------------------------------
# Splits


@pytest.mark.parametrize("copies_labels", [LABELS, 1 - LABELS], ids=["same class", "other class"])
def test_copies_stay_on_one_side_of_the_validation_split(copies_labels):
    twice = of(np.concatenate([IMAGES, IMAGES]), [*LABELS, *copies_labels])
    for seed in range(5):
        rows, validation = split_validation(np.arange(80), twice, 0.2, seed)
        assert np.array_equal(np.sort([*rows, *validation]), np.arange(80))
        assert np.array_equal(validation[:8], validation[8:] - 40)  # the images, and then their copies
        assert np.bincount(twice.train_labels[validation]).tolist() == [8, 8]


@pytest.mark.parametrize("rows, labels", [([0, 0, 1, 2], [0, 0, 1, 1]), ([1, 2, 1, 2], [1, 1, 0, 0])])
def test_a_class_of_copies_has_nothing_to_validate_with(rows, labels):
    with pytest.raises(InputError, match="class cat has only one labelled image"):
        split_validation(np.arange(4), of(IMAGES[rows], labels), 0.5, 0)


def test_copies_of_validation_images_are_not_trained_on_even_without_labels():
    data = of(np.concatenate([IMAGES, IMAGES[:10]]), [*LABELS, *[-1] * 10])
    rows, validation = split_validation(np.arange(40), data, 0.2, 0)
    run = data.set_apart(validation)
    assert not np.isin(find_originals(run.validation_images, run.train_images)[8:], np.arange(8)).any()
    assert len(run.train_images) == len(run.train_labels) == 50 - 8 - (validation < 10).sum()
    assert len(run.validation_images) == 8


def test_folds_keep_copies_together():
    twice, labels = np.concatenate([IMAGES, IMAGES[:30]]), np.concatenate([LABELS, 1 - LABELS[:30]])
    folds = make_folds(twice, labels, "0123456789", seed=0)
    assert np.array_equal(folds[:30], folds[40:])
    assert np.array_equal(folds[:40], make_folds(IMAGES, LABELS, "0123456789", seed=0))
    assert np.bincount(folds[:40]).tolist() == [8] * 5
    with pytest.raises(InputError, match="two of each class"):
        make_folds(IMAGES[[0, 1, 2, 3, 4, 5, 5]], np.array([0, 0, 0, 0, 0, 1, 1]), "0123456789", seed=0)
