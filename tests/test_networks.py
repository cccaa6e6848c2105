"""The studies' networks and variants: which weights each update moves, and by how much."""


# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf

from studies import networks
from studies.networks import PRESETS, VARIANTS, count_weights
from studies.run import Run, build, choose_rows, keep_models

SHAPE = (8, 8, 1)


def make(dataset, preset="tutorial", dropout=True, **settings):
    """(SGAN or Alone, its Discriminator, if it has one) on 20 labelled images."""
    keras.utils.set_random_seed(0)
    run = Run(preset=preset, labels=20, data="small.npz", **settings)
    model, classifier, _ = build(run, dataset, *choose_rows(dataset.train_labels, 10, run))
    if not dropout:
        classifier().get_layer("dropout").rate = 0
    return model, getattr(model, "discriminator", None)


def batches(n=4):
    random = np.random.default_rng(0)
    labelled, unlabelled = random.uniform(-1, 1, (2, n, *SHAPE)).astype("float32")
    noise = random.normal(size=(2 * n, 100)).astype("float32")
    return [tf.constant(each) for each in (labelled, np.arange(n), unlabelled, noise[:n], noise[n:])]


def values(weights):
    return [weight.numpy() for weight in weights]


# --- the second article's networks ---


def test_weights_of_the_articles_networks():
    discriminator = VARIANTS["stacked"]((28, 28, 1), 10, PRESETS["article"].optimizer, networks.article_body)
    assert count_weights(discriminator.supervised, discriminator.unsupervised) == 113_930
    g_model = networks.article_generator(100)
    assert g_model.count_params() == 1_637_121
    assert g_model(np.zeros((2, 100))).shape == (2, 28, 28, 1)


@pytest.mark.parametrize("preset, half, gan, rate, beta_1", [
    ("tutorial", 50, 100, 2e-4, 0.5), ("article", 32, 32, 1e-3, 0.9),
])
def test_presets_train_with_their_batches_and_optimizers(small_dataset, preset, half, gan, rate, beta_1):
    sgan, roles = make(small_dataset, preset)
    seen = []
    sgan.update = lambda *batch: seen.extend(len(each) for each in batch) or {mean.name: 0.0 for mean in sgan.means}
    sgan.train_step(None)
    assert seen == [half, half, half, half, gan]
    optimizers = [model.optimizer for model in (roles.supervised, roles.unsupervised, sgan.gan_model)]
    assert len(set(map(id, optimizers))) == 3
    for optimizer in optimizers:
        assert float(optimizer.learning_rate) == pytest.approx(rate) and optimizer.beta_1 == beta_1


@pytest.mark.parametrize("compiled", [False, True])
def test_moving_statistics_follow_the_real_images_alone(small_dataset, compiled):
    """Labelled and unlabelled images move the discriminator's, by their batch statistics; generated ones and the
    generator's update leave them. The generator's own move in its update alone."""
    sgan, roles = make(small_dataset, "article")
    for model in (roles.supervised, roles.unsupervised, sgan.gan_model):
        model.optimizer.learning_rate = 0.0
    batch = batches()
    start = values(roles.judge.weights)
    generator = values(sgan.g_model.non_trainable_weights)
    roles.judge(batch[0], training=True)
    roles.judge(batch[2], training=True)
    expected = values(roles.judge.weights)
    sgan.g_model(batch[4], training=True)
    generator_expected = values(sgan.g_model.non_trainable_weights)
    roles.judge.set_weights(start)
    for weight, value in zip(sgan.g_model.non_trainable_weights, generator):
        weight.assign(value)

    (tf.function(sgan.update) if compiled else sgan.update)(*batch)

    assert len(roles.judge.non_trainable_weights) == 4 and len(generator) == 4
    for weight, value, before in zip(roles.judge.weights, expected, start):
        np.testing.assert_allclose(weight, value, rtol=1e-5, atol=1e-6, err_msg=weight.path)
        assert np.array_equal(value, before) != ("moving" in weight.path)
    for weight, value in zip(sgan.g_model.non_trainable_weights, generator_expected):
        np.testing.assert_allclose(weight, value, rtol=1e-5, atol=1e-6, err_msg=weight.path)


