"""Augmentation, a function for each kind of image; clutter, for strokes; and which kind some images are.

Warping follows Simard et al. 2003, Best practices for convolutional neural networks; clutter follows Mnih et al. 2014,
Recurrent models of visual attention, arXiv 1406.6247. A new kind needs a function in KINDS, a line in USED_FOR of
sgan/tuned.py and, if it shows photographs, its name where `TunedSGAN` chooses the network.
"""

import math

import keras
import numpy as np
from keras import ops

AUGMENTATION = {  # of strokes
    "rotation": 0.25, "shear": 0.2, "scaling": 0.15,  # at most: radians, share of the height, share of the size
    "shift": 0.09,  # at most, share of the size: 2.5 of 28 pixels
    "elastic": 0.036,  # standard deviation, share of the size: 1 of 28 pixels, at each knot of a 5 x 5 grid
    "cluttered": 0.5,  # share of the images that get clutter, at the first step; it falls linearly to 0
    "window": 0.6,  # height and width of a piece of clutter, at most, share of the size: 17 of 28 pixels
}


# --------------------------------------------------------------------------------------------------------------
# A function for each kind: images (n, H, W, C) in [-1, 1] to images, at random


def strokes(images, seed):
    """Digits, letters, drawings: bent as if somebody else had written them, and never mirrored."""
    return warp(images, seed, **{name: AUGMENTATION[name] for name in ("rotation", "shear", "scaling", "shift",
                                                                       "elastic")})


def photographs(images, seed, mirrored=True):
    """Photographs: shifted, slightly turned and scaled; half of them mirrored, half of them in other light and colours
    and with a hole.

    In kind, what FixMatch does (Sohn et al. 2020, arXiv 2001.07685) and Cutout (DeVries and Taylor 2017, arXiv
    1708.04552). By hand, as Keras' layers for all this take about twice as long.
    """
    warped = warp(images, seed, rotation=0.05, scaling=0.1, shift=0.125, mirrored=mirrored)
    grey = ops.mean(warped, axis=-1, keepdims=True)
    images = grey + per_image(images, 0.5, 1.5, seed) * (warped - grey)
    mean = ops.mean(grey, axis=(1, 2), keepdims=True)
    images = mean + per_image(images, 0.5, 1.5, seed) * (images - mean) + per_image(images, -0.5, 0.5, seed)
    images = ops.where(window(images, 0.375, 0.375, seed), 0.0, ops.clip(images, -1, 1))
    return ops.where(per_image(images, 0, 1, seed) < 0.5, images, warped)


def signs(images, seed):
    """Photographs of road signs, labels, letters, whose mirror image may be of another class: never mirrored."""
    return photographs(images, seed, mirrored=False)


KINDS = {"strokes": strokes, "photographs": photographs, "signs": signs}


# --------------------------------------------------------------------------------------------------------------
# What they are made of


def per_image(images, low, high, seed):
    """A random number from `low` to `high` for each of n images, (n, 1, 1, 1)."""
    return keras.random.uniform((images.shape[0], 1, 1, 1), low, high, seed=seed)


def random_warp(shape, seed, rotation, scaling, shift, shear=0, elastic=0, mirrored=False):
    """Where each pixel of an augmented image comes from: rows and columns, each (n, H, W), in pixels.

    A random affine map about the centre plus a displacement, normal at the knots of a 5 x 5 grid and bilinear between.

    Args:
        shape: (n, H, W, C), of the images.
        rotation, scaling, shift, shear, elastic: as in AUGMENTATION.
        mirrored: whether half of the images are.
    """
    n, height, width, _ = shape

    def uniform(most):
        return keras.random.uniform((n, 1, 1), -most, most, seed=seed)

    y = ops.reshape(ops.arange(height, dtype="float32") - (height - 1) / 2, (1, height, 1))
    x = ops.reshape(ops.arange(width, dtype="float32") - (width - 1) / 2, (1, 1, width))
    angle, lean = uniform(rotation), uniform(shear)
    y, x = (1 + uniform(scaling)) * y, (1 + uniform(scaling)) * x
    x = x + lean * y
    y, x = ops.cos(angle) * y + ops.sin(angle) * x, ops.cos(angle) * x - ops.sin(angle) * y
    if mirrored:
        x = x * ops.sign(uniform(1))
    bend = elastic * ops.array((height, width), "float32") * keras.random.normal((n, 5, 5, 2), seed=seed)
    bend = ops.image.resize(bend, (height, width), interpolation="bilinear")
    rows = y + (height - 1) / 2 + height * uniform(shift) + bend[..., 0]
    columns = x + (width - 1) / 2 + width * uniform(shift) + bend[..., 1]
    return rows, columns


