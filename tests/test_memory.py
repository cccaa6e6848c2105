"""sgan/runs/memory.py: a training that does not fit is refused, and running out of memory is one line."""

import sys

import keras
import pytest
import tensorflow as tf

import evaluate_classifier
from sgan import tuned
from sgan.runs import memory
from sgan.runs.command import InputError
from sgan.runs.memory import MAPPED, PROGRAM, available_memory, check_training, hard_limit
from sgan.studies import own_data
from sgan_mnist import main


@pytest.fixture
def variables():
    """Of 4 * 10^9 bytes, without having them."""
    return [keras.KerasTensor((10**4, 10**4)), keras.KerasTensor((9, 10**8))]


def test_a_training_that_a_hard_limit_would_end_is_refused(monkeypatch, variables, capsys):
    needed = PROGRAM + 2.3 * 4e9 + 1e9
    monkeypatch.setattr(memory, "available_memory", lambda: needed)
    for limit in needed, float("inf"):
        monkeypatch.setattr(memory, "hard_limit", lambda limit=limit: limit)
        check_training(variables, 1e9)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(memory, "hard_limit", lambda: needed - 1e6)
    with pytest.raises(InputError, match=r"needs about 11\.0 GB of memory, but .* 11\.0 GB: lower --batch-size"):
        check_training(variables, 1e9)


def test_a_training_for_which_memory_is_scarce_is_warned_of(monkeypatch, variables, capsys):
    monkeypatch.setattr(memory, "hard_limit", lambda: float("inf"))
    monkeypatch.setattr(memory, "available_memory", lambda: 2e9)
    check_training(variables, 1e9)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: the training needs about 11.0 GB of memory, but only 2.0 GB are free")


@pytest.mark.skipif(memory.resource is None, reason="Windows has no such limits")
def test_limits_of_the_process_are_known(monkeypatch):
    limits = {memory.resource.RLIMIT_AS: memory.resource.RLIM_INFINITY, memory.resource.RLIMIT_DATA: 3 * 10**6}
    monkeypatch.setattr(memory.resource, "getrlimit", lambda which: (limits[which], limits[which]))
    assert hard_limit() == 3 * 10**6
    limits[memory.resource.RLIMIT_AS] = MAPPED + 10**6
    assert hard_limit() == 10**6
    limits.update(dict.fromkeys(limits, memory.resource.RLIM_INFINITY))
    assert hard_limit() < 2**50 or sys.platform != "linux"  # what the machine has
    assert available_memory() > 0


def test_what_a_container_holds_already_is_not_available(monkeypatch):
    monkeypatch.setattr(memory, "machine_memory", lambda *_: 9e9)
    monkeypatch.setattr(memory, "container_limit", lambda: 8e9)
    monkeypatch.setattr(memory, "container_use", lambda: 6e9)
    assert available_memory() == 2e9
    monkeypatch.setattr(memory, "container_limit", lambda: float("inf"))
    assert available_memory() == 9e9


def test_a_training_that_does_not_fit_is_refused_before_its_first_step(small_digits, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "hard_limit", lambda: PROGRAM)  # which leaves nothing for the training
    with pytest.raises(InputError, match="lower --batch-size"):
        main(["--data", str(small_digits), "--out", str(tmp_path / "run"), "--epochs", "1",
              "--steps-per-epoch", "1"])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("error", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")])
def test_running_out_of_memory_is_one_line(small_digits, tmp_path, monkeypatch, error):
    def without_memory(*_):
        raise error
    for name, start in ("SGAN", main), ("TunedSGAN", tuned.main):
        monkeypatch.setattr(sys.modules[start.__module__], name, without_memory)
        with pytest.raises(InputError, match="out of memory: use fewer or smaller images"):
            start(["--data", str(small_digits), "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()
    for module, arguments in (own_data, ["--data", "x"]), (evaluate_classifier, ["x.h5"]):
        monkeypatch.setattr(module, "set_up_device", without_memory)
        with pytest.raises(InputError, match="out of memory: use fewer or smaller images"):
            module.main(arguments)