def test_every_update_uses_batch_statistics(small_dataset):
    """All losses are those of training mode, from which the moving statistics are far."""
    sgan, roles = make(small_dataset, "article", dropout=False)
    for weight in roles.judge.non_trainable_weights:
        weight.assign(0.01 + 0 * weight)
    for model in (roles.supervised, roles.unsupervised, sgan.gan_model):
        model.optimizer.learning_rate = 0.0
    labelled, labels, unlabelled, fake_noise, gan_noise = batches()

    def real(images, training):  # mean of -log P(real)
        return float(-np.log(roles.judge(images, training=training)).mean())

    fake = sgan.g_model(fake_noise, training=False)
    generated = sgan.g_model(gan_noise, training=True)
    expected = {"d_loss_real": real(unlabelled, True), "g_loss": real(generated, True),
                "d_loss_fake": float(-np.log(1 - roles.judge(fake, training=True)).mean()),
                "c_loss": float(-np.log(roles.classifier(labelled, training=True).numpy()[range(4), labels]).mean())}
    figures = sgan.update(*batches())
    for name, value in expected.items():
        assert float(figures[name]) == pytest.approx(value, rel=1e-3), name
    assert real(generated, False) != pytest.approx(expected["g_loss"], rel=0.1)


# --- the variants ---


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_update_moves_exactly_the_right_weights(small_dataset, variant):
    """Which weights move where only one optimizer has a learning rate."""
    sgan, roles = make(small_dataset, variant=variant)
    models = {"c": roles.supervised, "d": roles.unsupervised, "g": sgan.gan_model}
    alone = {"shared": {"c": "class", "d": "real"}}.get(variant, {})  # layers that only one of the two updates moves
    for active in ("c", "d", "g"):
        for model in models.values():
            model.optimizer.learning_rate = 0.0
        models[active].optimizer.learning_rate = 1e-3
        weights = list({id(w): w for each in (roles.supervised, roles.unsupervised, sgan.g_model)
                        for w in each.trainable_weights}.values())
        before = values(weights)
        sgan.update(*batches())
        for weight, value in zip(weights, before):
            if active == "g":
                moves = any(weight is each for each in sgan.g_model.weights)
            else:
                owner = weight.path.split("/")[0]
                others = {layer for update, layer in alone.items() if update != active}
                moves = owner not in others and not any(weight is each for each in sgan.g_model.weights)
            assert np.array_equal(weight, value) != moves, (active, weight.path)


def test_multi_output_update_is_the_plain_sum_on_the_stated_targets(small_dataset):
    """Labelled images carry (1, class), unlabelled ones (1, K), generated ones (0, K): as `train_on_batch` has it."""
    sgan, roles = make(small_dataset, variant="multi-output", dropout=False)
    _, plain = make(small_dataset, variant="multi-output", dropout=False)
    plain.supervised.set_weights(roles.supervised.get_weights())
    labelled, labels, unlabelled, fake_noise, _ = batch = batches()
    fake = np.array(sgan.g_model(fake_noise, training=False))
    ones, unknown = np.ones((4, 1)), np.full(4, 10)
    losses = []
    for images, targets in ((labelled, [ones, labels]), (unlabelled, [ones, unknown]), (fake, [0 * ones, unknown])):
        plain.supervised.reset_metrics()
        losses.append(plain.supervised.train_on_batch(np.array(images), [np.array(each) for each in targets])[0])

    figures = sgan.update(*batch)

    for name, loss in zip(("c_loss", "d_loss_real", "d_loss_fake"), losses):
        assert float(figures[name]) == pytest.approx(float(loss), rel=1e-4), name
    for ours, theirs in zip(roles.supervised.weights, plain.supervised.weights):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, err_msg=ours.path)


def test_multi_output_accuracy_is_over_the_first_classes(small_dataset):
    """Where the extra class wins, the best of the others counts."""
    sgan, roles = make(small_dataset, variant="multi-output")
    kernel, bias = roles.supervised.get_layer("class").get_weights()
    roles.supervised.get_layer("class").set_weights([0 * kernel, np.eye(11)[3] + 5 * np.eye(11)[10]])
    images, _, *others = batches()
    assert float(sgan.update(images, tf.constant([3, 3, 3, 5]), *others)["c_accuracy"]) == 0.75


def test_saved_classifier_of_the_multi_output_model_equals_slicing(small_dataset, tmp_path):
    sgan, roles = make(small_dataset, variant="multi-output")
    sgan.update(*batches())
    keep_models(sgan, networks.present_classifier(roles), Run(variant="multi-output"), tmp_path)
    images = np.random.default_rng(1).uniform(-1, 1, (6, *SHAPE)).astype("float32")
    first = np.array(roles.supervised(images)[1])[:, :10]
    loaded = keras.models.load_model(tmp_path / "c_model_12000.h5")
    np.testing.assert_allclose(loaded.predict(images, verbose=0), first / first.sum(1, keepdims=True), atol=1e-6)
    loss, accuracy = loaded.evaluate(images, first.argmax(1), verbose=0)
    assert accuracy == 1 and np.isfinite(loss)
    assert {type(layer).__module__.split(".")[0] for layer in loaded.layers} == {"keras"}
