"""Where finished runs are kept: RESULTS/new/, a file for each new run, and RESULTS/runs/*.jsonl, packed, a line each.

A run writes a file of its own, so that any number of runs can end at the same time; `python -m sgan.studies.pack` moves
the new ones into the packed files. All have one form:

    id                    of the run: a hash of what makes it, see `run_id`
    name                  the same in words
    settings              of the run (`Run` in run.py), without the data's place
    recipe                the tuned SGAN's number (or that of a later one that does the same) and settings; or null
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
import re
from pathlib import Path

from sgan.runs.command import InputError
from sgan.runs.files import regular_file, atomic_write

NAMED = "preset", "method"  # of the settings: these, and the data, name the file that a run is packed into


def run_id(settings, recipe, fingerprint):
    """The same for two runs if, and only if, they train the same on the same images: twelve hexadecimal digits."""
    same = {name: value for name, value in settings.items() if name not in ("data", "evaluate_every")}
    content = json.dumps([same, recipe, fingerprint], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def describe_rows(rows):
    """Number and hash of row numbers, for a run's `labelled_images`."""
    rows = [int(row) for row in rows]
    return {"number": len(rows), "sha256": hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]}


def new_path(results, name, identity):
    """Where a new run's result is, or will be."""
    return Path(results) / "new" / f"{name}-{identity}.json"


def write_result(results, result):
    """Write a new run's result. Returns the path."""
    path = new_path(results, result["name"], result["id"])
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(result) + "\n", encoding="utf-8")
    return path


def result_files(results):
    """The files of a folder of results that hold runs: the packed ones, then those of new runs."""
    return [*sorted(Path(results).glob("runs/*.jsonl")), *sorted(Path(results).glob("new/*.json"))]


def read_results(results, files=None):
    """All runs of a folder of results, or of these of its files, {id: run}.

    Raises:
        InputError: a file holds something else, or two lines are of the same run.
    """
    found = {}
    for path in result_files(results) if files is None else files:
        for number, line in enumerate(lines_of(path), start=1):
            result = parse_result(line, f"{path}, line {number}")
            if result["id"] in found:
                raise InputError(f"{path}, line {number}: the run {result['name']} is there twice; delete one")
            found[result["id"]] = result
    return found


def lines_of(path):
    """The lines of a packed file; a new one is a single run. Bytes that are no text do not end the reading here: what
    they are in is no run."""
    text = regular_file(path).read_text(encoding="utf-8", errors="replace")
    return text.splitlines() if path.suffix == ".jsonl" else [text]


def parse_result(line, place):
    """A line as a dictionary. Raises InputError where it is not a run's result."""
    try:
        result = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: cannot be read ({error}); delete it, and the run is made again") from None
    kinds = {"id": str, "name": str, "settings": dict, "data": dict, "error": (str, type(None))}
    if not isinstance(result, dict) or not all(
            name in result and isinstance(result[name], kind) for name, kind in kinds.items()) or not (
            isinstance(result["data"].get("name"), str)
            and all(re.fullmatch(r"[a-z-]+", str(result["settings"].get(name))) for name in NAMED)
            and (result["error"] is not None or is_measured(result))):
        raise InputError(f"{place}: is not the result of a run; delete it, and the run is made again")
    return result


def is_measured(result):
    """Whether a run that did not fail has what tables are made of."""
    def are_numbers(row, *names):
        return isinstance(row, dict) and all(isinstance(row.get(name), int | float) for name in names)

    history = result.get("history")
    return (are_numbers(result, "seconds_per_step", "seconds", "weights") and isinstance(result.get("device"), str)
            and are_numbers(result["settings"], "labels", "steps", "seed", "evaluate_every")
            and isinstance(result["settings"].get("variant"), str) and isinstance(history, list)
            and all(are_numbers(row, "step", "test_accuracy") for row in [*history, result.get("final")]))
