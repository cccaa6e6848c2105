"""The start of a script: quiet while TensorFlow is imported, whatever the machine's settings for Keras."""

import contextlib
import logging
import os
import signal
import sys
import tempfile


def begin_script():
    """Import TensorFlow and Keras, first thing in a script that is being run.

    Ctrl-C during the long import ends the script without a traceback. TensorFlow's own lines about processors and GPUs
    are not shown, unless the import fails. Data format and float type are set, which a user's keras.json may have
    changed.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until `run_command` takes over
    if sys.stderr is None:  # closed: the next file that is opened would get its number, and TensorFlow's lines
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        with quiet_stderr():
            import keras
            import tensorflow as tf

            tf.config.list_physical_devices("GPU")  # looks for GPUs, which is when TensorFlow complains about them
    except (AttributeError, OSError, RecursionError, TypeError, ValueError) as error:
        settings = os.path.expanduser(os.path.join(os.environ.get("KERAS_HOME", "~/.keras"), "keras.json"))
        print(f"Keras cannot be imported: {error}; look at its settings, {settings}", file=sys.stderr)
        sys.exit(2)
    for name in "absl", "tensorflow":  # of HDF5 as an old format; of many functions compiled, as by ten trainings
        logging.getLogger(name).setLevel(logging.ERROR)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)


@contextlib.contextmanager
def quiet_stderr():
    """Hold back what is written to standard error, by C++ code too, in a temporary file; show it if the block fails."""
    own = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(own, held.read())
            raise
        finally:
            os.dup2(own, 2)
            os.close(own)
