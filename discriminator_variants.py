"""Four ways to build the discriminator of a GAN; three of them are a classifier as well.

    python discriminator_variants.py [--out runs/variants]
    python discriminator_variants.py --compare [--epochs N] [--seeds K] [--jobs N] [--data ...]

A semi-supervised GAN asks its discriminator two questions: is this image real, and which class is it? The
answers help each other because both are read from the same features. This script builds the standard
discriminator, which answers the first question only, and three that answer both. It prints what each is made
of, shows that what they share is really shared, and draws them. sgan_mnist.py trains the last,
the stacked one.

The pictures need the Python package pydot and Graphviz; everything else works without them.
"""

import signal
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the long imports: no traceback

from sgan_mnist import Settings, custom_activation, discriminator_body, stacked_discriminator  # first: it sets Keras up

# isort: split
import keras
import numpy as np
from keras import layers, ops

from run_folder import ArgumentParser, run_command, written_whole

REAL_LOSS = "binary_crossentropy"
CLASS_LOSS = "sparse_categorical_crossentropy"


def adam():
    """A fresh optimizer with the tutorial's settings: every compiled model has its own."""
    return keras.optimizers.Adam(Settings.learning_rate, beta_1=Settings.beta_1)


# ------------------------------------------------------------------------------------------------------------
# The discriminators: one body that turns images (n, H, W, C) in [-1, 1] into features under various heads
# ------------------------------------------------------------------------------------------------------------


def define_standard_discriminator(in_shape=(28, 28, 1)):
    """Variant 0, the starting point: the discriminator of an ordinary GAN, which knows nothing of classes.

    Returns a compiled model: images (n, H, W, C) -> probability of being real (n, 1).
    """
    images = keras.Input(in_shape, name="images")
    real = layers.Dense(1, activation="sigmoid", name="real")(discriminator_body(images))
    model = keras.Model(images, real, name="standard_discriminator")
    model.compile(loss=REAL_LOSS, optimizer=adam())
    return model


def define_shared_discriminators(in_shape=(28, 28, 1), n_classes=10, body=discriminator_body):
    """Variant 1: two models over one set of features, each with an output layer of its own.

    Returns (d_model, c_model), both compiled: images (n, H, W, C) -> probability of being real (n, 1), and
    images -> probabilities of the K classes (n, K). Training either moves the body of both.
    """
    images = keras.Input(in_shape, name="images")
    features = body(images)
    real = layers.Dense(1, activation="sigmoid", name="real")(features)
    classes = layers.Dense(n_classes, activation="softmax", name="class")(features)
    d_model = keras.Model(images, real, name="d_model")
    d_model.compile(loss=REAL_LOSS, optimizer=adam())
    c_model = keras.Model(images, classes, name="c_model")
    c_model.compile(loss=CLASS_LOSS, optimizer=adam(), metrics=["accuracy"])
    return d_model, c_model


def define_multi_output_discriminator(in_shape=(28, 28, 1), n_classes=10, body=discriminator_body):
    """Variant 2: one model that answers both questions at once, trained on the plain sum of the two losses.

    Every image then needs two targets, but generated images and those without a label have no class: they
    carry an extra one, K, for "unknown or fake". Returns a compiled model: images (n, H, W, C) ->
    [probability of being real (n, 1), probabilities of the K + 1 classes (n, K + 1)].
    """
    images = keras.Input(in_shape, name="images")
    features = body(images)
    real = layers.Dense(1, activation="sigmoid", name="real")(features)
    classes = layers.Dense(n_classes + 1, activation="softmax", name="class")(features)
    model = keras.Model(images, [real, classes], name="multi_output_discriminator")
    model.compile(loss=[REAL_LOSS, CLASS_LOSS], optimizer=adam())
    return model


# Variant 3, the stacked discriminator, is defined in sgan_mnist.py.


class Variant(NamedTuple):
    """One way to build the discriminator, seen as its heads: compiled models with one output each."""

    title: str
    explanation: str
    heads: dict  # what the head answers, "real" or "class" -> its model
    pictures: dict  # file name -> the model drawn in it


def single_output(model, name):
    """A model over the same layers as the multi-output `model`, with the output `name` and its loss only."""
    losses = dict(zip(model.output_names, model.loss, strict=True))
    head = keras.Model(model.input, model.get_layer(name).output, name=f"{model.name}_{name}")
    head.compile(loss=losses[name], optimizer=adam())
    return head


def build_variants():
    """The four variants, freshly initialised, for 28×28×1 images and ten classes."""
    standard = define_standard_discriminator()
    shared_d, shared_c = define_shared_discriminators()
    multi_output = define_multi_output_discriminator()
    stacked = stacked_discriminator((28, 28, 1), 10, adam)
    stacked_d, stacked_c = stacked.judge, stacked.classifier
    return [
        Variant(
            "0. Standard discriminator",
            "One sigmoid output: the probability that an image is real. It knows nothing of classes.",
            {"real": standard},
            {"discriminator_plot.png": standard},
        ),
        Variant(
            "1. Two models, shared features",
            "One body under two output layers, a sigmoid (is it real?) and a softmax (which of K classes?).\n"
            "Each is a model with its own loss and optimizer; an update of either moves the body of both.",
            {"real": shared_d, "class": shared_c},
            {"discriminator1_plot.png": shared_d, "discriminator2_plot.png": shared_c},
        ),
        Variant(
            "2. One model, two outputs",
            "The same two output layers in one model, with one optimizer and the sum of both losses.\n"
            "The softmax has K + 1 classes: unlabelled and generated images carry the extra one.",
            {"real": single_output(multi_output, "real"), "class": single_output(multi_output, "class")},
            {"multioutput_discriminator_plot.png": multi_output},
        ),
        Variant(
            "3. Stacked (what sgan_mnist.py trains)",
            "One output layer of K class logits: their softmax is the classifier, and D(x), as above, says\n"
            "how real. Neither has a weight of its own: whatever one head learns, the other knows.",
            {"real": stacked_d, "class": stacked_c},
            {"stacked_discriminator1_plot.png": stacked_d, "stacked_discriminator2_plot.png": stacked_c},
        ),
    ]


