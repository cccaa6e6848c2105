"""Shared by all tests: small data, and scripts run as commands."""

import os
import signal
import subprocess
import sys
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # the suite is about the CPU
USERS_ENVIRONMENT = dict(os.environ)  # before sgan adds to it: commands start with what a user has
USERS_ENVIRONMENT.pop("PYTHONUNBUFFERED", None)  # as in many containers; it hides what happens to buffers at the end

import sgan

sgan.begin_script()  # as every command does

import numpy as np
import pytest

from sgan.data.dataset import load_real_samples, synthetic_digits

ROOT = Path(__file__).parents[1]

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores


@pytest.fixture(scope="session")
def digits():
    """400 synthetic digits for training, 100 for testing."""
    return synthetic_digits(n_train=400, n_test=100)


def save_dataset(path, data):
    """Write a Dataset as an .npz file. Returns the path."""
    np.savez(path, x_train=data.train_images, y_train=data.train_labels,
             x_test=data.test_images, y_test=data.test_labels)
    return path


@pytest.fixture(scope="session")
def digits_file(digits, tmp_path_factory):
    """The same as an .npz file."""
    return save_dataset(tmp_path_factory.mktemp("data") / "digits.npz", digits)


@pytest.fixture(scope="session")
def small_digits(digits, tmp_path_factory):
    """An .npz file of 8x8 digits: the synthetic ones, cropped and averaged."""
    def shrink(images):
        return images[:, 2:26, 2:26, 0].reshape(-1, 8, 3, 8, 3).mean(axis=(2, 4)).astype("uint8")

    small = digits._replace(train_images=shrink(digits.train_images), test_images=shrink(digits.test_images))
    return save_dataset(tmp_path_factory.mktemp("data") / "small.npz", small)


@pytest.fixture(scope="session")
def small_dataset(small_digits):
    return load_real_samples(str(small_digits))


@pytest.fixture(scope="session")
def start_script():
    """start_script("sgan_mnist.py", "--epochs", 1, cwd=...) or start_script("-m sgan.tuned", ...) starts a command in
    the repository's root, or in `cwd`; a `subprocess.Popen`."""
    def start(script, *arguments, cwd=ROOT, **environment):
        if not script.startswith("-m "):
            script = str(ROOT / script)
        command = [sys.executable, *script.split(" "), *map(str, arguments)]
        return subprocess.Popen(command, cwd=cwd, env={**USERS_ENVIRONMENT, **environment}, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return start


@pytest.fixture(scope="session")
def run_script(start_script):
    """The same, and waits for it: exit status, standard output, lines of standard error."""
    def run(script, *arguments, **options):
        process = start_script(script, *arguments, **options)
        output, errors = process.communicate(timeout=300)
        return process.returncode, output, errors.splitlines()
    return run
