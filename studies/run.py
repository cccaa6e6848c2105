"""One run of a study, and one file with all that came of it.

    python -m studies.run --preset article --method sgan --labels 100 --label-seed 0 --seed 0 --data mnist

Trains the SGAN, or its classifier alone on the same labelled images, for a number of steps that is fixed beforehand,
and writes RESULTS/raw/NAME.json, where NAME says what was run: settings, versions, device, which images had labels,
losses and accuracies at fixed intervals and at the last step, and the error of a training that failed. If the file is
there, the run has been made and is not made again. The figure to report is the last step's.
"""

import time

BEGAN = time.perf_counter()  # of the process, but for Python's own start

import argparse
import itertools
import json
import os
import signal
import sys
import tempfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the long imports: no traceback

from sgan_mnist import (  # first: it sets Keras up
    SGAN, accuracy, define_gan, descend, generate_real_samples, on_device, select_supervised_samples, step_numbers
)

# isort: split
import keras
import numpy as np
from keras import ops

from mnist_data import InputError, load_real_samples
from run_folder import ArgumentParser, at_least, run_command, save_model, set_up_device, versions, written_whole
from studies.networks import PRESETS, VARIANTS, count_weights, present_classifier
from studies.tuned import AUGMENTATION, INGREDIENTS, RECIPE, TunedSettings, TunedSGAN

FIRST = "first"  # as a --label-seed: no draw, but the first images of each class


def option(default, explanation, **how):
    return field(default=default, metadata={"help": explanation, **how})


def label_seed(text):
    """A --label-seed from the command line: a number from 0 on, or "first"."""
    try:
        return text if text == FIRST else at_least(int, 0)(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: must be a number from 0 on, or {FIRST}") from None


@dataclass
class Run:
    """The settings of one run: each is an option of the command line."""

    preset: str = option("tutorial", "whose networks and optimizer", choices=list(PRESETS))
    method: str = option("sgan", "the SGAN, or the same classifier alone", choices=["sgan", "alone"])
    variant: str = option("stacked", "the discriminator of the SGAN", choices=list(VARIANTS))
    labels: int = option(100, "labelled images, the same number of each class", type=at_least(int, 1))
    label_seed: int | str = option(0, "which images keep their labels; 'first': the first ones of each class, and "
                                      "only images after the first --labels unlabelled, as in the second article",
                                   type=label_seed)
    seed: int = option(0, "for weights, noise and order", type=at_least(int, 0))
    unlabelled: int | None = option(None, "unlabelled images (default: all)", type=at_least(int, 1))
    without: str = option("nothing", f"leave ingredients of the tuned SGAN out, A,B,...: {', '.join(INGREDIENTS)}")
    steps: int | None = option(None, "default: the preset's; 2,000 for the classifier alone", type=at_least(int, 1))
    evaluate_every: int | None = option(None, "steps; changes nothing else (default: the preset's)",
                                        type=at_least(int, 1))
    data: str = option("mnist", "mnist, synthetic or FILE.npz")

    def __post_init__(self):
        preset, alone = PRESETS[self.preset], self.method == "alone"
        if self.preset == "tuned":
            if alone or self.variant != "stacked":
                raise InputError("--preset tuned: has no --variant and no --method alone, but "
                                 "--without unlabelled-images")
            tuned_settings(self).check()
            left_out = self.without.split(",")
            self.without = ",".join(name for name in ("nothing", *INGREDIENTS) if name in left_out)  # one name for each
        self.steps = self.steps or (preset.alone_steps if alone else preset.steps)
        self.evaluate_every = self.evaluate_every or (preset.alone_evaluate_every if alone else preset.evaluate_every)
        if alone and (self.variant != "stacked" or self.unlabelled):
            raise InputError("--method alone: has neither --variant nor --unlabelled images")
        if self.without != "nothing" and self.preset != "tuned":
            raise InputError(f"--without {self.without}: only --preset tuned has ingredients")
        if self.data == "auto":
            raise InputError("--data auto: could mix two data sets in one table; give mnist, synthetic or FILE.npz")

    @property
    def name(self):
        """What was run, as a file name."""
        unlabelled = f"-{self.unlabelled}unlabelled" if self.unlabelled else ""
        variant = f"-{self.variant}" if self.method == "sgan" else ""
        without = f"-without_{self.without}" if self.without != "nothing" else ""
        return (f"{Path(self.data).stem}-{self.preset}-{self.method}{variant}{without}-{self.labels}labels{unlabelled}"
                f"-draw_{self.label_seed}-seed{self.seed}-{self.steps}steps")

    def arguments(self):
        """The command line of this run, without --results."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return [word for name, value in given.items() if value is not None
                for word in (f"--{name.replace('_', '-')}", str(value))]


def result_path(results, run):
    """Where the result of a run is, or will be."""
    return Path(results) / "raw" / f"{run.name}.json"


def write_result(path, result):
    """Write a result as JSON, each entry on a line."""
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in result.items())
    with written_whole(path) as temporary:
        temporary.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def read_result(path):
    """A result as a dictionary. Raises InputError for a file that is none."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: cannot be read ({error}); delete it, and the run is made again") from None
    if not isinstance(result, dict) or not {"name", "settings", "error"} <= result.keys():
        raise InputError(f"{path}: is not the result of a run; delete it, and the run is made again")
    return result


