"""One run of a study, and one file with its result.

    python -m sgan.studies.run --preset article --method sgan --labels 100 --label-seed 0 --seed 0 --data mnist

Trains an SGAN, or its classifier on the labelled images only, for a number of steps that is fixed beforehand, and
writes RESULTS/new/NAME.json (results.py says what is in it), the error of a training that failed included. A run that
is in RESULTS already is not made again. The accuracy to report is the last step's.
"""

import time

BEGAN = time.perf_counter()  # of the process, except for Python's own start

import argparse
import itertools
import os
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import sgan  # before Keras: it chooses the backend and TensorFlow's CPU kernels

if __name__ == "__main__":
    sgan.begin_script()

import keras
import numpy as np

from discriminator_variants import VARIANTS, count_weights
from sgan.models.metadata import describe_classifier
from sgan.data.augmentation import AUGMENTATION
from sgan.runs.command import InputError, run_command
from sgan.runs.options import ArgumentParser, add_options, at_least, flag, option
from sgan.data.dataset import DataSettings, load_real_samples
from sgan.models.evaluation import accuracy, balanced_accuracy, predict_classes
from sgan.runs.files import check_writable, expand, save_model
from sgan.runs.device import available_cores
from sgan.runs.run_folder import versions
from sgan.studies.article import ArticleSettings, ArticleSGAN
from sgan.studies.results import describe_rows, read_results, run_id, write_result
from sgan.studies.supervised_only import SupervisedOnly
from sgan.runs.device import set_up_device
from sgan.runs.fit import step_numbers
from sgan.tuned import INGREDIENTS, RECIPE, TunedSettings, TunedSGAN
from sgan_mnist import Settings, select_supervised_samples

FIRST = "first"  # as a --label-seed: no random split, but the first images of each class
METHODS = "sgan", "supervised-only"
# The baseline's length was chosen without test labels: 1,000 (tutorial) and 640 (article) passes over 100 images, five
# times the second article's 400 updates. With 1,000 labels (split 1000, which no table uses) the loss on the labelled
# images is then 0.010 (tutorial) and 0.0007 (article), and 99.8 and 100 % of them are classified correctly.
SUPERVISED_ONLY_STEPS, SUPERVISED_ONLY_EVALUATE_EVERY = 2000, 1000


@dataclass(frozen=True)
class Preset:
    """How long a training is, and how it is measured."""

    steps: int  # of a whole training
    evaluate_every: int
    seconds: dict  # a step, by method, on one core: for the first guess at how long a study takes


PRESETS = {
    "tutorial": Preset(steps=12000, evaluate_every=600, seconds={"sgan": 1.0, "supervised-only": 0.06}),
    "article": Preset(steps=6000, evaluate_every=500, seconds={"sgan": 0.17, "supervised-only": 0.014}),
    "tuned": Preset(steps=TunedSettings.epochs * TunedSettings.steps_per_epoch, evaluate_every=100,
                    seconds={"sgan": 0.18}),
}


