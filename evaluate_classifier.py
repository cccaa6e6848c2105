"""Measure a saved classifier, or let it read your own pictures of digits.

    python evaluate_classifier.py                                    the newest c_model_*.h5 of runs/sgan
    python evaluate_classifier.py runs/sgan/c_model_12000.h5 --confusion confusion.png
    python evaluate_classifier.py --predict three.png photo.jpg --invert

It reads the .h5 files of sgan_mnist.py and of the tuned SGAN, and those that the tutorial saved under Keras 2.
"""

import json
import logging
import re
import sys
from pathlib import Path

import sgan  # before Keras: it chooses the backend and TensorFlow's CPU kernels

if __name__ == "__main__":
    sgan.begin_script()

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from sgan.command_line import ArgumentParser, InputError, run_command
from sgan.data import load_real_samples
from sgan.files import written_whole
from sgan.safe_loading import first_line, load_classifier
from sgan.training_loop import set_up_device
from sgan_mnist import Settings, predict_classes, scale_images


# --------------------------------------------------------------------------------------------------------------
# Evaluation


def newest_classifier(folder):
    """The c_model_NNNN.h5 of `folder` with the most steps. Raises InputError where there is none."""
    names = [(path, re.fullmatch(r"c_model_(\d+)\.h5", path.name)) for path in Path(folder).glob("*")]
    steps = {path: int(match[1]) for path, match in names if match}
    if not steps:
        raise InputError(f"no c_model_*.h5 in {folder}: train one with sgan_mnist.py, or name a file")
    return max(steps, key=steps.get)


def data_source(path):
    """What the model's run was trained on, by the run.json beside it; "auto" where there is no run.json."""
    record = path.with_name("run.json")
    try:
        source = str(json.loads(record.read_text(encoding="utf-8"))["data"]["source"])
    except FileNotFoundError:
        return "auto"
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{record}: does not say which data it was trained on; give --data") from None
    if source not in ("mnist", "synthetic") and not Path(source).exists():
        raise InputError(f"{source}: no such file, though {record} names it; say where it is with --data")
    return source


def confusion_matrix(model, images, labels):
    """Count (K, K): row, the label; column, the prediction. Images without a label (-1) are left out."""
    known, n_classes = np.flatnonzero(labels >= 0), model.output_shape[1]
    predictions = predict_classes(model, images, known)
    counts = np.bincount(labels[known] * n_classes + predictions, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes)


def evaluate(path, model, data):
    """Print the accuracies, and each class's figures on the test set, or the training set without one.

    Returns:
        (confusion matrix, name of the set that it counts).

    Raises:
        InputError: the model is for other images or other classes.
    """
    expected, shape, n_classes = model.input_shape[1:], data.train_images.shape[1:], model.output_shape[1]
    if expected != shape:
        raise InputError(f"{path}: takes images of {expected}, but those of {data.name} are {shape}")
    if n_classes != data.n_classes:
        raise InputError(f"{path}: has {n_classes} classes, but {data.name} has {data.n_classes}")
    for title, name, images, labels in (("Train", "training set", data.train_images, data.train_labels),
                                        ("Test", "test set", data.test_images, data.test_labels)):
        if images is None:
            print(f"{title} Accuracy: none, {data.name} has no {name}")
        else:
            confusion, counted = confusion_matrix(model, images, labels), name
            print(f"{title} Accuracy: {confusion.trace() / confusion.sum():.3%}")
    print(f"Classes, on the {counted}:\nclass  images  accuracy  precision")
    for k in range(n_classes):
        images, predictions = confusion[k].sum(), confusion[:, k].sum()
        accuracy, precision = (f"{confusion[k, k] / n:.2%}" if n else "-" for n in (images, predictions))
        print(f"{k:5d}  {images:6d}  {accuracy:>8}  {precision:>9}")
    return confusion, counted


def save_confusion(confusion, title, path):
    """Draw a confusion matrix (K, K): shades are shares of the row's images, figures are counts."""
    n_classes = len(confusion)
    side = np.clip(2 + 0.6 * n_classes, 6, 60)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(confusion):
        axes.text(column, row, confusion[row, column], ha="center", va="center", fontsize=8,
                  color="white" if shares[row, column] > 0.5 else "black")
    axes.set(title=title, xlabel="prediction", ylabel="label",
             xticks=range(n_classes), yticks=range(n_classes))
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=100)


# --------------------------------------------------------------------------------------------------------------
# The user's own pictures


