"""Keras' `fit` for trainings that draw their own batches: one function, and what watches it."""

import math
import time

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from sgan.runs.command import interrupted, warn


class Training(keras.Model):
    """A training whose steps draw their own batches; see `fit`.

    A subclass has `train_step`, which returns `self.record(metrics)`; `optimizers`, a list; `discriminators`, the
    models through which the discriminator is trained; and `c_model` and, unless `has_generator` is False, `g_model`.

    Args:
        name: of the Keras model.
        metric_names: of the numbers that a step returns.
        seed: of what the steps draw themselves; initial weights, and noise of layers, come from Keras' global one.
    """

    has_generator = True

    def __init__(self, name, metric_names, seed):
        super().__init__(name=name)
        self.means = [keras.metrics.Mean(each) for each in metric_names]
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    @property
    def metrics(self):
        return self.means

    def latent_points(self, n, seed):
        """The generator's input: (n, latent_dim) independent standard normal values."""
        return keras.random.normal((n, self.g_model.input_shape[1]), seed=seed)

    def record(self, values):
        """Take a step's metrics, {name: number}, into the epoch's means, and return them.

        As they bear the names of the means, `fit` shows each step's own values and ends an epoch with the means.
        """
        for mean in self.means:
            mean.update_state(values[mean.name])
        return values

    def state_variables(self):
        """Every variable that the next step depends on: weights, seeds of noise and dropout, the optimizers' state."""
        return [*self.variables, *(variable for optimizer in self.optimizers for variable in optimizer.variables)]


def batch_accuracy(predictions, labels):
    """Share, 0..1, of rows of predictions (n, K), logits or probabilities, that are largest at their label (n,)."""
    right = ops.equal(ops.argmax(predictions, axis=-1), ops.cast(labels, "int32"))
    return ops.mean(ops.cast(right, "float32"))


def fit(training, steps, epochs=1, first_epoch=0, callbacks=(), every=None, verbose=0):
    """Train for `steps` steps in each epoch.

    Args:
        training: a `Training`.
        epochs, first_epoch: number of the whole training's epochs, and of those already made.
        callbacks: Keras'. Their `logs` are each step's own metrics, at the end of an epoch the means of its steps and
            the "seconds" they took.
        every: callbacks need to see each step whose number is a multiple of this; on a GPU they do not see all.
        verbose: as Keras' `fit` takes it.

    Raises:
        FloatingPointError: a loss is not a finite number.
        KeyboardInterrupt: Ctrl-C.
    """
    training.compile(optimizer=None, steps_per_execution=steps_per_call(steps, every))  # the models have optimizers
    training.fit(step_numbers(steps), epochs=epochs, initial_epoch=first_epoch, shuffle=False, verbose=verbose,
                 callbacks=[WatchLosses(), *callbacks])


def step_numbers(n):
    """0 to n - 1, for `fit`. Their pipeline is not tuned: at the end of an epoch TensorFlow would wait for the tuner,
    which sleeps for up to a minute."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.range(n).with_options(options)


def steps_per_call(steps, every=None):
    """How many of an epoch's steps to make in one call of the device: 1 on a CPU; up to 50 on a GPU, which the host
    would otherwise hold up. All calls are equally long, and one ends after `every` steps."""
    if not tf.config.list_physical_devices("GPU"):
        return 1
    return max(n for n in range(1, 51) if math.gcd(steps, every or steps) % n == 0)


class WatchLosses(keras.callbacks.Callback):
    """Stop at Ctrl-C and at the first loss that is not a finite number; name a generator that deceives nobody; add an
    epoch's "seconds" to its logs."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.began = epoch, time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.check(logs, batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        self.check(logs, self.params["steps"])  # the means: of steps, too, that were part of one call
        if logs.get("d_loss_fake", 1) < 0.01:
            warn(f"epoch {epoch + 1}: the discriminator recognises every generated image (d_loss_fake "
                 f"{logs['d_loss_fake']:.1g}), so the generator has failed; unless the next epochs change that, try "
                 "another --seed")
        logs["seconds"] = round(time.perf_counter() - self.began, 2)

    def check(self, losses, step):
        """Raises FloatingPointError for a loss that is not finite, and KeyboardInterrupt if Keras swallowed one."""
        if interrupted.is_set():
            raise KeyboardInterrupt
        for name, value in losses.items():
            if not np.isfinite(value):
                raise FloatingPointError(f"training diverged: {name} is {value} at step "
                                         f"{self.epoch * self.params['steps'] + step} (epoch {self.epoch + 1}); "
                                         "try a smaller learning rate")


class TimeLeft(keras.callbacks.Callback):
    """Say how long the run will take: once from the first epoch's steps, then after each epoch."""

    compiled = said = None

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs_left, self.began = self.params["epochs"] - epoch, time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if self.compiled is None:  # by the first call, which is no measure of the others
            self.compiled, self.steps_before = now, batch
        elif not self.said and now - self.compiled > 10:
            step = (now - self.compiled) / (batch - self.steps_before)
            print(f"{in_words(self.epochs_left * self.params['steps'] * step)} for the steps of this run", flush=True)
            self.said = True

    def on_epoch_end(self, epoch, logs=None):
        self.said, seconds = True, time.perf_counter() - self.began
        if self.epochs_left > 1:
            print(f"epoch {epoch + 1} of {self.params['epochs']} done, "
                  f"{in_words((self.epochs_left - 1) * seconds)} left", flush=True)


def in_words(seconds):
    """"about 1 h 20 min", "about 5 min"."""
    hours, minutes = divmod(max(1, round(seconds / 60)), 60)
    return f"about {hours} h {minutes} min" if hours else f"about {minutes} min"
