"""sgan/runs/run_folder.py: which images a run trains on and measures, and what it says about them."""

import keras
import numpy as np
import pytest
from helpers import SMALL, read_history, read_record, resume

import sgan_mnist
from sgan.data import dataset
from sgan.data.dataset import load_real_samples
from sgan.models.evaluation import accuracy
from sgan.runs.command import InputError
from sgan_mnist import main


def test_own_colour_images_with_few_labels_and_no_test_set(tmp_path, capsys):
    """(N, H, W, 3), label -1 for "no label", three classes: all labels are used, no test accuracy."""
    random = np.random.default_rng(0)
    labels = np.array([0, 1, 2, 2] + [-1] * 36, "int8")
    np.savez(tmp_path / "own.npz", x_train=random.integers(0, 256, (40, 8, 12, 3), "uint8"), y_train=labels)
    main(["--data", str(tmp_path / "own.npz"), "--out", str(tmp_path / "run"), "--epochs", "1", "--batch-size", "8",
          "--latent-dim", "7"])
    assert "4 of them with their labels; no validation and no test images" in capsys.readouterr().out
    (row,) = read_history(tmp_path / "run")
    assert row["step"] == 5 and "test_accuracy" not in row
    assert row["train_accuracy"] in (0, 0.25, 0.5, 0.75, 1)  # over the four images whose label is known
    assert keras.models.load_model(tmp_path / "run" / "c_model_0005.h5").output_shape == (None, 3)
    assert keras.models.load_model(tmp_path / "run" / "g_model_0005.h5").output_shape == (None, 8, 12, 3)


def test_labelled_images_that_validate_are_not_trained_on(small_digits, tmp_path, monkeypatch):
    given = []

    class Spy(sgan_mnist.SGAN):
        def __init__(self, settings, labelled, unlabelled_images, n_classes):
            super().__init__(settings, labelled, unlabelled_images, n_classes)
            given.extend([*labelled, unlabelled_images])

    monkeypatch.setattr(sgan_mnist, "SGAN", Spy)
    main(["--data", str(small_digits), "--out", str(tmp_path / "run"), "--epochs", "1", "--steps-per-epoch", "1",
          "--batch-size", "10", "--labels", "50", "--label-seed", "3", "--validation-split", "0.4"])
    record = read_record(tmp_path / "run")
    rows, validation_rows = record["label_indices"], record["validation_indices"]
    data = load_real_samples(str(small_digits))
    chosen = sgan_mnist.select_supervised_samples(data.train_labels, 50, seed=3)
    assert [rows, validation_rows] == [each.tolist() for each in dataset.split_validation(chosen, data, 0.4, seed=3)]
    assert len(rows) == 30 and len(validation_rows) == 20 and not set(rows) & set(validation_rows)
    assert np.array_equal(given[0], data.train_images[rows]) and np.array_equal(given[1], data.train_labels[rows])
    assert np.array_equal(given[2], np.delete(data.train_images, validation_rows, axis=0))
    c_model = keras.models.load_model(tmp_path / "run" / "c_model_0001.h5")
    expected = accuracy(c_model, data.train_images[validation_rows], data.train_labels[validation_rows])
    assert read_history(tmp_path / "run")[0]["validation_accuracy"] == pytest.approx(expected)


def test_a_run_without_a_network_says_at_its_end_that_it_is_not_mnist(tmp_path, digits, monkeypatch, capsys):
    def refuse():
        raise InputError("no network")

    monkeypatch.setattr(dataset, "read_mnist", refuse)
    monkeypatch.setattr(dataset, "synthetic_digits", lambda: digits)
    main(["--out", str(tmp_path / "run"), "--epochs", "1", *SMALL])
    assert capsys.readouterr().err.count("NOT MNIST") == 2  # at the start and at the end
    monkeypatch.undo()
    monkeypatch.setattr(dataset, "synthetic_digits", lambda: digits)
    resume(tmp_path / "run")  # with the same images, even if there is a network now
    assert capsys.readouterr().err.count("NOT MNIST") == 1
    assert read_record(tmp_path / "run")["data"]["source"] == "synthetic"
