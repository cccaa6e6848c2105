"""sgan/models/loading.py: which files load as a classifier, and that no other file reaches Keras."""

import json
import os
import shutil
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from conftest import ROOT
import helpers
from helpers import small_classifier
from keras import layers

from sgan.data.dataset import synthetic_digits
from sgan.models.evaluation import scale_images
from sgan.models.loading import load_classifier
from sgan.runs.files import save_model
from sgan_mnist import define_discriminator, define_generator

# Saved by tf_keras 2.21 as the tutorial saves its classifier: three times Conv2D (4 filters, not 128) and
# LeakyReLU(alpha=0.2), Flatten, Dropout, Dense, Activation("softmax") in a functional model, compiled with
# Adam(learning_rate=2e-4, beta_1=0.5) and trained for one step; all kernels doubled before that, so that the
# probabilities differ. KERAS2_PROBABILITIES are that program's own predict() on PIXELS in [-1, 1].
KERAS2_FILE = Path(__file__).with_name("data") / "keras2_c_model.h5"
PIXELS = (np.arange(2 * 28 * 28) * 37 % 256).astype("uint8").reshape(2, 28, 28, 1)
KERAS2_PROBABILITIES = [[0.0269751, 0.0346165, 0.0001506, 0.0521414, 0.0077185,
                         0.0152810, 0.0260004, 0.0009186, 0.8166164, 0.0195816],
                        [0.0205005, 0.0994299, 0.0040528, 0.1596066, 0.0105202,
                         0.4490591, 0.0918539, 0.0570296, 0.0285839, 0.0793635]]

# What the code that saved the committed classifier said of PIXELS, and of the test set of synthetic_digits(10, 20):
# classes, and the probabilities of those of which it was least sure.
TUNED_FILE = ROOT / "results" / "tuned" / "c_model_4200.h5"
TUNED_PROBABILITIES = [[0.050985, 0.000547, 0.000164, 0.000018, 0.252109,
                        0.001374, 0.096533, 0.000047, 0.598021, 0.000202],
                       [0.031620, 0.000546, 0.000107, 0.000006, 0.406588,
                        0.000564, 0.028271, 0.000071, 0.532182, 0.000045]]
TUNED_CLASSES = [0, 0, 5, 3, 9, 4, 2, 9, 7, 2, 3, 8, 7, 6, 6, 4, 8, 2, 2, 5]
TUNED_LEAST_SURE = {6: [0.000000, 0.000009, 0.865207, 0.012710, 0.000000,
                        0.000000, 0.000000, 0.000017, 0.122046, 0.000010],
                    14: [0.238802, 0.000000, 0.000000, 0.000000, 0.000000,
                         0.001759, 0.759426, 0.000000, 0.000004, 0.000009],
                    15: [0.000094, 0.000002, 0.006088, 0.000004, 0.719919,
                         0.001816, 0.000003, 0.000036, 0.224990, 0.047048]}


@pytest.fixture(scope="module")
def small_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "c_model.h5"
    last = layers.Dense(2, "softmax", name="last")
    save_model(keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), last], name="sequential"), path)
    load_classifier(path)
    return path


@pytest.fixture
def path(small_file, tmp_path):
    """A small classifier that loads; tests then change its file."""
    return Path(shutil.copy(small_file, tmp_path))


@pytest.fixture
def unseen(monkeypatch):
    """Keras must not even be asked to load a file."""
    monkeypatch.setattr(keras.models, "load_model", lambda *_, **__: pytest.fail("Keras has seen the file"))


def refusal(path):
    """The one line with which a file is refused as a classifier; it names the file."""
    line = helpers.refusal(load_classifier, path)
    assert line.startswith(str(path))
    return line


def described(path, change):
    """The file, its description what `change` makes of it, decoded."""
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(change(json.loads(file.attrs["model_config"])))
    return path


# --------------------------------------------------------------------------------------------------------------
# Files that load


@pytest.mark.parametrize("name", ["Functional", "Model"])  # as older versions of Keras 2 called a functional model
def test_files_saved_by_keras_2(tmp_path, recwarn, capsys, name):
    path = described(shutil.copy(KERAS2_FILE, tmp_path), lambda model: {**model, "class_name": name})
    probabilities = load_classifier(path).predict(scale_images(PIXELS), verbose=0)
    np.testing.assert_allclose(probabilities, KERAS2_PROBABILITIES, atol=1e-5)
    assert not capsys.readouterr().err and not [w for w in recwarn if "alpha" in str(w.message)]


@pytest.mark.parametrize("load", [load_classifier, keras.models.load_model])
def test_the_committed_classifier_gives_the_probabilities_of_the_code_that_saved_it(load):
    c_model = load(TUNED_FILE)
    probabilities = c_model.predict(scale_images(PIXELS), verbose=0)
    np.testing.assert_allclose(probabilities, TUNED_PROBABILITIES, atol=1e-5)
    probabilities = c_model.predict(scale_images(synthetic_digits(10, 20).test_images), verbose=0)
    assert probabilities.argmax(axis=1).tolist() == TUNED_CLASSES
    for row, expected in TUNED_LEAST_SURE.items():
        np.testing.assert_allclose(probabilities[row], expected, atol=1e-3)  # as other versions of Pillow draw


