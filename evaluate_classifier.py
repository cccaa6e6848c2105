"""Measure a saved classifier, or let it classify your own pictures.

    python evaluate_classifier.py                                    the newest c_model_*.h5 of runs/sgan
    python evaluate_classifier.py runs/sgan/c_model_12000.h5 --confusion confusion.png
    python evaluate_classifier.py --predict three.png photo.jpg
    python evaluate_classifier.py runs/pets/c_model_0900.h5 --predict unsorted --csv classes.csv

It reads the .h5 files of this project's trainings, and those that the tutorial saved under Keras 2.
"""

import json
import os
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
from sgan.runs.files import check_writable, expand, regular_file
from sgan.runs.options import ArgumentParser, flag
from sgan.runs.plots import save_figure

RUN_FOLDER = "runs/sgan"  # of sgan_mnist.py


# --------------------------------------------------------------------------------------------------------------
# Evaluation


def newest_classifier(folder):
    """The c_model_NNNN.h5 of `folder` with the most steps. Raises InputError if there is none."""
    paths = [path for path in Path(folder).glob("c_model_*.h5") if path.stem.removeprefix("c_model_").isdecimal()]
    if not paths:
        raise InputError(f"no c_model_*.h5 in {folder}: train one with sgan_mnist.py, or name a file")
    return max(paths, key=lambda path: int(path.stem.removeprefix("c_model_")))


def data_source(path, run_id=None):
    """What to measure a model on: by the run.json beside it what its run was trained on, "auto" if there is none.

    Raises InputError if that is damaged, or of another run than `run_id`.
    """
    record_path = path.with_name("run.json")
    if not record_path.exists():
        return "auto"
    try:
        record = json.loads(regular_file(record_path).read_bytes())
        source, other = str(record["data"]["source"]), run_id not in (None, record.get("id"))
    except (KeyError, TypeError, ValueError, RecursionError):
        raise InputError(f"{record_path}: does not say which data the run was trained on; give --data") from None
    if other:
        raise InputError(f"{record_path}: is of another run than {path}; give --data")
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
        n, seen = confusion.sum(), ", perhaps also those of its training and validation" if name == "train" else ""
        print(f"{name.capitalize()} Accuracy: {confusion.trace() / n:.3%} ({n:,} labelled images{seen})")
    width = max(map(len, ("class", *names)))
    print(f"Classes, on the {title}:\n{'class':{width}}  images  accuracy  precision")
    for k, images, predictions in zip(range(n_classes), confusion.sum(axis=1), confusion.sum(axis=0)):
        accuracy, precision = (f"{confusion[k, k] / n:.2%}" if n else "-" for n in (images, predictions))
        print(f"{names[k]:>{width}}  {images:6d}  {accuracy:>8}  {precision:>9}")
    return confusion, title, names


def save_confusion(confusion, names, title, path):
    """Draw a confusion matrix (K, K): shades are shares of the row's images, numbers are counts."""
    side = np.clip(2 + 0.6 * len(names), 6, 60)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(confusion):
        axes.text(column, row, confusion[row, column], ha="center", va="center", fontsize=8,
                  color="white" if shares[row, column] > 0.5 else "black")
    axes.set(xlabel="prediction", ylabel="label")
    axes.set_title(printable(title), parse_math=False)  # nor in names is $ the beginning of a formula
    names = [name[:20] for name in names]
    axes.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 2 else 0, parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    save_figure(figure, path, dpi=100)


# --------------------------------------------------------------------------------------------------------------
# The command


def parse_arguments(argv):
    """The options, checked against each other; InputError if they do not go together."""
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?", type=expand, metavar="MODEL",
                        help=f"a classifier, c_model_*.h5 (default: the newest of {RUN_FOLDER})")
    parser.add_argument("--data", help="images to measure on: auto, mnist, synthetic, a folder or FILE.npz "
                                       "(default: those in the run.json beside the model, or else auto)")
    parser.add_argument("--confusion", type=expand, metavar="FILE.png", help="draw the confusion matrix")
    parser.add_argument("--predict", nargs="+", type=expand, metavar="PICTURE",
                        help="only say what these picture files show, or all those in these folders")
    parser.add_argument("--csv", type=expand, metavar="FILE.csv",
                        help="write what --predict finds into a table, the least confident first, and draw the "
                             "first 40 into a .png beside it")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--cut-out", action="store_true",
                     help="cut one character out of each photograph (default for classifiers of MNIST's digits)")
    how.add_argument("--whole", action="store_true", help="scale the whole picture (default for other classifiers)")
    parser.add_argument("--invert", action="store_true",
                        help="invert all pictures: dark ink on light paper (default: found out for strokes)")
    for argument in sys.argv[1:] if argv is None else argv:
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
        if path and path.suffix != suffix:
            parser.error(f"--{name} {path}: the name must end in {suffix}")
    return args


def evaluate_on(path, model, args):
    """Evaluate a classifier on the data of the command line, or on its run's."""
    about, shape = read_about(path, model), model.input_shape[1:]
    source = data_source(path, about and about["run"]) if args.data is None else args.data
    data = load_real_samples(source, shape[:2], shape[2])
    sizes = ", ".join(f"{len(labels):,} {name}" for name, _, labels in data.sets())
    for line in *data.notes, f"{data.name}, {sizes} images":
        print(f"Data: {line}")
    confusion, title, names = evaluate(path, model, data, about)
    if args.confusion:
        save_confusion(confusion, names, f"{path.name} on the {title} of {Path(data.name).name}: "
                                         f"{confusion.trace() / confusion.sum():.2%}", args.confusion)
        print(f"Saved: {args.confusion}")


def main(argv=None):
    """Measure a classifier, or let it classify pictures; then SystemExit(2) if some could not be read."""
    args = parse_arguments(argv)
    set_up_device()
    warnings.filterwarnings("ignore", "The structure of `inputs`")  # said of files of Keras 2
    files = find_pictures(args.predict) if args.predict else []
    picture = args.csv and args.csv.with_suffix(".png")
    if picture and picture.exists() and (not args.csv.exists()
                                         or os.path.realpath(picture) in map(os.path.realpath, files)):
        raise InputError(f"--csv {args.csv}: would also replace {picture}; give another name")
    if args.csv and any(path.is_dir() and path.resolve() in args.csv.resolve().parents for path in args.predict):
        raise InputError(f"--csv {args.csv}: lies in a folder of pictures, where the .png beside it would become one; "
                         "choose another folder")
    path = args.model or newest_classifier(RUN_FOLDER)
    model = load_classifier(path)
    for target in filter(None, (args.csv, args.confusion)):
        check_writable(target.parent)
    print(f"Model: {printable(path)}")
    if not args.predict:
        evaluate_on(path, model, args)
        return
    names, read = how_to_read(path, model, args.whole, args.cut_out, args.invert)
    if classify(model, names, files, read, args.csv) < len(files):
        sys.exit(2)


if __name__ == "__main__":
    run_command(main)
