"""A run's folder: its settings, its files, and going on with it.

    c_model_NNNN.h5, g_model_NNNN.h5, generated_plot_NNNN.png    every epoch (NNNN: steps done)
    training_curves.png, history.csv                             a row for each epoch
    run.json     settings, versions, device, data, labels, result
    state.npz    what --resume reads: all of run.json and history.csv, and every variable
    .lock        the run's id; held by the process that trains
"""

import contextlib
import json
import os
import platform
import shlex
import sys
import uuid
from dataclasses import asdict, dataclass, fields

import keras
import numpy as np

from sgan.data.dataset import DataSettings, split_validation
from sgan.runs.command import InputError
from sgan.runs.device import set_up_device
from sgan.runs.files import atomic_write, expand, first_line, regular_file, write_csv
from sgan.runs.options import ArgumentParser, add_options, flag, option
from sgan.runs.plots import save_training_curves

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@dataclass
class RunSettings(DataSettings):
    """What every training has: each field is an option of the command line. A subclass has also `epochs`, `out`, its
    COMMAND and the names of the settings that MAY_CHANGE when a run is resumed."""

    latent_dim: int = option(100, "size of the generator's input", min=1)
    seed: int = option(0, "seed for weights, batches and noise", min=0)


def parse_options(settings_class, argv=None):
    """{name: value} of the options that a command line gives, for `open_run`; None is the process' own command line."""
    parser = ArgumentParser(prog=settings_class.COMMAND, description=settings_class.__doc__)
    add_options(parser, settings_class)
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out from its last finished "
                        f"epoch; only {allowed_changes(settings_class)} may change")
    return vars(parser.parse_args(argv))


def allowed_changes(settings_class):
    """The options that may differ when a run is resumed, in words."""
    return " and ".join(flag(name) for name in ("data", *settings_class.MAY_CHANGE))


@contextlib.contextmanager
def open_run(settings_class, options):
    """Begin or resume the run that `options` ask for. Its folder belongs to this process until the end of the block
    (except on Windows); if nothing was saved there, it is as before.

    Args:
        settings_class: a subclass of `RunSettings`.
        options: from `parse_options`.

    Yields its `RunFolder`. Raises InputError if settings or folder cannot be used.
    """
    given = {name: value for name, value in options.items() if name != "resume"}
    path = expand(given.get("out", settings_class.out))
    is_new = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    with open(path / ".lock", "a+", errors="replace") as lock:
        try:
            if fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"--out {path}: another process is training in this folder; wait for it, or choose "
                             "another --out") from None
        run = RunFolder(path, lock)
        try:
            if options["resume"]:
                run.read_state(settings_class, given)
            else:
                run.begin(settings_class(**given))
            yield run
        except KeyboardInterrupt:
            go_on = f"; go on with: {settings_class.COMMAND} --out {shlex.quote(str(path))} --resume"
            raise KeyboardInterrupt(f"interrupted{go_on if run.state_path.exists() else ''}") from None
        finally:
            if [*path.glob("*")] == [path / ".lock"]:
                with contextlib.suppress(OSError):
                    os.remove(path / ".lock")
                    if is_new:
                        path.rmdir()


