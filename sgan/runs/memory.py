"""Cores and memory of this process: whether data and training fit is asked beforehand, as a system that runs out of
memory may kill the process."""

import math
import sys
from contextlib import suppress
from pathlib import Path

from sgan.runs.command import InputError

try:
    import resource
except ImportError:  # Windows
    resource = None

# Measured with images of 28 to 256 pixels a side, within 15 %: what TensorFlow and this program take; and how often the
# variables of a training are in memory while they are updated and saved.
PROGRAM = 800 * 2**20
COPIES = 2.3
MAPPED = 1200 * 2**20  # a limit on addresses (ulimit -v) counts what TensorFlow has mapped and does not use, too


def container_limit():
    """Bytes that a container may use; infinity outside of one, and where it has no limit."""
    with suppress(OSError, ValueError):  # "max" where there is none
        return int(Path("/sys/fs/cgroup/memory.max").read_text())
    return math.inf


def container_use():
    """Bytes that the processes of a container hold, cached files left out; 0 outside of one."""
    with suppress(OSError, ValueError, KeyError):
        fields = dict(line.split() for line in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines())
        return int(fields["anon"])
    return 0


def machine_memory(*names):
    """Bytes that Linux counts under these names, together; infinity where the system does not say."""
    with suppress(OSError, ValueError, KeyError):
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return 1024 * sum(int(fields[name].split()[0]) for name in names)
    return math.inf


def available_memory():
    """Bytes that may still be used; infinity where the system does not say."""
    return min(container_limit() - container_use(), machine_memory("MemAvailable"))


def check_memory(path, needed):
    """Raise InputError where the images in `path`, which need so many bytes, are more than fits."""
    available = available_memory()
    if needed > available:
        raise InputError(f"{path}: its images need {needed / 1e9:.1f} GB of memory, but {available / 1e9:.1f} GB are "
                         "free")


def hard_limit():
    """Bytes that this process may use in all: no more than the machine has; infinity where nothing is known."""
    limits = [container_limit(), machine_memory("MemTotal", "SwapTotal")]
    if resource:
        limits += [limit - mapped for limit, mapped in ((resource.getrlimit(resource.RLIMIT_AS)[0], MAPPED),
                                                        (resource.getrlimit(resource.RLIMIT_DATA)[0], 0))
                   if limit != resource.RLIM_INFINITY]
    return min(limits)


def check_training(variables, step_bytes):
    """Refuse a training that a hard limit on memory would end, and warn where memory is scarce.

    Args:
        variables: all that the training has.
        step_bytes: what a step needs in addition.

    Raises:
        InputError: the limit is below the estimate.
    """
    needed = PROGRAM + COPIES * sum(4 * math.prod(variable.shape) for variable in variables) + step_bytes
    what = f"the training needs about {needed / 1e9:.1f} GB of memory"
    remedy = "lower --batch-size, or use smaller images"
    if needed > hard_limit():
        raise InputError(f"{what}, but this process may use {max(hard_limit(), 0) / 1e9:.1f} GB: {remedy}")
    if needed - PROGRAM > available_memory():
        print(f"warning: {what}, but only {available_memory() / 1e9:.1f} GB are free: if it is killed, {remedy}",
              file=sys.stderr)
