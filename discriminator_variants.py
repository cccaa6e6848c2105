"""Four ways to build the discriminator of a GAN; three of them are a classifier as well.

    python discriminator_variants.py [--out runs/variants]
    python discriminator_variants.py --compare [--steps N] [--splits K] [--jobs N] [--data ...]

A semi-supervised GAN asks its discriminator two questions: is this image real, and which class is it? Both answers are
read from the same features, so that one may help the other; results/README.md measures whether it does (with 100
labels and 1,200 steps: in the stacked one yes, in the other two no). This script builds the standard discriminator,
which answers the first question only, and three that answer both. It prints what each is made of, shows that what they
share is really shared, and draws them. VARIANTS holds the three as trainings; sgan_mnist.py trains the stacked one.

The drawings need the Python package pydot and Graphviz; everything else works without them.
"""

import itertools
import math
from pathlib import Path
from typing import NamedTuple

import sgan  # before Keras: it chooses the backend and TensorFlow's CPU kernels

if __name__ == "__main__":
    sgan.begin_script()

import keras
import numpy as np
from keras import layers, ops

from sgan.runs.command import run_command
from sgan.runs.options import ArgumentParser
from sgan.runs.files import expand, first_line, atomic_write
from sgan_mnist import (
    SGAN, Settings, compile_with_adam, custom_activation, define_discriminator, descend, discriminator_backbone
)

LOSSES = {"real": "binary_crossentropy", "class": "sparse_categorical_crossentropy"}  # of either output

# --------------------------------------------------------------------------------------------------------------
# The discriminators: one backbone, which turns images (n, H, W, C) in [-1, 1] into features, under various heads


def define_standard_discriminator(in_shape=(28, 28, 1)):
    """Variant 0, the starting point: the discriminator of an ordinary GAN, which knows nothing of classes.

    Returns a model: images (n, H, W, C) -> probability of being real (n, 1).
    """
    images = keras.Input(in_shape, name="images")
    real = layers.Dense(1, activation="sigmoid", name="real")(discriminator_backbone(images))
    return keras.Model(images, real, name="standard_discriminator")


def define_shared_discriminators(in_shape=(28, 28, 1), n_classes=10):
    """Variant 1: two models over one set of features, each with an output layer of its own.

    Returns (d_model, c_model): images (n, H, W, C) -> probability of being real (n, 1), and images -> probabilities of
    the K classes (n, K). Training either moves the backbone of both.
    """
    images = keras.Input(in_shape, name="images")
    features = discriminator_backbone(images)
    real = layers.Dense(1, activation="sigmoid", name="real")(features)
    classes = layers.Dense(n_classes, activation="softmax", name="class")(features)
    return keras.Model(images, real, name="d_model"), keras.Model(images, classes, name="c_model")


def define_multi_output_discriminator(in_shape=(28, 28, 1), n_classes=10):
    """Variant 2: one model that answers both questions at once, trained on the plain sum of the two losses.

    Every image then needs two targets, but generated images and those without a label have no class: they carry an
    extra one, K, for "unknown or fake". Returns a model: images (n, H, W, C) -> [probability of being real (n, 1),
    probabilities of the K + 1 classes (n, K + 1)].
    """
    images = keras.Input(in_shape, name="images")
    features = discriminator_backbone(images)
    real = layers.Dense(1, activation="sigmoid", name="real")(features)
    classes = layers.Dense(n_classes + 1, activation="softmax", name="class")(features)
    return keras.Model(images, [real, classes], name="multi_output_discriminator")


# Variant 3, the stacked discriminator, is define_discriminator in sgan_mnist.py.


# --------------------------------------------------------------------------------------------------------------
# The same, ready to train: where a variant's updates differ from the stacked discriminator's


class SharedSGAN(SGAN):
    """Two models over one backbone, each with an output layer of its own; trained as the stacked one is."""

    define_discriminator = staticmethod(define_shared_discriminators)


