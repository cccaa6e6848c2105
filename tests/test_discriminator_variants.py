"""The discriminators' shapes, weights and losses, what they share, and the script as a command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import discriminator_variants as dv
from sgan_mnist import custom_activation

SCRIPT = Path(dv.__file__)
PICTURES = [
    "discriminator1_plot.png",
    "discriminator2_plot.png",
    "discriminator_plot.png",
    "multioutput_discriminator_plot.png",
    "stacked_discriminator1_plot.png",
    "stacked_discriminator2_plot.png",
]
BODY = 296_448  # three convolutions: 1,280 + 2 * 147,584
TWO_HEADED = pytest.mark.parametrize("number", [1, 2, 3])


@pytest.fixture
def variants():
    dv.keras.utils.set_random_seed(0)
    return dv.build_variants()


def noise(n=5, shape=(28, 28, 1)):
    return np.random.default_rng(7).uniform(-1, 1, (n, *shape)).astype("float32")


def predict(model, images):
    return model(images, training=False).numpy()


def values(weights):
    return [weight.numpy().copy() for weight in weights]


def only_in(model, other):
    """The weights of `model` that are not, as objects, weights of `other`."""
    return [weight for weight in model.weights if not any(weight is w for w in other.weights)]


def test_weight_counts_are_those_of_the_specification(variants):
    assert [dv.count_weights(variant.heads) for variant in variants] == [
        (298_497, 298_497, {"real": 0}),
        (318_987, BODY, {"real": 2_049, "class": 20_490}),
        (321_036, BODY, {"real": 2_049, "class": 22_539}),
        (316_938, 316_938, {"real": 0, "class": 0}),
    ]
    assert dv.define_standard_discriminator().count_params() == 298_497
    assert dv.define_multi_output_discriminator().count_params() == 321_036


def test_equal_weights_of_two_models_do_not_count_as_shared():
    first, second = dv.define_standard_discriminator(), dv.define_standard_discriminator()
    second.set_weights(first.get_weights())
    heads = {"real": first, "class": second}
    assert dv.count_weights(heads) == (2 * 298_497, 0, {"real": 298_497, "class": 298_497})


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
    d_model, c_model = dv.define_shared_discriminators(shape, n_classes=4)
    real, classes = dv.define_multi_output_discriminator(shape, n_classes=4)(images)
    assert predict(dv.define_standard_discriminator(shape), images).shape == (2, 1)
    assert predict(d_model, images).shape == (2, 1)
    assert predict(c_model, images).shape == (2, 4)
    assert (tuple(real.shape), tuple(classes.shape)) == ((2, 1), (2, 5))


def test_every_model_is_compiled_with_an_adam_of_its_own():
    d_model, c_model = dv.define_shared_discriminators()
    multi_output = dv.define_multi_output_discriminator()
    models = [dv.define_standard_discriminator(), d_model, c_model, multi_output]
    assert len({id(model.optimizer) for model in models}) == 4
    for model in models:
        settings = model.optimizer.get_config()
        assert type(model.optimizer).__name__ == "Adam"
        assert settings["learning_rate"] == pytest.approx(2e-4)
        assert (settings["beta_1"], settings["beta_2"]) == (0.5, 0.999)


def test_multi_output_loss_is_the_plain_sum_of_both():
    model = dv.define_multi_output_discriminator()
    assert model.output_names == ["real", "class"]
    images = noise()
    real_target, class_target = np.array([[1], [1], [1], [0], [0]]), np.array([3, 7, 10, 10, 10])
    real, classes = (output.astype("float64") for output in values(model(images, training=False)))
    binary = -np.mean(real_target * np.log(real) + (1 - real_target) * np.log(1 - real))
    categorical = -np.mean(np.log(classes[np.arange(5), class_target]))
    losses = model.test_on_batch(images, [real_target, class_target], return_dict=True)
    assert losses["loss"] == pytest.approx(binary + categorical, rel=1e-5)
    assert losses["real_loss"] == pytest.approx(binary, rel=1e-5)
    assert losses["class_loss"] == pytest.approx(categorical, rel=1e-5)


def test_heads_of_the_multi_output_model_are_its_outputs(variants):
    heads, pictures = variants[2].heads, variants[2].pictures
    model = pictures["multioutput_discriminator_plot.png"]
    real, classes = model(noise(), training=False)
    np.testing.assert_array_equal(predict(heads["real"], noise()), real)
    np.testing.assert_array_equal(predict(heads["class"], noise()), classes)
    assert {head.loss for head in heads.values()} == {dv.REAL_LOSS, dv.CLASS_LOSS}
    assert heads["class"].loss == dv.CLASS_LOSS
    head_weights = {id(weight) for head in heads.values() for weight in head.weights}
    assert head_weights == {id(weight) for weight in model.weights}


@TWO_HEADED
def test_the_body_is_the_same_objects_in_both_heads(variants, number):
    real, classes = variants[number].heads["real"], variants[number].heads["class"]
    kernels = [[w for w in head.weights if len(w.shape) == 4] for head in (real, classes)]
    assert [len(k) for k in kernels] == [3, 3]
    assert all(a is b for a, b in zip(*kernels, strict=True))
    own = [[tuple(w.shape) for w in only_in(*pair)] for pair in ((real, classes), (classes, real))]
    assert own == {
        1: [[(2048, 1), (1,)], [(2048, 10), (10,)]],
        2: [[(2048, 1), (1,)], [(2048, 11), (11,)]],
        3: [[], []],
    }[number]


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
    heads = {"real": dv.define_standard_discriminator(), "class": c_model}
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


def run_script(*arguments, cwd, path):
    environment = {**os.environ, "PATH": str(path)}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


def test_command_without_graphviz_says_what_to_install(tmp_path):
    empty = tmp_path / "no_programs_here"
    empty.mkdir()
    result = run_script(cwd=tmp_path, path=empty)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    lines = result.stdout.splitlines()
    for number in ("298,497", "318,987", "321,036", "316,938", "296,448", "0.99998487"):
        assert number in result.stdout
    assert sum("sharing  one update" in line for line in lines) == 6
    assert "pip install pydot" in lines[-1]
    assert "apt install graphviz" in lines[-1]
    assert sum("pydot" in line for line in lines) == 1
    assert not list(tmp_path.rglob("*.png"))


def test_out_that_cannot_be_written_is_one_line_and_status_2(tmp_path, monkeypatch, variants, capsys):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setattr(dv, "build_variants", lambda: variants[:1])
    out = str(tmp_path / "file" / "pictures")
    monkeypatch.setattr(sys, "argv", ["discriminator_variants.py", "--out", out])
    with pytest.raises(SystemExit) as stop:
        dv.run_command(dv.main)
    assert stop.value.code == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("discriminator_variants.py: ")
    assert "\n" not in error


def test_a_picture_that_fails_half_way_leaves_nothing(tmp_path, monkeypatch, variants, capsys):
    def failing(model, to_file, **options):
        Path(to_file).write_bytes(b"half a picture")
        raise AssertionError("dot failed")

    monkeypatch.setattr(dv.keras.utils, "plot_model", failing)
    dv.draw(variants, tmp_path / "out")
    assert "Graphviz" in capsys.readouterr().out
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_six_pictures(tmp_path, variants):
    pytest.importorskip("pydot", reason="the pictures need pydot")
    if not shutil.which("dot"):
        pytest.skip("the pictures need Graphviz's program dot")
    dv.draw(variants, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == PICTURES
    for name in PICTURES:
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
