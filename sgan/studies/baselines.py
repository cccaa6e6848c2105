"""What methods without any network reach on label splits: logistic regression, SVM, LabelSpreading.

    pip install scikit-learn
    python -m sgan.studies.baselines --data usps.npz --labels 100 --first-split 36

All three see the first 50 principal components of the training images, which need no labels, and have scikit-learn's
default settings, except that logistic regression has 1,000 iterations and LabelSpreading (Zhou et al. 2004, Learning
with local and global consistency) goes by nearest neighbours; it looks at up to 5,000 unlabelled images, too.
Prints a line of CSV for each split and method: data, their fingerprint, labels, method, label seed, test accuracy and
balanced test accuracy, 0..1; and, on standard error, the means. `>> results/baselines.csv` keeps the former.
"""

import csv
import sys
from importlib.util import find_spec
from pathlib import Path

import sgan

if __name__ == "__main__":
    sgan.begin_script()

import numpy as np

from sgan.data.dataset import load_real_samples
from sgan.models.evaluation import balanced_accuracy
from sgan.runs.command import InputError, run_command
from sgan.runs.options import ArgumentParser, at_least
from sgan.studies.tables import mean_std
from sgan_mnist import select_supervised_samples

COMPONENTS, UNLABELLED = 50, 5000


def predictions(features, rows, labels, test_features, seed):
    """{method: (m,) predicted classes of the test images} of the three methods.

    Args:
        features: (N, COMPONENTS), of all training images.
        rows: (n,) numbers of the labelled ones, and `labels`, (n,), their classes.
        test_features: (m, COMPONENTS).
        seed: of the choice of unlabelled images.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.semi_supervised import LabelSpreading
    from sklearn.svm import SVC

    others = np.setdiff1d(np.arange(len(features)), rows)
    others = np.random.default_rng(seed).permutation(others)[:UNLABELLED]
    every = np.concatenate([features[rows], features[others]])
    known = np.concatenate([labels, np.full(len(others), -1)])
    with np.errstate(invalid="ignore"):  # images that no labelled one reaches get the first class
        fitted = {"logistic regression": LogisticRegression(max_iter=1000).fit(features[rows], labels),
                  "SVM": SVC().fit(features[rows], labels),
                  "LabelSpreading": LabelSpreading("knn", n_neighbors=min(7, len(every))).fit(every, known)}
        return {name: method.predict(test_features) for name, method in fitted.items()}


def main(argv=None):
    """Measure the methods on the label splits that the command line names."""
    parser = ArgumentParser(prog="python -m sgan.studies.baselines", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--data", default="mnist", help="mnist, synthetic, a folder or FILE.npz (default: %(default)s)")
    add("--labels", type=at_least(int, 1), default=100, help="(default: %(default)s)")
    add("--first-split", type=at_least(int, 0), default=0, help="the first label seed (default: %(default)s)")
    add("--splits", type=at_least(int, 1), default=5, help="(default: %(default)s)")
    args = parser.parse_args(argv)
    if not find_spec("sklearn"):
        raise InputError("these methods need another package: pip install scikit-learn")
    from sklearn.decomposition import PCA

    dataset = load_real_samples(args.data)
    if dataset.test_images is None:
        raise InputError(f"--data {args.data}: has no test set, and the methods are measured on one")
    known = dataset.test_labels >= 0
    images, test_images = (images.reshape(len(images), -1) / 255
                           for images in (dataset.train_images, dataset.test_images[known]))
    components = PCA(min(COMPONENTS, *images.shape), random_state=0).fit(images)
    features, test_features = components.transform(images), components.transform(test_images)
    test_labels = dataset.test_labels[known]

    accuracies, same = {}, (Path(dataset.name).stem, dataset.fingerprint(), args.labels)
    for split in range(args.first_split, args.first_split + args.splits):
        labelled = select_supervised_samples(dataset.train_labels, args.labels, dataset.n_classes, split,
                                             dataset.class_names)
        labels = dataset.train_labels[labelled]
        for method, predicted in predictions(features, labelled, labels, test_features, split).items():
            both = (predicted == test_labels).mean(), balanced_accuracy(predicted, test_labels)
            accuracies.setdefault(method, []).append(both)
            csv.writer(sys.stdout).writerow([*same, method, split, *both])
    for method, values in accuracies.items():
        plain, balanced = map(list, zip(*values))
        print(f"{method:20} test accuracy, %: {mean_std(plain)}; balanced: {mean_std(balanced)}", file=sys.stderr)


if __name__ == "__main__":
    run_command(main)
