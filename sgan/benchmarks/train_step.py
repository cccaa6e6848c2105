"""How fast is the training step, beside the tutorial's loop?

    python -m sgan.benchmarks.train_step            a few minutes on a CPU; writes RESULTS/train_step.csv
    python -m sgan.benchmarks.train_step --line     how fast sgan_mnist.py trains here, also on a GPU: a line to paste

Times, in alternation (A B C D A B C D ...), so that all suffer alike from whatever else the machine does:

    loop, TensorFlow's defaults   the tutorial's loop (plain_loop.py) as its users run it; in a second process, as a
                                  process can choose only once whether TensorFlow uses oneDNN, as sgan_mnist.py does
    loop, with oneDNN             the same loop in the same process and with the same settings as what follows
    step, plain convolutions      the next without fast_convolution.py
    step                          what `fit` calls for a step of SGAN.train_step

A GPU would be wanted by both processes: there, only --line works.
"""

import os
import platform
import statistics
import subprocess
import sys
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
from sgan.runs.files import expand, write_csv
from sgan.runs.fit import step_numbers, steps_per_call
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


def step_function(training, calls, steps=1):
    """What `fit` calls for `steps` steps of a `Training`: a function without arguments, for so many `calls`."""
    training.compile(optimizer=None, steps_per_execution=steps)
    training.make_train_function()
    numbers = iter(step_numbers(calls * steps))
    return lambda: float(training.train_function(numbers)["g_loss"])  # waits for the device


def make_training(training_class, settings, *arguments):
    """An `SGAN`, or another such class with these further arguments, on 60,000 random images, 100 of them labelled."""
    images = np.random.default_rng(0).integers(0, 256, (60_000, 28, 28, 1), "uint8")
    return training_class(settings, (images[:100], np.arange(100) % 10), images, 10, *arguments)


def time_step(rounds):
    """The median milliseconds of a step of sgan_mnist.py as `fit` makes it, in words."""
    training, several = make_training(SGAN, Settings()), steps_per_call(600)
    step = median_seconds({"steps": step_function(training, rounds + 1, several)}, rounds)["steps"] / several
    return (f"{1000 * step:.1f} ms a step, {training.batch_size / step:,.0f} images/s "
            f"(median of {rounds} calls of {several} steps, {training.batch_size} images each)")


def compare(rounds):
    """Median seconds of a step of each kind, {name: seconds}."""
    loop = subprocess.Popen([sys.executable, "-m", "sgan.benchmarks.plain_loop"], text=True, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    models, batches = compiled_models(), random_batches()
    ours, plain = (make_training(SGAN, Settings()) for _ in range(2))
    del plain.g_model.get_layer("image").convolution_op  # the layer's own again

    def step_there():
        print(file=loop.stdin, flush=True)
        loop.stdout.readline()

    with loop:
        return median_seconds({
            "loop, TensorFlow's defaults": step_there,
            "loop, with oneDNN": lambda: plain_step(models, *batches),
            "step, plain convolutions": step_function(plain, rounds + 1),
            "step": step_function(ours, rounds + 1),
        }, rounds)


def main(argv=None):
    """Measure what the command line asks for, print it, and write what is compared."""
    parser = ArgumentParser(prog="python -m sgan.benchmarks.train_step", description=__doc__.split("\n")[0])
    parser.add_argument("--line", action="store_true", help="only how fast sgan_mnist.py trains here: a line to paste")
    parser.add_argument("--rounds", type=at_least(int, 1), default=15, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--results", type=expand, default="results", metavar="FOLDER", help="(default: %(default)s)")
    args = parser.parse_args(argv)
    machine = (f"{set_up_device()}; TensorFlow {tf.__version__}, Keras {keras.__version__}, "
               f"Python {platform.python_version()}")
    if args.line:
        print(f"{machine}: {time_step(args.rounds)}")
        return
    medians = compare(args.rounds)
    values = [(name, median, "s") for name, median in medians.items()]
    values += [(f"{name} / step", medians[name] / medians["step"], "times") for name in [*medians][:-1]]
    rows = [{"measured": name, "value": f"{value:.4g}", "unit": unit} for name, value, unit in values]
    rows.append({"measured": "machine", "value": machine, "unit": ""})
    for row in rows:
        print("{measured:35} {value:6} {unit}".format(**row))
    write_csv(args.results / "train_step.csv", rows)
    print(f"Saved: {args.results / 'train_step.csv'}, medians of {args.rounds} rounds")


if __name__ == "__main__":
    run_command(main)
