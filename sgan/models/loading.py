"""Load a classifier from an .h5 file that anyone may have made. Files of Keras 2 load, too.

Before Keras sees the file it is refused if loading it could run code, read anything outside the file, or need much more
memory or time than a file of its size should.
"""

import contextlib
import json
import math
import warnings

import h5py
import keras
import numpy as np
import tensorflow as tf

from sgan.models.metadata import check_about
from sgan.runs.command import InputError
from sgan.runs.files import errors_only, first_line, regular_file

# All that a file may ask Keras to make. A list of what is allowed, as Keras has many ways to run what a file
# brings along (Lambda, TFSMLayer, TorchModuleWrapper, functions by name, ...) and may get more.
ALLOWED_CLASSES = frozenset("""
    Functional Model Sequential InputLayer Dense Activation LeakyReLU ReLU PReLU ELU Softmax
    Conv2D Conv2DTranspose DepthwiseConv2D SeparableConv2D ZeroPadding2D Cropping1D Cropping2D UpSampling2D
    MaxPooling2D AveragePooling2D GlobalMaxPooling2D GlobalAveragePooling2D Flatten Reshape Permute Rescaling
    Dropout SpatialDropout2D AlphaDropout GaussianDropout GaussianNoise BatchNormalization LayerNormalization
    GroupNormalization UnitNormalization SpectralNormalization
    Add Subtract Multiply Average Maximum Minimum Concatenate Dot
    Constant GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal LecunUniform Ones Orthogonal
    RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
    L1 L2 L1L2 OrthogonalRegularizer MaxNorm MinMaxNorm NonNeg UnitNorm
    DTypePolicy __keras_tensor__ __tensor__ __numpy__ __tuple__ __slice__ __ellipsis__
""".split())
MAX_BYTES = 2**30  # of a file
MAX_TEXT = 2**22  # characters of a description
DEEPEST = 100  # brackets inside each other in a description
MAX_OBJECTS = 10_000  # layers, initializers, ...: those of a model that is called several times count each time
MAX_VALUES = 2**28  # that all operations of the model return for one image
MAX_OPERATIONS = 2**37  # floating-point, for one image


def refuse(path, reason):
    """Raise InputError for a file that could run code or exhaust the machine."""
    raise InputError(f"{path}: refused, and not loaded: {reason}")


# --------------------------------------------------------------------------------------------------------------
# The HDF5 file


@contextlib.contextmanager
def opened(path):
    """Open an .h5 file for reading. Raises InputError if it cannot be read, also for what fails while it is open."""
    path = regular_file(path)
    with open(path, "rb"):
        pass  # an OSError here is about the file system; is_hdf5 would take it for a file of another kind
    if path.stat().st_size > MAX_BYTES:
        refuse(path, f"it is larger than {MAX_BYTES // 2**20} MB")
    if not h5py.is_hdf5(path):
        raise InputError(f"{path}: is not an HDF5 file, as c_model_*.h5 are")
    if path.suffix not in (".h5", ".hdf5"):
        raise InputError(f"{path}: the name must end in .h5, or Keras does not read it as HDF5")
    try:
        with h5py.File(path) as file:
            yield file
    except InputError:
        raise
    except Exception as error:  # a damaged file raises many kinds
        raise InputError(f"{path}: is truncated or damaged ({first_line(error)})") from None


def read_text(path, group, name):
    """An attribute that is one string; None if there is no such attribute. InputError if it is something else."""
    if name not in group.attrs:
        return None
    attribute = group.attrs.get_id(name)
    if attribute.shape != () or h5py.check_string_dtype(attribute.dtype) is None:
        raise InputError(f"{path}: its {name} is damaged")
    text = group.attrs[name]
    if len(text) > MAX_TEXT:
        refuse(path, f"its {name} is longer than {MAX_TEXT:,} characters")
    try:
        return text.decode("utf-8") if isinstance(text, bytes) else text
    except UnicodeDecodeError:
        raise InputError(f"{path}: its {name} is damaged") from None


