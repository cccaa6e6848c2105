"""The baseline: the discriminator's classifier, trained on the labelled images only."""

import sgan  # noqa: F401  before Keras: it chooses the backend and TensorFlow's CPU kernels

from sgan.runs.device import on_device
from sgan.runs.fit import Training, batch_accuracy
from sgan_mnist import compile_with_adam, descend, generate_real_samples


class SupervisedOnly(Training):
    """Update 1 of an SGAN, on batches drawn in the same way, and no other.

    Args:
        sgan_class: `SGAN` or a subclass, whose classifier is trained.
        settings: a `Settings`.
        labelled: (images, labels): uint8 (n, H, W, C) and integers (n,).
        n_classes: K.
    """

    has_generator = False

    def __init__(self, sgan_class, settings, labelled, n_classes):
        super().__init__("supervised_only", ("c_loss", "c_accuracy"), settings.seed)
        _, self.c_model = sgan_class.define_discriminator(labelled[0].shape[1:], n_classes)
        compile_with_adam(self.c_model, "sparse_categorical_crossentropy", settings)
        self.discriminators, self.optimizers = (self.c_model,), [self.c_model.optimizer]
        self.labelled = [on_device(values) for values in labelled]
        self.batch_size = settings.batch_size // 2

    def train_step(self, data):
        """One update; `data`, the step's number, is not needed."""
        images, labels = generate_real_samples(self.labelled, self.batch_size, self.seed_generator)
        loss, probabilities = descend(self.c_model, images, labels)
        return self.record({"c_loss": loss, "c_accuracy": batch_accuracy(probabilities, labels)})
