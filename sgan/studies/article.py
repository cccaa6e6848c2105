"""The second article's model: the idea of sgan_mnist.py with smaller networks and BatchNormalization.

"Implementation of Semi-Supervised Generative Adversarial Networks in Keras" (Towards Data Science); its code is
github.com/KunalVaidya99/Semi-Supervised-GAN.
"""

import contextlib
import math
from dataclasses import dataclass
from functools import partial

import sgan  # noqa: F401  before Keras: it chooses the backend and TensorFlow's CPU kernels

import keras
from keras import layers, ops

from sgan_mnist import SGAN, Settings, crop, define_discriminator


@dataclass
class ArticleSettings(Settings):
    """The article's settings: 32 images in every one of the four updates, Keras' default Adam."""

    batch_size: int = 64
    learning_rate: float = 1e-3
    beta_1: float = 0.9


def article_backbone(images):
    """Images (n, H, W, C) in [-1, 1] to features (n, ⌈H/8⌉ · ⌈W/8⌉ · 128): fewer filters, and BatchNormalization."""
    x = images
    for i, filters in enumerate((32, 64, 128), start=1):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", name=f"conv_{i}")(x)
        if i > 1:
            x = layers.BatchNormalization(name=f"batch_norm_{i}")(x)
        x = layers.LeakyReLU(negative_slope=0.01, name=f"leaky_{i}")(x)
    x = layers.Flatten(name="flatten")(x)
    return layers.Dropout(0.5, name="dropout")(x)


def article_generator(latent_dim, out_shape=(28, 28, 1)):
    """Latent points (n, latent_dim) to images (n, H, W, C) in [-1, 1], made with the next multiples of 4 as H and W."""
    height, width, channels = out_shape
    rows, columns = math.ceil(height / 4), math.ceil(width / 4)
    points = keras.Input((latent_dim,), name="latent_points")
    x = layers.Dense(rows * columns * 256, name="dense")(points)
    x = layers.Reshape((rows, columns, 256), name="reshape")(x)
    for i, (filters, strides) in enumerate(((128, 2), (64, 1)), start=1):
        x = layers.Conv2DTranspose(filters, 3, strides=strides, padding="same", name=f"upsample_{i}")(x)
        x = layers.BatchNormalization(name=f"batch_norm_{i}")(x)
        x = layers.LeakyReLU(negative_slope=0.01, name=f"leaky_{i}")(x)
    x = layers.Conv2DTranspose(channels, 3, strides=2, padding="same", activation="tanh", name="image")(x)
    return keras.Model(points, crop(x, height, width), name="g_model")


class ArticleSGAN(SGAN):
    """The article's networks in training. Every update uses batch statistics; the moving statistics of the
    discriminator follow the real images only (the article's followed the labelled ones only)."""

    define_discriminator = staticmethod(partial(define_discriminator, backbone=article_backbone))
    define_generator = staticmethod(article_generator)

    def __init__(self, settings, labelled, unlabelled_images, n_classes):
        super().__init__(settings, labelled, unlabelled_images, n_classes)
        self.generator_batch_size = self.batch_size // 2  # as many as in each of the other updates

    def train_on_generated(self, images):
        with unchanged(self.d_model.non_trainable_weights):
            return super().train_on_generated(images)

    def train_generator(self, latent_points):
        with unchanged(self.d_model.non_trainable_weights):
            return super().train_generator(latent_points)


@contextlib.contextmanager
def unchanged(weights):
    """Give weights their values back at the end."""
    values = [ops.copy(weight) for weight in weights]
    yield
    for weight, value in zip(weights, values):
        weight.assign(value)
