"""sgan/tuned.py: its losses against NumPy, which weights a step moves, a run stopped and resumed."""

import csv
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import values
from keras import ops
from PIL import Image

from sgan import tuned
from sgan.runs.command import InputError
from sgan.runs.run_folder import SaveEpoch
from sgan.studies import run as one_run
from sgan.tuned import TunedSettings, TunedSGAN, main, mutual_information_and_marginal_entropy

# Mutual information and marginal entropy


def test_mutual_information_is_that_of_the_joint_distribution_and_marginal_entropy_that_of_the_classes():
    random = np.random.default_rng(0)
    first, second = random.dirichlet([0.1] * 4, size=(2, 10))
    joint = np.mean([np.outer(a, b) for a, b in zip(first, second)], axis=0)
    joint = (joint + joint.T) / 2
    independent = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    classes = (first.mean(axis=0) + second.mean(axis=0)) / 2
    expected = (joint * np.log(joint / independent)).sum(), -(classes * np.log(classes)).sum()
    assert 0.01 < expected[0] < expected[1]
    returned = mutual_information_and_marginal_entropy(ops.array(first), ops.array(second))
    np.testing.assert_allclose(returned, expected, rtol=1e-5)


def test_both_are_highest_for_confident_and_equally_frequent_predictions():
    confident, uniform = np.eye(10, dtype="float32")[np.arange(40) % 10], np.full((40, 10), 0.1, "float32")
    for first, second, expected in ((confident, confident, [np.log(10), np.log(10)]),
                                    (confident, uniform, [0, np.log(10)]),
                                    (confident[:1], confident[:1], [0, 0])):  # always the same prediction
        np.testing.assert_allclose(mutual_information_and_marginal_entropy(first, second), expected, atol=1e-4)


# The training step


def make(dataset, **settings):
    """A training on the first 40 images of a dataset as labelled ones, with weights and noise from seed 0."""
    keras.utils.set_random_seed(0)
    settings = TunedSettings(labelled_batch=8, batch_size=12, generated_batch=4, steps_per_epoch=5, **settings)
    rows = np.arange(40)
    labelled = dataset.train_images[rows], dataset.train_labels[rows]
    return TunedSGAN(settings, labelled, dataset.train_images, 10, settings.epochs * settings.steps_per_epoch)


@pytest.mark.parametrize("settings, noisy", [
    ({"without": "augmentation"}, True), ({}, False), ({"images": "other"}, False),
    ({"without": "augmentation,mutual-information,pseudo-labels"}, False)])
def test_strokes_without_augmentation_have_noise_against_the_discriminator(small_dataset, monkeypatch, settings, noisy):
    sgan, asked = make(small_dataset, **settings), []
    monkeypatch.setattr(tuned, "perturb", lambda images, *which: asked.append((len(images), which)) or images)
    sgan.train_step(None)
    assert asked == [(12, (sgan.discriminator, tuned.PERTURBATION, sgan.seed_generator))] * noisy


def moved(before, weights):
    return [not np.array_equal(a, b) for a, b in zip(before, values(weights))]


@pytest.mark.parametrize("without, steps, keep", [
    ("nothing", 0, 0.1), *(pytest.param(*each, marks=pytest.mark.slow) for each in (("nothing", 90, 0.91),
                                                                                    ("teacher", 90, 0)))])
def test_a_step_moves_discriminator_generator_and_teacher(small_dataset, without, steps, keep):
    sgan = make(small_dataset, epochs=20, without=without)
    sgan.d_optimizer.iterations.assign(steps)
    d, g, teacher = (sgan.discriminator.trainable_weights, sgan.g_model.trainable_weights,
                     sgan.c_model.trainable_weights)
    for each in teacher:
        each.assign(each + 1)
    before = values(d), values(g), values(teacher)
    sgan.train_step(None)
    assert all(moved(before[0], d)) and all(moved(before[1], g))
    for old, new, weight in zip(before[2], teacher, d):
        np.testing.assert_allclose(new, keep * old + (1 - keep) * weight, atol=1e-6)


