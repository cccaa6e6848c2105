"""The device that TensorFlow computes on: which one, its memory, its cores."""

import contextlib
import os
import shutil
import sys
from importlib.util import find_spec

import numpy as np
import tensorflow as tf

from sgan.runs.command import InputError


def on_device(array):
    """An array as a tensor for the training steps to draw from.

    Images, uint8, are float16 where there is a GPU: it holds 0..255 exactly, and TensorFlow has no GPU kernel that
    gathers rows of uint8.
    """
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    return tf.constant(array, "float16" if array.dtype == np.uint8 and has_gpu else None)


@contextlib.contextmanager
def memory_errors_in_one_line():
    """Raise InputError where the memory of the process or of the device is used up."""
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise InputError("out of memory: use fewer or smaller images; to train, a smaller --batch-size or "
                         "--latent-dim") from None


def set_up_device():
    """Name the device to train on, and let a GPU's memory be taken as it is needed, not all at once.

    Where a GPU is there but cannot be used, a line on standard error says why.
    """
    # TensorFlow's remapper fails on LeakyReLU's gradients with oneDNN, and says so on the screen: do without it.
    tf.config.optimizer.set_experimental_options({"remapping": False})
    gpus = tf.config.list_physical_devices("GPU")
    with contextlib.suppress(RuntimeError):  # the GPU is in use already: too late to choose
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        return "GPU: " + tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name)
    if trouble := gpu_trouble():
        print(f"An NVIDIA GPU is there, but {trouble}. Training on the CPU.", file=sys.stderr)
    return f"CPU with {os.cpu_count()} cores{cpu_features()}"


def gpu_trouble():
    """Why TensorFlow does not use an NVIDIA GPU that the machine has, and what to do; empty where it has none, or where
    CUDA_VISIBLE_DEVICES hides it."""
    if not (shutil.which("nvidia-smi") or os.path.exists("/dev/nvidia0")) or "CUDA_VISIBLE_DEVICES" in os.environ:
        return ""
    if sys.platform == "win32":
        return "TensorFlow has no GPU support on Windows: use WSL2"
    if not tf.test.is_built_with_cuda():
        return 'this TensorFlow is built without CUDA: pip install "tensorflow[and-cuda]>=2.20,<2.22"'
    if not find_spec("nvidia"):
        return 'CUDA is not installed: pip install "tensorflow[and-cuda]>=2.20,<2.22"'
    return "CUDA cannot start it: check the driver with nvidia-smi"


def cpu_features():
    """", AVX512-VNNI" or ", AVX2", which decide how fast TensorFlow is; empty where that is not known."""
    try:
        with open("/proc/cpuinfo") as file:
            flags = file.read().split()
    except OSError:
        return ""
    return next((f", {name}" for flag, name in (("avx512_vnni", "AVX512-VNNI"), ("avx2", "AVX2")) if flag in flags), "")


def available_cores():
    """How many cores this process may use: on a cluster often fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
