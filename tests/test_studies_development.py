"""sgan/studies/development.py and long_tail.py: data sets made from others."""

import numpy as np
import pytest

from sgan.runs.command import InputError
from sgan.studies import development, long_tail


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


def test_data_of_which_nothing_is_left_to_train_or_to_measure_on_are_refused(tmp_path):
    held_out = np.random.default_rng(development.SPLIT_SEED).permutation(30)[25:]
    rare, unknown = np.zeros(30, int), np.arange(30) % 2
    rare[held_out[0]], unknown[held_out] = 1, -1
    for labels, said in (rare, "none is left of class 1 to train on"), (unknown, "none is left to measure on"):
        np.savez(tmp_path / "few.npz", x_train=np.arange(30 * 64, dtype=np.uint8).reshape(30, 8, 8), y_train=labels)
        with pytest.raises(InputError, match=said):
            development.main([str(tmp_path / "development.npz"), "--data", str(tmp_path / "few.npz")])
    assert not (tmp_path / "development.npz").exists()


def test_a_long_tail_has_all_of_the_first_class_and_a_tenth_of_the_last(small_digits, tmp_path):
    long_tail.main([str(tmp_path / "tail.npz"), "--data", str(small_digits)])
    with np.load(small_digits) as whole, np.load(tmp_path / "tail.npz") as tail:
        before, after = np.bincount(whole["y_train"]), np.bincount(tail["y_train"])
        assert (after == np.round(before * 10 ** (-np.arange(10) / 9))).all() and after[0] == before[0]
        known = {(image.tobytes(), label) for image, label in zip(whole["x_train"].reshape(-1, 8, 8), whole["y_train"])}
        assert {(image.tobytes(), label) for image, label in zip(tail["x_train"].reshape(-1, 8, 8), tail["y_train"])
                } <= known
        assert (tail["x_test"].reshape(whole["x_test"].shape) == whole["x_test"]).all()


def test_a_long_tail_keeps_an_image_of_the_smallest_class(tmp_path):
    images, labels = np.arange(40 * 64, dtype=np.uint8).reshape(40, 8, 8), np.arange(40) // 36
    np.savez(tmp_path / "few.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    long_tail.main([str(tmp_path / "tail.npz"), "--data", str(tmp_path / "few.npz")])
    with np.load(tmp_path / "tail.npz") as tail:
        assert np.bincount(tail["y_train"]).tolist() == [36, 1]


@pytest.mark.parametrize("arrays, data, said", [
    ((), "own.npz", "has no test set"), (("x_test", "y_test", "x_unlabelled"), "own.npz", "has images without labels"),
    ((), "auto", "--data auto: may or may not be MNIST"),
])
def test_data_that_have_no_long_tail_are_refused(tmp_path, monkeypatch, arrays, data, said):
    monkeypatch.chdir(tmp_path)
    images = np.arange(40 * 64, dtype=np.uint8).reshape(40, 8, 8)
    others = {"x_test": images, "y_test": np.arange(40) % 2, "x_unlabelled": images}
    np.savez("own.npz", x_train=images, y_train=np.arange(40) % 2, **{name: others[name] for name in arrays})
    with pytest.raises(InputError, match=said):
        long_tail.main(["tail.npz", "--data", data])
    assert not (tmp_path / "tail.npz").exists()
