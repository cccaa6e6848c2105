"""How fast is the training step, and why not faster?

    python -m sgan.benchmarks.train_step
    python -m sgan.benchmarks.train_step --line     how fast sgan_mnist.py trains here, also on a GPU: a line to paste

Times, in alternation (A B C D A B C D ...), so that all suffer alike from whatever else the machine does:

    loop, TensorFlow's defaults   the tutorial's loop (tests/plain_loop.py) as its users run it; in a second process, as
                                  a process can choose only once whether TensorFlow uses oneDNN, as sgan_mnist.py does
    loop, with oneDNN             the same loop in the same process and with the same settings as what follows
    step                          what `fit` calls for a step of SGAN.train_step
    step, plain convolutions      the same without fast_convolution.py
    matrix product                4096 x 2048 by 2048 x 2048, float32: the best that these cores can do

and measures the four updates, evaluation, memory and the way to the first step. Writes RESULTS/train_step.csv. The long
form is for a CPU: its two processes would both want a GPU's memory.
"""

import contextlib
import io
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import sgan  # before Keras: it chooses the backend and TensorFlow's CPU kernels

if __name__ == "__main__":
    sgan.begin_script()

from sgan.benchmarks.timing import median_seconds, step_function
from sgan.runs.command import run_command
from sgan.runs.options import ArgumentParser
from sgan.runs.startup import quiet_stderr

# Multiplications and additions of a step, from the layers of the tutorial's models: the generator takes 139.6 MFLOP an
# image forward, the discriminator 19.6; backward costs twice that, or once where only the inputs' gradient is needed:
# 3 * 19.6 * (50 + 50 + 50) + 139.6 * 50 + (3 * 139.6 + 2 * 19.6) * 100.
STEP_GFLOP = 61.6


def noise_batches(half=50):
    """The arguments of a plain step: random images, labels and latent points."""
    import numpy as np

    random = np.random.default_rng(0)
    labelled, unlabelled = random.uniform(-1, 1, (2, half, 28, 28, 1)).astype("float32")
    points = random.normal(size=(3 * half, 100)).astype("float32")
    return labelled, random.integers(0, 10, half), unlabelled, points[:half], points[half:]


# --- in processes of their own ---


def in_child(function, *arguments):
    """Call the function in a new process. Returns what it returns, and the peak of its memory in MiB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(with_peak_memory, (function, arguments))


def with_peak_memory(function, arguments):
    """What the function returns, and the peak of this process' memory in MiB."""
    result = function(*arguments)
    with open("/proc/self/status") as file:
        peak = next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
    return result, peak


def import_tensorflow():
    """Import TensorFlow, without its lines."""
    with quiet_stderr():
        import tensorflow  # noqa: F401


def use_tensorflows_defaults():
    """Import TensorFlow as a program does that knows nothing of this package, whose import turns oneDNN on."""
    os.environ.pop("TF_ENABLE_ONEDNN_OPTS", None)
    import_tensorflow()


def run_loop(n_images, steps=3):
    """The tutorial's program: all images as float32, a few steps, evaluation of the classifier. Seconds to step one."""
    start = time.perf_counter()
    use_tensorflows_defaults()
    import numpy as np

    from tests.plain_loop import compiled_models, plain_step

    images = np.random.default_rng(0).integers(0, 256, (n_images, 28, 28, 1), "uint8").astype("float32")
    images = (images - 127.5) / 127.5
    models, batches = compiled_models(), noise_batches()
    plain_step(models, *batches)
    first = time.perf_counter() - start
    for _ in range(steps - 1):
        plain_step(models, *batches)
    models[2].evaluate(images, np.zeros(n_images), verbose=0)
    return first


