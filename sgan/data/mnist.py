"""MNIST from Keras' cache, downloaded into it by Keras if it is not there."""

import contextlib
import hashlib
import io
import os
import socket
from pathlib import Path

import keras

from sgan.data.npz import read_npz
from sgan.runs.command import InputError
from sgan.runs.files import expand, first_line, regular_file

MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"  # of the file that Keras downloads
MAX_SILENCE = 15  # seconds: a download that brings nothing for so long is given up


def read_mnist():
    """MNIST as `npz.read_npz` reads it. Raises InputError if it is neither in Keras' cache nor to be had."""
    home = expand(os.environ.get("KERAS_HOME", "~/.keras"))
    if not os.access(home, os.W_OK) and not (home / "datasets" / "mnist.npz").exists():
        home = Path("/tmp/.keras")  # by the rule of keras.utils.get_file
    cached = home / "datasets" / "mnist.npz"
    try:
        if not cached.exists():
            download_mnist(cached)
        digest = hashlib.sha256(regular_file(cached).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"no MNIST ({first_line(error)}): without internet put Keras' mnist.npz into {cached.parent} "
                         "(KERAS_HOME sets another folder), or give --data FILE.npz or --data synthetic") from None
    if digest != MNIST_SHA256:  # Keras would delete it
        raise InputError(f"{cached} is not the file that Keras downloads (its hash differs); it is left alone: use it "
                         f"with --data {cached}, or move it away to download MNIST afresh")
    return read_npz(cached)


def download_mnist(target):
    """Keras' own download, checked by Keras, moved to `target` when it is whole. Raises OSError if that fails."""
    print(f"Downloading MNIST (11 MB) to {target}", flush=True)
    part = target.with_name(f"mnist-{os.getpid()}.npz")  # Keras writes straight to the name that it is given
    socket.setdefaulttimeout(MAX_SILENCE)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # no progress bar
            keras.datasets.mnist.load_data(part.name)
        os.replace(part, target)
    except Exception as error:  # Keras turns a network's errors into plain Exceptions
        raise OSError(first_line(error)) from None
    finally:
        part.unlink(missing_ok=True)
