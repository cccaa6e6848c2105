"""sgan/studies/baselines.py: methods without a network, on the same label splits."""

import csv

import numpy as np
import pytest

from sgan.runs.command import InputError
from sgan.data.dataset import load_real_samples
from sgan.studies import baselines
from sgan.studies.baselines import main


def table(folder):
    with open(folder / "baselines.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_each_method_is_measured_on_each_split(digits_file, tmp_path, capsys):
    for labels, first in ("100", "8"), ("20", "3"), ("100", "3"):
        main(["--data", str(digits_file), "--labels", labels, "--first-split", first, "--splits", "2",
              "--results", str(tmp_path)])
    rows = table(tmp_path)
    assert [(row["labels"], row["label_seed"], row["method"]) for row in rows] == [
        (labels, split, method) for labels in ("20", "100") for split in ("3", "4")
        for method in ("logistic regression", "SVM", "LabelSpreading")]
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


def test_without_scikit_learn_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(baselines, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        main([])


def test_test_images_without_a_label_do_not_count(digits, tmp_path):
    def accuracies(n):
        x, y, m, k = digits.train_images, digits.train_labels, digits.test_images, digits.test_labels
        unknown = np.full(n, -1)
        np.savez(tmp_path / "x.npz", x_train=x, y_train=y, x_test=np.concatenate([m, m[:n]]),
                 y_test=np.append(k, unknown))
        main(["--data", str(tmp_path / "x.npz"), "--splits", "1", "--results", str(tmp_path / f"{n}")])
        return [row["test_accuracy"] for row in table(tmp_path / f"{n}")]
    assert accuracies(0) == accuracies(50)


def test_other_data_of_the_same_name_keep_their_rows(digits, tmp_path):
    for images in digits.train_images, digits.train_images // 2:
        np.savez(tmp_path / "x.npz", x_train=images, y_train=digits.train_labels, x_test=digits.test_images,
                 y_test=digits.test_labels)
        main(["--data", str(tmp_path / "x.npz"), "--splits", "1", "--results", str(tmp_path)])
    rows = table(tmp_path)
    assert len(rows) == 6 and len({row["fingerprint"] for row in rows}) == 2 and {row["data"] for row in rows} == {"x"}


HEADER = ",".join(baselines.COLUMNS).encode()


@pytest.mark.parametrize("content", [
    b"foo,bar\n1,2\n", b"", b"data,labels\n", b"\xff", HEADER + b"\n1,2,3,4,5,6\n", HEADER + b"\n1,2,3,4,5,6,7,8\n",
    pytest.param(HEADER + b"\n" + 200_000 * b"x", id="long"),
])
def test_another_table_is_refused_before_anything_is_computed(content, tmp_path, monkeypatch):
    monkeypatch.setattr(baselines, "load_real_samples", None)
    (tmp_path / "baselines.csv").write_bytes(content)
    with pytest.raises(InputError, match="baselines.csv: is not"):
        main(["--results", str(tmp_path)])
    assert (tmp_path / "baselines.csv").read_bytes() == content


def test_fewer_images_than_neighbours(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8), "uint8")
    np.savez(tmp_path / "x.npz", x_train=images, y_train=np.arange(5) % 2, x_test=images, y_test=np.arange(5) % 2)
    main(["--data", str(tmp_path / "x.npz"), "--labels", "2", "--splits", "1", "--results", str(tmp_path)])
    assert [row["method"] for row in table(tmp_path)] == ["logistic regression", "SVM", "LabelSpreading"]


def test_data_without_a_test_set_are_refused(digits, tmp_path):
    np.savez(tmp_path / "x.npz", x_train=digits.train_images, y_train=digits.train_labels)
    assert load_real_samples(str(tmp_path / "x.npz")).test_images is None
    with pytest.raises(InputError, match="no test set"):
        main(["--data", str(tmp_path / "x.npz")])
