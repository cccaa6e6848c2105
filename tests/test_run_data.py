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


@pytest.mark.slow
def test_labelled_images_that_validate_are_not_trained_on(tmp_path, monkeypatch, capsys):
    """Own colour images, (N, H, W, 3), some without a label, three classes, no test set."""
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 12, 3), "uint8")
    np.savez(tmp_path / "own.npz", x_train=images, y_train=np.array([0, 1, 2, 2] * 6 + [-1] * 16, "int8"))
    given = []

    class Spy(sgan_mnist.SGAN):
        def __init__(self, settings, labelled, unlabelled_images, n_classes):
            super().__init__(settings, labelled, unlabelled_images, n_classes)
            given.extend([*labelled, unlabelled_images])

    monkeypatch.setattr(sgan_mnist, "SGAN", Spy)
    main(["--data", str(tmp_path / "own.npz"), "--out", str(tmp_path / "run"), "--epochs", "1", "--steps-per-epoch",
          "1", "--batch-size", "4", "--labels", "15", "--label-seed", "3", "--validation-split", "0.4"])
    assert "own.npz, 34 training, 6 validation images; 9 training images keep their labels\n" in capsys.readouterr().out
    record, (row,) = read_record(tmp_path / "run"), read_history(tmp_path / "run")
    rows, validation_rows = record["label_indices"], record["validation_indices"]
    data = load_real_samples(str(tmp_path / "own.npz"))
    chosen = sgan_mnist.select_supervised_samples(data.train_labels, 15, n_classes=3, seed=3)
    assert [rows, validation_rows] == [each.tolist() for each in dataset.split_validation(chosen, data, 0.4, seed=3)]
    assert len(rows) == 9 and len(validation_rows) == 6 and not set(rows) & set(validation_rows)
    assert np.array_equal(given[0], images[rows]) and np.array_equal(given[1], data.train_labels[rows])
    assert np.array_equal(given[2], np.delete(images, validation_rows, axis=0))
    c_model = keras.models.load_model(tmp_path / "run" / "c_model_0001.h5")
    expected = accuracy(c_model, images[validation_rows], data.train_labels[validation_rows])
    assert row["validation_accuracy"] == pytest.approx(expected) and "test_accuracy" not in row
    assert c_model.output_shape == (None, 3)
    assert keras.models.load_model(tmp_path / "run" / "g_model_0001.h5").output_shape == (None, 8, 12, 3)


@pytest.mark.slow
def test_a_run_without_a_network_says_at_its_end_that_it_is_not_mnist(tmp_path, small_dataset, monkeypatch, capsys):
    def refuse():
        raise InputError("no network")

    monkeypatch.setattr(dataset, "synthetic_digits", lambda: small_dataset._replace(name="synthetic"))
    with monkeypatch.context() as without_network:
        without_network.setattr(dataset, "read_mnist", refuse)
        main(["--out", str(tmp_path / "run"), "--epochs", "1", *SMALL])
    assert capsys.readouterr().err.count("NOT MNIST") == 2  # at the start and at the end
    resume(tmp_path / "run")  # with the same images, even if there is a network now
    assert capsys.readouterr().err.count("NOT MNIST") == 1
    assert read_record(tmp_path / "run")["data"]["source"] == "synthetic"
