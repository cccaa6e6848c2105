"""sgan/benchmarks/: what they print."""

import csv
import re

import keras
import pytest

from sgan.benchmarks.matrix_products import FORWARD, INPUTS, KERNELS, products_of


@pytest.mark.slow
def test_a_line_to_paste(run_script):
    """Device, versions, time."""
    status, output, errors = run_script("-m sgan.benchmarks.train_step", "--line", "--quick")
    assert (status, errors) == (0, [])
    assert re.fullmatch(r"[CG]PU.*; TensorFlow [\d.]+, Keras [\d.]+, Python [\d.]+: "
                        r"[\d.]+ ms a step, [\d,]+ images/s \(median of 1 calls of \d+ steps, 100 images each\)\n",
                        output)


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
