"""How a command ends: what the user can mend as one line on standard error; and what it says on the way."""

import argparse
import errno
import os
import signal
import sys
import threading
import time
from pathlib import Path


class InputError(argparse.ArgumentTypeError, ValueError):
    """Something the user can mend: shown as one line on standard error, exit status 2; by argparse, too."""


def printable(text):
    """`text` on one line, with control characters, which could change the terminal, written as in Python."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(text))


def warn(message):
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
