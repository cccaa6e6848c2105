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


def count_copies(train_images, train_labels, test_images=None, test_labels=None):
    """Lines that say how many identical images there are, within the sets, between them and between classes.

    That labelled images serve as unlabelled ones, too, makes them no copies.
    """
    sets = [train_images] if test_images is None else [train_images, test_images]
    labels = train_labels if test_labels is None else np.concatenate([train_labels, test_labels])
    originals, n_train, notes = find_originals(*sets), len(train_images), []
    train, test = np.split(originals, [n_train])

    def count(text, n, total):
        if n:
            notes.append(f"{text}: {n:,} of {total:,}")

    n_labelled = (train_labels >= 0).sum()
    copies = n_labelled - len(np.unique(train[train_labels >= 0]))
    count("labelled images that are copies of others, kept together by --validation-split", copies, n_labelled)
    count("unlabelled images that are copies of others", n_train - len(np.unique(train)) - copies, n_train - n_labelled)
    count("test images that are copies of others", len(test) - len(np.unique(test)), len(test))
    count("test images that are training images, too", (test < n_train).sum(), len(test))
    pairs = np.unique(np.stack([originals, labels])[:, labels >= 0], axis=1)  # each image with each of its labels
    contradictory = np.count_nonzero(np.unique(pairs[0], return_counts=True)[1] > 1)
    if contradictory:
        notes.append(f"images whose copies have other labels: {contradictory:,}")
    return notes
