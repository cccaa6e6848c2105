"""The images: MNIST, digits drawn from fonts where there is no network, or a user's own folder or .npz file.

    data = load_real_samples("auto")       # or "mnist", "synthetic", "my_pictures", "my_images.npz"
    data.train_images, data.train_labels   # uint8 (N, H, W, C) and int64 (N,); a label of -1 means "no label"

folders.py says what a folder looks like, npz.py what a file holds. `split_validation` chooses which of the
labelled images validate.
"""

import argparse
import hashlib
import os
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from sgan.runs.command import InputError, printable
from sgan.runs.options import at_least, option
from sgan.runs.files import expand, regular_file
from sgan.data.classes import listed
from sgan.data.copies import count_copies, find_originals
from sgan.data.folders import read_folder
from sgan.data.npz import MIN_SIZE, read_npz
from sgan.data.synthetic import draw_digits

# Of the file that keras.datasets.mnist downloads: Keras deletes a cached file that has another hash.
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
MNIST_FINGERPRINT = "9b3e06386e3ac883"  # of the images and labels in it, see Dataset.fingerprint
STALL_SECONDS = 15  # a download that brings nothing for so long is given up
DOWNLOAD_SECONDS = 600  # and so is one that trickles for longer than this


# --------------------------------------------------------------------------------------------------------------
# Settings


