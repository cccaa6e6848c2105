"""How a command ends: what the user can mend as one line on standard error; and what it says on the way."""

import argparse
import errno
import os
import signal
import sys
import threading
from pathlib import Path


class InputError(argparse.ArgumentTypeError, ValueError):
    """Something the user can mend: shown as one line on standard error, exit status 2; by argparse, too."""


def printable(text):
    """`text` on one line, with control characters, which could change the terminal, written as in Python."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(text))


def warn(message):
    """Print a line on standard error, in place of a progress line that is there."""
    print(("\r\33[K" if is_terminal(sys.stderr) else "") + printable(message), file=sys.stderr, flush=True)


def is_terminal(stream):
    """Whether a stream is a terminal; it may be None."""
    return stream is not None and stream.isatty()


def with_progress(items, n, what):
    """Yield the n items; if standard error is a terminal, a line there counts those that are done."""
    for done, item in enumerate(items, start=1):
        yield item
        if is_terminal(sys.stderr) and (done == n or done % 10 == 0):
            print(f"\r{what}: {done} of {n}", end="\n" if done == n else "", file=sys.stderr, flush=True)


interrupted = threading.Event()


def interrupt(*_):
    """What Ctrl-C and `kill` do. Keras can swallow the exception (a bare `except` around its callbacks' numbers), so
    that a training asks `interrupted` after each step."""
    interrupted.set()
    raise KeyboardInterrupt


def run_command(main):
    """Call a script's `main` and turn what a user can mend into one line on standard error.

    Exit status: 2 for bad input, for files that cannot be read or written and for too little memory, 1 for a training
    that diverged, 130 for Ctrl-C and `kill`, 141 for an output that nobody reads any more.
    """
    interrupted.clear()  # of an earlier command in this process
    for each in signal.SIGINT, signal.SIGTERM:  # `begin_script` switched the first off for the imports
        signal.signal(each, interrupt)
    try:
        if sys.stdout is None:
            raise InputError("standard output is closed; to see nothing, send it to /dev/null")
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be printable
        try:
            main()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # `... | head` has seen enough
        drop(sys.stdout)
        sys.exit(141)
    except (Exception, KeyboardInterrupt) as error:
        message, status = explain(error)
        module = sys.modules["__main__"].__spec__  # None for a script that was run by its path
        script = module.name.removesuffix(".__main__") if module else Path(sys.argv[0]).name
        line = printable(f"{script}: {' '.join(str(message).split())}")
        for stream, text in (sys.stdout, ""), (sys.stderr, f"{line}\n"):
            try:
                print(text, end="", file=stream, flush=True)
            except OSError:  # it may be full, too
                drop(stream)
        sys.exit(status)


def explain(error):
    """(message, exit status) for an error that a user can mend; raises any other."""
    if isinstance(error, OSError):
        place = error.filename or (error.errno == errno.ENOSPC and "standard output")  # files of ours have names
        return f"{error.strerror}: {place}" if place and error.strerror else error, 2
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's
        return "out of memory: use fewer or smaller images; to train, a smaller --batch-size or --latent-dim", 2
    for kind, status in (InputError, 2), (FloatingPointError, 1), (KeyboardInterrupt, 130):
        if isinstance(error, kind):
            return str(error) or "interrupted", status
    raise error


def drop(stream):
    """Throw away what a stream cannot write. Python would try again at the end, and exit with status 120."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
