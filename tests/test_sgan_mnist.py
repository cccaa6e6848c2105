"""sgan_mnist.py: the label split, the networks, the training step."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import batches, make_sgan, values

from sgan.benchmarks.plain_loop import compiled_models, plain_step
from sgan.runs.command import InputError
from sgan_mnist import (
    GAN, custom_activation, define_discriminator, define_generator, generate_latent_points,
    generate_real_samples, scale_images, select_supervised_samples
)

# Which images keep their labels


def test_label_split_is_balanced_without_repetition_and_drawn_by_its_seed():
    labels = np.random.default_rng(0).integers(0, 10, 1000)
    rows = select_supervised_samples(labels, 100, 10, seed=1)
    assert len(set(rows)) == 100 and (np.diff(rows) > 0).all()
    assert (np.bincount(labels[rows]) == 10).all()
    assert np.array_equal(rows, select_supervised_samples(labels, 100, 10, seed=1))
    assert not np.array_equal(rows, select_supervised_samples(labels, 100, 10, seed=2))


def test_label_split_never_takes_an_unlabelled_image_and_can_take_all_labelled_ones():
    labels = np.array([-1, 0, -1, 1, 0, 0, -1, 1])
    assert select_supervised_samples(labels, "all", 2).tolist() == [1, 3, 4, 5, 7]
    for seed in range(5):
        assert (labels[select_supervised_samples(labels, 4, 2, seed)] >= 0).all()


@pytest.mark.parametrize("labels, n_samples, complaint", [
    ([0, 1, 2] * 9, 10, "must be a multiple of 3"),
    ([0, 1, 2] * 9, 2, "must be a multiple of 3"),
    ([0, 0, 0, 1, 2, 2], 6, "class b has 1"),
    ([0, 0, -1, 2], "all", "class b has 0"),
])
def test_label_splits_that_cannot_be_made_are_refused(labels, n_samples, complaint):
    with pytest.raises(InputError, match=complaint):
        select_supervised_samples(np.array(labels), n_samples, 3, class_names="abc")


# The networks


def test_activation_and_its_gradient_from_minus_1000_to_1000():
    ramp = np.linspace(-1000, 1000, 401)
    logits = np.stack([ramp, ramp[::-1], np.zeros_like(ramp)], axis=1).astype("float32")
    logits = np.concatenate([logits, np.repeat(ramp[:, None], 3, axis=1).astype("float32")])
    with tf.GradientTape() as tape:
        x = tf.constant(logits)
        tape.watch(x)
        values = custom_activation(x)
    log_z = np.logaddexp.reduce(logits.astype("float64"), axis=1, keepdims=True)
    np.testing.assert_allclose(values, np.exp(-np.logaddexp(0, -log_z)), rtol=1e-5, atol=1e-30)  # Z / (Z + 1)
    assert float(custom_activation(np.zeros((1, 3), "float32"))[0, 0]) == pytest.approx(0.75)
    assert np.isfinite(tape.gradient(values, x)).all()


@pytest.mark.parametrize("shape, n_classes, d_weights, g_weights", [
    ((28, 28, 1), 10, 316_938, 1_164_289),
    ((32, 20, 3), 4, None, None),
])
def test_shapes_and_numbers_of_weights(shape, n_classes, d_weights, g_weights):
    d_model, c_model = define_discriminator(shape, n_classes)
    g_model = define_generator(100, shape)
    images = np.random.default_rng(0).uniform(-1, 1, (2, *shape)).astype("float32")
    assert d_model(images).shape == (2, 1) and c_model(images).shape == (2, n_classes)
    np.testing.assert_allclose(np.sum(c_model(images), axis=1), 1, rtol=1e-5)
    generated = g_model(np.random.default_rng(0).normal(size=(2, 100)))
    assert generated.shape == (2, *shape) and np.abs(generated).max() <= 1
    if d_weights:
        assert d_model.count_params() == c_model.count_params() == d_weights
        assert g_model.count_params() == g_weights


def test_both_heads_share_every_weight():
    d_model, c_model = define_discriminator()
    assert [id(w) for w in d_model.weights] == [id(w) for w in c_model.weights]


@pytest.mark.parametrize("logit", [-1000.0, -200.0, 0.0, 200.0, 1000.0])
def test_losses_come_from_the_logits(logit):
    """With the last layer forced to one logit, losses must grow with it, not stop where a probability rounds."""
    d_model, c_model = define_discriminator((8, 8, 1), 2)
    d_model.compile(loss="binary_crossentropy")
    c_model.compile(loss="sparse_categorical_crossentropy")
    last = c_model.get_layer("class_logits")
    last.set_weights([np.zeros_like(last.kernel), np.array([logit, -logit], "float32")])
    image = np.zeros((1, 8, 8, 1), "float32")

    @tf.function
    def losses():
        def loss(model, target):
            return model.compute_loss(image, target, model(image, training=True))
        return (loss(d_model, np.zeros((1, 1))), loss(d_model, np.ones((1, 1))),
                loss(c_model, np.array([0])), loss(c_model, np.array([1])))

    log_z = np.logaddexp(logit, -logit)
    expected = [np.logaddexp(0, log_z), np.logaddexp(0, -log_z),
                log_z - logit, log_z + logit]
    np.testing.assert_allclose(losses(), expected, rtol=1e-6, atol=1e-7)


def test_gan_trains_the_generator_only_in_whatever_order_things_are_compiled():
    g_model = define_generator(5, (8, 8, 1))
    d_model, c_model = define_discriminator((8, 8, 1), 2)
    gan_model = GAN(g_model, d_model)
    noise, images = np.ones((2, 5), "float32"), np.ones((2, 8, 8, 1), "float32")

    def moved(train):
        before = {id(w): w.numpy() for w in gan_model.weights}
        train()
        return {id(w) for w in gan_model.weights if not np.array_equal(before[id(w)], w.numpy())}

    g_weights, d_weights = {id(w) for w in g_model.weights}, {id(w) for w in d_model.weights}
    c_model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    assert moved(lambda: c_model.train_on_batch(images, np.array([0, 1]))) == d_weights
    gan_model.compile("adam", "binary_crossentropy", run_eagerly=True)
    assert moved(lambda: gan_model.train_on_batch(noise, np.ones((2, 1)))) == g_weights
    d_model.compile("adam", "binary_crossentropy", run_eagerly=True)
    assert moved(lambda: d_model.train_on_batch(images, np.ones((2, 1)))) == d_weights
    assert moved(lambda: gan_model.train_on_batch(noise, np.ones((2, 1)))) == g_weights
    assert {id(w) for w in gan_model.trainable_variables} == g_weights
    assert {id(w) for w in gan_model.non_trainable_weights} == d_weights
    assert all(w.trainable for w in d_model.weights)


# The training step


@pytest.fixture
def precision(request):
    """Keras' default float type for one test."""
    keras.config.set_floatx(request.param)
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("precision, xla, steps, tolerance", [
    ("float64", False, 3, 1e-9),  # no rounding that could hide a difference
    pytest.param("float64", True, 2, 1e-9, marks=pytest.mark.slow),
    # After 5 steps 17 of 262,144 weights of one layer differ by up to 1.7e-5: Adam magnifies rounding where a gradient
    # is nearly 0, and only there.
    pytest.param("float32", False, 2, 1e-5, marks=pytest.mark.slow),
], indirect=["precision"])
def test_update_equals_the_plain_loop(precision, xla, steps, tolerance):
    """Dropout off, same weights, same batches: the step is the tutorial's loop, weight for weight."""
    sgan, plain = make_sgan(shape=(28, 28, 1)), compiled_models()
    sgan.c_model.get_layer("dropout").rate = plain[2].get_layer("dropout").rate = 0
    models = sgan.g_model, sgan.d_model, sgan.c_model, sgan.gan_model
    start = [model.get_weights() for model in models]
    for theirs, weights in zip(plain, start):
        theirs.set_weights(weights)
    update = tf.function(sgan.update, jit_compile=xla)
    for step in range(steps):
        batch = [tf.cast(each, precision) if each.dtype.is_floating else each for each in batches(step, 4, (28, 28, 1))]
        expected = plain_step(plain, *(each.numpy() for each in batch))
        metrics = update(*batch)
        assert metrics.keys() == expected.keys()
        for name, value in expected.items():
            assert float(metrics[name]) == pytest.approx(float(value), abs=1e-5), (step, name)
    for ours, theirs, old in zip(models[:2], plain[:2], start):
        for weight, other, first in zip(ours.weights, theirs.weights, old):
            np.testing.assert_allclose(weight, other, rtol=0, atol=tolerance, err_msg=weight.path)
            assert np.abs(weight.numpy() - first).max() > 1e-4, f"{weight.path} has not moved"


