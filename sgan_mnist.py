"""Semi-supervised GAN on MNIST: a classifier from 100 labelled digits and 60,000 unlabelled ones.

    pip install -r requirements.txt && python sgan_mnist.py

The discriminator of a GAN is also the classifier. Its last dense layer gives K class logits, which two heads share:

    c_model   softmax over the K logits: which digit?          trained on the labelled images
    d_model   D(x) = Z / (Z + 1), Z = sum_k exp(logit_k): is x real?   trained on unlabelled and generated images

(Salimans et al. 2016, Improved Techniques for Training GANs, arXiv 1606.03498, section 5; Odena 2016, arXiv
1606.01583.) A generator learns to fool d_model. In the end c_model is kept and the generator thrown away.

Measured with the default settings, one run: test accuracy 91.4 % after 20 epochs, 94.6 % after 11 (see README.md).
"""

import math
import os
import shlex
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the long imports: no traceback
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # the faster convolutions, which not every CPU gets by default
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from fast_convolution import speed_up
from mnist_data import InputError, aligned, load_real_samples
from run_folder import (
    RunFolder, WatchLosses, parser_from, run_command, save_image_grid, save_model, set_up_device
)

# --------------------------------------------------------------------------------------------------------------
# Settings: each field is one option of the command line


def setting(default, explanation, least=None):
    return field(default=default, metadata={"help": explanation, "least": least})


@dataclass
class Settings:
    """Train a semi-supervised GAN: a classifier from a few labelled images and many unlabelled ones."""

    data: str = setting("auto", "images: auto (MNIST, or synthetic digits without a network), mnist, synthetic, "
                                "or a file like Keras' mnist.npz, where the label -1 means 'no label'")
    labels: int | None = setting(None, "labelled images, the same number of each class (default: 100; where the "
                                       "data hold images without a label, every label there is)", least=1)
    epochs: int = setting(20, "passes of --steps-per-epoch steps; models and pictures are saved after each", least=1)
    batch_size: int = setting(100, "images a step: half of them real, half generated, for the discriminator", least=2)
    latent_dim: int = setting(100, "size of the generator's input", least=1)
    learning_rate: float = setting(2e-4, "of the three Adam optimizers")
    beta_1: float = setting(0.5, "of the three Adam optimizers")
    steps_per_epoch: int | None = setting(None, "default: images // batch size", least=1)
    seed: int = setting(0, "for weights, noise and the order of the images", least=0)
    label_seed: int = setting(0, "for which images keep their labels", least=0)
    out: str = setting("runs/sgan", "folder of the run")
    print_every: int | None = setting(None, "print the losses of every N-th step instead of a progress bar", least=1)
    tensorboard: bool = setting(False, "write logs for TensorBoard too (pip install tensorboard)")
    half_is_generated = True  # of --batch-size; no annotation: not an option
    may_change = ("epochs",)  # when a run is resumed, beside the place of the data

    def check(self):
        """Raise InputError for what cannot be trained with."""
        if self.half_is_generated and self.batch_size % 2:
            raise InputError(f"--batch-size {self.batch_size}: must be even, half of it is generated images")
        if not 0 < self.learning_rate < float("inf"):
            raise InputError(f"--learning-rate {self.learning_rate}: must be above 0 and finite")
        if not 0 <= self.beta_1 < 1:
            raise InputError(f"--beta-1 {self.beta_1}: must be from 0 to below 1")
        if self.tensorboard and not find_spec("tensorboard"):
            raise InputError("--tensorboard: needs the package: pip install tensorboard")


# --------------------------------------------------------------------------------------------------------------
# Data: which images keep their labels, and what a step draws


def select_supervised_samples(labels, n_samples=100, n_classes=10, seed=0):
    """Choose the images that keep their labels: the same number of each class, at random, without replacement.

    Args:
        labels: (N,) integers, 0..n_classes-1, or -1 for "no label".
        n_samples: how many to choose; None for every image that has a label, however many each class has.
        seed: of the draw.

    Returns:
        (n_samples,) row numbers, ascending.

    Raises:
        InputError: n_samples is not a multiple of n_classes, or a class has too few images.
    """
    rows_of = [np.flatnonzero(labels == k) for k in range(n_classes)]
    share, rest = (1, 0) if n_samples is None else divmod(n_samples, n_classes)
    if rest or not share:
        raise InputError(f"{n_samples} labels cannot be the same number of each of the {n_classes} classes: "
                         f"--labels must be a multiple of {n_classes}")
    for k, rows in enumerate(rows_of):
        if len(rows) < share:
            raise InputError(f"{n_samples or 'all'} labels: {share} or more of each of the {n_classes} classes are "
                             f"needed, but class {k} has {len(rows)}; see --labels")
    if n_samples is not None:
        random = np.random.default_rng(seed)
        rows_of = [random.choice(rows, share, replace=False) for rows in rows_of]
    return np.sort(np.concatenate(rows_of))


