"""discriminator_variants.py: shapes, weights and losses, what the heads share, the updates of each, the command."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import batches, values

import discriminator_variants as dv
from discriminator_variants import VARIANTS, count_weights
from sgan.runs.command import InputError
from sgan.runs.files import save_model
from sgan_mnist import Settings

DRAWINGS = [f"{name}_plot.png" for name in (
    "discriminator", "discriminator1", "discriminator2", "multioutput_discriminator", "stacked_discriminator1",
    "stacked_discriminator2")]
BACKBONE = 296_448  # three convolutions: 1,280 + 2 * 147,584
TWO_HEADED = pytest.mark.parametrize("number", [1, 2, 3])


@pytest.fixture
def variants():
    keras.utils.set_random_seed(0)
    return dv.build_variants()


def noise(n=5, shape=(28, 28, 1)):
    return np.random.default_rng(7).uniform(-1, 1, (n, *shape)).astype("float32")


def predict(model, images):
    return model(images, training=False).numpy()


def test_numbers_of_weights_are_those_of_the_layers(variants):
    """All, those of the one head and those of the other: what is counted once in all, the heads share."""
    heads = [variant.heads.values() for variant in variants]
    assert [(count_weights(*each), *map(count_weights, each)) for each in heads] == [
        (298_497, 298_497), (318_987, BACKBONE + 2_049, BACKBONE + 20_490),
        (321_036, BACKBONE + 2_049, BACKBONE + 22_539), (316_938, 316_938, 316_938)]


def test_outputs_are_probabilities_of_the_right_shape(variants):
    for variant, n_classes in zip(variants, [None, 10, 11, 10], strict=True):
        assert list(variant.heads) == ["real", "class"][:1 if n_classes is None else 2]
        for name, head in variant.heads.items():
            output = predict(head, noise())
            assert output.shape == (5, 1 if name == "real" else n_classes) and ((output > 0) & (output < 1)).all()
            if name == "class":
                np.testing.assert_allclose(output.sum(axis=1), 1, atol=1e-5)


def test_other_image_shapes_and_numbers_of_classes():
    shape, images = (20, 12, 3), noise(2, (20, 12, 3))
    outputs = [dv.define_standard_discriminator(shape)(images)]
    outputs += [model(images) for model in dv.define_shared_discriminators(shape, n_classes=4)]
    outputs += dv.define_multi_output_discriminator(shape, n_classes=4)(images)
    assert [tuple(output.shape) for output in outputs] == [(2, 1), (2, 1), (2, 4), (2, 1), (2, 5)]


@TWO_HEADED
@pytest.mark.parametrize("updated, other", [("real", "class"), ("class", "real")])
def test_an_update_through_one_head_changes_the_other(variants, number, updated, other):
    heads = variants[number].heads
    others_own = [weight for weight in heads[other].weights if not any(weight is w for w in heads[updated].weights)]
    moved_before, own_before = values(heads[updated].weights), values(others_own)
    assert dv.change_of_other_head(heads, updated) > 1e-6
    assert not any(map(np.array_equal, values(heads[updated].weights), moved_before))
    assert all(map(np.array_equal, values(others_own), own_before))


def test_activation_table(capsys):
    dv.print_activation_table()
    printed = np.array([line.split() for line in capsys.readouterr().out.splitlines()[-5:]], "float64")
    z = 3 * np.exp([-10, -1, 0, 1, 10])
    np.testing.assert_allclose(printed, np.transpose([[-10, -1, 0, 1, 10], z / (z + 1)]), rtol=0, atol=1e-8)


# --------------------------------------------------------------------------------------------------------------
# Ready to train

SHAPE = (8, 8, 1)


def make(name, dropout=True):
    """A variant in training on random images, with weights and noise from seed 0."""
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (40, *SHAPE)).astype("uint8")
    sgan = VARIANTS[name](Settings(), (images[:20], np.arange(20) % 10), images, 10)
    if not dropout:
        sgan.c_model.get_layer("dropout").rate = 0
    return sgan


@pytest.mark.parametrize("name", ["stacked", *(pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS
                                               if name != "stacked")])
def test_each_update_moves_exactly_the_right_weights(name):
    """Which weights move if only one optimizer has a learning rate."""
    sgan = make(name)
    models = {"c": sgan.discriminators[0], "d": sgan.discriminators[-1], "g": sgan.gan_model}
    own = {"shared": {"c": "class", "d": "real"}}.get(name, {})  # layers that only one of the two updates moves
    trained = *sgan.discriminators, sgan.g_model
    weights = list({id(w): w for each in trained for w in each.trainable_weights}.values())
    assert {*own.values()} <= {weight.path.split("/")[0] for weight in weights}
    for active in ("c", "d", "g"):
        for model in models.values():
            model.optimizer.learning_rate = 0.0
        models[active].optimizer.learning_rate = 1e-3
        before = values(weights)
        sgan.update(*batches())
        for weight, value in zip(weights, before):
            of_generator = any(weight is each for each in sgan.g_model.weights)
            of_other = weight.path.split("/")[0] in {layer for update, layer in own.items() if update != active}
            moves = of_generator if active == "g" else not of_generator and not of_other
            assert np.array_equal(weight, value) != moves, (active, weight.path)


@pytest.mark.slow
def test_multi_output_update_is_the_plain_sum_on_the_stated_targets():
    """Labelled images carry (1, class), unlabelled ones (1, K), generated ones (0, K): as `train_on_batch` has it, and
    the loss is that of NumPy."""
    sgan, plain = make("multi-output", dropout=False), make("multi-output", dropout=False).model
    plain.set_weights(sgan.model.get_weights())
    labelled, labels, unlabelled, fake_noise, _ = batch = batches()
    fake = np.array(sgan.g_model(fake_noise, training=False))
    unknown, losses = np.full(4, 10), []
    for images, is_real, classes in ((labelled, 1, labels), (unlabelled, 1, unknown), (fake, 0, unknown)):
        real, probabilities = (output.astype("float64") for output in values(plain(images)))
        losses.append(-np.log(real if is_real else 1 - real).mean() - np.log(probabilities[range(4), classes]).mean())
        plain.train_on_batch(np.array(images), [np.full((4, 1), is_real), np.array(classes)])

    metrics = sgan.update(*batch)

    for name, loss in zip(("c_loss", "d_loss_real", "d_loss_fake"), losses):
        assert float(metrics[name]) == pytest.approx(loss, rel=1e-4), name
    for ours, theirs in zip(sgan.model.weights, plain.weights):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, err_msg=ours.path)


def test_multi_output_generator_is_trained_on_the_real_output():
    sgan = make("multi-output", dropout=False)
    *_, points = batches()
    generated = sgan.g_model(points, training=True)
    real = sgan.model(generated, training=True)[0]
    assert float(sgan.train_generator(points)) == pytest.approx(float(-np.log(real).mean()), rel=1e-4)


def test_multi_output_accuracy_is_over_the_first_classes():
    """Where the extra class wins, the best of the others counts."""
    sgan = make("multi-output")
    kernel, bias = sgan.model.get_layer("class").get_weights()
    sgan.model.get_layer("class").set_weights([0 * kernel, np.eye(11)[3] + 5 * np.eye(11)[10]])
    images, _, *others = batches()
    assert float(sgan.update(images, tf.constant([3, 3, 3, 5]), *others)["c_accuracy"]) == 0.75


@pytest.mark.slow
@pytest.mark.filterwarnings("error:The structure of `inputs`")
def test_multi_output_classifier_is_the_renormalised_first_classes_after_each_step(tmp_path):
    sgan, images = make("multi-output"), noise(6, SHAPE)
    for _ in range(2):
        sgan.train_step(None)
        first = np.array(sgan.model(images)[1])[:, :10]
        expected = first / first.sum(1, keepdims=True)
        np.testing.assert_allclose(predict(sgan.c_model, images), expected, atol=1e-6)
    save_model(sgan.c_model, tmp_path / "c_model.h5")
    loaded = keras.models.load_model(tmp_path / "c_model.h5")
    np.testing.assert_allclose(loaded.predict(images, verbose=0), expected, atol=1e-6)
    loss, accuracy = loaded.evaluate(images, first.argmax(1), verbose=0)
    assert accuracy == 1 and np.isfinite(loss)
    assert {type(layer).__module__.split(".")[0] for layer in loaded.layers} == {"keras"}


# --------------------------------------------------------------------------------------------------------------
# The command


@pytest.mark.parametrize("error", [AssertionError("dot returned code: 1"), ImportError("no pydot")])
def test_the_command_explains_the_variants_and_a_drawing_that_fails_is_none(tmp_path, monkeypatch, capsys, error):
    def failing(model, to_file, **options):
        Path(to_file).write_bytes(b"half a drawing")
        raise error

    monkeypatch.setattr(keras.utils, "plot_model", failing)
    dv.main(["--out", str(tmp_path / "out")])
    output = capsys.readouterr().out
    for number in ("298,497", "318,987", "321,036", "316,938", "296,448", "0.99998487"):
        assert number in output
    assert output.count("sharing  one update") == 6 and f"No drawings ({error}): they need pydot (pip install" in output
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_compare_is_the_study_of_the_variants(tmp_path, monkeypatch, capsys, digits_file):
    monkeypatch.chdir(tmp_path)
    shutil.copy(digits_file, "mine.npz")
    dv.main(["--compare", "--steps", "600", "--splits", "3", "--data", "mine.npz", "--list"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12 and sum("--method supervised-only" in line for line in lines) == 3
    assert sum("--variant multi-output" in line and "--steps 600" in line for line in lines) == 3
    assert all("--data mine.npz" in line for line in lines)
    # --table looks into the data: there are such images here, but no runs on them.
    with pytest.raises(InputError, match="no run of the study 'variants'"):
        dv.main(["--compare", "--data", "mine.npz", "--table", "--results", "none"])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.npz"]


def test_options_of_the_study_need_compare():
    for wrong in ["--steps", "1"], ["--compare", "--out", "x"]:
        with pytest.raises(InputError, match=wrong[-2]):
            dv.main(wrong)


@pytest.mark.skipif(not (find_spec("pydot") and shutil.which("dot")), reason="drawings need pydot and Graphviz")
def test_six_drawings(tmp_path, variants):
    dv.draw(variants, tmp_path)
    drawings = {path.name: path.read_bytes()[:8] for path in tmp_path.iterdir()}
    assert drawings == dict.fromkeys(DRAWINGS, b"\x89PNG\r\n\x1a\n")
