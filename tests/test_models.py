"""The networks: weights, shapes, the activation and its losses, what is saved."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from run_folder import save_model
from sgan_mnist import custom_activation, define_discriminator, define_gan, define_generator


def expected_activation(logits):
    """Z / (Z + 1), in double precision and without overflow."""
    largest = logits.max(axis=-1, keepdims=True)
    log_z = largest + np.log(np.exp(logits - largest).sum(axis=-1, keepdims=True))
    return 1 / (1 + np.exp(-np.clip(log_z, -700, 700)))


@pytest.mark.parametrize("logit, value", [(-10, 0.00013618), (-1, 0.52463), (0, 0.75), (1, 0.89077), (10, 0.99998487)])
def test_activation_of_three_equal_logits(logit, value):
    assert float(custom_activation(np.full((1, 3), logit, "float32"))[0, 0]) == pytest.approx(value, rel=1e-5)


def test_activation_and_its_gradient_from_minus_1000_to_1000():
    ramp = np.linspace(-1000, 1000, 401)
    logits = np.stack([ramp, ramp[::-1], np.zeros_like(ramp)], axis=1).astype("float32")
    logits = np.concatenate([logits, np.repeat(ramp[:, None], 3, axis=1).astype("float32")])
    with tf.GradientTape() as tape:
        x = tf.constant(logits)
        tape.watch(x)
        values = custom_activation(x)
    np.testing.assert_allclose(values, expected_activation(logits.astype("float64")), rtol=1e-5, atol=1e-30)
    assert np.isfinite(tape.gradient(values, x)).all()


@pytest.mark.parametrize("shape, n_classes, d_weights, g_weights", [
    ((28, 28, 1), 10, 316_938, 1_164_289),
    ((32, 20, 3), 4, None, None),
])
def test_shapes_and_weights(shape, n_classes, d_weights, g_weights):
    d_model, c_model = define_discriminator(shape, n_classes)
    g_model = define_generator(100, shape)
    images = np.random.default_rng(0).uniform(-1, 1, (2, *shape)).astype("float32")
    assert d_model(images).shape == (2, 1) and c_model(images).shape == (2, n_classes)
    np.testing.assert_allclose(np.sum(c_model(images), axis=1), 1, rtol=1e-5)
    drawn = g_model(np.random.default_rng(0).normal(size=(2, 100)))
    assert drawn.shape == (2, *shape) and np.abs(drawn).max() <= 1
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


def test_gan_trains_the_generator_alone_in_whatever_order_things_are_compiled():
    g_model = define_generator(5, (8, 8, 1))
    d_model, c_model = define_discriminator((8, 8, 1), 2)
    gan_model = define_gan(g_model, d_model)
    noise, images = np.ones((2, 5), "float32"), np.ones((2, 8, 8, 1), "float32")

    def moved(train):
        before = {id(w): w.numpy() for w in gan_model.weights}
        train()
        return {id(w) for w in gan_model.weights if not np.array_equal(before[id(w)], w.numpy())}

    g_weights, d_weights = {id(w) for w in g_model.weights}, {id(w) for w in d_model.weights}
    c_model.compile("sgd", "sparse_categorical_crossentropy")
    assert moved(lambda: c_model.train_on_batch(images, np.array([0, 1]))) == d_weights
    gan_model.compile("adam", "binary_crossentropy")
    assert moved(lambda: gan_model.train_on_batch(noise, np.ones((2, 1)))) == g_weights
    d_model.compile("adam", "binary_crossentropy")
    assert moved(lambda: d_model.train_on_batch(images, np.ones((2, 1)))) == d_weights
    assert moved(lambda: gan_model.train_on_batch(noise, np.ones((2, 1)))) == g_weights
    assert {id(w) for w in gan_model.trainable_variables} == g_weights
    assert {id(w) for w in gan_model.non_trainable_weights} == d_weights
    assert all(w.trainable for w in d_model.weights)


def test_saved_classifier_loads_and_evaluates_in_a_program_that_knows_nothing_of_ours(tmp_path):
    _, c_model = define_discriminator((8, 8, 1), 3)
    c_model.compile(keras.optimizers.Adam(2e-4, beta_1=0.5), "sparse_categorical_crossentropy", metrics=["accuracy"])
    random = np.random.default_rng(0)
    images, labels = random.uniform(-1, 1, (6, 8, 8, 1)).astype("float32"), random.integers(0, 3, 6)
    c_model.train_on_batch(images, labels)
    save_model(c_model, tmp_path / "c_model.h5")
    np.savez(tmp_path / "batch.npz", images=images, labels=labels, predictions=c_model.predict(images, verbose=0),
             figures=c_model.evaluate(images, labels, verbose=0))
    program = """if True:
        import keras, numpy as np
        model = keras.models.load_model("c_model.h5")
        batch = np.load("batch.npz")
        np.testing.assert_allclose(model.predict(batch["images"]), batch["predictions"], rtol=1e-5)
        np.testing.assert_allclose(model.evaluate(batch["images"], batch["labels"]), batch["figures"], rtol=1e-5)
    """
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["batch.npz", "c_model.h5"]
