"""sgan/studies/baselines.py: methods without a network, on the same label splits."""

import csv

import numpy as np
import pytest

from sgan.runs.command import InputError
from sgan.studies import baselines


@pytest.fixture
def rows_of(digits, tmp_path, capsys):
    """rows_of("--labels", 20, x_test=...): what the command prints about the digits, but for these arrays, each row a
    list; and what it says on standard error."""
    def rows(*arguments, **changes):
        arrays = {"x_train": digits.train_images, "y_train": digits.train_labels, "x_test": digits.test_images,
                  "y_test": digits.test_labels, **changes}
        np.savez(tmp_path / "x.npz", **{name: array for name, array in arrays.items() if array is not None})
        baselines.main(["--data", str(tmp_path / "x.npz"), *map(str, arguments)])
        output = capsys.readouterr()
        return list(csv.reader(output.out.splitlines())), output.err
    return rows


def test_each_method_is_measured_on_each_split(rows_of, digits):
    rows, means = rows_of("--labels", 20, "--first-split", 3, "--splits", 2)
    assert [row[:5] for row in rows] == [["x", digits.fingerprint(), "20", method, split] for split in ("3", "4")
                                         for method in ("logistic regression", "SVM", "LabelSpreading")]
    assert all(0.3 < float(accuracy) < 1 for row in rows for accuracy in row[5:])  # a tenth would be chance
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


def test_test_images_without_a_label_do_not_count(rows_of, digits):
    rows, _ = rows_of("--splits", 1)
    more, _ = rows_of("--splits", 1, x_test=np.concatenate([digits.test_images, digits.test_images[:50]]),
                      y_test=np.append(digits.test_labels, np.full(50, -1)))
    assert [row[5:] for row in more] == [row[5:] for row in rows] and more[0][1] != rows[0][1]


def test_what_cannot_be_measured_is_refused(rows_of, monkeypatch):
    with pytest.raises(InputError, match="no test set"):
        rows_of(x_test=None, y_test=None)
    monkeypatch.setattr(baselines, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        rows_of()
