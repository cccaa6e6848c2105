"""Studies: lists of independent runs, worked off side by side, and their table.

    python -m studies.study article --data mnist --jobs 2     the second article's model, with the GAN and without
    python -m studies.study alone                             the classifier alone, both networks, 20 to 1,000 labels
    python -m studies.study variants                          the three discriminators and the classifier alone
    python -m studies.study labels                            more and fewer labels, and fewer unlabelled images
    python -m studies.study tuned                             the tuned SGAN, 20 to 1,000 labels, and alone
    python -m studies.study ablation --data development.npz   the tuned SGAN without each of its ingredients

Each run is one command (--list prints them all) that writes one file, RESULTS/raw/NAME.json; runs share nothing else.
Giving the command again makes only the runs that are missing, and with --retry those that failed; then
RESULTS/STUDY.csv, .md and .png are written from the files. The exit status is 1 where runs failed.
"""

import argparse
import inspect
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the long imports: no traceback

from studies.networks import PRESETS, VARIANTS, ArticlePreset
from studies.run import FIRST, Run, available_cores, check_same_images, read_result, result_path, write_result
from studies.tuned import INGREDIENTS

# isort: split
from mnist_data import InputError, load_real_samples
from run_folder import ArgumentParser, at_least, run_command
from studies.tables import write_tables

ROOT = Path(__file__).parents[1]
EPOCH = 600  # steps of the tutorial's epoch on MNIST
OVERHEAD = 40  # seconds of a run that are not training: starting TensorFlow, compiling, evaluating
SHORT = {"tutorial": 2 * EPOCH}  # steps of the SGAN where a study has many runs; other presets: their own number
LABELS = (20, 50, 100, 200, 1000)
ARTICLES = [name for name, preset in PRESETS.items() if isinstance(preset, ArticlePreset)]

# --------------------------------------------------------------------------------------------------------------
# The studies: what to run, in the order in which it is done. Their arguments are the command's options.


def draws_and_seeds(draws, seeds, first=False, first_draw=0):
    """Pairs (label seed, seed). The runs of a draw of labels begin with the draw's own weights and noise, so that the
    spread over draws is that of weights and noise too; runs that are compared share both numbers."""
    numbers = [*range(first_draw, first_draw + draws), *([FIRST] if first else [])]
    return [{"label_seed": draw, "seed": 100 * k + (0 if draw == FIRST else draw)}
            for k in range(seeds) for draw in numbers]


def article(labels=(100,), draws=5, seeds=1, steps=None, alone_steps=None):
    """The second article's model: random draws, and the article's own labels."""
    for pair in draws_and_seeds(draws, seeds, first=True):
        for n in labels:
            yield dict(preset="article", method="alone", labels=n, steps=alone_steps, **pair)
            yield dict(preset="article", method="sgan", labels=n, steps=steps, **pair)


def alone(presets=("tutorial", "article"), labels=LABELS, draws=10, seeds=1, alone_steps=None):
    """The classifier alone, for both networks."""
    for pair in draws_and_seeds(draws, seeds):
        for preset in presets:
            for n in labels:
                yield dict(preset=preset, method="alone", labels=n, steps=alone_steps, **pair)


