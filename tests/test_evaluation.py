"""sgan/models/evaluation.py: predictions in batches, accuracies, the table of the classes."""

import numpy as np
import pytest

from sgan.data.dataset import Dataset
from sgan.models.evaluation import (
    accuracy, balanced_accuracy, batch_size_for, measure, predict_classes, prediction_table
)


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
    assert batch_size_for(n, shape) == at_a_time


def test_balanced_accuracy_is_the_mean_over_the_classes_that_are_there():
    assert balanced_accuracy(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 0, 0, 2])) == pytest.approx((0.75 + 0) / 2)


def test_classes_are_those_of_the_rows_in_their_order_batch_by_batch():
    images, c_model = shades(0, 255, 128, 0, 255, 128, 128), Brightness()
    rows = np.array([6, 1, 0, 4, 2])
    assert predict_classes(c_model, images, rows, batch_size=2).tolist() == [1, 2, 0, 2, 1]
    assert c_model.batches == [2, 2, 1]
    assert predict_classes(c_model, images, rows[:0]).tolist() == []


def test_accuracy_is_over_the_images_whose_label_is_known():
    images = shades(0, 255, 128, 0, 255)
    assert accuracy(Brightness(), images, np.array([0, 2, 1, 1, -1])) == 0.75
    assert accuracy(Brightness(), images, np.array([-1, -1, 0, -1, -1])) == 0


def test_every_set_that_there_is_is_measured():
    data = Dataset("own.npz", shades(0, 0, 255, 255), np.array([0, 0, 0, -1]), class_names=("a", "b", "c"))
    assert measure(Brightness(), data) == (
        {"train_accuracy": 2 / 3}, "Classifier Accuracy: 66.667% (3 training images)")
    data = data._replace(test_images=shades(128, 0), test_labels=np.array([1, 1]),
                         validation_images=shades(0, 128, 255), validation_labels=np.array([0, 1, 1]))
    assert measure(Brightness(), data) == (
        {"train_accuracy": 2 / 3, "validation_accuracy": 2 / 3, "test_accuracy": 0.5},
        "Classifier Accuracy: 66.667% (3 training images), 66.667% (3 validation images), 50.000% (2 test images)")


def test_table_shows_labels_predictions_and_right_validation_images_of_each_class():
    train, validation = shades(*[0] * 6, *[255] * 2), shades(0, 128, 255, 255)
    data = Dataset("own.npz", train, np.full(8, -1), class_names=("dark", "grey\n", "light"),
                   validation_images=validation, validation_labels=np.array([0, 2, 2, 2]), test_labels=np.array([2]))
    *lines, rare = prediction_table(Brightness(), np.array([0, 0, 1, 2]), data)
    assert [line.split() for line in lines] == [
        ["class", "labelled", "predicted", "for", "all", "validation", "right"],
        ["dark", "2", "50.0%", "6", "75.0%", "1", "of", "1"],
        ["grey\\n", "1", "25.0%", "0", "0.0%", "0", "of", "0"],  # a collapse: this class is never predicted
        ["light", "1", "25.0%", "2", "25.0%", "2", "of", "3"]]
    assert len({len(line) for line in lines}) == 1
    assert rare == "class grey\\n is rare, or not learned: 0.0% of the training images"
    lines = prediction_table(Brightness(), np.array([0, 2]), data._replace(validation_images=None))
    assert lines[1].split() == ["dark", "1", "50.0%", "6", "75.0%"]
    few = data._replace(train_images=shades(*[0] * 7, 255), validation_images=None)
    assert prediction_table(Brightness(), np.array([0, 2]), few)[-1] == (
        "class light is rare, or not learned: 12.5% of the training images")
