"""discriminator_variants.py: shapes, weights and losses, what the heads share, the updates of each, the command."""

import shutil
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
from sgan_mnist import Settings, custom_activation

DRAWINGS = ["discriminator1_plot.png", "discriminator2_plot.png", "discriminator_plot.png",
            "multioutput_discriminator_plot.png", "stacked_discriminator1_plot.png", "stacked_discriminator2_plot.png"]
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


def only_in(model, other):
    """The weights of `model` that are not, as objects, weights of `other`."""
    return [weight for weight in model.weights if not any(weight is w for w in other.weights)]


def shared_and_own(heads):
    """Numbers of weights: (all, those that two heads share, {head: those that only it has})."""
    total, of_head = count_weights(*heads.values()), {name: count_weights(head) for name, head in heads.items()}
    own = {name: total - count_weights(*(heads[each] for each in heads if each != name)) for name in heads}
    return total, sum(of_head.values()) - total, own


def test_numbers_of_weights_are_those_of_the_layers(variants):
    assert [shared_and_own(variant.heads) for variant in variants] == [
        (298_497, 0, {"real": 298_497}),
        (318_987, BACKBONE, {"real": 2_049, "class": 20_490}),
        (321_036, BACKBONE, {"real": 2_049, "class": 22_539}),
        (316_938, 316_938, {"real": 0, "class": 0}),
    ]
    assert dv.define_standard_discriminator().count_params() == 298_497
    assert dv.define_multi_output_discriminator().count_params() == 321_036


def test_equal_weights_of_two_models_do_not_count_as_shared():
    first, second = dv.define_standard_discriminator(), dv.define_standard_discriminator()
    second.set_weights(first.get_weights())
    assert count_weights(first, second) == 2 * 298_497 and count_weights(first, first) == 298_497


def test_outputs_are_probabilities_of_the_right_shape(variants):
    for variant, n_classes in zip(variants, [None, 10, 11, 10], strict=True):
        real = predict(variant.heads["real"], noise())
        assert real.shape == (5, 1)
        assert ((real > 0) & (real < 1)).all()
        if n_classes is None:
            assert list(variant.heads) == ["real"]
        else:
            classes = predict(variant.heads["class"], noise())
            assert classes.shape == (5, n_classes)
            assert (classes > 0).all()
            np.testing.assert_allclose(classes.sum(axis=1), 1, atol=1e-5)


def test_other_image_shapes_and_numbers_of_classes():
    shape, images = (20, 12, 3), noise(2, (20, 12, 3))
    outputs = [dv.define_standard_discriminator(shape)(images)]
    outputs += [model(images) for model in dv.define_shared_discriminators(shape, n_classes=4)]
    outputs += dv.define_multi_output_discriminator(shape, n_classes=4)(images)
    assert [tuple(output.shape) for output in outputs] == [(2, 1), (2, 1), (2, 4), (2, 1), (2, 5)]


def test_every_model_is_compiled_with_an_adam_of_its_own(variants):
    models = [head for variant in variants for head in variant.heads.values()]
    assert len({id(model.optimizer) for model in models}) == len(models) == 7
    for model in models:
        settings = model.optimizer.get_config()
        assert type(model.optimizer).__name__ == "Adam"
        assert settings["learning_rate"] == pytest.approx(2e-4)
        assert (settings["beta_1"], settings["beta_2"]) == (0.5, 0.999)


def test_heads_of_the_multi_output_model_are_its_outputs(variants):
    heads, (model,) = variants[2].heads, variants[2].drawings.values()
    real, classes = model(noise(), training=False)
    np.testing.assert_array_equal(predict(heads["real"], noise()), real)
    np.testing.assert_array_equal(predict(heads["class"], noise()), classes)
    assert (heads["real"].loss, heads["class"].loss) == (dv.REAL_LOSS, dv.CLASS_LOSS)


@TWO_HEADED
@pytest.mark.parametrize("updated, other", [("real", "class"), ("class", "real")])
def test_an_update_through_one_head_changes_the_other(variants, number, updated, other):
    heads = variants[number].heads
    others_own = only_in(heads[other], heads[updated])
    before, own_before = predict(heads[other], noise()), values(others_own)
    moved_before = values(heads[updated].weights)

    reported = dv.change_of_other_head(heads, updated)

    assert reported > 0
    assert np.abs(predict(heads[other], noise()) - before).max() > 1e-6
    for weight, old in zip(heads[updated].weights, moved_before, strict=True):
        assert not np.array_equal(weight.numpy(), old), f"{weight.path} did not move"
    for weight, old in zip(others_own, own_before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), old)


def test_models_that_share_nothing_do_not_change_each_other():
    _, c_model = dv.define_shared_discriminators()
    heads = {"real": dv.compiled(dv.define_standard_discriminator(), dv.REAL_LOSS),
             "class": dv.compiled(c_model, dv.CLASS_LOSS)}
    assert dv.change_of_other_head(heads, "real") == 0
    assert dv.change_of_other_head(heads, "class") == 0


