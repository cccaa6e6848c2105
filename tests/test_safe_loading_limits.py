"""The limits of sgan/models/loading.py: files are refused in one line before they take time or memory."""

import json
import os

import h5py
import keras
import numpy as np
import pytest
from helpers import refusal
from keras import layers

from sgan.runs.files import save_model
from sgan.models.loading import batch_size_of, load_classifier


def classifier(*extra, in_shape=(8, 8, 1)):
    return keras.Sequential([keras.Input(in_shape), *extra, layers.Flatten(), layers.Dense(2, "softmax", name="last")])


@pytest.fixture
def path(tmp_path):
    """A small classifier that loads; tests then change its file."""
    path = tmp_path / "c_model.h5"
    save_model(classifier(), path)
    load_classifier(path)
    return path


@pytest.fixture
def unseen(monkeypatch):
    """Keras must not even be asked to load a file."""
    monkeypatch.setattr(keras.models, "load_model", lambda *_, **__: pytest.fail("Keras has seen the file"))


def last_layer(file):
    """The group of the last layer's weights, and their names; the kernel is (64, 2)."""
    group = file["model_weights/last"]
    kernel, bias = group.attrs["weight_names"]
    return group, kernel, bias


def replaced(path, make):
    """The file with another dataset or link in the kernel's place: `make(group, name)` puts it there."""
    with h5py.File(path, "r+") as file:
        group, kernel, _ = last_layer(file)
        parent, _, name = kernel.rpartition("/")
        del group[kernel]
        make(group[parent], name)
    return path


# ------------------------------------------------------------------------------------- weights


def test_one_dataset_of_fill_values_named_again_and_again(path, unseen):
    with h5py.File(path, "r+") as file:
        group, kernel, bias = last_layer(file)
        group.create_dataset("huge", (2**30,), "float32", fillvalue=1)
        group.attrs["weight_names"] = ["huge"] * 8
    assert path.stat().st_size < 100_000
    assert "larger than the file" in refusal(path)


def test_small_datasets_named_more_often_than_they_fit_into_the_file(path, unseen):
    with h5py.File(path, "r+") as file:
        group, kernel, bias = last_layer(file)
        group.attrs["weight_names"] = [kernel] * 500
    assert "larger than the file" in refusal(path)
    with h5py.File(path, "r+") as file:
        del file["model_weights"].attrs["layer_names"]
        for part in range(3):
            file["model_weights"].attrs[f"layer_names{part}"] = ["last"] * 3900
    assert "names more than" in refusal(path)


def test_weights_that_are_not_in_the_file_are_not_read(path, tmp_path, unseen):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(256)) * 2)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["kernel"] = np.zeros((64, 2), "float32")
    layout = h5py.VirtualLayout((64, 2), "float32")
    layout[:] = h5py.VirtualSource(str(other), "kernel", (64, 2))

    def external(group, name):
        group.create_dataset(name, (64, 2), "float32", external=[(str(secret), 0, 512)])

    def virtual(group, name):
        group.create_virtual_dataset(name, layout)

    def external_link(group, name):
        group[name] = h5py.ExternalLink(str(other), "/kernel")

    def soft_link(group, name):
        group[name] = h5py.SoftLink("/model_weights")

    for make, words in ((external, "in another file"), (virtual, "in another file"),
                        (external_link, "a link to another place"), (soft_link, "a link to another place")):
        assert words in refusal(replaced(path, make)), make


def test_linked_groups(path, unseen):
    with h5py.File(path, "r+") as file:
        file.move("model_weights", "moved")
        file["model_weights"] = h5py.SoftLink("/moved")
    assert "a link to another place" in refusal(path)


@pytest.mark.parametrize("how", [{"chunks": (8, 2), "compression": "gzip"}, {"maxshape": (None, 2)},
                                 {"dtype": h5py.string_dtype()}, {"dtype": [("a", "f4")]}])
def test_weights_that_keras_does_not_store(path, unseen, how):
    replaced(path, lambda group, name: group.create_dataset(name, (64, 2), **{"dtype": "float32", **how}))
    assert "not plain numbers, stored as Keras does" in refusal(path)


