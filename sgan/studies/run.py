"""One run of a study, and one file with its result.

    python -m sgan.studies.run --preset article --method sgan --labels 100 --label-seed 0 --seed 0 --data mnist

Trains an SGAN, or its classifier on the labelled images only, for a number of steps that is fixed beforehand, and
writes RESULTS/new/NAME-ID.json (results.py says what is in it), the error of a training that failed included. A run
that is in RESULTS already is not made again. The accuracy to report is the last step's.
"""

import time

BEGAN = time.perf_counter()  # of the process, except for Python's own start

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
from sgan.data.augmentation import AUGMENTATION
from sgan.data.dataset import DataSettings, load_real_samples
from sgan.feature_matching import EPSILON, FeatureMatchingSettings, FeatureMatchingSGAN, StackedFeatureMatchingSGAN
from sgan.models.evaluation import accuracy, balanced_accuracy, predict_classes
from sgan.runs.command import InputError, run_command
from sgan.runs.device import available_cores, set_up_device
from sgan.runs.files import check_writable, expand
from sgan.runs.fit import fit
from sgan.runs.options import ArgumentParser, add_options, at_least, flag, option
from sgan.runs.run_folder import versions
from sgan.studies.article import ArticleSettings, ArticleSGAN
from sgan.studies.results import describe_rows, read_results, run_id, write_result
from sgan.studies.supervised_only import SupervisedOnly
from sgan.tuned import INGREDIENTS, RECIPE, TunedSettings, TunedSGAN
from sgan_mnist import Settings, select_supervised_samples

SGANS = {**VARIANTS, "feature-matching": StackedFeatureMatchingSGAN}
LOSS_OF = {"stacked": "feature-matching", "adversarial": "adversarial", "no-generator": "no-generator"}
VARIANTS_OF = {"tutorial": SGANS, "feature-matching": LOSS_OF}  # the others have the stacked discriminator only
FIRST = "first"  # as a --label-seed: no random split, but the first images of each class
PRESETS = {"tutorial": (12000, 600), "article": (6000, 500),  # steps of a whole training, and between evaluations
           "tuned": (TunedSettings.epochs * TunedSettings.steps_per_epoch, 100),
           "feature-matching": (30000, 3000)}  # 50 epochs, for comparisons; sgan.feature_matching has 80
# The baseline's length was chosen without test labels: 1,000 (tutorial) and 640 (article) passes over 100 images, five
# times the second article's 400 updates. With 1,000 labels (split 1000, which no table uses) the loss on the labelled
# images is then 0.010 (tutorial) and 0.0007 (article), and 99.8 and 100 % of them are classified correctly.
SUPERVISED_ONLY = 2000, 1000


def label_seed(text):
    """A --label-seed from the command line: a number from 0 on, or "first"."""
    return text if text == FIRST else at_least(int, 0)(text)


@dataclass
class Run:
    """The settings of one run: each is an option of the command line."""

    preset: str = option("tutorial", "whose networks and settings", choices=list(PRESETS))
    method: str = option("sgan", "or its classifier on the labelled images only", choices=("sgan", "supervised-only"))
    variant: str = option("stacked", "discriminator, or generator, of the tutorial's SGAN; what feature matching's "
                                     "generator learns (stacked: features)", choices=list(SGANS | LOSS_OF))
    labels: int = option(100, "labelled images, the same number of each class", min=1)
    label_seed: int | str = option(0, "the label split: which images keep their labels; first: the first ones of each "
                                      "class, and unlabelled those after the first --labels", type=label_seed)
    seed: int = option(0, "seed for weights, batches and noise", min=0)
    unlabelled: int | None = option(None, "unlabelled images (default: all)", min=1)
    without: str = option("nothing", f"leave ingredients of the tuned SGAN out, A,B,...: {', '.join(INGREDIENTS)}")
    steps: int | None = option(None, "default: the preset's; 2,000 for the articles' supervised-only", min=1)
    evaluate_every: int | None = option(None, "steps between evaluations (default: the preset's)", min=1)
    data: str = option("mnist", "mnist, synthetic, a folder of pictures or FILE.npz")

    def __post_init__(self):
        alone = self.method == "supervised-only"
        if self.preset == "tuned" and alone:
            raise InputError("--method supervised-only: of --preset tuned it is --without unlabelled-images")
        if self.preset != "tuned" and self.without != "nothing":
            raise InputError(f"--without {self.without}: goes with --preset tuned")
        if self.variant not in VARIANTS_OF.get(self.preset, ("stacked",)):
            raise InputError(f"--variant {self.variant}: not one of --preset {self.preset}")
        if alone and (self.variant != "stacked" or self.unlabelled):
            raise InputError("--variant, --unlabelled: go with --method sgan")
        tuned_settings(self)  # which refuses what cannot be left out
        steps, evaluate_every = PRESETS[self.preset]
        if alone and self.preset != "feature-matching":
            steps, evaluate_every = SUPERVISED_ONLY
        self.steps, self.evaluate_every = self.steps or steps, self.evaluate_every or evaluate_every

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
        return [word for name, value in asdict(self).items() if value is not None for word in (flag(name), str(value))]


