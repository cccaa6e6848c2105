"""sgan/studies/baselines.py: methods without a neural network, on the same label splits."""

import csv

import numpy as np
import pytest

from sgan.data.dataset import load_real_samples
from sgan.runs.command import InputError
from sgan.studies import baselines


@pytest.mark.slow
def test_each_method_is_measured_on_each_split(digits, tmp_path, capsys):
    """On the test images whose class is known."""
    path = tmp_path / "x.npz"
    np.savez(path, x_train=digits.train_images, y_train=digits.train_labels,
             x_test=np.concatenate([digits.test_images, digits.test_images[:51]]),
             y_test=np.append(digits.test_labels, [-1] * 51))
    baselines.main(["--data", str(path), "--labels", "20", "--first-split", "3", "--splits", "2"])
    output, means = capsys.readouterr()
    rows = list(csv.reader(output.splitlines()))
    fingerprint = load_real_samples(str(path)).fingerprint()
    assert [row[:5] for row in rows] == [["x", fingerprint, "20", method, split] for split in ("3", "4")
                                         for method in ("logistic regression", "SVM", "LabelSpreading")]
    for row in rows:
        right = 100 * float(row[5])  # of 100
        assert 30 < right < 100 and right == pytest.approx(round(right)) and 0.3 < float(row[6]) < 1
    mean = 50 * sum(float(row[5]) for row in rows if row[3] == "SVM")
    assert f"SVM                  test accuracy, %: {mean:.2f} ± " in means and means.count("(n = 2)") == 6


def test_only_the_chosen_rows_have_labels(digits):
    """Whatever the labels of the other images are, the predictions stay the same; other labels of the rows do not."""
    features = digits.train_images.reshape(400, -1)[:, ::16] / 255
    rows = np.arange(50)
    labels = digits.train_labels[rows]
    first = baselines.predictions(features, rows, labels, features[300:], seed=0)
    other = baselines.predictions(features, rows, (labels + 1) % 10, features[300:], seed=0)
    for method in first:
        assert (other[method] == (first[method] + 1) % 10).mean() > 0.9


def test_what_cannot_be_measured_is_refused(digits, tmp_path, monkeypatch):
    np.savez(tmp_path / "x.npz", x_train=digits.train_images, y_train=digits.train_labels)
    with pytest.raises(InputError, match="no test set"):
        baselines.main(["--data", str(tmp_path / "x.npz")])
    monkeypatch.setattr(baselines, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        baselines.main([])
