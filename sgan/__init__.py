"""Everything that runs besides the three scripts at the top level.

Below the scripts, which import it:

    startup.py            the start of a script: quiet while TensorFlow is imported
    command_line.py       options from a dataclass; errors as one line
    data.py               MNIST, or a user's own images: image_folder.py, npz_file.py
    synthetic_digits.py   digits drawn from fonts, where there is no MNIST
    pictures.py           picture files of any kind and size as images
    digit_reading.py      a photographed digit as MNIST was made
    files.py              files written whole or not at all
    lock.py               one process at a time
    run_folder.py         a run's files: record, history, state; starting and resuming
    memory.py             whether data and training fit into memory
    plots.py              generated images as a grid, training curves
    training_loop.py      what lets Keras' `fit` run a training that draws its own batches
    augmentation.py       images of strokes, warped and cluttered
    evaluation.py         what a classifier predicts for many images
    cropping.py           generated images of any size
    about.py              the metadata in a saved classifier
    safe_loading.py       loads a classifier from a file that anyone may have made
    fast_convolution.py   the generator's last convolution, faster on a CPU

Above them:

    tuned.py              the tuned SGAN: python -m sgan.tuned
    studies/              comparisons of many runs: python -m sgan.studies NAME
    benchmarks/           times, kill-and-resume, photographed digits

Importing the package, which every script does first, chooses Keras' backend and TensorFlow's faster CPU kernels; both
must be known before Keras is imported.
"""

import os

from sgan.startup import begin_script

__all__ = ["begin_script"]

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # faster convolutions, which not every CPU gets by default
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
