"""sgan/benchmarks/: what they print, write and refuse."""

import csv
import re
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from sgan.benchmarks import digit_pictures, train_step
from sgan.benchmarks.digit_pictures import photograph, read_kind
from sgan.runs.command import InputError


# --------------------------------------------------------------------------------------------------------------
# The step


def test_medians_leave_the_first_round_out(monkeypatch):
    clock = iter([0, 90, 90, 190, 200, 201, 300, 304, 400, 403, 500, 506, 600, 602, 700, 705])
    monkeypatch.setattr(train_step.time, "perf_counter", lambda: next(clock))
    assert train_step.median_seconds({"a": int, "b": int}, 3) == {"a": 2, "b": 5}


@pytest.mark.slow
def test_the_step_is_compared_with_the_loop(monkeypatch, capsys):
    monkeypatch.setattr(train_step, "Settings", partial(train_step.Settings, batch_size=10))
    train_step.main(["--rounds", "1"])
    machine, *lines = capsys.readouterr().out.splitlines()
    rows = [re.fullmatch(r"(.*\S) +([\d.]+) s, ([\d.]+) times the step", line).groups() for line in lines]
    assert re.match("CPU.*; TensorFlow .* medians of 1 rounds", machine)
    assert [name for name, *_ in rows] == ["loop", "step, plain convolutions", "step"]
    for _, seconds, ratio in rows:
        assert float(ratio) == pytest.approx(float(seconds) / float(rows[-1][1]), rel=0.01)


# --------------------------------------------------------------------------------------------------------------
# Digits in photographs


def test_pictures_without_a_digit_are_refused_and_the_others_read():
    sevens = SimpleNamespace(predict_on_batch=lambda images: np.eye(10)[[7] * len(images)])  # a poor classifier
    seven = np.zeros((28, 28), "uint8")
    seven[5, 8:20] = seven[5:23, 18] = 255
    page, blank = photograph(seven, np.random.default_rng(0)), np.full((300, 400), 200, "uint8")
    right, refused, images = read_kind(sevens, [page, blank, page, page], np.array([7, 7, 7, 3]))
    assert (right, refused, images[1]) == (0.5, 0.25, None) and images[0].shape == (28, 28)
    assert read_kind(sevens, [blank], np.array([7]))[:2] == (0, 1)


@pytest.mark.slow
def test_each_kind_is_photographed_read_and_tabulated(digits_file, tmp_path, monkeypatch):
    kinds = dict(list(digit_pictures.KINDS.items())[-2:])
    monkeypatch.setattr(digit_pictures, "KINDS", kinds)
    digit_pictures.main(["--data", str(digits_file), "--results", str(tmp_path), "--number", "4"])
    header, *rows = csv.reader((tmp_path / "digit_pictures.csv").read_text().splitlines())
    assert header == ["kind", "read correctly, %", "refused, %", "pictures"] and [row[0] for row in rows] == list(kinds)
    assert all(float(right) >= 50 and float(right) + float(refused) <= 100 for _, right, refused, _ in rows)
    assert (tmp_path / "digit_pictures.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("changes", [
    {"x_test": None, "y_test": None}, {"y_test": np.arange(20) % 5}, {"y_test": np.arange(20) % 11 - 1},
])
def test_what_is_no_test_set_of_digits_is_refused(changes, tmp_path):
    images, labels = np.random.default_rng(0).integers(0, 256, (20, 28, 28), "uint8"), np.arange(20) % 10
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels, **changes}
    np.savez(tmp_path / "own.npz", **{name: values for name, values in arrays.items() if values is not None})
    with pytest.raises(InputError, match="needs a test set of labelled digits as in MNIST"):
        digit_pictures.main(["--data", str(tmp_path / "own.npz"), "--results", str(tmp_path)])
    with pytest.raises(FileExistsError):
        digit_pictures.main(["--results", str(tmp_path / "own.npz")])
