"""sgan/models/virtual_adversarial.py: the noise has its size, and changes a prediction more than others do."""

import keras
import numpy as np
from keras import layers, ops

from sgan.models.virtual_adversarial import perturb, scale_noise


def test_the_noise_changes_the_prediction_most():
    """For a linear model of two classes the worst direction is known: the difference of their weights."""
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).uniform(-1, 1, (5, 4, 4, 1)).astype("float32")
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(2)])
    noise = np.array(perturb(images, model, 0.07, keras.random.SeedGenerator(0))) - images
    np.testing.assert_allclose(np.sqrt(np.mean(noise ** 2, axis=(1, 2, 3))), 0.07, rtol=1e-3)
    worst = model.layers[-1].kernel.numpy() @ [1, -1]
    cosines = noise.reshape(5, 16) @ worst / np.linalg.norm(worst) / np.linalg.norm(noise.reshape(5, 16), axis=1)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=0.02)


def test_noise_of_an_image_that_changes_nothing_stays_nothing():
    assert np.all(np.array(scale_noise(ops.zeros((2, 3, 3, 1)), 0.07)) == 0)