@pytest.mark.parametrize("without, progress, warm_up_steps", [
    ("nothing", 0.6, 3), *(pytest.param(*each, marks=pytest.mark.slow) for each in (
        ("nothing", 0, 0), ("nothing", 0.6, 4), ("augmentation", 0.6, 0), ("clutter", 0.6, 0),
        ("mutual-information", 0.6, 0), ("pseudo-labels", 0.6, 0), ("generator", 0.6, 0),
        ("unlabelled-images", 0.6, 0)))])
def test_a_step_descends_the_losses_of_the_papers(small_dataset, monkeypatch, without, progress, warm_up_steps):
    """Written out once more, plainly: every image in a pass of its own kind, the losses from their formulas."""
    monkeypatch.setattr(tuned, "WARM_UP_STEPS", warm_up_steps)
    sgan = make(small_dataset, epochs=1, without=without)  # 5 steps
    for name in ("noise", "dropout_1", "dropout_2"):
        layer = sgan.discriminator.get_layer(name)
        layer.stddev = layer.rate = 0
    sgan.d_optimizer, sgan.g_optimizer = keras.optimizers.SGD(1.0), keras.optimizers.SGD(1.0)
    sgan.d_optimizer.iterations.assign(round(5 * progress))
    sgan.maximised.assign(5 * progress > warm_up_steps)  # as decided at the warm-up's end
    logits = sgan.c_model.get_layer("class_logits")
    logits.kernel.assign(3 * logits.kernel)  # so that the teacher is confident of some images, and not of others
    random = np.random.default_rng(3)
    labelled, unlabelled = (random.normal(size=(n, 8, 8, 1)).astype("float32") for n in (8, 12))
    labels, noise = np.arange(8), random.normal(size=(4, 100)).astype("float32")
    monkeypatch.setattr(tuned, "generate_real_samples",
                        lambda data, n, seed: [labelled, labels] if len(data) == 2 else [unlabelled])
    monkeypatch.setattr(tuned, "generate_latent_points", lambda *_: noise)
    monkeypatch.setitem(tuned.KINDS, "strokes", lambda images, seed: 0.8 * images)
    monkeypatch.setattr(tuned, "clutter", lambda images, others, share, seed: images + 0.1)
    monkeypatch.setattr(tuned, "perturb", lambda images, model, size, seed: images + 0.2)

    def seen(images):
        images = images if without == "augmentation" else 0.8 * images
        return images if without in ("augmentation", "clutter", "unlabelled-images") else images + 0.1

    d, g = sgan.discriminator.trainable_weights, sgan.g_model.trainable_weights
    before = values(d), values(g)
    predictions = sgan.c_model.predict(unlabelled, verbose=0)  # of images as they are
    confident = predictions.max(axis=1) >= 0.95
    assert 0 < confident.sum() < 12
    warm = 5 * progress >= warm_up_steps
    with tf.GradientTape() as d_tape, tf.GradientTape() as g_tape:
        on_labelled = sgan.discriminator(seen(labelled))
        on_real = sgan.discriminator(seen(unlabelled) + (0.2 if without == "augmentation" else 0))
        on_generated = sgan.discriminator(sgan.g_model(noise, training=True))
        p = tf.nn.softmax(on_real)
        joint = tf.einsum("nj,nk->jk", predictions, p) / 12
        joint = (joint + tf.transpose(joint)) / 2
        classes, log_p = tf.reduce_sum(joint, 0), tf.math.log(p)
        independent = tf.einsum("j,k->jk", classes, tf.reduce_sum(joint, 1))
        adversarial = 0.15 * (  # -log(Z / (Z + 1)) of the real images, -log(1 / (Z + 1)) of the generated ones
            tf.reduce_mean(tf.nn.softplus(-tf.reduce_logsumexp(on_real, 1)))
            + tf.reduce_mean(tf.nn.softplus(tf.reduce_logsumexp(on_generated, 1))))
        pseudo_labels = sum(log_p[i, predictions[i].argmax()] for i in np.flatnonzero(confident)) / 12
        terms = {
            "mutual-information": -2 * warm * (tf.reduce_sum(joint * tf.math.log(joint / independent))
                                               - 2 * (1 - progress) * tf.reduce_sum(classes * tf.math.log(classes))),
            "pseudo-labels": -progress * pseudo_labels,
            "generator": adversarial}
        left_out = terms if without == "unlabelled-images" else without.split(",")
        d_loss = (-tf.reduce_mean([tf.nn.log_softmax(on_labelled)[i, i] for i in range(8)])
                  + sum(term for name, term in terms.items() if name not in left_out))
        g_loss = tf.reduce_mean(tf.nn.softplus(-tf.reduce_logsumexp(on_generated, 1)))  # to be taken for real ones
    wanted = d_tape.gradient(d_loss, d), g_tape.gradient(g_loss, g)

    metrics = sgan.train_step(None)
    if "pseudo-labels" not in left_out:
        np.testing.assert_allclose(metrics["mask_rate"], confident.mean())
        np.testing.assert_allclose(metrics["pseudo_label_loss"], -pseudo_labels, rtol=1e-4)
    compared = [(d, before[0], wanted[0])]
    if "generator" in left_out:
        assert "g_loss" not in metrics and not any(moved(before[1], g))
    else:
        np.testing.assert_allclose(metrics["g_loss"], g_loss, rtol=1e-4)
        compared.append((g, before[1], wanted[1]))
    for weights, old, gradients in compared:
        for weight, value, gradient in zip(weights, old, gradients):
            scale = np.abs(gradient).max()
            assert scale > 0
            np.testing.assert_allclose(value - weight.numpy(), gradient, atol=2e-3 * scale + 1e-6, err_msg=weight.path)


