"""The runs of a study side by side, each in a process of its own."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from sgan.runs.command import InputError
from sgan.runs.device import available_cores

ROOT = Path(__file__).parents[2]


def command(run, results):
    """One run as a plain command, a list of words."""
    return ["python", "-m", "sgan.studies.run", *run.arguments(), "--results", str(results)]


def environment(jobs):
    """Environment variables of the runs: they find sgan/ from any folder, and share the cores unless the user has said
    how many threads to use."""
    threads = str(max(1, available_cores() // jobs))
    paths = str(ROOT), os.environ.get("PYTHONPATH")
    return {"TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads, **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def make_side_by_side(runs, results, jobs):
    """Make runs, so many at a time, each in a process of its own that prints to RESULTS/new/logs/NAME-DATA.log.

    Raises InputError if a run is impossible, and KeyboardInterrupt at Ctrl-C; no process is left then.
    """
    logs, variables = Path(results) / "new" / "logs", environment(jobs)
    processes, stopped = [], threading.Event()

    def make(run):
        path = logs / f"{run.name}-{Path(run.data).stem}.log"
        with open(path, "w") as log:
            process = subprocess.Popen([sys.executable, *command(run, results)[1:]], env=variables,
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        processes.append(process)
        if stopped.is_set():
            process.terminate()
        return run, path, process.wait()

    logs.mkdir(parents=True, exist_ok=True)
    pool = ThreadPoolExecutor(jobs)
    try:
        futures = [pool.submit(make, run) for run in runs]
        for number, future in enumerate(as_completed(futures), start=1):
            run, path, status = future.result()
            printed = path.read_text(errors="replace").strip().splitlines() or ["nothing printed"]
            if status == 2:
                raise InputError(f"{run.name}: {printed[-1]}")
            failed = f"FAILED, status {status}: " if status else ""
            print(f"{number} of {len(runs)}  {run.name}: {failed}{printed[-1]}", flush=True)
    finally:  # an error or Ctrl-C, or all are done: end the others, which leave no half-written file
        stopped.set()
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        pool.shutdown()
