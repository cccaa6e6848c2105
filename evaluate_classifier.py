"""Measure a saved classifier, or let it classify your own pictures.

    python evaluate_classifier.py                                    the newest c_model_*.h5 of runs/sgan
    python evaluate_classifier.py runs/sgan/c_model_12000.h5 --confusion confusion.png
    python evaluate_classifier.py --predict three.png photo.jpg
    python evaluate_classifier.py runs/pets/c_model_0900.h5 --predict unsorted --csv classes.csv

It reads the .h5 files of sgan_mnist.py and of the tuned SGAN, and those that the tutorial saved under Keras 2.
"""

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

from sgan.data.classes import match_classes
from sgan.data.dataset import load_real_samples
from sgan.models.classify import classify, find_pictures, how_to_read
from sgan.models.evaluation import predict_classes
from sgan.models.loading import load_classifier, read_about
from sgan.runs.command import InputError, printable, run_command
from sgan.runs.device import set_up_device
from sgan.runs.files import atomic_write, check_writable, expand, read_json
from sgan.runs.options import ArgumentParser, flag

RUN_FOLDER = "runs/sgan"  # of sgan_mnist.py


# --------------------------------------------------------------------------------------------------------------
# Evaluation


def newest_classifier(folder):
    """The c_model_NNNN.h5 of `folder` with the most steps. Raises InputError if there is none."""
    names = [(path, re.fullmatch(r"c_model_(\d+)\.h5", path.name)) for path in Path(folder).glob("*")]
    steps = {path: int(match[1]) for path, match in names if match}
    if not steps:
        raise InputError(f"no c_model_*.h5 in {folder}: train one with sgan_mnist.py, or name a file")
    return max(steps, key=steps.get)


def data_source(path, run_id=None):
    """What to measure a model on: by the run.json beside it what its run was trained on, "auto" if there is none.

    Raises InputError if that is damaged, of another run than `run_id`, or names data that are not there.
    """
    record_path = path.with_name("run.json")
    if not record_path.exists():
        return "auto"
    record = read_json(record_path)
    try:
        source = str(record["data"]["source"])
    except (KeyError, TypeError):
        raise InputError(f"{record_path}: does not say which data it was trained on; give --data") from None
    if run_id and record.get("id") != run_id:
        raise InputError(f"{record_path}: is of another run than {path}; give --data")
    if source not in ("auto", "mnist", "synthetic") and not expand(source).exists():
        raise InputError(f"{source}: no such file, though {record_path} names it; say where it is with --data")
    return source


def confusion_matrix(model, images, labels):
    """Count (K, K): row, the label; column, the prediction. Images without a label (-1) are left out."""
    known, n_classes = np.flatnonzero(labels >= 0), model.output_shape[1]
    predictions = predict_classes(model, images, known)
    counts = np.bincount(labels[known] * n_classes + predictions, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes)


def evaluate(path, model, data, about=None):
    """Print the accuracies, and each class's metrics on the test set, or the training set without one.

    Args:
        about: what the model's file says about itself, see sgan/models/metadata.py.

    Returns:
        (confusion matrix, title of the set that it counts, names of the classes).

    Raises:
        InputError: the model is for other images or other classes.
    """
    expected, shape, n_classes = model.input_shape[1:], data.train_images.shape[1:], model.output_shape[1]
    if expected != shape:
        raise InputError(f"{path}: takes images of {expected}, but those of {data.name} are {shape}")
    names = about["classes"] if about else [str(k) for k in range(n_classes)]
    outputs = np.append(match_classes(path, names, data.name, data.class_names), -1)  # -1 stays "no label"
    names = [printable(name) for name in names]
    for name, images, labels in data.sets():
        confusion, title = confusion_matrix(model, images, outputs[labels]), f"{name} set"
        n, seen = confusion.sum(), ", also those it was trained on or validated with" if name == "train" else ""
        print(f"{name.capitalize()} Accuracy: {confusion.trace() / n:.3%} ({n:,} labelled images{seen})")
    if data.test_images is None:
        print(f"Test Accuracy: none, {data.name} has no test set")
    width = max(map(len, ("class", *names)))
    print(f"Classes, on the {title}:\n{'class':{width}}  images  accuracy  precision")
    for k, images, predictions in zip(range(n_classes), confusion.sum(axis=1), confusion.sum(axis=0)):
        accuracy, precision = (f"{confusion[k, k] / n:.2%}" if n else "-" for n in (images, predictions))
        print(f"{names[k]:>{width}}  {images:6d}  {accuracy:>8}  {precision:>9}")
    return confusion, title, names


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
# The command


