"""evaluate_classifier.py: accuracies, confusion matrix, which model, which data. --predict: see test_classify.py."""

import json
import os
import shutil

import numpy as np
import pytest
from conftest import ROOT
from helpers import nearest, refusal, small_classifier
from PIL import Image

import evaluate_classifier
from sgan.data.dataset import Dataset
from sgan.models.loading import load_classifier
from sgan.models.metadata import describe_classifier
from sgan.runs.files import save_model
from sgan_mnist import Settings

KERAS2_FILE = ROOT / "tests" / "data" / "keras2_c_model.h5"
RECORD = {"id": "5f", "data": {"fingerprint": ""}}


def main(*arguments):
    evaluate_classifier.main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def means(digits):
    """The mean images of the ten classes, in 0..255."""
    return np.stack([digits.train_images[digits.train_labels == k].mean(axis=0) for k in range(10)])


@pytest.fixture(scope="module")
def model_file(means, tmp_path_factory):
    return nearest(means, tmp_path_factory.mktemp("model") / "c_model_0600.h5")


@pytest.fixture(scope="module")
def predictions(means):
    """What model_file's classifier says of uint8 images, by NumPy alone: (N,) classes."""
    return lambda images: ((images[:, None] - means)**2).sum(axis=(2, 3, 4)).argmin(axis=1)


# --------------------------------------------------------------------------------------------------------------
# Accuracies and confusion


def test_accuracies_are_those_that_numpy_counts(model_file, digits, digits_file, predictions, capsys):
    main(model_file, "--data", digits_file)
    lines = capsys.readouterr().out.splitlines()
    predicted = predictions(digits.test_images)
    train = (predictions(digits.train_images) == digits.train_labels).mean()
    test = (predicted == digits.test_labels).mean()
    assert 0.3 < test < 1  # a classifier that is right about everything or nothing would prove little
    assert lines[:2] == [f"Model: {model_file}", "Data: the 10 classes are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"]
    assert lines[2:6] == [
        f"Data: {digits_file}, 400 train, 100 test images",
        f"Train Accuracy: {100 * train:.3f}% (400 labelled images, perhaps also those of its training and validation)",
        f"Test Accuracy: {100 * test:.3f}% (100 labelled images)", "Classes, on the test set:"]
    assert len(lines) == 17
    for k, line in enumerate(lines[7:]):
        right = np.sum((predicted == k) & (digits.test_labels == k))
        images, as_k = np.sum(digits.test_labels == k), np.sum(predicted == k)
        precision = f"{100 * right / as_k:.2f}%" if as_k else "-"
        assert line.split() == [str(k), str(images), f"{100 * right / images:.2f}%", precision]


def test_images_without_label_and_without_a_test_set(model_file, digits, tmp_path, predictions, capsys):
    labels = digits.train_labels.copy()
    labels[50:] = -1
    np.savez(tmp_path / "own.npz", x_train=digits.train_images, y_train=labels)
    main(model_file, "--data", tmp_path / "own.npz")
    output = capsys.readouterr().out
    train = (predictions(digits.train_images[:50]) == labels[:50]).mean()
    assert f"Train Accuracy: {100 * train:.3f}% (50 labelled images, perhaps also" in output
    assert "Test" not in output and "Classes, on the train set:" in output


def test_confusion_matrix_and_its_picture(model_file, digits, digits_file, predictions, tmp_path, capsys):
    expected = np.zeros((10, 10), int)
    np.add.at(expected, (digits.test_labels, predictions(digits.test_images)), 1)
    np.testing.assert_array_equal(expected, evaluate_classifier.confusion_matrix(
        load_classifier(model_file), digits.test_images, digits.test_labels))
    picture = tmp_path / "new" / "confusion.png"
    main(model_file, "--data", digits_file, "--confusion", picture)
    assert f"Saved: {picture}" in capsys.readouterr().out and os.listdir(picture.parent) == ["confusion.png"]
    with Image.open(picture) as image:
        assert min(image.size) > 500


def test_a_file_of_keras_2_is_measured_without_a_word_on_standard_error(digits_file, capsys, recwarn):
    main("--data", digits_file, KERAS2_FILE)
    output = capsys.readouterr()
    assert f"Model: {KERAS2_FILE}\n" in output.out and "\nTest Accuracy: " in output.out
    assert not output.err and not [w for w in recwarn if "alpha" in str(w.message)]


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("names", [("dark", "grey", "light"), ("b", "a", "c"), ("日本", "a" * 200, "c")])
def test_a_folder_is_measured_at_the_models_size_each_class_by_its_name(tmp_path, capsys, names):
    images = np.ones((3, 8, 8, 3), "uint8") * np.array([0, 128, 255], "uint8")[:, None, None, None]
    about = describe_classifier(Dataset("", images, np.arange(3), class_names=names), RECORD)
    path = nearest(images, tmp_path / "c_model.h5", about)
    for name, shade in zip(names, (5, 120, 250)):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("RGB", (12, 12), (shade, shade, shade + 1)).save(tmp_path / "set" / name / "a.png")
    main(path, "--data", tmp_path / "set", "--confusion", tmp_path / "c.png")
    output = capsys.readouterr().out
    assert "Train Accuracy: 100.000%" in output and (tmp_path / "c.png").exists()
    assert [line.split()[0] for line in output.splitlines() if line.endswith("100.00%")] == list(names)
    (tmp_path / "set" / names[0]).rename(tmp_path / "set" / "white")
    message = refusal(main, path, "--data", tmp_path / "set")
    assert f"has the classes {', '.join(names)}, and " in message and "white" in message


