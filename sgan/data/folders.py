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

from sgan.runs.command import InputError, warn, printable, with_progress
from sgan.runs.device import available_cores
from sgan.data.classes import compared, may_mean_no_label, refuse_twins, sort_classes
from sgan.data.npz import MIN_SIZE
from sgan.data.pictures import fit, open_picture, to_grey_or_rgb

LARGEST_OWN_SIZE = 64  # pixels, of height and width: up to here pictures that all have one size keep it
DEFAULT_SIZE = 32, 32
THREADS = 4  # at most: large pictures need much memory while they are read
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
    unlabelled, classes = sub_folders(train)
    nothing, test_classes = sub_folders(test) if test else ([], {})
    check_classes(train, classes, test, nothing, test_classes)

    number = {compared(name): label for label, name in enumerate(classes)}
    files = [(file, number[compared(name)]) for name in classes for file in classes[name]]
    files += [(file, -1) for file in unlabelled]
    n_train = len(files)
    files += [(file, number[compared(name)]) for name in test_classes for file in test_classes[name]]

    for name, own in classes.items():
        if not own:
            raise InputError(f"{train / name}: a class without a picture")
    images, rows, notes = read_pictures(path, [file for file, _ in files], size, channels)
    labels = np.array([files[row][1] for row in rows], np.int64)
    n_train = np.searchsorted(rows, n_train)  # without those that could not be read
    for label, name in enumerate(classes):
        if label not in labels[:n_train]:
            raise InputError(f"{train / name}: a class without a readable picture")
    data = {"train_images": images[:n_train], "train_labels": labels[:n_train]}
    if test:
        if n_train == len(labels):
            raise InputError(f"{test}: a test set without a readable picture; move it away to train without one")
        data |= {"test_images": images[n_train:], "test_labels": labels[n_train:]}
    return {**data, "class_names": tuple(classes), "notes": tuple(notes)}


# --------------------------------------------------------------------------------------------------------------
# Which files


def is_hidden(name):
    """Whether a file or folder of this name is one that systems make and hide."""
    return name.startswith(".") or name in HIDDEN


def visible(folder):
    """The folders and the other files in a folder, two lists of Paths by name, without hidden ones."""
    try:
        names = sorted(name for name in os.listdir(folder) if not is_hidden(name))
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}") from None
    entries = [folder / name for name in names]
    is_folder = [os.path.isdir(entry) for entry in entries]
    return ([entry for entry, yes in zip(entries, is_folder) if yes],
            [entry for entry, yes in zip(entries, is_folder) if not yes])


def find_sets(path):
    """The folder whose sub-folders are the classes, and that of the test set or None."""
    folders, files = visible(path)
    sets = {folder.name.lower(): folder for folder in folders if folder.name.lower() in ("train", "test")}
    if not sets:
        return path, None
    if "train" not in sets:
        raise InputError(f"{path}: has {sets['test'].name}/ but no train/: if it is the test set, move the classes to "
                         "train on into train/; if it is a class, give it another name")
    for entry in (*folders, *files):
        if entry not in sets.values():
            raise InputError(f"{entry}: beside {sets['train'].name}/, whose sub-folders are the classes, only a folder "
                             "test/ is read; move it into one of them, or away")
    return sets["train"], sets.get("test")


def sub_folders(folder):
    """The files in the sub-folders of a folder: a list of the unlabelled ones, and {class name: list}."""
    folders, loose = visible(folder)
    for file in loose:
        try:
            open_picture(file)
        except InputError as error:
            warn(error)
        else:
            raise InputError(f"{file}: a picture outside of the class folders; move it into that of its class, or "
                             f"into {folder / 'unlabelled'}")
    unlabelled, classes = [], {}
    for sub_folder in folders:
        deeper, files = visible(sub_folder)
        if deeper:
            raise InputError(f"{deeper[0]}: a folder inside a class; the classes are the sub-folders of {folder}, and "
                             "hold only pictures")
        if sub_folder.name.lower() in ("unlabelled", "unlabeled"):
            unlabelled += files
        elif may_mean_no_label(sub_folder.name) or sub_folder.name.lower().startswith("unlabel"):
            raise InputError(f"{sub_folder}: may be a class or hold pictures without a label; rename it, to "
                             "'unlabelled' if it does")
        else:
            classes[sub_folder.name] = files
    refuse_twins(folder, classes)
    return unlabelled, {name: classes[name] for name in sort_classes(classes)}


