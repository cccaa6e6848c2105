"""Read a folder of pictures, whose sub-folders are the classes.

    FOLDER/cat/...  FOLDER/dog/...  FOLDER/unlabelled/...                 or, with a test set,
    FOLDER/train/cat/...  FOLDER/train/dog/...  FOLDER/train/unlabelled/...  FOLDER/test/cat/...  FOLDER/test/dog/...

As in keras.utils.image_dataset_from_directory, except that `unlabelled` (or `unlabeled`) is no class, that classes are
sorted by value if all are numbers, that they have no sub-folders, and that what is left out is said, except hidden
files.
"""

import functools
import os
from multiprocessing.pool import ThreadPool

import numpy as np
from PIL import Image

from sgan.data.classes import NO_LABEL, listed, may_mean_no_label, number_classes, sort_classes
from sgan.data.npz import MIN_SIZE
from sgan.data.pictures import open_picture, scale_to, to_grey_or_rgb
from sgan.runs.command import InputError, warn, with_progress

MAX_OWN_SIZE = 64  # pixels, of height and width: up to here pictures that all have one size keep it
DEFAULT_SIZE = 32, 32
THREADS = 4  # not more: large pictures need much memory while they are read
HIDDEN = ("__MACOSX", "Thumbs.db", "desktop.ini")  # and names that begin with a dot


def read_folder(path, size=None, channels=None):
    """Read all pictures of a folder. A file that cannot be read is named on standard error and left out.

    Args:
        path: the folder, a `Path`.
        size: (height, width) of the images; None for the size that all pictures have, if there is one of at most 64
            pixels a side, or else 32 x 32.
        channels: 1 for grey; None for grey if the images of all pictures are grey, or else RGB; others for RGB.

    Returns:
        Fields of a `Dataset`: train_images uint8 (N, H, W, C), by class and then by name, those without a label last;
        train_labels int64 (N,), 0 to K-1 or -1; test_images and test_labels, if there is a folder `test`; class_names,
        K strings; notes, lines to print.

    Raises:
        InputError: the folder has another form, or a class without a readable picture.
    """
    train, test = find_sets(path)
    files = list_files(train, train)
    n_files = len(files)
    if test:
        files += list_files(test, train)
    images, rows, notes = read_images(path, [file for file, _ in files], size, channels)
    n = np.count_nonzero(rows < n_files)  # of the training set, without those that could not be read
    names = [files[row][1] for row in rows]
    if missing := {name for _, name in files[:n_files]} - {*names[:n], NO_LABEL}:
        raise InputError(f"{train}: no picture of the class {listed(sorted(missing))} can be read")
    classes = sort_classes({*names[:n]} - {NO_LABEL})
    data = {"train_images": images[:n], "train_labels": number_classes(train, names[:n], classes)}
    if test:
        data |= {"test_images": images[n:], "test_labels": number_classes(test, names[n:], classes)}
    return {**data, "class_names": tuple(classes), "notes": tuple(notes)}


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
    if "train" not in sets or len(sets) < len(folders):
        raise InputError(f"{path}: has the folders {listed(each.name for each in folders)}, but only test/ may stand "
                         "beside train/, and both are sets, whose sub-folders are the classes: rename one that is a "
                         "class, or else move other folders away (to validate, there is --validation-split)")
    leave_out(path, files)
    return sets["train"], sets.get("test")


def leave_out(folder, files):
    """Say which files of a folder, if any, are left out because they are in no class."""
    if files:
        warn(f"{folder}: left out, as in no class and not in 'unlabelled': {listed(each.name for each in files)}")


def list_files(folder, train):
    """(file, name of its class) of all files in the sub-folders of a set, in the order of the classes; those without a
    label come last, with NO_LABEL."""
    folders, loose = visible(folder)
    if not folders:
        raise InputError(f"{folder}: has no folders of classes; pictures without a label go to {train / 'unlabelled'}, "
                         "or are classified with evaluate_classifier.py --predict")
    leave_out(folder, loose)
    files_of = {NO_LABEL: []}
    for sub_folder in folders:
        name = NO_LABEL if sub_folder.name.lower() in ("unlabelled", "unlabeled") else sub_folder.name
        if name == sub_folder.name and (may_mean_no_label(name) or name.lower().startswith("unlabel")):
            raise InputError(f"{sub_folder}: may be a class or hold pictures without a label; rename it, to "
                             "'unlabelled' if it does")
        deeper, files = visible(sub_folder)
        if deeper or not files and name != NO_LABEL:
            raise InputError(f"{deeper[0]}: a folder inside a class; move its pictures up, or it away" if deeper else
                             f"{sub_folder}: has no pictures; put some there, or remove it")
        files_of[name] = files_of.get(name, []) + files
    return [(file, name) for name in [*sort_classes({*files_of} - {NO_LABEL}), NO_LABEL] for file in files_of[name]]


# --------------------------------------------------------------------------------------------------------------
# Reading


def read_images(path, files, size, channels):
    """Read picture files, in THREADS threads; those that cannot be read are named on standard error.

    Returns:
        images: uint8 (n, H, W, C).
        rows: (n,), the place among the files of each image.
        notes: lines about the images.
    """
    n_channels = 1 if channels == 1 else 3
    read = functools.partial(read_picture, size=size, n_channels=n_channels)
    with ThreadPool(THREADS) as pool:
        pictures = [*with_progress(pool.imap(read, files, chunksize=16), len(files), "Reading pictures")]
    rows = [row for row, picture in enumerate(pictures) if picture]
    pictures = [pictures[row] for row in rows]
    if not pictures:
        raise InputError(f"{path}: not one of its {len(files)} files is a picture that can be read")

    sizes = {picture.size for picture in pictures}
    width, height = sizes.pop() if len(sizes) == 1 else DEFAULT_SIZE
    images = np.stack([scale_to(picture, (height, width, n_channels)) for picture in pictures])
    if channels is None and (images == images[..., :1]).all():
        images = np.ascontiguousarray(images[..., :1])
    notes = [f"pictures are read as {height}x{width} pixels, {'grey' if images.shape[3] == 1 else 'RGB'}"
             + (f", dark: the largest value is {images.max()} of 255" if images.max() < 64 else "")]
    if len(rows) < len(files):
        notes.append(f"{len(files) - len(rows)} of {len(files)} files could not be read")
    return images, np.array(rows), notes


def read_picture(file, size, n_channels):
    """Read a picture file as a grey or RGB Pillow picture of this size, (height, width).

    If the size is None, it keeps its own, if that is small, or gets the default one. A file that cannot be read is a
    line on standard error, and None.
    """
    try:
        picture = to_grey_or_rgb(open_picture(file), n_channels)
    except InputError as error:
        warn(error)
        return None
    if size or min(picture.size) < MIN_SIZE or max(picture.size) > MAX_OWN_SIZE:
        picture = Image.fromarray(scale_to(picture, (*(size or DEFAULT_SIZE), n_channels)).squeeze())
    return picture
