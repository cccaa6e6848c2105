"""sgan/studies/development.py: the split of the training images on which recipes are developed."""

import numpy as np
import pytest

from sgan.command_line import InputError
from sgan.studies import development


def test_development_images_are_training_images_split_in_two(small_digits, tmp_path):
    command = [str(tmp_path / "development.npz"), "--data", str(small_digits)]
    development.main(command)
    with np.load(small_digits) as whole, np.load(tmp_path / "development.npz") as split:
        assert len(split["x_test"]) == len(whole["x_train"]) - len(whole["x_train"]) * 5 // 6
        pairs = [sorted((image.tobytes(), label) for image, label in zip(images, labels)) for images, labels in (
            (whole["x_train"].reshape(-1, 8, 8), whole["y_train"]),
            (np.concatenate([split["x_train"], split["x_test"]]).reshape(-1, 8, 8),
             np.concatenate([split["y_train"], split["y_test"]])))]
    assert pairs[0] == pairs[1]
    with pytest.raises(InputError, match="is there already"):
        development.main(command)
    with pytest.raises(InputError, match="must end in .npz"):
        development.main([str(tmp_path / "split"), "--data", str(small_digits)])
