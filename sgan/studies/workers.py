"""The runs of a study side by side, each in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from sgan.runs.command import InputError
from sgan.runs.device import available_cores
from sgan.studies.results import read_results, write_result
from sgan.studies.run import PRESETS

ROOT = Path(__file__).parents[2]
OVERHEAD = 40  # seconds of a run that are not training: starting TensorFlow, compiling, evaluating


def command(run, results):
    """One run as a plain command, a list of words."""
    return ["python", "-m", "sgan.studies.run", *run.arguments(), "--results", str(results)]


def expected_seconds(run):
    """A guess, for one core."""
    return OVERHEAD + run.steps * PRESETS[run.preset].seconds[run.method]


def last_line(log):
    """What a run printed last, TensorFlow's own lines left out."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    lines = [line for line in lines if line.strip() and ".cc:" not in line and "absl::" not in line]
    return lines[-1].strip()[:200] if lines else "starting"


class Workers:
    """Runs side by side in separate processes.

    Attributes:
        done, failed: how many of the runs.
        running: process -> (run, when it began).
        expected, needed: seconds of the runs that have ended here, as guessed beforehand and as they were.
    """

    def __init__(self, runs, fingerprint, results, jobs):
        self.fingerprint, self.results, self.jobs = fingerprint, results, jobs
        found = read_results(results)
        finished = [found[run.identity(fingerprint)] for run in runs if run.identity(fingerprint) in found]
        self.done, self.total = len(finished), len(runs)
        self.waiting = [run for run in runs if run.identity(fingerprint) not in found]
        self.failed = sum(bool(result["error"]) for result in finished)
        self.running, self.expected, self.needed = {}, 0, 0
        paths = str(ROOT), os.environ.get("PYTHONPATH")
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):  # runs side by side share the cores
            self.environment.setdefault(name, str(max(1, available_cores() // jobs)))

    def log(self, run):
        """The file with what a run prints."""
        return Path(self.results) / "new" / "logs" / f"{run.name}.log"

    def work(self):
        """Make all runs that are missing. Raises InputError where the runs themselves are impossible."""
        def stop(*_):
            raise KeyboardInterrupt

        before, reported = signal.signal(signal.SIGTERM, stop), 0
        try:
            while self.waiting or self.running:
                while self.waiting and len(self.running) < self.jobs:
                    self.start(self.waiting.pop(0))
                time.sleep(0.2)
                for process in [each for each in self.running if each.poll() is not None]:
                    self.end(process)
                    reported = 0
                if time.monotonic() - reported > 60:
                    reported = time.monotonic()
                    self.report()
        finally:  # Ctrl-C, or a run that cannot be made: stop the others, which leave no half-written file
            for process in self.running:
                process.terminate()
            for process in self.running:
                process.wait()
            signal.signal(signal.SIGTERM, before)

    def start(self, run):
        """Start a run in a process of its own."""
        log = self.log(run)
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "w") as file:
            process = subprocess.Popen([sys.executable, *command(run, self.results)[1:]], stdout=file, stderr=file,
                                       stdin=subprocess.DEVNULL, env=self.environment)
        self.running[process] = run, time.monotonic()

    def end(self, process):
        """Take note of a run that has ended."""
        run, began = self.running.pop(process)
        printed = last_line(self.log(run))
        if process.returncode == 2:
            raise InputError(f"{run.name}: {printed}")
        if process.returncode in (130, -signal.SIGINT):
            raise KeyboardInterrupt
        self.expected += expected_seconds(run)
        self.needed += time.monotonic() - began
        identity = run.identity(self.fingerprint)
        result = read_results(self.results).get(identity)
        if result is None:  # killed, short of memory perhaps: nobody else can record it
            result = run.result(self.fingerprint,
                                error=f"the process ended with status {process.returncode}: {printed}")
            write_result(self.results, result)
        self.done += 1
        self.failed += bool(result["error"])
        if result["error"]:
            print(f"FAILED  {run.name}: {result['error']}", flush=True)
        else:
            print(f"done  {run.name}: test accuracy {result['final']['test_accuracy']:.2%} "
                  f"after {result['seconds']:.0f} s", flush=True)

    def and_failed(self):
        """How many failed, in words, or nothing."""
        return f" ({self.failed} failed; --retry makes such runs again)" if self.failed else ""

    def report(self):
        """Print how far the study is, what each run printed last, and a guess of the time left."""
        pace = self.needed / self.expected if self.expected else 1  # this machine's, against the guess
        left = [pace * expected_seconds(run) for run in self.waiting]
        left += [max(0, pace * expected_seconds(run) - (time.monotonic() - began))
                 for run, began in self.running.values()]
        minutes = max(sum(left) / self.jobs, max(left, default=0)) / 60
        print(f"{self.done} of {self.total} runs done{self.and_failed()}; about {minutes:.0f} minutes left", flush=True)
        for run, _ in self.running.values():
            print(f"    {run.name}: {last_line(self.log(run))}", flush=True)
