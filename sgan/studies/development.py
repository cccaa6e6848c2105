"""Images to develop a recipe on: training images, split in two.

    python -m sgan.studies.development development.npz
    python -m sgan.studies ablation --data development.npz

writes five sixths of the training images, drawn at random (of MNIST's 50,000), as a training set and the others as its
"test set", so that no test image influences a recipe.
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


def main(argv=None):
    """Write the file that the command line names."""
    parser = ArgumentParser(prog="python -m sgan.studies.development", description=__doc__.split("\n")[0])
    parser.add_argument("file", type=expand, metavar="FILE.npz", help="to be written, in the form of Keras' mnist.npz")
    parser.add_argument("--data", default="mnist", help="mnist, synthetic, a folder or FILE.npz (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.file.suffix != ".npz" or args.file.exists():
        raise InputError(f"{args.file}: must be a new file, and its name end in .npz")
    dataset = load_real_samples(args.data)
    images, labels = dataset.train_images, dataset.train_labels
    order = np.random.default_rng(SEED).permutation(len(labels))
    rows, others = map(np.sort, np.split(order, [len(order) * 5 // 6]))
    if not set(range(dataset.n_classes)) <= set(labels[rows]) or max(labels[others]) < 0:
        raise InputError(f"--data {args.data}: too few labelled images to train on each class and to measure")
    with atomic_write(args.file) as temporary:
        np.savez(temporary, x_train=images[rows], y_train=labels[rows], x_test=images[others], y_test=labels[others])
    print(f"written: {args.file}, {len(rows)} training and {len(others)} test images")


if __name__ == "__main__":
    run_command(main)
