"""sgan/benchmarks/: what they print."""

import csv
import re

import keras
import numpy as np
import pytest

from sgan.benchmarks import digit_pictures, timing
from sgan.benchmarks.digit_pictures import photograph, read_kind
from sgan.benchmarks.matrix_products import FORWARD, INPUTS, KERNELS, products_of
from sgan.runs.command import InputError


@pytest.mark.slow
def test_a_line_to_paste(run_script):
    """Device, versions, time."""
    status, output, errors = run_script("-m sgan.benchmarks.train_step", "--line", "--quick")
    assert (status, errors) == (0, [])
    assert re.fullmatch(r"[CG]PU.*; TensorFlow [\d.]+, Keras [\d.]+, Python [\d.]+: "
                        r"[\d.]+ ms a step, [\d,]+ images/s \(median of 1 calls of \d+ steps, 100 images each\)\n",
                        output)


def test_pictures_without_a_digit_are_refused_and_the_others_read():
    class Sevens:
        """A classifier to which every image is a seven."""
        def predict_on_batch(self, images):
            return np.eye(10)[[7] * len(images)]

    seven = np.zeros((28, 28), "uint8")
    seven[5, 8:20] = seven[5:23, 18] = 255
    page, blank = photograph(seven, np.random.default_rng(0)), np.full((300, 400), 200, "uint8")
    right, refused, images = read_kind(Sevens(), [page, blank, page, page], np.array([7, 7, 7, 3]))
    assert (right, refused, images[1]) == (0.5, 0.25, None) and images[0].shape == (28, 28)
    assert read_kind(Sevens(), [blank], np.array([7]))[:2] == (0, 1)


@pytest.mark.parametrize("arrays, message", [
    ({}, "has no test set; give --split train"),
    ({"x_test": np.arange(640).reshape(10, 8, 8), "y_test": np.arange(10)}, r"its images are \(8, 8, 1\), not digits"),
])
def test_digits_of_another_kind_are_refused(arrays, message, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), "uint8")
    arrays = {name: np.uint8(values % 251) for name, values in arrays.items()}
    np.savez(tmp_path / "own.npz", x_train=images, y_train=np.arange(20) % 10, **arrays)
    with pytest.raises(InputError, match=message):
        digit_pictures.main(["--data", str(tmp_path / "own.npz")])


def test_digits_without_ink_or_label_are_left_out_and_other_classes_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(digit_pictures, "KINDS", {"plain": {}})
    monkeypatch.setattr(digit_pictures, "photograph", lambda digit, rng: digit)
    read = []
    monkeypatch.setattr(digit_pictures, "read_kind",
                        lambda model, pictures, labels: read.extend(zip(pictures, labels)) or (1, 0, pictures))
    images, labels = np.zeros((40, 28, 28), "uint8"), np.arange(40) % 10
    images[:20, 5, 5] = 255
    labels[10:20] = -1
    path = tmp_path / "own.npz"
    np.savez(path, x_train=images, y_train=np.arange(40) % 10, x_test=images, y_test=labels)
    digit_pictures.main(["--data", str(path), "--results", str(tmp_path), "--number", "50"])
    assert len(read) == 50 and all(picture.max() == 255 for picture, _ in read)
    assert {label for _, label in read} <= set(range(10))
    for arrays, said in (({"x_test": images // 3}, "no labelled images with ink"),
                         ({"y_train": np.arange(40) % 5}, "has 5 classes")):
        np.savez(path, **{"x_train": images, "y_train": np.arange(40) % 10, "x_test": images,
                          "y_test": np.arange(40) % 5, **arrays})
        with pytest.raises(InputError, match=said):
            digit_pictures.main(["--data", str(path), "--results", str(tmp_path / "new")])
    assert not list((tmp_path / "new").iterdir())


def test_medians_leave_the_first_round_out(monkeypatch):
    clock, calls = iter([0, 90, 90, 190, 200, 201, 300, 304, 400, 403, 500, 506, 600, 602, 700, 705]), []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    functions = {name: lambda name=name: calls.append(name) for name in "ab"}
    assert timing.median_seconds(functions, 3) == {"a": 2, "b": 5}
    assert calls == list("abababab")


def test_matrix_products_are_those_of_the_layers():
    """Counted once more: two operations for each weight and each place where it is applied."""
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, strides=2, padding="same"),
                              keras.layers.Flatten(), keras.layers.Dense(5)])
    assert products_of(model, 10, FORWARD) == [(10 * 4 * 4, 3 * 3 * 3, 4), (10, 64, 5)]
    assert products_of(model, 10, KERNELS) == [(27, 160, 4), (64, 10, 5)]
    assert products_of(model, 10, INPUTS) == [(10, 5, 64)]
    assert products_of(model, 10, INPUTS, first_inputs=True) == [(160, 4, 27), (10, 5, 64)]
    points = keras.Input((2, 3, 6))
    upsample = keras.Model(points, keras.layers.Conv2DTranspose(7, 4, strides=2, padding="same")(points))
    assert products_of(upsample, 10, FORWARD) == [(10 * 2 * 3, 6, 4 * 4 * 7)]


@pytest.mark.slow
def test_the_benchmark_of_matrix_products_writes_its_table(run_script, tmp_path):
    status, output, errors = run_script("-m sgan.benchmarks.matrix_products", "--rounds", "2", "--results", tmp_path)
    assert (status, errors) == (0, [])
    with open(tmp_path / "matrix_products.csv", newline="") as file:
        value = {row["measured"]: row["value"] for row in csv.DictReader(file)}
    assert 0 < float(value["their share"]) and value["operations in them"] == "8.004"
