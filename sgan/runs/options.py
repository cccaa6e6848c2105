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


def at_least(kind, least):
    """A type for argparse: numbers of this kind from `least` on."""
    def parse(text):
        if not least <= kind(text) < 2**31:
            raise argparse.ArgumentTypeError(f"{text}: must be at least {least} and below 2**31")
        return kind(text)

    parse.__name__ = kind.__name__  # which argparse prints where `text` is no number
    return parse


def option(default, explanation, least=None, **how):
    """A field of a dataclass that is an option of the command line.

    Args:
        explanation: for --help; the default is added to it.
        least: the smallest number that is accepted.
        how: further arguments of argparse's `add_argument`.
    """
    return field(default=default, metadata={"help": explanation, "least": least, **how})


def flag(name):
    """The option of the command line for a setting."""
    return f"--{name.replace('_', '-')}"


def add_options(parser, settings_class):
    """Add each field of a dataclass to a parser. Options that are not given are absent from what it parses."""
    for each in fields(settings_class):
        how = dict(each.metadata)
        least = how.pop("least")
        kind = (get_args(each.type) or (each.type,))[0]  # int | None: an int, if given
        if kind is bool:
            how["action"] = "store_true"
        else:
            how.setdefault("type", kind if least is None else at_least(kind, least))
            if each.default is not None:
                how["help"] += f" (default: {each.default})"
        parser.add_argument(flag(each.name), default=argparse.SUPPRESS, **how)


def check_values(settings):
    """Raise InputError for a setting that the command line would not take: settings may come from a file, too."""
    for each in fields(settings):
        value, least = getattr(settings, each.name), each.metadata["least"]
        kinds = get_args(each.type) or (each.type,)
        if type(value) not in kinds:
            raise InputError(f"{flag(each.name)} {value!r}: must be {' or '.join(kind.__name__ for kind in kinds)}")
        if value not in each.metadata.get("choices", [value]):
            raise InputError(f"{flag(each.name)} {value!r}: must be {' or '.join(each.metadata['choices'])}")
        if least is not None and value is not None and not least <= value < 2**31:
            raise InputError(f"{flag(each.name)} {value}: must be at least {least} and below 2**31")
