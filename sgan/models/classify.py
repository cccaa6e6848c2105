"""Let a saved classifier say what picture files show."""

import functools
import sys
from collections import Counter
from itertools import islice

import numpy as np

from sgan.data.digits import read_digit
from sgan.data.folders import visible
from sgan.data.pictures import ground_of, open_picture, scale_to, to_grey_or_rgb
from sgan.models.evaluation import batch_size_for, scale_images
from sgan.models.loading import read_about
from sgan.models.metadata import MNIST_STROKES
from sgan.runs.command import InputError, is_terminal, printable, warn, with_progress
from sgan.runs.files import write_csv
from sgan.runs.plots import save_titled_images

MAX_SHOWN = 40  # pictures that are drawn beside a CSV file


def find_pictures(paths):
    """Files: those among `paths`, and all in the folders among them, however deep, without hidden ones.

    As in training, links are followed, and every file may be a picture, whatever its name. Raises InputError for a
    folder that cannot be read or holds no file.
    """
    files = []
    for path in paths:
        found = files_in(path, set()) if path.is_dir() else [path]
        if not found:
            raise InputError(f"{path}: no picture is in this folder")
        files += found
    return files


def files_in(folder, seen):
    """All files in a folder; none if it is in `seen`, a set that it then joins: links may lead back to it."""
    if folder.resolve() in seen:
        return []
    seen.add(folder.resolve())
    folders, files = visible(folder)
    return files + [file for each in folders for file in files_in(each, seen)]


# --------------------------------------------------------------------------------------------------------------
# From a picture to an image


def cut_out(picture, notes, shape, strokes, invert):
    """Cut a character out of a Pillow picture, as those that a classifier was trained on: uint8 (H, W, 1), `shape`.

    Args:
        strokes: theirs, see `metadata.describe_strokes`.
        invert: True if the picture is known to be dark on light; False finds out.

    Raises:
        ValueError: there is not one character.
    """
    ink = read_digit(np.asarray(to_grey_or_rgb(picture, 1)), shape[0], invert or None, strokes["extent"]) / 255
    return (strokes["ground"] + ink * (strokes["ink"] - strokes["ground"])).round().astype("uint8")[..., np.newaxis]


def read_whole(picture, notes, shape, strokes, invert):
    """Scale a whole Pillow picture to uint8 (H, W, C), `shape`, and invert it if it is the opposite of `strokes`."""
    image = scale_to(to_grey_or_rgb(picture, shape[2]), shape)
    light = strokes and np.sign(strokes["ink"] - strokes["ground"])
    if strokes and not invert and light * (image.mean() - ground_of(image)[0]) < 0:
        invert, seen = True, "dark on light" if light > 0 else "light on dark"
        notes[f"{seen}, the opposite of those trained on, and inverted; photographs may need --cut-out"] += 1
    return 255 - image if invert else image


def how_to_read(path, model, whole, cut, invert):
    """How to read pictures for a classifier, by what its file says.

    Args:
        whole, cut, invert: the options of evaluate_classifier.py.

    Returns:
        (K class names, a function that makes an image, uint8 (H, W, C), of a Pillow picture, and counts what is to be
        said of all pictures in its second argument).
    """
    shape, n_classes = model.input_shape[1:], model.output_shape[1]
    if shape[2] not in (1, 3):
        raise InputError(f"{path}: takes images of {shape[2]} channels; pictures give 1 or 3")
    about = read_about(path, model)
    if not about:
        about = {"classes": [str(k) for k in range(n_classes)],
                 "pictures": "digits" if n_classes == 10 and shape == (28, 28, 1) else "whole"}
        if about["pictures"] == "digits" and not whole:
            warn(f"{path}: does not say what it was trained on; taken for digits (otherwise add --whole)")
    digits = about["pictures"] == "digits"
    strokes = MNIST_STROKES if digits else about.get("strokes")
    if cut and not (strokes and shape[0] == shape[1]):
        raise InputError(f"{path}: does not say that it was trained on square images of strokes on a plain ground, as "
                         "--cut-out needs")
    read = cut_out if cut or digits and not whole else read_whole
    return about["classes"], functools.partial(read, shape=shape, strokes=strokes, invert=invert)


def read_pictures(files, read, notes):
    """Yield (file, image) of each picture file; one that cannot be read is a line on standard error."""
    for file in files:
        try:
            yield file, read(open_picture(file), notes)
        except ValueError as error:
            warn(error if isinstance(error, InputError) else f"{file}: {error}")


# --------------------------------------------------------------------------------------------------------------
# From an image to its class


def classify(model, names, files, read, csv_path=None):
    """Print the class and probability of each picture file, or write all into a CSV file, the least confident first,
    and draw the first of them into a .png beside it.

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
        images = scale_images(np.stack([image for _, image in batch]))
        for (path, _), row in zip(batch, model.predict_on_batch(images)):
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
        order = sorted(range(len(rows)), key=lambda i: float(rows[i]["probability"]))
        write_csv(csv_path, [table[i] for i in order], encoding="utf-8-sig")
        counts = Counter(row["class"] for row in rows)
        heading = "predicted: " + printable(", ".join(f"{name} {counts[name]:,}" for name in names))
        save_least_confident([rows[i] for i in order[:MAX_SHOWN]], heading, read, csv_path.with_suffix(".png"))
        print(f"{heading}\nSaved: {printable(csv_path)} and .png, {len(rows)} of {len(files)} pictures, the least "
              "confident first")
    elif csv_path:
        warn(f"{csv_path}: not written, as no picture could be read")
    return len(rows)


def save_least_confident(rows, heading, read, path):
    """Draw the pictures of some rows of `classify`, as the classifier saw them, with their predictions."""
    pictures = dict(read_pictures([row["path"] for row in rows], read, Counter()))
    shown = [(pictures[row["path"]], printable(f"{row['class'][:14]} {float(row['probability']):.0%}"))
             for row in rows if row["path"] in pictures]
    if shown:  # they may be gone by now
        save_titled_images(*zip(*shown), f"{heading}; the least confident:", path)


def cell(text):
    """A text as a CSV file can hold it that a spreadsheet opens, which would compute what begins like a formula."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