def variants(presets=("tutorial",), labels=(100,), seeds=2, steps=None, alone_steps=None):
    """The three discriminators and the classifier alone; each seed has a draw of labels of its own."""
    for pair in draws_and_seeds(seeds, 1):
        for preset in presets:
            steps_of_preset = steps or SHORT.get(preset, PRESETS[preset].steps)
            for n in labels:
                yield dict(preset=preset, method="alone", labels=n, steps=alone_steps, **pair)
                for variant in reversed(VARIANTS):
                    yield dict(preset=preset, method="sgan", variant=variant, labels=n, steps=steps_of_preset,
                               evaluate_every=max(1, steps_of_preset // 6), **pair)


def labels(presets=("tutorial",), labels=LABELS, draws=3, seeds=1, unlabelled=(1000, 10000), steps=None,
           alone_steps=None):
    """SGAN and classifier alone over the number of labels; at 100, in any case, also with fewer unlabelled images."""
    for pair in draws_and_seeds(draws, seeds):
        for preset in presets:
            of_sgan = dict(preset=preset, method="sgan", steps=steps or SHORT.get(preset), **pair)
            for n in sorted({*labels, 100}):
                yield dict(preset=preset, method="alone", labels=n, steps=alone_steps, **pair)
                yield dict(of_sgan, labels=n)
            for n in unlabelled:
                yield dict(of_sgan, labels=100, unlabelled=n)


def tuned(labels=(100, 20, 50, 1000), first_draw=26, draws=5, seeds=1, steps=None):
    """The tuned SGAN; without augmentation, as the published methods use none; and its classifier alone, without
    unlabelled images. The draws 0 to 25 were spent on earlier recipes."""
    for without in ("nothing", "augmentation", "unlabelled-images"):
        for n in labels:
            for pair in draws_and_seeds(draws, seeds, first_draw=first_draw):
                yield dict(preset="tuned", labels=n, without=without, steps=steps, **pair)


def ablation(labels=(100,), first_draw=1110, draws=3, seeds=1, steps=None):
    """The tuned SGAN, without each of its ingredients. For images to develop on (studies/development.py), as what is
    left out depends on it; its draws are none of those on which the recipe was developed."""
    for pair in draws_and_seeds(draws, seeds, first_draw=first_draw):
        for n in labels:
            for without in ("nothing", *INGREDIENTS):
                yield dict(preset="tuned", labels=n, without=without, steps=steps, **pair)


STUDIES = {study.__name__: study for study in (article, alone, variants, labels, tuned, ablation)}


def option_name(argument):
    """The option of the command line that an argument of a study comes from."""
    return "--epochs or --steps" if argument == "steps" else f"--{argument.replace('_', '-')}"


def make_runs(name, data, **changes):
    """The runs of a study, with `changes` to its arguments. Raises InputError for one that it does not have."""
    allowed = inspect.signature(STUDIES[name]).parameters
    for option in changes.keys() - allowed.keys():
        raise InputError(f"{option_name(option)}: the study '{name}' has no such choice, only "
                         f"{', '.join(map(option_name, allowed))}")
    runs = [Run(**settings, data=data) for settings in STUDIES[name](**changes)]
    return list({run.name: run for run in runs}.values())


def command(run, results):
    """One run as a plain command, a list of words."""
    return ["python", "-m", "studies.run", *run.arguments(), "--results", str(results)]


# --------------------------------------------------------------------------------------------------------------
# Working a list of runs off


def expected_seconds(run):
    """A guess, for one core."""
    return OVERHEAD + run.steps * PRESETS[run.preset].seconds[run.method]


def last_line(log):
    """What a run said last, TensorFlow's own lines left out."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    lines = [line for line in lines if line.strip() and ".cc:" not in line and "absl::" not in line]
    return lines[-1].strip()[:200] if lines else "starting"


class Workers:
    """Runs side by side in separate processes.

    Attributes:
        running: process -> (run, when it began).
        expected, needed: seconds of the runs that have ended here, as guessed beforehand and as they were.
    """

    def __init__(self, runs, results, jobs):
        self.results, self.jobs = results, jobs
        self.done = sum(result_path(results, run).exists() for run in runs)
        self.waiting = [run for run in runs if not result_path(results, run).exists()]
        self.total = len(runs)
        self.failed = sum(bool(read_result(path)["error"]) for path in (result_path(results, run) for run in runs)
                          if path.exists())
        self.running, self.expected, self.needed = {}, 0, 0
        paths = str(ROOT), os.environ.get("PYTHONPATH")
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):  # runs side by side share the cores
            self.environment.setdefault(name, str(max(1, available_cores() // jobs)))

    def log(self, run):
        """The file with what a run prints."""
        return Path(self.results) / "logs" / f"{run.name}.log"

    def work(self):
        """Make all runs that are missing. Raises InputError where the runs themselves are impossible."""
        def stop(*_):
            raise KeyboardInterrupt

        before, reported = signal.signal(signal.SIGTERM, stop), 0
        try:
            while self.waiting or self.running:
                while self.waiting and len(self.running) < self.jobs:
                    self.start(self.waiting.pop(0))
                time.sleep(0.2)
                for process in [each for each in self.running if each.poll() is not None]:
                    self.end(process)
                    reported = 0
                if time.monotonic() - reported > 60:
                    reported = time.monotonic()
                    self.report()
        finally:  # Ctrl-C, or a run that cannot be made: stop the others, which leave no half-written file
            for process in self.running:
                process.terminate()
            for process in self.running:
                process.wait()
            signal.signal(signal.SIGTERM, before)

    def start(self, run):
        """Start a run in a process of its own."""
        log = self.log(run)
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "w") as file:
            process = subprocess.Popen([sys.executable, *command(run, self.results)[1:]], stdout=file, stderr=file,
                                       stdin=subprocess.DEVNULL, env=self.environment)
        self.running[process] = run, time.monotonic()

    def end(self, process):
        """Take note of a run that has ended."""
        run, began = self.running.pop(process)
        said = last_line(self.log(run))
        if process.returncode == 2:
            raise InputError(f"{run.name}: {said}")
        if process.returncode in (130, -signal.SIGINT):
            raise KeyboardInterrupt
        self.expected += expected_seconds(run)
        self.needed += time.monotonic() - began
        path = result_path(self.results, run)
        if not path.exists():  # killed, by a system short of memory perhaps: nobody else can say so
            write_result(path, {"name": run.name, "settings": {**vars(run), "data": Path(run.data).name},
                                "error": f"the process ended with status {process.returncode}: {said}"})
        error = read_result(path)["error"]
        self.done += 1
        self.failed += bool(error)
        print(f"{'FAILED' if error else 'done'}  {run.name}: {error or said_at_the_end(path)}", flush=True)

    def and_failed(self):
        """How many failed, in words, or nothing."""
        return f" ({self.failed} failed; --retry makes such runs again)" if self.failed else ""

    def report(self):
        """Print how far the study is, what each running run said last, and a guess of the time left."""
        pace = self.needed / self.expected if self.expected else 1  # this machine's, against the guess
        left = [pace * expected_seconds(run) for run in self.waiting]
        left += [max(0, pace * expected_seconds(run) - (time.monotonic() - began))
                 for run, began in self.running.values()]
        minutes = max(sum(left) / self.jobs, max(left, default=0)) / 60
        print(f"{self.done} of {self.total} runs done{self.and_failed()}; about {minutes:.0f} minutes left", flush=True)
        for run, _ in self.running.values():
            print(f"    {run.name}: {last_line(self.log(run))}", flush=True)


def said_at_the_end(path):
    """A finished run's result in a line."""
    result = read_result(path)
    return f"test accuracy {result['final']['test_accuracy']:.2%} after {result['seconds']:.0f} s"


# --------------------------------------------------------------------------------------------------------------
# The command


count = at_least(int, 1)


def counts(text):
    """Numbers from 1 on, "20,100", as a tuple. Raises ValueError for anything else."""
    return tuple(count(number) for number in text.split(","))


def article_names(text):
    """Names of the articles' presets, "tutorial,article", as a tuple."""
    if not set(text.split(",")) <= set(ARTICLES):
        raise argparse.ArgumentTypeError(f"{text}: choose among {', '.join(ARTICLES)}")
    return tuple(text.split(","))


def run_study(name, runs, results, jobs, options="", retry=False):
    """Make the missing runs of a study, with `retry` the failed ones too, then its tables.

    Raises SystemExit(1), after the tables, where runs failed.
    """
    paths = [path for path in (result_path(results, run) for run in runs) if path.exists()]
    if paths:
        fingerprint = load_real_samples(runs[0].data).fingerprint()
        for path in paths:
            check_same_images(read_result(path), path, fingerprint)
    if retry:
        for path in paths:
            if read_result(path)["error"]:
                path.unlink()
    workers = Workers(runs, results, jobs)
    print(f"Study '{name}': {len(runs)} runs, {workers.done} of them done already{workers.and_failed()}", flush=True)
    try:
        workers.work()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted: {workers.done} of {len(runs)} runs are done; the same command goes on "
                                "with the others") from None
    write_tables(name, runs, results, options)
    if workers.failed:
        sys.exit(1)


def main(argv=None):
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=list(STUDIES), metavar="STUDY", help=", ".join(STUDIES))
    parser.add_argument("--data", default="mnist", help="mnist, synthetic or FILE.npz (default: %(default)s)")
    parser.add_argument("--results", default="results", metavar="FOLDER", help="(default: %(default)s)")
    parser.add_argument("--jobs", type=count, default=1, metavar="N", help="runs side by side (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="only print the runs, one command each")
    parser.add_argument("--table", action="store_true", help="only make the tables of the runs there are")
    parser.add_argument("--retry", action="store_true", help="make failed runs again")
    choices = parser.add_argument_group("what to run, where it is not to be the study's own choice").add_argument
    choices("--presets", type=article_names, metavar="P,…", help=", ".join(ARTICLES))
    choices("--labels", type=counts, metavar="N,…", help="numbers of labelled images")
    choices("--unlabelled", type=counts, metavar="N,…", help="numbers of unlabelled images, beside all of them")
    choices("--draws", type=count, metavar="N", help="draws of the labelled images")
    choices("--first-draw", type=at_least(int, 0), metavar="N", help="the label seed of the first of them")
    choices("--seeds", type=count, metavar="K", help="seeds for weights and noise, for each draw "
            "(variants: a draw for each)")
    length = parser.add_mutually_exclusive_group().add_argument
    length("--epochs", type=count, metavar="N", help=f"of the SGAN, {EPOCH} steps each")
    length("--steps", type=count, metavar="N", help="of the SGAN, instead of --epochs")
    choices("--alone-steps", type=count, metavar="N", help="of the classifier alone")
    args = vars(parser.parse_args(argv))
    name, results, jobs, data = (args.pop(key) for key in ("name", "results", "jobs", "data"))
    only_list, only_table, retry = (args.pop(key) for key in ("list", "table", "retry"))
    if epochs := args.pop("epochs"):
        args["steps"] = epochs * EPOCH
    changes = {key: value for key, value in args.items() if value is not None}
    runs = make_runs(name, data, **changes)
    given = {**({"data": Path(data).name} if data != "mnist" else {}),
             **({"results": results} if results != "results" else {}), **changes}
    options = "".join(f" --{key.replace('_', '-')} {','.join(map(str, value)) if isinstance(value, tuple) else value}"
                      for key, value in given.items())
    if only_list:
        print("\n".join(shlex.join(command(run, results)) for run in runs))
        return
    if only_table:
        write_tables(name, runs, results, options)
        return
    run_study(name, runs, results, jobs, options, retry)


if __name__ == "__main__":
    run_command(main)