# --------------------------------------------------------------------------------------------------------------
# Files that are no classifiers


def test_files_that_hold_no_model(path, tmp_path):
    load_classifier(path).save_weights(tmp_path / "w.weights.h5")
    (tmp_path / "cut.h5").write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    (tmp_path / "text.h5").write_text("not a model")
    shutil.copy(path, tmp_path / "c_model.bin")
    os.mkfifo(tmp_path / "pipe.h5")
    (tmp_path / "device.h5").symlink_to("/dev/zero")
    for name, words in {"none.h5": "no such file", "": "is not a file", "text.h5": "cannot be loaded",
                        "cut.h5": "cannot be loaded", "c_model.bin": "end in .h5",
                        "w.weights.h5": "only weights?", "pipe.h5": "a pipe or a device",
                        "device.h5": "a pipe or a device"}.items():
        assert words in refusal(tmp_path / name), name


@pytest.mark.parametrize("change, words", [
    (lambda file: file.attrs.pop("model_config"), "only weights?"),
    (lambda file: file.attrs.update(model_config="{"), "cannot be loaded"),
    (lambda file: file.attrs.update(model_config="[" * 100_000), "cannot be loaded"),
    (lambda file: file.attrs.update(model_config="[" * 500 + "]" * 500), "cannot be loaded"),
    (lambda file: file.attrs.update(model_config=["a", "b"]), "cannot be loaded"),
    (lambda file: file.attrs.update(model_config=np.bytes_(b"\xff")), "cannot be loaded"),
    (lambda file: file.pop("model_weights"), "cannot be loaded"),
    (lambda file: file["model_weights"].attrs.update(layer_names=np.zeros(3)), "cannot be loaded"),
    (lambda file: file["model_weights"].attrs.update(layer_names=["last", "another"]), "cannot be loaded"),
    (lambda file: file["model_weights/last"].attrs.update(weight_names=["../../etc/passwd", "/etc/passwd"]),
     "cannot be loaded"),
])
def test_damaged_files(path, change, words):
    with h5py.File(path, "r+") as file:
        change(file)
    assert words in refusal(path)


def test_models_that_are_no_classifiers(tmp_path):
    nan = small_classifier()
    nan.layers[-1].set_weights([np.full((784, 10), np.nan), np.zeros(10)])
    one, other = keras.Input((28, 28, 1)), keras.Input((28, 28, 1))
    two_inputs = keras.Model([one, other], small_classifier()(layers.Add()([one, other])))
    cases = {
        "generator": (define_generator(8), "is not a classifier"),
        "discriminator": (define_discriminator()[0], "is not one of the plain layers of a classifier"),
        "one_output": (small_classifier(n_outputs=1, activation="sigmoid"), "is not a classifier"),
        "logits": (small_classifier(activation=None), "not probabilities"),
        "sigmoids": (small_classifier(activation="sigmoid"), "not probabilities"),
        "nan": (nan, "not probabilities"),
        "two_inputs": (two_inputs, "is not a classifier"),
        "flat": (small_classifier(in_shape=(784,)), "is not a classifier"),
    }
    for name, (model, words) in cases.items():
        path = tmp_path / f"{name}.h5"
        save_model(model, path)
        assert words in refusal(path), name


# --------------------------------------------------------------------------------------------------------------
# Files that would run code


def test_a_lambda_is_not_run(tmp_path):
    trace = tmp_path / "trace"
    name = str(trace)
    spy = layers.Lambda(lambda x: (open(name, "w").close(), x)[1])
    image = keras.Input((28, 28, 1))
    nested = keras.Model(image, small_classifier()(keras.Sequential([image, spy])(image)))
    for file, model in {"plain.h5": small_classifier(spy), "nested.h5": nested}.items():
        path = tmp_path / file
        save_model(model, path)
        trace.unlink(missing_ok=True)
        keras.models.load_model(path, compile=False, safe_mode=False)
        assert trace.exists()  # it is a file that runs its code if it can
        trace.unlink()
        assert "refused, and not loaded: it contains 'Lambda'" in refusal(path)
        assert not trace.exists()


LAMBDA = {"class_name": "__lambda__", "config": {"value": "4wAAAA=="}}


