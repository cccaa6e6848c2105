"""sgan/benchmarks/: what they print."""

import re

import pytest


@pytest.mark.slow
def test_a_line_to_paste(run_script):
    """Device, versions, time."""
    status, output, errors = run_script("-m sgan.benchmarks.train_step", "--line", "--quick")
    assert (status, errors) == (0, [])
    assert re.fullmatch(r"[CG]PU.*; TensorFlow [\d.]+, Keras [\d.]+, Python [\d.]+: "
                        r"[\d.]+ ms a step, [\d,]+ images/s \(median of 1 calls of \d+ steps, 100 images each\)\n",
                        output)
