"""Load a classifier from an .h5 file that anyone may have made. Files of Keras 2 load, too.

Before Keras sees the file it is refused if loading it could run code or read anything outside the file. How much memory
and time a model needs is not checked, except that its weights are no larger than the file.
"""

import json
import warnings

import h5py
import keras
import numpy as np

from sgan.models.metadata import check_about
from sgan.runs.command import InputError
from sgan.runs.files import first_line, regular_file

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


def load_classifier(path):
    """Load a model that maps images, (n, H, W, C) in [-1, 1], to class probabilities, (n, K).

    Raises:
        InputError: the file cannot be read, could run code or read other files, or holds another kind of model.
    """
    path = regular_file(path)
    if path.suffix not in (".h5", ".hdf5"):
        raise InputError(f"{path}: the name must end in .h5, or Keras does not read it as HDF5")
    try:
        with h5py.File(path) as file:
            check_inside(path, file)
            description = read_json(file, "model_config")
        if description is None:
            raise InputError(f"{path}: holds no model (only weights?): save the whole model with model.save")
        check_harmless(path, description)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old files: "`alpha` is deprecated" and the like
            # Without the compile settings: today's Keras stumbles over those of Keras 2.
            model = keras.models.load_model(path, compile=False)
            check_classifier(path, model)
    except InputError:
        raise
    except Exception as error:  # a damaged or strange file makes HDF5 and Keras raise many kinds
        raise InputError(f"{path}: cannot be loaded as a classifier of Keras ({first_line(error)})") from None
    return model


def read_about(path, model):
    """What the file of a loaded `model` says about itself, see metadata.py; None if it says nothing.

    Raises InputError if that is damaged or does not fit the model.
    """
    try:
        with h5py.File(path) as file:
            about = read_json(file, "about")
        return None if about is None else check_about(about, model.input_shape[1:], model.output_shape[1])
    except Exception as error:  # as above
        raise InputError(f"{path}: what it says about itself is damaged ({first_line(error)})") from None


def read_json(file, name):
    """What an attribute of an HDF5 file holds as JSON; None if there is none. Raises several kinds of Exception."""
    return json.loads(file.attrs[name]) if name in file.attrs else None


def refuse(path, reason):
    """Raise InputError for a file that could run code or read other files."""
    raise InputError(f"{path}: refused, and not loaded: {reason}")


def check_inside(path, file):
    """Raise InputError unless all that an HDF5 file holds is stored in it as Keras does, and is no larger than it."""
    links, size = [], 0
    file.visititems_links(lambda *link: links.append(link))  # an exception in here would be lost
    for name, link in links:
        if not isinstance(link, h5py.HardLink):
            refuse(path, f"{name!r} is a link to another place")
        if isinstance(dataset := file[name], h5py.Dataset):
            if dataset.external or dataset.is_virtual or dataset.chunks or dataset.dtype.kind not in "fiu":
                refuse(path, f"the weights {name!r} are not plain numbers inside the file, as Keras stores them")
            size += dataset.nbytes
    if size > path.stat().st_size:
        refuse(path, f"its weights would be {size:,} bytes, larger than the file")


def check_harmless(path, description):
    """Raise InputError if anything that Keras would make of `description`, decoded JSON, is not of an allowed, built-in
    class."""
    nodes = [description]
    for node in nodes:  # which grows
        if isinstance(node, list):
            nodes += node
        elif isinstance(node, dict):
            nodes += node.values()
            if "class_name" in node and not is_plain(**node):
                refuse(path, f"it contains {str(node['class_name'])[:80]!r}, which is not one of the plain layers of a "
                             "classifier and could run code")


def is_plain(class_name, module=None, registered_name=None, **_):
    """Whether an object of a model's description is of an allowed class, and this class of Keras itself."""
    return (isinstance(class_name, str) and class_name in ALLOWED_CLASSES and registered_name in (None, class_name)
            and (module is None or module == "keras" or str(module).startswith("keras.")))


def check_classifier(path, model):
    """Raise InputError unless a model maps images, (n, H, W, C), to probabilities of classes, (n, K)."""
    shapes = [(*tensor.shape,) for tensor in (*model.inputs, *model.outputs)]
    if [len(shape) for shape in shapes] != [4, 2] or None in shapes[0][1:] or (shapes[1][1] or 0) < 2:
        raise InputError(f"{path}: is not a classifier: it maps {', '.join(map(str, shapes[:-1]))} "
                         f"to {shapes[-1]}, not images (n, height, width, channels) to (n, classes)")
    black_and_white = np.stack([np.full(shapes[0][1:], value, "float32") for value in (-1, 1)])
    outputs = keras.ops.convert_to_numpy(model(black_and_white, training=False))
    if not ((outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=0.01)):
        raise InputError(f"{path}: is not a classifier: its outputs are not probabilities that add up to 1")
