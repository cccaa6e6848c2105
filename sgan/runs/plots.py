"""Pictures of a run: generated images as a grid, and its curves."""

import numpy as np
from matplotlib.figure import Figure

from sgan.runs.files import atomic_write


def save_image_grid(images, path):
    """Draw 100 images, (100, H, W, C) in [-1, 1], as ten rows of ten; grey ones dark on white (gray_r)."""
    rows = np.concatenate(np.split(np.asarray(images), 10), axis=1)  # ten images high: (10, 10 * H, W, C)
    picture = (np.concatenate(list(rows), axis=1) + 1) / 2
    if picture.shape[-1] not in (3, 4):
        picture = picture[..., 0]
    height = 7 * picture.shape[0] / picture.shape[1]
    figure = Figure(figsize=(7, min(max(height, 0.1), 100)))  # inches; Matplotlib draws neither nothing nor 65,536 dots
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
    axes.axis("off")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=120)


def save_training_curves(history, path):
    """Plot the losses and the accuracies of `history`, one dictionary an epoch, against the steps done."""
    steps = [row["step"] for row in history]
    figure = Figure(figsize=(11, 4), layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    for name in ("c_loss", "d_loss_real", "d_loss_fake", "g_loss"):
        losses.plot(steps, [row[name] for row in history], marker=".", label=name)
    losses.set(title="losses, mean of each epoch", xlabel="steps", yscale="log")
    for name in ("c_accuracy", "train_accuracy", "validation_accuracy", "test_accuracy"):
        if name in history[-1]:
            accuracies.plot(steps, [100 * row[name] for row in history], marker=".", label=name)
    accuracies.set(title="accuracies", xlabel="steps", ylabel="per cent")
    for axes in (losses, accuracies):
        axes.grid(alpha=0.3)
        axes.legend()
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)
