"""What can be known about a GPU without one: every training step compiles with XLA, as Keras does there, and none of
its operations lacks a GPU kernel."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import values
from tensorflow.python.framework import kernels

from sgan.studies.run import Run, build
from sgan.tuned import TunedSettings, TunedSGAN

# Of the three discriminators the shared one trains as the stacked one does.
RUNS = {"stacked": Run(), "multi-output": Run(variant="multi-output"), "article": Run(preset="article"),
        "tuned": Run(preset="tuned"), "without augmentation": Run(preset="tuned", without="augmentation"),
        "feature-matching": Run(preset="feature-matching")}


def make(name, dataset):
    """The training of one of RUNS on 40 images, 20 of them labelled, with weights and noise from seed 0."""
    keras.utils.set_random_seed(0)
    if name == "photographs":
        labelled = dataset.train_images[:20], dataset.train_labels[:20]
        return TunedSGAN(TunedSettings(images="photographs"), labelled, dataset.train_images[:40], 10, steps=4)
    return build(RUNS[name], dataset, np.arange(20), np.arange(40))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*[name for name in RUNS if name != "stacked"], "photographs"])
def test_a_step_compiled_with_xla_trains(name, small_dataset):
    """Random numbers differ under XLA, so losses are only similar. (The stacked one: test_sgan_mnist.py.)"""
    training = make(name, small_dataset)
    generators = [getattr(training, "generator", training.g_model)] if training.has_generator else []
    weights = [weight for model in (*training.discriminators, *generators) for weight in model.trainable_weights]
    before = values(weights)
    losses = tf.function(training.train_step, jit_compile=True)(None)
    assert set(losses) == {mean.name for mean in training.metrics} and np.isfinite(list(losses.values())).all()
    assert 1 < losses["c_loss"] < 6
    assert all(np.abs(weight - value).max() > 0 for weight, value in zip(weights, before))


@functools.cache
def types_on_gpu(operation):
    """{attribute: types} of each GPU kernel of an operation: a list."""
    return [{each.name: each.allowed_values.list.type for each in kernel.constraint}
            for kernel in kernels.get_registered_kernels_for_op(operation).kernel
            if kernel.device_type in ("GPU", "DEFAULT")]


def without_gpu_kernel(function):
    """The operations of a function and of those it calls that have no GPU kernel for their types, and how many have."""
    definition = function.get_concrete_function(None).graph.as_graph_def()
    nodes = [*definition.node, *(node for each in definition.library.function for node in each.node_def)]

    def has_kernel(node):
        return any(all(node.attr[name].type in types for name, types in kernel.items() if node.attr[name].type)
                   for kernel in types_on_gpu(node.op))

    return [node.op for node in nodes if not has_kernel(node)], len(nodes)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RUNS, "photographs"])
def test_every_operation_of_a_step_has_a_gpu_kernel(name, digits, monkeypatch):
    with monkeypatch.context() as patch:
        gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
        patch.setattr(tf.config, "list_physical_devices", lambda kind=None: [gpu])
        training = make(name, digits)
    missing, n = without_gpu_kernel(tf.function(training.train_step))
    assert missing == [] and n > 500


def test_a_gather_of_bytes_would_be_found():
    images = tf.zeros((5, 2), "uint8")
    assert without_gpu_kernel(tf.function(lambda data: tf.gather(images, [1, 2])))[0] == ["GatherV2"]
