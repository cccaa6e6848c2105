"""A run's folder: the record, the history, the models, the state; starting a run and going on with one.

    c_model_NNNN.h5, g_model_NNNN.h5    every epoch (NNNN: steps done)
    history.csv                         a row for each epoch
    state.npz                           everything that --resume needs; written when the files above are there
    generated_plot_NNNN.png             every epoch, after the state, from which it can be drawn again
    training_curves.png
    run.json                            settings, versions, device, data, labels, result

The state carries the run's id, settings and label indices, too: a record that does not agree with it is not resumed.
"""

import contextlib
import csv
import io
import json
import math
import operator
import platform
import re
import sys
import uuid
import zipfile
from dataclasses import asdict, fields, replace

import h5py
import keras
import matplotlib
import numpy as np
import tensorflow as tf

from sgan.runs.command import InputError, printable
from sgan.runs.options import ArgumentParser, add_options, check_values, flag
from sgan.data.dataset import default_labels, split_validation
from sgan.runs.files import expand, first_line, read_json, read_text, write_csv, atomic_write
from sgan.runs.lock import is_held, locked
from sgan.runs.device import memory_errors_in_one_line, set_up_device

DATA = "source", "fingerprint", "warning"  # of a record: where the images are, their hash, what to say about them
ROWS = "label_indices", "validation_indices"  # of a record: row numbers among the training images

ACCURACIES = {"train_accuracy", "validation_accuracy", "test_accuracy"}  # of a history, as far as there are such sets


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


