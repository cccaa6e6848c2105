"""Measure a saved classifier, or let it classify your own pictures.

    python evaluate_classifier.py                                    the newest c_model_*.h5 of runs/sgan
    python evaluate_classifier.py runs/sgan/c_model_12000.h5 --confusion confusion.png
    python evaluate_classifier.py --predict three.png photo.jpg
    python evaluate_classifier.py runs/pets/c_model_0900.h5 --predict unsorted --csv classes.csv

It reads the .h5 files of sgan_mnist.py and of the tuned SGAN, and those that the tutorial saved under Keras 2.
"""

import functools
import os
import re
import sys
import warnings
from pathlib import Path

import sgan  # before Keras: it chooses the backend and TensorFlow's CPU kernels

if __name__ == "__main__":
    sgan.begin_script()

import numpy as np
from matplotlib.figure import Figure

from sgan.models.metadata import takes_digits
from sgan.runs.command import InputError, warn, is_terminal, printable, run_command, with_progress
from sgan.runs.options import ArgumentParser
from sgan.data.dataset import load_real_samples
from sgan.data.digits import read_digit
from sgan.models.evaluation import predict_classes, scale_images
from sgan.runs.files import check_writable, expand, read_json, write_csv, atomic_write
from sgan.data.folders import is_hidden
from sgan.data.pictures import SUFFIXES, fit, open_picture, to_grey_or_rgb
from sgan.models.loading import batch_size_of, load_classifier, read_about
from sgan.runs.device import memory_errors_in_one_line, set_up_device
from sgan_mnist import Settings


# --------------------------------------------------------------------------------------------------------------
# Evaluation


def newest_classifier(folder):
    """The c_model_NNNN.h5 of `folder` with the most steps. Raises InputError where there is none."""
    names = [(path, re.fullmatch(r"c_model_(\d+)\.h5", path.name)) for path in Path(folder).glob("*")]
    steps = {path: int(match[1]) for path, match in names if match}
    if not steps:
        raise InputError(f"no c_model_*.h5 in {folder}: train one with sgan_mnist.py, or name a file")
    return max(steps, key=steps.get)


def recorded_source(path, run_id=None):
    """What the model's run was trained on, by the run.json beside it; None where there is no run.json.

    Raises InputError where that is damaged, or of another run than `run_id`.
    """
    record_path = path.with_name("run.json")
    if not record_path.exists():
        return None
    record = read_json(record_path)
    try:
        source = str(record["data"]["source"])
    except (KeyError, TypeError):
        raise InputError(f"{record_path}: does not say which data it was trained on; give --data") from None
    if run_id and record.get("id") != run_id:
        raise InputError(f"{record_path}: is of another run than {path}; give --data")
    return source


def data_source(path, run_id=None):
    """What to measure a model on: what its run was trained on, if that is known and still there, or else "auto"."""
    source = recorded_source(path, run_id) or "auto"
    if source not in ("auto", "mnist", "synthetic") and not expand(source).exists():
        raise InputError(printable(f"{source}: no such file, though {path.with_name('run.json')} names it; "
                                   "say where it is with --data"))
    return source


def class_names(path, about, data):
    """The K names by the model's file or by the data, whose labels may be numbers. InputError where they differ."""
    numbers = tuple(map(str, range(data.n_classes)))
    named = [names for names in (tuple(about["classes"]) if about else numbers, data.class_names) if names != numbers]
    if len(set(named)) > 1:
        differ = next(pair for pair in zip(*named) if pair[0] != pair[1])
        raise InputError(printable(f"{path}: has other classes than {data.name}: {differ[0]!r}, not {differ[1]!r}"))
    return named[0] if named else numbers


def confusion_matrix(model, images, labels):
    """Count (K, K): row, the label; column, the prediction. Images without a label (-1) are left out."""
    known, n_classes = np.flatnonzero(labels >= 0), model.output_shape[1]
    predictions = predict_classes(model, images, known, batch_size_of(model))
    counts = np.bincount(labels[known] * n_classes + predictions, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes)


def evaluate(path, model, data, about=None):
    """Print the accuracies, and each class's metrics on the test set, or the training set without one.

    Args:
        about: what the model's file says about itself, see sgan/about.py.

    Returns:
        (confusion matrix, name of the set that it counts, names of the classes).

    Raises:
        InputError: the model is for other images or other classes.
    """
    expected, shape, n_classes = model.input_shape[1:], data.train_images.shape[1:], model.output_shape[1]
    if expected != shape:
        raise InputError(f"{path}: takes images of {expected}, but those of {data.name} are {shape}")
    if n_classes != data.n_classes:
        raise InputError(f"{path}: has {n_classes} classes, but {data.name} has {data.n_classes}")
    names = [printable(name) for name in class_names(path, about, data)]
    for title, name, images, labels in (("Train", "training set", data.train_images, data.train_labels),
                                        ("Test", "test set", data.test_images, data.test_labels)):
        if images is None:
            print(f"{title} Accuracy: none, {data.name} has no {name}")
        else:
            confusion, counted = confusion_matrix(model, images, labels), name
            n = confusion.sum()
            partly = ", some of them trained on" if title == "Train" else ""
            over = f" ({n:,} labelled images{partly})" if n < len(labels) else ""
            print(f"{title} Accuracy: {confusion.trace() / n:.3%}{over}")
    width = max(map(len, ("class", *names)))
    print(f"Classes, on the {counted}:\n{'class':{width}}  images  accuracy  precision")
    for k in range(n_classes):
        images, predictions = confusion[k].sum(), confusion[:, k].sum()
        accuracy, precision = (f"{confusion[k, k] / n:.2%}" if n else "-" for n in (images, predictions))
        print(f"{names[k]:>{width}}  {images:6d}  {accuracy:>8}  {precision:>9}")
    return confusion, counted, names


