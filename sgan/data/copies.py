"""Identical images: on both sides of a split, they make a classifier look better than it is."""

import hashlib

import numpy as np


def find_originals(*sets):
    """For each image of some sets (N, H, W, C), one after the other, the number of the first that is identical to it.

    Returns (N1 + N2 + ...,) integers; an image without a copy before it has its own number.
    """
    first = {}
    digests = (hashlib.sha256(np.ascontiguousarray(image)).digest() for images in sets for image in images)
    return np.array([first.setdefault(digest, number) for number, digest in enumerate(digests)], int)


def count_copies(train_images, train_labels, test_images, test_labels):
    """Lines that say how many identical images there are, within the sets, between them and between classes.

    That labelled images serve as unlabelled ones, too, makes them no copies. Without a test set both are None.
    """
    sets = (train_images,) if test_images is None else (train_images, test_images)
    labels = train_labels if test_images is None else np.append(train_labels, test_labels)
    originals, n = find_originals(*sets), len(train_images)
    train, test, labelled = originals[:n], originals[n:], originals[:n][train_labels >= 0]
    pairs = np.unique(np.stack([originals, labels])[:, labels >= 0], axis=1)  # each image with each of its labels
    copies = len(labelled) - len(np.unique(labelled))
    counts = {"labelled images that are copies of others, kept together by --validation-split": copies,
              "unlabelled images that are copies of others": n - len(np.unique(train)) - copies,
              "test images that are copies of others": len(test) - len(np.unique(test)),
              "test images that are training images, too": np.count_nonzero(test < n),
              "images whose copies have other labels": pairs.shape[1] - len(np.unique(pairs[0]))}
    return [f"{what}: {number:,}" for what, number in counts.items() if number]
