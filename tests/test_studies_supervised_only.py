"""sgan/studies/supervised_only.py: the baseline is update 1 of an SGAN, and nothing else."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sgan.studies import supervised_only
from sgan.studies.article import ArticleSettings, ArticleSGAN
from sgan.studies.supervised_only import SupervisedOnly
from sgan_mnist import SGAN, Settings


@pytest.mark.parametrize("sgan_class, settings, half, rate, beta_1", [
    (SGAN, Settings(seed=3), 50, 2e-4, 0.5), (ArticleSGAN, ArticleSettings(seed=3), 32, 1e-3, 0.9),
])
def test_a_step_is_update_1_of_the_sgan(monkeypatch, sgan_class, settings, half, rate, beta_1):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1)).astype("uint8")
    labelled = images[:20], np.arange(20) % 10
    batch, sizes = [images[:8] / 127.5 - 1, tf.constant(np.arange(8))], []
    monkeypatch.setattr(supervised_only, "generate_real_samples",
                        lambda dataset, n, seed: sizes.append((dataset, n)) or batch)
    keras.utils.set_random_seed(0)
    sgan = sgan_class(settings, labelled, images, 10)
    keras.utils.set_random_seed(0)
    training = SupervisedOnly(sgan_class, settings, labelled, 10)
    for c_model in sgan.c_model, training.c_model:
        c_model.get_layer("dropout").rate = 0
    assert all(map(np.array_equal, training.c_model.get_weights(), sgan.c_model.get_weights()))

    metrics = training.train_step(None)
    loss, _ = sgan.train_on_labelled(*batch)

    assert sizes == [(training.labelled, half)] and training.discriminators == (training.c_model,)
    assert float(metrics["c_loss"]) == pytest.approx(float(loss), rel=1e-6)
    for ours, theirs in zip(training.c_model.get_weights(), sgan.c_model.get_weights()):
        np.testing.assert_allclose(ours, theirs, atol=1e-7)
    (optimizer,) = training.optimizers
    assert float(optimizer.learning_rate) == pytest.approx(rate) and optimizer.beta_1 == beta_1
