"""Measure a saved classifier, or let it read your own pictures of digits.

    python evaluate_classifier.py                                    the newest c_model_*.h5 of runs/sgan
    python evaluate_classifier.py runs/sgan/c_model_12000.h5 --confusion confusion.png
    python evaluate_classifier.py --predict three.png photo.jpg --invert

It reads the .h5 files of sgan_mnist.py and those that the tutorial saved under Keras 2. A file that could run
code when it is loaded is refused before Keras sees it.
"""

import json
import logging
import re
import signal
import sys
import warnings
from pathlib import Path

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the long imports: no traceback

from sgan_mnist import Settings, predict_classes, scale_images  # first: it sets Keras up

# isort: split
import h5py
import keras
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from mnist_data import InputError, load_real_samples
from run_folder import ArgumentParser, quiet_h5, run_command, set_up_device, written_whole

# All that a file may ask Keras to make. A list of what is allowed, as Keras has many ways to run what a file
# brings along (Lambda, TFSMLayer, TorchModuleWrapper, functions by name, ...) and may get more.
ALLOWED_CLASSES = frozenset("""
    Functional Model Sequential InputLayer Dense Activation LeakyReLU ReLU PReLU ELU Softmax
    Conv2D Conv2DTranspose DepthwiseConv2D SeparableConv2D ZeroPadding2D Cropping1D Cropping2D UpSampling2D
    MaxPooling2D AveragePooling2D GlobalMaxPooling2D GlobalAveragePooling2D Flatten Reshape Permute Rescaling
    Dropout SpatialDropout2D AlphaDropout GaussianDropout GaussianNoise BatchNormalization LayerNormalization
    GroupNormalization UnitNormalization SpectralNormalization TimeDistributed
    Add Subtract Multiply Average Maximum Minimum Concatenate Dot
    Constant GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal LecunUniform Ones Orthogonal
    RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
    L1 L2 L1L2 OrthogonalRegularizer MaxNorm MinMaxNorm NonNeg UnitNorm
    DTypePolicy __keras_tensor__ __tensor__ __numpy__ __tuple__ __slice__ __ellipsis__
""".split())


def first_line(error):
    """The first line of an error's message: Keras' own go on for pages."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


# ----------------------------------------------------------------------------------------------------------
# Loading a file that anyone may have made


def newest_classifier(folder):
    """The c_model_NNNN.h5 of `folder` with the most steps. Raises InputError where there is none."""
    names = [(path, re.fullmatch(r"c_model_(\d+)\.h5", path.name)) for path in Path(folder).glob("*")]
    steps = {path: int(match[1]) for path, match in names if match}
    if not steps:
        raise InputError(f"no c_model_*.h5 in {folder}: train one with sgan_mnist.py, or name a file")
    return max(steps, key=steps.get)


def read_config(path):
    """The model's description in an .h5 file, decoded JSON. Raises InputError where the file has none."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not path.is_file():
        raise InputError(f"{path}: is not a file")
    with open(path, "rb"):
        pass  # an OSError here is about the file system; is_hdf5 would take it for a file of another kind
    if not h5py.is_hdf5(path):
        raise InputError(f"{path}: is not an HDF5 file, as c_model_*.h5 are")
    if path.suffix not in (".h5", ".hdf5"):
        raise InputError(f"{path}: the name must end in .h5, or Keras does not read it as HDF5")
    try:
        with h5py.File(path) as file:
            config = file.attrs.get("model_config")
    except Exception as error:  # a damaged file raises many kinds
        raise InputError(f"{path}: is truncated or damaged ({first_line(error)})") from None
    if config is None:
        raise InputError(f"{path}: holds no model (only weights?): save the whole model with model.save")
    try:
        return json.loads(config.decode("utf-8") if hasattr(config, "decode") else config)
    except (TypeError, ValueError, RecursionError):
        raise InputError(f"{path}: its description of the model is damaged") from None


def check_harmless(path, config):
    """Raise InputError if anything that Keras would make of `config` is not of an allowed, built-in class."""
    nodes = [config]
    while nodes:
        node = nodes.pop()
        if isinstance(node, list):
            nodes += node
        elif isinstance(node, dict):
            nodes += node.values()
            if "class_name" not in node:
                continue
            name, module = node["class_name"], node.get("module")
            builtin = module is None or module == "keras" or str(module).startswith("keras.")
            if not (isinstance(name, str) and name in ALLOWED_CLASSES and builtin
                    and node.get("registered_name") in (None, name)):
                raise InputError(f"{path}: refused, and not loaded: it contains {str(name)[:80]!r}, which "
                                 "is not one of the plain layers of a classifier and could run code")


def load_classifier(path):
    """Load a model that maps images, (n, H, W, C) in [-1, 1], to class probabilities, (n, K).

    Raises:
        InputError: the file cannot be read, could run code, or holds another kind of model.
    """
    check_harmless(path, read_config(path))
    try:
        with quiet_h5(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "`alpha` is deprecated" and the like, for files of Keras 2
            # Without the compile settings: today's Keras stumbles over those of Keras 2.
            model = keras.models.load_model(path, compile=False)
        shapes = [(*tensor.shape,) for tensor in (*model.inputs, *model.outputs)]
    except Exception as error:  # whatever a strange file makes Keras raise
        raise InputError(f"{path}: Keras cannot load it ({first_line(error)})") from None
    if [len(shape) for shape in shapes] != [4, 2] or None in shapes[0][1:] or (shapes[1][1] or 0) < 2:
        raise InputError(f"{path}: is not a classifier: it maps {', '.join(map(str, shapes[:-1]))} "
                         f"to {shapes[-1]}, not images (n, height, width, channels) to (n, classes)")
    black_and_white = np.stack([np.full(shapes[0][1:], value, "float32") for value in (-1, 1)])
    try:
        outputs = keras.ops.convert_to_numpy(model(black_and_white, training=False))
    except Exception as error:
        raise InputError(f"{path}: Keras cannot run it ({first_line(error)})") from None
    if not ((outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=0.01)):
        raise InputError(f"{path}: is not a classifier: its outputs are not probabilities that add up to 1")
    return model


# ----------------------------------------------------------------------------------------------------------
# Evaluation


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
    """Count (K, K): row, the label; column, the model's answer. Images without a label (-1) are left out."""
    known, n_classes = np.flatnonzero(labels >= 0), model.output_shape[1]
    answers = predict_classes(model, images, known)
    counts = np.bincount(labels[known] * n_classes + answers, minlength=n_classes**2)
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
        raise InputError(f"{path}: knows {n_classes} classes, but {data.name} has {data.n_classes}")
    for title, name, images, labels in (("Train", "training set", data.train_images, data.train_labels),
                                        ("Test", "test set", data.test_images, data.test_labels)):
        if images is None:
            print(f"{title} Accuracy: none, {data.name} has no {name}")
        else:
            confusion, counted = confusion_matrix(model, images, labels), name
            print(f"{title} Accuracy: {confusion.trace() / confusion.sum():.3%}")
    print(f"Classes, on the {counted}:\nclass  images  accuracy  precision")
    for k in range(n_classes):
        images, answers = confusion[k].sum(), confusion[:, k].sum()
        accuracy, precision = (f"{confusion[k, k] / n:.2%}" if n else "-" for n in (images, answers))
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
    axes.set(title=title, xlabel="the model's answer", ylabel="label",
             xticks=range(n_classes), yticks=range(n_classes))
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=100)


# ----------------------------------------------------------------------------------------------------------
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


# ----------------------------------------------------------------------------------------------------------
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
