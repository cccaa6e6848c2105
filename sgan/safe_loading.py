"""Load a classifier from an .h5 file that anyone may have made.

A file that could run code when it is loaded is refused before Keras sees it. Files of Keras 2 load, too.
"""

import json
import warnings

import h5py
import keras
import numpy as np

from sgan.command_line import InputError
from sgan.files import quiet_h5

# All that a file may ask Keras to make. A list of what is allowed, as Keras has many ways to run what a file
# brings along (Lambda, TFSMLayer, TorchModuleWrapper, functions by name, ...) and may get more.
ALLOWED_CLASSES = frozenset("""
    Functional Model Sequential InputLayer Dense Activation LeakyReLU ReLU PReLU ELU Softmax
    Conv2D Conv2DTranspose DepthwiseConv2D SeparableConv2D ZeroPadding2D Cropping1D Cropping2D UpSampling2D
    MaxPooling2D AveragePooling2D GlobalMaxPooling2D GlobalAveragePooling2D Flatten Reshape Permute Rescaling
    Dropout SpatialDropout2D AlphaDropout GaussianDropout GaussianNoise BatchNormalization LayerNormalization
    GroupNormalization UnitNormalization SpectralNormalization TimeDistributed
    Add Subtract Multiply Average Maximum Minimum Concatenate Dot
    Constant GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal LecunUniform Ones Orthogonal
    RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
    L1 L2 L1L2 OrthogonalRegularizer MaxNorm MinMaxNorm NonNeg UnitNorm
    DTypePolicy __keras_tensor__ __tensor__ __numpy__ __tuple__ __slice__ __ellipsis__
""".split())


def first_line(error):
    """The first line of an error's message: Keras' own go on for pages."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def read_config(path):
    """The model's description in an .h5 file, decoded JSON. Raises InputError where the file has none."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not path.is_file():
        raise InputError(f"{path}: is not a file")
    with open(path, "rb"):
        pass  # an OSError here is about the file system; is_hdf5 would take it for a file of another kind
    if not h5py.is_hdf5(path):
        raise InputError(f"{path}: is not an HDF5 file, as c_model_*.h5 are")
    if path.suffix not in (".h5", ".hdf5"):
        raise InputError(f"{path}: the name must end in .h5, or Keras does not read it as HDF5")
    try:
        with h5py.File(path) as file:
            config = file.attrs.get("model_config")
    except Exception as error:  # a damaged file raises many kinds
        raise InputError(f"{path}: is truncated or damaged ({first_line(error)})") from None
    if config is None:
        raise InputError(f"{path}: holds no model (only weights?): save the whole model with model.save")
    try:
        return json.loads(config.decode("utf-8") if hasattr(config, "decode") else config)
    except (TypeError, ValueError, RecursionError):
        raise InputError(f"{path}: its description of the model is damaged") from None


def check_harmless(path, config):
    """Raise InputError if anything that Keras would make of `config` is not of an allowed, built-in class."""
    nodes = [config]
    while nodes:
        node = nodes.pop()
        if isinstance(node, list):
            nodes += node
        elif isinstance(node, dict):
            nodes += node.values()
            if "class_name" not in node:
                continue
            name, module = node["class_name"], node.get("module")
            builtin = module is None or module == "keras" or str(module).startswith("keras.")
            if not (isinstance(name, str) and name in ALLOWED_CLASSES and builtin
                    and node.get("registered_name") in (None, name)):
                raise InputError(f"{path}: refused, and not loaded: it contains {str(name)[:80]!r}, which "
                                 "is not one of the plain layers of a classifier and could run code")


def load_classifier(path):
    """Load a model that maps images, (n, H, W, C) in [-1, 1], to class probabilities, (n, K).

    Raises:
        InputError: the file cannot be read, could run code, or holds another kind of model.
    """
    check_harmless(path, read_config(path))
    try:
        with quiet_h5(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "`alpha` is deprecated" and the like, for files of Keras 2
            # Without the compile settings: today's Keras stumbles over those of Keras 2.
            model = keras.models.load_model(path, compile=False)
        shapes = [(*tensor.shape,) for tensor in (*model.inputs, *model.outputs)]
    except Exception as error:  # whatever a strange file makes Keras raise
        raise InputError(f"{path}: Keras cannot load it ({first_line(error)})") from None
    if [len(shape) for shape in shapes] != [4, 2] or None in shapes[0][1:] or (shapes[1][1] or 0) < 2:
        raise InputError(f"{path}: is not a classifier: it maps {', '.join(map(str, shapes[:-1]))} "
                         f"to {shapes[-1]}, not images (n, height, width, channels) to (n, classes)")
    black_and_white = np.stack([np.full(shapes[0][1:], value, "float32") for value in (-1, 1)])
    try:
        outputs = keras.ops.convert_to_numpy(model(black_and_white, training=False))
    except Exception as error:
        raise InputError(f"{path}: Keras cannot run it ({first_line(error)})") from None
    if not ((outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=0.01)):
        raise InputError(f"{path}: is not a classifier: its outputs are not probabilities that add up to 1")
    return model
