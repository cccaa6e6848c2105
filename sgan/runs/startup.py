"""The start of a script: quiet while TensorFlow is imported, whatever the machine's settings for Keras."""

import contextlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path


def begin_script():
    """Import TensorFlow and Keras, first thing in a script that is being run.

    Ctrl-C during the long import ends the script without a traceback. TensorFlow's own lines about processors and GPUs
    are not shown, unless the import fails. Data format and float type are set, which a user's keras.json may have
    changed.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until `run_command` takes over
    if sys.stderr is None:  # closed: the next file that is opened would get its number, and TensorFlow's lines
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    home = os.path.expanduser("~")
    home = os.environ.get("KERAS_HOME", os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras"))
    settings = Path(os.path.expanduser(os.path.join(home, "keras.json")))  # as Keras finds it
    if fault := fault_of(settings):
        refuse(f"{settings}: Keras cannot use these settings ({fault}); correct or delete them")
    message = None
    with quiet_stderr():
        try:
            import keras
            import tensorflow as tf

            tf.config.list_physical_devices("GPU")  # looks for GPUs, which is when TensorFlow complains about them
        except (AttributeError, ImportError, TypeError, ValueError) as error:
            place = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
            if "NNX" in str(error) or place.parts[-2:] == ("backend", "config.py"):  # where Keras reads its settings
                message = f"{settings}: Keras cannot use these settings ({error}); correct or delete them"
            elif isinstance(error, ImportError):
                raise
            else:
                message = f"TensorFlow and Keras cannot be imported: {error}"
    if message:
        refuse(message)
    tf.get_logger().setLevel("ERROR")  # it warns of programs that compile many functions, as ten trainings do
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)


def fault_of(settings):
    """Why Keras cannot read its file of settings, or None: one that is no JSON counts as empty."""
    if not os.path.exists(settings):
        return None
    try:
        if not settings.is_file() or settings.stat().st_size > 2**20:
            return "no file, or a large one"
        json.loads(settings.read_text())
    except (OSError, RecursionError) as error:
        return getattr(error, "strerror", None) or error
    except ValueError:
        return None
    return None


def refuse(message):
    """End the script with one line on standard error and exit status 2."""
    print(message, file=sys.stderr)
    sys.exit(2)


@contextlib.contextmanager
def quiet_stderr():
    """Hold back what is written to standard error, by C++ code too; show it where the block, or the process, fails.

    A small process of its own holds the lines, so that even a crash shows them. Without `fork` (Windows) nothing is
    held back.
    """
    if sys.stderr is None or not hasattr(os, "fork"):
        yield
        return
    sys.stderr.flush()
    reading, writing = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until `keep_lines` can handle it
    keeper = os.fork()
    if not keeper:
        os.close(writing)
        keep_lines(reading)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.close(reading)
    own = os.dup(2)
    os.dup2(writing, 2)
    try:
        yield
        sys.stderr.flush()
        os.write(writing, b"\0")  # nothing failed
    finally:
        sys.stderr.flush()
        os.dup2(own, 2)
        os.close(own)
        os.close(writing)
        os.waitpid(keeper, 0)


def keep_lines(reading):
    """Read until the other end of the pipe is closed, print what came unless it ends with a zero byte, and exit.

    Ctrl-C, which ends the script too, is no failure that the lines would explain.
    """
    interrupted = []
    signal.signal(signal.SIGINT, lambda *_: interrupted.append(True))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    text = b""
    while part := os.read(reading, 65536):
        text += part
    if not text.endswith(b"\0"):
        os.write(2, b"interrupted\n" if interrupted else text)
    os._exit(0)
