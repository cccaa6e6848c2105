"""The device that TensorFlow computes on: which one, its memory, its cores."""

import contextlib
import os
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf

from sgan.runs.command import warn


def on_device(array):
    """An array as a tensor for the training steps to draw from.

    Images, uint8, are float16 if there is a GPU: it holds 0..255 exactly, and TensorFlow has no GPU kernel that
    gathers rows of uint8.
    """
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    return tf.constant(array, "float16" if array.dtype == np.uint8 and has_gpu else None)


def set_up_device():
    """Name the device to train on, and let a GPU's memory be taken as it is needed, not all at once.

    If an NVIDIA GPU is there that TensorFlow does not see, a line on standard error says what to do.
    """
    # TensorFlow's remapper fails on LeakyReLU's gradients with oneDNN, and says so on the screen: do without it.
    tf.config.optimizer.set_experimental_options({"remapping": False})
    gpus = tf.config.list_physical_devices("GPU")
    with contextlib.suppress(RuntimeError):  # the GPU is in use already: too late to choose
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        return "GPU: " + tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name)
    if (shutil.which("nvidia-smi") or os.path.exists("/dev/nvidia0")) and "CUDA_VISIBLE_DEVICES" not in os.environ:
        warn("An NVIDIA GPU is there, but TensorFlow does not use it: see that nvidia-smi shows it, and pip install "
             '"tensorflow[and-cuda]>=2.20,<2.22" (on Windows, in WSL2). Training on the CPU.')
    return f"CPU with {available_cores()} cores{cpu_features()}"


def cpu_features():
    """", AVX512-VNNI" or ", AVX2", which decide how fast TensorFlow is; empty if that is not known."""
    info = Path("/proc/cpuinfo")  # of Linux
    flags = info.read_text().split() if info.exists() else ()
    return next((f", {name}" for flag, name in (("avx512_vnni", "AVX512-VNNI"), ("avx2", "AVX2")) if flag in flags), "")


def available_cores():
    """How many cores this process may use: on a cluster often fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
