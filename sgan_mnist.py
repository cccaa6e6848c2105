"""Semi-supervised GAN on MNIST: a classifier from 100 labelled digits and 60,000 unlabelled ones.

    pip install -r requirements.txt && python sgan_mnist.py

The discriminator of a GAN is also the classifier. Its last dense layer gives K class logits, which two heads share:

    c_model   softmax over the K logits: which digit?                  trained on the labelled images
    d_model   D(x) = Z / (Z + 1), Z = sum_k exp(logit_k): is x real?   trained on unlabelled and generated images

(Salimans et al. 2016, arXiv 1606.03498, section 5; Odena 2016, arXiv 1606.01583.) A generator learns to make images
that d_model takes for real ones. In the end only c_model is needed.

Measured (100 labels, five label splits): 92.5 ± 1.6 % test accuracy after 20 epochs, which take an estimated 1.6 to
2.7 h on two AVX2 cores (TensorFlow 2.21.0, Keras 3.15.1). All runs: results/README.md.
"""

import math
import sys
from dataclasses import dataclass
from typing import ClassVar

import sgan  # before Keras: it chooses the backend and TensorFlow's CPU kernels

if __name__ == "__main__":
    sgan.begin_script()

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from sgan.data.dataset import default_labels
from sgan.models.evaluation import measure, prediction_table, scale_images
from sgan.models.fast_convolution import speed_up
from sgan.models.metadata import describe_classifier
from sgan.runs.command import InputError, run_command
from sgan.runs.device import on_device
from sgan.runs.files import save_model
from sgan.runs.fit import TimeLeft, Training, batch_accuracy, fit
from sgan.runs.options import option
from sgan.runs.plots import save_image_grid
from sgan.runs.run_folder import RunSettings, SaveEpoch, open_run, parse_options


@dataclass
class Settings(RunSettings):
    """Train a semi-supervised GAN: a classifier from a few labelled images and many unlabelled ones."""

    epochs: int = option(20, "of --steps-per-epoch steps each; models and pictures are saved after each", min=1)
    steps_per_epoch: int | None = option(None, "default: images // batch size", min=1)
    batch_size: int = option(100, "images of the generator's update; all other batches have half as many", min=2)
    learning_rate: float = option(2e-4, "learning rate of the three Adam optimizers", min=1e-9)
    beta_1: float = option(0.5, "beta_1 of the three Adam optimizers", min=0, below=1)
    out: str = option("runs/sgan", "folder of the run")
    COMMAND: ClassVar = "python sgan_mnist.py"
    MAY_CHANGE: ClassVar = ("epochs",)  # when a run is resumed, beside the place of the data


def select_supervised_samples(labels, n_samples=100, n_classes=10, seed=0, class_names=None):
    """Choose the images that keep their labels: the same number of each class, at random, without replacement.

    Args:
        labels: (N,) integers, 0..n_classes-1, or -1 for "no label".
        n_samples: how many to choose; "all" for every image that has a label, however many each class has.
        n_classes: K.
        seed: the label seed.
        class_names: K strings, for the message of an error; None for the numbers.

    Returns:
        (n_samples,) row numbers, ascending.

    Raises:
        InputError: n_samples is not a multiple of n_classes, or a class has too few images.
    """
    rows_of = [np.flatnonzero(labels == k) for k in range(n_classes)]
    share, rest = (1, 0) if n_samples == "all" else divmod(n_samples, n_classes)
    if rest or not share:
        raise InputError(f"{n_samples} labels cannot be the same number of each of the {n_classes} classes: "
                         f"--labels must be a multiple of {n_classes}")
    for name, rows in zip(class_names or range(n_classes), rows_of):
        if len(rows) < share:
            raise InputError(f"{n_samples} labels: {share} or more of each of the {n_classes} classes are needed, but "
                             f"class {name} has {len(rows)}; see --labels")
    if n_samples != "all":
        random = np.random.default_rng(seed)
        rows_of = [random.choice(rows, share, replace=False) for rows in rows_of]
    return np.sort(np.concatenate(rows_of))


def load_images(settings):
    """The `Dataset` of these `DataSettings`, and the row numbers (n,) of the images that keep their labels. Raises
    InputError if there are no such images or labels."""
    dataset = settings.load()
    return dataset, select_supervised_samples(dataset.train_labels, settings.labels or default_labels(dataset),
                                              dataset.n_classes, settings.label_seed, dataset.class_names)


