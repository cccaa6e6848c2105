"""Virtual adversarial perturbation: Miyato et al. 2018, Virtual adversarial training, arXiv 1704.03976."""

import keras
import tensorflow as tf
from keras import ops

TRIAL_SIZE = 0.004  # of the noise around an image at which the change is measured: small, but no rounding error


def perturb(images, model, size, seed):
    """Add to each image the small noise that changes its prediction most (section 3.3 there, one power iteration).

    Args:
        images: (n, H, W, C) in [-1, 1].
        model: images to class logits (n, K).
        size: of the noise, the root of the mean of its squares.
        seed: a `SeedGenerator`, for the noise that is tried first.

    Returns:
        (n, H, W, C), here and there beyond [-1, 1].
    """
    probabilities = ops.softmax(model(images, training=False))
    trial = scale_noise(keras.random.normal(images.shape, seed=seed), TRIAL_SIZE)
    with tf.GradientTape() as tape:
        tape.watch(trial)
        logits = model(images + trial, training=False)
        change = ops.mean(keras.losses.categorical_crossentropy(probabilities, logits, from_logits=True))
    return images + scale_noise(tape.gradient(change, trial), size)


def scale_noise(noise, size):
    """Bring the noise of each image, (n, H, W, C), to a size: the root of the mean of its squares."""
    return noise * (size / (ops.sqrt(ops.mean(ops.square(noise), axis=(1, 2, 3), keepdims=True)) + 1e-12))