class RunFolder:
    """One run's folder, which belongs to one process at a time.

    Attributes:
        path: the folder, a `pathlib.Path`.
        settings_class: the dataclass of the run's settings.
        record: what run.json holds.
        history: one dictionary of numbers an epoch, the rows of history.csv.
    """

    def __init__(self, path, settings_class):
        self.path, self.settings_class = expand(path), settings_class
        self.record = {}
        self.history = []

    # --- one run, one owner ---

    @contextlib.contextmanager
    def claimed(self):
        """Hold the folder for this process; new folders that are left empty are removed at the end.

        Raises InputError where another process holds it, or where it is no folder.
        """
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise InputError(f"--out {self.path}: is not a folder; choose another --out") from None
        try:
            with locked(self.path / ".lock") as self.lock:
                yield
        except BlockingIOError as error:
            if error.filename != str(self.path / ".lock"):
                raise
            raise InputError(f"--out {self.path}: another process is training in this folder; wait for it, or choose "
                             "another --out") from None
        finally:
            with contextlib.suppress(OSError):  # one is not empty
                for folder in made:
                    folder.rmdir()

    def check_still_there(self):
        """Raise InputError where the folder was removed or replaced since it was claimed."""
        if not is_held(self.lock, self.path / ".lock"):
            raise InputError(f"--out {self.path}: the folder was removed or replaced while the run was going on; "
                             "nothing more is saved there")

    def leftovers(self):
        """Names of the files there that only a run writes, except its record."""
        names = "state.npz", "history.csv", "?_model_*.h5"
        return sorted(path.name for name in names for path in self.path.glob(name))

    def refuse_existing(self):
        """Raise InputError where the folder holds a run already, so that two runs are never mixed."""
        if (self.path / "run.json").exists() or self.leftovers():
            raise InputError(f"--out {self.path}: holds a run already; add --resume to go on with it, "
                             "or choose another --out")

    # --- the record ---

    def begin(self, dataset, device, label_rows, validation_rows):
        """Make the record of a new run, except for its settings."""
        data = {"source": dataset.name, "fingerprint": dataset.fingerprint(), "warning": dataset.warning}
        self.record = {"id": uuid.uuid4().hex, "versions": versions(), "device": device, "data": data,
                       "label_indices": label_rows.tolist(), "validation_indices": validation_rows.tolist()}

    def reopen(self):
        """Read the record of a run that is to be resumed. Raises InputError where there is none."""
        path = self.path / "run.json"
        if not path.exists():
            raise InputError(f"--resume: no run in {self.path} (run.json is missing); "
                             "start one without --resume, or name its folder with --out")
        try:
            self.record = read_json(path)
            data = self.record["data"]
            for text in self.record["id"], self.record["device"], self.record["settings"]["out"], *map(data.get, DATA):
                if type(text) is not str:
                    raise TypeError(f"{text!r} is not a string")
            if type(self.record["versions"]) is not dict:
                raise TypeError("versions")
            for name in ROWS:
                self.record[name] = [operator.index(row) for row in self.record[name]]
            if type(self.record.setdefault("resumed", [])) is not list:
                raise TypeError("resumed")
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"--resume: {path} is not the record of a run of this version: "
                             f"{first_line(repr(error))}") from None

    def resumed_settings(self, given):
        """The settings of the run, with what MAY_CHANGE as it is `given`. InputError for any other difference.

        --data may name another place of the same images, --out another of the run.
        """
        saved, settings_class = self.record["settings"], self.settings_class
        if saved.keys() != {option.name for option in fields(settings_class)}:
            raise InputError(f"--resume: {self.path / 'run.json'} has other settings than this program: "
                             "it was written by another version or another program")
        for name in given.keys() - {"out", "data", *settings_class.MAY_CHANGE}:
            if given[name] != saved[name]:
                raise InputError(f"--resume: {flag(name)} {given[name]} is not what the run was started "
                                 f"with ({saved[name]}); only {allowed_changes(settings_class)} may change")
        return settings_class(**{**saved, **given, "data": saved["data"]})

    def resume(self, dataset, device):
        """Note that the run is resumed. Raises InputError where `dataset` is not what it began with."""
        data = self.record["data"]
        if dataset.fingerprint() != data["fingerprint"]:
            raise InputError(f"--resume: {dataset.name} does not hold the images and labels that the run began with")
        n = len(dataset.train_images)
        for name in ROWS:
            rows = self.record[name]
            if sorted(set(rows)) != rows or rows and not (0 <= rows[0] <= rows[-1] < n
                                                          and min(dataset.train_labels[rows]) >= 0):
                raise InputError(f"--resume: the {name} in {self.path / 'run.json'} are not ascending rows of labelled "
                                 f"images among the {n}")
        labelled, validating = (set(self.record[name]) for name in ROWS)
        if not labelled or labelled & validating:
            raise InputError(f"--resume: in {self.path / 'run.json'} no image is labelled, or one both labelled and "
                             "validating")
        print_warning(data["warning"])
        self.record.pop("final", None)
        self.record["resumed"].append({"versions": versions(), "device": device})

    def save_record(self):
        """Write run.json."""
        self.check_still_there()
        with atomic_write(self.path / "run.json") as temporary:
            temporary.write_text(json.dumps(self.record, indent=1) + "\n", encoding="utf-8")

    def finish(self):
        """Note the last epoch as the run's result, and say where everything is."""
        self.record["final"] = self.history[-1]
        self.save_record()
        print(f"Done: {self.path}")
        print_warning(self.record["data"]["warning"])

    # --- the state ---

    def save_epoch(self, row, training):
        """Add an epoch to the history and save the state: after the epoch's models, and before its pictures."""
        self.history.append(row)
        write_csv(self.path / "history.csv", self.history)
        self.save_state(training)

    def save_state(self, training):
        """Write state.npz: every variable that the next step depends on, the history, and whose state it is."""
        of_the_run = {**self.identity(), "history": self.history}
        arrays = {name: variable.numpy() for name, variable in state_of(training).items()}
        with atomic_write(self.path / "state.npz") as temporary:
            np.savez(temporary, run=json.dumps(of_the_run), **arrays)

    def identity(self):
        """What the record and the state have in common: id, label indices, and the settings that cannot change."""
        settings = {name: value for name, value in self.record["settings"].items()
                    if name not in ("data", "out", *self.settings_class.MAY_CHANGE)}
        return {"id": self.record["id"], "settings": settings, **{name: self.record[name] for name in ROWS}}

    def load_state(self, training):
        """Put `training` back to where the last finished epoch left it, and read the history up to there.

        Where nothing but the record was saved, nothing changes: the run begins anew. Raises InputError where the
        state is missing, cannot be read, or is of another run or of other networks.
        """
        path = self.path / "state.npz"
        if not path.exists():
            if leftovers := self.leftovers():
                raise InputError(f"--resume: {path} is missing, but {leftovers[-1]} is there, which would be "
                                 "overwritten; restore the state, or start a new run in another --out")
            return
        variables = state_of(training)
        try:
            if not path.is_file():
                raise ValueError("not a regular file")
            with zipfile.ZipFile(path) as archive:
                if sum(member.file_size for member in archive.infolist()) > most_bytes(variables.values()):
                    raise ValueError("it holds more than the state of these networks")
            with np.load(path) as state:
                names = sorted(set(state.files) - {"run"})
                values = [np.asarray(state[name]) for name in names]
                saved = json.loads(str(state["run"]))
            history = saved.pop("history")
            check_history(history, {mean.name for mean in training.metrics})
        except Exception as error:  # a damaged zip file raises many kinds
            raise InputError(f"--resume: cannot read {path}: {first_line(error)}") from None
        for name, value in self.identity().items():
            if saved.get(name) != value:
                raise InputError(f"--resume: {path} and run.json do not belong together: their {name} differ")
        if not agrees(self.path / "history.csv", history):
            raise InputError(f"--resume: {self.path / 'history.csv'} is not the history of this run's state; "
                             "move it away to go on")
        if describe(zip(names, values)) != describe(variables.items()):
            raise InputError(f"--resume: {path} belongs to other networks than this program's")
        for variable, value in zip(variables.values(), values):
            variable.assign(value)
        self.history = history