def names_in(path, group, name):
    """The names that Keras reads from an attribute, and from its continuations `name`0, `name`1, ..."""
    parts = [name] if name in group.attrs else []
    while not parts or parts[0] != name:
        part = f"{name}{len(parts)}"
        if part not in group.attrs:
            break
        parts.append(part)
    names = []
    for part in parts:
        attribute = group.attrs.get_id(part)
        size = math.prod(attribute.shape)
        if len(names) + size > MAX_OBJECTS:
            refuse(path, f"it names more than {MAX_OBJECTS:,} weights or layers")
        if size and (len(attribute.shape) != 1 or h5py.check_string_dtype(attribute.dtype) is None):
            raise InputError(f"{path}: its {part} are damaged")
        values = group.attrs[part] if size else []
        names += [value.decode("utf-8") if isinstance(value, bytes) else value for value in values]
    return names


def member(path, group, name, kind):
    """What a group has under a name like "a/b/c", of this kind and inside the file. InputError for anything else."""
    found = group
    for part in name.split("/"):
        link = found.get(part, getlink=True) if isinstance(found, h5py.Group) and part else None
        if isinstance(link, (h5py.SoftLink, h5py.ExternalLink)):
            refuse(path, f"{name!r} is a link to another place")
        if link is None:
            raise InputError(f"{path}: is damaged, {name!r} is missing")
        found = found[part]
    if not isinstance(found, kind):
        raise InputError(f"{path}: is damaged, {name!r} is not a {kind.__name__.lower()}")
    return found


def check_weights(path, file):
    """Raise InputError unless all weights that Keras would read are in the file, and together no larger than it."""
    weights = member(path, file, "model_weights", h5py.Group)
    for name in ("keras_version", "backend"):
        read_text(path, weights, name)
    groups = names_in(path, weights, "layer_names")
    if "top_level_model_weights" in weights:
        groups.append("top_level_model_weights")
    size, number = 0, 0
    for group in groups:
        group = member(path, weights, group, h5py.Group)
        for name in names_in(path, group, "weight_names"):
            dataset = member(path, group, name, h5py.Dataset)
            if dataset.external or dataset.is_virtual:
                refuse(path, f"the weights {name!r} are in another file")
            if dataset.chunks or dataset.dtype.kind not in "fiu" or dataset.shape is None:
                refuse(path, f"the weights {name!r} are not plain numbers, stored as Keras does")
            size, number = size + dataset.nbytes, number + 1
            if size > path.stat().st_size:
                refuse(path, f"its weights would be larger than the file, at {name!r}")
            if number > MAX_OBJECTS:
                refuse(path, f"it names more than {MAX_OBJECTS:,} weights")


def read_config(path):
    """The model's description in an .h5 file, decoded JSON. Raises InputError if there is none, or for its weights."""
    with opened(path) as file:
        config = read_text(path, file, "model_config")
        if config is None:
            raise InputError(f"{path}: holds no model (only weights?): save the whole model with model.save")
        check_weights(path, file)
    try:
        return json.loads(config)
    except (ValueError, RecursionError):
        raise InputError(f"{path}: its description of the model is damaged") from None


def read_about(path, model):
    """What the file of a loaded `model` says about itself, see metadata.py; None if it says nothing.

    Raises InputError if that is damaged or does not fit the model.
    """
    with opened(path) as file:
        text = read_text(path, file, "about")
    if text is None:
        return None
    try:
        return check_about(text, model.input_shape[1:], model.output_shape[1])
    except ValueError as error:
        raise InputError(f"{path}: what it says about itself is damaged: {error}") from None


# --------------------------------------------------------------------------------------------------------------
# The description of the model


def check_harmless(path, config):
    """Raise InputError if anything that Keras would make of `config` is not of an allowed, built-in class, or if it
    would make too much."""
    nodes = [(config, 1)]
    while nodes:
        node, depth = nodes.pop()
        if depth > DEEPEST:
            refuse(path, f"its description has more than {DEEPEST} brackets inside each other")
        if isinstance(node, list):
            nodes += [(each, depth + 1) for each in node]
        elif isinstance(node, dict):
            nodes += [(each, depth + 1) for each in node.values()]
            if "class_name" not in node:
                continue
            name, module = node["class_name"], node.get("module")
            builtin = module is None or module == "keras" or str(module).startswith("keras.")
            if not (isinstance(name, str) and name in ALLOWED_CLASSES and builtin
                    and node.get("registered_name") in (None, name)):
                refuse(path, f"it contains {str(name)[:80]!r}, which is not one of the plain layers of a classifier "
                             "and could run code")
    if count_objects(config) > MAX_OBJECTS:
        refuse(path, f"it has more than {MAX_OBJECTS:,} layers and parts of layers")