def test_a_group_in_the_place_of_weights_and_missing_ones(path, unseen):
    assert "is not a dataset" in refusal(replaced(path, lambda group, name: group.create_group(name)))
    with h5py.File(path, "r+") as file:
        group, kernel, _ = last_layer(file)
        del group[kernel]
    assert "is missing" in refusal(path)
    with h5py.File(path, "r+") as file:
        file["model_weights"].attrs["layer_names"] = np.zeros(3)
    assert "layer_names are damaged" in refusal(path)


def test_a_file_too_large_and_files_that_do_not_end(path, tmp_path, unseen):
    with open(path, "r+b") as file:
        file.truncate(2**40)  # no disk is needed for what is not written
    assert "larger than" in refusal(path)
    os.mkfifo(tmp_path / "pipe.h5")
    (tmp_path / "link.h5").symlink_to("/dev/zero")
    for name in ("pipe.h5", "link.h5"):
        assert "a pipe or a device" in refusal(tmp_path / name)


# ------------------------------------------------------------------------------------- what it would compute


def nested(calls, depth):
    """A classifier whose only layer is called calls**depth times: a model of models of ... of it."""
    shape = (8, 8, 1)
    inner = keras.Sequential([keras.Input(shape), layers.Activation("tanh")])
    inner.compute_output_spec = lambda x, *_, **__: keras.KerasTensor(x.shape)  # or Keras itself would not end
    for _ in range(depth):
        x = image = keras.Input(shape)
        for _ in range(calls):
            x = inner(x)
        inner = keras.Model(image, x)
        inner.compute_output_spec = lambda x, *_, **__: keras.KerasTensor(x.shape)
    return classifier(inner)


def test_models_in_models(tmp_path, unseen):
    path = tmp_path / "nested.h5"
    save_model(nested(10, 8), path)
    assert path.stat().st_size < 200_000
    assert "layers and parts of layers" in refusal(path)


@pytest.mark.parametrize("text, words", [
    ("[" * 100_000, "description of the model is damaged"),
    ("[" * 500 + "]" * 500, "brackets inside each other"),
    (" " * 5_000_000 + "{}", "longer than"),
    (json.dumps({"class_name": "Sequential", "config": {"layers": [{"class_name": "Flatten"}] * 11_000}}), "layers"),
])
def test_descriptions(path, unseen, text, words):
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = text
    assert words in refusal(path)


def changed(path, change):
    """The file, its description changed by change(layers)."""
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config["config"]["layers"])
        file.attrs["model_config"] = json.dumps(config)
    return path


def small_inside(*extra):
    """Layers that end with few values again, so that the stored weights fit."""
    return [layers.Rescaling(1), *extra, layers.MaxPooling2D(8), layers.Rescaling(1)]


@pytest.mark.parametrize("layer, change, words", [
    (layers.UpSampling2D(1), {"size": [2000, 2000]}, "values for one image"),
    (layers.ZeroPadding2D(0), {"padding": [[0, 99992], [0, 99992]]}, "values for one image"),
    (layers.MaxPooling2D(1, strides=1, padding="same"), {"pool_size": [3000, 3000]}, None),
    (layers.AveragePooling2D(1), {"strides": [10**30, 1]}, "Keras cannot load it"),
])
def test_layers_that_would_compute_too_much(tmp_path, layer, change, words):
    path = tmp_path / "c_model.h5"
    save_model(classifier(layer, layers.GlobalMaxPooling2D()), path)

    def bend(specs):
        specs[1]["config"].update(change)
        if words is None:
            specs[0]["config"]["batch_shape"] = [None, 3000, 3000, 1]

    assert (words or "operations for one image") in refusal(changed(path, bend))


def test_images_too_large(tmp_path):
    path = tmp_path / "c_model.h5"
    save_model(classifier(layers.GlobalMaxPooling2D()), path)
    changed(path, lambda specs: specs[0]["config"].update(batch_shape=[None, 100_000, 100_000, 1]))
    assert "values for one image" in refusal(path)


def test_a_batch_computes_no_more_than_one_image_may(path, tmp_path):
    assert batch_size_of(load_classifier(path)) == 500
    save_model(classifier(layers.UpSampling2D(1000), layers.GlobalMaxPooling2D()), tmp_path / "wide.h5")
    assert batch_size_of(load_classifier(tmp_path / "wide.h5")) == 2


def test_weights_that_would_be_too_large_for_the_machine(path):
    changed(path, lambda specs: specs[-1]["config"].update(units=2**40))
    assert "Keras cannot load it" in refusal(path)
