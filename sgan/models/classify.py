"""Let a saved classifier say what picture files show."""

import functools
import os
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np

from sgan.data.digits import read_digit
from sgan.data.folders import visible
from sgan.data.pictures import fit, open_picture, to_grey_or_rgb
from sgan.models.evaluation import batch_size_for, scale_images
from sgan.models.loading import read_about
from sgan.runs.command import InputError, is_terminal, printable, warn, with_progress
from sgan.runs.files import write_csv


def find_pictures(paths):
    """Files: those among `paths`, and all in the folders among them, however deep, without hidden ones.

    As in training, links are followed, and every file may be a picture, whatever its name. Raises InputError for a
    folder that cannot be read or holds no file.
    """
    files = []
    for path in paths:
        if not os.path.isdir(path):
            files.append(path)
            continue
        waiting, seen, found = [Path(path)], set(), []
        while waiting:
            folder = waiting.pop(0)
            if (place := folder.resolve()) not in seen:  # a link may lead back
                seen.add(place)
                deeper, inside = visible(folder)
                waiting, found = deeper + waiting, found + inside
        if not found:
            raise InputError(f"{path}: no picture is in this folder")
        files += found
    return files


# --------------------------------------------------------------------------------------------------------------
# From a picture to an image


def read_as_digit(picture, notes, shape, invert):
    """Cut the digit out of a Pillow picture as in MNIST: uint8 (H, W, 1), `shape`.

    `invert`: True if it is known to be dark on light, None if not. Raises ValueError if there is not one digit.
    """
    return read_digit(np.asarray(to_grey_or_rgb(picture, 1)), shape[0], invert)[..., np.newaxis]


def read_as_whole(picture, notes, shape, invert, hint):
    """Scale a whole Pillow picture to uint8 (H, W, C), `shape`. Raises ValueError for pixels that are no brightness.

    `hint`: count the mostly bright ones in `notes`, unless they are inverted.
    """
    image = fit(to_grey_or_rgb(picture, shape[2]), shape)
    if hint and not invert and image.mean() > 127:
        notes["mostly bright; if that is dark ink on light paper, add --invert"] += 1
    return 255 - image if invert else image


def how_to_read(path, model, whole, invert):
    """K class names, and a function that makes an image, uint8 (H, W, C), of a Pillow picture, and counts in a second
    argument what is to be said of the pictures; by what the model's file says."""
    shape, n_classes = model.input_shape[1:], model.output_shape[1]
    if shape[2] not in (1, 3):
        raise InputError(f"{path}: takes images of {shape[2]} channels; pictures give 1 or 3")
    about = read_about(path, model)
    digits = about["pictures"] == "digits" if about else n_classes == 10 and shape == (28, 28, 1)
    if digits and not about and not whole:
        warn(f"{path}: does not say what it was trained on; taken for digits (otherwise add --whole)")
    names = about["classes"] if about else [str(k) for k in range(n_classes)]
    if digits and not whole:
        return names, functools.partial(read_as_digit, shape=shape, invert=invert or None)
    return names, functools.partial(read_as_whole, shape=shape, invert=invert, hint=whole)


def read_pictures(files, read, notes):
    """Yield (file, image) of each picture file; one that cannot be read is a line on standard error."""
    for file in files:
        try:
            picture = open_picture(file)
            image = read(picture, notes)
        except ValueError as error:
            warn(error if isinstance(error, InputError) else f"{file}: {error}")
            continue
        if picture.info["first_of_many"]:
            notes["more than one picture in a file (an animation, pages); the first was taken"] += 1
        yield file, image


# --------------------------------------------------------------------------------------------------------------
# From an image to its class


def classify(model, names, files, read, csv_path=None):
    """Print the class and probability of each picture file, or write all into a CSV file, the least confident first.

    Args:
        names: of the K classes.
        read: see `how_to_read`.

    Returns:
        How many files were read.
    """
    rows, notes = [], Counter()
    silent = csv_path or not is_terminal(sys.stdout)  # otherwise the lines show how far it is
    pictures = read_pictures(with_progress(files, len(files), "Pictures") if silent else files, read, notes)
    while batch := [*islice(pictures, batch_size_for(100, model.input_shape[1:]))]:
        images = np.stack([image for _, image in batch])
        for (path, _), row in zip(batch, model.predict_on_batch(scale_images(images))):
            second, first = np.argsort(row, kind="stable")[-2:]
            rows.append({"path": str(path), "class": names[first], "probability": f"{row[first]:.6f}",
                         "second_class": names[second], "second_probability": f"{row[second]:.6f}"})
            if not csv_path:
                print(f"{printable(path)}: {printable(names[first])} ({row[first]:.2%})")
    table = [{title: cell(value) for title, value in row.items()} for row in rows]
    if csv_path and (changed := sum(new != old for new, old in zip(table, rows))):
        notes["name changed in the table, so that spreadsheets do not compute it and all is UTF-8"] = changed
    for note, number in notes.items():
        warn(f"{number} of {len(rows)} pictures: {note}")
    if csv_path and rows:
        write_csv(csv_path, sorted(table, key=lambda row: float(row["probability"])), encoding="utf-8-sig")
        print(f"Saved: {printable(csv_path)}, {len(rows)} of {len(files)} pictures, the least confident first")
    elif csv_path:
        warn(f"{csv_path}: not written, as no picture could be read")
    return len(rows)


def cell(text):
    """A text as a CSV file can hold it that a spreadsheet opens, which would compute what begins like a formula."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
