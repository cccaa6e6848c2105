"""The images: MNIST, digits drawn from fonts if it cannot be downloaded, or a user's own folder or .npz file.

    data = load_real_samples("auto")       # or "mnist", "synthetic", "my_pictures", "my_images.npz"
    data.train_images, data.train_labels   # uint8 (N, H, W, C) and int64 (N,); a label of -1 means "no label"

folders.py says what a folder looks like, npz.py what a file holds. `split_validation` chooses which of the
labelled images validate.
"""

import hashlib
import os
import sys
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sgan.data.classes import alike, compared, listed
from sgan.data.copies import count_copies, find_originals
from sgan.data.folders import read_folder
from sgan.data.mnist import read_mnist
from sgan.data.npz import MIN_SIZE, read_npz
from sgan.data.synthetic import draw_digits
from sgan.runs.command import InputError
from sgan.runs.files import expand
from sgan.runs.options import at_least, option

MNIST_FINGERPRINT = "9b3e06386e3ac883"  # of MNIST's images and labels, see Dataset.fingerprint


# --------------------------------------------------------------------------------------------------------------
# Settings


def number_or_all(text):
    """A --labels from the command line: a number from 1 on, or "all"."""
    return text if text == "all" else at_least(int, 1)(text)


def height_x_width(text):
    """An --image-size from the command line as "HEIGHTxWIDTH"; one number means both."""
    lengths = [at_least(int, MIN_SIZE)(length) for length in text.split("x")]
    if len(lengths) > 2:
        raise ValueError
    return f"{lengths[0]}x{lengths[-1]}"


@dataclass
class DataSettings:
    """Which images there are, which keep their labels, and which of those validate."""

    data: str = option("auto", "images: auto (MNIST, or synthetic digits if that cannot be had), mnist, synthetic, a "
                               "folder of pictures whose sub-folders are the classes and 'unlabelled', or a file like "
                               "Keras' mnist.npz, where the label -1 means 'no label'")
    labels: int | str | None = option(None, "labelled images, the same number of each class, or all (default: 100; all "
                                            "for a folder and for data that hold images without a label)",
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
        if (self.image_size or self.grey) and not is_folder(self.data):
            raise InputError(f"--image-size and --grey are for folders of pictures; {self.data} is not a folder")
        size = self.image_size and tuple(map(int, self.image_size.split("x")))
        return load_real_samples(self.data, size, channels=1 if self.grey else None)


# --------------------------------------------------------------------------------------------------------------
# The data


class Dataset(NamedTuple):
    """Images uint8 (N, H, W, C); labels int64 (N,), 0..K-1, or -1 for "no label"."""

    name: str  # "mnist", "synthetic" or the path of the folder or .npz file
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray | None = None  # None, both, if there is no test set
    test_labels: np.ndarray | None = None
    warning: str = ""  # what "auto" has to say when these are not the digits that the user hoped for
    class_names: tuple = ()  # K strings: "0" to "K-1", or the names that the data give
    notes: tuple = ()  # lines to print: what in the data was not plain, and how it was read
    validation_images: np.ndarray | None = None  # None, both, before `set_apart`
    validation_labels: np.ndarray | None = None

    @property
    def n_classes(self):
        """K; each class has labelled training images."""
        return 1 + int(self.train_labels.max())

    def set_apart(self, validation_rows):
        """The Dataset of a run that validates with these of its training images: without them, and without images that
        are identical to one of them."""
        if not len(validation_rows):
            return self
        originals = find_originals(self.train_images)
        held_out = np.flatnonzero(np.isin(originals, originals[validation_rows]))
        return self._replace(
            train_images=np.delete(self.train_images, held_out, axis=0),
            train_labels=np.delete(self.train_labels, held_out),
            validation_images=self.train_images[validation_rows], validation_labels=self.train_labels[validation_rows])

    def sets(self):
        """(name, images, labels) of each set that a classifier is measured on."""
        every = (("train", self.train_images, self.train_labels),
                 ("validation", self.validation_images, self.validation_labels),
                 ("test", self.test_images, self.test_labels))
        return [each for each in every if each[1] is not None]

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

    "auto" is MNIST if Keras' cache has it or the download works. Otherwise it is the synthetic digits, and
    says so in a warning on standard error, kept in the Dataset to be repeated when the run ends.

    Args:
        source: "auto", "mnist", "synthetic", or the path of a folder of pictures or of an .npz file.
        image_size, channels: (height, width) and 1 or 3, of the images made from a folder's pictures; None for what
            fits these. Other sources have images as they are.

    Raises:
        InputError: it cannot be had, or does not hold what it should.
    """
    if source in ("auto", "mnist"):
        try:
            return Dataset("mnist", **read_mnist())
        except InputError as error:
            if source == "mnist":
                raise
            bar = "!" * 80
            warning = (f"{bar}\nWARNING: this is NOT MNIST but synthetic digits drawn from fonts, and no figure\n"
                       f"of this run says anything about MNIST. The reason: {error}\n{bar}")
            print(warning, file=sys.stderr, flush=True)
            return synthetic_digits()._replace(warning=warning)
    if source == "synthetic":
        return synthetic_digits()
    path = expand(source)
    if not path.exists():
        raise InputError(f"no such file: {path} (--data is auto, mnist, synthetic, a folder or an .npz file)")
    read = read_folder(path, image_size, channels) if path.is_dir() else read_npz(path)
    data = Dataset(str(path.absolute()), **read)
    notes, names = [*data.notes, *count_copies(*data[1:5])], data.class_names
    if len(names) < 2:
        raise InputError(f"{path}: the only class is {listed(names)}; a classifier needs at least 2")
    if twins := alike(names, compared):
        raise InputError(f"{path}: has the classes {listed(map(ascii, twins))}, which differ only in blanks, in zeros "
                         "before a number or in how an accent is stored: give them one name")
    if twins := alike(names, str.lower):
        notes.append(f"classes that differ only in capitals: {listed(twins)}")
    return data._replace(notes=(*notes, f"the {len(names)} classes are {listed(names)}"))


# --------------------------------------------------------------------------------------------------------------
# Labels


def default_labels(dataset):
    """--labels if none are given: 100, or "all" for a folder and for data that hold images without a label."""
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
            raise InputError(f"--validation-split {share}: class {dataset.class_names[k]} has only one "
                             "labelled image (copies do not count), which cannot both be trained on and validate; "
                             "label more of it, or choose more --labels")
        n = np.clip(round(share * len(of_class)), 1, len(of_class) - 1)
        validation.append(random.choice(of_class, n, replace=False))
    validates = np.isin(originals, np.concatenate(validation))
    return rows[~validates], rows[validates]
