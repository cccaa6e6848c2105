"""The tuned SGAN: the idea of sgan_mnist.py taken as far as it goes in minutes on a CPU.

    python -m sgan.tuned

Still one network with K class logits that is both classifier and discriminator, D(x) = Z / (Z + 1), and a generator.
Both are faster; the discriminator has noise and dropout, the generator is smaller and has BatchNormalization. What is
added, in the order of the step, with the names by which `--without` leaves it out (`unlabelled-images`: 3 to 6):

1. Teacher (`teacher`). The classifier that is kept has a moving average of the weights, whose predictions are usually
   better and steadier than those of any single step's weights (Tarvainen and Valpola 2017, Mean teachers, arXiv
   1703.01780). It averages over about a ninth of the steps so far (polynomial decay: Shamir and Zhang 2013, arXiv
   1212.1824). It predicts first in a step and is updated last.
2. Augmentation (`augmentation`). Every real image is slightly rotated, sheared, scaled, shifted and bent (elastic
   deformation), as if somebody else had written it (Simard et al. 2003, Best practices for convolutional neural
   networks). It is never mirrored: a mirrored digit is no digit. The generator learns to make such augmented images.
   Unlabelled strokes from which it is left out, but not both 4 and 5, get virtual adversarial noise instead: that
   which changes the prediction most (Miyato et al. 2018, arXiv 1704.03976). It knows nothing of digits.
3. Clutter (`clutter`). Pieces of other images are drawn over half of a step's real images at first, over none at the
   end (Mnih et al. 2014, Recurrent models of visual attention, arXiv 1406.6247, put such fragments around digits). A
   classifier that has learned to ignore a stray stroke recognises a seven with a bar even if no labelled seven has
   one. Without clutter, such a style may be assigned to a wrong class in the first few hundred steps and stay there.
4. Mutual information (`mutual-information`). The mutual information between the teacher's prediction for an unlabelled
   image and the discriminator's for the augmented image is maximised: the two should agree, be confident, and use all
   classes equally often (Ji et al. 2019, Invariant information clustering, arXiv 1807.06653). The last of these, the
   marginal entropy, counts twice at first and once at the end: with two labels per class, one class may otherwise
   absorb another. In the first 100 steps, a supervised warm-up, all of it has no weight: it would divide the images
   into classes before the few labels have said which. A rare class would be made to take images of others. So two
   classes do without it, three to five if there are at least five labels of each; and it has no weight if, right
   after the warm-up, the teacher gives one class more than half of a step's images.
5. Pseudo-labels (`pseudo-labels`). Where the teacher is confident about an unlabelled image, its prediction is the
   class that the augmented image is trained on. The weight starts at zero, as wrong predictions would confirm
   themselves (Sohn et al. 2020, FixMatch, arXiv 2001.07685; ramp-up: Lee 2013, Pseudo-label).
6. Generator (`generator`). As in sgan_mnist.py, it learns to make images that are taken for real ones, and the
   discriminator to tell them from the unlabelled images; without it, neither loss is there. One pass of the generated
   images through the discriminator serves the updates of both networks, and the discriminator has one update, for the
   sum of all losses.

All of it is for images that show bright strokes on a dark background; for dark strokes 3, which draws bright ones, is
left out. Photographs have 1 and 2 only: with 4 and 5 no gain could be shown (smaller networks). They are warped less,
mirrored (signs are not), and changed in light and colour; their network is larger and has batch normalisation. Other
images have 1 and 6, and the weight of the adversarial losses is a third of the usual at first and falls linearly to
zero.

Measured (results/README.md, five label splits each): 0.77 ± 0.09 % test error with 100 labels, 0.78 ± 0.06 % with 20,
after 4,200 steps. Those with 100 labels took 226 to 284 s on two CPU cores (AVX512), evaluations left out.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import sgan  # before Keras: it chooses the backend and TensorFlow's CPU kernels

if __name__ == "__main__":
    sgan.begin_script()

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from sgan.data.augmentation import AUGMENTATION, KINDS, background, clutter, look_like
from sgan.models.evaluation import scale_images
from sgan.models.photographs import photograph_backbone
from sgan.models.virtual_adversarial import perturb
from sgan.runs.command import InputError, run_command
from sgan.runs.device import on_device
from sgan.runs.fit import Training, batch_accuracy
from sgan.runs.options import option
from sgan.runs.plots import save_image_grid
from sgan.runs.run_folder import RunSettings, open_run, parse_options
from sgan_mnist import (
    crop, custom_activation, define_discriminator, generate_latent_points, generate_real_samples, load_images, train
)

RECIPE = 10  # raised with each change of what a step does to MNIST: runs of different recipes must not be averaged.
# Another change does not raise it: earlier runs that it concerns must get another `recipe` in the files by hand.
INGREDIENTS = ("unlabelled-images", "generator", "mutual-information", "pseudo-labels", "augmentation", "clutter",
               "teacher")
USED_FOR = {  # each kind of image
    "strokes": INGREDIENTS,
    "photographs": ("augmentation", "teacher"),
    "signs": ("augmentation", "teacher"),
    "other": ("unlabelled-images", "generator", "teacher"),
}
NEEDS = {  # without one of these an ingredient is left out, too
    "generator": ("unlabelled-images",),
    "mutual-information": ("unlabelled-images",),
    "pseudo-labels": ("unlabelled-images",),
    "clutter": ("augmentation", "unlabelled-images"),  # it is made of the latter, and is a kind of augmentation
}
METRICS = {  # what a step measures besides c_loss and c_accuracy
    "generator": ("d_loss_real", "d_loss_fake", "g_loss"),
    "mutual-information": ("mutual_information", "marginal_entropy"),
    "pseudo-labels": ("pseudo_label_loss", "mask_rate"),
}
WARM_UP_STEPS = 100  # the first steps, in which the mutual information has no weight
FEW_CLASSES, ENOUGH_LABELS = 5, 5  # so few classes with so many labels of each do without mutual information
AVERAGING = 9  # the teacher averages over about the last ninth of the steps so far
PERTURBATION = 0.07  # size of the virtual adversarial noise, of pixels in [-1, 1]


@dataclass
class TunedSettings(RunSettings):
    """Train the tuned SGAN: a classifier from a few labelled images and many unlabelled ones, in minutes."""

    epochs: int = option(7, "of --steps-per-epoch steps each; all schedules run over the whole training", min=1)
    steps_per_epoch: int = option(600, "models and pictures are saved after each epoch", min=1)
    batch_size: int = option(100, "unlabelled images a step", min=2)
    labelled_batch: int = option(50, "labelled images a step", min=1)
    generated_batch: int = option(25, "generated images a step", min=1)
    learning_rate: float = option(1e-3, "learning rate of both Adam optimizers", min=1e-9)
    beta_1: float = option(0.9, "beta_1 of the discriminator's Adam; the generator's is 0.5", min=0, below=1)
    confidence: float = option(0.95, "the teacher's predictions of at least this probability are pseudo-labels",
                               min=0, below=1)
    adversarial_weight: float = option(0.15, "weight of the losses of D(x), that of the labels has 1; for other "
                                            "images a third of it at first, falling linearly to 0", min=0)
    mutual_information_weight: float = option(2.0, "weight of the mutual information, after the warm-up; few "
                                                   "classes do without it", min=0)
    images: str = option("auto", "what they show: strokes on a plain background (digits, letters, drawings), "
                                 "photographs or, never mirrored, signs (both learned without the unlabelled ones), or "
                                 "something other (X-rays), which is not augmented; auto takes colour images without a "
                                 "plain background for photographs", choices=("auto", *USED_FOR))
    without: str = option("nothing", "ingredients to leave out, A,B,...; those that need them go too: "
                                    f"{', '.join(INGREDIENTS)}")
    out: str = option("runs/tuned", "folder of the run")
    COMMAND: ClassVar = "python -m sgan.tuned"
    MAY_CHANGE: ClassVar = ()  # not the epochs: the schedules depend on the number of steps

    def __post_init__(self):
        if self.without != "nothing" and not set(self.without.split(",")) <= set(INGREDIENTS):
            raise InputError(f"--without {self.without}: choose among {', '.join(INGREDIENTS)}")


def kind_of(settings, images):
    """What images, uint8 (N, H, W, C), show, a key of USED_FOR: as the settings say or they look."""
    return look_like(images) if settings.images == "auto" else settings.images


def ingredients_of(settings, images, labels):
    """Which of the INGREDIENTS a training with these `TunedSettings` has, a list.

    Args:
        images: uint8 (N, H, W, C), all of them.
        labels: (n,) class numbers, of the labelled ones.
    """
    left_out, kind = set(settings.without.split(",")), kind_of(settings, images)
    if kind == "strokes" and (background(images) or 0) > 127:
        left_out.add("clutter")  # which draws bright strokes
    n_labels = np.unique(labels, return_counts=True)[1]
    if len(n_labels) == 2 or len(n_labels) <= FEW_CLASSES and n_labels.min() >= ENOUGH_LABELS:
        left_out.add("mutual-information")
    return [name for name in USED_FOR[kind] if not {name, *NEEDS.get(name, ())} & left_out]


def leaky(x):
    """The activation of all layers here but the last."""
    return layers.LeakyReLU(negative_slope=0.1)(x)


def tuned_backbone(images):
    """Images (n, H, W, C) in [-1, 1] to features (n, 128): three convolutions, a dense layer, noise and dropout."""
    x = layers.GaussianNoise(0.15, name="noise")(images)
    x = leaky(layers.Conv2D(32, 5, strides=2, padding="same", kernel_initializer="he_normal", name="conv_1")(x))
    x = leaky(layers.Conv2D(64, 3, padding="same", kernel_initializer="he_normal", name="conv_2")(x))
    x = layers.MaxPooling2D(name="pool")(x)
    x = leaky(layers.Conv2D(64, 3, padding="same", kernel_initializer="he_normal", name="conv_3")(x))
    x = layers.Dropout(0.25, name="dropout_1")(layers.Flatten(name="flatten")(x))
    x = leaky(layers.Dense(128, kernel_initializer="he_normal", name="dense")(x))
    return layers.Dropout(0.25, name="dropout_2")(x)


def tuned_generator(latent_dim, out_shape=(28, 28, 1)):
    """Latent points (n, latent_dim) to images (n, H, W, C) in [-1, 1], made with the next multiples of 4 as H and W."""
    height, width, channels = out_shape
    rows, columns = math.ceil(height / 4), math.ceil(width / 4)
    points = keras.Input((latent_dim,), name="latent_points")
    x = layers.Dense(rows * columns * 64, name="dense")(points)
    x = leaky(layers.BatchNormalization(name="batch_norm_1")(x))
    x = layers.Reshape((rows, columns, 64), name="reshape")(x)
    x = layers.Conv2DTranspose(32, 4, strides=2, padding="same", name="upsample")(x)
    x = leaky(layers.BatchNormalization(name="batch_norm_2")(x))
    x = layers.Conv2DTranspose(channels, 4, strides=2, padding="same", activation="tanh", name="image")(x)
    return keras.Model(points, crop(x, height, width), name="g_model")


def entropy(probabilities):
    """Entropy, in nats, of a distribution given as an array of any shape."""
    return -ops.sum(probabilities * ops.log(ops.maximum(probabilities, 1e-7)))


def mutual_information_and_marginal_entropy(first, second):
    """Mutual information of the predictions for two views of the same images, and their marginal entropy, in nats.

    P_jk, the mean over images of first_j second_k, made symmetric, is the joint distribution of both predictions, given
    as class probabilities (n, K). Returns their mutual information 2 H(P_j) - H(P_jk) (Ji et al. 2019, section 3.1),
    which is highest if both predictions are the same, confident, and use all classes equally often, and H(P_j), the
    entropy of their mean; both are at most log K.
    """
    joint = ops.matmul(ops.transpose(first), second) / first.shape[0]
    joint = (joint + ops.transpose(joint)) / 2
    marginal = entropy(ops.sum(joint, axis=0))
    return 2 * marginal - entropy(joint), marginal


def pseudo_label_loss(logits, probabilities, confidence):
    """Cross-entropy of logits (n, K) with the classes that a teacher predicts (Sohn et al. 2020, section 2.1).

    Args:
        logits: for one view of the images.
        probabilities: the teacher's for another view, (n, K).
        confidence: 0 to 1; images with no class at least as probable count as zero.

    Returns the mean over all images, and the share of those that do not count as zero.
    """
    mask = ops.cast(ops.max(probabilities, axis=-1) >= confidence, "float32")
    classes = ops.argmax(probabilities, axis=-1)
    each = keras.losses.sparse_categorical_crossentropy(classes, logits, from_logits=True)
    return ops.mean(mask * each), ops.mean(mask)


def unsupervised_loss(logits, real):
    """Binary cross-entropy of D(x) = Z / (Z + 1), from logits (n, K), with the target 1 if `real`, else 0; a scalar."""
    target = ops.full((logits.shape[0], 1), float(real))
    return ops.mean(keras.losses.binary_crossentropy(target, custom_activation(logits)))


class TunedSGAN(Training):
    """A generator, a discriminator and its teacher in training.

    Args:
        settings: a `TunedSettings`.
        labelled: (images, labels): uint8 (n, H, W, C) and integers (n,).
        unlabelled_images: uint8 (N, H, W, C).
        n_classes: K.
        steps: of the whole training, over which clutter, the extra weight of the marginal entropy and, if images do
            not show strokes, the weight of the adversarial losses fall to zero, and the weight of the pseudo-labels
            grows.
    """

    def __init__(self, settings, labelled, unlabelled_images, n_classes, steps):
        ingredients = ingredients_of(settings, unlabelled_images, labelled[1])
        of_ingredients = [name for ingredient in ingredients for name in METRICS.get(ingredient, ())]
        super().__init__("tuned_sgan", ["c_loss", "c_accuracy", *of_ingredients], settings.seed)
        self.settings, self.ingredients, self.steps = settings, ingredients, steps
        self.kind = kind_of(settings, unlabelled_images)
        self.has_generator = "generator" in self.ingredients
        image_shape = unlabelled_images.shape[1:]
        self.g_model = tuned_generator(settings.latent_dim, image_shape)
        backbone = photograph_backbone if self.kind in ("photographs", "signs") else tuned_backbone
        _, classifier = define_discriminator(image_shape, n_classes, backbone)
        logits = classifier.get_layer("class_logits").output  # both heads are in the losses
        self.discriminator = keras.Model(classifier.input, logits, name="discriminator")
        self.discriminators = (self.discriminator,)
        self.c_model = keras.models.clone_model(classifier)  # the teacher
        self.c_model.set_weights(classifier.get_weights())
        self.c_model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])  # for evaluate() only
        self.labelled = [on_device(values) for values in labelled]
        self.unlabelled = [on_device(unlabelled_images)]

        # 1 if the mutual information is maximised: not in the warm-up, nor afterwards if one class prevails
        self.maximised = self.add_weight((), "zeros", trainable=False, name="maximised")
        self.d_optimizer = keras.optimizers.Adam(settings.learning_rate, beta_1=settings.beta_1)
        self.g_optimizer = keras.optimizers.Adam(settings.learning_rate, beta_1=0.5)
        self.d_optimizer.build(self.discriminator.trainable_weights)
        self.g_optimizer.build(self.g_model.trainable_weights)

    @property
    def optimizers(self):
        return [self.d_optimizer, self.g_optimizer]

    def augmented(self, images, progress):
        """Images (n, H, W, C) warped and cluttered, as far as these are ingredients; `progress`, 0 to 1, reduces the
        clutter."""
        if "augmentation" in self.ingredients:
            images = KINDS[self.kind](images, self.seed_generator)
        if "clutter" in self.ingredients:
            (others,) = generate_real_samples(self.unlabelled, images.shape[0], self.seed_generator)
            images = clutter(images, others, AUGMENTATION["cluttered"] * (1 - progress), self.seed_generator)
        return images

    def train_step(self, data):
        """One step; `data`, its number, is not needed. Returns the step's own metrics."""
        settings, ingredients, seed = self.settings, self.ingredients, self.seed_generator
        labelled_images, labels = generate_real_samples(self.labelled, settings.labelled_batch, seed)
        (unlabelled_images,) = generate_real_samples(self.unlabelled, settings.batch_size, seed)
        noise = generate_latent_points(settings.latent_dim, settings.generated_batch, seed)
        step = self.d_optimizer.iterations
        progress = ops.cast(step, "float32") / self.steps  # from 0 to 1

        teacher_probabilities = self.c_model(unlabelled_images, training=False)  # for images as they are
        images = labelled_images
        if "unlabelled-images" in ingredients:
            if "augmentation" not in ingredients and {"mutual-information", "pseudo-labels"} & set(ingredients):
                unlabelled_images = perturb(unlabelled_images, self.discriminator, PERTURBATION, seed)
            images = ops.concatenate([labelled_images, unlabelled_images])
        images = self.augmented(images, progress)

        with tf.GradientTape() as d_tape:
            logits = self.discriminator(images, training=True)
            labelled_logits, unlabelled_logits = ops.split(logits, [settings.labelled_batch])
            d_loss = ops.mean(keras.losses.sparse_categorical_crossentropy(labels, labelled_logits, from_logits=True))
            losses = {"c_loss": d_loss}
            if "mutual-information" in ingredients:
                information, marginal = mutual_information_and_marginal_entropy(
                    teacher_probabilities, ops.softmax(unlabelled_logits))
                losses["mutual_information"], losses["marginal_entropy"] = information, marginal
                one_prevails = ops.max(ops.mean(teacher_probabilities, axis=0)) > 0.5
                self.maximised.assign(ops.where(step == WARM_UP_STEPS, 1 - ops.cast(one_prevails, "float32"),
                                                self.maximised))
                weight = settings.mutual_information_weight * self.maximised
                d_loss -= weight * (information + (1 - progress) * 2 * marginal)  # maximised; 2 H(P_j) twice at first
            if "pseudo-labels" in ingredients:
                losses["pseudo_label_loss"], losses["mask_rate"] = pseudo_label_loss(
                    unlabelled_logits, teacher_probabilities, settings.confidence)
                d_loss += progress * losses["pseudo_label_loss"]
            if "generator" in ingredients:
                with tf.GradientTape() as g_tape:
                    generated_images = self.g_model(noise, training=True)
                    generated_logits = self.discriminator(generated_images, training=True)
                    g_loss = unsupervised_loss(generated_logits, real=True)
                losses["d_loss_real"] = unsupervised_loss(unlabelled_logits, real=True)
                losses["d_loss_fake"] = unsupervised_loss(generated_logits, real=False)
                weight = settings.adversarial_weight * (1 if self.kind == "strokes" else (1 - progress) / 3)
                d_loss += weight * (losses["d_loss_real"] + losses["d_loss_fake"])

        if "generator" in ingredients:
            weights = self.g_model.trainable_weights
            self.g_optimizer.apply(g_tape.gradient(g_loss, weights), weights)
            losses["g_loss"] = g_loss
        weights = self.discriminator.trainable_weights
        self.d_optimizer.apply(d_tape.gradient(d_loss, weights), weights)
        self.update_teacher()

        losses["c_accuracy"] = batch_accuracy(labelled_logits, labels)
        return self.record(losses)

    def update_teacher(self):
        """Move the teacher's weights towards the discriminator's, by less and less as steps are made."""
        step = ops.cast(self.d_optimizer.iterations, "float32")
        keep = step / (step + AVERAGING) if "teacher" in self.ingredients else 0
        for average, weight in zip(self.c_model.weights, self.discriminator.weights):
            average.assign(keep * average + (1 - keep) * weight)


