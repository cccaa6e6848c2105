"""Names of classes: the one rule by which folders, .npz files and saved classifiers compare and sort them.

Names that are whole numbers are compared by value ("07" is the class 7), others as text. Nothing is ever matched by its
position: whether class 0 is "good" or "bad", no number says.
"""

import unicodedata
from collections import Counter

import numpy as np

from sgan.runs.command import InputError, printable

NO_LABEL = "-1"  # among names of classes
MAX_LISTED = 20  # names in a line


def may_mean_no_label(name):
    """Whether a string that names a class may stand for "no label"."""
    return name.strip().lower() in ("", "-1", "-1.0", "nan", "none", "unlabelled", "unlabeled")


def compared(name):
    """What is the same for two names exactly if they mean the same class: blanks around it, the way in which an accent
    is stored, and zeros before a number do not count."""
    name = unicodedata.normalize("NFC", name).strip()
    return name.lstrip("0") or "0" if name.isdecimal() else name


def sort_classes(names):
    """Names in the order of the classes, a list: by value if all are whole numbers, else by name."""
    numbers = all(compared(name).isdecimal() for name in names)
    return sorted(names, key=lambda name: (len(compared(name)), compared(name)) if numbers else name)


def alike(names, key):
    """Those of the names that are the same as another by a function `key`."""
    count = Counter(map(key, names))
    return [name for name in names if count[key(name)] > 1]


def number_classes(place, names, classes):
    """Names as the numbers of their classes, int64 (N,), and NO_LABEL as -1; `place` is where they were found.

    Raises InputError for a name that is no class, and if no image has a label.
    """
    numbers = {NO_LABEL: -1, **{compared(name): number for number, name in enumerate(classes)}}
    labels = np.array([numbers.get(compared(name), -2) for name in names])
    if labels.min(initial=-1) == -2 or labels.max(initial=-1) == -1:
        found = listed(sort_classes({*names} - {NO_LABEL}))
        raise InputError(f"{place}: has the classes {found}, but those to train on are {listed(classes)}" if found else
                         f"{place}: no image has a label; each class needs some")
    return labels


def listed(names):
    """Names in a line, the first and the last if there are many."""
    names = list(names)
    return printable(", ".join(names if len(names) <= MAX_LISTED else [*names[:3], "...", names[-1]]))


def match_classes(model, outputs, data, classes):
    """Which output of a classifier stands for each class of some data.

    Args:
        model, data: what both are called.
        outputs, classes: the K names of each, in their orders.

    Returns:
        (K,) numbers of outputs.

    Raises:
        InputError: they do not have the same classes.
    """
    ours, theirs = [compared(name) for name in outputs], [compared(name) for name in classes]
    if sorted(ours) != sorted(theirs):
        raise InputError(f"{model}: has the classes {listed(outputs)}, and {data} has {listed(classes)}. They are "
                         "matched by name, not by order: give the data the model's names, as folders or strings in "
                         "y_train")
    return np.array([ours.index(name) for name in theirs])
