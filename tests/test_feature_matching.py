"""sgan/feature_matching.py: the losses, what each update moves, the order of the images, the kept classifier."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from sgan import feature_matching
from sgan.feature_matching import (
    EPSILON, FeatureMatchingSettings, FeatureMatchingSGAN, StackedFeatureMatchingSGAN, order_of_epoch,
    half_cross_entropy
)
from sgan.models.adam import EpsilonInRootAdam
from sgan.models.evaluation import scale_images
from sgan.models.weight_norm import WeightNormDense, initialise_from_data
from sgan.runs import files
from sgan_mnist import Settings, select_supervised_samples
from helpers import values

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1)).astype("uint8")


def make(n_labelled=20, **settings):
    """A training of random images: batches of 10, 4 steps an epoch, 8 in all."""
    keras.utils.set_random_seed(0)
    settings = FeatureMatchingSettings(batch_size=10, epochs=2, **{"learning_rate": 3e-3, "decay": 0.0, **settings})
    return FeatureMatchingSGAN(settings, (IMAGES[:n_labelled], np.arange(n_labelled) % 10), IMAGES, 10, 4)


def silence(training):
    """Switch all noise off."""
    for layer in training.discriminator.layers:
        if isinstance(layer, keras.layers.GaussianNoise):
            layer.stddev = 0


def test_the_half_cross_entropy_is_half_the_cross_entropy_of_d():
    logits = np.random.default_rng(0).normal(size=(5, 10)) * 3
    z = np.exp(logits).sum(axis=1)
    real = z / (z + 1)
    assert float(half_cross_entropy(logits, real=True)) == pytest.approx(-np.log(real).mean() / 2)
    assert float(half_cross_entropy(logits, real=False)) == pytest.approx(-np.log(1 - real).mean() / 2)
    for real, far in (True, -500.0), (False, 500.0):
        assert float(half_cross_entropy(np.full((1, 10), far), real=real)) == pytest.approx(250, rel=0.01)


def test_weights_are_normalised_and_begin_with_outputs_of_mean_0_and_deviation_1():
    training = make()
    silence(training)
    images = IMAGES.astype("float32") / 127.5 - 1
    initialise_from_data(training.discriminator, images)
    normalised = [layer for layer in training.discriminator.layers if isinstance(layer, WeightNormDense)]
    for layer in normalised:
        np.testing.assert_allclose(np.linalg.norm(layer.kernel, axis=0), layer.scale, rtol=1e-3)
        outputs = np.array(keras.Model(training.discriminator.input, layer.output)(images))
        np.testing.assert_allclose(outputs.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(outputs.std(axis=0), 1, atol=1e-3)
    assert [layer.scale.trainable for layer in normalised] == [False] * 5 + [True]


@pytest.mark.slow
def test_the_generator_learns_to_have_the_mean_features_of_real_images():
    training = make()
    silence(training)
    real, generated = np.random.default_rng(1).uniform(-1, 1, (2, 10, 8, 8, 1)).astype("float32")
    last_hidden = keras.Model(training.discriminator.input, training.discriminator.layers[-1].input)
    features = [np.array(last_hidden(images)).mean(axis=0) for images in (real, generated)]
    assert float(training.generator_loss(real, generated)) == pytest.approx(np.square(features[0] - features[1]).mean(),
                                                                            rel=1e-4)


@pytest.mark.parametrize("loss, moving", [("feature-matching", "dg"), *(
    pytest.param(*each, marks=pytest.mark.slow) for each in (("adversarial", "dg"), ("no-generator", "d"),
                                                             ("supervised-only", "d")))])
def test_a_step_moves_each_network_by_its_own_loss_only(loss, moving, monkeypatch):
    training = make(loss=loss)
    models = {"d": training.discriminator, "g": training.generator}
    for frozen, optimizer in zip("dg", training.optimizers):
        monkeypatch.setattr(optimizer, "apply", lambda gradients: None)
        before = {name: values(model.trainable_weights) for name, model in models.items()}
        monkeypatch.setattr(training, "update_averages", lambda: None)
        metrics = training.train_step(None)
        for name, model in models.items():
            moved = [not np.array_equal(a, b) for a, b in zip(before[name], values(model.trainable_weights))]
            assert all(moved) if name != frozen and name in moving else not any(moved)
        assert {"g_loss", "d_loss_fake"} & metrics.keys() == ({"g_loss", "d_loss_fake"} if "g" in moving else set())
        assert ("d_loss_real" in metrics) == (loss != "supervised-only")
        assert metrics.keys() == {mean.name for mean in training.metrics} and min(map(float, metrics.values())) >= 0
        monkeypatch.undo()


def log_z(training, images):
    """The logarithm of Z for each image: above 0 they are taken for real, below for generated."""
    return keras.ops.logsumexp(training.discriminator(images), axis=-1)


@pytest.mark.slow
def test_the_discriminator_learns_the_classes_and_what_is_real(monkeypatch):
    training = make()
    monkeypatch.setattr(training.optimizers[1], "apply", lambda gradients: None)
    silence(training)
    step = tf.function(training.train_step)
    for _ in range(40):
        step(None)
    images = scale_images(IMAGES)
    assert np.array_equal(np.argmax(training.discriminator(images[:20]), axis=1), np.arange(20) % 10)
    assert np.min(log_z(training, images)) > 0
    assert np.max(log_z(training, training.generator(training.latent_points(40, 0), training=True))) < 0


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["feature-matching", "adversarial"])
def test_the_generator_learns_what_its_loss_says(loss, monkeypatch):
    """While the discriminator stands still."""
    training = make(loss=loss)
    silence(training)
    monkeypatch.setattr(training.optimizers[0], "apply", lambda gradients: None)
    step, measured, images = tf.function(training.train_step), [], scale_images(IMAGES)
    for _ in range(2):
        generated = training.generator(training.latent_points(40, 0), training=True)
        distance = np.mean(training.features(images), axis=0) - np.mean(training.features(generated), axis=0)
        measured.append((np.square(distance).mean(), np.mean(log_z(training, generated))))
        for _ in range(40):
            step(None)
    (distance, real), (distance_after, real_after) = measured
    assert distance_after < distance / 2 if loss == "feature-matching" else real_after > real + 0.5


def test_adam_adds_its_epsilon_to_the_corrected_second_moment():
    """And with that inside the root, as in the authors' nn.py."""
    assert all(type(each) is EpsilonInRootAdam for each in make().optimizers)
    optimizer = EpsilonInRootAdam(0.1, beta_1=0.5, epsilon=EPSILON)
    weights = keras.Variable(np.zeros(4, "float32"))
    mean = square = expected = np.zeros(4)
    for step, scale in enumerate((1, 0.3, -2), start=1):
        gradient = scale * np.array([1, 1e-3, 1e-4, 1e-5])
        optimizer.apply([gradient.astype("float32")], [weights])
        mean, square = 0.5 * mean + 0.5 * gradient, 0.999 * square + 0.001 * gradient ** 2
        expected = expected - 0.1 * mean / (1 - 0.5 ** step) / np.sqrt(square / (1 - 0.999 ** step) + 1e-8)
    np.testing.assert_allclose(weights, expected, rtol=1e-4)


