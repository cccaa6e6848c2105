"""sgan/runs/fit.py: Keras' `fit` for trainings that draw their own batches; device.py: where they are made."""

import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import make_sgan

from sgan.runs import device, fit
from sgan.runs.command import interrupt, interrupted
from sgan.runs.device import on_device
from sgan.runs.fit import TimeLeft, WatchLosses, step_numbers, steps_per_call

GPU = [tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")]


@pytest.fixture
def with_gpu(monkeypatch):
    """As far as this package asks, there is a GPU."""
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: GPU)


def test_step_numbers_come_without_a_tuner_to_wait_for():
    numbers = step_numbers(3)
    assert list(numbers.as_numpy_iterator()) == [0, 1, 2] and numbers.options().autotune.enabled is False
    assert steps_per_call(600) == 1  # on a CPU


class Drawing(fit.Training):
    """A training of nothing, whose losses are random."""

    def train_step(self, data):
        return self.record({"c_loss": keras.random.uniform((), seed=self.seed_generator)})


def test_fit_makes_the_same_steps_however_many_in_one_call_and_an_epochs_metric_is_their_mean(monkeypatch):
    def fitted(calls, seed=0):
        monkeypatch.setattr(fit, "steps_per_call", lambda steps, every: calls)
        training, losses, epochs = Drawing("drawing", ["c_loss"], seed), [], []
        record = keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: losses.append(float(logs["c_loss"])),
                                                on_epoch_end=lambda epoch, logs: epochs.append((epoch, logs)))
        fit.fit(training, 4, epochs=2, first_epoch=1, callbacks=[record])
        ((epoch, logs),) = epochs
        assert epoch == 1 and logs["seconds"] > 0 and len({*losses}) == len(losses)
        return losses, logs["c_loss"]

    steps, mean = fitted(calls=1)
    assert len(steps) == 4 and mean == pytest.approx(np.mean(steps), rel=1e-5)
    assert fitted(calls=2) == (steps[1::2], pytest.approx(mean, rel=1e-6))
    assert not {*steps} & {*fitted(calls=1, seed=1)[0]}


def test_state_holds_weights_random_states_and_optimizers():
    sgan = make_sgan()
    variables = {id(variable) for variable in sgan.state_variables()}
    parts = [sgan.g_model, sgan.d_model, sgan.c_model, *sgan.optimizers]
    assert all(id(variable) in variables for part in parts for variable in part.variables)
    assert len(sgan.optimizers) == 3 and id(sgan.seed_generator.state) in variables
    assert id(sgan.c_model.get_layer("dropout").seed_generator.state) in variables


@pytest.mark.parametrize("numbers, divisor", [((600,), 50), ((600, 100), 50), ((600, 45), 15), ((7,), 7), ((53,), 1)])
def test_calls_of_a_gpu_are_equally_long(numbers, divisor, with_gpu):
    assert steps_per_call(*numbers) == divisor


def test_images_for_a_gpu_are_of_a_type_that_it_gathers(with_gpu):
    assert on_device(np.arange(256, dtype="uint8")).dtype == "float16"
    assert np.array_equal(on_device(np.arange(256, dtype="uint8")), np.arange(256))
    assert on_device(np.arange(3)).dtype == "int64"


# Callbacks


LOSSES = {"c_loss": 0.5, "c_accuracy": 0.75, "d_loss_real": 1.25, "d_loss_fake": 2, "g_loss": 3}


def started(callback, steps=4, epochs=2, epoch=0):
    """A callback at the beginning of an epoch."""
    callback.set_params({"steps": steps, "epochs": epochs})
    callback.on_train_begin()
    callback.on_epoch_begin(epoch)
    return callback


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_the_training(value):
    watch = started(WatchLosses(), epoch=1)
    with pytest.raises(FloatingPointError, match=rf"training diverged: g_loss is {value} at step 6 \(epoch 2\)"):
        watch.on_train_batch_end(1, {**LOSSES, "g_loss": value})
    with pytest.raises(FloatingPointError, match=r"at step 8 \(epoch 2\)"):
        watch.on_epoch_end(1, {**LOSSES, "g_loss": value})


def test_a_generator_that_deceives_nobody_is_named(capsys):
    for loss in 0.02, 0.009:
        started(WatchLosses()).on_epoch_end(2, {**LOSSES, "d_loss_fake": loss})
    assert capsys.readouterr().err == (
        "epoch 3: the discriminator recognises every generated image (d_loss_fake 0.009), so the generator has failed; "
        "unless the next epochs change that, try another --seed\n")


def test_ctrl_c_that_keras_swallows_ends_the_training_all_the_same():
    class Interrupted(float):
        def __float__(self):
            if not interrupted.is_set():
                signal.raise_signal(signal.SIGINT)
            return 0.5

    callbacks = keras.callbacks.CallbackList([started(WatchLosses())])
    callbacks.on_train_batch_end(0, LOSSES)
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            callbacks.on_train_batch_end(1, {**LOSSES, "c_loss": Interrupted(0.5)})
    finally:
        signal.signal(signal.SIGINT, before)
        interrupted.clear()


def test_a_run_says_how_long_it_will_take(monkeypatch, capsys):
    """600 steps an epoch, one a second after 30 s of compilation; an evaluation takes 120 s."""
    clock = [1000.0]
    monkeypatch.setattr(fit.time, "perf_counter", lambda: clock[0])
    left = started(TimeLeft(), steps=600, epochs=8)
    for epoch, compilation in (1, 30), (6, 0), (7, 0):  # the first of a resumed run
        left.on_epoch_begin(epoch)
        clock[0] += compilation
        for batch in range(600):
            clock[0] += 1
            left.on_train_batch_end(batch)
        clock[0] += 120
        left.on_epoch_end(epoch)
    assert capsys.readouterr().out.splitlines() == [
        "about 1 h 10 min for the steps of this run", "epoch 2 of 8 done, about 1 h 15 min left",
        "epoch 7 of 8 done, about 12 min left"]


# The device


@pytest.mark.parametrize("there, hidden", [(True, False), (True, True), (False, False)])
def test_a_gpu_that_is_not_used_is_spoken_of(monkeypatch, capsys, there, hidden):
    monkeypatch.setattr(device.shutil, "which", lambda name: "/usr/bin/nvidia-smi" if there else None)
    monkeypatch.setattr(device.os.path, "exists", lambda path: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert device.set_up_device().startswith("CPU with ")
    assert ("tensorflow[and-cuda]" in capsys.readouterr().err) == (there and not hidden)