@pytest.mark.parametrize("layer, named", [
    ({"class_name": "Lambda"}, "Lambda"),
    ({"class_name": "TFSMLayer"}, "TFSMLayer"),
    ({"class_name": "TorchModuleWrapper", "module": "keras.layers"}, "TorchModuleWrapper"),
    ({"class_name": ["Dense"]}, "Dense"),
    ({"class_name": None}, "None"),
    ({"module": "os"}, "Dense"),
    ({"module": ""}, "Dense"),
    ({"module": ["keras"]}, "Dense"),
    ({"module": "kerasx.layers"}, "Dense"),
    ({"registered_name": "package>Dense"}, "Dense"),
    ({"registered_name": ["Dense"]}, "Dense"),
    ({"class_name": "mine>Dense"}, "mine>Dense"),
    ({"config": {"activation": LAMBDA}}, "__lambda__"),
    ({"config": {"activation": {"class_name": "function", "config": "system", "module": "os"}}}, "function"),
    ({"config": {"activation": {"class_name": "function", "config": "relu", "module": "builtins"}}}, "function"),
    ({"config": {"kernel_initializer": {"class_name": "Zeros", "module": "mine", "config": {}}}}, "Zeros"),
    ({"config": {"kernel_regularizer": {"class_name": "os.system", "config": "id"}}}, "os.system"),
    ({"config": {"kernel_constraint": {"class_name": "UnitNorm", "registered_name": "mine>f"}}}, "UnitNorm"),
    ({"class_name": "TimeDistributed", "config": {"layer": {"class_name": "Dense"}}}, "TimeDistributed"),
    ({"class_name": "SpectralNormalization", "config": {"layer": {"class_name": "Lambda"}}}, "Lambda"),
    ({"class_name": "Functional", "config": {"layers": [{"class_name": "Sequential", "config": [LAMBDA]}]}},
     "__lambda__"),
    ({"inbound_nodes": [[["image", 0, 0, {"mask": LAMBDA}]]]}, "__lambda__"),
    ({"build_config": [{"deep": [{"class_name": "TypeSpec"}]}]}, "TypeSpec"),
    ({"compile_config": {"optimizer": {"class_name": "Adam"}}}, "Adam"),
    ({"config": {"name": {"class_name": "__tuple__", "items": [{"class_name": "CompositeTensor"}]}}},
     "CompositeTensor"),
])
def test_only_plain_built_in_layers_reach_keras(path, unseen, layer, named):
    def change(model):
        last = model["config"]["layers"][-1]
        last.update({**layer, "config": {**last["config"], **layer.get("config", {})}})
        return model

    message = refusal(described(path, change))
    assert "refused, and not loaded" in message and repr(named)[1:-1] in message


@pytest.mark.parametrize("change", [
    {"activation": "os.system"}, {"activation": "system"}, {"kernel_initializer": "keras.models.load_model"},
    {"dtype": "os"}, {"kernel_regularizer": "Lambda"}, {"kernel_constraint": ["os", "system"]}, {"units": 3},
])
def test_names_of_functions_are_looked_up_among_those_of_keras_and_weights_have_to_fit(path, change):
    def give(model):
        model["config"]["layers"][-1]["config"].update(change)
        return model

    assert "cannot be loaded" in refusal(described(path, give))


# --------------------------------------------------------------------------------------------------------------
# Files that would read others, or hold less than they say


def other_file(path):
    """An HDF5 file beside a model's, with weights like its."""
    other = path.with_name("other.h5")
    with h5py.File(other, "w") as file:
        file["kernel"] = np.zeros((64, 2), "float32")
    return other


def virtual(file, name, path):
    layout = h5py.VirtualLayout((64, 2), "f4")
    layout[:] = h5py.VirtualSource(str(other_file(path)), "kernel", (64, 2))
    file.create_virtual_dataset(name, layout)


LINK, NOT_PLAIN = "a link to another place", "not plain numbers inside the file"


@pytest.mark.parametrize("name", ["model_weights/last/sequential/last/kernel", "model_weights/last", "x/y"])
@pytest.mark.parametrize("make, words", [
    (lambda file, name, path: file.update({name: h5py.SoftLink("/optimizer_weights")}), LINK),
    (lambda file, name, path: file.update({name: h5py.ExternalLink(other_file(path), "/kernel")}), LINK),
    (lambda file, name, path: file.create_dataset(name, (64, 2), "f4", external=[(other_file(path), 0, 512)]),
     NOT_PLAIN),
    (virtual, NOT_PLAIN),
    (lambda file, name, path: file.create_dataset(name, (64, 2), "f4", chunks=(8, 2), compression="gzip"), NOT_PLAIN),
    (lambda file, name, path: file.create_dataset(name, (64, 2), "f4", maxshape=(None, 2)), NOT_PLAIN),
    (lambda file, name, path: file.create_dataset(name, (64, 2), h5py.string_dtype()), NOT_PLAIN),
    (lambda file, name, path: file.create_dataset(name, (64, 2), [("a", "f4")]), NOT_PLAIN),
    (lambda file, name, path: file.create_dataset(name, (2**30,), "f4", fillvalue=1), "larger than the file"),
])
def test_only_numbers_inside_the_file_reach_keras(path, unseen, make, words, name):
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        make(file, name, path)
    assert words in refusal(path)