def label_seed(text):
    """A --label-seed from the command line: a number from 0 on, or "first"."""
    try:
        return text if text == FIRST else at_least(int, 0)(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: must be a number from 0 on, or {FIRST}") from None


@dataclass
class Run:
    """The settings of one run: each is an option of the command line."""

    preset: str = option("tutorial", "whose networks and settings", choices=list(PRESETS))
    method: str = option("sgan", "the SGAN, or its classifier on the labelled images only", choices=METHODS)
    variant: str = option("stacked", "the discriminator of the tutorial's SGAN", choices=list(VARIANTS))
    labels: int = option(100, "labelled images, the same number of each class", min=1)
    label_seed: int | str = option(0, "the label split: which images keep their labels; 'first': the first ones of "
                                      "each class, and only images after the first --labels unlabelled, as in the "
                                      "second article", type=label_seed)
    seed: int = option(0, "seed for weights, batches and noise", min=0)
    unlabelled: int | None = option(None, "unlabelled images (default: all)", min=1)
    without: str = option("nothing", f"leave ingredients of the tuned SGAN out, A,B,...: {', '.join(INGREDIENTS)}")
    steps: int | None = option(None, "default: the preset's; 2,000 for supervised-only", min=1)
    evaluate_every: int | None = option(None, "steps between evaluations (default: the preset's)", min=1)
    data: str = option("mnist", "mnist, synthetic, a folder of pictures or FILE.npz")

    def __post_init__(self):
        preset, supervised_only = PRESETS[self.preset], self.method == "supervised-only"
        if self.preset == "tuned":
            if supervised_only:
                raise InputError("--preset tuned: has no --method supervised-only, but --without unlabelled-images")
            tuned_settings(self).check()
            left_out = self.without.split(",")
            self.without = ",".join(name for name in ("nothing", *INGREDIENTS) if name in left_out)  # one name for each
        self.steps = self.steps or (SUPERVISED_ONLY_STEPS if supervised_only else preset.steps)
        self.evaluate_every = self.evaluate_every or (SUPERVISED_ONLY_EVALUATE_EVERY if supervised_only
                                                      else preset.evaluate_every)
        if self.variant != "stacked" and (supervised_only or self.preset != "tutorial"):
            raise InputError(f"--variant {self.variant}: goes with --preset tutorial --method sgan")
        if supervised_only and self.unlabelled:
            raise InputError("--method supervised-only: has no --unlabelled images")
        if self.without != "nothing" and self.preset != "tuned":
            raise InputError(f"--without {self.without}: only --preset tuned has ingredients")
        if self.data == "auto":
            raise InputError("--data auto: could mix two data sets in one table; give mnist, synthetic, a folder or "
                             "FILE.npz")

    @property
    def name(self):
        """What is run, as a file name."""
        unlabelled = f"-{self.unlabelled}unlabelled" if self.unlabelled else ""
        variant = f"-{self.variant}" if self.variant != "stacked" else ""
        without = f"-without_{self.without}" if self.without != "nothing" else ""
        return (f"{self.preset}-{self.method}{variant}{without}-{self.labels}labels{unlabelled}"
                f"-split_{self.label_seed}-seed{self.seed}-{self.steps}steps")

    def settings(self):
        """All settings except the data's place."""
        return {name: value for name, value in asdict(self).items() if name != "data"}

    def identity(self, fingerprint):
        """The id of this run on the data with this fingerprint."""
        return run_id(self.settings(), recipe(self), fingerprint)

    def result(self, fingerprint, error):
        """The start of a result of this run."""
        return {"id": self.identity(fingerprint), "name": self.name, "settings": self.settings(),
                "recipe": recipe(self), "data": {"name": Path(self.data).name, "fingerprint": fingerprint},
                "error": error}

    def arguments(self):
        """The command line of this run, without --results."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return [word for name, value in given.items() if value is not None for word in (flag(name), str(value))]


def tuned_settings(run):
    """The settings of the tuned SGAN's training in a run."""
    return TunedSettings(seed=run.seed, without=run.without)


def recipe(run):
    """Number and settings of the tuned SGAN's recipe, as runs of different recipes must not be averaged; or None."""
    if run.preset != "tuned":
        return None
    of_the_run = {each.name for each in (*fields(Run), *fields(DataSettings))}
    of_the_run |= {"epochs", "steps_per_epoch", "out", "print_every", "tensorboard", "images"}
    settings = asdict(tuned_settings(run))
    settings = {name: value for name, value in settings.items() if name not in of_the_run}
    return {"recipe": RECIPE, **settings, **AUGMENTATION}


# --------------------------------------------------------------------------------------------------------------
# The images


def choose_rows(labels, n_classes, run):
    """Which training images are labelled and which unlabelled: two arrays of row numbers."""
    if run.label_seed == FIRST:
        share, rest = divmod(run.labels, n_classes)
        rows_of = [np.flatnonzero(labels == k)[:share] for k in range(n_classes)]
        if rest or min(map(len, rows_of)) < share:
            raise InputError(f"--labels {run.labels}: must be a multiple of the number of classes, {n_classes}, and "
                             "each of them must have enough images")
        labelled = np.sort(np.concatenate(rows_of))
        always, others = labelled[:0], np.arange(run.labels, len(labels))
    else:
        labelled = select_supervised_samples(labels, run.labels, n_classes, run.label_seed)
        always = labelled  # labelled images also serve as unlabelled ones
        others = np.setdiff1d(np.arange(len(labels)), labelled)
        others = np.random.default_rng([run.label_seed, 1]).permutation(others)
    most = len(always) + len(others)
    if not most and run.method == "sgan":
        raise InputError(f"--labels {run.labels}: no image is left without its label")
    if not len(always) <= (run.unlabelled or most) <= most:
        raise InputError(f"--unlabelled {run.unlabelled}: must be from {len(always)} (the labelled ones) to {most}")
    unlabelled = np.sort(np.concatenate([always, others[:(run.unlabelled or most) - len(always)]]))
    return labelled, unlabelled


# --------------------------------------------------------------------------------------------------------------
# The training


def build(run, dataset, labelled_rows, unlabelled_rows):
    """The training of a run, ready to `fit`; its `c_model` is the classifier with the current weights."""
    labelled = dataset.train_images[labelled_rows], dataset.train_labels[labelled_rows]
    unlabelled_images = dataset.train_images[unlabelled_rows]
    if run.preset == "tuned":
        return TunedSGAN(tuned_settings(run), labelled, unlabelled_images, dataset.n_classes, run.steps)
    sgan_class, settings = {"tutorial": (VARIANTS[run.variant], Settings(seed=run.seed)),
                            "article": (ArticleSGAN, ArticleSettings(seed=run.seed))}[run.preset]
    if run.method == "supervised-only":
        return SupervisedOnly(sgan_class, settings, labelled, dataset.n_classes)
    return sgan_class(settings, labelled, unlabelled_images, dataset.n_classes)


def train(training, dataset, run, history):
    """Train, and add one dictionary to `history` each --evaluate-every steps, and at the last. Returns seconds a step.

    "seconds" in a row are those since the process began, without the evaluations.

    Raises FloatingPointError where a loss is not a finite number any more.
    """
    seconds, left_out = 0, 0
    training.compile(optimizer=None)  # the models in it have theirs
    stops = [0, 1, *range(max(2, run.evaluate_every), run.steps, run.evaluate_every), run.steps]
    for start, stop in itertools.pairwise(sorted(set(stops))):
        began = time.perf_counter()
        means = training.fit(step_numbers(stop - start), shuffle=False, verbose=0).history
        if start:  # the first step is compiled first, and no measure of the others
            seconds += time.perf_counter() - began
        row = {"step": stop, "seconds": round(time.perf_counter() - BEGAN - left_out, 2),
               **{name: values[-1] for name, values in means.items()}}
        for name, value in row.items():
            if not np.isfinite(value):
                raise FloatingPointError(f"training diverged: {name} is {value} between steps {start} and {stop}")
        if stop % run.evaluate_every and stop < run.steps:
            continue
        began = time.perf_counter()
        known = np.flatnonzero(dataset.test_labels >= 0)
        predicted, labels = predict_classes(training.c_model, dataset.test_images, known), dataset.test_labels[known]
        row["test_accuracy"] = float((predicted == labels).mean())
        if stop == run.steps:
            row["balanced_test_accuracy"] = balanced_accuracy(predicted, labels)
            row["train_accuracy"] = accuracy(training.c_model, dataset.train_images, dataset.train_labels)
        history.append(row)
        left_out += time.perf_counter() - began
        print(f"step {stop} of {run.steps}: test {row['test_accuracy']:.2%}, "
              f"{seconds / max(stop - 1, 1):.4f} s a step", flush=True)
    return seconds / max(run.steps - 1, 1)


def kept_paths(run, folder):
    """Where a run's classifier and generator are kept."""
    return Path(folder) / f"c_model_{run.steps:04d}.h5", Path(folder) / f"g_model_{run.steps:04d}.h5"


def keep_models(training, run, folder, about):
    """Save the classifier, ready for `evaluate` but without an optimizer's state, and the generator if there is one."""
    classifier, generator = kept_paths(run, folder)
    training.c_model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    save_model(training.c_model, classifier, about)
    if run.method == "sgan":
        save_model(training.g_model, generator)


def threads_of_a_run():
    """How many threads TensorFlow uses for an operation."""
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return int(threads) if threads.isdecimal() and int(threads) else available_cores()


def make_run(run, dataset):
    """Train. Returns the run's result, where a training that fails has its error, and the training, or None.

    Raises InputError for settings that the data do not allow.
    """
    labelled, unlabelled = choose_rows(dataset.train_labels, dataset.n_classes, run)
    result = {**run.result(dataset.fingerprint(), error=None), "final": None, "history": [], "seconds_per_step": None,
              "seconds": None, "weights": None, "ingredients": None,
              "unlabelled_images": len(unlabelled) if run.method == "sgan" else 0,
              "labelled_images": describe_rows(labelled),
              "versions": versions(), "device": set_up_device(), "threads": threads_of_a_run()}
    began = time.perf_counter()
    keras.utils.set_random_seed(run.seed)
    training = None
    try:
        training = build(run, dataset, labelled, unlabelled)
        result["weights"] = count_weights(*training.discriminators)
        result["ingredients"] = getattr(training, "ingredients", None)
        result["seconds_per_step"] = train(training, dataset, run, result["history"])
        result["final"] = result["history"][-1]
    except InputError:
        raise
    except Exception as error:  # whatever it is, it belongs in the table
        result["error"] = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    result["seconds"] = round(time.perf_counter() - began, 1)
    return result, training


# --------------------------------------------------------------------------------------------------------------
# The command


def main(argv=None):
    """Make a run if its result is not there, or its models if --keep asks for them."""
    parser = ArgumentParser(prog="python -m sgan.studies.run", description=__doc__.split("\n")[0])
    add_options(parser, Run)
    parser.add_argument("--results", type=expand, default="results", metavar="FOLDER", help="(default: %(default)s)")
    parser.add_argument("--keep", type=expand, metavar="FOLDER",
                        help="save c_model and g_model here, without optimizer state")
    args = vars(parser.parse_args(argv))
    results, keep = args.pop("results"), args.pop("keep")
    run = Run(**args)
    dataset = load_real_samples(run.data)
    if dataset.test_images is None:
        raise InputError(f"{run.data}: has no test set, and a run is measured on one")
    done = read_results(results).get(run.identity(dataset.fingerprint()))
    done = None if done and done["error"] else done
    if done and not keep:
        print(f"done already: {run.name}, in {results}")
        return
    for folder in filter(None, (results / "new", keep)):
        check_writable(folder)  # better known now than after the training
    there = [path for path in kept_paths(run, keep or "") if keep and path.exists()]
    if there:
        raise InputError(f"--keep {keep}: {there[0].name} is there already; name another folder")
    result, training = make_run(run, dataset)
    if not done:  # made again for its models alone, a run does not replace its result
        path = write_result(results, result)
    if result["error"]:
        sys.exit(result["error"])
    if keep:
        keep_models(training, run, keep, describe_classifier(dataset, result))
    print("written:", ", ".join(map(str, filter(None, (None if done else path, keep)))))


if __name__ == "__main__":
    run_command(main)
