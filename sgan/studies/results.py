"""Where finished runs are kept: RESULTS/new/*.json, a file for each new run, and RESULTS/runs/*.jsonl, a line each.

A run writes a file of its own, so that any number of runs can end at the same time. Each is one line, so that new ones
are kept by

    cat results/new/tuned-sgan-*.json >> results/runs/tuned-sgan-mnist.jsonl && rm results/new/tuned-sgan-*.json

All have one form:

    id                    of the run: a hash of what makes it, see `run_id`
    name                  the same in words
    settings              of the run (`Run` in run.py), without the data's place
    recipe                the tuned SGAN's number (or that of a later one that does the same) and settings; feature
                          matching's settings; or null
    data                  name of the file, and the `fingerprint` of what is in it
    error                 null, or why the run failed
    final                 the last row of the history: the run's result
    history               a row for each evaluation: step, seconds since the process began (evaluations left out), means
                          of the losses since the row before, test_accuracy and, at the last step (in some older runs at
                          each), train_accuracy and balanced_test_accuracy (not in older runs), 0..1
    seconds_per_step, seconds
    weights               of the discriminator
    ingredients           those that the tuned SGAN had for these images; null for the others (older runs: not there)
    unlabelled_images     how many
    labelled_images       how many, and the hash of their row numbers
    versions, device, threads
"""

import hashlib
import json
import math
from pathlib import Path

from sgan.runs.command import InputError
from sgan.runs.files import atomic_write, regular_file


def run_id(settings, recipe, fingerprint):
    """Twelve hexadecimal digits by which runs are told apart: a hash of what a run trains, and on which images."""
    same = {name: value for name, value in settings.items() if name not in ("data", "evaluate_every")}
    content = json.dumps([same, recipe, fingerprint], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def describe_rows(rows):
    """Number and hash of row numbers, (n,) integers, for a run's `labelled_images`."""
    return {"number": len(rows), "sha256": hashlib.sha256(json.dumps(rows.tolist()).encode()).hexdigest()[:16]}


def write_result(results, result):
    """Write a new run's result."""
    path = Path(results) / "new" / f"{result['name']}-{result['id']}.json"
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(result) + "\n", encoding="utf-8")


def read_results(results):
    """All runs of a folder of results, {id: run}; of one that is there twice, the later.

    Raises:
        InputError: a line is something else.
    """
    found = {}
    for path in (*sorted(Path(results).glob("runs/*.jsonl")), *sorted(Path(results).glob("new/*.json"))):
        text = regular_file(path).read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), start=1):
            result = parse_result(line, place=f"{path}, line {number}")
            found[result["id"]] = result
    return found


def parse_result(line, place):
    """A line as a dictionary. Raises InputError if it is not a run's result."""
    try:
        result = json.loads(line)
        intact = result["id"] == run_id(result["settings"], result["recipe"], result["data"]["fingerprint"])
        rows = result["history"]
        numbers = [number for row in rows for number in (row["step"], row["test_accuracy"], *row.values())]
        if intact and (result["error"] or result["final"] == rows[-1]) and all(map(math.isfinite, numbers)):
            return result
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    raise InputError(f"{place}: is not the result of a run; delete it, and the run is made again")