def check_same_images(result, path, fingerprint):
    """Raises InputError where a result that was found is not of the images with this fingerprint."""
    if result.get("data_fingerprint", fingerprint) != fingerprint:
        raise InputError(f"{path}: a run on other images of the same name; give another --results folder")


# --------------------------------------------------------------------------------------------------------------
# The images


def choose_rows(labels, n_classes, run):
    """Which training images are labelled and which unlabelled: two arrays of row numbers."""
    if run.label_seed == FIRST:
        share, rest = divmod(run.labels, n_classes)
        rows_of = [np.flatnonzero(labels == k)[:share] for k in range(n_classes)]
        if rest or min(map(len, rows_of)) < share:
            raise InputError(f"--labels {run.labels}: must be a multiple of the number of classes, {n_classes}, and "
                             "each of them must have enough images")
        labelled = np.sort(np.concatenate(rows_of))
        always, others = labelled[:0], np.arange(run.labels, len(labels))
    else:
        labelled = select_supervised_samples(labels, run.labels, n_classes, run.label_seed)
        always = labelled  # whoever has images with labels has them without, too
        others = np.setdiff1d(np.arange(len(labels)), labelled)
        others = np.random.default_rng([run.label_seed, 1]).permutation(others)
    most = len(always) + len(others)
    if not len(always) <= (run.unlabelled or most) <= most:
        raise InputError(f"--unlabelled {run.unlabelled}: must be from {len(always)} (the labelled ones) to {most}")
    unlabelled = np.sort(np.concatenate([always, others[:(run.unlabelled or most) - len(always)]]))
    return labelled, unlabelled


# --------------------------------------------------------------------------------------------------------------
# The classifier alone


class Alone(keras.Model):
    """The classifier trained on labels only: update 1 of the SGAN, on batches drawn in the same way, and no other."""

    def __init__(self, c_model, labelled, batch_size, seed):
        super().__init__(name="alone")
        self.c_model, self.batch_size = c_model, batch_size
        self.labelled = [on_device(values) for values in labelled]
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.means = [keras.metrics.Mean("c_loss"), keras.metrics.Mean("c_accuracy")]
        c_model.optimizer.build(c_model.trainable_weights)
        self.built = True

    @property
    def metrics(self):
        return self.means

    def train_step(self, data):
        """One step; `data`, its number, is not needed. Returns the mean loss and accuracy since the epoch began."""
        images, labels = generate_real_samples(self.labelled, self.batch_size, self.seed_generator)
        loss, outputs = descend(self.c_model, images, labels)
        right = ops.equal(ops.argmax(outputs, axis=-1), ops.cast(labels, "int32"))
        for mean, value in zip(self.means, (loss, ops.mean(ops.cast(right, "float32")))):
            mean.update_state(value)
        return {mean.name: mean.result() for mean in self.means}