def run_script(n_images, steps=3):
    """sgan_mnist.py: on random images, with few steps, evaluation and saving. Seconds to step one, and a step."""
    start = time.perf_counter()
    sgan.begin_script()
    import numpy as np

    import sgan_mnist

    class Clock(io.StringIO):
        """Standard output that notes when each step was printed."""
        steps = []

        def write(self, text):
            if text.startswith(">") and ", c[" in text:
                self.steps.append(time.perf_counter() - start)

    with tempfile.TemporaryDirectory() as folder:
        imported = time.perf_counter()
        random = np.random.default_rng(0)
        np.savez(f"{folder}/random.npz", x_train=random.integers(0, 256, (n_images, 28, 28), "uint8"),
                 y_train=np.where(np.arange(n_images) < 20_000, np.arange(n_images) % 10, -1),
                 x_test=random.integers(0, 256, (100, 28, 28), "uint8"), y_test=np.arange(100) % 10)
        made = time.perf_counter() - imported  # which is no part of the script's work
        with contextlib.redirect_stdout(Clock()):
            sgan_mnist.main(["--data", f"{folder}/random.npz", "--out", f"{folder}/run", "--labels", "100",
                             "--epochs", "1", "--steps-per-epoch", str(steps), "--print-every", "1"])
    step_times = [b - a for a, b in zip(Clock.steps[1:], Clock.steps[2:])]
    return Clock.steps[0] - made, statistics.median(step_times)


def loop_with_defaults(connection):
    """Answer each message by a step of the loop, until the message is false."""
    use_tensorflows_defaults()

    from tests.plain_loop import compiled_models, plain_step

    models, batches = compiled_models(), noise_batches()
    while connection.recv():
        plain_step(models, *batches)
        connection.send("done")


# --- in this process ---


def make_sgan(images):
    """The tutorial's SGAN on the images, the first 100 of them labelled."""
    import numpy as np

    from sgan_mnist import SGAN, Settings

    return SGAN(Settings(), (images[:100], np.arange(100) % 10), images, n_classes=10)