def warp(images, seed, **amounts):
    """Warp each image, (n, H, W, C), as `random_warp` says; beyond its border it goes on with the border's pixels.

    By hand, as ops.image.map_coordinates takes 1.4 to 16 times as long and gives other digits behind the point.
    """
    n, height, width, channels = images.shape
    rows, columns = random_warp(images.shape, seed, **amounts)
    rows, columns = ops.clip(rows, 0, height - 1.001), ops.clip(columns, 0, width - 1.001)  # there is a next pixel
    top, left = ops.floor(rows), ops.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    first = ops.reshape(ops.arange(n) * (height * width), (n, 1, 1))  # each image's first pixel
    corner = first + ops.cast(top, "int32") * width + ops.cast(left, "int32")
    pixels = ops.reshape(images, (-1, channels))

    def between(corner):
        return (1 - right) * ops.take(pixels, corner, axis=0) + right * ops.take(pixels, corner + 1, axis=0)

    return (1 - down) * between(corner) + down * between(corner + width)


def window(images, smallest, largest, seed):
    """For each of n images, (n, H, W, C), which pixels lie in a window of random place and size: booleans (n, H, W, 1).

    Its centre keeps away from the border; its height and width are at least `smallest`, at most `largest`, shares of
    the image's.
    """
    inside = True
    for length, shape in (images.shape[1], (1, -1, 1, 1)), (images.shape[2], (1, 1, -1, 1)):
        place = ops.reshape(ops.arange(length, dtype="float32"), shape)
        centre = per_image(images, 0.15 * length, 0.85 * length, seed)
        half = per_image(images, smallest * length / 2, largest * length / 2, seed)
        inside = ops.logical_and(inside, ops.abs(place - centre) <= half)
    return inside


def clutter(images, others, share, seed):
    """Draw a piece of each of the `others`, (n, H, W, C), over an image, for a random `share` of the images.

    In a window of random place and size each channel becomes the brighter of the two images', as strokes cross.
    """
    chosen = per_image(images, 0, 1, seed) < share
    inside = ops.logical_and(chosen, window(images, 0, AUGMENTATION["window"], seed))
    return ops.where(inside, ops.maximum(images, others), images)


def background(images):
    """The brightness, 0..255, of the plain background on which images, uint8 (N, H, W, C), show strokes; None where
    they show something else.

    A background is plain if, on average, more than half of a channel's values lie within 12 levels of its most frequent
    value (MNIST: 82 %, USPS: 63 %, chest X-rays: 32 %, CIFAR-10: 29 %).
    """
    channels = np.moveaxis(images[::math.ceil(len(images) / 1000)], -1, 1).reshape(-1, math.prod(images.shape[1:3]))
    counts = np.stack([np.bincount(channel, minlength=256) for channel in channels])
    most_frequent = counts.argmax(axis=1)
    near = abs(np.arange(256) - most_frequent[:, None]) <= 12
    return most_frequent.mean() if counts[near].sum() > counts.sum() / 2 else None


def look_like(images):
    """What images, uint8 (N, H, W, C), seem to show: "strokes", "photographs" (without a plain background, more than a
    tenth of them in colour) or "other"."""
    if background(images) is not None:
        return "strokes"
    in_colour = images.shape[-1] == 3 and (images[..., 0] != images[..., 2]).any(axis=(1, 2)).mean() > 0.1
    return "photographs" if in_colour else "other"