# --------------------------------------------------------------------------------------------------------------
# Which model, which data


def test_default_is_the_one_of_most_steps_on_its_runs_data(model_file, digits_file, tmp_path, monkeypatch, capsys):
    assert evaluate_classifier.RUN_FOLDER == Settings.out
    monkeypatch.chdir(tmp_path)
    assert refusal(main) == "no c_model_*.h5 in runs/sgan: train one with sgan_mnist.py, or name a file"
    run = tmp_path / "runs" / "sgan"
    run.mkdir(parents=True)
    shutil.copy(model_file, run / "c_model_13200.h5")
    for name in "c_model_1200.h5", "c_model_9600.h5", "c_model_3_old.h5", "g_model_99999.h5", ".c_model_1.partial.h5":
        (run / name).touch()
    (run / "run.json").write_text(json.dumps({"data": {"source": str(digits_file)}}))
    main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Model: runs/sgan/c_model_13200.h5" and lines[2].startswith(f"Data: {digits_file}, ")
    (run / "run.json").write_text(json.dumps({"data": {"source": "gone.npz"}}))
    assert refusal(main).startswith("no such file: gone.npz")
    main("--data", digits_file)


def test_the_record_of_another_run_is_not_believed(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"id": "77", "data": {"source": "synthetic"}}))
    path = tmp_path / "c_model.h5"
    assert evaluate_classifier.data_source(path, "77") == evaluate_classifier.data_source(path) == "synthetic"
    assert "run.json: is of another run than" in refusal(evaluate_classifier.data_source, path, "5f")


@pytest.mark.parametrize("content", [
    pytest.param(b"[" * 100_000, id="nested"), b"{", b"[]", b'{"data": 3}', b'{"data": {}}', b"\xff", None])
def test_a_record_that_does_not_say_which_data_is_named(tmp_path, content):
    path = tmp_path / "run.json"
    assert evaluate_classifier.data_source(tmp_path / "c_model.h5") == "auto"
    if content is None:
        os.mkfifo(path)
    else:
        path.write_bytes(content)
    message = refusal(evaluate_classifier.data_source, tmp_path / "c_model.h5")
    assert message == f"{path}: does not say which data the run was trained on; give --data"


@pytest.mark.parametrize("how, words", [
    ({"in_shape": (32, 32, 1)}, "takes images of (32, 32, 1)"),
    ({"in_shape": (28, 28, 3)}, "takes images of (28, 28, 3)"),
    ({"n_outputs": 26}, "has the classes 0, 1, 2, ..., 25, and"), ({"n_outputs": 2}, "has the classes 0, 1, and"),
])
def test_models_of_other_images_or_classes_are_refused(digits_file, tmp_path, how, words):
    save_model(small_classifier(**how), tmp_path / "c_model.h5")
    message = refusal(main, tmp_path / "c_model.h5", "--data", digits_file)
    assert message.startswith(str(tmp_path / "c_model.h5")) and words in message


@pytest.mark.parametrize("arguments, words", [
    (["--predict", "3.png", "--data", "synthetic"], "--data goes without --predict"),
    (["--predict", "3.png", "--data", ""], "--data goes without --predict"),
    (["--predict", "3.png", "--confusion", "c.png"], "--confusion goes without --predict"),
    (["--predict", "3.png", "c_model.h5"], "name the classifier before --predict"),
    (["--csv", "c.csv"], "--csv goes with --predict"), (["--whole"], "--whole goes with --predict"),
    (["--invert"], "--invert goes with --predict"), (["--cut-out"], "--cut-out goes with --predict"),
    (["--data", ""], "an empty path"), (["--confusion", "c.xyz"], "must end in .png"),
    (["--predict", "3.png", "--csv", "c.txt"], "must end in .csv"),
    (["another.h5"], "unrecognized arguments: another.h5"), (["--frobnicate"], "--frobnicate"),
    (["--predict"], "--predict"),
])
def test_options_that_are_refused(model_file, arguments, words):
    assert words in refusal(main, model_file, *arguments)


@pytest.mark.slow
def test_as_a_command_the_committed_classifier_is_evaluated_on_the_file_that_is_named(run_script, digits, digits_file):
    model = ROOT / "results" / "tuned" / "c_model_4200.h5"
    status, output, errors = run_script("evaluate_classifier.py", model, "--data", digits_file)
    predicted = load_classifier(model).predict((digits.test_images - 127.5) / 127.5, verbose=0).argmax(axis=1)
    right = (predicted == digits.test_labels).mean()
    assert (status, errors) == (0, []) and right > 0.7 and f"Test Accuracy: {right:.3%} (" in output
