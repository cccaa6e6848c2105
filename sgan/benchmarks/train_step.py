"""How fast is the training step, beside the tutorial's loop?

    python -m sgan.benchmarks.train_step                            a minute or two on a CPU
    TF_ENABLE_ONEDNN_OPTS=0 python -m sgan.benchmarks.train_step    without oneDNN, TensorFlow's faster CPU kernels

Times, in alternation (A B C A B C ...), so that all suffer alike from whatever else the machine does:

    loop                       the tutorial's loop (plain_loop.py)
    step, plain convolutions   the next without fast_convolution.py
    step                       what `fit` calls, on a CPU, for a step of SGAN.train_step

The tutorial's users have TensorFlow's default: oneDNN on a CPU with AVX512-VNNI only.
"""

import platform
import statistics
import time

import sgan  # before Keras: it chooses the backend and TensorFlow's CPU kernels

if __name__ == "__main__":
    sgan.begin_script()

import keras
import numpy as np
import tensorflow as tf

from sgan.benchmarks.plain_loop import compiled_models, plain_step, random_batches
from sgan.runs.command import run_command
from sgan.runs.device import set_up_device
from sgan.runs.fit import step_numbers
from sgan.runs.options import ArgumentParser, at_least
from sgan_mnist import SGAN, Settings


def median_seconds(functions, rounds):
    """Median seconds of a call of each of `functions`, {name: function}, over rounds in which each is called once.

    A round before, in which TensorFlow may compile, does not count.
    """
    taken = {name: [] for name in functions}
    for _ in range(1 + rounds):
        for name, function in functions.items():
            began = time.perf_counter()
            function()
            taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def make_sgan():
    """An `SGAN` on 60,000 random images, 100 of them labelled."""
    images = np.random.default_rng(0).integers(0, 256, (60_000, 28, 28, 1), "uint8")
    return SGAN(Settings(), (images[:100], np.arange(100) % 10), images, 10)


def step_function(training, calls):
    """What `fit` calls for a step of a `Training`: a function without arguments, for so many `calls`."""
    training.compile(optimizer=None)
    training.make_train_function()
    numbers = iter(step_numbers(calls))
    return lambda: float(training.train_function(numbers)["g_loss"])  # waits for the device


def main(argv=None):
    """Measure, and print the medians."""
    parser = ArgumentParser(prog="python -m sgan.benchmarks.train_step", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=at_least(int, 1), default=15, metavar="N", help="(default: %(default)s)")
    rounds = parser.parse_args(argv).rounds
    print(f"{set_up_device()}; TensorFlow {tf.__version__}, Keras {keras.__version__}, "
          f"Python {platform.python_version()}; medians of {rounds} rounds")
    models, batches = compiled_models(), random_batches()
    ours, plain = make_sgan(), make_sgan()
    layer = plain.g_model.get_layer("image")
    layer.convolution_op = type(layer).convolution_op.__get__(layer)  # the layer's own again
    medians = median_seconds({"loop": lambda: plain_step(models, *batches),
                              "step, plain convolutions": step_function(plain, rounds + 1),
                              "step": step_function(ours, rounds + 1)}, rounds)
    for name, median in medians.items():
        print(f"{name:25} {median:.4f} s, {median / medians['step']:.2f} times the step")


if __name__ == "__main__":
    run_command(main)
