"""A run's folder: its settings, its files, and going on with it.

    c_model_NNNN.h5, g_model_NNNN.h5, generated_plot_NNNN.png    every epoch (NNNN: steps done)
    training_curves.png, history.csv                             a row for each epoch
    run.json     settings, versions, device, data, labels, result
    state.npz    what --resume reads: all of run.json and history.csv, and every variable; an epoch's last file
    .lock        the run's id; held by the process that trains
"""

import contextlib
import json
import os
import platform
import re
import shlex
import sys
import uuid
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec

import h5py
import keras
import matplotlib
import numpy as np
import tensorflow as tf

from sgan.data.dataset import DataSettings, split_validation
from sgan.runs.command import InputError, printable
from sgan.runs.device import set_up_device
from sgan.runs.files import atomic_write, expand, first_line, make_folder, regular_file, write_csv
from sgan.runs.options import ArgumentParser, add_options, flag, option
from sgan.runs.plots import save_training_curves

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt
    fcntl = None


@dataclass
class RunSettings(DataSettings):
    """What every training has: each field is an option of the command line. A subclass has also `epochs`, `out`, its
    COMMAND and the names of the settings that MAY_CHANGE when a run is resumed."""

    latent_dim: int = option(100, "size of the generator's input", min=1)
    seed: int = option(0, "seed for weights, batches and noise", min=0)
    print_every: int | None = option(None, "print the losses of every N-th step instead of a progress bar", min=1)
    tensorboard: bool = option(False, "write logs for TensorBoard too (pip install tensorboard)")

    def check(self):
        """Raise InputError for settings that cannot be used."""
        if self.tensorboard and not find_spec("tensorboard"):
            raise InputError("--tensorboard: needs the package: pip install tensorboard")


def versions():
    """The versions that a run depends on, for its record."""
    return {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__,
            "numpy": np.__version__, "h5py": h5py.__version__, "matplotlib": matplotlib.__version__}


def parse_options(settings_class, argv=None):
    """{name: value} of the options that a command line gives, for `open_run`; None is the process' own command line."""
    parser = ArgumentParser(prog=settings_class.COMMAND, description=settings_class.__doc__)
    add_options(parser, settings_class)
    parser.add_argument("--resume", action="store_true",
                        help="go on with the run in --out from its last finished epoch; "
                             f"only {allowed_changes(settings_class)} may change")
    return vars(parser.parse_args(argv))


def allowed_changes(settings_class):
    """The options that may differ when a run is resumed, in words."""
    return " and ".join(flag(name) for name in ("data", *settings_class.MAY_CHANGE))


@contextlib.contextmanager
def open_run(settings_class, options):
    """Begin or resume the run that `options` ask for; its folder belongs to this process until the end of the block.

    Args:
        settings_class: a subclass of `RunSettings`.
        options: from `parse_options`.

    Yields its `RunFolder`. Raises InputError if settings or folder cannot be used.
    """
    run = RunFolder(options.get("out", settings_class.out))
    given = {name: value for name, value in options.items() if name != "resume"}
    with run.claimed():
        if options["resume"]:
            run.read_state(settings_class, given)
        else:
            run.begin(settings_class(**given))
        run.settings.check()
        try:
            yield run
        except KeyboardInterrupt:
            go_on = f"; go on with: {settings_class.COMMAND} --out {shlex.quote(run.settings.out)} --resume"
            raise KeyboardInterrupt(f"interrupted{go_on if run.state_path.exists() else ''}") from None
        except FloatingPointError as error:
            kept = "; the files of the last finished epoch are kept" if run.history else ""
            raise FloatingPointError(f"{error}{kept}; try a smaller --learning-rate, with another --out") from None


