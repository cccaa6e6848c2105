"""The metadata stored in a saved classifier, so that its file alone suffices to use it.

    {"classes": ["cat", "dog"], "image_shape": [32, 32, 3], "pixels": [-1, 1], "pictures": "whole", "strokes": null,
     "run": "5f0c..."}

classes are the K names in the order of the outputs; pixels is the range that 0..255 are scaled to; pictures, how files
become images: "whole" (pictures.py) or, cut out as in MNIST, "digits" (digits.py); strokes, see `describe_strokes`; run
is the id in run.json.
"""

import math

import numpy as np

from sgan.data.augmentation import background
from sgan.data.dataset import MNIST_FINGERPRINT
from sgan.data.digits import EXTENT, longer_side
from sgan.data.pictures import ground_of

PIXELS = [-1, 1]
MNIST_STROKES = {"ground": 0, "ink": 255, "extent": EXTENT}


def describe_classifier(dataset, record):
    """What a classifier trained on a `Dataset` says about itself, for `files.save_model`; `record` is its run's."""
    of_digits = dataset.name in ("mnist", "synthetic") or record["data"]["fingerprint"] == MNIST_FINGERPRINT
    return {"classes": list(dataset.class_names), "image_shape": list(dataset.train_images.shape[1:]),
            "pixels": PIXELS, "pictures": "digits" if of_digits else "whole",
            "strokes": MNIST_STROKES if of_digits else describe_strokes(dataset.train_images), "run": record["id"]}


def describe_strokes(images):
    """How images, uint8 (N, H, W, C), show strokes on a plain ground, in grey; None if they show something else.

    Returns:
        {"ground": its mean brightness, 0..255, "ink": that of the strokes where they are strongest, "extent": the
        longer side of what is drawn, in units of the image's, a median}.
    """
    if images.shape[3] > 1 or background(images) is None:
        return None
    images = images[::math.ceil(len(images) / 1000)].astype("float32")
    grounds = np.stack([ground_of(image) for image in images])[:, None, None]
    strokes = abs(images - grounds)
    strongest = strokes.max(axis=(1, 2, 3), keepdims=True)
    light, contrast = np.mean(images.mean(axis=(1, 2, 3)) >= grounds.ravel()), np.median(strongest)
    if 0.1 < light < 0.9 or contrast < 32:  # both light and dark ones, or hardly any
        return None
    extents = [longer_side(mask) for mask in (strokes >= 0.25 * strongest)[..., 0]]
    return {"ground": round(float(grounds.mean())), "extent": float(np.median(extents) / max(images.shape[1:])),
            "ink": round(float(np.clip(grounds.mean() + (contrast if light > 0.5 else -contrast), 0, 255)))}


def check_about(about, image_shape, n_classes):
    """Check what a file that anyone may have made says about its classifier. Returns it.

    Args:
        about: the decoded JSON, of whatever type.
        image_shape: (H, W, C) of the model's input.
        n_classes: K, of its output.

    Raises:
        Exception, of several kinds: it is damaged, or does not fit the model.
    """
    height, width, channels = image_shape
    names, pictures, strokes = about["classes"], about["pictures"], about.get("strokes")
    fits = {
        "classes": (isinstance(names, list) and [*map(type, names)] == [str] * n_classes
                    and len({*names}) == n_classes),
        "image_shape": about["image_shape"] == [height, width, channels],
        "pixels": about["pixels"] == PIXELS,
        "pictures": pictures == "whole" or pictures == "digits" and height == width and channels == 1,
        "strokes": strokes is None or (channels == 1 and 0 < strokes["extent"] <= 1 and 0 <= strokes["ground"] <= 255
                                       and 0 <= strokes["ink"] <= 255),
        "run": isinstance(about["run"], str)}
    for entry in fits:
        if not fits[entry]:
            raise ValueError(f"{entry} does not fit the model: {str(about[entry])[:80]}")
    return about
