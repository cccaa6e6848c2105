"""Whether data fit into memory: asked before they are read, as a system that runs out of it may kill the process."""

import math
from contextlib import suppress
from pathlib import Path

from sgan.command_line import InputError


def available_memory():
    """Bytes that may still be used; infinity where the system does not say."""
    limits = [math.inf]
    with suppress(OSError, ValueError, KeyError):
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        limits.append(1024 * int(fields["MemAvailable"].split()[0]))
    with suppress(OSError, ValueError):  # of a container; "max" where there is none
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(limits)


def check_memory(path, needed):
    """Raise InputError where the images in `path`, which need so many bytes, are more than fits."""
    available = available_memory()
    if needed > available:
        raise InputError(f"{path}: its images need {needed / 1e9:.1f} GB of memory, but {available / 1e9:.1f} GB are "
                         "free")
