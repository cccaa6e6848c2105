"""Studies: lists of independent runs, made side by side, and their table.

    python -m sgan.studies article --data mnist --jobs 2        the second article's model, and supervised only
    python -m sgan.studies supervised-only                      the classifiers on 20 to 1,000 labelled images only
    python -m sgan.studies variants                             the three discriminators, and supervised only
    python -m sgan.studies labels                               more and fewer labels, and fewer unlabelled images
    python -m sgan.studies default                              the default run of sgan_mnist.py, 20 epochs
    python -m sgan.studies tuned                                the tuned SGAN, 10 to 1,000 labels
    python -m sgan.studies ablation --data development.npz      the tuned SGAN without each of its ingredients
    python -m sgan.studies other-data --data usps.npz           the tuned SGAN on images that it was not made for

Each run is one command (--list prints them all) that writes one file, RESULTS/new/NAME.json; runs share nothing else.
Re-running a study runs only what is missing, and with --retry what failed; then RESULTS/STUDY.csv, .md and .png are
written; of other data than MNIST, RESULTS/STUDY-DATA.csv and so on. The exit status is 1 where runs failed.
"""

import argparse
import inspect
import shlex
import sys
from pathlib import Path

from discriminator_variants import VARIANTS
from sgan.runs.command import InputError
from sgan.runs.options import ArgumentParser, at_least, flag
from sgan.data.dataset import MNIST_FINGERPRINT, load_real_samples
from sgan.runs.files import expand
from sgan.studies.pack import remove_failed
from sgan.studies.published import EPOCH_STEPS
from sgan.studies.results import read_results
from sgan.studies.run import FIRST, Run
from sgan.studies.tables import write_tables
from sgan.studies.workers import Workers, command
from sgan.tuned import INGREDIENTS

SHORT = {"tutorial": 2 * EPOCH_STEPS}  # steps of the SGAN where a study has many runs; other presets: their own number
LABELS = (20, 50, 100, 200, 1000)
ARTICLES = ("tutorial", "article")
MAX_SPLITS = 1000  # months of work already

# --------------------------------------------------------------------------------------------------------------
# The studies: what to run, in the order in which it is done. Their arguments are the command's options.


def seeds_of(splits, first_split=0, first=False):
    """Label seed and seed of each run of a comparison. On each label split all compared runs share both; the spread
    over splits is that of labels, weights and noise together. `first`: the first images of each class, too."""
    seeds = [{"label_seed": split, "seed": split} for split in range(first_split, first_split + splits)]
    return seeds + [{"label_seed": FIRST, "seed": 0}] if first else seeds


def article(labels=(100,), splits=5, steps=None):
    """The second article's model, on random label splits and on the article's own labels, beside supervised only."""
    for seeds in seeds_of(splits, first=True):
        for n in labels:
            yield dict(preset="article", method="supervised-only", labels=n, **seeds)
            yield dict(preset="article", labels=n, steps=steps, **seeds)


def supervised_only(presets=ARTICLES, labels=LABELS, splits=10, steps=None):
    """Both articles' classifiers on the labelled images only."""
    for seeds in seeds_of(splits):
        for preset in presets:
            for n in labels:
                yield dict(preset=preset, method="supervised-only", labels=n, steps=steps, **seeds)


