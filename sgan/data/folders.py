"""Read a folder of pictures, whose sub-folders are the classes.

    FOLDER/cat/...  FOLDER/dog/...  FOLDER/unlabelled/...                 or, with a test set,
    FOLDER/train/cat/...  FOLDER/train/dog/...  FOLDER/train/unlabelled/...  FOLDER/test/cat/...  FOLDER/test/dog/...

As in keras.utils.image_dataset_from_directory, except that `unlabelled` (or `unlabeled`) is no class, and that every
file that is left out is named in a line, except hidden files.
"""

import functools
import os
import warnings
from multiprocessing.pool import ThreadPool

import numpy as np
from PIL import Image

from sgan.data.classes import compared, may_mean_no_label, refuse_twins, sort_classes
from sgan.data.npz import MIN_SIZE
from sgan.data.pictures import fit, open_picture, to_grey_or_rgb
from sgan.runs.command import InputError, warn, with_progress
from sgan.runs.device import available_cores

MAX_OWN_SIZE = 64  # pixels, of height and width: up to here pictures that all have one size keep it
DEFAULT_SIZE = 32, 32
MAX_THREADS = 4  # large pictures need much memory while they are read
HIDDEN = ("__MACOSX", "Thumbs.db", "desktop.ini")  # and names that begin with a dot


def read_folder(path, size=None, channels=None):
    """Read all pictures of a folder. A file that cannot be read is named on standard error and left out.

    Args:
        path: the folder, a `Path`.
        size: (height, width) of the images; None for the size that all pictures have, if there is one of at most 64
            pixels a side, or else 32 x 32.
        channels: 1 for grey or 3 for RGB; None for grey if the pixels of all pictures are grey, else RGB.

    Returns:
        Fields of a `Dataset`: train_images uint8 (N, H, W, C), by class and then by name, those without a label last;
        train_labels int64 (N,), 0 to K-1 or -1; test_images and test_labels, if there is a folder `test`; class_names,
        K strings; notes, lines to print.

    Raises:
        InputError: the folder has another form, less than two classes, or a class without a readable picture.
    """
    if channels not in (None, 1, 3):
        raise InputError(f"{path}: pictures give images of 1 or 3 channels, not {channels}")
    train, test = find_sets(path)
    unlabelled, classes = class_folders(train, train)
    names = sort_classes(classes)
    if len(names) < 2:
        raise InputError(f"{train}: a classifier needs at least 2 classes, each a sub-folder of pictures, but there is "
                         f"{f'only {names[0]}' if names else 'none'}")
    files = [(file, label) for label, name in enumerate(names) for file in classes[name]]
    files += [(file, -1) for file in unlabelled]
    n_files = len(files)
    if test:
        unlabelled, classes = class_folders(test, train)
        numbers = {compared(name): label for label, name in enumerate(names)}
        for name in sort_classes(classes):
            if compared(name) not in numbers:
                raise InputError(f"{test / name}: a class that {train} does not have cannot be learned")
            files += [(file, numbers[compared(name)]) for file in classes[name]]
        refuse_pictures(unlabelled, train)

    images, rows, notes = read_pictures(path, [file for file, _ in files], size, channels)
    labels = np.array([label for _, label in files])[rows]
    n = np.count_nonzero(rows < n_files)  # of the training set, without those that could not be read
    for label, name in enumerate(names):
        if label not in labels[:n]:
            raise InputError(f"{train / name}: a class without a readable picture")
    data = {"train_images": images[:n], "train_labels": labels[:n]}
    if test:
        if n == len(labels):
            raise InputError(f"{test}: a test set without a readable picture; move it away to train without one")
        data |= {"test_images": images[n:], "test_labels": labels[n:]}
    return {**data, "class_names": tuple(names), "notes": tuple(notes)}


# --------------------------------------------------------------------------------------------------------------
# Which files


