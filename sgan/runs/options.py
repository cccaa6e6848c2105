"""Command lines: options from a dataclass of settings."""

import argparse
from dataclasses import field, fields
from typing import get_args

from sgan.runs.command import InputError


class ArgumentParser(argparse.ArgumentParser):
    """argparse without the usage block before an error, and without guessing at abbreviated flags."""

    def __init__(self, **kwargs):
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message):
        raise InputError(f"{message} (--help lists the options)")


def at_least(kind, min, below=2**31):
    """A type for argparse: numbers of this kind, int or float, from `min` to below `below`; nan is none of them."""
    def parse(text):
        if not min <= kind(text) < below:
            raise argparse.ArgumentTypeError(f"{text}: must be at least {min} and below "
                                             f"{'2**31' if below == 2**31 else below}")
        return kind(text)

    parse.__name__ = kind.__name__  # which argparse prints if `text` is no number
    return parse


def option(default, explanation, min=None, below=2**31, **how):
    """A field of a dataclass that is an option of the command line.

    Args:
        explanation: for --help; the default is added to it.
        min, below: the range of numbers that are accepted.
        how: further arguments of argparse's `add_argument`.
    """
    return field(default=default, metadata={"help": explanation, "min": min, "below": below, **how})


def flag(name):
    """The option of the command line for a setting."""
    return f"--{name.replace('_', '-')}"


def add_options(parser, settings_class):
    """Add each field of a dataclass to a parser. Options that are not given are absent from what it parses."""
    for each in fields(settings_class):
        how = dict(each.metadata)
        min, below = how.pop("min"), how.pop("below")
        kind = (get_args(each.type) or (each.type,))[0]  # int | None: an int, if given
        if kind is bool:
            how["action"] = "store_true"
        else:
            how.setdefault("type", kind if min is None else at_least(kind, min, below))
            if each.default is not None:
                how["help"] += f" (default: {each.default})"
        parser.add_argument(flag(each.name), default=argparse.SUPPRESS, **how)
