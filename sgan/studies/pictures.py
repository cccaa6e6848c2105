"""Pictures of studies: every run is drawn, as a thin line or as a point.

Functions named draw_… draw into one matplotlib axes; `save_picture` puts several of them side by side.
"""

import textwrap

import numpy as np
from matplotlib.figure import Figure

from sgan.runs.files import atomic_write


def draw_curves(axes, groups, published, what):
    """Accuracy against steps: a thin line for each run, a thick one for the mean over runs.

    Runs that were measured only at the end are left out where others were measured on the way.

    Args:
        axes: of a matplotlib Figure.
        groups: {title: a list with a curve for each run}; a curve is {step: accuracy in per cent}.
        published: {title: curve}, drawn in black.
        what: the accuracy's name.
    """
    for i, (title, curves) in enumerate(groups.items()):
        curves = [curve for curve in curves if len(curve) > 1] or curves
        for curve in curves:
            axes.plot(curve.keys(), curve.values(), color=f"C{i}", alpha=0.35, linewidth=1)
        steps = sorted(set.intersection(*map(set, curves)))
        means = [np.mean([curve[step] for curve in curves]) for step in steps]
        axes.plot(steps, means, color=f"C{i}", marker=".", linewidth=2, label=f"{title} (n = {len(curves)})")
    for marker, (title, curve) in zip("*x+", published.items()):
        axes.plot(curve.keys(), curve.values(), color="black", marker=marker, linestyle=":", label=title)
    axes.set(xlabel="steps", ylabel=f"{what}, %")


def draw_errors(axes, groups, published, what):
    """Test error against a number of images: a point for each run, a line through the means.

    Args:
        axes: of a matplotlib Figure.
        groups: {title: {number of images: test errors in per cent, one for each run}}.
        published: {title: {number of images: test error in per cent}}, drawn as black stars.
        what: the images that are counted, "labelled images" for example.
    """
    numbers = sorted(set().union(*groups.values(), *published.values()))
    for i, (title, errors) in enumerate(groups.items()):
        for number, values in errors.items():
            axes.plot([number] * len(values), values, "o", color=f"C{i}", alpha=0.35, markersize=4)
        means = sorted((number, np.mean(values)) for number, values in errors.items())
        axes.plot(*zip(*means), color=f"C{i}", marker="_", markersize=10, label=title)
    for title, errors in published.items():
        axes.plot(errors.keys(), errors.values(), "k*", label=title)
    axes.set(xlabel=what, ylabel="test error, %", xscale="log", ylim=(0, None))
    axes.set_xticks(numbers, [f"{number:,}" for number in numbers])
    axes.minorticks_off()


def draw_ablation(axes, groups):
    """Errors without each ingredient, a point for each run: {title: {what is left out: test errors in per cent}}."""
    for title, errors in groups.items():
        points = [(value, left_out) for left_out, values in errors.items() for value in values]
        axes.plot(*zip(*points), "o", alpha=0.6, label=title)
    axes.set(xlabel="test error, %", ylabel="without")
    axes.invert_yaxis()


def save_picture(path, panels):
    """Draw panels side by side; each is a function that draws into the axes it is given."""
    figure = Figure(figsize=(8 * len(panels), 6.5), layout="constrained")
    for axes, draw in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        draw(axes)
        axes.grid(alpha=0.3)
        lines, titles = axes.get_legend_handles_labels()
        axes.legend(lines, [textwrap.fill(title, 100) for title in titles], fontsize=8,
                    loc="upper center", bbox_to_anchor=(0.5, -0.12))  # below, where it hides nothing
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)
