"""What keeps a run's folder: files written whole or not at all, the record, the history, the plots, the state.

    c_model_NNNN.h5, g_model_NNNN.h5, generated_plot_NNNN.png    every epoch (NNNN: steps done)
    history.csv, training_curves.png                             every epoch, one row each
    run.json                                                     settings, versions, device, data, labels, results
    state.npz                                                    everything --resume needs; written last
"""

import csv
import json
import operator
import platform
import re
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path

import h5py
import keras
import matplotlib
import numpy as np
import tensorflow as tf

from sgan.command_line import ArgumentParser, InputError, add_options, flag
from sgan.data import load_real_samples
from sgan.files import written_whole
from sgan.plots import save_training_curves
from sgan.training_loop import set_up_device


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
        """The settings of the run, with what MAY_CHANGE as it is `given`. InputError for any other difference.

        --data may name another place of the same images, --out another of the run.
        """
        saved = self.record["settings"]
        if saved.keys() != {option.name for option in fields(settings_class)}:
            raise InputError(f"--resume: {self.path / 'run.json'} has other settings than this program: "
                             "it was written by another version")
        for name in given.keys() - {"out", "data", *settings_class.MAY_CHANGE}:
            if given[name] != saved[name]:
                raise InputError(f"--resume: {flag(name)} {given[name]} is not what the run was started "
                                 f"with ({saved[name]}); only {allowed_changes(settings_class)} may change")
        return settings_class(**{**saved, **given, "data": saved["data"]})

    def begin(self, dataset, device, label_rows):
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

    def finish(self):
        """Note the last epoch as the run's result, and say where everything is."""
        self.record["final"] = self.history[-1]
        self.save_record()
        print(f"Done: {self.path}")
        if self.record["data"]["warning"]:
            print(self.record["data"]["warning"], file=sys.stderr)

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
        state = {name: variable.numpy() for name, variable in state_of(sgan).items()}
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
                names = sorted(set(state.files) - {"history"})
                values = [state[name] for name in names]
                history = json.loads(str(state["history"]))
        except Exception as error:  # a damaged zip file raises many kinds
            raise InputError(f"--resume: cannot read {path}: {error}") from None
        variables = state_of(sgan)
        if describe(zip(names, values)) != describe(variables.items()):
            raise InputError(f"--resume: {path} belongs to other networks than this program's")
        for variable, value in zip(variables.values(), values):
            variable.assign(value)
        self.history = history


def state_of(sgan):
    """{numbered name: variable} of everything that the next step depends on, in a fixed order."""
    return {f"{i:03d} {variable.path}": variable for i, variable in enumerate(sgan.state_variables())}


def describe(state):
    """Name and shape of each variable, without the numbers that Keras adds where a process has several of a name."""
    return [(re.sub(r"_\d+(?=/|$)", "", name), tuple(value.shape)) for name, value in state]


def allowed_changes(settings_class):
    return " and ".join(flag(name) for name in ("data", *settings_class.MAY_CHANGE))


def start_run(settings_class, label_split, argv=None):
    """Start the run that a command line asks for, or with --resume go on with one, as far as the first step.

    Args:
        settings_class: the dataclass of settings, each an option of the command line.
        label_split: chooses the images that keep their labels, from (labels, number, number of classes, seed).
        argv: the command line; None for the process' own.

    Returns:
        settings: of `settings_class`.
        dataset: a `Dataset`.
        labelled: (images, labels) that the run may use: uint8 (n, H, W, C), integers (n,).
        run: its `RunFolder`.

    Raises:
        InputError: settings, data or folder cannot be used.
    """
    parser = ArgumentParser(description=settings_class.__doc__)
    add_options(parser, settings_class)
    parser.add_argument("--resume", action="store_true",
                        help="go on with the run in --out from its last finished epoch; "
                             f"only {allowed_changes(settings_class)} may change")
    given = vars(parser.parse_args(argv))
    resume = given.pop("resume")
    run = RunFolder(given.get("out", settings_class.out))
    if resume:
        run.reopen()
        settings = run.resumed_settings(settings_class, given)
    else:
        run.refuse_existing()
        settings = settings_class(**given)
    settings.check()
    device = set_up_device()
    print(f"Device: {device}")

    if resume:
        dataset = load_real_samples(given.get("data", run.record["data"]["source"]))
        run.go_on(dataset, device)
    else:
        dataset = load_real_samples(settings.data)
        if settings.labels is None and -1 not in dataset.train_labels:
            settings = replace(settings, labels=100)
        run.begin(dataset, device,
                  label_split(dataset.train_labels, settings.labels, dataset.n_classes, settings.label_seed))
    run.record["settings"] = asdict(settings)
    rows = run.record["label_indices"]
    print(f"Data: {dataset.name}, {len(dataset.train_images)} images, {len(rows)} of them with their labels; "
          + ("no test set" if dataset.test_images is None else f"{len(dataset.test_images)} test images"))
    keras.utils.set_random_seed(settings.seed)
    return settings, dataset, (dataset.train_images[rows], dataset.train_labels[rows]), run
