"""Is a run that was killed and resumed the same as one that was never stopped?

    python -m sgan.benchmarks.kill_and_resume [--kills 20]

Trains sgan_mnist.py for a few steps on small images, once without a stop; then again and again, each time killed at a
random moment (every fourth time while a file is being written) and resumed. The final states are compared bit for bit,
which holds on a CPU with the same number of threads. The exit status is 1 where one differs.
"""

import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sgan.runs.command import run_command
from sgan.runs.options import ArgumentParser, at_least

ROOT = Path(__file__).parents[2]
OPTIONS = ("--epochs", "4", "--steps-per-epoch", "3", "--labels", "20", "--batch-size", "20")


def start(*arguments):
    """Start sgan_mnist.py; a `subprocess.Popen`."""
    command = [sys.executable, str(ROOT / "sgan_mnist.py"), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process):
    """Wait for a run to end. Raises RuntimeError where it fails."""
    _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"status {process.returncode}: {errors.strip()}")


def kill_after(process, seconds):
    """Kill the run after some time. Returns what it was doing, in words."""
    time.sleep(seconds)
    process.kill()
    process.communicate()
    return f"after {seconds:.1f} s"


def kill_while_writing(process, folder, count):
    """Kill the run while it writes its `count`-th file. Returns which; None where that was just finished."""
    seen, last = 0, None
    while seen < count and process.poll() is None:
        writing = next(folder.glob(".*.partial*"), None)
        seen += writing is not None and writing != last
        last = writing
    process.kill()
    process.communicate()
    half_written = next(folder.glob(".*.partial*"), None)
    return half_written and f"while writing {half_written.name}"


def final_state(folder):
    """The bytes of every variable at the end of a run, by name."""
    with np.load(folder / "state.npz") as state:
        return {name: state[name].tobytes() for name in state.files if name != "run"}


def main(argv=None):
    """Kill and resume as often as the command line says."""
    parser = ArgumentParser(prog="python -m sgan.benchmarks.kill_and_resume", description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=at_least(int, 1), default=20, metavar="N", help="(default: %(default)s)")
    kills = parser.parse_args(argv).kills
    chance, different = random.Random(0), 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        noise = np.random.default_rng(0)
        np.savez(folder / "noise.npz", x_train=noise.integers(0, 256, (100, 8, 8), "uint8"),
                 y_train=np.arange(100) % 10)
        data = ("--data", folder / "noise.npz", *OPTIONS)
        began = time.monotonic()
        finish(start(*data, "--out", folder / "whole"))
        whole, seconds = final_state(folder / "whole"), time.monotonic() - began
        for number in range(1, kills + 1):
            out = folder / f"killed-{number}"
            if number % 4:
                when = kill_after(start(*data, "--out", out), chance.uniform(0.3, 1) * seconds)
            else:
                while not (when := kill_while_writing(start(*data, "--out", out), out, chance.randint(2, 12))):
                    shutil.rmtree(out)
            finish(start("--out", out, "--resume") if (out / "state.npz").exists() else start(*data, "--out", out))
            same = final_state(out) == whole
            different += not same
            print(f"kill {number} of {kills}, {when}: {'the same' if same else 'DIFFERENT'}", flush=True)
    print(f"{kills - different} of {kills} resumed runs are equal, bit for bit, to the run that was never stopped")
    if different:
        sys.exit(1)


if __name__ == "__main__":
    run_command(main)
