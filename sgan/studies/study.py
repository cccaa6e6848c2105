"""Studies: lists of independent runs, made side by side, and what is made of them: a CSV, tables and a figure.

    python -m sgan.studies article --data mnist --jobs 2        the second article's model, and supervised only
    python -m sgan.studies supervised-only                      the classifiers on 20 to 1,000 labelled images only
    python -m sgan.studies variants                             the three discriminators, and supervised only
    python -m sgan.studies labels                               more and fewer labels, and fewer unlabelled images
    python -m sgan.studies default                              the default run of sgan_mnist.py, 20 epochs
    python -m sgan.studies tuned                                the tuned SGAN, 10, 20 and 100 labels
    python -m sgan.studies ablation --data development.npz      the tuned SGAN without each of its ingredients
    python -m sgan.studies other-data --data usps.npz           the tuned SGAN on images that it was not made for
    python -m sgan.studies feature-matching                     feature matching, and what its generator adds

Each run is one command (--list prints them all) that writes one file, RESULTS/new/NAME-ID.json, and what it prints to
RESULTS/new/logs/NAME-DATA.log; runs share nothing else. Re-running a study makes only the runs that are missing or have
failed; then RESULTS/STUDY.csv, .md and .png are written: STUDY-chosen.csv and so on with --labels, --splits,
--first-split or --steps, and STUDY-DATA.csv of other data than MNIST. The exit status is 1 if runs failed.
"""

import argparse
import inspect
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from discriminator_variants import VARIANTS
from sgan.data.dataset import MNIST_FINGERPRINT, load_real_samples
from sgan.runs.command import InputError
from sgan.runs.files import atomic_write, expand, write_csv
from sgan.runs.options import ArgumentParser, at_least, flag
from sgan.studies.figures import draw_ablation, draw_curves, draw_errors, draw_panels
from sgan.studies.jobs import command, make_side_by_side
from sgan.studies.published import EPOCH_STEPS, PUBLISHED_ARTICLE, PUBLISHED_EPOCHS, PUBLISHED_ERRORS
from sgan.studies.results import read_results
from sgan.studies.run import FIRST, Run
from sgan.studies.tables import article_table, as_row, epochs_table, main_table, on_mnist
from sgan.tuned import INGREDIENTS

SHORT = 2 * EPOCH_STEPS  # of the tutorial's SGAN, if a study has many runs
LABELS = (20, 50, 100, 200, 1000)

# --------------------------------------------------------------------------------------------------------------
# Their runs, in the order in which they are made. The arguments are options of the command line.


def seeds_of(splits, first_split=0):
    """Label seed and seed of each run of a comparison. On each label split all compared runs share both; the spread
    over splits is that of labels, weights and noise together."""
    return [{"label_seed": split, "seed": split} for split in range(first_split, first_split + splits)]


def article(labels=(100,), splits=5, steps=None):
    """The second article's model, on random label splits and on the article's own labels, beside supervised only."""
    for seeds in [*seeds_of(splits), {"label_seed": FIRST, "seed": 0}]:
        for n in labels:
            yield dict(preset="article", method="supervised-only", labels=n, **seeds)
            yield dict(preset="article", labels=n, steps=steps, **seeds)


def supervised_only(labels=LABELS, splits=10, steps=None):
    """Both articles' classifiers on the labelled images only."""
    for seeds in seeds_of(splits):
        for preset in ("tutorial", "article"):
            for n in labels:
                yield dict(preset=preset, method="supervised-only", labels=n, steps=steps, **seeds)


