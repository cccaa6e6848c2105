"""sgan/studies/figures.py: what is drawn of results written by hand."""

import numpy as np
from helpers import hand_made
from matplotlib.figure import Figure

from sgan.data.dataset import MNIST_FINGERPRINT
from sgan.studies.figures import draw_ablation, draw_curves, draw_errors, draw_panels
from sgan.studies.run import Run


def lines_of(draw, results, **options):
    """{label: points} and all points, of what is drawn."""
    axes = Figure().add_subplot()
    draw(axes, results, **options)
    drawn = [(line.get_label(), np.transpose(line.get_data()).tolist()) for line in axes.lines]
    return {label: points for label, points in drawn if not label.startswith("_")}, [points for _, points in drawn]


def with_curve(curve, seed=0, fingerprint=MNIST_FINGERPRINT):
    """A default run with these {step: test accuracy in per cent}."""
    history = [{"step": step, "test_accuracy": value / 100} for step, value in curve.items()]
    return hand_made(Run(seed=seed), 0, fingerprint, history=history)


def test_curves_show_each_run_their_mean_and_what_is_published_about_mnist():
    title = "tutorial: SGAN, stacked, 100 labels, 12,000 steps"
    runs = [with_curve(curve) for curve in ({100: 80, 200: 90}, {100: 82, 150: 1, 200: 91})]
    named, drawn = lines_of(draw_curves, runs, published={"theirs": {100: 70}})
    assert [[100, 80], [200, 90]] in drawn and [[100, 82], [150, 1], [200, 91]] in drawn
    assert named == {f"{title} (n = 2)": [[100, 81], [200, 90.5]], "theirs": [[100, 70]]}
    only_at_the_end = with_curve({200: 70}, fingerprint="other images")
    assert lines_of(draw_curves, [*runs, only_at_the_end])[0] == {f"{title} (n = 2)": [[100, 81], [200, 90.5]]}
    named, _ = lines_of(draw_curves, [only_at_the_end], published={"theirs": {100: 70}})
    assert named == {f"{title} (n = 1)": [[200, 70]]}


def test_errors_show_each_run_their_mean_and_what_is_published_about_mnist():
    runs = [hand_made(Run(labels=labels, unlabelled=unlabelled), accuracy) for labels, unlabelled, accuracy in (
        (100, None, 0.75), (100, None, 0.25), (20, None, 0.5), (100, 500, 0))]
    named, drawn = lines_of(draw_errors, runs, published={"theirs": {100: 7.2}})
    assert [[100, 25], [100, 75]] in drawn and [[20, 50]] in drawn
    assert named == {"tutorial: SGAN, stacked, 12,000 steps": [[20, 50], [100, 50]], "theirs": [[100, 7.2]]}
    named, _ = lines_of(draw_errors, runs, name="unlabelled_images", label="", chosen=lambda run: run["labels"] == 100)
    assert named == {"tutorial: SGAN, stacked, 100 labels, 12,000 steps": [[500, 100], [60000, 50]]}


def test_ablation_shows_each_run_and_all_may_have_failed(tmp_path):
    runs = [hand_made(Run(preset="tuned", without=without), value)
            for without, value in (("nothing", 0.75), ("nothing", 0.5), ("clutter", 0.25))]
    axes = Figure().add_subplot()
    draw_ablation(axes, runs)
    assert axes.lines[0].get_xdata().tolist() == [25, 50, 75]
    assert list(axes.lines[0].get_ydata(orig=True)) == ["nothing", "nothing", "clutter"]
    draw_panels(tmp_path / "x.png", [draw_curves, draw_errors, draw_ablation], [])
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