def variants(splits=5, steps=SHORT["tutorial"]):
    """The three discriminators beside supervised only, 100 labels."""
    for seeds in seeds_of(splits):
        yield dict(method="supervised-only", **seeds)
        for variant in reversed(VARIANTS):
            yield dict(variant=variant, steps=steps, evaluate_every=max(1, steps // 6), **seeds)


def labels(presets=("tutorial",), labels=LABELS, splits=3, unlabelled=(1000, 10000), steps=None):
    """SGAN and supervised only over the number of labels; with 100 also with fewer unlabelled images."""
    for seeds in seeds_of(splits):
        for preset in presets:
            of_sgan = dict(preset=preset, steps=steps or SHORT.get(preset), **seeds)
            for n in sorted({*labels, 100}):
                yield dict(preset=preset, method="supervised-only", labels=n, **seeds)
                yield dict(of_sgan, labels=n)
            for n in unlabelled:
                yield dict(of_sgan, labels=100, unlabelled=n)


def default(splits=5):
    """The default run of sgan_mnist.py: 20 epochs of the tutorial's SGAN, 100 labels."""
    yield from seeds_of(splits)


def tuned(labels=(100, 20, 10, 50, 1000), first_split=36, splits=5, steps=None):
    """The tuned SGAN; with the first two numbers of labels also without augmentation, as the published methods use
    none, and its network on the labelled images only. Splits 0 to 35 were spent on earlier recipes."""
    for without, numbers in (("nothing", labels), ("augmentation", labels[:2]), ("unlabelled-images", labels[:2])):
        for n in numbers:
            for seeds in seeds_of(splits, first_split):
                yield dict(preset="tuned", labels=n, without=without, steps=steps, **seeds)


def ablation(labels=(100,), first_split=1110, splits=5, steps=None):
    """The tuned SGAN without each of its ingredients. For development images (development.py), as what is left out is
    decided by it. The ninth recipe was compared with the eighth on these splits before it was chosen."""
    for seeds in seeds_of(splits, first_split):
        for n in labels:
            for without in ("nothing", *INGREDIENTS):
                yield dict(preset="tuned", labels=n, without=without, steps=steps, **seeds)


def other_data(labels=(100, 20), first_split=36, splits=5, steps=None):
    """The tuned SGAN, and its network on the labelled images only, on other data than MNIST."""
    for n in labels:
        for seeds in seeds_of(splits, first_split):
            for without in ("nothing", "unlabelled-images"):
                yield dict(preset="tuned", labels=n, without=without, steps=steps, **seeds)


STUDIES = {study.__name__.replace("_", "-"): study
           for study in (article, supervised_only, variants, labels, default, tuned, ablation,
                         other_data)}


def option_name(argument):
    """The option of the command line that an argument of a study comes from."""
    return "--epochs or --steps" if argument == "steps" else flag(argument)


def make_runs(name, data, **changes):
    """The runs of a study, with `changes` to its arguments. Raises InputError for one that it does not have."""
    allowed = inspect.signature(STUDIES[name]).parameters
    for option in changes.keys() - allowed.keys():
        raise InputError(f"{option_name(option)}: the study '{name}' has no such choice, only "
                         f"{', '.join(map(option_name, allowed))}")
    runs = [Run(**settings, data=data) for settings in STUDIES[name](**changes)]
    return list({run.name: run for run in runs}.values())


# --------------------------------------------------------------------------------------------------------------
# The command


count = at_least(int, 1)


def counts(text):
    """Numbers from 1 on, "20,100", as a tuple. Raises ArgumentTypeError for anything else."""
    try:
        return tuple(count(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: must be numbers from 1 on, with commas between them") from None


def article_names(text):
    """Names of the articles' presets, "tutorial,article", as a tuple."""
    if not set(text.split(",")) <= set(ARTICLES):
        raise argparse.ArgumentTypeError(f"{text}: choose among {', '.join(ARTICLES)}")
    return tuple(text.split(","))


def run_study(runs, fingerprint, results, jobs, retry=False):
    """Make the missing runs of a study, with `retry` the failed ones too. Returns whether all succeeded."""
    if retry:
        remove_failed(results, {run.identity(fingerprint) for run in runs})
    workers = Workers(runs, fingerprint, results, jobs)
    print(f"{len(runs)} runs, {workers.done} of them done already{workers.and_failed()}", flush=True)
    try:
        workers.work()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted: {workers.done} of {len(runs)} runs are done; the same command goes on "
                                "with the others") from None
    return not workers.failed


def fingerprint_of(data):
    """That of the data named; MNIST need not be there for it."""
    return MNIST_FINGERPRINT if data == "mnist" else load_real_samples(data).fingerprint()


def main(argv=None):
    """Make, list or tabulate the runs of the study that the command line names."""
    parser = ArgumentParser(prog="python -m sgan.studies", description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=list(STUDIES), metavar="STUDY", help=", ".join(STUDIES))
    parser.add_argument("--data", default="mnist", help="mnist, synthetic, a folder of pictures or FILE.npz "
                        "(default: %(default)s)")
    parser.add_argument("--results", type=expand, default="results", metavar="FOLDER", help="(default: %(default)s)")
    parser.add_argument("--jobs", type=count, default=1, metavar="N", help="runs side by side (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="only print the runs, one command each")
    parser.add_argument("--table", action="store_true", help="only make the tables of the runs there are")
    parser.add_argument("--retry", action="store_true", help="make failed runs again")
    choices = parser.add_argument_group("what to run, where it is not to be the study's own choice").add_argument
    choices("--presets", type=article_names, metavar="P,…", help=", ".join(ARTICLES))
    choices("--labels", type=counts, metavar="N,…", help="numbers of labelled images")
    choices("--unlabelled", type=counts, metavar="N,…", help="numbers of unlabelled images, beside all of them")
    choices("--splits", type=count, metavar="N", help=f"label splits, at most {MAX_SPLITS:,}")
    choices("--first-split", type=at_least(int, 0), metavar="N", help="the label seed of the first of them")
    length = parser.add_mutually_exclusive_group().add_argument
    length("--epochs", type=count, metavar="N", help=f"of each run, {EPOCH_STEPS} steps each")
    length("--steps", type=count, metavar="N", help="of each run, instead of --epochs")
    args = vars(parser.parse_args(argv))
    name, results, jobs, data = (args.pop(key) for key in ("name", "results", "jobs", "data"))
    only_list, only_table, retry = (args.pop(key) for key in ("list", "table", "retry"))
    if (args["splits"] or 0) > MAX_SPLITS:
        raise InputError(f"--splits {args['splits']}: must be at most {MAX_SPLITS:,}")
    if epochs := args.pop("epochs"):
        args["steps"] = epochs * EPOCH_STEPS
    if name == "other-data" and data == "mnist":
        raise InputError("other-data: is about other data than MNIST; name them with --data")
    changes = {key: value for key, value in args.items() if value is not None}
    runs = make_runs(name, data, **changes)
    if only_list:
        print("\n".join(shlex.join(command(run, results)) for run in runs))
        return
    given = {**({"data": Path(data).name} if data != "mnist" else {}),
             **({"results": results} if results != Path("results") else {}), **changes}
    options = "".join(f" {flag(key)} {','.join(map(str, value)) if isinstance(value, tuple) else value}"
                      for key, value in given.items())
    fingerprint = fingerprint_of(data)
    succeeded = only_table or run_study(runs, fingerprint, results, jobs, retry)
    found = read_results(results)
    write_tables(name, runs, [found.get(run.identity(fingerprint)) for run in runs], results, options)
    if not succeeded:
        sys.exit(1)
