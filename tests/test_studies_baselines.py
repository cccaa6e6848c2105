"""sgan/studies/baselines.py: methods without a network, on the same label splits."""

import csv

import numpy as np
import pytest

from sgan.runs.command import InputError
from sgan.studies import baselines
from sgan.studies.baselines import main

METHODS = ["logistic regression", "SVM", "LabelSpreading"]


def table(folder):
    with open(folder / "baselines.csv", newline="") as file:
        return list(csv.DictReader(file))


def save(path, data, **changes):
    """A `Dataset` as an .npz file, but for some arrays."""
    arrays = {"x_train": data.train_images, "y_train": data.train_labels, "x_test": data.test_images,
              "y_test": data.test_labels, **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return str(path)


def test_each_method_is_measured_on_each_split(digits_file, tmp_path, capsys):
    for labels, first in ("100", "8"), ("20", "3"), ("100", "3"):
        main(["--data", str(digits_file), "--labels", labels, "--first-split", first, "--splits", "2",
              "--results", str(tmp_path)])
    rows = table(tmp_path)
    assert [(row["labels"], row["label_seed"], row["method"]) for row in rows] == [
        (labels, split, method) for labels in ("20", "100") for split in ("3", "4") for method in METHODS]
    assert all(0.3 < float(row["test_accuracy"]) < 1 for row in rows)  # a tenth would be chance
    assert capsys.readouterr().out.count("(n = 2)") == 18


def test_only_the_chosen_rows_have_labels(digits):
    """Whatever the labels of the other images are, the predictions stay the same; other labels of the rows do not."""
    features = digits.train_images.reshape(400, -1)[:, ::16] / 255
    rows = np.arange(50)
    labels = digits.train_labels[rows]
    first = baselines.predictions(features, rows, labels, features[300:], seed=0)
    other = baselines.predictions(features, rows, (labels + 1) % 10, features[300:], seed=0)
    for method in first:
        assert (other[method] == (first[method] + 1) % 10).mean() > 0.9


def test_test_images_without_a_label_do_not_count_and_other_data_of_the_same_name_keep_their_rows(digits, tmp_path):
    known = save(tmp_path / "x.npz", digits)
    main(["--data", known, "--splits", "1", "--results", str(tmp_path)])
    save(known, digits, x_test=np.concatenate([digits.test_images, digits.test_images[:50]]),
         y_test=np.append(digits.test_labels, np.full(50, -1)))
    main(["--data", known, "--splits", "1", "--results", str(tmp_path)])
    rows = table(tmp_path)
    assert [row["test_accuracy"] for row in rows[:3]] == [row["test_accuracy"] for row in rows[3:]] and len(rows) == 6
    assert len({row["fingerprint"] for row in rows}) == 2 and {row["data"] for row in rows} == {"x"}


@pytest.mark.parametrize("content", [
    b"foo,bar\n1,2\n", b"", b"\xff", ",".join(baselines.COLUMNS).encode() + b"\n1,2,3,4,5,6\n",
    ",".join(baselines.COLUMNS).encode() + b"\n1,2,3,4,5,6,7,8\n",
])
def test_another_table_is_refused_before_anything_is_computed(content, tmp_path, monkeypatch):
    monkeypatch.setattr(baselines, "load_real_samples", None)
    (tmp_path / "baselines.csv").write_bytes(content)
    with pytest.raises(InputError, match="baselines.csv: is not a"):
        main(["--results", str(tmp_path)])
    assert (tmp_path / "baselines.csv").read_bytes() == content


def test_what_cannot_be_measured_is_refused(digits, tmp_path, monkeypatch):
    data = save(tmp_path / "x.npz", digits, x_test=None, y_test=None)
    with pytest.raises(InputError, match="no test set"):
        main(["--data", data, "--results", str(tmp_path)])
    monkeypatch.setattr(baselines, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        main(["--data", data, "--results", str(tmp_path)])
