"""The metadata stored in a saved classifier, so that its file alone suffices to use it.

    {"classes": ["cat", "dog"], "image_shape": [32, 32, 3], "pixels": [-1, 1], "pictures": "whole", "run": "5f0c..."}

classes are the K names in the order of the outputs; pixels is the range that 0..255 are scaled to; pictures, how files
become images: "whole" (pictures.py) or, cut out as in MNIST, "digits" (digits.py); run is the id in run.json.
"""

import json

from sgan.data.dataset import MNIST_FINGERPRINT
from sgan.runs.files import is_text

PIXELS = [-1, 1]


def describe_classifier(dataset, record):
    """What a classifier trained on a `Dataset` says about itself, for `files.save_model`; `record` is its run's."""
    of_digits = dataset.name in ("mnist", "synthetic") or record["data"]["fingerprint"] == MNIST_FINGERPRINT
    return {"classes": list(dataset.class_names), "image_shape": list(dataset.train_images.shape[1:]),
            "pixels": PIXELS, "pictures": "digits" if of_digits else "whole", "run": record["id"]}


def check_about(text, image_shape, n_classes):
    """Decode what a file that anyone may have made says about its classifier.

    Args:
        text: JSON.
        image_shape: (H, W, C) of the model's input.
        n_classes: K, of its output.

    Raises:
        ValueError: it is damaged, or does not fit the model.
    """
    try:
        about = json.loads(text)
    except RecursionError:
        raise ValueError("it has too many brackets") from None
    if not isinstance(about, dict):
        raise ValueError("it is not an object of JSON")
    names = about.get("classes")
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ValueError("classes are not a list of names")
    if not all(map(is_text, names)):
        raise ValueError("a class name is no text that could be written")
    if len(names) != n_classes or len(set(names)) != n_classes:
        raise ValueError(f"classes are {len(set(names))} different names, but the model has {n_classes} classes")
    if about.get("image_shape") != list(image_shape):
        raise ValueError(f"image_shape is not the model's, {list(image_shape)}")
    if about.get("pixels") != PIXELS:
        raise ValueError(f"pixels are not {PIXELS}, the only range that is used here")
    if about.get("pictures") not in ("digits", "whole"):
        raise ValueError("pictures are neither \"digits\" nor \"whole\"")
    if about["pictures"] == "digits" and not takes_digits(image_shape):
        raise ValueError(f"digits are not read as images of {tuple(image_shape)}")
    if not isinstance(about.get("run"), str):
        raise ValueError("run is not a string")
    return about


def takes_digits(image_shape):
    """Whether digits can be cut out for images of this shape: square and grey."""
    height, width, channels = image_shape
    return height == width >= 8 and channels == 1
