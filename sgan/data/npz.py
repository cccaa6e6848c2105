"""Read the images and labels of an .npz file in the forms in which people have them.

    x_train, y_train                  images (N, H, W) or (N, H, W, C), and their labels
    x_test, y_test                    a test set, if there is one
    x_unlabelled (or x_unlabeled)     images without labels, if there are any

Every interpretation that is not plain is said in a line; where two are possible, the file is refused.
"""

import zipfile

import numpy as np

from sgan.runs.command import InputError, printable
from sgan.runs.files import first_line, is_text, regular_file
from sgan.data.classes import compared, listed, may_mean_no_label, refuse_twins, sort_classes

UNLABELLED = ("x_unlabelled", "x_unlabeled")
MIN_SIZE = 8  # pixels, of height and width


def read_npz(path):
    """Read an .npz file.

    Returns:
        Fields of a `Dataset`: train_images uint8 (N, H, W, C), those of x_unlabelled last; train_labels int64 (N,), 0
        to K-1 or -1; test_images and test_labels, if there is a test set; class_names, K strings; notes, lines to
        print.

    Raises:
        InputError: it cannot be read, does not hold such arrays, needs too much memory or can be read in two ways.
    """
    path = regular_file(path)
    arrays, unused = read_arrays(path)
    notes = [f"{path.name}: not used: {', '.join(unused[:20])}{', ...' * (len(unused) > 20)}"] if unused else []

    images = {}
    for key in [key for key in arrays if key.startswith("x")]:
        images[key], order = channels_last(path, key, arrays.pop(key))
        images[key], scale = as_pixels(path, key, images[key])
        notes += order + scale
        if images[key].shape[1:] != images["x_train"].shape[1:]:
            raise InputError(f"{path}: the images of {key} are {images[key].shape[1:]}, those of x_train "
                             f"{images['x_train'].shape[1:]} (height, width, channels)")
    labels = {}
    for key in arrays:
        labels[key], said = one_number_or_name_each(path, key, arrays[key])
        notes += said

    classes = find_classes(path, labels["y_train"])
    train_images, train_labels = images["x_train"], number_classes(path, "y_train", labels["y_train"], classes)
    for key in UNLABELLED:
        if key in images:
            train_images = np.concatenate([train_images, images[key]])
            train_labels = np.append(train_labels, np.full(len(images[key]), -1))
            notes.append(f"{key}: {len(images[key])} images without labels")
    data = {"train_images": train_images, "train_labels": train_labels}
    if "x_test" in images:
        data["test_images"] = images["x_test"]
        data["test_labels"] = number_classes(path, "y_test", labels["y_test"], classes)
    return {**data, "class_names": tuple(classes), "notes": tuple(map(printable, notes))}


# --------------------------------------------------------------------------------------------------------------
# The file