def number_or_all(text):
    """A --labels from the command line: a number from 1 on, or "all"."""
    try:
        return text if text == "all" else at_least(int, 1)(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: must be a number from 1 on, or all") from None


def height_x_width(text):
    """An --image-size from the command line as "HEIGHTxWIDTH"; one number means both."""
    try:
        lengths = [at_least(int, MIN_SIZE)(length) for length in text.lower().split("x")]
        height, width = lengths * 2 if len(lengths) == 1 else lengths
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(f"{text}: must be HEIGHTxWIDTH or one number, of pixels, each at least "
                                         f"{MIN_SIZE}") from None
    return f"{height}x{width}"


@dataclass
class DataSettings:
    """Which images there are, which keep their labels, and which of those validate."""

    data: str = option("auto", "images: auto (MNIST, or synthetic digits without a network), mnist, synthetic, a "
                               "folder of pictures whose sub-folders are the classes and 'unlabelled', or a file like "
                               "Keras' mnist.npz, where the label -1 means 'no label'")
    labels: int | str | None = option(None, "labelled images, the same number of each class, or all (default: 100; all "
                                            "for a folder and where the data hold images without a label)",
                                      type=number_or_all, metavar="NUMBER|all")
    label_seed: int = option(0, "seed of the label split: which images keep their labels, which of them validate",
                             min=0)
    image_size: str | None = option(None, "scale the pictures of a folder to this size, or to one number of pixels "
                                          "each way (default: the size that all have, up to 64x64, or else 32x32)",
                                    type=height_x_width, metavar="HEIGHTxWIDTH")
    grey: bool = option(False, "read the pictures of a folder without their colours")
    validation_split: float = option(0.0, "share of the labelled images that is only measured on, not trained on",
                                     min=0, below=1)

    def load(self):
        """Load the `Dataset`. Raises InputError."""
        source = self.data
        if (self.image_size or self.grey) and not is_folder(source):
            raise InputError(f"--image-size and --grey are for folders of pictures; {source} is none")
        size = self.image_size and tuple(map(int, self.image_size.split("x")))
        return load_real_samples(source, size, channels=1 if self.grey else None)


# --------------------------------------------------------------------------------------------------------------
# The data


class Dataset(NamedTuple):
    """Images uint8 (N, H, W, C); labels int64 (N,), 0..K-1, or -1 for "no label"."""

    name: str  # "mnist", "synthetic" or the path of the folder or .npz file
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray | None = None  # None, both, where there is no test set
    test_labels: np.ndarray | None = None
    warning: str = ""  # what "auto" has to say when these are not the digits that the user hoped for
    class_names: tuple = ()  # K strings: "0" to "K-1", or the names that the data give
    notes: tuple = ()  # lines to print: what in the data was not plain, and how it was read
    validation_images: np.ndarray | None = None  # None, both, before `set_apart`
    validation_labels: np.ndarray | None = None
    train_title: str = "training set"

    @property
    def n_classes(self):
        """K: the largest label of either set, plus one."""
        return 1 + max(int(y.max()) for y in (self.train_labels, self.test_labels) if y is not None)

    def set_apart(self, rows, validation_rows):
        """The Dataset of a run that is trained on the labelled images `rows`: without its validation images, and
        without images that are identical to one of these."""
        known = np.flatnonzero(self.train_labels >= 0)
        title = (f"the {len(rows)} labelled images it is trained on"
                 if len(known) == len(rows) + len(validation_rows) else self.train_title)
        if not len(validation_rows):
            return self._replace(train_title=title)
        originals = find_originals(self.train_images)
        held_out = np.flatnonzero(np.isin(originals, originals[validation_rows]))
        return self._replace(
            train_images=np.delete(self.train_images, held_out, axis=0),
            train_labels=np.delete(self.train_labels, held_out), train_title=title,
            validation_images=self.train_images[validation_rows], validation_labels=self.train_labels[validation_rows])

    def sets(self):
        """(name, title, images, labels) of each set that a classifier is measured on."""
        every = (("train", self.train_title, self.train_images, self.train_labels),
                 ("validation", "validation", self.validation_images, self.validation_labels),
                 ("test", "test set", self.test_images, self.test_labels))
        return [each for each in every if each[2] is not None]

    def fingerprint(self):
        """A short hash of the arrays, by which a resumed run recognises its data."""
        digest = hashlib.sha256()
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            if array is not None:
                digest.update(repr((array.shape, str(array.dtype))).encode())
                digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()[:16]


def synthetic_digits(n_train=12000, n_test=2000, seed=0):
    """The Dataset of digits drawn from fonts: see synthetic.py."""
    return Dataset("synthetic", *draw_digits(n_train, (seed, 0)), *draw_digits(n_test, (seed, 1)),
                   class_names=tuple("0123456789"))


def is_folder(source):
    """Whether a source of data is a folder of pictures."""
    return source not in ("auto", "mnist", "synthetic") and os.path.isdir(expand(source))


def load_real_samples(source="auto", image_size=None, channels=None):
    """Load a Dataset.

    "auto" is MNIST where Keras' cache has it or the download works. Otherwise it is the synthetic digits, and
    says so in a warning on standard error, kept in the Dataset to be repeated when the run ends.

    Args:
        source: "auto", "mnist", "synthetic", or the path of a folder of pictures or of an .npz file.
        image_size, channels: (height, width) and 1 or 3, of the images made from a folder's pictures; None for what
            fits these. Other sources have images as they are.

    Raises:
        InputError: it cannot be had, or does not hold what it should.
    """
    if not source:
        raise InputError("--data: is empty (the data are auto, mnist, synthetic, a folder or an .npz file)")
    if source == "synthetic":
        return synthetic_digits()
    if source == "mnist":
        return load_mnist()
    if source != "auto":
        return load_own(expand(source), image_size, channels)
    try:
        return load_mnist()
    except InputError as error:
        bar = "!" * 80
        warning = (f"{bar}\nWARNING: this is NOT MNIST but synthetic digits drawn from fonts, and no figure\n"
                   f"of this run says anything about MNIST. The reason: {error}\n{bar}")
        print(warning, file=sys.stderr, flush=True)
        return synthetic_digits()._replace(warning=warning)


# --------------------------------------------------------------------------------------------------------------
# MNIST


def cached_mnist():
    """Where Keras keeps its mnist.npz, by the rule of keras.utils.get_file, whether it is there or not."""
    home = expand(os.environ.get("KERAS_HOME", "~/.keras"))
    cached = home / "datasets" / "mnist.npz"
    if cached.exists() or os.access(home, os.W_OK):
        return cached
    return Path("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir(), ".keras", "datasets", "mnist.npz")


def load_mnist():
    """MNIST from Keras' cache, downloaded into it by Keras where it is not there."""
    cached = cached_mnist()
    try:
        if not cached.exists():
            download_mnist(cached)
        with open(regular_file(cached), "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"no MNIST ({one_line(error)}): without a network put Keras' mnist.npz into "
                         f"{cached.parent} (KERAS_HOME sets another folder), or give a file of that form as "
                         "--data FILE.npz, or draw digits with --data synthetic") from None
    if digest != MNIST_SHA256:
        raise InputError(f"{cached} is not the file that Keras downloads (its hash differs); it is left "
                         f"alone: use it with --data {cached}, or move it away to download MNIST afresh")
    return load_own(cached)._replace(name="mnist")


def download_mnist(target):
    """Keras' own download, checked by Keras, moved to `target` when it is whole; OSError where that fails.

    Keras' wait has no limit, so it happens in a thread that can be left behind. Keras also writes straight to
    the name it is given: under the final name a download that was killed would leave half a file there.
    """
    print(f"Downloading MNIST (11 MB) to {target}", flush=True)
    part = target.with_name(f"mnist-{os.getpid()}.npz")
    failures = []

    def download():
        keras.config.disable_interactive_logging()  # in this thread alone: no torn progress bar on the screen
        try:
            keras.datasets.mnist.load_data(part.name)
            os.replace(part, target)
        except Exception as error:  # Keras turns a network's errors into plain Exceptions
            failures.append(error)

    thread = threading.Thread(target=download, daemon=True)
    thread.start()
    try:
        size = 0
        for _ in range(int(DOWNLOAD_SECONDS / STALL_SECONDS)):
            thread.join(STALL_SECONDS)
            size_before, size = size, part.stat().st_size if part.exists() else 0
            if not thread.is_alive() or size == size_before:
                break
        if thread.is_alive():
            raise TimeoutError("the download stands still")
        if failures:
            raise OSError(one_line(failures[0]))
    finally:
        with suppress(OSError):
            part.unlink()


def one_line(error):
    """An error's message on one line, or its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


# --------------------------------------------------------------------------------------------------------------
# The user's own images


def load_own(path, image_size=None, channels=None):
    """The Dataset of a folder or an .npz file."""
    if os.path.isdir(path):
        data = Dataset(str(path), **read_folder(path, image_size, channels))
    elif not path.exists():
        raise InputError(f"no such file: {path} (the data are auto, mnist, synthetic, a folder or an .npz file)")
    else:
        data = Dataset(str(path), **read_npz(path))
    notes, names = [*data.notes, *count_copies(*data[1:5])], data.class_names
    if os.path.isdir(path) or names != tuple(map(str, range(len(names)))):
        notes.append(f"the {len(names)} classes are {listed(names)}")
    return data._replace(notes=tuple(notes))


# --------------------------------------------------------------------------------------------------------------
# Labels


def default_labels(dataset):
    """--labels where none are given: 100, or "all" for a folder and for data that hold images without a label."""
    return "all" if is_folder(dataset.name) or -1 in dataset.train_labels else 100


def split_validation(rows, dataset, share, seed):
    """Set a share of the labelled images apart for validation, at random, of each class at least one and never all.

    Identical images count as one, and stay together.

    Args:
        rows: (n,) ascending numbers of the training images that keep their labels.
        dataset: a `Dataset`.
        share: from 0 to below 1; 0 draws no random number.
        seed: the label seed.

    Returns:
        (rows to train on, rows to validate with), each ascending.

    Raises:
        InputError: a class has only one labelled image, or copies of one.
    """
    if not share:
        return rows, rows[:0]
    labels, originals = dataset.train_labels[rows], find_originals(dataset.train_images[rows])
    random, validation = np.random.default_rng((seed, 2)), []
    for k in np.unique(labels):
        of_class = np.flatnonzero((labels == k) & (originals == np.arange(len(rows))))
        if len(of_class) < 2:
            raise InputError(f"--validation-split {share}: class {printable(dataset.class_names[k])} has only one "
                             "labelled image (copies do not count), which cannot both be trained on and validate; "
                             "label more of it, or choose more --labels")
        n = np.clip(round(share * len(of_class)), 1, len(of_class) - 1)
        validation.append(random.choice(of_class, n, replace=False))
    validates = np.isin(originals, np.concatenate(validation))
    return rows[~validates], rows[validates]
