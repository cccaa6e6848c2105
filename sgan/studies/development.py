"""Data made of other data: images to develop a recipe on, or images of which some classes are rare.

    python -m sgan.studies.development development.npz
    python -m sgan.studies ablation --data development.npz

writes five sixths of the training images, drawn at random (of MNIST's 50,000), as a training set and the others as its
"test set", so that no test image influences a recipe.

    python -m sgan.studies.development long_tail.npz --long-tail
    python -m sgan.studies other-data --data long_tail.npz --labels 100

writes a random share of each class's training images, 10^(-k / (K - 1)) of class k of K: all of the first class, a
tenth of the last one. For data of which all classes are about equally frequent. The test set stays as it is.
"""

import sgan

if __name__ == "__main__":
    sgan.begin_script()

import numpy as np

from sgan.data.dataset import load_real_samples
from sgan.runs.command import InputError, run_command
from sgan.runs.files import atomic_write, expand
from sgan.runs.options import ArgumentParser

SEED = 99


def five_sixths(dataset, order):
    """Row numbers of training images for a training set, and the test set: the other images and their labels."""
    rows, others = np.split(order, [len(order) * 5 // 6])
    others = np.sort(others)
    return rows, dataset.train_images[others], dataset.train_labels[others]


def long_tail(dataset, order):
    """Row numbers of a long-tailed training set, the first ones of each class in `order`; and the test set."""
    if dataset.test_images is None or (dataset.train_labels < 0).any():
        raise InputError(f"{dataset.name}: a long tail needs a test set, and the label of every training image")
    rows_of = [order[dataset.train_labels[order] == k] for k in range(dataset.n_classes)]
    shares = 10 ** (-np.arange(dataset.n_classes) / (dataset.n_classes - 1))
    rows = [rows[:max(1, round(len(rows) * share))] for rows, share in zip(rows_of, shares)]
    return np.concatenate(rows), dataset.test_images, dataset.test_labels


def main(argv=None):
    """Write the file that the command line names."""
    parser = ArgumentParser(prog="python -m sgan.studies.development", description=__doc__.split("\n")[0])
    parser.add_argument("file", type=expand, metavar="FILE.npz", help="to be written, in the form of Keras' mnist.npz")
    parser.add_argument("--data", default="mnist", help="mnist, synthetic, a folder or FILE.npz (default: %(default)s)")
    parser.add_argument("--long-tail", action="store_true", help="all of the first class to a tenth of the last one, "
                        "not five sixths and one sixth")
    args = parser.parse_args(argv)
    if args.file.suffix != ".npz" or args.file.exists():
        raise InputError(f"{args.file}: must be a new file, and its name end in .npz")
    if args.data == "auto":
        raise InputError("--data auto: may or may not be MNIST; give mnist, synthetic, a folder or FILE.npz")
    dataset = load_real_samples(args.data)
    order = np.random.default_rng(SEED).permutation(len(dataset.train_labels))
    rows, test_images, test_labels = (long_tail if args.long_tail else five_sixths)(dataset, order)
    rows = np.sort(rows)
    train_labels = dataset.train_labels[rows]
    if not set(range(dataset.n_classes)) <= set(train_labels) or max(test_labels, default=-1) < 0:
        raise InputError(f"--data {args.data}: too few labelled images to train on each class and to measure")
    with atomic_write(args.file) as temporary:
        np.savez(temporary, x_train=dataset.train_images[rows], y_train=train_labels, x_test=test_images,
                 y_test=test_labels)
    print(f"written: {args.file}, {len(rows)} training and {len(test_labels)} test images")


if __name__ == "__main__":
    run_command(main)