def print_warning(text):
    """Print each line of a record's warning on standard error."""
    for line in text.splitlines():
        print(printable(line), file=sys.stderr)


def state_of(training):
    """{numbered name: variable} of everything that the next step depends on, in a fixed order."""
    return {f"{i:03d} {variable.path}": variable for i, variable in enumerate(training.state_variables())}


def most_bytes(variables):
    """More than a state with these variables takes."""
    return sum(np.dtype(variable.dtype).itemsize * math.prod(variable.shape) + 1000 for variable in variables) + 2**26


def describe(state):
    """Name, shape and type of each variable, without the numbers that Keras adds where a process has several of a
    name."""
    return [(re.sub(r"_\d+(?=/|$)", "", name), tuple(value.shape), str(value.dtype)) for name, value in state]


def check_history(history, metrics):
    """Raise ValueError for what is not a list of whole rows with these metrics, one for each epoch from 1 on."""
    if type(history) is not list:
        raise ValueError("its history is not a list")
    needed = {"epoch", "step", "seconds", *metrics}
    for number, row in enumerate(history, start=1):
        if (row.keys() != history[0].keys() or not needed <= row.keys() <= needed | ACCURACIES
                or not all(type(value) in (int, float) and math.isfinite(value) for value in row.values())
                or row["epoch"] != number or row["step"] != number * history[0]["step"]
                or type(row["step"]) is not int):
            raise ValueError(f"row {number} of its history is damaged")


def agrees(path, history):
    """Whether a history.csv begins with these rows; it may be an epoch ahead, and need not be there.

    Raises InputError where it is no text file.
    """
    if not path.exists():
        return True
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
    except csv.Error:
        return False
    return (rows[:len(history)] == [{name: str(value) for name, value in row.items()} for row in history]
            and len(rows) <= len(history) + 1)


def allowed_changes(settings_class):
    """The options that may differ when a run is resumed, in words."""
    return " and ".join(flag(name) for name in ("data", *settings_class.MAY_CHANGE))


@contextlib.contextmanager
def start_run(settings_class, label_split, argv=None):
    """Start the run that a command line asks for, or resume one, up to its first step.

    Its folder belongs to this process until the end of the block.

    Args:
        settings_class: the dataclass of settings, each an option of the command line.
        label_split: chooses the images that keep their labels, from (labels, number, number of classes, seed).
        argv: the command line; None for the process' own.

    Yields:
        settings: of `settings_class`.
        dataset: a `Dataset`.
        labelled: (images, labels) that the run may use: uint8 (n, H, W, C), integers (n,).
        run: its `RunFolder`.

    Raises:
        InputError: settings, data or folder cannot be used.
    """
    parser = ArgumentParser(prog=settings_class.COMMAND, description=settings_class.__doc__)
    add_options(parser, settings_class)
    parser.add_argument("--resume", action="store_true",
                        help="go on with the run in --out from its last finished epoch; "
                             f"only {allowed_changes(settings_class)} may change")
    given = vars(parser.parse_args(argv))
    resume = given.pop("resume")
    run = RunFolder(given.get("out", settings_class.out), settings_class)
    if resume:
        run.reopen()  # before the folder is claimed, which would make it
    with run.claimed(), memory_errors_in_one_line():
        if resume:
            run.reopen()
            settings = run.resumed_settings(given)
        else:
            run.refuse_existing()
            settings = settings_class(**given)
        check_values(settings)
        settings.check()
        device = set_up_device()
        print(f"Device: {device}")

        if resume:
            dataset = settings.load(given.get("data", run.record["data"]["source"]))
            run.resume(dataset, device)
        else:
            dataset = settings.load()
            settings = replace(settings, labels=settings.labels or default_labels(dataset))
            number = None if settings.labels == "all" else settings.labels
            rows = label_split(dataset.train_labels, number, dataset.n_classes, settings.label_seed)
            run.begin(dataset, device, *split_validation(rows, dataset.train_labels, settings.validation_split,
                                                         settings.label_seed))
        run.record["settings"] = asdict(settings)
        rows, validation_rows = (np.array(run.record[name], int) for name in ROWS)
        labelled = dataset.train_images[rows], dataset.train_labels[rows]
        dataset = dataset.set_apart(rows, validation_rows)
        for note in dataset.notes:
            print(f"Data: {note}")
        print(f"Data: {dataset.name}, {len(dataset.train_images):,} training images, {len(rows):,} of them with their "
              f"labels; {count(dataset.validation_images)} validation and {count(dataset.test_images)} test images\n"
              f"Results: {run.path}")
        keras.utils.set_random_seed(settings.seed)
        try:
            yield settings, dataset, labelled, run
        except FloatingPointError as error:
            kept = "the files of the last finished epoch are kept; " if run.history else ""
            raise FloatingPointError(f"{error}; {kept}try a smaller --learning-rate, with another --out") from None


def count(images):
    """How many images there are, in words."""
    return "no" if images is None else f"{len(images):,}"
