"""Shared by all tests: small data, and scripts run as commands."""

import os
import subprocess
import sys
from pathlib import Path

import sgan_mnist  # noqa: F401  before anything imports TensorFlow: it sets it up

# isort: split
import numpy as np
import pytest

from mnist_data import load_real_samples, synthetic_digits

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def digits():
    """400 synthetic digits for training, 100 for testing."""
    return synthetic_digits(n_train=400, n_test=100)


@pytest.fixture(scope="session")
def digits_file(digits, tmp_path_factory):
    """The same as an .npz file."""
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    np.savez(path, x_train=digits.train_images, y_train=digits.train_labels,
             x_test=digits.test_images, y_test=digits.test_labels)
    return path


@pytest.fixture(scope="session")
def small_digits(digits, tmp_path_factory):
    """An .npz file of 8x8 digits: the synthetic ones, cropped and averaged."""
    def shrink(images):
        return images[:, 2:26, 2:26, 0].reshape(-1, 8, 3, 8, 3).mean(axis=(2, 4)).astype("uint8")

    path = tmp_path_factory.mktemp("data") / "small.npz"
    np.savez(path, x_train=shrink(digits.train_images), y_train=digits.train_labels,
             x_test=shrink(digits.test_images), y_test=digits.test_labels)
    return path


@pytest.fixture(scope="session")
def small_dataset(small_digits):
    return load_real_samples(str(small_digits))


@pytest.fixture(scope="session")
def start_script():
    """start_script("sgan_mnist.py", "--epochs", 1, cwd=...) starts the script; a `subprocess.Popen`."""
    def start(script, *arguments, cwd=None, **environment):
        command = [sys.executable, str(ROOT / script), *map(str, arguments)]
        return subprocess.Popen(command, cwd=cwd, env={**os.environ, **environment}, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return start


@pytest.fixture(scope="session")
def run_script(start_script):
    """The same, and waits for it: exit status, standard output, lines of standard error that are not TensorFlow's."""
    def run(script, *arguments, cwd=None, **environment):
        process = start_script(script, *arguments, cwd=cwd, **environment)
        output, errors = process.communicate(timeout=300)
        return process.returncode, output, [line for line in errors.splitlines() if not is_tensorflow_log(line)]
    return run


def is_tensorflow_log(line):
    return "absl::InitializeLog()" in line or ".cc:" in line or not line.strip()
