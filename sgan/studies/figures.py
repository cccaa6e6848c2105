"""Figures of studies: every run is drawn, as a thin line or as a point.

Functions named draw_... draw the results (results.py says what is in one) of runs that did not fail into one matplotlib
axes; `draw_panels` puts several of them side by side.
"""

import textwrap

import numpy as np
from matplotlib.figure import Figure

from sgan.runs.plots import save_figure
from sgan.studies.tables import errors_over, grouped, on_mnist


def draw_curves(axes, results, name="test_accuracy", label="test accuracy", published=None):
    """Accuracy against steps: a thin line for each run, a thick one for the mean over runs.

    Runs that were measured only at the end are left out if others were measured on the way.

    Args:
        name: of the accuracy in a row of a history; `label`: its name on the axis.
        published: {title: {step: accuracy in per cent}}, drawn in black beside runs on MNIST.
    """
    for i, (title, members) in enumerate(grouped(results).items()):
        curves = [{row["step"]: 100 * row[name] for row in result["history"] if name in row} for result in members]
        curves = [curve for curve in curves if len(curve) > 1] or curves
        for curve in curves:
            axes.plot(curve.keys(), curve.values(), color=f"C{i}", alpha=0.35, linewidth=1)
        steps = sorted(set.intersection(*map(set, curves)))
        means = [np.mean([curve[step] for curve in curves]) for step in steps]
        axes.plot(steps, means, color=f"C{i}", marker=".", linewidth=2, label=f"{title} (n = {len(curves)})")
    if published and on_mnist(results):
        for marker, (title, curve) in zip("*x", published.items()):
            axes.plot(curve.keys(), curve.values(), f"k{marker}:", label=title)
    axes.set(xlabel="steps", ylabel=f"{label}, %")


def draw_errors(axes, results, name="labels", label="labelled images",
                chosen=lambda settings: not settings["unlabelled"], published=None):
    """Test error against a number of images: a point for each run, a line through the means.

    Args:
        name: of the number, as `as_row` has it; `label`: its name on the axis.
        chosen: function of a run's settings: whether it is drawn.
        published: {title: {number: test error in per cent}}, drawn as black stars beside runs on MNIST.
    """
    groups = errors_over([result for result in results if chosen(result["settings"])], name)
    published = published if published and on_mnist(results) else {}
    for i, (title, errors) in enumerate(groups.items()):
        for number, values in errors.items():
            axes.plot([number] * len(values), 100 * np.array(values), "o", color=f"C{i}", alpha=0.35, markersize=4)
        means = sorted((number, 100 * np.mean(values)) for number, values in errors.items())
        axes.plot(*zip(*means), color=f"C{i}", marker="_", markersize=10, label=title)
    for title, errors in published.items():
        axes.plot(errors.keys(), errors.values(), "k*", label=title)
    axes.set(xlabel=label, ylabel="test error, %", xscale="log", ylim=(0, None))
    numbers = sorted(set().union(*groups.values(), *published.values()))
    axes.set_xticks(numbers, [f"{number:,}" for number in numbers])
    axes.minorticks_off()


def draw_ablation(axes, results):
    """Test error without each ingredient: a point for each run, a colour for each number of labels."""
    for title, errors in errors_over(results, "without").items():
        points = [(100 * value, left_out) for left_out, values in errors.items() for value in values]
        axes.plot(*zip(*points), "o", alpha=0.6, label=title)
    axes.set(xlabel="test error, %", ylabel="without")
    axes.invert_yaxis()


def draw_panels(path, panels, results):
    """Draw panels, functions of axes and results, side by side into a file."""
    figure = Figure(figsize=(8 * len(panels), 6.5), layout="constrained")
    for axes, draw in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        draw(axes, results)
        axes.grid(alpha=0.3)
        lines, titles = axes.get_legend_handles_labels()
        axes.legend(lines, [textwrap.fill(title, 100) for title in titles], fontsize=8,
                    loc="upper center", bbox_to_anchor=(0.5, -0.12))  # below, where it hides nothing
    save_figure(figure, path)
