"""Pictures of a run: generated images as a grid, and its curves."""

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from sgan.runs.files import atomic_write


def save_image_grid(images, path):
    """Draw 100 images, (100, H, W, C) in [-1, 1], as ten rows of ten: RGB, or the first channel, dark on white."""
    rows = np.concatenate(np.split(np.asarray(images), 10), axis=1)  # ten images high: (10, 10 * H, W, C)
    pixels = np.uint8(np.round((np.concatenate(list(rows), axis=1) + 1) * 127.5))
    if pixels.shape[-1] != 3:
        pixels = 255 - pixels[..., 0]
    height, width = pixels.shape[:2]
    scale = max(1, 840 // width)
    with atomic_write(path) as temporary:
        Image.fromarray(pixels).resize((scale * width, scale * height), Image.Resampling.NEAREST).save(temporary)


def save_training_curves(history, path):
    """Plot the losses and the accuracies of `history`, one dictionary an epoch, against the steps done."""
    steps = [row["step"] for row in history]
    figure = Figure(figsize=(11, 4), layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    losses.set(title="losses, mean of each epoch", xlabel="steps", yscale="log")
    accuracies.set(title="accuracies", xlabel="steps", ylabel="per cent")
    for axes, names, factor in ((losses, ("c_loss", "d_loss_real", "d_loss_fake", "g_loss"), 1), (
            accuracies, ("c_accuracy", "train_accuracy", "validation_accuracy", "test_accuracy"), 100)):
        for name in [name for name in names if name in history[0]]:
            axes.plot(steps, [factor * row[name] for row in history], marker=".", label=name)
        axes.grid(alpha=0.3)
        axes.legend()
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)