def save_confusion(confusion, names, title, path):
    """Draw a confusion matrix (K, K): shades are shares of the row's images, numbers are counts."""
    n_classes = len(confusion)
    side = np.clip(2 + 0.6 * n_classes, 6, 60)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(confusion):
        axes.text(column, row, confusion[row, column], ha="center", va="center", fontsize=8,
                  color="white" if shares[row, column] > 0.5 else "black")
    axes.set(xlabel="prediction", ylabel="label")
    axes.set_title(printable(title), parse_math=False)  # nor in names is $ the beginning of a formula
    axes.set_xticks(range(n_classes), names, rotation=90 if max(map(len, names)) > 2 else 0, parse_math=False)
    axes.set_yticks(range(n_classes), names, parse_math=False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=100)


# --------------------------------------------------------------------------------------------------------------
# The user's own pictures


def find_pictures(paths):
    """Files: those among `paths`, and the pictures in the folders among them, however deep, without hidden ones.

    Raises InputError for a folder that cannot be read or holds no picture.
    """
    def visible(names):
        return sorted(name for name in names if not is_hidden(name))

    def refuse(error):
        raise InputError(f"{error.filename}: {error.strerror}")

    files = []
    for path in paths:
        if not os.path.isdir(path):
            files.append(path)
            continue
        found, others = [], 0
        for folder, folders, names in os.walk(path, onerror=refuse):
            folders[:] = visible(folders)
            others += len(visible(names)) + sum(os.path.islink(Path(folder, name)) for name in folders)
            pictures = [Path(folder, name) for name in visible(names) if Path(name).suffix.lower() in SUFFIXES]
            found, others = found + pictures, others - len(pictures)
        if not found:
            raise InputError(f"{path}: no picture is in this folder")
        if others:
            warn(f"{path}: files and links left out, being no pictures by their names: {others}")
        files += found
    return files


def read_as_digit(picture, shape, invert):
    """Cut the digit out of a Pillow picture as in MNIST: uint8 (H, W, 1), `shape`.

    `invert`: True if it is known to be dark on light, None if not. Raises ValueError where there is not one digit.
    """
    return read_digit(np.asarray(to_grey_or_rgb(picture, 1)), shape[0], invert)[..., np.newaxis]


def read_as_whole(picture, shape, invert):
    """Scale a whole Pillow picture to uint8 (H, W, C), `shape`. Raises ValueError for pixels that are no brightness."""
    image = fit(to_grey_or_rgb(picture, shape[2]), shape)
    return 255 - image if invert else image


def how_to_read(path, model, whole):
    """K class names, and `read_as_digit` or `read_as_whole`: by what the file says, or by the run.json beside it."""
    shape, n_classes = model.input_shape[1:], model.output_shape[1]
    if shape[2] not in (1, 3):
        raise InputError(f"{path}: takes images of {shape[2]} channels; pictures give 1 or 3")
    if about := read_about(path, model):
        names, digits = about["classes"], about["pictures"] == "digits"
    else:
        names, source = [str(k) for k in range(n_classes)], recorded_source(path)
        digits = n_classes == 10 and takes_digits(shape) and source in ("mnist", "synthetic")
        if source is None and n_classes == 10 and shape == (28, 28, 1):
            digits = True
            if not whole:
                warn(f"{path}: does not say what it was trained on; taken for digits (otherwise add --whole)")
    return names, read_as_digit if digits and not whole else read_as_whole


