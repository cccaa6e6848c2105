"""Command lines: options from a dataclass of settings, and errors as one line on standard error."""

import argparse
import errno
import os
import signal
import sys
import threading
import time
from dataclasses import field, fields
from pathlib import Path
from typing import get_args


class InputError(argparse.ArgumentTypeError, ValueError):
    """Something the user can mend: shown as one line on standard error, exit status 2; by argparse, too."""


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


def printable(text):
    """`text` on one line, with control characters, which could change the terminal, written as in Python."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(text))


def complain(message):
    """Print a line on standard error, in place of a progress bar that is there."""
    print(("\r\33[K" if is_terminal(sys.stderr) else "") + printable(message), file=sys.stderr, flush=True)


def is_terminal(stream):
    """Whether a stream is a terminal; it may be None."""
    return stream is not None and stream.isatty()


def with_progress(items, n, what):
    """Yield the n items; where standard error is a terminal, a bar there shows how many are done."""
    shown = float("-inf")
    for done, item in enumerate(items, start=1):
        yield item
        if is_terminal(sys.stderr) and (done == n or time.monotonic() > shown + 0.1):
            bar = "=" * (30 * done // n)
            print(f"\r{what} [{bar:30}] {done}/{n}", end="\n" if done == n else "", file=sys.stderr, flush=True)
            shown = time.monotonic()


interrupted = threading.Event()


def interrupt(*_):
    """What Ctrl-C does. Keras can swallow the exception (a bare `except` around its callbacks' numbers), so that a
    training asks `interrupted` after each step."""
    interrupted.set()
    raise KeyboardInterrupt


def run_command(main):
    """Call a script's `main` and turn what a user can mend into one line on standard error.

    Exit status: 2 for bad input and for files that cannot be read or written, 1 for a training that diverged,
    130 for Ctrl-C, 141 for an output that nobody reads any more.
    """
    before = signal.signal(signal.SIGINT, interrupt)  # `begin_script` switched it off for the imports
    try:
        if sys.stdout is None:
            raise InputError("standard output is closed; to see nothing, send it to /dev/null")
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be printable
        try:
            main()
        except SystemExit:  # after --help, too
            sys.stdout.flush()
            raise
        sys.stdout.flush()
        return
    except InputError as error:
        message, status = error, 2
    except BrokenPipeError:  # `... | head` has seen enough
        drop(sys.stdout)
        sys.exit(141)
    except OSError as error:
        place = error.filename or (error.errno == errno.ENOSPC and "standard output")  # files of ours have names
        message = f"{error.strerror}: {place}" if place and error.strerror else error
        status = 2
    except FloatingPointError as error:
        message, status = error, 1
    except KeyboardInterrupt as error:
        message, status = str(error) or "interrupted", 130
    finally:
        signal.signal(signal.SIGINT, before)
    module = sys.modules["__main__"].__spec__  # None for a script that was run by its path
    script = module.name.removesuffix(".__main__") if module else Path(sys.argv[0]).name
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        drop(sys.stdout)
    try:
        print(printable(f"{script}: {' '.join(str(message).split())}"), file=sys.stderr, flush=True)
    except OSError:  # it may be full, too
        drop(sys.stderr)
    sys.exit(status)


def drop(stream):
    """Throw away what a stream cannot write. Python would try again at the end, and exit with status 120."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
