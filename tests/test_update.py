"""The training step: the four updates, and how a step draws its batches."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.plain_loop import compiled_models, plain_step
from sgan_mnist import SGAN, Discriminator, generate_latent_points, generate_real_samples, scale_images


def make_sgan(seed=0, dropout=True, image_shape=(28, 28, 1), batch_size=8):
    """An SGAN and the models it consists of, weights drawn from `seed`."""
    keras.utils.set_random_seed(seed)
    models = g_model, d_model, c_model, gan_model = compiled_models(image_shape=image_shape)
    if not dropout:
        c_model.get_layer("dropout").rate = 0
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (40, *image_shape)).astype("uint8")
    roles = Discriminator(supervised=c_model, unsupervised=d_model, judge=d_model, classifier=c_model)
    sgan = SGAN(g_model, roles, gan_model, (images[:20], np.arange(20) % 10), images, batch_size, seed)
    sgan.compile(optimizer=None)
    return sgan, models


def batches(seed, image_shape=(28, 28, 1), half=4):
    random = np.random.default_rng(seed)
    labelled, unlabelled = random.uniform(-1, 1, (2, half, *image_shape)).astype("float32")
    noise = random.normal(size=(3 * half, 100)).astype("float32")
    return labelled, random.integers(0, 10, half), unlabelled, noise[:half], noise[half:]


@pytest.fixture
def precision(request):
    """Keras' default float type for one test."""
    keras.config.set_floatx(request.param)
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("precision, xla, steps, tolerance", [
    ("float64", False, 5, 1e-9),  # no rounding that could hide a difference
    ("float64", True, 5, 1e-9),
    # After 5 steps 17 of 262,144 weights of one layer differ by up to 1.7e-5: Adam magnifies rounding where a gradient
    # is nearly 0, and only there.
    ("float32", False, 2, 1e-5),
], indirect=["precision"])
def test_update_equals_the_plain_loop(precision, xla, steps, tolerance):
    """Dropout off, same weights, same batches: the step is the tutorial's loop, weight for weight."""
    sgan, models = make_sgan(dropout=False)
    plain = compiled_models()
    plain[2].get_layer("dropout").rate = 0
    start = [model.get_weights() for model in models]
    for theirs, weights in zip(plain, start):
        theirs.set_weights(weights)
    update = tf.function(sgan.update, jit_compile=xla)
    for step in range(steps):
        batch = [array.astype(precision) if array.dtype.kind == "f" else array for array in batches(step)]
        expected = plain_step(plain, *batch)
        figures = update(*map(tf.constant, batch))
        for name, value in expected.items():
            assert float(figures[name]) == pytest.approx(float(value), abs=1e-5), (step, name)
    for ours, theirs, old in zip(models[:2], plain[:2], start):
        for weight, other, first in zip(ours.weights, theirs.weights, old):
            np.testing.assert_allclose(weight, other, rtol=0, atol=tolerance, err_msg=weight.path)
            assert np.abs(weight.numpy() - first).max() > 1e-4, f"{weight.path} has not moved"


def test_first_losses_are_the_published_ones():
    """Spec, section 3: c near 2.30, d near 0.10 and 2.40, g near 0.095."""
    sgan, _ = make_sgan()
    figures = sgan.update(*batches(0))
    assert float(figures["c_loss"]) == pytest.approx(2.30, abs=0.15)
    assert float(figures["d_loss_real"]) == pytest.approx(0.095, abs=0.02)
    assert float(figures["d_loss_fake"]) == pytest.approx(2.40, abs=0.05)
    assert float(figures["g_loss"]) == pytest.approx(0.095, abs=0.02)


@pytest.mark.parametrize("silent, moves_d, moves_g", [
    ((), True, True), (("c", "d"), False, True), (("c", "g"), True, False), (("d", "g"), True, False),
    (("c", "d", "g"), False, False),
])
def test_each_update_moves_its_own_weights_and_no_others(silent, moves_d, moves_g):
    """With the learning rates of the other updates at zero, exactly the right weights move."""
    sgan, (g_model, d_model, c_model, gan_model) = make_sgan(image_shape=(8, 8, 1))
    for name, model in (("c", c_model), ("d", d_model), ("g", gan_model)):
        if name in silent:
            model.optimizer.learning_rate = 0.0
    before = [[w.numpy() for w in model.weights] for model in (d_model, g_model)]
    sgan.update(*batches(0, (8, 8, 1)))
    for model, old, moves in zip((d_model, g_model), before, (moves_d, moves_g)):
        for weight, value in zip(model.weights, old):
            assert np.array_equal(weight.numpy(), value) != moves, weight.path


def test_dropout_is_active_in_every_update():
    """Four draws of the dropout layer's seed a step: all but the generator's inference pass go through it."""
    sgan, (_, _, c_model, _) = make_sgan(image_shape=(8, 8, 1))
    state = c_model.get_layer("dropout").seed_generator.state
    sgan.update(*batches(0, (8, 8, 1)))
    first = state.numpy()
    sgan.update(*batches(0, (8, 8, 1)))
    assert (state.numpy() - first).max() == 4


def test_every_label_and_image_drawn_belong_together():
    images = np.arange(40, dtype="uint8").reshape(40, 1, 1, 1)
    seed = keras.random.SeedGenerator(3)
    drawn, labels = generate_real_samples((images, np.arange(40)), 2000, seed)
    np.testing.assert_allclose(np.ravel(drawn), (np.array(labels) - 127.5) / 127.5, rtol=1e-6)
    assert set(np.array(labels)) == set(range(40))  # with replacement, from all of them
    again, _ = generate_real_samples((images, np.arange(40)), 2000, seed)
    assert not np.array_equal(drawn, again)


def test_pixels_are_scaled_to_plus_minus_one():
    np.testing.assert_allclose(scale_images(np.array([0, 255, 51], "uint8")), [-1, 1, -0.6], atol=1e-6)


def test_latent_points_are_standard_normal():
    points = np.array(generate_latent_points(100, 1000, seed=1))
    assert points.shape == (1000, 100)
    assert abs(points.mean()) < 0.02 and abs(points.std() - 1) < 0.02


def test_fit_is_reproducible_and_its_history_holds_means():
    """Same seed, same weights; another seed, others. The epoch's figure is the mean of what the steps returned."""
    class Record(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.steps = []

        def on_train_batch_end(self, batch, logs=None):
            self.steps.append(float(logs["c_loss"]))

    def fitted(seed, steps_per_execution=1):
        sgan, models = make_sgan(seed, image_shape=(8, 8, 1))
        sgan.compile(optimizer=None, steps_per_execution=steps_per_execution)
        record = Record()
        history = sgan.fit(tf.data.Dataset.range(4), epochs=1, verbose=0, shuffle=False, callbacks=[record])
        return models[0].get_weights() + models[1].get_weights(), history.history["c_loss"][0], record.steps

    weights, mean, steps = fitted(0)
    again, _, _ = fitted(0)
    others, _, _ = fitted(1)
    in_two_calls, same_mean, two_steps = fitted(0, steps_per_execution=3)
    assert len(set(steps)) == 4 and mean == pytest.approx(np.mean(steps), rel=1e-5)
    assert all(np.array_equal(a, b) for a, b in zip(weights, again))
    assert not any(np.array_equal(a, b) for a, b in zip(weights, others) if a.any())
    assert all(np.array_equal(a, b) for a, b in zip(weights, in_two_calls))
    assert two_steps == [steps[2], steps[3]] and same_mean == pytest.approx(mean, rel=1e-6)
