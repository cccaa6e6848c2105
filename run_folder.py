"""What keeps a run's folder: files written whole or not at all, the record, the history, the plots, the state.

    c_model_NNNN.h5, g_model_NNNN.h5, generated_plot_NNNN.png    every epoch (NNNN: steps done)
    history.csv, training_curves.png                             every epoch, one row each
    run.json                                                     settings, versions, device, data, labels, results
    state.npz                                                    everything --resume needs; written last
"""

import argparse
import contextlib
import csv
import errno
import json
import logging
import math
import operator
import os
import platform
import shutil
import signal
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import get_args

import h5py
import keras
import matplotlib
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from mnist_data import InputError


class ArgumentParser(argparse.ArgumentParser):
    """argparse without the usage block before an error, and without guessing at abbreviated flags."""

    def __init__(self, **kwargs):
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message):
        raise InputError(f"{message} (--help lists the options)")


def at_least(kind, least):
    """A type for argparse: numbers of this kind from `least` on."""
    def parse(text):
        if not least <= kind(text) < 2**31:
            raise argparse.ArgumentTypeError(f"{text}: must be at least {least} and below 2**31")
        return kind(text)

    parse.__name__ = kind.__name__  # which argparse prints where `text` is no number
    return parse


def parser_from(settings_class, description):
    """The command line that a dataclass of settings describes; options not given are absent from the result."""
    parser = ArgumentParser(description=description, argument_default=argparse.SUPPRESS)
    for option in fields(settings_class):
        kind = (get_args(option.type) or (option.type,))[0]  # int | None: an int, if given
        least = option.metadata["least"]
        how = {"action": "store_true"} if kind is bool else {"type": kind if least is None else at_least(kind, least)}
        default = "" if option.default is None or kind is bool else f" (default: {option.default})"
        parser.add_argument(f"--{option.name.replace('_', '-')}", help=option.metadata["help"] + default, **how)
    parser.add_argument("--resume", action="store_true",
                        help="go on with the run in --out from its last finished epoch; "
                             f"only {allowed_changes(settings_class)} may change")
    return parser


def allowed_changes(settings_class):
    return " and ".join(f"--{name}" for name in ("data", *settings_class.may_change))


def run_command(main):
    """Call a script's `main` and turn what a user can mend into one line on standard error.

    Exit status: 2 for bad input and for files that cannot be read or written, 1 for a training that diverged,
    130 for Ctrl-C, 141 for an output that nobody reads any more.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the scripts switch it off while they import TensorFlow
    sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be printable
    try:
        main()
        sys.stdout.flush()
        return
    except InputError as error:
        message, status = error, 2
    except BrokenPipeError:  # `... | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        message = f"{error.strerror}: {error.filename}" if error.filename and error.strerror else error
        status = 2
    except FloatingPointError as error:
        message, status = error, 1
    except KeyboardInterrupt as error:
        message, status = str(error) or "interrupted", 130
    script = Path(sys.argv[0]).name
    print(f"{script}: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(status)


@contextlib.contextmanager
def written_whole(path):
    """Yield a temporary path with `path`'s suffix; rename it to `path` on success, delete it on failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and not error.filename:
            raise OSError(error.errno, error.strerror or str(error), str(path)) from None
        raise