# --------------------------------------------------------------------------------------------------------------
# The run


def build(run, dataset, labelled_rows, unlabelled_rows):
    """What is to be trained.

    Returns (model to `fit`, function that gives its classifier with the present weights, number of weights).
    """
    preset = PRESETS[run.preset]
    shape = dataset.train_images.shape[1:]
    labelled = dataset.train_images[labelled_rows], dataset.train_labels[labelled_rows]
    unlabelled_images = dataset.train_images[unlabelled_rows]
    if run.preset == "tuned":
        sgan = TunedSGAN(tuned_settings(run), labelled, unlabelled_images, dataset.n_classes, run.steps)
        return sgan, lambda: sgan.c_model, count_weights(sgan.discriminator)
    discriminator = VARIANTS[run.variant](shape, dataset.n_classes, preset.optimizer, preset.body)
    n_weights = count_weights(discriminator.supervised, discriminator.unsupervised)
    if run.method == "alone":
        model = Alone(discriminator.classifier, labelled, preset.half_batch, run.seed)
    else:
        g_model = preset.generator(preset.latent_dim, shape)
        gan_model = define_gan(g_model, discriminator.judge)
        gan_model.compile(preset.optimizer(), "binary_crossentropy")
        model = SGAN(g_model, discriminator, gan_model, labelled, unlabelled_images,
                     2 * preset.half_batch, run.seed, preset.gan_batch)
    return model, lambda: present_classifier(discriminator), n_weights


def tuned_settings(run):
    """The settings of the tuned SGAN's training in a run."""
    return TunedSettings(seed=run.seed, without=run.without)


def recipe(run):
    """Number and settings of the tuned SGAN's recipe, as runs of different recipes must not be averaged; or None."""
    if run.preset != "tuned":
        return None
    of_the_run = {f.name for f in fields(Run)} | {"epochs", "steps_per_epoch", "out", "print_every", "tensorboard"}
    settings = asdict(tuned_settings(run))
    settings = {name: value for name, value in settings.items() if name not in of_the_run}
    return {"recipe": RECIPE, **settings, **AUGMENTATION}


def train(model, classifier, dataset, run, history):
    """Train and add one dictionary to `history` each --evaluate-every steps, and at the last. Returns seconds a step.

    `classifier()` is the present classifier; "seconds" are those since the process began, without the evaluations.

    Raises FloatingPointError where a loss is not a finite number any more.
    """
    seconds, left_out = 0, 0
    model.compile(optimizer=None)  # the models in it have theirs
    stops = [0, 1, *range(max(2, run.evaluate_every), run.steps, run.evaluate_every), run.steps]
    for start, stop in itertools.pairwise(sorted(set(stops))):
        began = time.perf_counter()
        means = model.fit(step_numbers(stop - start), shuffle=False, verbose=0).history
        if start:  # the first step is compiled first, and no measure of the others
            seconds += time.perf_counter() - began
        row = {"step": stop, "seconds": round(time.perf_counter() - BEGAN - left_out, 2),
               **{name: values[-1] for name, values in means.items()}}
        for name, value in row.items():
            if not np.isfinite(value):
                raise FloatingPointError(f"training diverged: {name} is {value} between steps {start} and {stop}")
        if stop % run.evaluate_every and stop < run.steps:
            continue
        began = time.perf_counter()
        c_model = classifier()
        if stop == run.steps:
            row["train_accuracy"] = accuracy(c_model, dataset.train_images, dataset.train_labels)
        row["test_accuracy"] = accuracy(c_model, dataset.test_images, dataset.test_labels)
        history.append(row)
        left_out += time.perf_counter() - began
        print(f"step {stop} of {run.steps}: test {row['test_accuracy']:.2%}, "
              f"{seconds / max(stop - 1, 1):.4f} s a step", flush=True)
    return seconds / max(run.steps - 1, 1)