@pytest.mark.slow
def test_the_clutter_falls_evenly_to_none(small_dataset, monkeypatch):
    sgan, shares = make(small_dataset, epochs=2), []
    monkeypatch.setattr(tuned, "clutter", lambda images, others, share, seed: shares.append(float(share)) or images)
    for step in (0, 5, 10):
        sgan.d_optimizer.iterations.assign(step)
        sgan.train_step(None)
    np.testing.assert_allclose(shares, [0.5, 0.25, 0])
    for without in "clutter", "augmentation", "unlabelled-images":
        make(small_dataset, without=without).train_step(None)
    assert len(shares) == 3


@pytest.mark.parametrize("without, seen", [("nothing", [20, 4]), ("generator", [20]), ("unlabelled-images", [8])])
def test_the_discriminator_sees_no_images_that_it_does_not_learn_from(small_dataset, monkeypatch, without, seen):
    sgan, numbers = make(small_dataset, without=without), []
    layer = sgan.discriminator.get_layer("conv_1")
    convolution = layer.call
    monkeypatch.setattr(layer, "call", lambda images: numbers.append(images.shape[0]) or convolution(images))
    sgan.train_step(None)
    assert numbers == seen  # 8 labelled and 12 unlabelled images, and 4 generated ones


# What the images show