def test_activation_table(capsys):
    dv.print_activation_table()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[-5:]]
    assert [int(logit) for logit, _ in rows] == [-10, -1, 0, 1, 10]
    z = 3 * np.exp(np.array([-10, -1, 0, 1, 10], "float64"))
    printed = np.array([float(real) for _, real in rows])
    np.testing.assert_allclose(printed, z / (z + 1), rtol=0, atol=1e-8)
    np.testing.assert_allclose(printed, [0.00013618, 0.52463, 0.75, 0.89077, 0.99998487], rtol=0, atol=5e-6)


def test_stacked_heads_read_the_same_logits(variants):
    real, classes = variants[3].heads["real"], variants[3].heads["class"]
    # A class's logit is the log of its probability plus a number for all classes, which D(x) gives away.
    before = predict(real, noise())
    logits = np.log(predict(classes, noise())) + np.log(before / (1 - before))
    probabilities = predict(classes, noise())

    bias = real.weights[-1]
    assert tuple(bias.shape) == (10,)
    bias.assign(bias.numpy() + 1)

    np.testing.assert_allclose(predict(real, noise()), custom_activation(logits + 1), atol=1e-5)
    np.testing.assert_allclose(predict(classes, noise()), probabilities, atol=1e-6)


# --------------------------------------------------------------------------------------------------------------
# Ready to train

SHAPE = (8, 8, 1)


def make(name, shape=SHAPE, dropout=True):
    """A variant in training on random images, with weights and noise from seed 0."""
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (40, *shape)).astype("uint8")
    sgan = VARIANTS[name](Settings(), (images[:20], np.arange(20) % 10), images, 10)
    if not dropout:
        sgan.c_model.get_layer("dropout").rate = 0
    return sgan


def test_variants_are_the_three_that_classify():
    assert list(VARIANTS) == ["stacked", "shared", "multi-output"]
    totals = {"stacked": 316_938, "shared": 318_987, "multi-output": 321_036}
    assert {name: count_weights(*make(name, (28, 28, 1)).discriminators) for name in VARIANTS} == totals


@pytest.mark.parametrize("name", VARIANTS)
def test_each_update_moves_exactly_the_right_weights(name):
    """Which weights move where only one optimizer has a learning rate."""
    sgan = make(name)
    models = {"c": sgan.discriminators[0], "d": sgan.discriminators[-1], "g": sgan.gan_model}
    own = {"shared": {"c": "class", "d": "real"}}.get(name, {})  # layers that only one of the two updates moves
    for active in ("c", "d", "g"):
        for model in models.values():
            model.optimizer.learning_rate = 0.0
        models[active].optimizer.learning_rate = 1e-3
        trained = *sgan.discriminators, sgan.g_model
        weights = list({id(w): w for each in trained for w in each.trainable_weights}.values())
        before = values(weights)
        sgan.update(*batches())
        for weight, value in zip(weights, before):
            of_generator = any(weight is each for each in sgan.g_model.weights)
            if active == "g":
                moves = of_generator
            else:
                others = {layer for update, layer in own.items() if update != active}
                moves = weight.path.split("/")[0] not in others and not of_generator
            assert np.array_equal(weight, value) != moves, (active, weight.path)


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


@pytest.mark.filterwarnings("error:The structure of `inputs`")
@pytest.mark.parametrize("as_a_step", [False, True])
def test_multi_output_classifier_is_the_renormalised_first_classes_after_each_step(tmp_path, as_a_step):
    sgan, images = make("multi-output"), noise(6, SHAPE)
    step = tf.function(lambda: sgan.train_step(None)) if as_a_step else lambda: sgan.update(*batches())
    for _ in range(3):
        step()
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


@pytest.mark.slow
def test_command_without_graphviz_says_what_to_install(tmp_path, run_script):
    empty = tmp_path / "no_programs_here"
    empty.mkdir()
    status, output, errors = run_script("discriminator_variants.py", cwd=tmp_path, PATH=str(empty))
    assert (status, errors) == (0, [])
    for number in ("298,497", "318,987", "321,036", "316,938", "296,448", "0.99998487"):
        assert number in output
    lines = output.splitlines()
    assert sum("sharing  one update" in line for line in lines) == 6
    assert "pip install pydot" in lines[-1] and "apt install graphviz" in lines[-1]
    assert not list(tmp_path.rglob("*.png"))


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


@pytest.mark.parametrize("error", [AssertionError("dot returned code: 1"), ImportError("no pydot")])
def test_a_drawing_that_fails_half_way_leaves_nothing(tmp_path, monkeypatch, variants, capsys, error):
    def failing(model, to_file, **options):
        Path(to_file).write_bytes(b"half a drawing")
        raise error

    monkeypatch.setattr(keras.utils, "plot_model", failing)
    dv.draw(variants, tmp_path / "out")
    assert f"No drawings ({error}): they need pydot" in capsys.readouterr().out
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_six_drawings(tmp_path, variants):
    pytest.importorskip("pydot", reason="the drawings need pydot")
    if not shutil.which("dot"):
        pytest.skip("the drawings need Graphviz's program dot")
    dv.draw(variants, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == DRAWINGS
    for name in DRAWINGS:
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
