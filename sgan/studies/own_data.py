"""Do the unlabelled images help on your own images? Five folds of the labelled ones give an answer.

    python -m sgan.studies.own_data --data mine

The tuned SGAN, and the same network without the unlabelled images, are trained five times each, with four fifths of
the labelled images, and predict the last fifth, which no training sees, not even without labels. So each labelled image
is predicted once by a classifier that has not seen it. An exact McNemar test (McNemar 1947, Psychometrika 12) says
whether the difference is larger than chance: if neither classifier is better, an image that only one of them gets right
is equally likely to be either's. The training sets of the folds overlap, so its p is an approximation. Photographs are
learned without the unlabelled images, and refused.
"""

import itertools
import math
import time
from dataclasses import dataclass
from typing import ClassVar

import sgan  # before Keras: it chooses the backend and TensorFlow's CPU kernels

if __name__ == "__main__":
    sgan.begin_script()

import keras
import numpy as np

from sgan.data.copies import find_originals
from sgan.data.dataset import DataSettings
from sgan.models.evaluation import predict_classes
from sgan.runs.command import InputError, printable, run_command
from sgan.runs.device import set_up_device
from sgan.runs.fit import TimeLeft, fit, in_words
from sgan.runs.options import ArgumentParser, add_options, option
from sgan.tuned import TunedSettings, TunedSGAN, ingredients_of
from sgan_mnist import load_images

FOLDS = 5
SIGNIFICANCE_LEVEL = 0.05  # of the McNemar test
TRAININGS = {"with the unlabelled images": None, "without them": "unlabelled-images"}  # what is left out


@dataclass
class OwnDataSettings(DataSettings):
    """Train with and without the unlabelled images on five folds of the labelled ones, and say which is better."""

    epochs: int = option(TunedSettings.epochs, f"of {TunedSettings.steps_per_epoch} steps each, of each of the "
                                               f"{2 * FOLDS} trainings", min=1)
    images: str = option("auto", "what they show: see python -m sgan.tuned --help",
                         choices=("auto", "strokes", "other"))
    seed: int = option(0, "seed for weights, batches, noise and folds", min=0)
    validation_split: ClassVar = 0.0  # not an option: each fold is held out already


def make_folds(images, labels, class_names, seed):
    """Share labelled images out to FOLDS folds, each class as evenly as possible, identical images to the same.

    Args:
        images: uint8 (n, H, W, C).
        labels: (n,) class numbers.
        class_names: K strings.
        seed: of the order in which the images of a class are shared out.

    Returns:
        (n,) numbers of folds, 0 to FOLDS - 1.

    Raises:
        InputError: fewer images than folds, or a class with a single image, which could not be trained on.
    """
    originals = find_originals(images)
    distinct = np.unique(originals)
    counts = np.bincount(labels[distinct], minlength=labels.max() + 1)
    if len(distinct) < FOLDS or counts.min() < 2:
        raise InputError(f"{FOLDS} folds need at least {FOLDS} labelled images and two of each class, but "
                         f"class {class_names[counts.argmin()]} has {counts.min()}, copies left out; label more of "
                         "it, or see --labels")
    shuffled = np.random.default_rng((seed, FOLDS)).permutation(len(distinct))
    folds = np.empty(len(labels), int)
    folds[distinct[np.lexsort((shuffled, labels[distinct]))]] = np.arange(len(distinct)) % FOLDS
    return folds[originals]


def train_and_predict(tuned, dataset, rows, held_out):
    """Train the tuned SGAN on labelled images but for some that are held out, and predict these.

    Args:
        tuned: `TunedSettings`.
        dataset: a `Dataset`; all its images but those held out serve as unlabelled ones.
        rows: (n,) row numbers of the labelled training images.
        held_out: (m,) those of `rows` that are predicted.

    Returns:
        (m,) class numbers.

    Raises:
        FloatingPointError: a loss is not finite.
    """
    keras.utils.set_random_seed(tuned.seed)
    steps = tuned.epochs * tuned.steps_per_epoch
    training_rows = np.setdiff1d(rows, held_out)
    labelled = dataset.train_images[training_rows], dataset.train_labels[training_rows]
    fold = dataset.set_apart(held_out)
    training = TunedSGAN(tuned, labelled, fold.train_images, dataset.n_classes, steps)
    fit(training, steps, callbacks=[TimeLeft()])
    predicted = predict_classes(training.c_model, dataset.train_images, held_out)
    keras.backend.clear_session()
    return predicted