def predict(model, names, files, read, csv_path=None, hint=False):
    """Classify picture files in batches; print each one's class and probability, or write all into a CSV file.

    A file that cannot be read is one line on standard error.

    Args:
        names: of the K classes.
        read: makes an image, uint8 (H, W, C), of a Pillow picture, or raises ValueError.
        hint: say how many images are mostly bright.

    Returns:
        How many files were read.
    """
    n, rows, batch, images, several, bright = batch_size_of(model, 100), [], [], [], 0, 0
    silent = csv_path or not is_terminal(sys.stdout)  # otherwise the lines show how far it is
    for done, file in enumerate(with_progress(files, len(files), "Pictures") if silent else files, start=1):
        try:
            picture = open_picture(file)
            images.append(read(picture))
        except ValueError as error:
            warn(error if isinstance(error, InputError) else f"{file}: {error}")
        else:
            batch.append(file)
            several += picture.info["first_of_many"]
            bright += images[-1].mean() > 127
        if images and (len(images) == n or done == len(files)):
            for path, row in zip(batch, model.predict_on_batch(scale_images(np.stack(images)))):
                second, first = np.argsort(row, kind="stable")[-2:]
                rows.append({"path": path, "class": names[first], "probability": f"{row[first]:.6f}",
                             "second_class": names[second], "second_probability": f"{row[second]:.6f}"})
                if not csv_path:
                    print(f"{printable(path)}: {printable(names[first])} ({row[first]:.2%})")
            batch, images = [], []
    if several:
        warn(f"{several} of the files hold more than one picture (an animation, pages); the first was taken")
    if hint and bright:
        warn(f"hint: mostly bright pictures: {bright}; if that is dark ink on light paper, add --invert")
    if csv_path and rows:
        write_csv(csv_path, sorted(rows, key=lambda row: float(row["probability"])))
        print(f"Saved: {printable(csv_path)}, {len(rows)} of {len(files)} pictures, the least confident first")
    elif csv_path:
        warn(f"{csv_path}: not written, as no picture could be read")
    return len(rows)


# --------------------------------------------------------------------------------------------------------------
# The command


def parse_arguments(argv):
    """The options, checked against each other; InputError where they do not go together."""
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", type=expand, metavar="MODEL",
                        help=f"classifiers, c_model_*.h5 (default: the newest of {Settings.out})")
    parser.add_argument("--data", help="images to measure on: auto, mnist, synthetic, a folder or FILE.npz "
                                       "(default: those in the run.json beside the model, or else auto)")
    parser.add_argument("--confusion", type=expand, metavar="FILE.png", help="draw the confusion matrix of one model")
    parser.add_argument("--predict", nargs="+", type=expand, metavar="PICTURE",
                        help="only say what these picture files show, or all those in these folders")
    parser.add_argument("--csv", type=expand, metavar="FILE.csv",
                        help="write what --predict finds into a table, the least confident first")
    parser.add_argument("--whole", action="store_true",
                        help="scale the whole picture, where otherwise one digit would be cut out of it")
    parser.add_argument("--invert", action="store_true",
                        help="the pictures show dark ink on light paper (otherwise found out, except with --whole)")
    args = parser.parse_intermixed_args(argv)
    if args.predict and (args.data is not None or args.confusion):
        parser.error("--predict only reads pictures: it goes without --data and --confusion")
    for name in ("csv", "whole", "invert"):
        if getattr(args, name) and not args.predict:
            parser.error(f"--{name} goes with --predict")
    for name, suffix in ("confusion", ".png"), ("csv", ".csv"):
        path = getattr(args, name)
        if path and len(args.models) > 1:
            parser.error(f"--{name} takes one model at a time")
        if path and path.suffix != suffix:
            parser.error(f"--{name} {path}: the name must end in {suffix}")
        if path and path.is_dir():
            parser.error(f"--{name} {path}: is a folder")
    return args


def classify_pictures(models, files, args):
    """Let each of `models`, {path: classifier}, classify the picture files. Returns whether all could be read."""
    all_read = True
    for path, model in models.items():
        print(f"Model: {printable(path)}")
        names, read = how_to_read(path, model, args.whole)
        read = functools.partial(read, shape=model.input_shape[1:], invert=args.invert or None)
        n_read = predict(model, names, files, read, args.csv, hint=args.whole and not args.invert)
        all_read &= n_read == len(files)
    return all_read


def measure_models(models, args):
    """Measure each of `models`, {path: classifier}, on its data or those of the command line."""
    data, loaded = None, None
    for path, model in models.items():
        print(f"Model: {printable(path)}")
        shape = model.input_shape[1:]
        about = read_about(path, model)
        source = data_source(path, about and about["run"]) if args.data is None else args.data
        if (source, shape) != loaded:
            data, loaded = load_real_samples(source, shape[:2], shape[2]), (source, shape)
            for note in data.notes:
                print(note)
        test = "no test set" if data.test_images is None else f"{len(data.test_images)} test images"
        print(f"Data: {data.name}, {len(data.train_images)} training images, {test}")
        confusion, counted, names = evaluate(path, model, data, about)
        if args.confusion:
            save_confusion(confusion, names, f"{path.name} on the {counted} of {Path(data.name).name}: "
                                             f"{confusion.trace() / confusion.sum():.2%}", args.confusion)
            print(f"Saved: {args.confusion}")


@memory_errors_in_one_line()
def main(argv=None):
    """Measure classifiers, or let them classify pictures; then SystemExit(2) where some could not be read."""
    args = parse_arguments(argv)
    set_up_device()
    warnings.filterwarnings("ignore", "The structure of `inputs`")  # said of files of Keras 2
    files = find_pictures(args.predict) if args.predict else []
    models = {path: load_classifier(path) for path in args.models or [newest_classifier(Settings.out)]}
    for path in filter(None, (args.csv, args.confusion)):
        check_writable(path.parent)
    if args.predict:
        if not classify_pictures(models, files, args):
            sys.exit(2)
    else:
        measure_models(models, args)


if __name__ == "__main__":
    run_command(main)
