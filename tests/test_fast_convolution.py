"""The faster form of a one-filter convolution against the plain layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sgan.models.fast_convolution import one_filter_convolution, speed_up
from sgan_mnist import define_generator


@pytest.mark.parametrize("size, channels, k", [((28, 28), 16, 7), ((4, 6), 3, 5), ((5, 4), 2, 1), ((3, 3), 2, 7)])
def test_values_and_gradients_are_those_of_the_plain_convolution(size, channels, k):
    random = np.random.default_rng(0)
    images = tf.constant(random.normal(size=(2, *size, channels)))
    kernel = tf.constant(random.normal(size=(k, k, channels, 1)))
    upstream = tf.constant(random.normal(size=(2, *size, 1)))
    results = []
    for convolve in (one_filter_convolution, lambda x, w: tf.nn.conv2d(x, w, 1, "SAME")):
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            outputs = convolve(images, kernel)
        results.append([outputs, *tape.gradient(outputs, [images, kernel], output_gradients=upstream)])
    for ours, plain in zip(*results):
        np.testing.assert_allclose(ours, plain, rtol=1e-9, atol=1e-9)


def test_the_generator_makes_the_same_images_and_stays_plain_layers(tmp_path):
    keras.utils.set_random_seed(0)
    g_model = define_generator(10, (8, 8, 1))
    points = np.random.default_rng(0).normal(size=(3, 10)).astype("float32")
    before = g_model(points)
    assert speed_up(g_model) is g_model
    assert g_model.get_layer("image").convolution_op is one_filter_convolution
    np.testing.assert_allclose(g_model(points), before, atol=1e-6)
    g_model.save(tmp_path / "g_model.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "g_model.keras")(points), before, atol=1e-6)


def test_layers_of_another_kind_are_left_alone():
    images = keras.Input((8, 8, 2))
    others = [keras.layers.Conv2D(3, 7, padding="same"), keras.layers.Conv2D(1, 7, padding="valid"),
              keras.layers.Conv2D(1, 3, strides=2, padding="same"), keras.layers.Conv2D(1, 4, padding="same"),
              keras.layers.Conv2D(1, (3, 5), padding="same"), keras.layers.Conv2D(1, 3, padding="same", groups=1,
                                                                                  dilation_rate=2)]
    speed_up(keras.Model(images, [layer(images) for layer in others]))
    assert not any(layer.convolution_op is one_filter_convolution for layer in others)