def tuned_settings(run):
    """The settings of the tuned SGAN's training in a run."""
    return TunedSettings(seed=run.seed, without=run.without)


def recipe(run):
    """Settings of feature matching, or of the tuned SGAN with its recipe's number, as runs that differ in them must not
    be averaged; None for the others."""
    of_the_run = {"epochs", "steps_per_epoch", "out", "images", "loss",
                  *(each.name for each in (*fields(Run), *fields(DataSettings)))}

    def others(settings):
        return {name: value for name, value in asdict(settings).items() if name not in of_the_run}

    if run.preset == "tuned":
        return {"recipe": RECIPE, **others(tuned_settings(run)), **AUGMENTATION}
    if run.preset == "feature-matching":
        return {"epsilon": EPSILON, **others(FeatureMatchingSettings())}
    return None


# --------------------------------------------------------------------------------------------------------------
# The images


def choose_rows(labels, n_classes, run, class_names=None):
    """Which training images are labelled and which unlabelled: two arrays of row numbers."""
    first = run.label_seed == FIRST
    labelled = select_supervised_samples(labels, run.labels, n_classes, 0 if first else run.label_seed, class_names)
    if first:
        labelled = np.sort(np.concatenate([np.flatnonzero(labels == k)[:run.labels // n_classes]
                                           for k in range(n_classes)]))
        always, others = labelled[:0], np.arange(run.labels, len(labels))
    else:
        others = np.setdiff1d(np.arange(len(labels)), labelled)
        others = np.random.default_rng([run.label_seed, 1]).permutation(others)
        always = labelled  # they also serve as unlabelled ones
    n_all = len(always) + len(others)
    n = run.unlabelled or n_all
    if not len(always) <= n <= n_all:
        raise InputError(f"--unlabelled {n}: must be from {len(always)} (the labelled ones) to {n_all}")
    return labelled, np.sort(np.concatenate([always, others[:n - len(always)]]))


# --------------------------------------------------------------------------------------------------------------
# The training


def build(run, dataset, labelled_rows, unlabelled_rows):
    """The training of a run, ready to `fit`; its `c_model` is the classifier with the current weights."""
    labelled = dataset.train_images[labelled_rows], dataset.train_labels[labelled_rows]
    unlabelled_images = dataset.train_images[unlabelled_rows]
    if run.preset == "tuned":
        return TunedSGAN(tuned_settings(run), labelled, unlabelled_images, dataset.n_classes, run.steps)
    if run.preset == "feature-matching":
        loss = LOSS_OF[run.variant] if run.method == "sgan" else "supervised-only"
        steps = max(1, len(unlabelled_images) // FeatureMatchingSettings.batch_size)  # of an epoch
        settings = FeatureMatchingSettings(epochs=run.steps / steps, seed=run.seed, loss=loss)  # the last one cut short
        return FeatureMatchingSGAN(settings, labelled, unlabelled_images, dataset.n_classes, steps)
    sgan_class, settings = {"tutorial": (SGANS[run.variant], Settings(seed=run.seed)),
                            "article": (ArticleSGAN, ArticleSettings(seed=run.seed))}[run.preset]
    if run.method == "supervised-only":
        return SupervisedOnly(sgan_class, settings, labelled, dataset.n_classes)
    return sgan_class(settings, labelled, unlabelled_images, dataset.n_classes)


class Evaluate(keras.callbacks.Callback):
    """Measure the classifier every --evaluate-every steps, and at the last.

    Attributes:
        history: a row for each evaluation, as results.py describes it.
        seconds_per_step: without evaluations, and without the first step, which is compiled first.
    """

    def __init__(self, run, dataset):
        super().__init__()
        self.run, self.dataset, self.history = run, dataset, []
        self.compiled, self.evaluating = None, 0

    def on_train_batch_end(self, batch, logs=None):
        step, now = batch + 1, time.perf_counter() - self.evaluating
        self.compiled = self.compiled or (step, now)
        if step % self.run.evaluate_every and step < self.run.steps:
            return
        began = time.perf_counter()
        first_step, then = self.compiled
        self.seconds_per_step = (now - then) / max(1, step - first_step)
        row = {"step": step, "seconds": round(now - BEGAN, 2)}
        for mean in self.model.metrics:
            row[mean.name] = float(mean.result())
            mean.reset_state()
        c_model, dataset = self.model.c_model, self.dataset
        known = np.flatnonzero(dataset.test_labels >= 0)
        predicted, labels = predict_classes(c_model, dataset.test_images, known), dataset.test_labels[known]
        row["test_accuracy"] = float((predicted == labels).mean())
        if step == self.run.steps:
            row["balanced_test_accuracy"] = balanced_accuracy(predicted, labels)
            row["train_accuracy"] = accuracy(c_model, dataset.train_images, dataset.train_labels)
        self.history.append(row)
        print(f"step {step} of {self.run.steps}: test {row['test_accuracy']:.2%}, {self.seconds_per_step:.4f} s a step",
              flush=True)
        self.evaluating += time.perf_counter() - began


def make_run(run, dataset):
    """Train. Returns the run's result, in which a training that fails has its error, and the training, or None.

    Raises InputError for settings that the data do not allow.
    """
    labelled, unlabelled = choose_rows(dataset.train_labels, dataset.n_classes, run, dataset.class_names)
    evaluate, began, training = Evaluate(run, dataset), time.perf_counter(), None
    result = {**run.result(dataset.fingerprint(), error=None), "final": None, "history": evaluate.history,
              "seconds_per_step": None, "seconds": None, "weights": None, "ingredients": None,
              "unlabelled_images": len(unlabelled) if run.method == "sgan" else 0,
              "labelled_images": describe_rows(labelled), "versions": versions(), "device": set_up_device(),
              "threads": int(os.environ.get("TF_NUM_INTRAOP_THREADS") or available_cores())}
    keras.utils.set_random_seed(run.seed)
    try:
        training = build(run, dataset, labelled, unlabelled)
        result["weights"] = count_weights(*training.discriminators)
        result["ingredients"] = getattr(training, "ingredients", None)
        fit(training, run.steps, callbacks=[evaluate], every=run.evaluate_every)
        result["final"], result["seconds_per_step"] = evaluate.history[-1], evaluate.seconds_per_step
    except Exception as error:  # whatever it is, it belongs in the table
        result["error"] = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    result["seconds"] = round(time.perf_counter() - began, 1)
    return result, training


# --------------------------------------------------------------------------------------------------------------
# The command


def main(argv=None):
    """Make the run that the command line names, if its result is not there."""
    parser = ArgumentParser(prog="python -m sgan.studies.run", description=__doc__.split("\n")[0])
    add_options(parser, Run)
    parser.add_argument("--results", type=expand, default="results", metavar="FOLDER", help="(default: %(default)s)")
    args = vars(parser.parse_args(argv))
    results = args.pop("results")
    run = Run(**args)
    dataset = load_real_samples(run.data)
    if dataset.test_images is None:
        raise InputError(f"{run.data}: has no test set, and a run is measured on one")
    done = read_results(results).get(run.identity(dataset.fingerprint()))
    if done and not done["error"]:
        print(f"done already: {run.name}, in {results}")
        return
    check_writable(results / "new")  # better known now than after the training
    result, _ = make_run(run, dataset)
    write_result(results, result)
    if result["error"]:
        sys.exit(result["error"])
    print(f"written to {results}: test accuracy {result['final']['test_accuracy']:.2%} after "
          f"{result['seconds']:.0f} s")


if __name__ == "__main__":
    run_command(main)