def to_grey_or_rgb(picture, channels):
    """Convert a Pillow picture to 8-bit grey (1 channel) or RGB (3); ValueError where that is impossible."""
    if channels not in (1, 3):
        raise ValueError(f"the model's images have {channels} channels; pictures give 1 or 3")
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it as PNG")
    if picture.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255 instead of scaling
        picture = Image.fromarray((np.asarray(picture) / 257).round().clip(0, 255).astype("uint8"))
    if picture.has_transparency_data:  # ink on nothing: bright ink is put on black, dark ink on white
        picture = picture.convert("RGBA")
        opacity, brightness = np.asarray(picture.getchannel("A")), np.asarray(picture.convert("L"), "int64")
        paper = "black" if (opacity * (brightness - 127)).sum() > 0 else "white"
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, paper), picture)
    return picture.convert("L" if channels == 1 else "RGB")


def read_picture(path, shape):
    """Read a picture file as uint8 (H, W, C), `shape`.

    It is scaled as a whole and keeps its proportions; what is then missing on two sides is filled with the
    colour of its border. A picture of the right size is taken as it is.

    Raises:
        InputError: it cannot be read.
    """
    height, width, channels = shape
    try:
        with Image.open(path) as file:
            picture = to_grey_or_rgb(ImageOps.exif_transpose(file), channels)
    except Exception as error:  # Pillow's many decoders raise many kinds
        raise InputError(f"{path}: cannot be read as a picture "
                         f"({getattr(error, 'strerror', None) or first_line(error)})") from None
    scale = min(height / picture.height, width / picture.width)
    size = [max(1, round(scale * length)) for length in picture.size]
    pixels = np.asarray(picture.resize(size, Image.Resampling.BILINEAR)).reshape(size[1], size[0], channels)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    image = np.empty(shape, "uint8")
    image[:] = np.median(border, axis=0)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    image[top:top + size[1], left:left + size[0]] = pixels
    return image


def predict(model, paths, invert):
    """Print file, class and probability of each picture."""
    images = np.stack([read_picture(path, model.input_shape[1:]) for path in paths])
    bright = [str(path) for path, image in zip(paths, images, strict=True) if image.mean() > 127]
    if bright and not invert:
        print(f"hint: mostly bright: {', '.join(bright)}; for dark ink on light paper add --invert",
              file=sys.stderr)
    if invert:
        images = 255 - images
    probabilities = model.predict(scale_images(images), verbose=0)
    for path, row in zip(paths, probabilities, strict=True):
        print(f"{path}: {row.argmax()} ({row.max():.2%})")


# --------------------------------------------------------------------------------------------------------------
# The command


def parse_arguments(argv):
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL",
                        help=f"classifiers, c_model_*.h5 (default: the newest of {Settings.out})")
    parser.add_argument("--data", help="images to measure on: auto, mnist, synthetic or FILE.npz "
                                       "(default: those in the run.json beside the model, or else auto)")
    parser.add_argument("--predict", nargs="+", type=Path, metavar="IMAGE",
                        help="only say which digits these picture files show")
    parser.add_argument("--invert", action="store_true", help="the pictures show dark ink on light paper")
    parser.add_argument("--confusion", type=Path, metavar="FILE.png",
                        help="draw the confusion matrix of one model")
    args = parser.parse_intermixed_args(argv)
    if args.predict and (args.data or args.confusion):
        parser.error("--predict only reads pictures: it goes without --data and --confusion")
    if args.invert and not args.predict:
        parser.error("--invert goes with --predict")
    if args.confusion and len(args.models) > 1:
        parser.error("--confusion draws one model at a time")
    if args.confusion and args.confusion.suffix != ".png":
        parser.error(f"--confusion {args.confusion}: the name must end in .png")
    return args


def main(argv=None):
    args = parse_arguments(argv)
    set_up_device()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it takes several models for one traced in vain
    paths = args.models or [newest_classifier(Settings.out)]
    models = [load_classifier(path) for path in paths]
    data, loaded = None, None
    for path, model in zip(paths, models, strict=True):
        print(f"Model: {path}")
        if args.predict:
            predict(model, args.predict, args.invert)
            continue
        source = args.data or data_source(path)
        if source != loaded:
            data, loaded = load_real_samples(source), source
        test = "no test set" if data.test_images is None else f"{len(data.test_images)} test images"
        print(f"Data: {data.name}, {len(data.train_images)} training images, {test}")
        confusion, counted = evaluate(path, model, data)
        if args.confusion:
            save_confusion(confusion, f"{path.name} on the {counted} of {Path(data.name).name}: "
                                      f"{confusion.trace() / confusion.sum():.2%}", args.confusion)
            print(f"Saved: {args.confusion}")


if __name__ == "__main__":
    run_command(main)
