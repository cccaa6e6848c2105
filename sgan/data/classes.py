"""Names of classes: the one rule by which folders, .npz files and saved classifiers compare and sort them.

Names that are whole numbers are compared by value ("07" is the class 7), others as text. Nothing is ever matched by its
position: whether class 0 is "good" or "bad", no number says.
"""

import unicodedata
from collections import Counter

import numpy as np

from sgan.runs.command import InputError, printable

# Refused as names of classes: they may stand for "no label".
NOT_A_CLASS = ("", "-1", "-1.0", "nan", "none", "unlabelled", "unlabeled")
MAX_LISTED = 20  # names in a line


def may_mean_no_label(name):
    """Whether a string that names a class may stand for "no label"."""
    return name.strip().lower() in NOT_A_CLASS


def compared(name):
    """What is the same for two names exactly if they mean the same class: blanks around it, the way in which an accent
    is stored, and zeros before a number do not count."""
    name = unicodedata.normalize("NFC", name).strip()
    return name.lstrip("0") or "0" if is_number(name) else name


def is_number(name):
    """Whether a string is a whole number."""
    return name.isascii() and name.isdecimal()


def sort_classes(names):
    """A list of names in the order of the classes: by value if all are whole numbers, else by name."""
    if all(is_number(compared(name)) for name in names):
        return sorted(names, key=lambda name: (len(compared(name)), compared(name)))
    return sorted(names)


def refuse_twins(place, names):
    """Raise InputError if two of the different names mean the same class; `place` is where they were found."""
    seen = {}
    for name in names:
        twin = seen.setdefault(compared(name), name)
        if twin != name:
            raise InputError(f"{place}: has the classes {ascii(twin)} and {ascii(name)}, which differ in blanks, in "
                             "zeros before a number or in how an accent is stored: give both one name")


def differ_in_capitals(names):
    """Those of the names that are the same as another but for capitals."""
    lower = [name.lower() for name in names]
    return [name for name in names if lower.count(name.lower()) > 1]


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
    differences = (("the model", Counter(ours) - Counter(theirs)), (data, Counter(theirs) - Counter(ours)))
    words = ", and ".join(f"only {owner} has {listed(names.elements())}" for owner, names in differences if names)
    if words:
        raise InputError(f"{model}: has other classes than {data}: {words}. They are matched by their names, not by "
                         "their order: give the data the model's names, as folders or strings in y_train")
    return np.array([ours.index(name) for name in theirs])