def test_first_losses_are_the_published_ones():
    """Of the tutorial's first step: c near 2.30, d near 0.10 and 2.40, g near 0.095."""
    metrics = make_sgan(shape=(28, 28, 1)).update(*batches(shape=(28, 28, 1)))
    assert float(metrics["c_loss"]) == pytest.approx(2.30, abs=0.15)
    assert float(metrics["d_loss_real"]) == pytest.approx(0.095, abs=0.02)
    assert float(metrics["d_loss_fake"]) == pytest.approx(2.40, abs=0.05)
    assert float(metrics["g_loss"]) == pytest.approx(0.095, abs=0.02)


@pytest.mark.parametrize("silent, moves_d, moves_g", [
    ((), True, True), (("c", "d"), False, True), (("c", "g"), True, False), (("d", "g"), True, False),
    (("c", "d", "g"), False, False),
])
def test_each_update_moves_its_own_weights_and_no_others(silent, moves_d, moves_g):
    """With the learning rates of the other updates at zero, exactly the right weights move."""
    sgan = make_sgan()
    for name, model in (("c", sgan.c_model), ("d", sgan.d_model), ("g", sgan.gan_model)):
        if name in silent:
            model.optimizer.learning_rate = 0.0
    models = sgan.d_model, sgan.g_model
    before = [values(model.weights) for model in models]
    sgan.update(*batches())
    for model, old, moves in zip(models, before, (moves_d, moves_g)):
        for weight, value in zip(model.weights, old):
            assert np.array_equal(weight.numpy(), value) != moves, weight.path


