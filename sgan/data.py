"""The images: MNIST, a user's own .npz file, or digits drawn from fonts where there is no network.

    data = load_real_samples("auto")       # or "mnist", "synthetic", "my_images.npz"
    data.train_images, data.train_labels   # uint8 (N, H, W, C) and int64 (N,); a label of -1 means "no label"

An .npz file holds x_train, y_train and, if there is a test set, x_test, y_test, as Keras' own mnist.npz does.
"""

import hashlib
import os
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from sgan.command_line import InputError
from sgan.synthetic_digits import draw_digits

# Of the file that keras.datasets.mnist downloads: Keras deletes a cached file that has another hash.
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
MNIST_FINGERPRINT = "9b3e06386e3ac883"  # of the images and labels in it, see Dataset.fingerprint
STALL_SECONDS = 15  # a download that brings nothing for so long is given up
DOWNLOAD_SECONDS = 600  # and so is one that trickles for longer than this


class Dataset(NamedTuple):
    """Images uint8 (N, H, W, C); labels int64 (N,), 0..K-1, or -1 for "no label"."""

    name: str  # "mnist", "synthetic" or the path of the .npz file
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray | None = None  # None, both, where the file has no test set
    test_labels: np.ndarray | None = None
    warning: str = ""  # what "auto" has to say when these are not the digits that the user hoped for

    @property
    def n_classes(self):
        """K: the largest label of either set, plus one."""
        return 1 + max(int(y.max()) for y in (self.train_labels, self.test_labels) if y is not None)

    def fingerprint(self):
        """A short hash of the arrays, by which a resumed run knows its data again."""
        digest = hashlib.sha256()
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            if array is not None:
                digest.update(repr((array.shape, str(array.dtype))).encode())
                digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()[:16]


def synthetic_digits(n_train=12000, n_test=2000, seed=0):
    """The Dataset of digits drawn from fonts: see synthetic_digits.py."""
    return Dataset("synthetic", *draw_digits(n_train, (seed, 0)), *draw_digits(n_test, (seed, 1)))


def load_real_samples(source="auto"):
    """The Dataset of "auto", "mnist", "synthetic" or an .npz file's path; InputError where it cannot be had.

    "auto" is MNIST where Keras' cache has it or the download works. Otherwise it is the synthetic digits, and
    says so in a warning on standard error, kept in the Dataset to be repeated when the run ends.
    """
    if source == "synthetic":
        return synthetic_digits()
    if source == "mnist":
        return _load_mnist()
    if source != "auto":
        return _read_npz(source)
    try:
        return _load_mnist()
    except InputError as error:
        bar = "!" * 80
        warning = (f"{bar}\nWARNING: this is NOT MNIST but synthetic digits drawn from fonts, and no figure\n"
                   f"of this run says anything about MNIST. The reason: {error}\n{bar}")
        print(warning, file=sys.stderr, flush=True)
        return synthetic_digits()._replace(warning=warning)


# --------------------------------------------------------------------------------------------------------------
# MNIST


def _cached_mnist():
    """Where Keras keeps its mnist.npz, by the rule of keras.utils.get_file, whether it is there or not."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    cached = home / "datasets" / "mnist.npz"
    if cached.exists() or os.access(home, os.W_OK):
        return cached
    return Path("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir(), ".keras", "datasets", "mnist.npz")


def _load_mnist():
    """MNIST from Keras' cache, downloaded into it by Keras where it is not there."""
    cached = _cached_mnist()
    try:
        if not cached.exists():
            _download_mnist(cached)
        with open(cached, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"no MNIST ({_one_line(error)}): without a network put Keras' mnist.npz into "
                         f"{cached.parent} (KERAS_HOME sets another folder), or give a file of that form as "
                         "--data FILE.npz, or draw digits with --data synthetic") from None
    if digest != MNIST_SHA256:
        raise InputError(f"{cached} is not the file that Keras downloads (its hash differs); it is left "
                         f"alone: use it with --data {cached}, or move it away to download MNIST afresh")
    return _read_npz(cached)._replace(name="mnist")


def _download_mnist(target):
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
            raise OSError(_one_line(failures[0]))
    finally:
        with suppress(OSError):
            part.unlink()


