"""Accuracy against wall-clock time: the tutorial's model and the tuned one.

    python -m sgan.studies.run --preset tuned --label-seed 36 --seed 36   a tuned run, with all cores; then 37 to 40
    python -m sgan.benchmarks.time_to_accuracy                            this picture, about a minute

Times, in alternation in one process, a step of `SGAN` and one of `TunedSGAN`. The curve of a tuned run is drawn over
its own seconds since its process began, without its evaluations; that of the tutorial's model, the default run with
label seed 0, over steps times the seconds a step measured here. Reads the runs in RESULTS, and writes
RESULTS/time_to_accuracy.csv and .png.
"""

import sgan  # before Keras: it chooses the backend and TensorFlow's CPU kernels

if __name__ == "__main__":
    sgan.begin_script()

from matplotlib.figure import Figure

from sgan.benchmarks.train_step import make_training, median_seconds, step_function
from sgan.data.dataset import MNIST_FINGERPRINT
from sgan.runs.command import InputError, run_command
from sgan.runs.device import set_up_device
from sgan.runs.files import atomic_write, expand, write_csv
from sgan.runs.options import ArgumentParser
from sgan.runs.run_folder import versions
from sgan.studies.published import EPOCH_STEPS, PUBLISHED_TUTORIAL
from sgan.studies.results import read_results
from sgan.studies.run import Run
from sgan.studies.tables import seconds_to
from sgan.tuned import TunedSettings, TunedSGAN
from sgan_mnist import SGAN, Settings

PUBLISHED_STEPS = 12 * EPOCH_STEPS  # after which the tutorial's published model had PUBLISHED_TUTORIAL
SPLITS = range(36, 41)  # of the tuned runs: label seed and seed
ROUNDS = 50


def step_seconds():
    """Median seconds of a step of the tutorial's training and of the tuned one."""
    tuned = make_training(TunedSGAN, TunedSettings(images="strokes"), Run(preset="tuned").steps)
    trainings = {"tutorial": make_training(SGAN, Settings()), "tuned": tuned}
    return median_seconds({name: step_function(each, ROUNDS + 1) for name, each in trainings.items()}, ROUNDS)


def save_picture(tutorial, histories, path):
    """Draw the curve of the tutorial's model, [(seconds, test accuracy in %)], and the tuned runs' histories."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(*zip(*tutorial), "k.-", label="the tutorial's model, an epoch each dot, its steps alone")
    for i, history in enumerate(histories):
        axes.plot([row["seconds"] for row in history], [100 * row["test_accuracy"] for row in history],
                  color="C0", alpha=0.6, linewidth=1, label="tuned, each label split" if not i else None)
    axes.axhline(100 * PUBLISHED_TUTORIAL, color="C3", linestyle=":", label="the tutorial's published model")
    axes.set(xscale="log", xlabel="seconds since the process began", ylabel="test accuracy, %", xlim=(10, None),
             ylim=(80, 100))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)


def main(argv=None):
    """Time a step of both, draw the picture, and write and print the table."""
    parser = ArgumentParser(prog="python -m sgan.benchmarks.time_to_accuracy", description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=expand, default="results", metavar="FOLDER", help="(default: %(default)s)")
    folder = parser.parse_args(argv).results
    device, results = set_up_device(), read_results(folder)
    default, *tuned = (results.get(run.identity(MNIST_FINGERPRINT)) for run in (
        Run(), *(Run(preset="tuned", label_seed=split, seed=split) for split in SPLITS)))
    tuned = [run for run in tuned if run and not run["error"]]
    if not default or default["error"] or not tuned:
        raise InputError(f"{folder}: needs the default run with label seed 0, and tuned runs with 36 to 40")
    times = step_seconds()
    published = PUBLISHED_STEPS * times["tutorial"]
    rows = [{"what": f"seconds a step, {name}", "value": round(value, 4)} for name, value in times.items()]
    rows.append({"what": f"seconds of {PUBLISHED_STEPS} steps, tutorial", "value": round(published)})
    for run in tuned:
        seconds = seconds_to(run["history"], PUBLISHED_TUTORIAL)
        rows += [{"what": f"seconds to {PUBLISHED_TUTORIAL:.2%}: {run['name']}", "value": seconds},
                 {"what": "times sooner", "value": seconds and round(published / seconds)},
                 {"what": "seconds of the whole run, without its evaluations", "value": run["final"]["seconds"]}]
    rows += [{"what": name, "value": value} for name, value in {"device": device, **versions()}.items()]
    curve = [(row["step"] * times["tutorial"], 100 * row["test_accuracy"]) for row in default["history"]]
    write_csv(folder / "time_to_accuracy.csv", rows)
    save_picture(curve, [run["history"] for run in tuned], folder / "time_to_accuracy.png")
    for row in rows:
        print(f"{row['what']}: {row['value']}")


if __name__ == "__main__":
    run_command(main)