@contextlib.contextmanager
def quiet_h5():
    """Silence Keras' reminders, at every save and load, that HDF5 is an old format."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def save_model(model, path):
    """Save a Keras model as .h5, compiled if it is compiled."""
    variables = [*model.variables, *(model.optimizer.variables if model.compiled else ())]
    size = 2**20 + 4 * sum(math.prod(variable.shape) for variable in variables)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(path.parent).free < size:  # HDF5 does not survive finding that out itself
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    with written_whole(path) as temporary, quiet_h5():
        model.save(temporary)


def save_image_grid(images, path):
    """Draw 100 images, (100, H, W, C) in [-1, 1], as ten rows of ten; grey ones dark on white (gray_r)."""
    rows = np.concatenate(np.split(np.asarray(images), 10), axis=1)  # ten images high: (10, 10 * H, W, C)
    picture = (np.concatenate(list(rows), axis=1) + 1) / 2
    if picture.shape[-1] not in (3, 4):
        picture = picture[..., 0]
    figure = Figure(figsize=(7, 7 * picture.shape[0] / picture.shape[1]))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
    axes.axis("off")
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=120)


def save_training_curves(history, path):
    """Plot the losses and the accuracies of `history`, one dictionary an epoch, against the steps done."""
    steps = [row["step"] for row in history]
    figure = Figure(figsize=(11, 4), layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    for name in ("c_loss", "d_loss_real", "d_loss_fake", "g_loss"):
        losses.plot(steps, [row[name] for row in history], marker=".", label=name)
    losses.set(title="losses, mean of each epoch", xlabel="steps", yscale="log")
    for name in ("c_accuracy", "train_accuracy", "test_accuracy"):
        if name in history[-1]:
            accuracies.plot(steps, [100 * row[name] for row in history], marker=".", label=name)
    accuracies.set(title="accuracies", xlabel="steps", ylabel="per cent")
    for axes in (losses, accuracies):
        axes.grid(alpha=0.3)
        axes.legend()
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=110)


def versions():
    """The versions that a run depends on, for its record."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "h5py": h5py.__version__,
        "matplotlib": matplotlib.__version__,
    }


def set_up_device():
    """Name the device to train on, and let a GPU's memory be taken as it is needed, not all at once."""
    # TensorFlow's remapper fails on LeakyReLU's gradients with oneDNN, and says so on the screen: do without it.
    tf.config.optimizer.set_experimental_options({"remapping": False})
    gpus = tf.config.list_physical_devices("GPU")
    with contextlib.suppress(RuntimeError):  # the GPU is in use already: too late to choose
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        return "GPU: " + tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name)
    return f"CPU with {os.cpu_count()} cores"


class WatchLosses(keras.callbacks.Callback):
    """Stop at the first loss that is not a finite number; print the tutorial's line every `print_every` steps."""

    def __init__(self, steps_per_epoch, print_every=None):
        super().__init__()
        self.steps_per_epoch, self.print_every = steps_per_epoch, print_every

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.start = epoch, time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        step = self.epoch * self.steps_per_epoch + batch + 1
        logs = {name: float(value) for name, value in logs.items()}
        self.check(logs, step)
        if self.print_every and step % self.print_every == 0:
            print(f">{step}, c[{logs['c_loss']:.3f},{100 * logs['c_accuracy']:.0f}], "
                  f"d[{logs['d_loss_real']:.3f},{logs['d_loss_fake']:.3f}], g[{logs['g_loss']:.3f}]")

    def on_epoch_end(self, epoch, logs=None):
        self.check(logs, (epoch + 1) * self.steps_per_epoch)  # the means: of steps, too, that were part of one call
        logs["seconds"] = round(time.perf_counter() - self.start, 2)

    def check(self, losses, step):
        for name, value in losses.items():
            if not np.isfinite(value):
                raise FloatingPointError(
                    f"training diverged: {name} is {value} at step {step} (epoch {self.epoch + 1}); "
                    "the files of the last finished epoch are kept; try a smaller --learning-rate")