# --------------------------------------------------------------------------------------------------------------
# The user's own file


def _one_line(error):
    return " ".join(str(error).split()) or type(error).__name__


def _read_npz(path):
    """The Dataset of an .npz file in the form of Keras' mnist.npz; InputError where it has another form."""
    path = Path(path)
    with suppress(RuntimeError):  # no such user: then "~..." is the name of a file
        path = path.expanduser()
    if not path.exists():
        raise InputError(f"no such file: {path} (the data are auto, mnist, synthetic or an .npz file)")
    if path.is_dir():
        raise InputError(f"{path} is a folder, not an .npz file")
    arrays = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            for key in {"x_train", "y_train", "x_test", "y_test"}.intersection(file.files):
                arrays[key] = file[key]
                if not isinstance(arrays[key], np.ndarray):  # NumPy hands out other members as bytes
                    raise ValueError(f"{key} is not an array")
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen kinds on a damaged file
        raise InputError(f"{path} is not a readable .npz file of plain arrays: {_one_line(error)}") from None

    for key in ("x_train", "y_train"):
        if key not in arrays:
            raise InputError(f"{path} has no {key} (x_train, y_train are needed, x_test, y_test optional)")
    if ("x_test" in arrays) != ("y_test" in arrays):
        there, missing = ("x_test", "y_test") if "x_test" in arrays else ("y_test", "x_test")
        raise InputError(f"{path} has {there} but no {missing}: a test set needs both")

    data = Dataset(str(path), *_checked_set(path, "train", arrays))
    if "x_test" in arrays:
        test_images, test_labels = _checked_set(path, "test", arrays)
        if test_images.shape[1:] != data.train_images.shape[1:]:
            raise InputError(f"{path}: the images of x_test are {test_images.shape[1:]}, those of x_train "
                             f"{data.train_images.shape[1:]} (height, width, channels)")
        data = data._replace(test_images=test_images, test_labels=test_labels)
    if data.n_classes > len(data.train_images):
        raise InputError(f"{path}: holds the label {data.n_classes - 1}, but labels must be 0 to K-1, and "
                         f"{len(data.train_images)} images cannot be of so many classes")
    if data.n_classes < 2:
        raise InputError(f"{path}: the only class is 0; a classifier needs at least 2 classes")
    return data


def _checked_set(path, split, arrays):
    """x_`split` as uint8 (N, H, W, C) and y_`split` as int64 (N,); InputError where they cannot be that."""
    x, y = f"x_{split}", f"y_{split}"
    images, labels = arrays[x], arrays[y]
    if images.dtype != np.uint8:
        raise InputError(f"{path}: {x} is {images.dtype}, not uint8 (pixels from 0 to 255)")
    if images.ndim not in (3, 4):
        raise InputError(f"{path}: {x} has the shape {images.shape}, not (N, height, width) or "
                         "(N, height, width, channels)")
    if images.size == 0:
        raise InputError(f"{path}: {x} is empty, its shape is {images.shape}")
    height, width = images.shape[1:3]
    if height % 4 or width % 4:
        raise InputError(f"{path}: the images of {x} are {height}x{width}, but height and width must be "
                         "multiples of 4")

    if labels.dtype.kind not in "iu":
        raise InputError(f"{path}: {y} is {labels.dtype}, not an integer type")
    if labels.shape not in ((len(images),), (len(images), 1)):  # the second as in Keras' cifar10
        raise InputError(f"{path}: {y} has the shape {labels.shape}, but one class number for each of the "
                         f"{len(images)} images of {x} is needed")
    if labels.dtype.kind == "u" and labels.max() == np.iinfo(labels.dtype).max:
        raise InputError(f"{path}: {y} is {labels.dtype} and holds {labels.max()}, which is what becomes of "
                         "-1 (no label) there: save the labels in a signed type such as int64")
    labels = labels.astype(np.int64).reshape(-1)
    if labels.min() < -1:
        raise InputError(f"{path}: {y} holds {labels.min()}; labels are 0 to K-1, or -1 for no label")
    if labels.max() < 0:
        raise InputError(f"{path}: every label in {y} is -1 (no label)")
    return images.reshape(*images.shape[:3], -1), labels
