"""Move new results into the files that are kept: RESULTS/new/*.json to lines of RESULTS/runs/*.jsonl.

    python -m sgan.studies.pack [--results FOLDER]

One packed file for each preset, method and data set.
"""

import json
from pathlib import Path

import sgan

if __name__ == "__main__":
    sgan.begin_script()

from sgan.runs.command import InputError, run_command
from sgan.runs.options import ArgumentParser
from sgan.runs.files import expand, atomic_write
from sgan.studies.results import lines_of, parse_result, read_results, result_files


def packed_path(results, result):
    """The file in which a run is packed."""
    settings, data = result["settings"], Path(result["data"]["name"]).stem
    return Path(results) / "runs" / f"{settings['preset']}-{settings['method']}-{data}.jsonl"


def write_lines(path, lines):
    """Write a packed file whole."""
    with atomic_write(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def pack(results):
    """Pack all new results. Returns how many."""
    files = result_files(results)  # a run that ends from now on is not lost: it stays where it is
    everything = read_results(results, files)  # refuses a run that is there twice
    new = [path for path in files if path.suffix == ".json"]
    for path in sorted({packed_path(results, each) for each in read_results(results, new).values()}):
        lines = [json.dumps(each) for each in everything.values() if packed_path(results, each) == path]
        write_lines(path, lines)
    for path in new:
        path.unlink()
    return len(new)


def remove_failed(results, ids):
    """Remove the failed ones among the runs with these ids, so that they can be made again."""
    failed = {identity for identity, result in read_results(results).items() if identity in ids and result["error"]}
    for path in sorted(Path(results).glob("runs/*.jsonl")):
        lines = lines_of(path)
        kept = [line for line in lines if parse_result(line, path)["id"] not in failed]
        if len(kept) < len(lines):
            write_lines(path, kept)
    for path in Path(results).glob("new/*.json"):
        if parse_result(lines_of(path)[0], path)["id"] in failed:
            path.unlink()


def main(argv=None):
    """Pack the folder of results that the command line names."""
    parser = ArgumentParser(prog="python -m sgan.studies.pack", description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=expand, default="results", metavar="FOLDER", help="(default: %(default)s)")
    results = parser.parse_args(argv).results
    if not results.is_dir():
        raise InputError(f"--results {results}: no such folder")
    print(f"packed: {pack(results)} new results, into {results / 'runs'}")


if __name__ == "__main__":
    run_command(main)