def variants(splits=5, steps=SHORT):
    """The three discriminators beside supervised only, 100 labels."""
    for seeds in seeds_of(splits):
        yield dict(method="supervised-only", **seeds)
        for variant in reversed(VARIANTS):
            yield dict(variant=variant, steps=steps, evaluate_every=max(1, steps // 6), **seeds)


def labels(labels=LABELS, splits=3, steps=SHORT, unlabelled=(1000, 10000)):
    """The tutorial's SGAN and supervised only over the number of labels; with 100 also with fewer unlabelled images."""
    for seeds in seeds_of(splits):
        for n in sorted({*labels, 100}):
            yield dict(method="supervised-only", labels=n, **seeds)
            yield dict(labels=n, steps=steps, **seeds)
        for n in unlabelled:
            yield dict(labels=100, unlabelled=n, steps=steps, **seeds)


def default(splits=5):
    """The default run of sgan_mnist.py: 20 epochs of the tutorial's SGAN, 100 labels."""
    yield from seeds_of(splits)


def tuned(labels=(100, 20, 10), first_split=36, splits=5, steps=None):
    """The tuned SGAN; with the first two numbers of labels also its network on the labelled images only, and without
    augmentation, as the published methods use none; with the first also without augmentation and generator. Splits 0 to
    35 were spent on earlier recipes, and 36 to 40 on the ninth, which did something else without augmentation."""
    first_two, without_augmentation = labels[:2], first_split + 5
    for without, numbers, first in (("nothing", labels, first_split), ("unlabelled-images", first_two, first_split),
                                    ("augmentation", first_two, without_augmentation),
                                    ("augmentation,generator", labels[:1], without_augmentation)):
        for n in numbers:
            for seeds in seeds_of(splits, first):
                yield dict(preset="tuned", labels=n, without=without, steps=steps, **seeds)


def other_data(labels=(100, 20), first_split=36, splits=5, steps=None, left_out=("unlabelled-images",)):
    """The tuned SGAN complete and without each of the ingredients `left_out`, on other data than MNIST."""
    for n in labels:
        for seeds in seeds_of(splits, first_split):
            for without in ("nothing", *left_out):
                yield dict(preset="tuned", labels=n, without=without, steps=steps, **seeds)


def feature_matching(labels=(100, 20), first_split=10, splits=5, steps=None):
    """The SGAN of Salimans et al.; with the first number of labels also supervised only, without a generator, and with
    the tutorial's loss of the generator. Splits 0, 1 and 5 to 9 were spent before. Last, on new splits, as long
    as `python -m sgan.feature_matching` trains."""
    for seeds in seeds_of(splits, first_split):
        common = dict(preset="feature-matching", steps=steps, **seeds)
        for n in labels:
            yield dict(labels=n, **common)
        for changes in {"method": "supervised-only"}, {"variant": "no-generator"}, {"variant": "adversarial"}:
            yield dict(labels=labels[0], **changes, **common)
    for seeds in seeds_of(splits, first_split + max(5, splits)):
        yield dict(preset="feature-matching", labels=labels[0], steps=steps or 48000, **seeds)


# --------------------------------------------------------------------------------------------------------------
# The studies


class Study(NamedTuple):
    """A list of runs and what is made of them beside the table of all runs."""

    runs: Callable  # yields the settings of each
    panels: list  # of the figure: functions of axes and results
    tables: dict = {}  # heading: function of results; beside published figures, for MNIST only
    compared_by: str = "test_accuracy"


OVER_LABELS = [partial(draw_errors, published=PUBLISHED_ERRORS),
               partial(draw_errors, name="unlabelled_images", label="unlabelled images",
                       chosen=lambda settings: settings["method"] == "sgan" and settings["labels"] == 100)]

STUDIES = {
    "article": Study(article, [partial(draw_curves, published=PUBLISHED_ARTICLE)],
                     {"Beside the article's figures": article_table}),
    "supervised-only": Study(supervised_only, OVER_LABELS[:1]),
    "variants": Study(variants, [draw_curves]),
    "labels": Study(labels, OVER_LABELS),
    "default": Study(default, [
        draw_curves, partial(draw_curves, name="train_accuracy", label="accuracy on the training set",
                             published={"published run": PUBLISHED_EPOCHS})], {"After each epoch": epochs_table}),
    "tuned": Study(tuned, [draw_errors]),
    # Of development images (development.py), as what is left out of the recipe is decided by it. The ninth recipe was
    # compared with the eighth on these splits before it was chosen, and the tenth tried on two of them.
    "ablation": Study(partial(other_data, labels=(100,), first_split=1110, left_out=INGREDIENTS), [draw_ablation]),
    "other-data": Study(other_data, [draw_errors], compared_by="balanced_test_accuracy"),
    "feature-matching": Study(feature_matching, [draw_curves]),
}


def make_runs(name, data, **changes):
    """The runs of a study, with `changes` to its arguments. Raises InputError for one that it does not have."""
    for option in changes.keys() - inspect.signature(STUDIES[name].runs).parameters.keys():
        raise InputError(f"{flag(option)}: the study '{name}' has no such choice")
    runs = [Run(**settings, data=data) for settings in STUDIES[name].runs(**changes)]
    return list({run.name: run for run in runs}.values())


def results_of(runs, fingerprint, folder):
    """A list parallel to `runs`: each one's result in a folder of results, or None if it is not done."""
    found = read_results(folder)
    return [found.get(run.identity(fingerprint)) for run in runs]


def write_tables(name, results, folder, command_line, chosen=False):
    """Write FOLDER/NAME.csv, .md and .png of a study, for other data than MNIST NAME-DATA, and print the table.

    Args:
        name: of the study.
        results: of its runs, as `results_of` returns them.
        folder: of results.
        command_line: that of the study, to stand below the table.
        chosen: whether the runs are not the study's own, whose tables stay: then NAME-chosen.csv and so on.
    """
    study, done = STUDIES[name], [result for result in results if result]
    if not done:
        raise InputError(f"{folder}: no run of the study '{name}' is done yet")
    finished = [result for result in done if not result["error"]]
    data = done[0]["data"]["name"].removesuffix(".npz")
    title = f"{name}-{data}" if not on_mnist(done) else f"{name}-chosen" if chosen else name
    text = f"# {title}\n\n" + main_table(finished, study.compared_by)
    for heading, table in study.tables.items() if on_mnist(done) else ():
        text += f"\n## {heading}\n\n" + table(finished)
    text += (f"\n`python -m sgan.studies {command_line}`: {len(done)} of {len(results)} runs, "
             f"{len(done) - len(finished)} failed; see results/README.md\n")
    text += "".join(f"- failed: {result['name']}: {result['error']}\n" for result in done if result["error"])
    path = Path(folder) / title
    write_csv(f"{path}.csv", [as_row(result) for result in done])
    with atomic_write(f"{path}.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    draw_panels(f"{path}.png", study.panels, finished)
    print(f"{text}\nwritten: {path}.csv, .md, .png")


# --------------------------------------------------------------------------------------------------------------
# The command


def main(argv=None):
    """Make, list or tabulate the runs of the study that the command line names."""
    positive = at_least(int, 1)
    parser = ArgumentParser(prog="python -m sgan.studies", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("name", choices=list(STUDIES), metavar="STUDY", help=", ".join(STUDIES))
    add("--data", default="mnist", help="mnist, synthetic, a folder of pictures or FILE.npz (default: %(default)s)")
    add("--results", type=expand, default="results", metavar="FOLDER", help="(default: %(default)s)")
    add("--jobs", type=positive, default=1, metavar="N", help="runs side by side (default: %(default)s)")
    add("--list", action="store_true", help="only print the runs, one command each")
    add("--table", action="store_true", help="only make the tables of the runs there are")
    choice = partial(add, metavar="N", default=argparse.SUPPRESS)  # the default is the study's own
    choice("--labels", nargs="+", type=positive, help="numbers of labelled images")
    choice("--splits", type=positive, help="how many label splits")
    choice("--first-split", type=at_least(int, 0), help="the label seed of the first of them")
    choice("--steps", type=positive, help="of each run")
    args = vars(parser.parse_args(argv))
    name, data, folder, jobs = (args.pop(key) for key in ("name", "data", "results", "jobs"))
    only_list, only_table = (args.pop(key) for key in ("list", "table"))
    runs = make_runs(name, data, **args)
    if only_list:
        print("\n".join(shlex.join(command(run, folder)) for run in runs))
        return
    fingerprint = MNIST_FINGERPRINT if data == "mnist" else load_real_samples(data).fingerprint()
    results = results_of(runs, fingerprint, folder)
    if not only_table:
        missing = [run for run, result in zip(runs, results) if not result or result["error"]]
        print(f"{len(runs)} runs, {len(runs) - len(missing)} of them done already; the others print to "
              f"{folder / 'new' / 'logs'}. Ctrl-C stops them, and the same command goes on.", flush=True)
        make_side_by_side(missing, folder, jobs)
        results = results_of(runs, fingerprint, folder)
    write_tables(name, results, folder, shlex.join(sys.argv[1:] if argv is None else argv), chosen=bool(args))
    if not only_table and any(result is None or result["error"] for result in results):
        sys.exit(1)
