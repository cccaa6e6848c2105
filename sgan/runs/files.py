"""Files written whole or not at all, and what is asked of a file before it is read."""

import contextlib
import csv
import json
import math
import os
import tempfile
from pathlib import Path

import h5py

from sgan.runs.command import InputError, printable


def expand(path):
    """`path` as a Path, with ~ as the home folder; if there is no such user, "~..." is the name of a file.

    Raises InputError for an empty one, which would be the current folder.
    """
    if not str(path):
        raise InputError("an empty path: give the name of a file or folder")
    return Path(os.path.expanduser(path))


def regular_file(path):
    """`path`, expanded. Raises InputError unless it is a file that ends: reading a pipe or a device may not."""
    path = expand(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "a pipe or a device"
        raise InputError(f"{path}: is not a file but {found}" if path.exists() else f"{path}: no such file")
    return path


def first_line(error):
    """The first line of an error's message: those of libraries go on for pages."""
    return printable((str(error).strip().splitlines() or [type(error).__name__])[0][:200])


@contextlib.contextmanager
def atomic_write(path):
    """Yield a temporary path with `path`'s suffix; rename it to `path` on success, delete it on failure.

    What was written is on the disk before it is renamed, so that even a power cut leaves the old file or the new one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    temporary.unlink(missing_ok=True)  # a killed process has left it, or it is a link or a pipe
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from None
        raise


def check_writable(folder):
    """Make a folder, if need be, and a file in it that is gone at once. Raises OSError if that is impossible."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:  # it names the file
        raise OSError(error.errno, error.strerror, str(folder)) from None


def write_csv(path, rows, encoding="utf-8"):
    """Write rows, dictionaries with the same keys, as a CSV file, whole."""
    with atomic_write(path) as temporary, open(temporary, "w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, fieldnames=rows[0])
        writer.writeheader()
        writer.writerows(rows)


def save_model(model, path, about=None):
    """Save a Keras model as .h5, compiled if it is compiled.

    Args:
        about: a dictionary of what the model says about itself, see metadata.py; kept as JSON in the attribute "about".
    """
    variables = [*model.variables, *(model.optimizer.variables if model.compiled else ())]
    size = 2**20 + 4 * sum(math.prod(variable.shape) for variable in variables)
    with atomic_write(path) as temporary:
        temporary.write_bytes(bytes(size))  # HDF5 does not survive finding out itself that there is no space
        model.save(temporary)
        if about:
            with h5py.File(temporary, "r+") as file:
                file.attrs["about"] = json.dumps(about)