def custom_activation(logits):
    """D(x) = Z / (Z + 1), Z = sum_k exp(logit_k), (n, 1): the probability that x is real (arXiv 1606.03498, section 5).

    That is sigmoid(logsumexp(logits)), a form that does not overflow, and from whose last operation Keras' binary
    cross-entropy takes the logit instead of the rounded probability.
    """
    return keras.activations.sigmoid(ops.logsumexp(logits, axis=-1, keepdims=True))


def discriminator_backbone(images):
    """The layers that all heads share: images (n, H, W, C) in [-1, 1] to features (n, ⌈H/8⌉ · ⌈W/8⌉ · 128)."""
    x = images
    for i in (1, 2, 3):
        x = layers.Conv2D(128, 3, strides=2, padding="same", name=f"conv_{i}")(x)
        x = layers.LeakyReLU(negative_slope=0.2, name=f"leaky_{i}")(x)
    x = layers.Flatten(name="flatten")(x)
    return layers.Dropout(0.4, name="dropout")(x)


def define_discriminator(in_shape=(28, 28, 1), n_classes=10, backbone=discriminator_backbone):
    """The stacked discriminator: two models over the same weights, not compiled yet.

    Returns:
        d_model: images (n, H, W, C) in [-1, 1] to the probability of being real, (n, 1).
        c_model: the same images to class probabilities, (n, n_classes).
    """
    images = keras.Input(in_shape, name="images")
    logits = layers.Dense(n_classes, name="class_logits")(backbone(images))
    c_model = keras.Model(images, layers.Activation("softmax", name="class_probabilities")(logits), name="c_model")
    d_model = keras.Model(images, custom_activation(logits), name="d_model")
    return d_model, c_model


def crop(images, height, width):
    """Cut images (n, H, W, C) off at the bottom and the right; no layer if they have the right size."""
    rest = (0, images.shape[1] - height), (0, images.shape[2] - width)
    return images if rest == ((0, 0), (0, 0)) else layers.Cropping2D(rest, name="crop")(images)


def define_generator(latent_dim, out_shape=(28, 28, 1)):
    """Latent points (n, latent_dim) to images (n, H, W, C) in [-1, 1], made with the next multiples of 4 as H and W."""
    height, width, channels = out_shape
    rows, columns = math.ceil(height / 4), math.ceil(width / 4)
    points = keras.Input((latent_dim,), name="latent_points")
    x = layers.Dense(rows * columns * 128, name="dense")(points)
    x = layers.LeakyReLU(negative_slope=0.2, name="leaky_0")(x)
    x = layers.Reshape((rows, columns, 128), name="reshape")(x)
    for i in (1, 2):
        x = layers.Conv2DTranspose(128, 4, strides=2, padding="same", name=f"upsample_{i}")(x)
        x = layers.LeakyReLU(negative_slope=0.2, name=f"leaky_{i}")(x)
    x = layers.Conv2D(channels, 7, padding="same", activation="tanh", name="image")(x)
    return keras.Model(points, crop(x, height, width), name="g_model")


class GAN(keras.Model):
    """The composite: latent points (n, latent_dim) to D(x), (n, 1), of the images that the generator makes of them.

    The discriminator is frozen in this model only, which trains the generator's weights and no others. (Setting
    `d_model.trainable = False` would freeze the layers of c_model with it.)
    """

    def __init__(self, g_model, d_model):
        points = keras.Input(g_model.input_shape[1:], name="latent_points")
        super().__init__(points, d_model(g_model(points)), name="gan_model")
        self.g_model = g_model

    @property
    def trainable_weights(self):
        return self.g_model.trainable_weights

    trainable_variables = trainable_weights  # Keras would take the layers' own

    @property
    def non_trainable_weights(self):
        own = {id(weight) for weight in self.trainable_weights}
        return [weight for weight in self.weights if id(weight) not in own]


def compile_with_adam(model, loss, settings, **options):
    """Compile a model with an Adam optimizer of its own, whose variables exist at once: a resumed run loads them."""
    model.compile(keras.optimizers.Adam(settings.learning_rate, beta_1=settings.beta_1), loss, **options)
    model.optimizer.build(model.trainable_weights)


