"""What methods without any network reach on label splits: logistic regression, SVM, LabelSpreading.

    pip install scikit-learn
    python -m sgan.studies.baselines --data usps.npz --labels 100 --first-split 36

All three see the first 50 principal components of the training images, which need no labels, and have scikit-learn's
default settings, except that logistic regression has 1,000 iterations and LabelSpreading (Zhou et al. 2004, Learning
with local and global consistency) goes by nearest neighbours; it looks at up to 5,000 unlabelled images, too.
Prints the means, and writes a row for each split to RESULTS/baselines.csv, in place of those with the same data and
number of labels.
"""

import csv
import io
from importlib.util import find_spec
from pathlib import Path

import sgan

if __name__ == "__main__":
    sgan.begin_script()

import numpy as np

from sgan.runs.command import InputError, run_command
from sgan.runs.options import ArgumentParser, at_least
from sgan.data.dataset import load_real_samples
from sgan.models.evaluation import balanced_accuracy
from sgan.runs.files import check_writable, expand, read_text, write_csv
from sgan.studies.tables import mean_std
from sgan_mnist import select_supervised_samples

COMPONENTS, UNLABELLED = 50, 5000
COLUMNS = "data", "fingerprint", "labels", "method", "label_seed", "test_accuracy", "balanced_test_accuracy"


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
    predicted = {name: method.fit(features[rows], labels).predict(test_features) for name, method in (
        ("logistic regression", LogisticRegression(max_iter=1000)), ("SVM", SVC()))}
    with np.errstate(invalid="ignore"):  # images that no labelled one reaches get the first class
        spreading = LabelSpreading("knn", n_neighbors=min(7, len(every))).fit(every, known)
        predicted["LabelSpreading"] = spreading.predict(test_features)
    return predicted


def read_rows(path):
    """The rows of a CSV that this script has written; none where there is none. Raises InputError for another file."""
    if not path.exists():
        return []
    text = read_text(path)
    try:
        header, *rows = csv.reader(io.StringIO(text, newline=""))
        if header != list(COLUMNS):
            raise ValueError
        return [dict(zip(COLUMNS, row, strict=True)) for row in rows if row]  # none: a blank line
    except (csv.Error, ValueError):
        raise InputError(f"{path}: is not a table of this script; move it away, or name another --results") from None


def main(argv=None):
    """Measure the methods on the label splits that the command line names."""
    parser = ArgumentParser(prog="python -m sgan.studies.baselines", description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="mnist", help="mnist, synthetic, a folder or FILE.npz (default: %(default)s)")
    parser.add_argument("--labels", type=at_least(int, 1), default=100, help="(default: %(default)s)")
    parser.add_argument("--first-split", type=at_least(int, 0), default=0, help="the first label seed "
                        "(default: %(default)s)")
    parser.add_argument("--splits", type=at_least(int, 1), default=5, help="(default: %(default)s)")
    parser.add_argument("--results", type=expand, default="results", metavar="FOLDER", help="(default: %(default)s)")
    args = parser.parse_args(argv)
    path = args.results / "baselines.csv"
    check_writable(args.results)
    others = read_rows(path)
    if not find_spec("sklearn"):
        raise InputError("these methods need another package: pip install scikit-learn")
    from sklearn.decomposition import PCA

    dataset = load_real_samples(args.data)
    if dataset.test_images is None:
        raise InputError(f"--data {args.data}: has no test set, and the methods are measured on one")
    flat = dataset.train_images.reshape(len(dataset.train_images), -1) / 255
    components = PCA(min(COMPONENTS, *flat.shape), random_state=0).fit(flat)
    features = components.transform(flat)
    known = dataset.test_labels >= 0
    test_images, test_labels = dataset.test_images[known], dataset.test_labels[known]
    test_features = components.transform(test_images.reshape(len(test_images), -1) / 255)

    rows, fingerprint = [], dataset.fingerprint()
    for split in range(args.first_split, args.first_split + args.splits):
        labelled = select_supervised_samples(dataset.train_labels, args.labels, dataset.n_classes, split)
        labels = dataset.train_labels[labelled]
        for method, predicted in predictions(features, labelled, labels, test_features, split).items():
            rows.append(dict(zip(COLUMNS, (
                Path(dataset.name).stem, fingerprint, args.labels, method, split, (predicted == test_labels).mean(),
                balanced_accuracy(predicted, test_labels)))))
    same = fingerprint, str(args.labels)  # of which there may be rows
    write_csv(path, [*(row for row in others if (row["fingerprint"], row["labels"]) != same), *rows])
    for method in dict.fromkeys(row["method"] for row in rows):
        accuracies, balanced = ([row[name] for row in rows if row["method"] == method]
                                for name in ("test_accuracy", "balanced_test_accuracy"))
        print(f"{method:20} test accuracy, %: {mean_std(accuracies)}; balanced: {mean_std(balanced)}")
    print(f"written: {path}")


if __name__ == "__main__":
    run_command(main)
