"""Files written whole or not at all, and what is asked of a file before it is read."""

import contextlib
import csv
import json
import logging
import math
import os
import stat
import tempfile
from pathlib import Path

import h5py

from sgan.runs.command import InputError, printable

MAX_TEXT = 2**24  # bytes: a run.json that names a million label indices


def expand(path):
    """`path` as a Path, with ~ as the home folder; where there is no such user, "~..." is the name of a file.

    Raises InputError for an empty one, which would be the current folder.
    """
    if not str(path):
        raise InputError("an empty path: give the name of a file or folder")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def regular_file(path):
    """`path`, expanded. Raises InputError unless it is a file that ends: reading a pipe or a device may not."""
    path = expand(path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if stat.S_ISDIR(mode):
        raise InputError(f"{path}: is not a file but a folder")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: is not a file but a pipe or a device")
    return path


def read_text(path):
    """The text of a file of at most MAX_TEXT bytes, UTF-8. Raises InputError where that is impossible."""
    path = regular_file(path)
    if path.stat().st_size > MAX_TEXT:
        raise InputError(f"{path}: is larger than {MAX_TEXT // 2**20} MB")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not a text file ({first_line(error)})") from None


def read_json(path):
    """What such a file holds as JSON. Raises InputError where that is impossible."""
    try:
        return json.loads(read_text(path))
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not readable JSON ({first_line(error)})") from None


def first_line(error):
    """The first line of an error's message: those of libraries go on for pages."""
    return printable((str(error).strip().splitlines() or [type(error).__name__])[0][:200])


@contextlib.contextmanager
def atomic_write(path):
    """Yield a temporary path with `path`'s suffix; rename it to `path` on success, delete it on failure.

    What was written is on the disk before it is renamed, so that even a power cut leaves the old file or the new one.
    Raises InputError where `path` is there and no file.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is a folder, a pipe or a device, and is not replaced by a file; give another name")
    make_folder(path.parent)
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    temporary.unlink(missing_ok=True)  # a killed process has left it, or it is a link or a pipe
    try:
        yield temporary
        flush_to_disk(temporary)
        os.replace(temporary, path)
        flush_to_disk(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from None
        raise


def check_writable(folder):
    """Make a folder, if need be, and a file in it that is gone at once.

    Raises InputError where it is no folder, and OSError where nothing can be written there.
    """
    make_folder(folder)
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None


def make_folder(path):
    """Make a folder and those above it, where they are not there. Raises InputError where one of them is no folder."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{path}: is not a folder, or is in something that is none; give another name") from None


def flush_to_disk(path):
    """Wait until a file, or the names in a folder, are on the disk."""
    if os.name == "nt" and path.is_dir():  # Windows does not open folders
        return
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_text(name):
    """Whether a string can be written to a file. Half a UTF-16 pair cannot, unless it stands for a byte of a file's
    name that is no text."""
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def write_csv(path, rows, encoding="utf-8"):
    """Write rows, dictionaries with the same keys, as a CSV file, whole."""
    with atomic_write(path) as temporary, open(temporary, "w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, fieldnames=rows[0])
        writer.writeheader()
        writer.writerows(rows)


@contextlib.contextmanager
def errors_only(name):
    """Silence what the logger of this name says of less than errors; that of Keras is called absl."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def save_model(model, path, about=None):
    """Save a Keras model as .h5, compiled if it is compiled.

    Args:
        about: a dictionary of what the model says about itself, see metadata.py; kept as JSON in the attribute "about".
    """
    variables = [*model.variables, *(model.optimizer.variables if model.compiled else ())]
    size = 2**20 + 4 * sum(math.prod(variable.shape) for variable in variables)
    with atomic_write(path) as temporary, errors_only("absl"):  # which calls HDF5 an old format
        temporary.write_bytes(bytes(size))  # HDF5 does not survive finding out itself that there is no space
        model.save(temporary)
        if about:
            with h5py.File(temporary, "r+") as file:
                file.attrs["about"] = json.dumps(about)
