"""sgan/studies/development.py: data made of other data."""

import numpy as np
import pytest

from sgan.runs.command import InputError
from sgan.studies import development

IMAGES = np.arange(40 * 64, dtype=np.uint8).reshape(40, 8, 8)


def pairs(images, labels):
    """Images with their labels, in an order that does not depend on theirs."""
    return sorted((image.tobytes(), label) for image, label in zip(images.reshape(len(images), -1), labels))


def made(path, *arguments):
    """What the command writes."""
    development.main([str(path), *map(str, arguments)])
    with np.load(path) as arrays:
        return dict(arrays)


def test_development_images_are_training_images_split_in_two(small_digits, tmp_path):
    split, whole = made(tmp_path / "development.npz", "--data", small_digits), np.load(small_digits)
    n = len(whole["x_train"])
    assert len(split["x_train"]) == n * 5 // 6 and len(split["x_test"]) == n - n * 5 // 6
    parts = [pairs(split[f"x_{part}"], split[f"y_{part}"]) for part in ("train", "test")]
    assert sorted([*parts[0], *parts[1]]) == pairs(whole["x_train"], whole["y_train"])
    for name in "development.npz", "development.zip":
        with pytest.raises(InputError, match="must be a new file, and its name end in .npz"):
            made(tmp_path / name, "--data", small_digits)


def test_a_long_tail_has_all_of_the_first_class_and_a_tenth_of_the_last(small_digits, tmp_path):
    tail, whole = made(tmp_path / "tail.npz", "--long-tail", "--data", small_digits), np.load(small_digits)
    before, after = np.bincount(whole["y_train"]), np.bincount(tail["y_train"])
    assert (after == np.round(before * 10 ** (-np.arange(10) / 9))).all() and after[0] == before[0]
    assert {*pairs(tail["x_train"], tail["y_train"])} <= {*pairs(whole["x_train"], whole["y_train"])}
    assert pairs(tail["x_test"], tail["y_test"]) == pairs(whole["x_test"], whole["y_test"])


def test_a_long_tail_keeps_an_image_of_the_smallest_class(tmp_path):
    labels = np.arange(40) // 36
    np.savez(tmp_path / "few.npz", x_train=IMAGES, y_train=labels, x_test=IMAGES, y_test=labels)
    tail = made(tmp_path / "tail.npz", "--long-tail", "--data", tmp_path / "few.npz")
    assert np.bincount(tail["y_train"]).tolist() == [36, 1]


RARE, UNKNOWN = np.zeros(40, int), np.arange(40) % 2
held_out = np.random.default_rng(development.SEED).permutation(40)[33:]
RARE[held_out[0]], UNKNOWN[held_out] = 1, -1


@pytest.mark.parametrize("labels, arguments, said", [
    (RARE, [], "too few labelled images"), (UNKNOWN, [], "too few labelled images"),
    (np.arange(40) % 2, ["--long-tail"], "a long tail needs a test set"),
    (UNKNOWN, ["--long-tail"], "a long tail needs a test set, and the label of every training image"),
    (RARE, ["--data", "auto"], "--data auto: may or may not be MNIST"),
])
def test_data_that_do_not_do_are_refused(tmp_path, labels, arguments, said):
    with_test = {"x_test": IMAGES, "y_test": np.arange(40) % 2} if labels is UNKNOWN and arguments else {}
    np.savez(tmp_path / "own.npz", x_train=IMAGES, y_train=labels, **with_test)
    with pytest.raises(InputError, match=said):
        development.main([str(tmp_path / "made.npz"), "--data", str(tmp_path / "own.npz"), *arguments])
    assert not (tmp_path / "made.npz").exists()