def mcnemar(first, second):
    """The exact McNemar test of two classifiers on the same images.

    Args:
        first, second: (n,) booleans: whether each was right.

    Returns:
        How many images only the first got right, how many only the second, and how probable a difference at least as
        large would be if both were equally good (two-sided).
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    n = only_first + only_second
    tail = sum(math.comb(n, k) for k in range(min(only_first, only_second) + 1)) / 2**n
    return only_first, only_second, min(1.0, 2 * tail)


def verdict(right):
    """A sentence from {name of the training: (n,) booleans}, which of two trainings is better."""
    (first, first_right), (second, second_right) = right.items()
    only_first, only_second, p = mcnemar(first_right, second_right)
    counts = f"right only {first}: {only_first}, only {second}: {only_second}; exact McNemar test, p = {p:.2g}"
    if p >= SIGNIFICANCE_LEVEL:
        return f"No difference could be shown ({counts})."
    return f"The classifier is better {first if only_first > only_second else second} ({counts})."


def class_table(labels, class_names, right):
    """Lines: how many labelled images of each class, and of all, were right in each training."""
    lines = [f"{'class':20} {'labelled':>9}" + "".join(f" {name:>26}" for name in right)]
    for name, chosen in [*((name, labels == k) for k, name in enumerate(class_names)), ("all", labels >= 0)]:
        lines.append(f"{printable(name)[:20]:20} {chosen.sum():9,}"
                     + "".join(f" {each[chosen].sum():20,} right" for each in right.values()))
    return lines


def main(argv=None):
    """Make the ten trainings and print a table and the verdict."""
    parser = ArgumentParser(prog="python -m sgan.studies.own_data", description=OwnDataSettings.__doc__)
    add_options(parser, OwnDataSettings)
    settings = OwnDataSettings(**vars(parser.parse_args(argv)))
    print(f"Device: {set_up_device()}")
    dataset, rows = load_images(settings)
    labels = dataset.train_labels[rows]
    folds = make_folds(dataset.train_images[rows], labels, dataset.class_names, settings.seed)
    for note in (*dataset.notes, f"{dataset.name}, {len(dataset.train_images):,} training images, {len(rows):,} of "
                                 "them with their labels"):
        print(f"Data: {note}")

    complete = ingredients_of(TunedSettings(images=settings.images), dataset.train_images, labels)
    if "unlabelled-images" not in complete:
        raise InputError("the tuned SGAN does not use the unlabelled images of photographs: nothing to compare "
                         "(--images strokes or other, if they are none)")
    as_complete = "nothing" if "mutual-information" in complete else "mutual-information"  # a fold has fewer labels
    trainings = {name: TunedSettings(epochs=settings.epochs, images=settings.images, seed=settings.seed,
                                     without=without or as_complete) for name, without in TRAININGS.items()}
    for name, tuned in trainings.items():
        print(f"Training {name}: ingredients {', '.join(ingredients_of(tuned, dataset.train_images, labels))}")
    began, right = time.perf_counter(), {name: np.zeros(len(rows), bool) for name in trainings}
    for done, (fold, name) in enumerate(itertools.product(range(FOLDS), trainings), start=1):
        held_out = folds == fold
        predicted = train_and_predict(trainings[name], dataset, rows, rows[held_out])
        right[name][held_out] = predicted == labels[held_out]
        left = (time.perf_counter() - began) / done * (2 * FOLDS - done)
        print(f"fold {fold + 1} of {FOLDS}, {name}: {right[name][held_out].sum()} of {held_out.sum()} right; "
              f"{in_words(left)} left", flush=True)

    print("\n".join(class_table(labels, dataset.class_names, right)))
    print(verdict(right))


if __name__ == "__main__":
    run_command(main)