class RunFolder:
    """One run's folder.

    Attributes:
        path: the folder, a `pathlib.Path`.
        settings: of the run.
        record: what run.json holds, except for the result.
        history: one dictionary of numbers an epoch, the rows of history.csv.
    """

    def __init__(self, path, lock):
        self.path, self.lock, self.state_path = path, lock, path / "state.npz"
        self.saved = None  # of a run that is resumed: the values of `Training.state_variables`
        self.history = []

    def check_still_there(self):
        """Raise InputError if the folder was removed or replaced since it was claimed."""
        path = self.path / ".lock"
        if not path.exists() or not os.path.samestat(path.stat(), os.fstat(self.lock.fileno())):
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
            raise InputError(f"--resume: no run in {self.path} (state.npz is missing); name the folder of one with "
                             "--out, or start one in another folder")
        try:
            with np.load(regular_file(self.state_path)) as state:
                record = json.loads(str(state["run"]))
                self.history, run_id, source = record.pop("history"), record["id"], record["data"]["source"]
                self.saved = [state[name] for name in state.files if name != "run"]
        except Exception as error:  # a damaged zip file raises many kinds
            raise InputError(f"--resume: cannot read {self.state_path}: {first_line(error)}") from None
        settings = record.get("settings", {})
        if settings.keys() != {each.name for each in fields(settings_class)}:
            raise InputError(f"--resume: the run in {self.path} was begun by another version or another program, and "
                             "cannot be resumed by this one")
        self.lock.seek(0)
        if self.lock.read() not in ("", run_id):
            raise InputError(f"--resume: {self.state_path} is of another run than the other files there")
        for name in given.keys() - {"out", "data", *settings_class.MAY_CHANGE}:
            if given[name] != settings[name]:
                before = "the default" if settings[name] is None else settings[name]
                raise InputError(f"--resume: {flag(name)} {given[name]} is not what the run was started with "
                                 f"({before}); only {allowed_changes(settings_class)} may change")
        self.settings = settings_class(**{**settings, "out": str(self.path), "data": source, **given})
        if self.settings.epochs < len(self.history):
            raise InputError(f"--epochs {self.settings.epochs}: the run has finished {len(self.history)} already")
        self.record = {**record, "settings": asdict(self.settings), "resumed": [*record["resumed"], this_computer()]}

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
        rows, validation_rows = split_validation(rows, dataset, self.settings.validation_split,
                                                 self.settings.label_seed)
        chosen = {"label_indices": rows.tolist(), "validation_indices": validation_rows.tolist()}
        data = {"source": dataset.name, "fingerprint": dataset.fingerprint(), "classes": list(dataset.class_names),
                "warning": dataset.warning}
        if self.saved is not None:
            before = {"classes": data["classes"], **self.record["data"]}  # an earlier version did not note these
            data["warning"] = before["warning"]
            if before != {**data, "source": before["source"]} or not chosen.items() <= self.record.items():
                raise InputError(f"--resume: {dataset.name} does not hold the images and classes that the run began "
                                 "with, or other images would keep their labels (with another version of NumPy)")
        self.record.update(chosen, data=data)
        labelled = dataset.train_images[rows], dataset.train_labels[rows]
        dataset = dataset.set_apart(validation_rows)
        sizes = ", ".join(f"{len(labels):,} {name.replace('train', 'training')}" for name, _, labels in dataset.sets())
        for line in *dataset.notes, f"{dataset.name}, {sizes} images; {len(rows):,} training images keep their labels":
            print(f"Data: {line}")
        print(f"Results: {self.path}")
        return dataset, labelled

    def restore(self, training):
        """Put a `Training` where the run's last finished epoch left it, or save the first state of a new run.

        Raises InputError if the state is that of other networks.
        """
        if self.saved is not None:
            variables = training.state_variables()
            if [(each.shape, each.dtype) for each in self.saved] != [(each.shape, each.dtype) for each in variables]:
                raise InputError(f"--resume: {self.state_path} belongs to other networks than this program's")
            for variable, value in zip(variables, self.saved):
                variable.assign(value)
            self.saved = None  # which may be large
        self.lock.truncate(0)
        self.save(training)
        self.lock.write(self.record["id"])
        self.lock.flush()

    def save(self, training):
        """Write the run's files, the state after the history and before run.json, which is written from it."""
        if self.history:
            write_csv(self.path / "history.csv", self.history)
            save_training_curves(self.history, self.path / "training_curves.png")
        arrays = [variable.numpy() for variable in training.state_variables()]
        with atomic_write(self.state_path) as temporary:
            np.savez(temporary, *arrays, run=json.dumps({**self.record, "history": self.history}))
        self.save_record()

    def save_record(self, **result):
        """Write run.json."""
        with atomic_write(self.path / "run.json") as temporary:
            temporary.write_text(json.dumps({**self.record, **result}, indent=1) + "\n", encoding="utf-8")

    def finish(self):
        """Note the last epoch as the run's result, and say where everything is."""
        self.save_record(final=self.history[-1])
        print(f"Done: {self.path}")
        if self.record["data"]["warning"]:
            print(self.record["data"]["warning"], file=sys.stderr)


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


def versions():
    """The versions that a run depends on, for its record."""
    packages = "tensorflow", "keras", "numpy", "h5py", "matplotlib"
    return {"python": platform.python_version(), **{name: sys.modules[name].__version__ for name in packages}}


def this_computer():
    """Versions and device, for a record; the device is set up and printed."""
    device = set_up_device()
    print(f"Device: {device}")
    return {"versions": versions(), "device": device}
