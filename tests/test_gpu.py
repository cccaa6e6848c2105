"""What can be known about a GPU without one: every training step compiles with XLA, as Keras does there, and none of
its operations lacks a GPU kernel."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels

from discriminator_variants import VARIANTS
from sgan.studies.article import ArticleSettings, ArticleSGAN
from sgan.runs.fit import step_numbers
from sgan.tuned import TunedSettings, TunedSGAN
from sgan_mnist import Settings

TRAININGS = [*VARIANTS, "article", "tuned"]


def make(name, shape=(8, 8, 1)):
    """A training of random images, with weights and noise from seed 0."""
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (40, *shape)).astype("uint8")
    labelled = images[:20], np.arange(20) % 10
    if name == "tuned":
        settings = TunedSettings(labelled_batch=8, batch_size=12, generated_batch=4, images="strokes")
        return TunedSGAN(settings, labelled, images, 10, steps=4)
    if name == "article":
        return ArticleSGAN(ArticleSettings(batch_size=8), labelled, images, 10)
    return VARIANTS[name](Settings(batch_size=8), labelled, images, 10)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_steps_compiled_with_xla_train_several_in_one_call(name):
    """Random numbers differ under XLA, so losses are only similar; callbacks see the last step of each call."""
    training, losses = make(name), []
    before = [weight.numpy() for weight in training.trainable_weights]
    training.compile(optimizer=None, jit_compile=True, steps_per_execution=2)
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(dict(logs)))
    training.fit(step_numbers(4), shuffle=False, verbose=0, callbacks=[watch])
    assert len(losses) == 2 and set(losses[0]) == {mean.name for mean in training.metrics}
    assert all(np.isfinite(value) for each in losses for value in each.values())
    assert 1 < losses[0]["c_loss"] < 6 and losses[0]["c_loss"] != losses[1]["c_loss"]
    assert all(np.abs(weight.numpy() - value).max() > 0 for weight, value in zip(training.trainable_weights, before))


def operations(graph):
    """The node of each operation of a graph and of the functions in it."""
    definition = graph.as_graph_def()
    return [*definition.node, *(node for function in definition.library.function for node in function.node_def)]


def has_gpu_kernel(node):
    """Whether TensorFlow has a GPU kernel of the node's operation for the node's types."""
    for kernel in kernels.get_registered_kernels_for_op(node.op).kernel:
        if kernel.device_type in ("GPU", "DEFAULT") and all(
                node.attr[each.name].type in each.allowed_values.list.type for each in kernel.constraint
                if node.attr[each.name].type):
            return True
    return False


@pytest.mark.parametrize("name", TRAININGS)
def test_every_operation_of_a_step_has_a_gpu_kernel(name, monkeypatch):
    with monkeypatch.context() as patch:
        gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
        patch.setattr(tf.config, "list_physical_devices", lambda kind=None: [gpu])
        training = make(name, (28, 28, 1))
    graph = tf.function(training.train_step).get_concrete_function(None).graph
    nodes = operations(graph)
    assert any(node.op == "GatherV2" for node in nodes) and len(nodes) > 500
    assert {node.op: node.attr["T"].type for node in nodes if not has_gpu_kernel(node)} == {}


def test_a_gather_of_bytes_would_be_found():
    images = tf.zeros((5, 2), "uint8")
    graph = tf.function(lambda: tf.gather(images, [1, 2])).get_concrete_function().graph
    assert [node.op for node in operations(graph) if not has_gpu_kernel(node)] == ["GatherV2"]


def test_on_a_cpu_images_stay_bytes():
    assert make("stacked").unlabelled[0].dtype == "uint8"
