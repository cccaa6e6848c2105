"""What a classifier predicts for many images, and how often it is right."""

import math

import numpy as np
from keras import ops

from sgan.runs.command import printable

RARE = 0.4  # of the mean share: a class that is predicted less often is named


def scale_images(images):
    """Scale pixels from 0..255 to [-1, 1], float32: what every model here expects and the generator makes."""
    return (ops.cast(images, "float32") - 127.5) / 127.5


def batch_size_for(n, image_shape):
    """How many of n images (H, W, C) to handle at once, so that larger ones need no more memory than n of MNIST's."""
    return max(1, min(n, n * 28 * 28 // math.prod(image_shape[:2])))


def predict_classes(c_model, images, rows, batch_size=500):
    """Classify the images, uint8 (N, H, W, C), with these row numbers, batch by batch. Returns (n,) class numbers."""
    batch_size = batch_size_for(batch_size, images.shape[1:])
    batches = (images[rows[i:i + batch_size]] for i in range(0, len(rows), batch_size))
    predicted = [c_model.predict_on_batch(scale_images(batch)).argmax(axis=-1) for batch in batches]
    return np.concatenate([np.empty(0, int), *predicted])  # there may be none


def accuracy(c_model, images, labels):
    """Share of right predictions, 0..1, over the images whose label is known (not -1)."""
    known = np.flatnonzero(labels >= 0)
    return float((predict_classes(c_model, images, known) == labels[known]).mean())


def balanced_accuracy(predicted, labels):
    """Mean over the classes among the labels (n,) of the share of each that is predicted right, 0..1."""
    return float(np.mean([(predicted[labels == k] == k).mean() for k in np.unique(labels)]))


def measure(c_model, dataset):
    """Measure a classifier on every set of a `Dataset`.

    Returns:
        ({"train_accuracy": 0..1, and the same for "validation" and "test", if there are such sets}, the same in words).
    """
    accuracies, words = {}, []
    for name, images, labels in dataset.sets():
        accuracies[f"{name}_accuracy"] = value = accuracy(c_model, images, labels)
        words.append(f"{value:.3%} ({np.count_nonzero(labels >= 0):,} {name.replace('train', 'training')} images)")
    return accuracies, f"Classifier Accuracy: {', '.join(words)}"


def prediction_table(c_model, labels, dataset):
    """Lines that show a collapse: how often each class is predicted for the training images, beside its share among the
    `labels` (n,) trained on; and how many validation images of each class are right, if there are any. Then a line for
    each class that is rarely predicted."""
    rows = np.arange(len(dataset.train_images))
    predicted = np.bincount(predict_classes(c_model, dataset.train_images, rows), minlength=dataset.n_classes)
    labelled = np.bincount(labels, minlength=dataset.n_classes)
    lines = [f"{'class':20} {'labelled':>16} {'predicted for all':>18}"]
    lines += [f"{printable(name)[:20]:20} {labelled[k]:8,} {labelled[k] / len(labels):7.1%} "
              f"{predicted[k]:10,} {predicted[k] / len(rows):7.1%}" for k, name in enumerate(dataset.class_names)]
    if dataset.validation_images is not None:
        known = dataset.validation_labels
        right = known[predict_classes(c_model, dataset.validation_images, np.arange(len(known))) == known]
        lines[0] += f" {'validation right':>18}"
        for k in range(len(dataset.class_names)):
            lines[k + 1] += f" {(right == k).sum():10,} of {(known == k).sum():4,}"
    lines += [f"class {printable(name)} is rare, or not learned: {predicted[k] / len(rows):.1%} of the training images"
              for k, name in enumerate(dataset.class_names) if predicted[k] < RARE * len(rows) / len(labelled)]
    return lines
