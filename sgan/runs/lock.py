"""A lock file: one process at a time, released by whatever ends the process, a kill included."""

import contextlib
import os

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt
    fcntl = None


def take(file):
    """Lock an open file without waiting. Raises BlockingIOError, on Windows PermissionError, where another process
    holds it, and another OSError where files cannot be locked."""
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)


def is_held(file, path):
    """Whether `path` still is the open `file`, and not gone or another one."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except OSError:
        return False


def open_itself(path, flags):
    """An opener for `open`: not what a link points to, and without waiting for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


@contextlib.contextmanager
def locked(path):
    """Hold the file `path` locked, and delete it at the end. Yields the open file.

    Raises BlockingIOError where another process holds it, another OSError where it is a link, a folder or a
    pipe, or where files cannot be locked.
    """
    while True:
        try:
            file = open(path, "a", opener=open_itself)
        except OSError as error:
            if os.path.lexists(path) and (os.path.islink(path) or not os.path.isfile(path)):
                raise OSError(error.errno, "what is here is no lock file; remove it", str(path)) from None
            raise
        try:
            take(file)
        except OSError as error:
            file.close()
            if isinstance(error, (BlockingIOError, PermissionError)):
                raise BlockingIOError(error.errno, "is in use by another process", str(path)) from None
            raise OSError(error.errno, f"{error.strerror} (the file system cannot lock files)", str(path)) from None
        if is_held(file, path):
            break
        file.close()  # its last owner has just deleted it: make a new one
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):
            if is_held(file, path):
                os.unlink(path)
        file.close()
