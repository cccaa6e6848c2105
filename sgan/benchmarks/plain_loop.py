"""The tutorial's loop in plain `train_on_batch` and `predict` calls: one step of it, and the models that it needs.

tests/test_sgan_mnist.py holds `SGAN.update` against it, and train_step.py times it.
"""

import sgan  # noqa: F401  before Keras: it chooses the backend and TensorFlow's CPU kernels

import keras
import numpy as np

from sgan_mnist import GAN, Settings, define_discriminator, define_generator


def compiled_models():
    """Returns (g_model, d_model, c_model, gan_model), the last three compiled as in the tutorial."""
    d_model, c_model = define_discriminator()
    g_model = define_generator(Settings.latent_dim)
    gan_model = GAN(g_model, d_model)

    def adam():
        return keras.optimizers.Adam(Settings.learning_rate, beta_1=Settings.beta_1)

    c_model.compile(adam(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    d_model.compile(adam(), "binary_crossentropy")
    gan_model.compile(adam(), "binary_crossentropy")
    return g_model, d_model, c_model, gan_model


def random_batches():
    """The other arguments of `plain_step`: images (n, 28, 28, 1) in [-1, 1], labels, latent points; n: half a batch."""
    random, half = np.random.default_rng(0), Settings.batch_size // 2
    labelled, unlabelled = random.uniform(-1, 1, (2, half, 28, 28, 1)).astype("float32")
    points = random.normal(size=(3 * half, 100)).astype("float32")
    return labelled, random.integers(0, 10, half), unlabelled, points[:half], points[half:]


def plain_step(models, labelled_images, labels, unlabelled_images, fake_noise, gan_noise):
    """Make the four updates on NumPy batches; takes and returns what `SGAN.update` does."""
    g_model, d_model, c_model, gan_model = models
    for model in (c_model, d_model, gan_model):
        model.reset_metrics()  # or train_on_batch would return means over all steps so far
    c_loss, c_accuracy = c_model.train_on_batch(labelled_images, labels)
    d_loss_real = d_model.train_on_batch(unlabelled_images, np.ones((len(unlabelled_images), 1)))
    d_model.reset_metrics()
    fake_images = g_model.predict(fake_noise, verbose=0)
    d_loss_fake = d_model.train_on_batch(fake_images, np.zeros((len(fake_images), 1)))
    g_loss = gan_model.train_on_batch(gan_noise, np.ones((len(gan_noise), 1)))
    return {"c_loss": c_loss, "c_accuracy": c_accuracy, "d_loss_real": d_loss_real, "d_loss_fake": d_loss_fake,
            "g_loss": g_loss}