def time_steps(rounds):
    """Median seconds of the loop with TensorFlow's defaults and with oneDNN, the step, and a matrix product."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=loop_with_defaults, args=(there,))
    process.start()

    import numpy as np
    import tensorflow as tf

    from sgan.runs.device import set_up_device
    from sgan.runs.fit import step_numbers
    from tests.plain_loop import compiled_models, plain_step

    set_up_device()
    loop_models, batches = compiled_models(), noise_batches()
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (60_000, 28, 28, 1), "uint8")

    def loop_there():
        here.send(True)
        here.recv()

    def step_of(training):
        training.compile(optimizer=None)
        step = step_function(training, step_numbers(rounds + 1))
        return lambda: float(step()["g_loss"])

    tutorial, plain = make_sgan(images), make_sgan(images)
    del plain.g_model.get_layer("image").convolution_op  # the layer's own again
    left, right = (tf.constant(random.normal(size=size).astype("float32")) for size in ((4096, 2048), (2048, 2048)))
    product = tf.function(lambda: tf.reduce_sum(left @ right))
    medians = median_seconds({
        "loop, TensorFlow's defaults": loop_there,
        "loop, with oneDNN": lambda: plain_step(loop_models, *batches),
        "step": step_of(tutorial),
        "step, plain convolutions": step_of(plain),
        "matrix product": lambda: float(product()),
    }, rounds)
    here.send(False)
    process.join()
    return medians, tutorial


def line_to_paste(rounds):
    """Device, versions, and the median milliseconds of a step of sgan_mnist.py as `fit` makes it, in one line."""
    import keras
    import numpy as np
    import tensorflow as tf

    from sgan.runs.device import set_up_device
    from sgan.runs.fit import step_numbers, steps_per_call

    device, several = set_up_device(), steps_per_call(600)
    training = make_sgan(np.random.default_rng(0).integers(0, 256, (60_000, 28, 28, 1), "uint8"))
    training.compile(optimizer=None, steps_per_execution=several)
    steps = step_function(training, step_numbers((rounds + 1) * several))
    step = median_seconds({"steps": lambda: float(steps()["g_loss"])}, rounds)["steps"] / several
    return (f"{device}; TensorFlow {tf.__version__}, Keras {keras.__version__}, Python {platform.python_version()}: "
            f"{1000 * step:.1f} ms a step, {training.batch_size / step:,.0f} images/s "
            f"(median of {rounds} calls of {several} steps, {training.batch_size} images each)")


def time_updates(training, rounds):
    """Median seconds of each of the four updates, compiled alone."""
    import tensorflow as tf

    from sgan_mnist import generate_fake_samples

    labelled, labels, unlabelled, fake_noise, gan_noise = map(tf.constant, noise_batches())
    updates = {
        "update 1, labelled": lambda: training.train_on_labelled(labelled, labels)[0],
        "update 2, unlabelled": lambda: training.train_on_unlabelled(unlabelled),
        "update 3, generated": lambda: training.train_on_generated(
            generate_fake_samples(training.g_model, fake_noise)),
        "update 4, generator": lambda: training.train_generator(gan_noise),
    }
    compiled = {name: tf.function(update) for name, update in updates.items()}
    return median_seconds({name: lambda update=update: float(update()) for name, update in compiled.items()}, rounds)


def time_evaluation(c_model, n_images, rounds):
    """Median seconds to classify `n_images` images, for several batch sizes."""
    import inspect

    import numpy as np

    from sgan.models.evaluation import predict_classes

    images = np.random.default_rng(0).integers(0, 256, (n_images, 28, 28, 1), "uint8")
    default = inspect.signature(predict_classes).parameters["batch_size"].default
    rows = np.arange(n_images)
    return median_seconds({size: lambda size=size: predict_classes(c_model, images, rows, size)
                           for size in (100, 250, 500, 1000, 2500)}, rounds), default


def main(argv=None):
    """Measure what the command line asks for; print it, and write it unless it is a smoke run."""
    parser = ArgumentParser(prog="python -m sgan.benchmarks.train_step", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rounds and fewer images: a smoke run")
    parser.add_argument("--line", action="store_true", help="only how fast sgan_mnist.py trains here: a line to paste")
    parser.add_argument("--results", type=Path, default="results", metavar="FOLDER", help="(default: %(default)s)")
    args = parser.parse_args(argv)
    quick = args.quick
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if args.line:
        print(line_to_paste(rounds=1 if quick else 15))
        return
    from sgan.runs.files import check_writable, expand, write_csv

    results = expand(args.results)
    if not quick:
        check_writable(results)
    rows = []

    def report(name, value, unit, remark=""):
        rows.append({"measured": name, "value": f"{value:.4g}", "unit": unit})
        print(f"{name:55s} {value:10.3f} {unit:8s} {remark}", flush=True)

    images = 6_000 if quick else 60_000
    _, peak = in_child(import_tensorflow)
    report("peak memory, importing TensorFlow", peak, "MiB")
    first, peak = in_child(run_loop, images)
    report("loop: start to first step", first, "s")
    report(f"loop: peak memory, {images} images", peak, "MiB")
    for n in (images, 10 * images):
        (first, step), peak = in_child(run_script, n, 3 if quick else 12)
        report(f"sgan_mnist.py: start to first step, {n} images", first, "s")
        report(f"sgan_mnist.py: a step, {n} images", step, "s")
        report(f"sgan_mnist.py: peak memory, {n} images", peak, "MiB", f"(the images: {n * 784 / 2**20:.0f} MiB)")

    medians, training = time_steps(1 if quick else 15)
    for name, median in medians.items():
        report(name, median, "s")
    speed = 2 * 4096 * 2048 * 2048 / medians["matrix product"] / 1e9
    floor = STEP_GFLOP / speed
    report("matrix product", speed, "GFLOP/s")
    report(f"floor: {STEP_GFLOP} GFLOP at that speed", floor, "s")
    report("step: share of the floor's speed", 100 * floor / medians["step"], "per cent")
    for name in ("loop, TensorFlow's defaults", "loop, with oneDNN", "step, plain convolutions"):
        report(f"{name} / step", medians[name] / medians["step"], "times")
    for name, median in time_updates(training, 1 if quick else 9).items():
        report(name, median, "s")
    n = 2_500 if quick else 70_000
    taken, default = time_evaluation(training.c_model, n, 1 if quick else 2)
    for size, median in taken.items():
        report(f"evaluation of {n} images, batches of {size}", median, "s")
    report(f"evaluation: batches of {default}, ours / the best", taken[default] / min(taken.values()), "times")

    if not quick:
        import keras
        import tensorflow as tf

        from sgan.runs.device import set_up_device

        machine = f"{set_up_device()}; TensorFlow {tf.__version__}, Keras {keras.__version__}"
        write_csv(results / "train_step.csv", [*rows, {"measured": "machine", "value": machine, "unit": ""}])


if __name__ == "__main__":
    run_command(main)
