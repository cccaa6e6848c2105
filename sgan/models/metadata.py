"""The metadata stored in a saved classifier, so that its file alone suffices to use it.

    {"classes": ["cat", "dog"], "image_shape": [32, 32, 3], "pixels": [-1, 1], "pictures": "whole", "run": "5f0c..."}

classes are the K names in the order of the outputs; pixels is the range that 0..255 are scaled to; pictures, how files
become images: "whole" (pictures.py) or, cut out as in MNIST, "digits" (digits.py); run is the id in run.json.
"""

import json

from sgan.data.dataset import MNIST_FINGERPRINT
from sgan.runs.files import first_line

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
    height, width, channels = image_shape
    try:
        about = json.loads(text)
        names, pictures = about["classes"], about["pictures"]
        fits = {
            "classes": (isinstance(names, list) and all(isinstance(name, str) for name in names)
                        and len(names) == len({*names}) == n_classes),
            "image_shape": about["image_shape"] == [height, width, channels],
            "pixels": about["pixels"] == PIXELS,
            "pictures": pictures == "whole" or pictures == "digits" and height == width and channels == 1,
            "run": isinstance(about["run"], str)}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(first_line(error)) from None
    if wrong := [entry for entry in fits if not fits[entry]]:
        raise ValueError(f"{wrong[0]} does not fit the model: {str(about[wrong[0]])[:80]}")
    return about