class RunFolder:
    """One run's folder.

    Attributes:
        path: the folder, a `Path`.
        record: what run.json holds.
        history: one dictionary of numbers an epoch, the rows of history.csv.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.record = {}
        self.history = []

    def refuse_existing(self):
        """Raise InputError where the folder holds a run already, so that two runs are never mixed."""
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"--out {self.path}: is not a folder; choose another --out")
        if any(any(self.path.glob(name)) for name in ("run.json", "state.npz", "history.csv", "?_model_*.h5")):
            raise InputError(f"--out {self.path}: holds a run already; add --resume to go on with it, "
                             "or choose another --out")

    def reopen(self):
        """Read the record of a run that is to be resumed. Raises InputError where there is none."""
        path = self.path / "run.json"
        try:
            self.record = json.loads(path.read_text(encoding="utf-8"))
            for part, name in ("settings", "out"), ("data", "source"), ("data", "fingerprint"), ("data", "warning"):
                self.record[part][name]
            self.record["label_indices"] = [operator.index(row) for row in self.record["label_indices"]]
        except FileNotFoundError:
            raise InputError(f"--resume: no run in {self.path} (run.json is missing); "
                             "start one without --resume, or name its folder with --out") from None
        except (ValueError, KeyError, TypeError, NotADirectoryError) as error:
            raise InputError(f"--resume: {path} is not the record of a run: {error!r}") from None

    def resumed_settings(self, settings_class, given):
        """The settings of the run, with what `may_change` as it is `given`. InputError for any other difference.

        --data may name another place of the same images, --out another of the run.
        """
        saved = self.record["settings"]
        if saved.keys() != {option.name for option in fields(settings_class)}:
            raise InputError(f"--resume: {self.path / 'run.json'} has other settings than this program: "
                             "it was written by another version")
        for name in given.keys() - {"out", "data", *settings_class.may_change}:
            if given[name] != saved[name]:
                raise InputError(f"--resume: --{name.replace('_', '-')} {given[name]} is not what the run was started "
                                 f"with ({saved[name]}); only {allowed_changes(settings_class)} may change")
        return settings_class(**{**saved, **given, "data": saved["data"]})

    def begin(self, dataset, label_rows, device):
        """Make the record of a new run, but for its settings."""
        data = {"source": dataset.name, "fingerprint": dataset.fingerprint(), "warning": dataset.warning}
        self.record = {"versions": versions(), "device": device, "data": data, "label_indices": label_rows.tolist()}

    def go_on(self, dataset, device):
        """Note that the run is resumed. Raises InputError where `dataset` is not what it began with."""
        data, rows = self.record["data"], self.record["label_indices"]
        if dataset.fingerprint() != data["fingerprint"] or max(rows) >= len(dataset.train_images):
            raise InputError(f"--resume: {dataset.name} does not hold the images and labels that the run began with")
        if data["warning"]:
            print(data["warning"], file=sys.stderr)
        self.record.pop("final", None)
        self.record.setdefault("resumed", []).append({"versions": versions(), "device": device})

    def save_record(self):
        with written_whole(self.path / "run.json") as temporary:
            temporary.write_text(json.dumps(self.record, indent=1) + "\n", encoding="utf-8")

    def save_epoch(self, row, sgan):
        """Add an epoch to the history and save the state, last, so that it never speaks of files that are missing."""
        self.history.append(row)
        with written_whole(self.path / "history.csv") as temporary:
            with open(temporary, "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, fieldnames=row)
                writer.writeheader()
                writer.writerows(self.history)
        save_training_curves(self.history, self.path / "training_curves.png")
        state = {f"{i:03d} {variable.path}": variable.numpy() for i, variable in enumerate(sgan.state_variables())}
        with written_whole(self.path / "state.npz") as temporary:
            np.savez(temporary, history=json.dumps(self.history), **state)

    def load_state(self, sgan):
        """Put `sgan` back to where the last finished epoch left it, and read the history up to there.

        Without a state file (stopped in the first epoch) nothing changes: the run begins anew.
        Raises InputError where the file cannot be read or belongs to other networks.
        """
        path = self.path / "state.npz"
        if not path.exists():
            return
        try:
            with np.load(path) as state:
                values = [state[name] for name in sorted(set(state.files) - {"history"})]
                history = json.loads(str(state["history"]))
        except Exception as error:  # a damaged zip file raises many kinds
            raise InputError(f"--resume: cannot read {path}: {error}") from None
        variables = sgan.state_variables()
        if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
            raise InputError(f"--resume: {path} belongs to other networks than this program's")
        for variable, value in zip(variables, values):
            variable.assign(value)
        self.history = history
