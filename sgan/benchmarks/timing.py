"""How the benchmarks take times: in alternation, so that all suffer alike from whatever else the machine does."""

import statistics
import time


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


def step_function(training, numbers):
    """What `fit` calls for a step of a compiled `Training`, or for several: a function without arguments that returns
    their mean metrics. `numbers` is a tf.data.Dataset of enough of them (`step_numbers`)."""
    training.make_train_function()
    numbers = iter(numbers)
    return lambda: training.train_function(numbers)
