"""sgan/studies/article.py: the second article's networks, their batches, and what BatchNormalization follows."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import batches

from discriminator_variants import count_weights
from sgan.studies.article import ArticleSettings, ArticleSGAN, article_generator
from sgan_mnist import SGAN, Settings

SHAPE = (8, 8, 1)


def make(sgan_class=ArticleSGAN, settings=None, dropout=True):
    """A training on random images, with weights and noise from seed 0."""
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (40, *SHAPE)).astype("uint8")
    sgan = sgan_class(settings or ArticleSettings(), (images[:20], np.arange(20) % 10), images, 10)
    if not dropout:
        sgan.c_model.get_layer("dropout").rate = 0
    return sgan


def test_numbers_of_weights():
    assert count_weights(*ArticleSGAN.define_discriminator()) == 113_930
    assert article_generator(100).count_params() == 1_637_121


@pytest.mark.parametrize("sgan_class, settings, half, gan, rate, beta_1", [
    (SGAN, Settings(), 50, 100, 2e-4, 0.5), (ArticleSGAN, ArticleSettings(), 32, 32, 1e-3, 0.9),
])
def test_batches_and_optimizers_are_the_tutorials_and_the_articles(sgan_class, settings, half, gan, rate, beta_1):
    sgan, seen = make(sgan_class, settings), []
    sgan.update = lambda *batch: seen.extend(len(each) for each in batch) or {mean.name: 0.0 for mean in sgan.means}
    sgan.train_step(None)
    assert seen == [half, half, half, half, gan]
    assert len(set(map(id, sgan.optimizers))) == 3
    for optimizer in sgan.optimizers:
        assert float(optimizer.learning_rate) == pytest.approx(rate) and optimizer.beta_1 == beta_1


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_moving_statistics_follow_the_real_images_only(compiled):
    """Labelled and unlabelled images move the discriminator's, by their batch statistics; generated ones and the
    generator's update leave them. The generator's own move in its update only."""
    def state():
        return {f"{model.name} {weight.path}": weight.numpy() for model in models for weight in model.weights}

    sgan, batch = make(), batches()
    models = sgan.d_model, sgan.g_model
    for optimizer in sgan.optimizers:
        optimizer.learning_rate = 0.0
    before, start = state(), [model.get_weights() for model in models]
    for model, inputs in zip((sgan.d_model, sgan.d_model, sgan.g_model), (batch[0], batch[2], batch[4])):
        model(inputs, training=True)
    expected = state()
    for model, weights in zip(models, start):
        model.set_weights(weights)

    (tf.function(sgan.update) if compiled else sgan.update)(*batch)

    for path, value in state().items():
        np.testing.assert_allclose(value, expected[path], rtol=1e-5, atol=1e-6, err_msg=path)
        assert np.array_equal(value, before[path]) != ("moving" in path), path
    assert sum("moving" in path for path in before) == 8


def test_every_update_uses_batch_statistics():
    """All losses are those of training mode, from which the moving statistics are far."""
    sgan = make(dropout=False)
    for weight in sgan.d_model.non_trainable_weights:
        weight.assign(0.01 + 0 * weight)
    for optimizer in sgan.optimizers:
        optimizer.learning_rate = 0.0
    labelled, labels, unlabelled, fake_noise, gan_noise = batches()

    def real(images, training):  # mean of -log P(real)
        return float(-np.log(sgan.d_model(images, training=training)).mean())

    fake, generated = sgan.g_model(fake_noise, training=False), sgan.g_model(gan_noise, training=True)
    expected = {"d_loss_real": real(unlabelled, True), "g_loss": real(generated, True),
                "d_loss_fake": float(-np.log(1 - sgan.d_model(fake, training=True)).mean()),
                "c_loss": float(-np.log(sgan.c_model(labelled, training=True).numpy()[range(4), labels]).mean())}
    metrics = {name: float(value) for name, value in sgan.update(*batches()).items()}
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, rel=1e-3)
    assert real(generated, False) != pytest.approx(expected["g_loss"], rel=0.1)