def scale_images(images):
    """Scale pixels from 0..255 to [-1, 1], float32: what every model here expects and the generator draws."""
    return (ops.cast(images, "float32") - 127.5) / 127.5


def on_device(array):
    """A NumPy array as a tensor on the GPU, if there is one; on a CPU the tensor shares the array's memory."""
    return tf.identity(tf.experimental.dlpack.from_dlpack(aligned(array).__dlpack__()))


def generate_real_samples(dataset, n_samples, seed):
    """Draw, with replacement, from `dataset`: images, uint8 (N, H, W, C), and labels (N,), if they are wanted.

    Returns [images (n_samples, H, W, C) in [-1, 1], labels (n_samples,) if wanted]; `seed` is a `SeedGenerator`.
    """
    rows = keras.random.randint((n_samples,), 0, len(dataset[0]), seed=seed)
    images, *labels = (ops.take(values, rows, axis=0) for values in dataset)
    return [scale_images(images), *labels]


def generate_latent_points(latent_dim, n_samples, seed):
    """Draw (n_samples, latent_dim) independent standard normal values: the generator's input."""
    return keras.random.normal((n_samples, latent_dim), seed=seed)


def generate_fake_samples(g_model, latent_points):
    """Let the generator draw (n, H, W, C) images in [-1, 1], in inference mode."""
    return g_model(latent_points, training=False)


# --------------------------------------------------------------------------------------------------------------
# The models


def custom_activation(logits):
    """D(x) = Z / (Z + 1), Z = sum_k exp(logit_k), (n, 1): the probability that x is real (arXiv 1606.03498, section 5).

    That is sigmoid(logsumexp(logits)), a form that does not overflow, and from whose last operation Keras' binary
    cross-entropy takes the logit instead of the rounded probability.
    """
    return keras.activations.sigmoid(ops.logsumexp(logits, axis=-1, keepdims=True))


def discriminator_body(images):
    """The layers that all heads share: images (n, H, W, C) in [-1, 1] to features (n, H/8 * W/8 * 128)."""
    x = images
    for i in (1, 2, 3):
        x = layers.Conv2D(128, 3, strides=2, padding="same", name=f"conv_{i}")(x)
        x = layers.LeakyReLU(negative_slope=0.2, name=f"leaky_{i}")(x)
    x = layers.Flatten(name="flatten")(x)
    return layers.Dropout(0.4, name="dropout")(x)


def define_discriminator(in_shape=(28, 28, 1), n_classes=10, body=discriminator_body):
    """The stacked discriminator: two models over the same weights, not compiled yet.

    Returns:
        d_model: images (n, H, W, C) in [-1, 1] to the probability of being real, (n, 1).
        c_model: the same images to class probabilities, (n, n_classes).
    """
    images = keras.Input(in_shape, name="images")
    logits = layers.Dense(n_classes, name="class_logits")(body(images))
    c_model = keras.Model(images, layers.Activation("softmax", name="class_probabilities")(logits), name="c_model")
    d_model = keras.Model(images, custom_activation(logits), name="d_model")
    return d_model, c_model