def check_classes(train, classes, test, unlabelled_test, test_classes):
    """Raise InputError for less than two classes and for a test set that does not fit them."""
    if not classes:
        raise InputError(f"{train}: no class folders; put the pictures of each class into a sub-folder of its own")
    if len(classes) < 2:
        raise InputError(f"{train}: the only class is {[*classes][0]}; a classifier needs at least 2 classes")
    known = {compared(name) for name in classes}
    for name in test_classes:
        if compared(name) not in known:
            raise InputError(f"{test / name}: a class that {train} does not have cannot be learned")
    if unlabelled_test:
        raise InputError(f"{unlabelled_test[0].parent}: the test set needs labels; move it into {train}")


# --------------------------------------------------------------------------------------------------------------
# Reading


def read_pictures(path, files, size, channels):
    """Read picture files, with all cores; those that cannot be read are named on standard error.

    Returns:
        images: uint8 (n, H, W, C).
        rows: (n,), the place among the files of each image.
        notes: lines about the images.
    """
    read = functools.partial(read_image, size=size, channels=channels)
    images, rows, all_grey, more = [], [], True, []
    n_threads = min(available_cores(), THREADS)  # decoding leaves Python to other threads
    with warnings.catch_warnings(), ThreadPool(n_threads) as pool:
        warnings.simplefilter("ignore")  # in all threads: open_picture's own block ends in any order
        results = pool.imap(read, files, chunksize=16)
        for row, result in enumerate(with_progress(results, len(files), "Reading pictures")):
            if isinstance(result, InputError):
                warn(result)
                continue
            image, grey, first_of_many = result
            images.append(image)
            rows.append(row)
            all_grey &= grey
            if first_of_many:
                more.append(files[row])
    if not images:
        raise InputError(f"{path}: not one of its {len(files)} files is a picture that can be read")

    notes = []
    if len({image.shape for image in images}) > 1:  # no common size, and those of at most 64 pixels are not fitted yet
        shape = (*DEFAULT_SIZE, images[0].shape[2])
        images = [image if image.shape == shape else fit(as_picture(image), shape) for image in images]
    images = np.stack(images)
    if channels is None and all_grey:
        images = np.ascontiguousarray(images[..., :1])
    if len(rows) < len(files):
        notes.append(f"{len(files) - len(rows)} of {len(files)} files could not be read")
    if more:
        notes.append(f"{len(more)} of the files hold several pictures, of which the first is used (such as {more[0]})")
    height, width, n_channels = images.shape[1:]
    notes.append(f"pictures are read as {height}x{width} pixels, {'grey' if n_channels == 1 else 'RGB'}")
    return images, np.array(rows), [printable(note) for note in notes]


def read_image(file, size, channels):
    """Read a picture file as uint8 (H, W, C); where `size` is None, one of at most 64 pixels a side with its own.

    Returns (image, whether all pixels are grey, whether the file holds further pictures), or an InputError.
    """
    try:
        picture = open_picture(file)
        converted = to_grey_or_rgb(picture, channels or 3)
    except InputError as error:
        return error
    except ValueError as error:
        return InputError(f"{file}: cannot be read as a picture ({error})")
    own_size = size is None and MIN_SIZE <= min(converted.size) and max(converted.size) <= LARGEST_OWN_SIZE
    shape = (*(converted.size[::-1] if own_size else size or DEFAULT_SIZE), channels or 3)
    image = np.asarray(converted).reshape(shape) if own_size else fit(converted, shape)
    grey = is_grey(image) and is_grey(np.atleast_3d(converted))
    return image, grey, picture.info["first_of_many"]


def is_grey(image):
    """Whether the channels of an image (H, W, C) are all the same."""
    return bool((image[..., 1:] == image[..., :1]).all())


def as_picture(image):
    """An image, uint8 (H, W, C), as a Pillow picture."""
    return Image.fromarray(image if image.shape[2] == 3 else image[..., 0])
