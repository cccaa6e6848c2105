"""sgan/studies/development.py: training images split in two."""

import numpy as np
import pytest

from sgan.runs.command import InputError
from sgan.studies import development

IMAGES = np.arange(40 * 64, dtype=np.uint8).reshape(40, 8, 8)


def pairs(arrays, part):
    """The images of an .npz file's part with their labels, in an order that does not depend on theirs."""
    return sorted((image.tobytes(), label) for image, label in zip(arrays[f"x_{part}"], arrays[f"y_{part}"]))


def test_development_images_are_training_images_split_in_two(small_digits, tmp_path):
    path = tmp_path / "development.npz"
    development.main([str(path), "--data", str(small_digits)])
    with np.load(path) as split, np.load(small_digits) as whole:
        train, test = pairs(split, "train"), pairs(split, "test")
        assert (len(train), len(test)) == (333, 67)
        assert sorted([*train, *test]) == pairs(whole, "train")
    for name in "development.npz", "development.zip":
        with pytest.raises(InputError, match="must be a new file, and its name end in .npz"):
            development.main([str(tmp_path / name), "--data", str(small_digits)])


RARE, UNKNOWN = np.zeros(40, int), np.arange(40) % 2
held_out = np.random.default_rng(development.SEED).permutation(40)[33:]
RARE[held_out[0]], UNKNOWN[held_out] = 1, -1


@pytest.mark.parametrize("labels", [RARE, UNKNOWN])
def test_data_that_do_not_do_are_refused(tmp_path, labels):
    np.savez(tmp_path / "own.npz", x_train=IMAGES, y_train=labels)
    with pytest.raises(InputError, match="too few labelled images"):
        development.main([str(tmp_path / "made.npz"), "--data", str(tmp_path / "own.npz")])
    assert not (tmp_path / "made.npz").exists()