def define_generator(latent_dim, out_shape=(28, 28, 1)):
    """Latent points (n, latent_dim) to images (n, H, W, C) in [-1, 1]; H and W are multiples of 4."""
    height, width, channels = out_shape
    points = keras.Input((latent_dim,), name="latent_points")
    x = layers.Dense(height // 4 * (width // 4) * 128, name="dense")(points)
    x = layers.LeakyReLU(negative_slope=0.2, name="leaky_0")(x)
    x = layers.Reshape((height // 4, width // 4, 128), name="reshape")(x)
    for i in (1, 2):
        x = layers.Conv2DTranspose(128, 4, strides=2, padding="same", name=f"upsample_{i}")(x)
        x = layers.LeakyReLU(negative_slope=0.2, name=f"leaky_{i}")(x)
    x = layers.Conv2D(channels, 7, padding="same", activation="tanh", name="drawing")(x)
    return keras.Model(points, x, name="g_model")


class GAN(keras.Model):
    """The composite: the generator, then a frozen discriminator.

    "Frozen" is a matter of this model alone: only the generator's weights are its to train, while the discriminator
    stays trainable everywhere else. (Setting `d_model.trainable = False` would freeze the layers of c_model with it.)
    """

    def __init__(self, g_model, d_model):
        points = keras.Input(g_model.input_shape[1:], name="latent_points")
        super().__init__(points, d_model(g_model(points)), name="gan_model")
        self.g_model = g_model

    @property
    def trainable_weights(self):
        return self.g_model.trainable_weights

    trainable_variables = trainable_weights

    @property
    def non_trainable_weights(self):
        own = {id(weight) for weight in self.trainable_weights}
        return [weight for weight in self.weights if id(weight) not in own]


def define_gan(g_model, d_model):
    """Latent points to the discriminator's opinion of what the generator draws from them; see `GAN`."""
    return GAN(g_model, d_model)


# --------------------------------------------------------------------------------------------------------------
# The training step


@dataclass
class Discriminator:
    """What differs between ways to build a discriminator: the compiled model that each update trains, and its targets.

    Loss and optimizer are those that the models are compiled with. Models may share weights, or be the same one.
    """

    supervised: keras.Model  # update 1: labelled images
    unsupervised: keras.Model  # updates 2 and 3: unlabelled and generated images
    judge: keras.Model  # update 4: whom the generator has to convince, images to P(real), (n, 1)
    classifier: keras.Model  # images to (n, K) class probabilities; saved as c_model
    labelled_target: Callable = lambda labels: labels
    real_target: Callable = lambda n: ops.ones((n, 1))
    fake_target: Callable = lambda n: ops.zeros((n, 1))
    class_scores: Callable = lambda outputs: outputs  # of the supervised model, (n, K)


def stacked_discriminator(in_shape, n_classes, optimizer, body=discriminator_body):
    """The tutorial's discriminator, ready to train; `optimizer()` makes a new optimizer at each call."""
    d_model, c_model = define_discriminator(in_shape, n_classes, body)
    c_model.compile(optimizer(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    d_model.compile(optimizer(), "binary_crossentropy")
    return Discriminator(supervised=c_model, unsupervised=d_model, judge=d_model, classifier=c_model)


def descend(model, inputs, targets):
    """One gradient step of a compiled model on its own trainable weights. Returns loss and outputs before the step."""
    with tf.GradientTape() as tape:
        outputs = model(inputs, training=True)
        loss = model.compute_loss(inputs, targets, outputs)
    gradients = tape.gradient(loss, model.trainable_weights)
    model.optimizer.apply(gradients, model.trainable_weights)
    return loss, outputs


class SGAN(keras.Model):
    """A generator and a discriminator in training; `fit` it on the numbers of the steps to make.

    Args:
        g_model: latent points to images.
        discriminator: a `Discriminator`.
        gan_model: the compiled composite of the two.
        labelled: (images, labels): uint8 (n, H, W, C) and integers (n,).
        unlabelled_images: uint8 (N, H, W, C).
        batch_size: even; half of it is drawn from each set of images, and half generated.
        seed: for the images and the noise that the steps draw.
        gan_batch_size: of the generator's update; the tutorial's is `batch_size`.
    """

    def __init__(self, g_model, discriminator, gan_model, labelled, unlabelled_images, batch_size, seed,
                 gan_batch_size=None):
        super().__init__(name="sgan")
        speed_up(g_model)
        self.g_model, self.discriminator, self.gan_model = g_model, discriminator, gan_model
        self.supervised, self.unsupervised = discriminator.supervised, discriminator.unsupervised
        self.c_model = discriminator.classifier
        self.labelled = [on_device(values) for values in labelled]
        self.unlabelled = [on_device(unlabelled_images)]
        self.batch_size, self.gan_batch_size = batch_size, gan_batch_size or batch_size
        self.seed_generator = keras.random.SeedGenerator(seed)
        figures = "c_loss", "c_accuracy", "d_loss_real", "d_loss_fake", "g_loss"
        self.means = [keras.metrics.Mean(name) for name in figures]
        for model in (self.supervised, self.unsupervised, gan_model):
            if not model.optimizer.built:
                model.optimizer.build(model.trainable_weights)
        self.built = True

    @property
    def metrics(self):
        return self.means

    def update(self, labelled_images, labels, unlabelled_images, fake_noise, gan_noise):
        """One step of the tutorial: three updates of the discriminator, then one of the generator.

        Args:
            labelled_images, unlabelled_images: (n, H, W, C) in [-1, 1].
            labels: (n,) integers, 0..K-1.
            fake_noise: (n, latent_dim), drawn into images for the discriminator.
            gan_noise: (2n, latent_dim), for the generator's update.

        Returns:
            The losses before each update, and the accuracy on the labelled batch, 0..1.
        """
        roles = self.discriminator
        c_loss, outputs = descend(roles.supervised, labelled_images, roles.labelled_target(labels))
        right = ops.equal(ops.argmax(roles.class_scores(outputs), axis=-1), ops.cast(labels, "int32"))

        target = roles.real_target(unlabelled_images.shape[0])
        d_loss_real, _ = descend(roles.unsupervised, unlabelled_images, target)

        moving = roles.judge.non_trainable_weights  # BatchNormalization's, if any: they follow the real images alone
        kept = [ops.copy(weight) for weight in moving]
        target = roles.fake_target(fake_noise.shape[0])
        d_loss_fake, _ = descend(roles.unsupervised, generate_fake_samples(self.g_model, fake_noise), target)

        g_loss, _ = descend(self.gan_model, gan_noise, ops.ones((gan_noise.shape[0], 1)))  # 1: "these are real"
        for weight, value in zip(moving, kept):
            weight.assign(value)

        return {"c_loss": c_loss, "c_accuracy": ops.mean(ops.cast(right, "float32")), "d_loss_real": d_loss_real,
                "d_loss_fake": d_loss_fake, "g_loss": g_loss}

    def train_step(self, data):
        """Draw the batches and make one `update`; `data`, the step's number, is not needed.

        Returns the step's own figures; as they bear the names of the metrics, `fit` ends an epoch with the means.
        """
        half, latent_dim, seed = self.batch_size // 2, self.g_model.input_shape[1], self.seed_generator
        labelled_images, labels = generate_real_samples(self.labelled, half, seed)
        (unlabelled_images,) = generate_real_samples(self.unlabelled, half, seed)
        fake_noise = generate_latent_points(latent_dim, half, seed)
        gan_noise = generate_latent_points(latent_dim, self.gan_batch_size, seed)
        figures = self.update(labelled_images, labels, unlabelled_images, fake_noise, gan_noise)
        for mean in self.means:
            mean.update_state(figures[mean.name])
        return figures

    def state_variables(self):
        """Every variable that the next step depends on: weights, seeds of noise and dropout, the optimizers' state."""
        optimizers = {id(m.optimizer): m.optimizer for m in (self.supervised, self.unsupervised, self.gan_model)}
        return [*self.variables, *(variable for each in optimizers.values() for variable in each.variables)]


# --------------------------------------------------------------------------------------------------------------
# Training


def predict_classes(c_model, images, rows, batch_size=500):
    """Classify the images, uint8 (N, H, W, C), with these row numbers, batch by batch. Returns (n,) class numbers."""
    batches = (images[rows[i:i + batch_size]] for i in range(0, len(rows), batch_size))
    return np.concatenate([c_model.predict_on_batch(scale_images(batch)).argmax(axis=-1) for batch in batches])


def accuracy(c_model, images, labels):
    """Share of right answers, 0..1, over the images whose label is known (not -1)."""
    known = np.flatnonzero(labels >= 0)
    return float((predict_classes(c_model, images, known) == labels[known]).mean())


def summarize_performance(step, g_model, c_model, dataset, latent_points, folder):
    """Draw what the generator makes of `latent_points`, measure the classifier, save both models in `folder`.

    Returns {"train_accuracy": 0..1, and "test_accuracy" if there is a test set}.
    """
    names = [f"generated_plot_{step:04d}.png", f"g_model_{step:04d}.h5", f"c_model_{step:04d}.h5"]
    save_image_grid(generate_fake_samples(g_model, latent_points), folder / names[0])
    save_model(g_model, folder / names[1])
    save_model(c_model, folder / names[2])
    accuracies = {"train_accuracy": accuracy(c_model, dataset.train_images, dataset.train_labels)}
    line = f"Classifier Accuracy: {accuracies['train_accuracy']:.3%} (training set)"
    if dataset.test_images is not None:
        accuracies["test_accuracy"] = accuracy(c_model, dataset.test_images, dataset.test_labels)
        line += f", {accuracies['test_accuracy']:.3%} (test set)"
    print(f"{line}\n>Saved: {', '.join(names)}")
    return accuracies


def steps_per_call(steps, print_every=None):
    """How many steps to make in one call on a GPU, up to 50, so that the host does not hold it up."""
    return max(n for n in range(1, 51) if math.gcd(steps, print_every or steps) % n == 0)


def step_numbers(n):
    """0 to n - 1, for `fit`. Their pipeline is not tuned: at the end of an epoch TensorFlow would wait for the tuner,
    which sleeps for up to a minute."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.range(n).with_options(options)


def train(sgan, dataset, settings, run):
    """Train `sgan` from the last finished epoch of `run` on, saving each epoch there."""
    steps = settings.steps_per_epoch or len(dataset.train_images) // settings.batch_size
    if not steps:
        raise InputError(f"--batch-size {settings.batch_size}: more than the {len(dataset.train_images)} images; "
                         "choose a smaller one, or give --steps-per-epoch")
    run.load_state(sgan)
    if settings.epochs < len(run.history):
        raise InputError(f"--epochs {settings.epochs}: the run has finished {len(run.history)} already")
    run.save_record()
    latent_points = generate_latent_points(settings.latent_dim, 100, seed=settings.seed)

    def save_epoch(epoch, logs):
        step = (epoch + 1) * steps
        logs.update(summarize_performance(step, sgan.g_model, sgan.c_model, dataset, latent_points, run.path))
        losses = {mean.name: logs[mean.name] for mean in sgan.metrics}
        run.save_epoch({"epoch": epoch + 1, "step": step, **losses, **logs}, sgan)

    callbacks = [WatchLosses(steps, settings.print_every), keras.callbacks.LambdaCallback(on_epoch_end=save_epoch)]
    if settings.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(run.path / "tensorboard"))
    several = steps_per_call(steps, settings.print_every) if tf.config.list_physical_devices("GPU") else 1
    sgan.compile(optimizer=None, steps_per_execution=several)  # no optimizer: the models in it have theirs
    progress_bar = sys.stdout.isatty() and not settings.print_every
    sgan.fit(step_numbers(steps), epochs=settings.epochs, initial_epoch=len(run.history),
             callbacks=callbacks, shuffle=False, verbose=1 if progress_bar else 2)


# --------------------------------------------------------------------------------------------------------------
# The command


def build_sgan(settings, dataset, labelled):
    """The tutorial's networks, ready to `train`; `labelled` are (images, labels): uint8 (n, H, W, C), integers (n,)."""
    def optimizer():
        return keras.optimizers.Adam(settings.learning_rate, beta_1=settings.beta_1)

    image_shape = dataset.train_images.shape[1:]
    discriminator = stacked_discriminator(image_shape, dataset.n_classes, optimizer)
    g_model = define_generator(settings.latent_dim, image_shape)
    gan_model = define_gan(g_model, discriminator.judge)
    gan_model.compile(optimizer(), "binary_crossentropy")
    return SGAN(g_model, discriminator, gan_model, labelled, dataset.train_images, settings.batch_size, settings.seed)


def main(argv=None, settings_class=Settings, build=build_sgan, command="python sgan_mnist.py"):
    """Train what `build` makes of the command line's settings; the tuned SGAN (studies/tuned.py) comes this way too."""
    given = vars(parser_from(settings_class, settings_class.__doc__).parse_args(argv))
    resume = given.pop("resume", False)
    run = RunFolder(given.get("out", settings_class.out))
    if resume:
        run.reopen()
        settings = run.resumed_settings(settings_class, given)
    else:
        run.refuse_existing()
        settings = settings_class(**given)
    settings.check()
    device = set_up_device()
    print(f"Device: {device}")

    if resume:
        dataset = load_real_samples(given.get("data", run.record["data"]["source"]))
        run.go_on(dataset, device)
    else:
        dataset = load_real_samples(settings.data)
        if settings.labels is None and -1 not in dataset.train_labels:
            settings = replace(settings, labels=100)
        rows = select_supervised_samples(dataset.train_labels, settings.labels, dataset.n_classes, settings.label_seed)
        run.begin(dataset, rows, device)
    run.record["settings"] = asdict(settings)
    rows = run.record["label_indices"]
    labelled = dataset.train_images[rows], dataset.train_labels[rows]
    print(f"Data: {dataset.name}, {len(dataset.train_images)} images, {len(rows)} of them with their labels; "
          + ("no test set" if dataset.test_images is None else f"{len(dataset.test_images)} test images"))

    keras.utils.set_random_seed(settings.seed)
    sgan = build(settings, dataset, labelled)
    try:
        train(sgan, dataset, settings, run)
    except KeyboardInterrupt:
        go_on = f"{command} --out {shlex.quote(settings.out)} --resume"
        raise KeyboardInterrupt(f"interrupted; go on with: {go_on}") from None
    run.record["final"] = run.history[-1]
    run.save_record()
    print(f"Done: {run.path}")
    if run.record["data"]["warning"]:
        print(run.record["data"]["warning"], file=sys.stderr)


if __name__ == "__main__":
    run_command(main)