def parse_arguments(argv):
    """The options, checked against each other; InputError where they do not go together."""
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", type=expand, metavar="MODEL",
                        help=f"classifiers, c_model_*.h5 (default: the newest of {RUN_FOLDER})")
    parser.add_argument("--data", help="images to measure on: auto, mnist, synthetic, a folder or FILE.npz "
                                       "(default: those in the run.json beside the model, or else auto)")
    parser.add_argument("--confusion", type=expand, metavar="FILE.png", help="draw the confusion matrix of one model")
    parser.add_argument("--predict", nargs="+", type=expand, metavar="PICTURE",
                        help="only say what these picture files show, or all those in these folders")
    parser.add_argument("--csv", type=expand, metavar="FILE.csv",
                        help="write what --predict finds into a table, the least confident first")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--cut-out", action="store_true",
                     help="cut one character out of each photograph (default for classifiers of MNIST's digits)")
    how.add_argument("--whole", action="store_true", help="scale the whole picture (default for other classifiers)")
    parser.add_argument("--invert", action="store_true",
                        help="invert all pictures: dark ink on light paper (default: found out for strokes)")
    argv = sys.argv[1:] if argv is None else argv
    for argument in argv:
        if argument.startswith("-") and os.path.exists(argument):
            parser.error(f"{argument}: is a file named like an option; write ./{argument}, or ./* for all files")
    args = parser.parse_intermixed_args(argv)
    for path in args.predict or []:
        if path.suffix in (".h5", ".hdf5"):
            parser.error(f"--predict {path}: is no picture; name the classifier before --predict")
    for name in ("data", "confusion") if args.predict else ("csv", "cut_out", "whole", "invert"):
        if getattr(args, name) not in (None, False):
            parser.error(f"{flag(name)} goes {'without' if args.predict else 'with'} --predict")
    for name, suffix in ("confusion", ".png"), ("csv", ".csv"):
        path = getattr(args, name)
        if path and len(args.models) > 1:
            parser.error(f"--{name} takes one model at a time")
        if path and path.suffix != suffix:
            parser.error(f"--{name} {path}: the name must end in {suffix}")
    return args


def measure_file(path, model, args, loaded):
    """Measure a classifier on the data of the command line, or on its run's.

    Args:
        loaded: {(source, image shape): `Dataset`}, those of other classifiers; this one's are added.
    """
    about, shape = read_about(path, model), model.input_shape[1:]
    source = data_source(path, about and about["run"]) if args.data is None else args.data
    if (source, shape) not in loaded:
        loaded[source, shape] = load_real_samples(source, shape[:2], shape[2])
        for note in loaded[source, shape].notes:
            print(note)
    data = loaded[source, shape]
    test = "no test set" if data.test_images is None else f"{len(data.test_images)} test images"
    print(f"Data: {data.name}, {len(data.train_images)} training images, {test}")
    confusion, title, names = evaluate(path, model, data, about)
    if args.confusion:
        save_confusion(confusion, names, f"{path.name} on the {title} of {Path(data.name).name}: "
                                         f"{confusion.trace() / confusion.sum():.2%}", args.confusion)
        print(f"Saved: {args.confusion}")


def main(argv=None):
    """Measure classifiers, or let them classify pictures; then SystemExit(2) if some could not be read."""
    args = parse_arguments(argv)
    set_up_device()
    warnings.filterwarnings("ignore", "The structure of `inputs`")  # said of files of Keras 2
    files = find_pictures(args.predict) if args.predict else []
    models = {path: load_classifier(path) for path in args.models or [newest_classifier(RUN_FOLDER)]}
    for path in filter(None, (args.csv, args.confusion)):
        check_writable(path.parent)
    loaded, all_read = {}, True
    for path, model in models.items():
        print(f"Model: {printable(path)}")
        if args.predict:
            names, read = how_to_read(path, model, args.whole, args.cut_out, args.invert)
            all_read &= classify(model, names, files, read, args.csv) == len(files)
        else:
            measure_file(path, model, args, loaded)
    if not all_read:
        sys.exit(2)


if __name__ == "__main__":
    run_command(main)