class RunFolder:
    """One run's folder.

    Attributes:
        path: the folder, a `pathlib.Path`.
        settings: of the run.
        record: what run.json holds, except for the result.
        history: one dictionary of numbers an epoch, the rows of history.csv.
    """

    def __init__(self, path):
        self.path = expand(path)
        self.state_path = self.path / "state.npz"
        self.saved = None  # {name: array}, the variables of a run that is resumed
        self.history = []

    @contextlib.contextmanager
    def claimed(self):
        """Hold the folder for this process; new folders in which nothing was saved are removed at the end.

        Raises InputError if another process holds it, or if it is no folder.
        """
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        make_folder(self.path)
        with open(self.path / ".lock", "a+") as self.lock:
            try:
                lock(self.lock)
            except (BlockingIOError, PermissionError):
                raise InputError(f"--out {self.path}: another process is training in this folder; wait for it, or "
                                 "choose another --out") from None
            try:
                yield
            finally:
                with contextlib.suppress(OSError):  # a folder is not empty, or gone
                    if made and os.listdir(self.path) == [".lock"]:
                        (self.path / ".lock").unlink()
                    for folder in made:
                        folder.rmdir()

    def check_still_there(self):
        """Raise InputError if the folder was removed or replaced since it was claimed."""
        try:
            there = os.path.samestat(os.fstat(self.lock.fileno()), os.stat(self.path / ".lock"))
        except FileNotFoundError:
            there = False
        if not there:
            raise InputError(f"--out {self.path}: the folder was removed or replaced while the run was going on; "
                             "nothing more is saved there")

    def begin(self, settings):
        """Begin a run with these settings. Raises InputError if there is one already."""
        names = "run.json", "state.npz", "history.csv", "?_model_*.h5"
        if any(path for name in names for path in self.path.glob(name)):
            raise InputError(f"--out {self.path}: holds a run already; add --resume to go on with it, or choose "
                             "another --out")
        self.settings = settings
        self.record = {"id": uuid.uuid4().hex, "settings": asdict(settings), **this_computer(), "resumed": []}

    def read_state(self, settings_class, given):
        """Read the state of the run, and go on with its settings, but for those that are `given` and may change.

        Raises InputError if there is no run, if it is damaged or another program's, or if others are given.
        """
        if not self.state_path.exists():
            raise InputError(f"--resume: no run in {self.path} (state.npz is missing); start one without --resume, or "
                             "name its folder with --out")
        try:
            with np.load(regular_file(self.state_path)) as state:
                self.saved = {name: state[name] for name in state.files}
            record = dict(json.loads(str(self.saved.pop("run"))))
        except Exception as error:  # a damaged zip file raises many kinds
            raise InputError(f"--resume: cannot read {self.state_path}: {first_line(error)}") from None
        settings = record.get("settings", {})
        if settings.keys() != {each.name for each in fields(settings_class)}:
            raise InputError(f"--resume: the run in {self.path} was begun by another version or another program, and "
                             "cannot be resumed by this one")
        for name in given.keys() - {"out", "data", *settings_class.MAY_CHANGE}:
            if given[name] != settings[name]:
                raise InputError(f"--resume: {flag(name)} {given[name]} is not what the run was started with "
                                 f"({settings[name]}); only {allowed_changes(settings_class)} may change")
        if self.lock.read() not in ("", record["id"]):
            raise InputError(f"--resume: {self.state_path} is of another run than the other files there")
        self.history = record.pop("history")
        self.settings = settings_class(**{**settings, "out": str(self.path), "data": record["data"]["source"], **given})
        if self.settings.epochs < len(self.history):
            raise InputError(f"--epochs {self.settings.epochs}: the run has finished {len(self.history)} already")
        record["resumed"].append(this_computer())
        self.record = {**record, "settings": asdict(self.settings)}

    def keep_labels(self, dataset, rows):
        """Note which of a Dataset's images keep their labels, and set a share of these apart for validation.

        Args:
            rows: (n,) ascending row numbers of training images.

        Returns:
            The Dataset without the validation images, and (images, labels) to train on: uint8 (m, H, W, C) and
            integers (m,).

        Raises:
            InputError: the run was begun on other images or with other rows.
        """
        rows, validation_rows = split_validation(rows, dataset.train_labels, self.settings.validation_split,
                                                 self.settings.label_seed)
        chosen = {"label_indices": rows.tolist(), "validation_indices": validation_rows.tolist()}
        data = {"fingerprint": dataset.fingerprint(), "warning": dataset.warning}
        if self.saved is not None:
            if data["fingerprint"] != self.record["data"]["fingerprint"]:
                raise InputError(f"--resume: {dataset.name} does not hold the images and labels that the run began "
                                 "with")
            if any(self.record[name] != rows for name, rows in chosen.items()):
                raise InputError("--resume: other images would keep their labels than in the run so far; go on with "
                                 f"its version of NumPy, {self.record['versions']['numpy']}")
            data = self.record["data"]
            print_warning(data["warning"])
        self.record.update(chosen, data={**data, "source": dataset.name})
        labelled = dataset.train_images[rows], dataset.train_labels[rows]
        dataset = dataset.set_apart(rows, validation_rows)
        for note in dataset.notes:
            print(f"Data: {note}")
        print(f"Data: {dataset.name}, {len(dataset.train_images):,} training images, {len(rows):,} of them with their "
              f"labels; {count(dataset.validation_images)} validation and {count(dataset.test_images)} test images\n"
              f"Results: {self.path}")
        return dataset, labelled

    def restore(self, training):
        """Put a `Training` where the run's last finished epoch left it. A new run's state is written here.

        Raises InputError if the state is that of other networks.
        """
        variables = state_of(training)
        if self.saved is not None:
            if describe(self.saved) != describe(variables):
                raise InputError(f"--resume: {self.state_path} belongs to other networks than this program's")
            for variable, name in zip(variables.values(), sorted(self.saved)):
                variable.assign(self.saved[name])
        self.check_still_there()
        self.lock.truncate(0)
        self.lock.write(self.record["id"])
        self.lock.flush()
        self.save(training)

    def save(self, training):
        """Write the run's files, the state last: what a kill leaves out is made again by a resumed run."""
        self.check_still_there()
        if self.history:
            write_csv(self.path / "history.csv", self.history)
            save_training_curves(self.history, self.path / "training_curves.png")
        arrays = {name: variable.numpy() for name, variable in state_of(training).items()}
        with atomic_write(self.state_path) as temporary:
            np.savez(temporary, run=json.dumps({**self.record, "history": self.history}), **arrays)
        self.save_record()

    def save_record(self, **result):
        """Write run.json."""
        with atomic_write(self.path / "run.json") as temporary:
            temporary.write_text(json.dumps({**self.record, **result}, indent=1) + "\n", encoding="utf-8")

    def finish(self):
        """Note the last epoch as the run's result, and say where everything is."""
        self.save_record(final=self.history[-1])
        print(f"Done: {self.path}")
        print_warning(self.record["data"]["warning"])


