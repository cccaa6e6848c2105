"""Augmentation for images of strokes, random warps and clutter; and a test whether images show strokes.

Warping follows Simard et al. 2003, Best practices for convolutional neural networks; clutter follows Mnih et al. 2014,
Recurrent models of visual attention, arXiv 1406.6247.
"""

import math

import keras
import numpy as np
from keras import ops

AUGMENTATION = {
    "rotation": 0.25, "shear": 0.2, "scaling": 0.15,  # at most: radians, share of the height, share of the size
    "shift": 0.09,  # at most, share of the size: 2.5 of 28 pixels
    "elastic": 0.036,  # standard deviation, share of the size: 1 of 28 pixels, at each knot of a 5 x 5 grid
    "cluttered": 0.5,  # share of the images that get clutter, at the first step; it falls linearly to 0
    "window": 0.6,  # height and width of a piece of clutter, at most, share of the size: 17 of 28 pixels
}


def random_warp(shape, seed):
    """Where each pixel of an augmented image comes from: rows and columns, each (n, H, W), in pixels.

    A random affine map about the centre plus a displacement, normal at the knots of a coarse grid and bilinear between.
    """
    n, height, width, _ = shape
    size = ops.array((height, width), "float32")

    def uniform(what):
        most = AUGMENTATION[what]
        return keras.random.uniform((n, 1, 1), -most, most, seed=seed)

    y = ops.reshape(ops.arange(height, dtype="float32") - (height - 1) / 2, (1, height, 1))
    x = ops.reshape(ops.arange(width, dtype="float32") - (width - 1) / 2, (1, 1, width))
    angle, shear = uniform("rotation"), uniform("shear")
    y, x = (1 + uniform("scaling")) * y, (1 + uniform("scaling")) * x
    x = x + shear * y
    y, x = ops.cos(angle) * y + ops.sin(angle) * x, ops.cos(angle) * x - ops.sin(angle) * y
    bend = AUGMENTATION["elastic"] * size * keras.random.normal((n, 5, 5, 2), seed=seed)
    bend = ops.image.resize(bend, (height, width), interpolation="bilinear")
    rows = y + (height - 1) / 2 + height * uniform("shift") + bend[..., 0]
    columns = x + (width - 1) / 2 + width * uniform("shift") + bend[..., 1]
    return rows, columns


def augment(images, seed):
    """Warp each image, (n, H, W, C), at random; beyond its border an image goes on with the border's pixels.

    By hand, as ops.image.map_coordinates takes 1.4 to 16 times as long and gives other digits behind the point.
    """
    n, height, width, channels = images.shape
    rows, columns = random_warp(images.shape, seed)
    rows, columns = ops.clip(rows, 0, height - 1.001), ops.clip(columns, 0, width - 1.001)  # there is a next pixel
    top, left = ops.floor(rows), ops.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    first = ops.reshape(ops.arange(n) * (height * width), (n, 1, 1))  # each image's first pixel
    corner = first + ops.cast(top, "int32") * width + ops.cast(left, "int32")
    pixels = ops.reshape(images, (-1, channels))

    def between(corner):
        return (1 - right) * ops.take(pixels, corner, axis=0) + right * ops.take(pixels, corner + 1, axis=0)

    return (1 - down) * between(corner) + down * between(corner + width)


def clutter(images, others, share, seed):
    """Draw a piece of each of the `others`, (n, H, W, C), over an image, for a random `share` of the images.

    In a window of random place and size each channel becomes the brighter of the two images', as strokes cross.
    """
    n, height, width, _ = images.shape

    def draw(least, most):
        return keras.random.uniform((n, 1, 1, 1), least, most, seed=seed)

    inside = draw(0, 1) < share  # all of a chosen image, then only its window
    for length, shape in (height, (1, -1, 1, 1)), (width, (1, 1, -1, 1)):
        place = ops.reshape(ops.arange(length, dtype="float32"), shape)
        centre = draw(0.15 * length, 0.85 * length)  # at the border there is no ink
        inside = ops.logical_and(inside, ops.abs(place - centre) <= draw(0, AUGMENTATION["window"] * length / 2))
    return ops.where(inside, ops.maximum(images, others), images)


def background(images):
    """The brightness, 0..255, of the plain background on which images, uint8 (N, H, W, C), show strokes; None where
    they show something else.

    A background is plain if, on average, more than half of an image's values lie within 12 grey levels of its most
    frequent value (MNIST: 82 %, USPS: 62 %, chest X-rays: 32 %, CIFAR-10: 29 %).
    """
    images = images[::math.ceil(len(images) / 1000)].reshape(-1, math.prod(images.shape[1:]))
    counts = np.stack([np.bincount(image, minlength=256) for image in images])
    most_frequent = counts.argmax(axis=1)
    near = abs(np.arange(256) - most_frequent[:, None]) <= 12
    return most_frequent.mean() if counts[near].sum() > counts.sum() / 2 else None