def count_objects(node):
    """How many objects Keras makes or calls for a part of the description, at most DEEPEST deep."""
    if isinstance(node, list):
        return sum(map(count_objects, node))
    if not isinstance(node, dict):
        return 0
    count = sum(map(count_objects, node.values()))
    if "class_name" not in node:
        return count
    calls = node.get("inbound_nodes")
    return (1 + count) * max(1, len(calls) if isinstance(calls, list) else 1)


def rehearse(path):
    """Load the model and run it on one image without computing anything. Raises InputError if it would be too much.

    In a TensorFlow graph, weights and values have a shape and no content, so that even the largest need no memory.
    """
    with tf.Graph().as_default():
        model = keras.models.load_model(path, compile=False)
        check_shapes(path, model)
        graph = traced(model)
    if (values := count_values(graph)) > MAX_VALUES:
        refuse(path, f"it computes {values:,} values for one image, more than {MAX_VALUES:,}")
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    operations = tf.compat.v1.profiler.profile(graph, options=options).total_float_ops
    if operations > MAX_OPERATIONS:
        refuse(path, f"it needs {operations:,} operations for one image, more than {MAX_OPERATIONS:,}")


def traced(model):
    """The TensorFlow graph of a model's operations for one image."""
    image = tf.TensorSpec((1, *model.input_shape[1:]))
    return tf.function(lambda images: model(images, training=False)).get_concrete_function(image).graph


def count_values(graph):
    """How many values all operations of a graph return."""
    return sum(math.prod(tensor.shape) for operation in graph.get_operations() for tensor in operation.outputs)


def batch_size_of(model, most=500):
    """How many images to give to a model at once: `most`, or fewer, so that no more than MAX_VALUES are computed."""
    return max(1, min(most, MAX_VALUES // count_values(traced(model))))


def check_shapes(path, model):
    """Raise InputError unless a model maps images, (n, H, W, C), to classes, (n, K)."""
    shapes = [(*tensor.shape,) for tensor in (*model.inputs, *model.outputs)]
    if [len(shape) for shape in shapes] != [4, 2] or None in shapes[0][1:] or (shapes[1][1] or 0) < 2:
        raise InputError(f"{path}: is not a classifier: it maps {', '.join(map(str, shapes[:-1]))} "
                         f"to {shapes[-1]}, not images (n, height, width, channels) to (n, classes)")


@contextlib.contextmanager
def quiet():
    """Silence what Keras and TensorFlow say of old files: "`alpha` is deprecated" and the like."""
    with errors_only("absl"), errors_only("tensorflow"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def load_classifier(path):
    """Load a model that maps images, (n, H, W, C) in [-1, 1], to class probabilities, (n, K).

    Raises:
        InputError: the file cannot be read, could run code or exhaust the machine, or holds another kind of model.
    """
    path = regular_file(path)
    check_harmless(path, read_config(path))
    try:
        with quiet():
            rehearse(path)
            # Without the compile settings: today's Keras stumbles over those of Keras 2.
            model = keras.models.load_model(path, compile=False)
    except InputError:
        raise
    except Exception as error:  # whatever a strange file makes Keras raise
        raise InputError(f"{path}: Keras cannot load it ({first_line(error)})") from None
    try:
        with quiet():
            outputs = [model(np.full((1, *model.input_shape[1:]), value, "float32"), training=False)
                       for value in (-1, 1)]  # black, white
        outputs = keras.ops.convert_to_numpy(keras.ops.concatenate(outputs))
    except Exception as error:
        raise InputError(f"{path}: Keras cannot run it ({first_line(error)})") from None
    if not ((outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=0.01)):
        raise InputError(f"{path}: is not a classifier: its outputs are not probabilities that add up to 1")
    return model
