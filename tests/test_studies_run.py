"""sgan/studies/run.py: one run, its settings and its result."""

import keras
import numpy as np
import pytest

import sgan_mnist
from sgan.runs.command import InputError
from sgan.studies import run as run_module
from sgan.studies.article import ArticleSGAN
from sgan.studies.results import describe_rows, read_results
from sgan.studies.run import FIRST, Run, build, choose_rows, make_run
from sgan.studies.supervised_only import SupervisedOnly
from sgan.tuned import INGREDIENTS, TunedSGAN

# --------------------------------------------------------------------------------------------------------------
# Settings


def test_which_images_are_labelled_and_unlabelled():
    labels = np.random.default_rng(0).integers(0, 10, 1000)
    labelled, unlabelled = choose_rows(labels, 10, Run(labels=20, label_seed=3))
    assert np.array_equal(labelled, sgan_mnist.select_supervised_samples(labels, 20, 10, 3))
    assert np.array_equal(unlabelled, np.arange(1000))
    again, fewer = choose_rows(labels, 10, Run(labels=20, label_seed=3, unlabelled=50))
    assert np.array_equal(again, labelled) and len(set(fewer)) == 50 and set(labelled) <= set(fewer)
    first, others = choose_rows(labels, 10, Run(labels=20, label_seed=FIRST))
    assert all(np.array_equal(first[labels[first] == k], np.flatnonzero(labels == k)[:2]) for k in range(10))
    assert np.array_equal(others, np.arange(20, 1000))
    for wrong in (dict(unlabelled=10), dict(unlabelled=1001), dict(labels=25), dict(labels=25, label_seed=FIRST),
                  dict(labels=5, label_seed=FIRST), dict(labels=5000, label_seed=FIRST)):
        with pytest.raises(InputError, match="must be|class a has"):
            choose_rows(labels, 10, Run(**{"labels": 20, **wrong}), "abcdefghij")


