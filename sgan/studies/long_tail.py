"""Images of which some classes are rare, as most people's are: what a recipe does that expects equally many of each.

    python -m sgan.studies.long_tail long_tail.npz
    python -m sgan.studies other-data --data long_tail.npz --labels 100

Writes a file as Keras' mnist.npz with a random share of each class's training images, 10^(-k / (K - 1)) of class k of
K: all of the first class, a tenth of the last one. For data of which all classes are about equally frequent. The test
set stays as it is.
"""


import sgan

if __name__ == "__main__":
    sgan.begin_script()

import numpy as np

from sgan.runs.command import InputError, run_command
from sgan.studies.development import make_from_data

SEED = 99


def thin_out(dataset):
    """The long-tailed training set and the test set of a `Dataset`, each as (images, labels)."""
    if dataset.test_images is None:
        raise InputError(f"{dataset.name}: has no test set")
    if (dataset.train_labels < 0).any():
        raise InputError(f"{dataset.name}: has images without labels, whose classes cannot be made rare")
    order = np.random.default_rng(SEED).permutation(len(dataset.train_labels))
    kept = []
    for k in range(dataset.n_classes):
        rows = order[dataset.train_labels[order] == k]
        kept.append(rows[:max(1, round(len(rows) * 10 ** (-k / (dataset.n_classes - 1))))])
    rows = np.sort(np.concatenate(kept))
    return (dataset.train_images[rows], dataset.train_labels[rows]), (dataset.test_images, dataset.test_labels)


def main(argv=None):
    """Write the long-tailed images that the command line asks for."""
    make_from_data("python -m sgan.studies.long_tail", __doc__.split("\n")[0], thin_out, argv)


if __name__ == "__main__":
    run_command(main)