class MultiOutputSGAN(SGAN):
    """One model with two outputs, one optimizer and the sum of two losses.

    Labelled images carry (1, class), unlabelled ones (1, K) and generated ones (0, K). The generator is trained on the
    first output. c_model gives the first K class probabilities, renormalised: that is the softmax of the first K
    logits, from a dense layer of its own, into which their weights are copied after each step.
    """

    def define_discriminator(self, in_shape, n_classes):
        self.n_classes = n_classes
        self.model = define_multi_output_discriminator(in_shape, n_classes)
        features = self.model.get_layer("class").input
        classes = layers.Dense(n_classes, activation="softmax", name="first_classes")(features)
        return (keras.Model(self.model.input, self.model.outputs[0], name="d_model"),
                keras.Model(self.model.input, classes, name="c_model"))

    def compile_discriminators(self, settings):
        super().compile_discriminators(settings)
        compile_with_adam(self.model, [*LOSSES.values()], settings)

    @property
    def discriminators(self):
        return (self.model,)

    def train_on_labelled(self, images, labels):
        loss, (_, probabilities) = descend(self.model, images, [ops.ones((images.shape[0], 1)), labels])
        return loss, probabilities[:, :self.n_classes]

    def train_on_unlabelled(self, images):
        n = images.shape[0]
        return descend(self.model, images, [ops.ones((n, 1)), ops.full((n,), self.n_classes)])[0]

    def train_on_generated(self, images):
        n = images.shape[0]
        return descend(self.model, images, [ops.zeros((n, 1)), ops.full((n,), self.n_classes)])[0]

    def update(self, *batches):
        losses = super().update(*batches)
        classes, first_classes = self.model.get_layer("class"), self.c_model.get_layer("first_classes")
        first_classes.kernel.assign(classes.kernel[:, :-1])
        first_classes.bias.assign(classes.bias[:-1])
        return losses


VARIANTS = {"stacked": SGAN, "shared": SharedSGAN, "multi-output": MultiOutputSGAN}

# --------------------------------------------------------------------------------------------------------------
# What the heads of a variant share


class Variant(NamedTuple):
    """One way to build the discriminator, seen as its heads: compiled models with one output each."""

    title: str
    explanation: str
    heads: dict  # what the head answers, "real" or "class" -> its model
    drawings: dict  # file name -> the model drawn in it


def build_variants():
    """The four variants, freshly initialised, for 28×28×1 images and ten classes, each head compiled."""
    standard = define_standard_discriminator()
    shared_d, shared_c = define_shared_discriminators()
    multi_output = define_multi_output_discriminator()
    stacked_d, stacked_c = define_discriminator()
    variants = [
        Variant(
            "0. Standard discriminator",
            "One sigmoid output: the probability that an image is real. It knows nothing of classes.",
            {"real": standard},
            {"discriminator_plot.png": standard},
        ),
        Variant(
            "1. Two models, shared features",
            "One backbone under two output layers, a sigmoid (is it real?) and a softmax (which of K classes?).\n"
            "Each is a model with its own loss and optimizer; an update of either moves the backbone of both.",
            {"real": shared_d, "class": shared_c},
            {"discriminator1_plot.png": shared_d, "discriminator2_plot.png": shared_c},
        ),
        Variant(
            "2. One model, two outputs",
            "The same two output layers in one model, with one optimizer and the sum of both losses.\n"
            "The softmax has K + 1 classes: unlabelled and generated images carry the extra one.",
            {layer: keras.Model(multi_output.input, multi_output.get_layer(layer).output) for layer in LOSSES},
            {"multioutput_discriminator_plot.png": multi_output},
        ),
        Variant(
            "3. Stacked (what sgan_mnist.py trains)",
            "One output layer of K class logits: their softmax is the classifier, and D(x), as above, says how real\n"
            "an image is. Neither head has a weight of its own: an update of either moves all that the other uses.",
            {"real": stacked_d, "class": stacked_c},
            {"stacked_discriminator1_plot.png": stacked_d, "stacked_discriminator2_plot.png": stacked_c},
        ),
    ]
    for variant in variants:
        for name, head in variant.heads.items():
            compile_with_adam(head, LOSSES[name], Settings())
    return variants


