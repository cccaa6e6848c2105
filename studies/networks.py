"""What the runs of a study train: the networks and settings of both articles, and three discriminators.

The training step, the tutorial's networks and the heads are those of sgan_mnist.py and discriminator_variants.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sgan_mnist import (  # first: it sets Keras up
    Discriminator, define_generator, discriminator_body, stacked_discriminator
)

# isort: split
import keras
from keras import layers, ops

from discriminator_variants import define_multi_output_discriminator, define_shared_discriminators
from studies.tuned import TunedSettings

# --------------------------------------------------------------------------------------------------------------
# The second article's networks


def article_body(images):
    """Images (n, H, W, C) in [-1, 1] to features (n, H/8 * W/8 * 128): fewer filters, and BatchNormalization."""
    x = images
    for i, filters in enumerate((32, 64, 128), start=1):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", name=f"conv_{i}")(x)
        if i > 1:
            x = layers.BatchNormalization(name=f"normal_{i}")(x)
        x = layers.LeakyReLU(negative_slope=0.01, name=f"leaky_{i}")(x)
    x = layers.Flatten(name="flatten")(x)
    return layers.Dropout(0.5, name="dropout")(x)


def article_generator(latent_dim, out_shape=(28, 28, 1)):
    """Latent points (n, latent_dim) to images (n, H, W, C) in [-1, 1]; H and W are multiples of 4."""
    height, width, channels = out_shape
    points = keras.Input((latent_dim,), name="latent_points")
    x = layers.Dense(height // 4 * (width // 4) * 256, name="dense")(points)
    x = layers.Reshape((height // 4, width // 4, 256), name="reshape")(x)
    for i, (filters, strides) in enumerate(((128, 2), (64, 1)), start=1):
        x = layers.Conv2DTranspose(filters, 3, strides=strides, padding="same", name=f"upsample_{i}")(x)
        x = layers.BatchNormalization(name=f"normal_{i}")(x)
        x = layers.LeakyReLU(negative_slope=0.01, name=f"leaky_{i}")(x)
    x = layers.Conv2DTranspose(channels, 3, strides=2, padding="same", activation="tanh", name="drawing")(x)
    return keras.Model(points, x, name="g_model")


# --------------------------------------------------------------------------------------------------------------
# The settings of the two articles' models; those of the tuned SGAN are in tuned.py


@dataclass(frozen=True, kw_only=True)
class Preset:
    """How long a training is and how it is measured."""

    steps: int  # of a whole training
    evaluate_every: int
    seconds: dict  # a step, by method, on one core: for the first guess at how long a study takes


@dataclass(frozen=True, kw_only=True)
class ArticlePreset(Preset):
    """Networks and how they are trained, too."""

    body: Callable
    generator: Callable
    learning_rate: float
    beta_1: float
    half_batch: int  # images in each update of the discriminator
    gan_batch: int  # and in that of the generator
    latent_dim: int = 100
    # Of the classifier alone, chosen without test labels: 1,000 (tutorial) and 640 (article) passes over 100 images,
    # five times the second article's 400 updates. With 1,000 labels (drawn by seed 1000, which no table uses) the loss
    # on the labelled images is then 0.010 (tutorial) and 0.0007 (article), and 99.8 and 100 % of them are right.
    alone_steps: int = 2000
    alone_evaluate_every: int = 1000

    def optimizer(self):
        return keras.optimizers.Adam(self.learning_rate, beta_1=self.beta_1)


PRESETS = {
    "tutorial": ArticlePreset(
        body=discriminator_body, generator=define_generator, learning_rate=2e-4, beta_1=0.5, half_batch=50,
        gan_batch=100, steps=12000, evaluate_every=600, seconds={"sgan": 1.0, "alone": 0.06}),
    "article": ArticlePreset(
        body=article_body, generator=article_generator, learning_rate=1e-3, beta_1=0.9, half_batch=32,
        gan_batch=32, steps=6000, evaluate_every=500, seconds={"sgan": 0.17, "alone": 0.014}),
    "tuned": Preset(steps=TunedSettings.epochs * TunedSettings.steps_per_epoch, evaluate_every=100,
                    seconds={"sgan": 0.18}),
}

# --------------------------------------------------------------------------------------------------------------
# The discriminators, ready to train: which model each update trains, and with which targets


def shared_discriminator(in_shape, n_classes, optimizer, body):
    """Two models over one body, each with an output layer of its own."""
    d_model, c_model = define_shared_discriminators(in_shape, n_classes, body)
    d_model.compile(optimizer(), "binary_crossentropy")
    c_model.compile(optimizer(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Discriminator(supervised=c_model, unsupervised=d_model, judge=d_model, classifier=c_model)


def multi_output_discriminator(in_shape, n_classes, optimizer, body):
    """One model with two outputs, one optimizer and the sum of two losses.

    Labelled images carry (1, class), unlabelled ones (1, K) and generated ones (0, K).
    """
    model = define_multi_output_discriminator(in_shape, n_classes, body)
    model.compile(optimizer(), ["binary_crossentropy", "sparse_categorical_crossentropy"])
    classes = layers.Dense(n_classes, activation="softmax", name="first_classes")(model.get_layer("class").input)
    classifier = keras.Model(model.inputs, classes, name="c_model")
    classifier.compile(optimizer(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Discriminator(
        supervised=model, unsupervised=model, judge=keras.Model(model.inputs, model.outputs[0], name="d_model"),
        classifier=classifier,
        labelled_target=lambda labels: [ops.ones((labels.shape[0], 1)), labels],
        real_target=lambda n: [ops.ones((n, 1)), ops.full((n,), n_classes)],
        fake_target=lambda n: [ops.zeros((n, 1)), ops.full((n,), n_classes)],
        class_scores=lambda outputs: outputs[1][:, :n_classes],
    )


VARIANTS = {"stacked": stacked_discriminator, "shared": shared_discriminator,
            "multi-output": multi_output_discriminator}


def present_classifier(discriminator):
    """The classifier with the present weights: images to (n, K), made of plain layers, so that it can be saved.

    That of the multi-output model gives the first K probabilities, renormalised. The softmax of the first K logits is
    just that: a dense layer of its own, into which the first K columns are copied here.
    """
    if len(discriminator.supervised.outputs) == 2:
        kernel, bias = discriminator.supervised.get_layer("class").get_weights()
        discriminator.classifier.get_layer("first_classes").set_weights([kernel[:, :-1], bias[:-1]])
    return discriminator.classifier


def count_weights(*models):
    """How many numbers the models hold, those that they share counted once."""
    return sum(int(weight.numpy().size) for weight in {id(w): w for model in models for w in model.weights}.values())