def visible(folder):
    """The folders and the other files in a folder, two lists of Paths by name, without those that systems hide."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith(".") and name not in HIDDEN)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}") from None
    folders = [folder / name for name in names if os.path.isdir(folder / name)]
    return folders, [folder / name for name in names if folder / name not in folders]


def find_sets(path):
    """The folder whose sub-folders are the classes, and that of the test set or None."""
    folders, files = visible(path)
    sets = {folder.name.lower(): folder for folder in folders if folder.name.lower() in ("train", "test")}
    if not sets:
        return path, None
    others = [folder for folder in folders if folder not in sets.values()]
    if "train" not in sets or others:
        problem = f"{others[0].name}/ beside them" if "train" in sets else "no train/"
        raise InputError(f"{path}: train/ and test/ are sets, whose sub-folders are the classes, but there is {problem}"
                         "; if one of them is a class, rename it, or else move other folders away (to validate, there "
                         "is --validation-split)")
    refuse_pictures(files, sets["train"])
    return sets["train"], sets.get("test")


def class_folders(folder, train):
    """The files in the sub-folders of a set: a list of the unlabelled ones, and {class name: list}."""
    folders, files = visible(folder)
    refuse_pictures(files, train)
    unlabelled, classes = [], {}
    for sub_folder in folders:
        name, (deeper, files) = sub_folder.name, visible(sub_folder)
        if deeper:
            raise InputError(f"{deeper[0]}: a folder inside a class; the classes are the sub-folders of {folder}, and "
                             "hold only pictures")
        if name.lower() in ("unlabelled", "unlabeled"):
            unlabelled += files
        elif may_mean_no_label(name) or name.lower().startswith("unlabel"):
            raise InputError(f"{sub_folder}: may be a class or hold pictures without a label; rename it, to "
                             "'unlabelled' if it does")
        else:
            classes[name] = files
    refuse_twins(folder, classes)
    return unlabelled, classes


def refuse_pictures(files, train):
    """Name the files that are no pictures, which are left out; raise InputError for one that is, without a class."""
    for file in files:
        try:
            open_picture(file)
        except InputError as error:
            warn(f"{error}: left out")
        else:
            raise InputError(f"{file}: a picture outside of the class folders; move it into that of its class. "
                             f"Pictures without a label go to {train / 'unlabelled'}, or are classified with "
                             "evaluate_classifier.py --predict")


# --------------------------------------------------------------------------------------------------------------
# Reading


def read_pictures(path, files, size, channels):
    """Read picture files, with all cores; those that cannot be read are named on standard error.

    Returns:
        images: uint8 (n, H, W, C).
        rows: (n,), the place among the files of each image.
        notes: lines about the images.
    """
    rows, pictures, grey, several = [], [], channels is None, 0
    read = functools.partial(read_picture, size=size, channels=channels or 3)
    with warnings.catch_warnings(), ThreadPool(min(available_cores(), MAX_THREADS)) as pool:
        warnings.simplefilter("ignore")  # in all threads: open_picture's own block ends in any order
        results = pool.imap(read, files, chunksize=16)
        for row, result in enumerate(with_progress(results, len(files), "Reading pictures")):
            if isinstance(result, InputError):
                warn(result)
                continue
            picture, is_grey, first_of_many = result
            rows.append(row)
            pictures.append(picture)
            grey &= is_grey
            several += first_of_many
    if not pictures:
        raise InputError(f"{path}: not one of its {len(files)} files is a picture that can be read")

    sizes = {picture.size for picture in pictures}
    width, height = sizes.pop() if len(sizes) == 1 else DEFAULT_SIZE
    images = np.stack([fit(picture, (height, width, channels or 3)) for picture in pictures])
    if grey:
        images = np.ascontiguousarray(images[..., :1])
    notes = [f"pictures are read as {height}x{width} pixels, {'grey' if images.shape[3] == 1 else 'RGB'}"]
    if len(rows) < len(files):
        notes.append(f"{len(files) - len(rows)} of {len(files)} files could not be read")
    if several:
        notes.append(f"{several} of the files hold several pictures, of which the first is used")
    return images, np.array(rows), notes


def read_picture(file, size, channels):
    """Read a picture file in this size, (height, width), or, if that is None, in its own or in the default.

    Returns (a grey or RGB Pillow picture, whether all pixels are grey, whether the file holds further pictures), or an
    InputError.
    """
    try:
        picture = open_picture(file)
    except InputError as error:
        return error
    converted = to_grey_or_rgb(picture, channels)
    pixels = np.atleast_3d(converted)
    grey = bool((pixels == pixels[..., :1]).all())
    if size or min(converted.size) < MIN_SIZE or max(converted.size) > MAX_OWN_SIZE:
        converted = Image.fromarray(fit(converted, (*(size or DEFAULT_SIZE), channels)).squeeze())
    return converted, grey, picture.info["first_of_many"]