def count_weights(*models):
    """How many numbers the models hold, those that they share counted once.

    Weights are told apart as objects: two layers that hold equal values share nothing.
    """
    weights = {id(weight): weight for model in models for weight in model.weights}
    return sum(math.prod(weight.shape) for weight in weights.values())


def change_of_other_head(heads, updated):
    """Make one update through the head `updated` and return the largest change of the other's prediction.

    The batch is the same each time: 16 images of noise, all "real", of classes 0, 1, 2, … in turn.
    """
    (other,) = (model for name, model in heads.items() if name != updated)
    images = np.random.default_rng(0).uniform(-1, 1, (16, *other.input_shape[1:])).astype("float32")
    targets = {"real": np.ones((16, 1), "float32"), "class": np.arange(16) % heads["class"].output_shape[1]}

    before = other(images, training=False)  # with dropout, predictions differ although no weight has moved
    descend(heads[updated], images, targets[updated])
    return float(ops.max(ops.abs(other(images, training=False) - before)))


# --------------------------------------------------------------------------------------------------------------
# What is printed and drawn


def print_activation_table():
    """Print what the stacked discriminator makes of three equal class logits."""
    print("D(x) = Z / (Z + 1), Z the sum of exp(logit) over the classes: how the stacked discriminator reads")
    print("from its class logits whether an image is real. One large logit is enough; none means fake.\n")
    print("    three logits of    D(x)")
    for logit in (-10, -1, 0, 1, 10):
        (real,) = ops.convert_to_numpy(custom_activation(np.full((1, 3), logit, "float64")))[0]
        print(f"    {logit:15d}    {real:.8f}")


def print_variant(variant):
    """Print a variant's outputs, losses and weights, and what an update through a head does to the other."""
    print(f"\n{variant.title}")
    print("    " + variant.explanation.replace("\n", "\n    "))
    for name, model in variant.heads.items():
        print(f"    output   {name}: (n, {model.output_shape[1]}), loss {model.loss}")
    weights, total = [count_weights(model) for model in variant.heads.values()], count_weights(*variant.heads.values())
    shared = f", of which the heads share {sum(weights) - total:,}" if len(weights) > 1 else ""
    print(f"    weights  {total:,}{shared}")
    for updated, other in itertools.permutations(variant.heads, 2):
        change = change_of_other_head(variant.heads, updated)
        print(f"    sharing  one update through {updated} changed output {other} by up to {change:.5f}")


def draw(variants, folder):
    """Write the variants' drawings into `folder`, or say in one line what they need."""
    try:
        for variant in variants:
            for file_name, model in variant.drawings.items():
                with atomic_write(Path(folder) / file_name) as path:
                    keras.utils.plot_model(model, path, show_shapes=True, show_layer_names=True)
        print(f"\nDrawings written to {folder}")
    except (ImportError, AssertionError) as error:  # no pydot; no dot, or one that fails
        print(f"\nNo drawings ({first_line(error)}): they need pydot (pip install pydot) and Graphviz (apt install "
              "graphviz, brew install graphviz or winget install graphviz).")


def main(argv=None):
    """Explain and draw the variants, or compare them, as the command line says."""
    parser = ArgumentParser(description="Build, explain and draw four discriminators for a GAN.")
    parser.add_argument("--out", type=expand, metavar="FOLDER",
                        help="for drawings of the networks (default: runs/variants)")
    parser.add_argument("--compare", action="store_true", help="train the three, and the classifier supervised only, "
                        "and compare them; takes the options of python -m sgan.studies ([--steps N] [--splits K] "
                        "[--jobs N] [--data D] [--results FOLDER] ...)")
    args, others = parser.parse_known_args(argv)
    if args.compare:
        if args.out:
            parser.error("--out: is for the drawings of the networks; with --compare it is --results")
        from sgan.studies.study import main as compare  # here, as the studies import this script for its VARIANTS
        compare(["variants", *others])
        return
    if others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")

    keras.utils.set_random_seed(0)
    variants = build_variants()
    print_activation_table()
    for variant in variants:
        print_variant(variant)
    draw(variants, args.out or "runs/variants")


if __name__ == "__main__":
    run_command(main)