def generate_real_samples(arrays, n_samples, seed):
    """Draw, with replacement, from `arrays`: images of 0..255, (N, H, W, C), and labels (N,), if there are any.

    Returns [images (n_samples, H, W, C) in [-1, 1], labels (n_samples,) if there are any]; `seed` is a `SeedGenerator`.
    """
    rows = keras.random.randint((n_samples,), 0, len(arrays[0]), seed=seed)
    images, *labels = (ops.take(values, rows, axis=0) for values in arrays)
    return [scale_images(images), *labels]


def generate_latent_points(latent_dim, n_samples, seed):
    """Draw (n_samples, latent_dim) independent standard normal values: the generator's input."""
    return keras.random.normal((n_samples, latent_dim), seed=seed)


def generate_fake_samples(g_model, latent_points):
    """Images (n, H, W, C) in [-1, 1] of the generator, in inference mode, from latent points (n, latent_dim)."""
    return g_model(latent_points, training=False)


def descend(model, inputs, targets):
    """One gradient step of a compiled model on its own trainable weights. Returns loss and outputs before the step."""
    with tf.GradientTape() as tape:
        outputs = model(inputs, training=True)
        loss = model.compute_loss(inputs, targets, outputs)
    gradients = tape.gradient(loss, model.trainable_weights)
    model.optimizer.apply(gradients, model.trainable_weights)
    return loss, outputs


class SGAN(Training):
    """A generator and a stacked discriminator in training. Other discriminators override how its updates are made.

    Args:
        settings: a `Settings`; batches and latent points come from its `seed`, initial weights and dropout from Keras'
            global one.
        labelled: (images, labels): uint8 (n, H, W, C) and integers (n,).
        unlabelled_images: uint8 (N, H, W, C).
        n_classes: K.
    """

    define_discriminator = staticmethod(define_discriminator)  # a subclass may have other networks
    define_generator = staticmethod(define_generator)

    def __init__(self, settings, labelled, unlabelled_images, n_classes):
        metrics = ("c_loss", "c_accuracy", "d_loss_real", "d_loss_fake", "g_loss")
        super().__init__("sgan", metrics, settings.seed)
        image_shape = unlabelled_images.shape[1:]
        self.d_model, self.c_model = self.define_discriminator(image_shape, n_classes)
        self.g_model = speed_up(self.define_generator(settings.latent_dim, image_shape))  # the same values, sooner
        self.gan_model = GAN(self.g_model, self.d_model)
        self.compile_discriminators(settings)
        compile_with_adam(self.gan_model, "binary_crossentropy", settings)
        self.labelled = [on_device(values) for values in labelled]
        self.unlabelled = [on_device(unlabelled_images)]
        self.batch_size = settings.batch_size
        self.generator_batch_size = settings.batch_size

    def compile_discriminators(self, settings):
        """Give each model through which the discriminator is trained its loss and its optimizer."""
        compile_with_adam(self.c_model, "sparse_categorical_crossentropy", settings, metrics=["accuracy"])
        compile_with_adam(self.d_model, "binary_crossentropy", settings)

    @property
    def discriminators(self):
        """The models through which the discriminator is trained."""
        return self.c_model, self.d_model

    @property
    def optimizers(self):
        return [model.optimizer for model in (*self.discriminators, self.gan_model)]

    def train_on_labelled(self, images, labels):
        """Update 1. Returns the loss and the class probabilities (n, K) before it."""
        return descend(self.c_model, images, labels)

    def train_on_unlabelled(self, images):
        """Update 2: these are real. Returns the loss before it."""
        return descend(self.d_model, images, ops.ones((images.shape[0], 1)))[0]

    def train_on_generated(self, images):
        """Update 3: these are fake. Returns the loss before it."""
        return descend(self.d_model, images, ops.zeros((images.shape[0], 1)))[0]

    def train_generator(self, latent_points):
        """Update 4: the frozen discriminator should take what the generator makes for real. Returns the loss before."""
        return descend(self.gan_model, latent_points, ops.ones((latent_points.shape[0], 1)))[0]

    def update(self, labelled_images, labels, unlabelled_images, fake_noise, gan_noise):
        """One step of the tutorial: three updates of the discriminator, then one of the generator.

        Args:
            labelled_images, unlabelled_images: (n, H, W, C) in [-1, 1].
            labels: (n,) integers, 0..K-1.
            fake_noise: (n, latent_dim), for the images that the discriminator is trained on.
            gan_noise: (m, latent_dim), for the generator's update.

        Returns:
            The losses before each update, and the accuracy on the labelled batch, 0..1.
        """
        # 1. Labelled images: which class?
        c_loss, probabilities = self.train_on_labelled(labelled_images, labels)
        # 2. Unlabelled images are real.
        d_loss_real = self.train_on_unlabelled(unlabelled_images)
        # 3. Generated images are fake.
        d_loss_fake = self.train_on_generated(generate_fake_samples(self.g_model, fake_noise))
        # 4. The generator: the discriminator, as it is now, should take its images for real ones.
        g_loss = self.train_generator(gan_noise)
        return {"c_loss": c_loss, "c_accuracy": batch_accuracy(probabilities, labels), "d_loss_real": d_loss_real,
                "d_loss_fake": d_loss_fake, "g_loss": g_loss}

    def train_step(self, data):
        """Draw the batches and make one `update`; `data`, the step's number, is not needed."""
        latent_dim, seed = self.g_model.input_shape[1], self.seed_generator
        half = self.batch_size // 2  # images of each kind for the discriminator; a whole batch is generated in update 4
        labelled_images, labels = generate_real_samples(self.labelled, half, seed)
        (unlabelled_images,) = generate_real_samples(self.unlabelled, half, seed)
        fake_noise = generate_latent_points(latent_dim, half, seed)
        gan_noise = generate_latent_points(latent_dim, self.generator_batch_size, seed)
        return self.record(self.update(labelled_images, labels, unlabelled_images, fake_noise, gan_noise))


