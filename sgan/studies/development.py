"""Images to develop a recipe on: training images only, so that no test image influences it.

    python -m sgan.studies.development development.npz
    python -m sgan.studies ablation --data development.npz

Writes a file as Keras' mnist.npz: five sixths of the training images, drawn at random (of MNIST's 50,000), as its
training set, the others as its "test set".
"""


import numpy as np

import sgan

if __name__ == "__main__":
    sgan.begin_script()

from sgan.runs.command import InputError, run_command
from sgan.runs.options import ArgumentParser
from sgan.data.dataset import load_real_samples
from sgan.runs.files import expand, atomic_write

SPLIT_SEED = 99


def make_from_data(command, description, make, argv):
    """Write the file that a command line `FILE.npz --data DATA` asks for.

    Args:
        command, description: for its help.
        make: function of a `Dataset` that returns a training set and a test set, (images, labels) each.
        argv: the command line; None for the process's own.
    """
    parser = ArgumentParser(prog=command, description=description)
    parser.add_argument("file", type=expand, metavar="FILE.npz", help="to be written")
    parser.add_argument("--data", default="mnist", help="mnist, synthetic, a folder or FILE.npz (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.file.suffix != ".npz":
        raise InputError(f"{args.file}: the file's name must end in .npz")
    if args.file.exists():
        raise InputError(f"{args.file}: is there already; delete it, or give another name")
    if args.data == "auto":
        raise InputError("--data auto: may or may not be MNIST; give mnist, synthetic, a folder or FILE.npz")
    dataset = load_real_samples(args.data)
    (train_images, train_labels), (test_images, test_labels) = make(dataset)
    missing = sorted(set(range(dataset.n_classes)) - set(train_labels.tolist()))
    if missing or max(test_labels, default=-1) < 0:
        purpose = f"of class {dataset.class_names[missing[0]]} to train on" if missing else "to measure on"
        raise InputError(f"--data {args.data}: has too few labelled images: none is left {purpose}")
    with atomic_write(args.file) as temporary:
        np.savez(temporary, x_train=train_images, y_train=train_labels, x_test=test_images, y_test=test_labels)
    print(f"written: {args.file}, {len(train_images)} training and {len(test_images)} test images")


def split_training_images(dataset):
    """Five sixths of a data set's training images, and the others, each as (images, labels)."""
    images, labels = dataset.train_images, dataset.train_labels
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
    n_train = len(images) * 5 // 6
    train, test = np.sort(order[:n_train]), np.sort(order[n_train:])
    return (images[train], labels[train]), (images[test], labels[test])


def main(argv=None):
    """Write the split of the images that the command line asks for."""
    make_from_data("python -m sgan.studies.development", __doc__.split("\n")[0], split_training_images, argv)


if __name__ == "__main__":
    run_command(main)