@pytest.mark.parametrize("arguments, complaint", [
    (["--method", "supervised-only", "--variant", "shared"], "--variant, --unlabelled: go with --method sgan"),
    (["--method", "supervised-only", "--unlabelled", "500"], "--variant, --unlabelled: go with --method sgan"),
    (["--preset", "article", "--variant", "multi-output"], "--variant multi-output: not one of --preset article"),
    (["--variant", "adversarial"], "--variant adversarial: not one of --preset tutorial"),
    (["--preset", "feature-matching", "--variant", "shared"], "shared: not one of --preset feature-matching"),
    (["--preset", "tuned", "--method", "supervised-only"], "of --preset tuned it is --without unlabelled"),
    (["--without", "teacher"], "--without teacher: goes with --preset tuned"),
    (["--preset", "tuned", "--without", "teacher,luck"], "--without teacher,luck: choose among"),
    (["--steps", "0"], "--steps"), (["--label-seed", "x"], "--label-seed: invalid label_seed value: 'x'"),
    (["--preset", "none"], "--preset: invalid choice"), (["--data", "none.npz"], "none.npz"),
    (["--data", "no_test_set.npz"], "no_test_set.npz: has no test set"),
])
def test_runs_that_cannot_be_made_are_refused(arguments, complaint, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("no_test_set.npz", x_train=digits.train_images, y_train=digits.train_labels)
    with pytest.raises(InputError, match=complaint):
        run_module.main(arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["no_test_set.npz"]


def test_defaults_are_the_presets_own():
    assert [Run(preset=preset).steps for preset in ("tutorial", "article", "tuned")] == [12000, 6000, 4200]
    assert Run(method="supervised-only").steps == 2000 and Run(steps=7).steps == 7
    assert Run(preset="feature-matching", method="supervised-only").steps == Run(preset="feature-matching").steps


@pytest.mark.parametrize("settings, kind", [
    ({}, sgan_mnist.SGAN), ({"preset": "article"}, ArticleSGAN), ({"preset": "tuned"}, TunedSGAN),
    ({"method": "supervised-only"}, SupervisedOnly),
    ({"preset": "article", "method": "supervised-only"}, SupervisedOnly),
])
def test_each_preset_and_method_builds_its_training(small_dataset, settings, kind):
    run = Run(labels=20, seed=3, **settings)
    training = build(run, small_dataset, *choose_rows(small_dataset.train_labels, 10, run))
    assert type(training) is kind
    layers = {layer.name for layer in training.c_model.layers}
    assert ("batch_norm_2" in layers) == (run.preset == "article") and ("pool" in layers) == (run.preset == "tuned")


@pytest.mark.parametrize("settings, loss", [
    ({}, "feature-matching"), ({"variant": "no-generator"}, "no-generator"),
    ({"variant": "adversarial"}, "adversarial"), ({"method": "supervised-only"}, "supervised-only")])
def test_feature_matching_has_its_loss_and_a_rate_that_falls_to_zero_over_its_steps(small_dataset, settings, loss):
    run = Run(preset="feature-matching", labels=20, seed=3, steps=10, **settings)
    training = build(run, small_dataset, *choose_rows(small_dataset.train_labels, 10, run))
    assert (training.settings.loss, training.settings.seed, training.settings.averaging) == (loss, 3, 3000)
    for step, rate in (0, 0.003), (7, 0.003), (9, 0.0012), (10, 0):
        training.optimizers[0].iterations.assign(step)
        assert float(training.optimizers[0].learning_rate) == pytest.approx(rate)


# --------------------------------------------------------------------------------------------------------------
# A run


@pytest.fixture
def command(small_digits, tmp_path):
    """The command of a run of the baseline; of two steps, unless it says more."""
    def make(*arguments):
        run_module.main(["--method", "supervised-only", "--labels", "20", "--steps", "2", "--data", str(small_digits),
                         "--results", str(tmp_path), *map(str, arguments)])
    return make


def only_result(folder):
    """The only result in a folder of results, and its file."""
    (result,), (path,) = read_results(folder).values(), (folder / "new").iterdir()
    return result, path


def test_what_cannot_be_written_is_known_before_the_training(command, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "build", lambda *_: pytest.fail("trained"))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        command("--results", tmp_path / "file")


@pytest.mark.slow
def test_a_run_says_all_about_itself_and_the_baseline_learns(command, small_dataset, tmp_path, capsys):
    arguments = ["--labels", 100, "--steps", 250, "--evaluate-every", 100]
    command(*arguments)
    result, path = only_result(tmp_path)
    dataset, run = small_dataset, Run(method="supervised-only", steps=250, evaluate_every=100, data="small.npz")
    assert {**result, **run.result(dataset.fingerprint(), error=None)} == result
    assert result["name"] == "tutorial-supervised-only-100labels-split_0-seed0-250steps"
    assert path.stem == f"{run.name}-{result['id']}" and str(tmp_path) not in path.read_text()
    steps, losses = zip(*((row["step"], row["c_loss"]) for row in result["history"]))
    assert steps == (100, 200, 250) and losses[0] > 2 * losses[1] > 2 * losses[2]  # means since the row before
    assert result["history"][-1] == result["final"] and result["error"] is None
    assert result["final"]["c_accuracy"] > 0.9 and result["final"]["test_accuracy"] > 0.5
    assert result["seconds_per_step"] > 0 and result["unlabelled_images"] == 0 and result["recipe"] is None
    rows, _ = choose_rows(dataset.train_labels, 10, run)
    assert result["labelled_images"] == describe_rows(rows) and result["labelled_images"]["number"] == 100
    assert result["versions"]["keras"] == keras.__version__ and result["device"] and result["threads"] >= 1
    command(*arguments)
    assert "done already" in capsys.readouterr().out


@pytest.mark.slow
def test_the_tutorials_preset_is_the_training_script(small_digits, small_dataset, tmp_path):
    """Same seeds, same weights, evaluations or not."""
    sgan_mnist.main(["--data", str(small_digits), "--labels", "20", "--seed", "5", "--label-seed", "7", "--epochs", "1",
                     "--steps-per-epoch", "3", "--out", str(tmp_path)])
    _, training = make_run(Run(labels=20, seed=5, label_seed=7, steps=3, evaluate_every=2), small_dataset)
    for name, ours in ("c_model", training.c_model), ("g_model", training.g_model):
        theirs = keras.models.load_model(tmp_path / f"{name}_0003.h5", compile=False)
        for a, b in zip(ours.weights, theirs.weights, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=a.path)


def test_a_run_that_fails_is_recorded_and_made_again_when_it_is_asked_for(command, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "Settings", lambda seed: sgan_mnist.Settings(seed=seed, learning_rate=1e30))
        with pytest.raises(SystemExit) as stop:
            command()
    result, _ = only_result(tmp_path)
    assert "diverged: c_loss is nan at step 2" in stop.value.code == result["error"] and result["final"] is None
    command()
    assert only_result(tmp_path)[0]["error"] is None


def test_a_run_is_measured_on_the_test_images_whose_class_is_known(small_dataset):
    """Classes of unequal size, and images without a label."""
    rows = np.concatenate([np.flatnonzero(small_dataset.test_labels == k)[:k + 1] for k in range(10)])
    labels = small_dataset.test_labels[rows].copy()
    labels[-3:] = -1  # of the last class, of which there are ten
    dataset = small_dataset._replace(test_images=small_dataset.test_images[rows], test_labels=labels)
    result, training = make_run(Run(method="supervised-only", steps=60, evaluate_every=30), dataset)
    final = result["final"]
    right = training.c_model.predict(dataset.test_images / 127.5 - 1, verbose=0).argmax(axis=1) == labels
    of_class = [right[labels == k].mean() for k in range(10)]
    assert final["test_accuracy"] == pytest.approx(right[labels >= 0].mean())
    assert final["balanced_test_accuracy"] == pytest.approx(np.mean(of_class))
    assert abs(final["test_accuracy"] - final["balanced_test_accuracy"]) > 0.01


@pytest.mark.slow
def test_a_tuned_run_says_its_recipe_and_ingredients(small_dataset, monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    result, _ = make_run(Run(preset="tuned", labels=20, steps=3, evaluate_every=2), small_dataset)
    assert result["error"] is None and [row["step"] for row in result["history"]] == [2, 3]
    assert result["unlabelled_images"] == 400 and result["recipe"]["recipe"] == run_module.RECIPE
    assert result["ingredients"] == [*INGREDIENTS] and result["threads"] == 3
    assert {"mutual_information", "marginal_entropy", "mask_rate", "test_accuracy"} <= result["final"].keys()