class SaveEpoch(keras.callbacks.Callback):
    """After each epoch, save what `summarize(step)` saves and returns, {name: number}, and the training's state."""

    def __init__(self, run, summarize):
        super().__init__()
        self.run, self.summarize = run, summarize

    def on_epoch_end(self, epoch, logs=None):
        self.run.check_still_there()
        step = (epoch + 1) * self.params["steps"]
        losses = {mean.name: logs[mean.name] for mean in self.model.metrics}  # in their order; Keras sorts them
        self.run.history.append({"epoch": epoch + 1, "step": step, **losses, "seconds": logs["seconds"],
                                 **self.summarize(step)})
        self.run.save(self.model)


def lock(file):
    """Lock an open file without waiting, until it is closed or the process ends.

    Raises BlockingIOError, on Windows PermissionError, if another process holds it.
    """
    file.seek(0)
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)


def this_computer():
    """Versions and device, for a record; the device is set up and printed."""
    device = set_up_device()
    print(f"Device: {device}")
    return {"versions": versions(), "device": device}


def state_of(training):
    """{numbered name: variable} of everything that the next step depends on, in a fixed order."""
    return {f"{i:03d} {variable.path}": variable for i, variable in enumerate(training.state_variables())}


def describe(state):
    """Name, shape and type of each variable, without the numbers that Keras adds if a process has several of a name."""
    return [(re.sub(r"_\d+(?=/|$)", "", name), tuple(state[name].shape), str(state[name].dtype))
            for name in sorted(state)]


def print_warning(text):
    """Print each line of a record's warning on standard error."""
    for line in text.splitlines():
        print(printable(line), file=sys.stderr)


def count(images):
    """How many images there are, in words."""
    return "no" if images is None else f"{len(images):,}"
