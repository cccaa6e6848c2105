"""sgan/evaluation.py and sgan/memory.py: predictions in batches, the table of the classes, what a training needs."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import evaluate_classifier
from sgan import memory, tuned
from sgan.command_line import InputError
from sgan.data import Dataset
from sgan.evaluation import accuracy, at_once, balanced_accuracy, class_table, measure, predict_classes
from sgan.memory import MAPPED, PROGRAM, available_memory, check_training, hard_limit
from sgan.studies import own_data
from sgan_mnist import main


class Brightness:
    """A classifier of 8x8 images by their first pixel: 0..255 are three classes. It notes how many images it gets."""

    def __init__(self):
        self.batches = []

    def predict_on_batch(self, images):
        images = np.asarray(images)
        assert images.dtype == "float32" and -1 <= images.min() and images.max() <= 1
        self.batches.append(len(images))
        return np.eye(3)[np.digitize(images[:, 0, 0, 0], [-0.5, 0.5])]


def shades(*values):
    return np.broadcast_to(np.array(values, "uint8").reshape(-1, 1, 1, 1), (len(values), 8, 8, 1))


@pytest.mark.parametrize("n, shape, at_a_time", [
    (500, (28, 28, 1), 500), (500, (8, 8, 3), 500), (500, (56, 56, 1), 125), (500, (29, 28, 3), 482),
    (500, (2000, 2000, 1), 1), (100, (20, 28, 1), 100), (3, (28, 28, 1), 3),
])
def test_large_images_are_handled_fewer_at_once(n, shape, at_a_time):
    assert at_once(n, shape) == at_a_time


def test_balanced_accuracy_is_the_mean_over_the_classes_that_are_there():
    assert balanced_accuracy(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 0, 0, 2])) == pytest.approx((0.75 + 0) / 2)


def test_classes_are_those_of_the_rows_in_their_order_batch_by_batch():
    images, c_model = shades(0, 255, 128, 0, 255, 128, 128), Brightness()
    rows = np.array([6, 1, 0, 4, 2])
    assert predict_classes(c_model, images, rows, batch_size=2).tolist() == [1, 2, 0, 2, 1]
    assert c_model.batches == [2, 2, 1]


def test_accuracy_is_over_the_images_whose_label_is_known():
    images = shades(0, 255, 128, 0, 255)
    assert accuracy(Brightness(), images, np.array([0, 2, 1, 1, -1])) == 0.75
    assert accuracy(Brightness(), images, np.array([-1, -1, 0, -1, -1])) == 0


def test_every_set_that_there_is_is_measured_and_a_validation_set_is_small_enough_to_be_counted():
    data = Dataset("own.npz", shades(0, 0, 255, 255), np.array([0, 0, 0, -1]), class_names=("a", "b", "c"))
    assert measure(Brightness(), data) == ({"train_accuracy": 2 / 3}, "Classifier Accuracy: 66.667% (training set)")
    data = data._replace(test_images=shades(128, 0), test_labels=np.array([1, 1]), train_title="3 images",
                         validation_images=shades(0, 128, 255), validation_labels=np.array([0, 1, 1]))
    assert measure(Brightness(), data) == (
        {"train_accuracy": 2 / 3, "validation_accuracy": 2 / 3, "test_accuracy": 0.5},
        "Classifier Accuracy: 66.667% (3 images), validation: 2 of 3, 50.000% (test set)")


def test_table_shows_labels_predictions_and_right_validation_images_of_each_class():
    train, validation = shades(*[0] * 6, *[255] * 2), shades(0, 128, 255, 255)
    data = Dataset("own.npz", train, np.full(8, -1), class_names=("dark", "grey\n", "light"),
                   validation_images=validation, validation_labels=np.array([0, 2, 2, 2]), test_labels=np.array([2]))
    lines = class_table(Brightness(), np.array([0, 0, 1, 2]), data)
    assert [line.split() for line in lines] == [
        ["class", "labelled", "predicted", "for", "all", "validation", "right"],
        ["dark", "2", "50.0%", "6", "75.0%", "1", "of", "1"],
        ["grey\\n", "1", "25.0%", "0", "0.0%", "0", "of", "0"],  # a collapse: this class is never predicted
        ["light", "1", "25.0%", "2", "25.0%", "2", "of", "3"]]
    assert len({len(line) for line in lines}) == 1
    lines = class_table(Brightness(), np.array([0, 2]), data._replace(validation_images=None))
    assert lines[1].split() == ["dark", "1", "50.0%", "6", "75.0%"]


# --------------------------------------------------------------------------------------------------------------
# Memory


@pytest.fixture
def variables():
    """Of 4 * 10^9 bytes, without having them."""
    return [keras.KerasTensor((10**4, 10**4)), keras.KerasTensor((9, 10**8))]


def test_a_training_that_a_hard_limit_would_end_is_refused(monkeypatch, variables, capsys):
    needed = PROGRAM + 2.3 * 4e9 + 1e9
    monkeypatch.setattr(memory, "available_memory", lambda: needed)
    for limit in needed, float("inf"):
        monkeypatch.setattr(memory, "hard_limit", lambda limit=limit: limit)
        check_training(variables, 1e9)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(memory, "hard_limit", lambda: needed - 1e6)
    with pytest.raises(InputError, match=r"needs about 11\.0 GB of memory, but .* 11\.0 GB: lower --batch-size"):
        check_training(variables, 1e9)


def test_a_training_for_which_memory_is_scarce_is_warned_of(monkeypatch, variables, capsys):
    monkeypatch.setattr(memory, "hard_limit", lambda: float("inf"))
    monkeypatch.setattr(memory, "available_memory", lambda: 2e9)
    check_training(variables, 1e9)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: the training needs about 11.0 GB of memory, but only 2.0 GB are free")


@pytest.mark.skipif(memory.resource is None, reason="Windows has no such limits")
def test_limits_of_the_process_are_known(monkeypatch):
    limits = {memory.resource.RLIMIT_AS: memory.resource.RLIM_INFINITY, memory.resource.RLIMIT_DATA: 3 * 10**6}
    monkeypatch.setattr(memory.resource, "getrlimit", lambda which: (limits[which], limits[which]))
    assert hard_limit() == 3 * 10**6
    limits[memory.resource.RLIMIT_AS] = MAPPED + 10**6
    assert hard_limit() == 10**6
    limits.update(dict.fromkeys(limits, memory.resource.RLIM_INFINITY))
    assert hard_limit() < 2**50 or sys.platform != "linux"  # what the machine has
    assert available_memory() > 0


def test_a_training_that_does_not_fit_is_refused_before_its_first_step(small_digits, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "hard_limit", lambda: PROGRAM)  # which leaves nothing for the training
    with pytest.raises(InputError, match="lower --batch-size"):
        main(["--data", str(small_digits), "--out", str(tmp_path / "run"), "--epochs", "1",
              "--steps-per-epoch", "1"])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("error", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")])
def test_running_out_of_memory_is_one_line(small_digits, tmp_path, monkeypatch, error):
    def without_memory(*_):
        raise error
    for name, start in ("SGAN", main), ("TunedSGAN", tuned.main):
        monkeypatch.setattr(sys.modules[start.__module__], name, without_memory)
        with pytest.raises(InputError, match="out of memory: use fewer or smaller images"):
            start(["--data", str(small_digits), "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()
    for module, arguments in (own_data, ["--data", "x"]), (evaluate_classifier, ["x.h5"]):
        monkeypatch.setattr(module, "set_up_device", without_memory)
        with pytest.raises(InputError, match="out of memory: use fewer or smaller images"):
            module.main(arguments)