def summarize_performance(step, g_model, c_model, latent_points, dataset, run):
    """Save both models and a picture of generated images in the folder of the run, and measure the classifier.

    A training without a generator has None as `g_model`. Returns {"train_accuracy": 0..1, and the same for "validation"
    and "test", if there are such sets}.
    """
    if g_model:
        save_model(g_model, run.path / f"g_model_{step:04d}.h5")
        save_image_grid(generate_fake_samples(g_model, latent_points), run.path / f"generated_plot_{step:04d}.png")
    save_model(c_model, run.path / f"c_model_{step:04d}.h5", describe_classifier(dataset, run.record))
    accuracies, line = measure(c_model, dataset)
    print(f"{line}\n>Saved: c_model_{step:04d}.h5{f', g_model_{step:04d}.h5' if g_model else ''}")
    return accuracies


def steps_per_epoch(settings, images):
    """The steps of an epoch, by default as many as there are batches. Raises InputError if there is none."""
    steps = settings.steps_per_epoch or len(images) // settings.batch_size
    if not steps:
        raise InputError(f"--batch-size {settings.batch_size}: more than the {len(images)} images; lower it")
    return steps


def train(training, dataset, run):
    """Train from the last finished epoch of `run` on, saving each epoch there."""
    settings, steps = run.settings, steps_per_epoch(run.settings, dataset.train_images)
    run.restore(training)
    latent_points = training.latent_points(100, settings.seed)  # the same in every epoch

    def summarize(step):
        g_model = training.g_model if training.has_generator else None
        return summarize_performance(step, g_model, training.c_model, latent_points, dataset, run)

    fit(training, steps, settings.epochs, len(run.history), [SaveEpoch(run, summarize), TimeLeft()],
        verbose=1 if sys.stdout.isatty() else 2)
    print("\n".join(prediction_table(training.c_model, np.array(training.labelled[1]), dataset)))
    run.finish()


def main(argv=None):
    """Train the tutorial's SGAN, with the settings of the command line."""
    with open_run(Settings, parse_options(Settings, argv)) as run:
        dataset, rows = load_images(run.settings)
        dataset, labelled = run.keep_labels(dataset, rows)
        keras.utils.set_random_seed(run.settings.seed)
        training = SGAN(run.settings, labelled, dataset.train_images, dataset.n_classes)
        train(training, dataset, run)


if __name__ == "__main__":
    run_command(main)
