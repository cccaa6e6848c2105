"""Everything that runs besides the three scripts at the top level.

    data/, runs/, models/     below the scripts, which import them
    tuned.py                  the tuned SGAN: python -m sgan.tuned
    feature_matching.py       the SGAN of Salimans et al.: python -m sgan.feature_matching
    studies/                  comparisons of many runs: python -m sgan.studies NAME
    benchmarks/               times, photographed digits

Importing the package, which every script does first, chooses Keras' backend and TensorFlow's faster CPU kernels; both
must be known before Keras is imported.
"""

import os

from sgan.runs.startup import begin_script

__all__ = ["begin_script"]

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["KERAS_NNX_ENABLED"] = "false"  # for JAX only; the user's keras.json may have it on
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # faster convolutions, which not every CPU gets by default
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
