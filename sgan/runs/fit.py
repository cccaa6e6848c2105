"""What lets Keras' `fit` run a training that draws its own batches: it is fitted on step numbers."""

import math
import time

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from sgan.models.evaluation import batch_size_for
from sgan.runs.command import interrupted


class Training(keras.Model):
    """A training whose steps draw their own batches; `fit` it on `step_numbers`.

    A subclass has `train_step`, which returns `self.record(metrics)`; `optimizers`, a list; the models `c_model` and
    `g_model`; `discriminators`, those through which the discriminator is trained; and `step_bytes()`, what a step needs
    in memory beside the variables.

    Args:
        name: of the Keras model.
        metric_names: of the numbers that a step returns.
        seed: for everything that the steps draw.
    """

    def __init__(self, name, metric_names, seed):
        super().__init__(name=name)
        self.means = [keras.metrics.Mean(each) for each in metric_names]
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    @property
    def metrics(self):
        return self.means

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


def step_numbers(n):
    """0 to n - 1, for `fit`. Their pipeline is not tuned: at the end of an epoch TensorFlow would wait for the tuner,
    which sleeps for up to a minute."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.range(n).with_options(options)


def steps_per_call(steps, print_every=None):
    """How many of an epoch's steps to make in one call of the device: 1 on a CPU; up to 50 on a GPU, which the host
    would otherwise hold up. All calls are equally long, and end where losses are printed."""
    if not tf.config.list_physical_devices("GPU"):
        return 1
    return largest_common_divisor(steps, print_every or steps)


def largest_common_divisor(*numbers, most=50):
    """The largest number up to `most` that divides all numbers."""
    return max(n for n in range(1, most + 1) if math.gcd(*numbers) % n == 0)


class WatchLosses(keras.callbacks.Callback):
    """Stop at Ctrl-C and at the first loss that is not a finite number; print the tutorial's line every `print_every`
    steps."""

    def __init__(self, steps_per_epoch, print_every=None):
        super().__init__()
        self.steps_per_epoch, self.print_every = steps_per_epoch, print_every

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.start = epoch, time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        step = self.epoch * self.steps_per_epoch + batch + 1
        self.check(logs, step)
        if self.print_every and step % self.print_every == 0:
            print(f">{step}, c[{logs['c_loss']:.3f},{100 * logs['c_accuracy']:.0f}], "
                  f"d[{logs['d_loss_real']:.3f},{logs['d_loss_fake']:.3f}], g[{logs['g_loss']:.3f}]")

    def on_epoch_end(self, epoch, logs=None):
        self.check(logs, (epoch + 1) * self.steps_per_epoch)  # the means: of steps, too, that were part of one call
        logs["seconds"] = round(time.perf_counter() - self.start, 2)

    def check(self, losses, step):
        """Raises FloatingPointError for a loss that is not finite, and KeyboardInterrupt where one was swallowed."""
        if interrupted.is_set():
            raise KeyboardInterrupt
        for name, value in losses.items():
            if not np.isfinite(value):
                raise FloatingPointError(
                    f"training diverged: {name} is {value} at step {step} (epoch {self.epoch + 1})")


class TimeLeft(keras.callbacks.Callback):
    """Say how long the run will take: first from the steps after compilation, then renewed after each epoch.

    Args:
        epochs, steps: of the run, and of an epoch.
        c_model, sets: what is evaluated after each epoch, on which sets (`Dataset.sets`).
    """

    def __init__(self, epochs, steps, c_model, sets):
        super().__init__()
        self.epochs, self.steps, self.c_model = epochs, steps, c_model
        self.n_images = sum(len(images) for _, _, images, _ in sets)
        self.first_epoch = self.compiled = self.step = None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.began = epoch, time.perf_counter()
        if self.first_epoch is None:
            self.first_epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if self.compiled is None:
            self.compiled, self.compiled_steps = now, batch + 1
        elif self.step is None and self.epoch == self.first_epoch and now - self.compiled > 10:
            self.step = (now - self.compiled) / (batch + 1 - self.compiled_steps)
            epoch = self.step * self.steps + self.seconds_to_evaluate()
            print(f"{in_words((self.epochs - self.first_epoch) * epoch)} for this run", flush=True)

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.first_epoch and self.step:  # compilation is no part of the other epochs
            self.began = self.compiled - self.step * self.compiled_steps
        if epoch + 1 < self.epochs:
            left = (self.epochs - epoch - 1) * (time.perf_counter() - self.began)
            print(f"epoch {epoch + 1} of {self.epochs} done, {in_words(left)} left", flush=True)

    def seconds_to_evaluate(self):
        """An estimate, from one batch."""
        shape = self.c_model.input_shape[1:]
        n = batch_size_for(500, shape)
        images = np.zeros((n, *shape), "float32")
        self.c_model.predict_on_batch(images)  # compiles
        began = time.perf_counter()
        self.c_model.predict_on_batch(images)
        return (time.perf_counter() - began) * self.n_images / n


def in_words(seconds):
    """"about 1 h 20 min", "about 5 min", "less than a minute"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    hours, minutes = divmod(minutes, 60)
    return "about " + " ".join([f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes))
