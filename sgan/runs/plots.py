"""Pictures of a run: generated images as a grid, and its curves."""

import textwrap
import warnings

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from sgan.runs.files import atomic_write


def save_figure(figure, path, dpi=110):
    """Write a Matplotlib figure as a picture file, without warnings of letters that the font does not have."""
    with atomic_write(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure.savefig(temporary, dpi=dpi)


def save_image_grid(images, path, rows=10, ink=True):
    """Draw n images, (n, H, W, C) in [-1, 1], in equal rows: RGB, or the first channel, inverted if `ink`."""
    rows = np.concatenate(np.split(np.asarray(images), rows), axis=1)  # as many images high: (n / rows, rows * H, W, C)
    pixels = np.uint8(np.round((np.concatenate(list(rows), axis=1) + 1) * 127.5))
    if pixels.shape[-1] != 3:
        pixels = 255 - pixels[..., 0] if ink else pixels[..., 0]
    height, width = pixels.shape[:2]
    scale = max(1, 840 // width)
    with atomic_write(path) as temporary:
        Image.fromarray(pixels).resize((scale * width, scale * height), Image.Resampling.NEAREST).save(temporary)


def save_titled_images(images, titles, heading, path):
    """Draw images, uint8 (n, H, W, C) with 1 or 3 channels, each under its title, eight in a row under a heading."""
    n_rows = -(-len(images) // 8)
    figure = Figure(figsize=(12, 1 + 1.7 * n_rows), layout="constrained")
    figure.suptitle(textwrap.fill(heading, 150), parse_math=False)  # $ begins no formula in the name of a class
    places = figure.subplots(n_rows, 8, squeeze=False).ravel()
    for axes in places:
        axes.axis("off")
    for axes, image, title in zip(places, images, titles):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        axes.set_title(title, fontsize=8, parse_math=False)
    save_figure(figure, path, dpi=100)


def save_training_curves(history, path):
    """Plot the losses and the accuracies of `history`, one dictionary an epoch, against the steps done."""
    steps = [row["step"] for row in history]
    figure = Figure(figsize=(11, 4), layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    losses.set(title="losses, mean of each epoch", xlabel="steps", yscale="log")
    accuracies.set(title="accuracies", xlabel="steps", ylabel="per cent")
    for axes, names, factor in ((losses, ("c_loss", "d_loss_real", "d_loss_fake", "g_loss"), 1), (
            accuracies, ("c_accuracy", "train_accuracy", "validation_accuracy", "test_accuracy"), 100)):
        for name in [name for name in names if any(row.get(name) for row in history)]:  # or it has no such loss
            axes.plot(steps, [factor * row[name] for row in history], marker=".", label=name)
        axes.grid(alpha=0.3)
        axes.legend()
    save_figure(figure, path)