# ------------------------------------------------------------------------------------------------------------
# What the heads of a variant share
# ------------------------------------------------------------------------------------------------------------


def count_weights(heads):
    """Counts the weights of a dict of heads: (all, shared by every head, {head: its own}).

    Weights are told apart as objects: two layers that hold equal values share nothing.
    """
    sizes = {id(weight): int(np.prod(weight.shape)) for model in heads.values() for weight in model.weights}
    weights = {name: {id(weight) for weight in model.weights} for name, model in heads.items()}
    shared = set.intersection(*weights.values())
    own = {name: sum(sizes[i] for i in ids - shared) for name, ids in weights.items()}
    return sum(sizes.values()), sum(sizes[i] for i in shared), own


def change_of_other_head(heads, updated):
    """Makes one update through the head `updated` and returns the largest change of the other's prediction.

    The batch is the same each time: 16 images of noise, all "real", of classes 0, 1, 2, … in turn.
    """
    (other,) = (model for name, model in heads.items() if name != updated)
    images = np.random.default_rng(0).uniform(-1, 1, (16, *other.input_shape[1:])).astype("float32")
    targets = {"real": np.ones((16, 1), "float32"), "class": np.arange(16) % heads["class"].output_shape[1]}

    heads[updated].run_eagerly = True  # a single step is not worth compiling
    before = other(images, training=False)  # with dropout, predictions differ although no weight has moved
    heads[updated].train_on_batch(images, targets[updated])
    after = other(images, training=False)
    return float(ops.max(ops.abs(after - before)))


# ------------------------------------------------------------------------------------------------------------
# What is printed and drawn
# ------------------------------------------------------------------------------------------------------------


def print_activation_table():
    """Prints what the stacked discriminator makes of three equal class logits."""
    print("D(x) = Z / (Z + 1), Z the sum of exp(logit) over the classes: how the stacked discriminator reads")
    print("from its class logits whether an image is real. One large logit is enough; none means fake.\n")
    print("    three logits of    D(x)")
    for logit in (-10, -1, 0, 1, 10):
        (real,) = ops.convert_to_numpy(custom_activation(np.full((1, 3), logit, "float64")))[0]
        print(f"    {logit:15d}    {real:.8f}")


def print_variant(variant):
    """Prints a variant's outputs, losses and weights, and what an update through a head does to the other."""
    print(f"\n{variant.title}")
    print("    " + variant.explanation.replace("\n", "\n    "))
    for name, model in variant.heads.items():
        print(f"    output   {name}: (n, {model.output_shape[1]}), loss {model.loss}")
    total, shared, own = count_weights(variant.heads)
    if len(variant.heads) == 1:
        print(f"    weights  {total:,}")
        print("    sharing  none: there is only one head")
        return
    of_heads = ", ".join(f"{size:,} of {name} alone" for name, size in own.items())
    print(f"    weights  {total:,}: {shared:,} shared, {of_heads}")
    for updated, other in (("real", "class"), ("class", "real")):
        change = change_of_other_head(variant.heads, updated)
        print(f"    sharing  one update through {updated} changed output {other} by up to {change:.5f}")


def draw(variants, folder):
    """Writes the variants' pictures into `folder`, or says in one line what to install for that."""
    try:
        for variant in variants:
            for file_name, model in variant.pictures.items():
                with written_whole(Path(folder) / file_name) as path:
                    keras.utils.plot_model(model, path, show_shapes=True, show_layer_names=True)
    except (ImportError, AssertionError):  # Keras': no pydot, or no dot; pydot's: a dot that fails
        print(
            "\nNo pictures: they need pydot (pip install pydot) and Graphviz "
            "(apt install graphviz, brew install graphviz or winget install graphviz)."
        )
    else:
        print(f"\nPictures written to {folder}")


def main(argv=None):
    parser = ArgumentParser(description="Build, explain and draw four discriminators for a GAN.")
    parser.add_argument("--out", metavar="FOLDER", help="for pictures of the networks (default: runs/variants)")
    parser.add_argument("--compare", action="store_true", help="train the three and the classifier alone, and compare "
                        "them: python -m studies.study variants, whose options it takes ([--epochs N] [--seeds K] "
                        "[--jobs N] [--data D] [--results FOLDER] ...)")
    args, others = parser.parse_known_args(argv)
    if args.compare:
        if args.out:
            parser.error("--out: is for the pictures of the networks; with --compare it is --results")
        from studies import study  # here, as nothing else needs it

        study.main(["variants", *others])
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