@pytest.mark.parametrize("n_images, n_drawn, each", [(100, 100, {1}), (20, 100, {5}), (100, 60, {0, 1}),
                                                     (7, 20, {2, 3})])
def test_images_come_in_a_new_order_each_pass(n_images, n_drawn, each):
    seed = keras.random.SeedGenerator(0)
    first, second = (np.array(order_of_epoch(n_images, n_drawn, seed)) for _ in range(2))
    assert first.shape == (n_drawn,) and set(np.bincount(first, minlength=n_images)) == each
    assert not np.array_equal(first, second)


@pytest.mark.slow
def test_a_labelled_batch_holds_each_image_equally_often_and_unlabelled_ones_follow_two_orders():
    training = make(n_labelled=10)
    step, seen = tf.function(training.batches), []
    for _ in range(8):
        seen.append([np.array(each) for each in step()])
        training.optimizers[0].iterations.assign_add(1)
    assert all(sorted(labels) == list(range(10)) for _, labels, _, _ in seen)
    for k in (2, 3):
        epochs = [np.concatenate([batch[k] for batch in seen[start:start + 4]]) for start in (0, 4)]
        assert all(len(np.unique(epoch.reshape(40, -1), axis=0)) == 40 for epoch in epochs)
        assert not np.array_equal(*epochs)
    assert not np.array_equal(seen[0][2], seen[0][3])


