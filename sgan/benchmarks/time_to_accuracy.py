"""Accuracy against wall-clock time: the tutorial's model and the tuned one.

    python -m sgan.studies.run --preset tuned --label-seed 36 --seed 36   a tuned run, with all cores; then 37, 38, ...
    python -m sgan.benchmarks.time_to_accuracy                            this picture, about a minute

Times, in alternation in one process, a step of `SGAN` and one of `TunedSGAN`. The curve of a tuned run is drawn over
its own seconds since its process began, without its evaluations; that of the tutorial's model, the default run with
label seed 0, over steps times the seconds a step measured here. Reads the runs in RESULTS, and writes
RESULTS/time_to_accuracy.csv and .png.
"""

from functools import partial

import sgan  # before Keras: it chooses the backend and TensorFlow's CPU kernels

if __name__ == "__main__":
    sgan.begin_script()

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from sgan.benchmarks.timing import median_seconds
from sgan.runs.command import InputError, run_command
from sgan.runs.options import ArgumentParser
from sgan.data.dataset import MNIST_FINGERPRINT
from sgan.runs.files import check_writable, expand, write_csv, atomic_write
from sgan.runs.run_folder import versions
from sgan.studies.published import EPOCH_STEPS, PUBLISHED_TUTORIAL
from sgan.studies.results import read_results
from sgan.studies.run import PRESETS, Run
from sgan.studies.tables import seconds_to
from sgan.runs.device import set_up_device
from sgan.tuned import RECIPE, TunedSettings, TunedSGAN
from sgan_mnist import SGAN, Settings

PUBLISHED_STEPS = 12 * EPOCH_STEPS  # after which the tutorial's published model had PUBLISHED_TUTORIAL
ROUNDS, STEPS = 9, 10


def step_seconds():
    """Seconds a step of the tutorial's and of the tuned training, medians of rounds taken in alternation."""
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (1000, 28, 28, 1), dtype="uint8"), np.arange(1000) % 10
    labelled = images[:100], labels[:100]
    models = {"tutorial": SGAN(Settings(), labelled, images, 10),
              "tuned": TunedSGAN(TunedSettings(images="strokes"), labelled, images, 10, PRESETS["tuned"].steps)}
    steps = {name: tf.function(lambda model=model: model.train_step(None)) for name, model in models.items()}

    def several(step):
        for _ in range(STEPS):
            metrics = step()
        float(metrics["g_loss"])  # waits for the device

    medians = median_seconds({name: partial(several, step) for name, step in steps.items()}, ROUNDS)
    return {name: median / STEPS for name, median in medians.items()}


def tuned_histories(results):
    """The histories of this recipe's complete runs on MNIST, 100 labels and more than one thread, by their names."""
    tuned = PRESETS["tuned"]
    complete = {"preset": "tuned", "labels": 100, "without": "nothing", "unlabelled": None, "steps": tuned.steps,
                "evaluate_every": tuned.evaluate_every}
    return {result["name"]: result["history"] for result in results.values()
            if not result["error"] and complete.items() <= result["settings"].items() and result["threads"] > 1
            and result["recipe"]["recipe"] == RECIPE and result["data"]["fingerprint"] == MNIST_FINGERPRINT}


def save_picture(tutorial, histories, path):
    """Draw the curve of the tutorial's model, [(seconds, test accuracy in %)], and the tuned runs' histories."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(*zip(*tutorial), "k.-", label="the tutorial's model, an epoch each dot, its steps alone")
    for i, history in enumerate(histories.values()):
        axes.plot([row["seconds"] for row in history], [100 * row["test_accuracy"] for row in history],
                  color="C0", alpha=0.6, linewidth=1, label="tuned, each label split" if not i else None)
    axes.axhline(100 * PUBLISHED_TUTORIAL, color="C3", linestyle=":", label="the tutorial's published model")
    axes.set(xscale="log", xlabel="seconds since the process began", ylabel="test accuracy, %", ylim=(80, 100))
    ticks = [10, 30, 100, 300, 1000, 3000, 10000]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xlim(10, max(tutorial[-1][0], *(history[-1]["seconds"] for history in histories.values())) * 1.2)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)


def main(argv=None):
    """Time a step of both, draw the picture, and write and print the table."""
    parser = ArgumentParser(prog="python -m sgan.benchmarks.time_to_accuracy", description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=expand, default="results", metavar="FOLDER", help="(default: %(default)s)")
    folder = parser.parse_args(argv).results
    check_writable(folder)
    device = set_up_device()
    results = read_results(folder)
    histories = tuned_histories(results)
    if len(histories) < 2:
        raise InputError(f"{folder}: fewer than two tuned runs at 100 labels with more than one thread each")
    default_run = results.get(Run().identity(MNIST_FINGERPRINT))
    if not default_run or default_run["error"]:
        raise InputError(f"{folder}: the default run with label seed 0 is not there")
    times = step_seconds()
    published = PUBLISHED_STEPS * times["tutorial"]
    rows = [{"what": f"seconds a step, {name}", "value": round(value, 4)} for name, value in times.items()]
    rows.append({"what": f"seconds of {PUBLISHED_STEPS} steps, tutorial", "value": round(published)})
    for name, history in histories.items():
        seconds = seconds_to(history, PUBLISHED_TUTORIAL)
        rows.append({"what": f"seconds to {PUBLISHED_TUTORIAL:.2%}: {name}", "value": seconds})
        rows.append({"what": "times sooner", "value": seconds and round(published / seconds)})
        rows.append({"what": "seconds of the whole run, without its evaluations", "value": history[-1]["seconds"]})
    rows += [{"what": name, "value": value} for name, value in {"device": device, **versions()}.items()]
    tutorial = [(row["step"] * times["tutorial"], 100 * row["test_accuracy"]) for row in default_run["history"]]
    write_csv(folder / "time_to_accuracy.csv", rows)
    save_picture(tutorial, histories, folder / "time_to_accuracy.png")
    for row in rows:
        print(f"{row['what']}: {row['value']}")


if __name__ == "__main__":
    run_command(main)