def save_augmented(images, kind, path):
    """Draw eight of the images, uint8 (N, H, W, C), and below each an augmented copy: a wrong kind is seen at once."""
    images = scale_images(images[np.linspace(0, len(images) - 1, 8, dtype=int)])
    copies = KINDS[kind](images, keras.random.SeedGenerator(0))
    save_image_grid(np.concatenate([images, copies]), path, rows=2, ink=False)


def main(argv=None):
    """Train the tuned SGAN as the command line says."""
    with open_run(TunedSettings, parse_options(TunedSettings, argv)) as run:
        settings = run.settings
        dataset, rows = load_images(settings)
        dataset, labelled = run.keep_labels(dataset, rows)
        keras.utils.set_random_seed(settings.seed)
        steps = settings.epochs * settings.steps_per_epoch
        training = TunedSGAN(settings, labelled, dataset.train_images, dataset.n_classes, steps)
        left_out = [name for name in INGREDIENTS if name not in training.ingredients]
        hint = "; --images signs if a mirror image may be of another class" if training.kind == "photographs" else ""
        print(f"Images: taken for {training.kind} (--images {settings.images}{hint})\n"
              f"Left out for these images and labels, or by --without: {', '.join(left_out) or 'nothing'}")
        if "unlabelled-images" not in USED_FOR[training.kind]:
            print("The unlabelled images are not used for this kind of image: no gain could be shown")
        if "mutual-information" in training.ingredients:
            print("Assumed: classes about equally frequent (if not: --without mutual-information; of three to "
                  "five classes rather label five or more images each)")
        if "augmentation" in training.ingredients:
            save_augmented(dataset.train_images, training.kind, run.path / "augmented.png")
        train(training, dataset, run)


if __name__ == "__main__":
    run_command(main)
