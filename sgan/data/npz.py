"""Read the images and labels of an .npz file.

    x_train, y_train                  images (N, H, W) or (N, H, W, C), and a label of each
    x_test, y_test                    a test set, if there is one
    x_unlabelled (or x_unlabeled)     images without labels, if there are any

Pixels are uint8, or any numbers from 0 to 1 or from 0 to 255. Labels are whole numbers, of which -1 means "no label",
or strings, or one-hot. Anything else, and what could be read in two ways, is refused.
"""

import numpy as np

from sgan.data.classes import NO_LABEL, listed, may_mean_no_label, number_classes, sort_classes
from sgan.runs.command import InputError
from sgan.runs.files import first_line, regular_file

UNLABELLED = ["x_unlabelled", "x_unlabeled"]
KEYS = ["x_train", "y_train", "x_test", "y_test", *UNLABELLED]
MIN_SIZE = 8  # pixels, of height and width


def read_npz(path):
    """Read an .npz file.

    Returns:
        Fields of a `Dataset`: train_images uint8 (N, H, W, C), those of x_unlabelled last; train_labels int64 (N,), 0
        to K-1 or -1; test_images and test_labels, if there is a test set; class_names, K strings; notes, lines to
        print.

    Raises:
        InputError: it cannot be read, does not hold such arrays, or can be read in two ways.
    """
    path = regular_file(path)
    arrays, notes = read_arrays(path)
    images = {key: as_pixels(path, key, array, notes) for key, array in arrays.items() if key.startswith("x")}
    names = {key: one_name_each(path, key, array, len(images[f"x{key[1:]}"]), notes)
             for key, array in arrays.items() if key.startswith("y")}
    shapes = {key: images[key].shape[1:] for key in images}
    if len(set(shapes.values())) > 1:
        raise InputError(f"{path}: the images have several shapes (height, width, channels): {shapes}")

    classes = sort_classes({*names["y_train"]} - {NO_LABEL})
    labels = {key: number_classes(f"{path}: {key}", names[key], classes) for key in names}
    unlabelled = [images[key] for key in UNLABELLED if key in images]
    data = {"train_images": np.concatenate([images["x_train"], *unlabelled]),
            "train_labels": np.append(labels["y_train"], np.full(sum(map(len, unlabelled)), -1))}
    if "x_test" in images:
        data |= {"test_images": images["x_test"], "test_labels": labels["y_test"]}
    return {**data, "class_names": tuple(classes), "notes": tuple(notes)}


def read_arrays(path):
    """{key: array} of those KEYS that a file has, and a list of lines about it."""
    try:
        with np.load(path, allow_pickle=False) as file:
            others = sorted(set(file) - set(KEYS))
            arrays = {key: np.asarray(file[key]) for key in KEYS if key in file}
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen kinds
        raise InputError(f"{path}: is not a readable .npz file of plain arrays ({first_line(error)}); "
                         "save arrays with np.savez, unpack an archive of pictures") from None
    needed = KEYS[:4] if "x_test" in arrays or "y_test" in arrays else KEYS[:2]
    for key in needed:
        if key not in arrays:
            raise InputError(f"{path}: has no {key}, only {listed([*arrays, *others]) or 'nothing'}; x_train and "
                             "y_train are needed, x_test and y_test go together; unpack an archive of pictures")
    return arrays, [f"{path.name}: not used: {listed(others)}"] if others else []


def as_pixels(path, key, images, notes):
    """Images (N, H, W) or (N, H, W, C) of numbers as uint8 (N, H, W, C); what was not plain is added to `notes`."""
    shape, dtype = images.shape, images.dtype
    images = images[..., None] if images.ndim == 3 else images
    if images.ndim != 4 or not images.size or min(images.shape[1:3]) < max(MIN_SIZE, images.shape[3] + 1):
        raise InputError(f"{path}: {key} has the shape {shape}, not (N, height, width) or (N, height, width, channels) "
                         f"with at least {MIN_SIZE} pixels each way; channels come last: np.moveaxis({key}, 1, -1)")
    low, high = (float(images.min()), float(images.max())) if dtype.kind in "biuf" else (np.nan, np.nan)
    if dtype.kind == "f" and 0 <= low < high <= 1:
        scale = 255
    elif 0 <= low < high <= 255 and high > (1 if dtype == np.uint8 else 127) and dtype.str[1:] != "u2":
        scale = 1
    else:
        raise InputError(f"{path}: {key} is {dtype} with values from {low:.5g} to {high:.5g}: save pixels as uint8 "
                         f"from 0 to 255, or floats from 0 to 1 (0 and 1 alone: {key}.astype(float)); of others nobody "
                         "knows which are black and white")
    if dtype != np.uint8:
        notes.append(f"{key}: {dtype} pixels from 0 to {255 // scale} are taken as 0 to 255")
        images = np.rint(np.multiply(images, scale, dtype=np.float32)).astype(np.uint8)
    if images.max() < 64:
        notes.append(f"{key}: dark, the largest pixel is {images.max()} of 255")
    return np.ascontiguousarray(images)


def one_name_each(path, key, labels, n, notes):
    """Labels as the names of classes, n strings; that they were one-hot is added to `notes`."""
    found, kind = f"{path}: {key} is {labels.dtype} of the shape {labels.shape}", labels.dtype.kind
    if labels.ndim == 2 and labels.shape[1] == 1:  # as in Keras' cifar10
        labels = labels[:, 0]
    elif labels.ndim == 2 and labels.size and kind in "biuf" and (
            labels == np.eye(labels.shape[1])[labels.argmax(axis=1)]).all():
        labels, kind = labels.argmax(axis=1), "i"
        notes.append(f"{key}: one-hot, the classes are numbers of columns, from 0 on")
    if labels.shape != (n,) or kind not in "iuU":
        raise InputError(f"{found}, but each of the {n} images needs a whole number ({NO_LABEL}: no label), a string "
                         "or a one-hot row")
    for label in np.unique(labels).tolist():
        if kind == "U":
            unclear = may_mean_no_label(label)
        else:
            unclear = label < -1 or kind == "u" and label == np.iinfo(labels.dtype).max
        if unclear:
            raise InputError(f"{path}: {key} holds {label!a}, which may be a class or mean 'no label': save that as "
                             f"{NO_LABEL}, in a signed type, or such images as {UNLABELLED[0]}")
    return labels.astype(str).tolist()