def keep_models(model, c_model, run, folder):
    """Save the classifier, ready for `evaluate` but without an optimizer's state, and the generator if there is one."""
    c_model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    save_model(c_model, Path(folder) / f"c_model_{run.steps:04d}.h5")
    if run.method == "sgan":
        save_model(model.g_model, Path(folder) / f"g_model_{run.steps:04d}.h5")


def available_cores():
    """How many cores this process may use: on a cluster often fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def threads_of_a_run():
    """How many threads TensorFlow uses for an operation."""
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return int(threads) if threads.isdecimal() and int(threads) else available_cores()


def check_writable(folder):
    """Make a folder, if need be, and a file in it that is gone at once. Raises OSError where that cannot be done."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()


def parse_arguments(argv):
    """(Run, folder of results, folder for the models or None) of a command line."""
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    for each in fields(Run):
        how = {"type": str, **each.metadata}
        if "default" not in how["help"]:
            how["help"] += f" (default: {each.default})"
        parser.add_argument(f"--{each.name.replace('_', '-')}", default=each.default, **how)
    parser.add_argument("--results", default="results", metavar="FOLDER", help="(default: %(default)s)")
    parser.add_argument("--keep", metavar="FOLDER", help="save c_model and g_model here, without optimizer state")
    args = vars(parser.parse_args(argv))
    results, keep = args.pop("results"), args.pop("keep")
    return Run(**args), results, keep


def main(argv=None):
    """Make a run if its result is not there, or its models if --keep asks for them."""
    run, results, keep = parse_arguments(argv)
    path = result_path(results, run)
    dataset = load_real_samples(run.data)
    done = path.exists()
    if done:
        result = read_result(path)
        check_same_images(result, path, dataset.fingerprint())
        if result["error"]:
            sys.exit(f"failed before: {result['error']} ({path}; delete it, and the run is made again)")
        if not keep:
            print(f"done already: {path}")
            return
    if dataset.test_images is None:
        raise InputError(f"{run.data}: has no test set, and a run is measured on one")
    device = set_up_device()
    labelled, unlabelled = choose_rows(dataset.train_labels, dataset.n_classes, run)
    result = {"name": run.name, "settings": {**asdict(run), "data": Path(run.data).name}, "recipe": recipe(run),
              "error": None, "final": None, "seconds_per_step": None, "seconds": None, "weights": None,
              "unlabelled_images": len(unlabelled) if run.method == "sgan" else 0,
              "versions": versions(), "device": device,
              "threads": threads_of_a_run(),
              "data_fingerprint": dataset.fingerprint(), "history": [], "label_indices": labelled.tolist()}
    for folder in filter(None, (path.parent, keep)):
        check_writable(folder)  # better known now than after the training
    began = time.perf_counter()
    keras.utils.set_random_seed(run.seed)
    try:
        model, classifier, result["weights"] = build(run, dataset, labelled, unlabelled)
        result["seconds_per_step"] = train(model, classifier, dataset, run, result["history"])
        result["final"] = result["history"][-1]
    except InputError:
        raise
    except Exception as error:  # whatever it is, it belongs into the table
        result["error"] = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    result["seconds"] = round(time.perf_counter() - began, 1)
    if not done:  # made again for its models alone, a run does not replace its result
        write_result(path, result)
    if result["error"]:
        sys.exit(result["error"])
    if keep:
        keep_models(model, classifier(), run, keep)
    print("written:", ", ".join(map(str, filter(None, (None if done else path, keep)))))


if __name__ == "__main__":
    run_command(main)