@pytest.mark.slow
def test_the_classifier_has_the_average_of_the_weights_in_plain_layers(tmp_path):
    training = make(averaging=1000)
    kept, step = [], tf.function(training.train_step)
    for _ in range(3):
        step(None)
        kept.append(values(training.discriminator.trainable_weights))
    for average, each in zip(training.averages.trainable_weights, zip(*kept)):
        np.testing.assert_allclose(average, np.mean(each, axis=0), rtol=1e-4, atol=1e-6)
    training.c_model.save(tmp_path / "c_model.h5")
    training.g_model.save(tmp_path / "g_model.h5")
    images = IMAGES[:5].astype("float32") / 127.5 - 1
    expected = keras.ops.softmax(training.averages(images, training=False))
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "c_model.h5")(images), expected, atol=1e-5)
    points = training.latent_points(4, 0)
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "g_model.h5")(points),
                               training.generator(points, training=False), atol=1e-5)
    assert 0 <= np.min(points) and np.max(points) <= 1


@pytest.mark.slow
def test_the_averages_become_exponential():
    training = make(averaging=2)
    old, new = values(training.averages.trainable_weights), values(training.discriminator.trainable_weights)
    training.optimizers[0].iterations.assign(4)
    for weight in training.discriminator.trainable_weights:
        weight.assign(weight + 1)
    training.update_averages()
    for average, before, weight in zip(training.averages.trainable_weights, old, new):
        np.testing.assert_allclose(average, (before + weight + 1) / 2, rtol=1e-5)


@pytest.mark.parametrize("decay, rates", [(0.0, [1, 1, 1]), (0.5, [1, 1, 0.5]), (0.75, [1, 2 / 3, 1 / 3])])
def test_the_learning_rate_falls_at_the_end(decay, rates):
    training = make(decay=decay, learning_rate=1.0)
    for step, rate in zip((0, 4, 6), rates):
        for optimizer in reversed(training.optimizers):  # each by its own steps
            optimizer.iterations.assign(step)
            assert float(optimizer.learning_rate) == pytest.approx(rate)


@pytest.mark.slow
def test_in_the_tutorials_networks_the_generator_alone_moves_towards_the_mean_features():
    keras.utils.set_random_seed(0)
    sgan = StackedFeatureMatchingSGAN(Settings(learning_rate=1e-3), (IMAGES[:10], np.arange(10)), IMAGES, 10)
    points = sgan.latent_points(40, 0)
    discriminator, generator = values(sgan.d_model.weights), values(sgan.g_model.weights)
    losses = [float(sgan.train_generator(points)) for _ in range(12)]
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])
    assert all(np.array_equal(*pair) for pair in zip(discriminator, values(sgan.d_model.weights)))
    assert not any(np.array_equal(*pair) for pair in zip(generator, values(sgan.g_model.weights)))


@pytest.mark.slow
def test_the_seeds_of_the_command_line_choose_labels_and_weights(small_digits, small_dataset, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(feature_matching, "train", lambda training, dataset, run: trained.append(training))
    feature_matching.main(["--data", str(small_digits), "--out", str(tmp_path / "run"), "--labels", "20",
                           "--label-seed", "7", "--seed", "5"])
    rows = select_supervised_samples(small_dataset.train_labels, 20, 10, 7)
    labelled = small_dataset.train_images[rows], small_dataset.train_labels[rows]
    assert all(np.array_equal(*pair) for pair in zip(trained[0].labelled, labelled))
    keras.utils.set_random_seed(5)
    same = FeatureMatchingSGAN(trained[0].settings, labelled, small_dataset.train_images, 10, 4)
    for model in "discriminator", "generator":
        pairs = zip(getattr(trained[0], model).weights, getattr(same, model).weights)
        assert all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.slow
def test_a_resumed_run_ends_bit_for_bit_like_one_that_was_never_stopped(small_digits, tmp_path, monkeypatch):
    arguments = ["--data", str(small_digits), "--labels", "20", "--batch-size", "20", "--steps-per-epoch", "3",
                 "--epochs", "2", "--decay", "0.5"]
    feature_matching.main([*arguments, "--out", str(tmp_path / "whole")])

    def stop_in_the_second_epoch(temporary, path):
        if path.name == "g_model_0006.h5":
            raise SystemExit
        os.rename(temporary, path)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(files.os, "replace", stop_in_the_second_epoch)
        feature_matching.main([*arguments, "--out", str(tmp_path / "stopped")])
    feature_matching.main(["--out", str(tmp_path / "stopped"), "--resume"])
    states = []
    for name in "whole", "stopped":
        with np.load(tmp_path / name / "state.npz") as state:  # Keras may number the names of variables otherwise
            states.append([state[each] for each in sorted(state.files) if each != "run"])
    assert len(states[0]) > 50 and all(np.array_equal(*pair) for pair in zip(*states, strict=True))