def read_arrays(path):
    """Read the arrays, once their sizes are known to be right. Returns {key: array} and the other arrays' names."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            keys = [key for key in ("x_train", "y_train", "x_test", "y_test", *UNLABELLED) if key in members]
            check_keys(path, keys, members)
            shapes = {}
            for key in keys:
                with archive.open(members[key]) as file:
                    shapes[key] = shape_in_header(key, file, members[key].file_size)
            for key in keys:
                check_shape(path, key, shapes)
            arrays = {}
            for key in keys:
                with archive.open(members[key]) as file:
                    arrays[key] = np.lib.format.read_array(file, allow_pickle=False)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen kinds on a damaged file
        raise InputError(f"{path} is not a readable .npz file of plain arrays: {first_line(error)}") from None
    return arrays, sorted(set(members) - set(keys))


def check_keys(path, keys, members):
    """Raise InputError where an array is missing."""
    for key in "x_train", "y_train":
        if key not in keys:
            raise InputError(f"{path} has no {key} (x_train, y_train are needed, x_test, y_test and x_unlabelled "
                             f"optional); it has {printable(', '.join(sorted(members)[:20])) or 'nothing'}")
    if ("x_test" in keys) != ("y_test" in keys):
        there, missing = ("x_test", "y_test") if "x_test" in keys else ("y_test", "x_test")
        raise InputError(f"{path} has {there} but no {missing}: a test set needs both")


def shape_in_header(key, file, file_size):
    """The shape of an array in an open .npy file. Raises ValueError where the file cannot hold it."""
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in read_header:
        raise ValueError(f"{key} is of the .npy format {'.'.join(map(str, version))}, which is for arrays with named "
                         "fields; save a plain array")
    shape, _, dtype = read_header[version](file)
    if dtype.hasobject:
        raise ValueError(f"{key} holds Python objects; save numbers, or strings as np.array({key}, dtype=str)")
    size = dtype.itemsize
    for length in shape:  # Python's integers do not overflow
        size *= length
    if size > file_size:
        raise ValueError(f"{key} is cut off")
    return shape


def check_shape(path, key, shapes):
    """Raise InputError where an array has a wrong shape, which is known before it is read."""
    shape, split = shapes[key], key[2:]
    if key.startswith("y"):
        n_images = shapes[f"x_{split}"][0]
        if len(shape) not in (1, 2) or shape[0] != n_images:
            raise InputError(f"{path}: {key} has the shape {shape}, but one class number or name for each of the "
                             f"{n_images} images of x_{split} is needed")
    elif len(shape) not in (3, 4):
        raise InputError(f"{path}: {key} has the shape {shape}, not (N, height, width) or "
                         "(N, height, width, channels)")
    elif 0 in shape:
        raise InputError(f"{path}: {key} is empty, its shape is {shape}")


# --------------------------------------------------------------------------------------------------------------
# Images


def channels_last(path, key, images):
    """Images (N, H, W), (N, H, W, C) or (N, C, H, W) as (N, H, W, C), and a line that says so of the last.

    There are fewer channels than rows and than columns.
    """
    notes = []
    if images.ndim == 3:
        images = images[..., None]
    a, b, c = images.shape[1:]
    if c >= min(a, b):
        if a >= min(b, c):
            raise InputError(f"{path}: the images of {key} may be {a}x{b} with {c} channels or {b}x{c} with {a} "
                             "channels: there should be fewer channels than rows and columns")
        images = np.moveaxis(images, 1, 3)
        notes.append(f"{key}: the channels come first, the images are {b}x{c} with {a} of them")
    height, width = images.shape[1:3]
    if min(height, width) < MIN_SIZE:
        raise InputError(f"{path}: the images of {key} are {height}x{width}, but height and width must be at least "
                         f"{MIN_SIZE} pixels")
    return images, notes


def as_pixels(path, key, images):
    """Images (N, H, W, C) of numbers as uint8, scaled to 0..255 where only one scale fits, and lines that say so."""
    dtype, values = images.dtype, f"{path}: {key} is {images.dtype}"
    if dtype.kind not in "biuf":
        raise InputError(f"{values}, not pixels")
    least, largest = images.min().item(), images.max().item()
    values += f" with values from {least:.5g} to {largest:.5g}"
    notes = []
    if not np.isfinite([least, largest]).all():
        raise InputError(f"{values}: every pixel must be a number")
    if least == largest:
        raise InputError(f"{values}: all pixels are equal, so that there is nothing to see")
    if dtype.kind == "f" and 0 <= least and 0 < largest <= 1:
        scale = 255
    elif 0 <= least and largest <= 1:
        raise InputError(f"{values}, only 0 and 1: if these were images from 0 to 1, they have lost their greys; save "
                         "the floats. If they are black and white, save 255 times the values")
    elif dtype == np.uint8:
        scale = 1
    elif dtype == np.uint16:
        if largest < 2**15:
            raise InputError(f"{values}: these may be pixels of {max(8, int(largest).bit_length())} bits, or dark ones "
                             "of 16; save them as uint8, from 0 to 255")
        scale = 1 / 257
    elif 127 < largest <= 255 and least >= 0:
        scale = 1
    elif dtype.kind == "f" and -1 <= least and largest <= 1:
        raise InputError(f"{values}: if -1 is black and 1 white, save (x + 1) / 2; if a mean was subtracted, save the "
                         "images without that")
    else:
        raise InputError(f"{values}: neither from 0 to 1 nor from 0 to 255; scale them to one of these")
    if dtype != np.uint8:
        bounds = {255: "0 to 1", 1: "0 to 255", 1 / 257: "0 to 65535"}[scale]
        notes.append(f"{key}: {dtype} pixels from {bounds} are taken as 0 to 255")
        pixels = np.empty(images.shape, np.uint8)
        for start in range(0, len(images), 1000):  # a float copy of all would be large
            pixels[start:start + 1000] = np.rint(images[start:start + 1000].astype(np.float32) * np.float32(scale))
        images = pixels
    if largest * scale < 64:
        notes.append(f"{key}: dark, the largest pixel is {round(largest * scale)} of 255")
    return np.ascontiguousarray(images), notes


# --------------------------------------------------------------------------------------------------------------
# Labels


def one_number_or_name_each(path, key, labels):
    """Labels as an integer or a string for each image, (N,), and lines that say how they were understood."""
    notes = []
    if labels.ndim == 2 and labels.shape[1] == 1:  # as in Keras' cifar10
        labels = labels[:, 0]
    if labels.ndim == 2:
        if labels.dtype.kind not in "biuf" or not (
                np.isin(labels, (0, 1)).all() and (np.count_nonzero(labels, axis=1) == 1).all()):
            raise InputError(f"{path}: {key} has the shape {labels.shape}, but is not one-hot (a single 1 in each "
                             "row); one class number or name for each image is needed")
        notes = [f"{key}: one-hot, the classes are numbers of columns, from 0 on"]
        labels = labels.argmax(axis=1)
    if labels.dtype.kind == "S":
        try:
            labels = np.char.decode(labels, "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{path}: {key} holds bytes that are not UTF-8; save it as "
                             f"np.array({key}, dtype=str)") from None
    if labels.dtype.kind == "U":
        for name in np.unique(labels).tolist():
            if may_mean_no_label(name):
                raise InputError(f"{path}: {key} holds the label {name!r}, which may be a class or mean 'no label'; "
                                 "rename the class, or give images without a label as x_unlabelled")
            if not is_text(name):
                raise InputError(f"{path}: {key} holds the label {ascii(name)}, which is no text; rename the class")
        return labels, notes
    if labels.dtype.kind not in "iu":
        raise InputError(f"{path}: {key} is {labels.dtype}, not integers or strings: save integers, -1 for 'no label'")
    if labels.dtype.kind == "u" and labels.max() == np.iinfo(labels.dtype).max:
        raise InputError(f"{path}: {key} is {labels.dtype} and holds {labels.max()}, which is what becomes of "
                         "-1 (no label) there: save the labels in a signed type such as int64")
    if labels.min() < -1:
        raise InputError(f"{path}: {key} holds {labels.min()}; labels are numbers from 0 on, or -1 for no label")
    if labels.max() < 0:
        raise InputError(f"{path}: every label in {key} is -1 (no label)")
    return labels, notes


def find_classes(path, labels):
    """The names of the classes in the labels of the training set, in their order. Raises InputError for less than two.
    """
    values = np.unique(labels)
    if values.tolist() == [-1, 1]:
        raise InputError(f"{path}: y_train holds only -1 and 1: if these are two classes, save them as 0 and 1; if "
                         "-1 means no label, there is one class, and a classifier needs at least 2")
    names = [str(value) for value in values if value != -1]
    if len(names) < 2:
        raise InputError(f"{path}: the only class is {printable(names[0])}; a classifier needs at least 2 classes")
    refuse_twins(f"{path}: y_train", names)
    return sort_classes(names)


def number_classes(path, key, labels, classes):
    """Labels (N,) as the numbers of their classes, int64, or -1. Raises InputError for one that is no class."""
    numbers = {"-1": -1, **{compared(name): number for number, name in enumerate(classes)}}
    values, places = np.unique(labels, return_inverse=True)
    for value in values:
        if compared(str(value)) not in numbers:
            raise InputError(f"{path}: {key} holds the label {printable(value)}, which y_train does not have (its "
                             f"classes are {listed(classes)}): a class without training images cannot be learned")
    return np.array([numbers[compared(str(value))] for value in values])[places]