def test_each_kind_of_image_has_its_ingredients(small_dataset):
    def look(train_images, labels=range(10), **settings):
        settings = TunedSettings(**settings)
        ingredients = tuned.ingredients_of(settings, train_images, labels)
        return tuned.kind_of(settings, train_images), {*tuned.INGREDIENTS} - {*ingredients}

    strokes = small_dataset.train_images
    grey, colour = (np.random.default_rng(0).integers(0, 256, (*strokes.shape[:3], c), "uint8") for c in (1, 3))
    photographs, others = ({*tuned.INGREDIENTS} - {*tuned.USED_FOR[kind]} for kind in ("photographs", "other"))
    assert look(strokes) == ("strokes", set()) and look(255 - strokes) == ("strokes", {"clutter"})
    assert look(strokes, 5 * [*range(5)]) == ("strokes", {"mutual-information"})
    assert look(strokes, (5 * [*range(5)])[1:]) == ("strokes", set()) == look(strokes, 5 * [*range(6)])
    assert look(strokes, [0, 1]) == ("strokes", {"mutual-information"})
    assert look(colour) == ("photographs", photographs) and look(grey) == ("other", others)
    assert look(colour, images="other") == ("other", others) == look(
        np.append(np.repeat(grey, 3, axis=-1), colour[:len(grey) // 20], axis=0))  # few in colour
    assert look(grey, images="signs") == ("signs", photographs)
    assert look(grey, images="strokes") == ("strokes", set()) and look(strokes, images="other") == ("other", others)
    assert look(grey, without="teacher") == ("other", {*others, "teacher"})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["photographs", "signs"])
def test_photographs_are_learned_from_labelled_images_only(small_dataset, kind):
    colour = np.random.default_rng(0).integers(0, 256, (*small_dataset.train_images.shape[:3], 3), "uint8")
    sgans = [make(small_dataset._replace(train_images=colour), images=kind, without=without)
             for without in ("nothing", "unlabelled-images")]
    assert sgans[0].c_model.get_layer("batch_norm_1")  # the network of photographs
    teacher = values(sgans[0].c_model.weights)
    for sgan in sgans:
        sgan.train_step(None)
    for old, new, weight, other in zip(teacher, sgans[0].c_model.weights, sgans[0].discriminator.weights,
                                       sgans[1].c_model.weights):
        np.testing.assert_allclose(new, (old + 9 * weight) / 10, atol=1e-6)  # batch normalisation's statistics, too
        np.testing.assert_array_equal(new, other)


def test_the_mutual_information_has_no_weight_if_one_class_has_most_images_at_the_end_of_the_warm_up(
        small_dataset, monkeypatch):
    monkeypatch.setattr(tuned, "WARM_UP_STEPS", 1)

    def decided(*shares, weight=2.0):
        sgan = make(small_dataset, mutual_information_weight=weight, without="generator")
        logits = sgan.c_model.get_layer("class_logits")
        for share in shares:  # of the first class, in a step each: before the warm-up's end, at it and after it
            logits.kernel.assign(0 * logits.kernel)
            logits.bias.assign(np.log([share] + 9 * [(1 - share) / 9]))
            sgan.train_step(None)
        return float(sgan.maximised), values(sgan.discriminator.weights)

    few, most = 0.45, 0.55
    assert [decided(*each)[0] for each in ([few], [few, most], [few, most, few])] == [0, 0, 0]
    assert [decided(*each)[0] for each in ([most, few], [few, few, most])] == [1, 1]
    for share, expected in (most, True), (few, False):
        (_, with_it), (_, without) = decided(few, share), decided(few, share, weight=0.0)
        assert all(np.array_equal(a, b) for a, b in zip(with_it, without)) == expected


@pytest.mark.slow
def test_the_weight_of_the_adversarial_losses_for_other_images_is_a_third_and_falls_to_zero(small_dataset):
    def step(number, **settings):
        """How far a step of plain gradient descent moves the discriminator's weights."""
        sgan = make(small_dataset, **settings)
        sgan.d_optimizer = keras.optimizers.SGD(1.0)
        sgan.d_optimizer.iterations.assign(number)
        before = values(sgan.discriminator.trainable_weights)
        sgan.train_step(None)
        return [a - b for a, b in zip(values(sgan.discriminator.trainable_weights), before)]

    steps = make(small_dataset).steps
    of_strokes = dict(images="strokes", without="mutual-information,pseudo-labels,augmentation")
    none, whole = step(0, **of_strokes, adversarial_weight=0.0), step(0, **of_strokes, adversarial_weight=0.3)
    for number, share in (0, 1 / 3), (steps // 5, 4 / 15), (steps, 0):
        other = step(number, images="other", adversarial_weight=0.3)
        for moved_none, moved_whole, moved_other in zip(none, whole, other):
            expected = moved_none + share * (moved_whole - moved_none)
            np.testing.assert_allclose(moved_other, expected, atol=1e-5)


# Whole runs


@pytest.mark.slow
def test_a_stopped_and_resumed_run_equals_the_whole_one_bit_for_bit(small_digits, tmp_path, monkeypatch):
    def command(out, *more):
        main(["--data", str(small_digits), "--labels", "20", "--batch-size", "20", "--epochs", "2",
              "--steps-per-epoch", "4", "--out", str(tmp_path / out), *more])

    def stop(callback, *args):
        on_epoch_end(callback, *args)
        raise KeyboardInterrupt

    monkeypatch.setattr(tuned, "WARM_UP_STEPS", 2)
    command("whole")
    on_epoch_end = SaveEpoch.on_epoch_end
    monkeypatch.setattr(SaveEpoch, "on_epoch_end", stop)
    with pytest.raises(KeyboardInterrupt, match="python -m sgan.tuned --out .*stopped --resume"):
        command("stopped")
    monkeypatch.setattr(SaveEpoch, "on_epoch_end", on_epoch_end)
    with pytest.raises(InputError, match="--epochs 3 is not what .* only --data may change"):
        command("stopped", "--resume", "--epochs", "3")
    command("stopped", "--resume")
    with np.load(tmp_path / "whole" / "state.npz") as whole, np.load(tmp_path / "stopped" / "state.npz") as resumed:
        assert set(whole.files) == set(resumed.files) and len(whole.files) > 60
        assert [name for name in whole.files if whole[name].tobytes() != resumed[name].tobytes()] == ["run"]


@pytest.mark.parametrize("option, value", [
    ("without", "luck"), ("without", "teacher,luck"), ("confidence", "-0.1"), ("confidence", "1.0"),
    ("mutual-information-weight", "nan"), ("mutual-information-weight", "-1.0"), ("adversarial-weight", "inf"),
])
def test_a_setting_that_cannot_be_is_refused(small_digits, tmp_path, option, value):
    with pytest.raises(InputError, match=f"--{option}:? {value}"):
        main(["--data", str(small_digits), "--out", str(tmp_path / "run"), f"--{option}", value])
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_colour_images_of_any_size_without_a_test_set(tmp_path, capsys):
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (60, 18, 11, 3), dtype="uint8"), random.integers(-1, 3, 60)
    np.savez(tmp_path / "own.npz", x_train=images, y_train=labels)
    main(["--data", str(tmp_path / "own.npz"), "--epochs", "1", "--steps-per-epoch", "2", "--out", str(tmp_path)])
    assert keras.models.load_model(tmp_path / "c_model_0002.h5").input_shape == (None, 18, 11, 3)
    assert not [*tmp_path.glob("g_model*"), *tmp_path.glob("generated*")]  # for photographs none is trained
    output = capsys.readouterr().out
    assert "The unlabelled images are not used" in output and "Assumed" not in output
    with Image.open(tmp_path / "augmented.png") as picture:  # eight images, and below each a copy
        assert picture.mode == "RGB" and picture.size == (9 * 8 * 11, 9 * 2 * 18)


@pytest.mark.slow
def test_the_study_trains_the_same_as_the_script(small_digits, small_dataset, tmp_path, capsys):
    main(["--data", str(small_digits), "--labels", "20", "--seed", "3", "--label-seed", "4", "--epochs", "1",
          "--steps-per-epoch", "3", "--out", str(tmp_path)])
    assert "Assumed: classes about equally frequent" in capsys.readouterr().out
    _, ours = one_run.make_run(one_run.Run(preset="tuned", labels=20, seed=3, label_seed=4, steps=3), small_dataset)
    theirs = keras.models.load_model(tmp_path / "c_model_0003.h5")
    for a, b in zip(ours.c_model.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


@pytest.mark.slow
@pytest.mark.skipif("MNIST_NPZ" not in os.environ, reason="MNIST_NPZ does not name the real mnist.npz")
def test_learns_from_real_mnist(tmp_path):
    """100 labels, 10,000 images, 200 steps: far better than chance. (Whole runs reach 99.2 %: see README.)"""
    with np.load(os.environ["MNIST_NPZ"]) as mnist:
        few = {name: values[:10000 if "train" in name else 2000] for name, values in mnist.items()}
    np.savez(tmp_path / "few.npz", **few)
    main(["--data", str(tmp_path / "few.npz"), "--out", str(tmp_path / "run"), "--epochs", "1", "--steps-per-epoch",
          "200"])
    with open(tmp_path / "run" / "history.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["test_accuracy"]) > 0.75