def test_dropout_is_active_in_every_update():
    """A step draws four times from the dropout layer's seed: all but the generator's inference go through it."""
    sgan = make_sgan()
    state = sgan.c_model.get_layer("dropout").seed_generator.state
    sgan.update(*batches())
    first = state.numpy()
    sgan.update(*batches())
    assert (state.numpy() - first).max() == 4


def test_each_label_stays_with_its_image_when_batches_are_drawn():
    images = np.arange(40, dtype="uint8").reshape(40, 1, 1, 1)
    seed = keras.random.SeedGenerator(3)
    drawn, labels = generate_real_samples((images, np.arange(40)), 2000, seed)
    np.testing.assert_allclose(np.ravel(drawn), (np.array(labels) - 127.5) / 127.5, rtol=1e-6)
    assert set(np.array(labels)) == set(range(40))  # with replacement, from all of them
    again, _ = generate_real_samples((images, np.arange(40)), 2000, seed)
    assert not np.array_equal(drawn, again)


def test_pixels_are_scaled_to_plus_minus_one_and_latent_points_are_standard_normal():
    np.testing.assert_allclose(scale_images(np.array([0, 255, 51], "uint8")), [-1, 1, -0.6], atol=1e-6)
    points = np.array(generate_latent_points(100, 1000, seed=1))
    assert points.shape == (1000, 100) and abs(points.mean()) < 0.02 and abs(points.std() - 1) < 0.02
    assert np.array_equal(points, make_sgan().latent_points(1000, seed=1))
