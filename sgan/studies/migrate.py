"""Turn results of the old form into packed ones. Temporary: to be deleted once the last old-style run is in.

    python -m sgan.studies.migrate OLD NEW

Reads OLD/**/raw/*.json (runs of studies) and the finished ones among OLD/**/run.json (runs of sgan_mnist.py, beside
their history.csv), and adds to NEW/runs/*.jsonl those that are not there yet.
"""

import csv
import json
import sys
from pathlib import Path

if not __package__:  # run by its path instead of with -m
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import sgan

if __name__ == "__main__":
    sgan.begin_script()

from sgan.command_line import ArgumentParser, InputError, run_command
from sgan.studies.pack import packed_path, write_lines
from sgan.studies.results import describe_rows, read_results, run_id
from sgan.studies.run import Run

INGREDIENTS = {"information": "mutual-information", "balance": "marginal-entropy", "labels-first": "supervised-warm-up",
               "growth": "ramp-up", "average": "teacher"}
RECIPE = {"information_weight": "mutual_information_weight", "balance_weight": "marginal_entropy_weight",
          "labels_first": "warm_up_steps", "bending": "elastic", "average": "teacher_decay"}
METRICS = {"information": "mutual_information", "balance": "marginal_entropy", "sure_share": "mask_rate"}
AVX512 = "CPU with 2 cores, AVX512-VNNI"
EPOCH = 600


def renamed(row, names):
    """A dictionary with some of its keys renamed."""
    return {names.get(key, key): value for key, value in row.items()}


def recipe_of(old, path):
    """Number and settings of a tuned run's recipe. Recipes had no number at first: the folder tells."""
    if old["settings"]["preset"] != "tuned":
        return None
    recipe = renamed(old.get("recipe") or {}, RECIPE)
    if "recipe" in recipe:
        return recipe
    folder, split = path.parents[1].name, old["settings"]["label_seed"]
    if folder == "draft":
        number = "7 (draft of 8, without the code of the supervised warm-up)"
    elif folder == "earlier":
        number = 1 if split < 5 else 3 if split == 1004 else 2
    else:
        number = int(next(each for each in path.parts if each.startswith("recipe_")).removeprefix("recipe_"))
    return {"recipe": number, **recipe}


def device_of(old):
    """Where a run was made. Of the tutorial's short runs, all but the first six were made on a second machine."""
    settings = old["settings"]
    short = settings["preset"] == "tutorial" and settings["method"] == "sgan"
    first = (settings["steps"], settings["labels"], settings["unlabelled"]) == (1200, 100, None) and \
        settings["label_seed"] in (0, 1)
    return AVX512 if short and not first else old["device"]


def new_result(settings, recipe, data, old, history, rows):
    """A result in the new form; `old` has the entries that stay as they are."""
    run = Run()
    vars(run).update(settings)  # without its checks: earlier recipes had other ingredients
    return {"id": run_id(run.settings(), recipe, data["fingerprint"]), "name": run.name, "settings": run.settings(),
            "recipe": recipe, "data": data, "error": old["error"], "final": history[-1] if history else None,
            "history": history,
            **{name: old[name] for name in ("seconds_per_step", "seconds", "weights", "unlabelled_images")},
            "labelled_images": describe_rows(rows), **{name: old[name] for name in ("versions", "device", "threads")}}


def of_study(path):
    """The new form of a study's run."""
    old = json.loads(path.read_text(encoding="utf-8"))
    settings = {**old["settings"], "without": ",".join(INGREDIENTS.get(name, name) for name
                                                       in old["settings"].get("without", "nothing").split(","))}
    data = {"name": settings.pop("data"), "fingerprint": old["data_fingerprint"]}
    settings["method"] = "supervised-only" if settings["method"] == "alone" else settings["method"]
    history = [renamed(row, METRICS) for row in old["history"]]
    result = new_result(settings, recipe_of(old, path), data, {**old, "device": device_of(old)}, history,
                        old["label_indices"])
    result["final"] = old["final"] and renamed(old["final"], METRICS)
    return result


def of_default_run(path):
    """The new form of a finished run of sgan_mnist.py, or None.

    Its seconds are those of training alone. The folders label-seed-k are of the first machine, all cores; later ones
    were made on the second, with one thread each, two at a time.
    """
    old = json.loads(path.read_text(encoding="utf-8"))
    given, first = old["settings"], path.parent.name.startswith("label-seed-")
    with open(path.with_name("history.csv"), newline="") as file:
        history = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    if len(history) != given["epochs"] or old.get("final", {}).get("step") != given["epochs"] * EPOCH:
        return None
    seconds = 0
    for row in history:
        seconds += row["seconds"]
        row.update(step=int(row["step"]), seconds=round(seconds, 2))
        del row["epoch"]
    settings = {"preset": "tutorial", "labels": len(old["label_indices"]), "label_seed": given["label_seed"],
                "seed": given["seed"], "steps": given["epochs"] * EPOCH, "evaluate_every": EPOCH}
    kept = {"error": None, "seconds_per_step": seconds / settings["steps"], "seconds": round(seconds, 1),
            "weights": 316938, "unlabelled_images": 60000, "versions": old["versions"],
            "device": old["device"] if first else AVX512, "threads": 2 if first else 1}
    return new_result(settings, None, {"name": "mnist.npz", "fingerprint": old["data"]["fingerprint"]}, kept, history,
                      old["label_indices"])


def migrate(old, new):
    """Add the runs of the folder `old` to the packed ones of `new`. Returns how many were new."""
    everything = read_results(new)
    before, added, changed = len(everything), {}, set()
    results = [(path, of_study(path)) for path in sorted(Path(old).glob("**/raw/*.json"))]
    results += [(path, of_default_run(path)) for path in sorted(Path(old).glob("**/run.json"))]
    for path, result in results:
        if result is None:
            print(f"not finished, left out: {path}")
        elif result["id"] in added:
            raise InputError(f"{path}: the same run as {added[result['id']]}")
        else:
            added[result["id"]] = path
            if result["id"] not in everything:
                everything[result["id"]] = result
                changed.add(packed_path(new, result))
    for path in sorted(changed):
        lines = [json.dumps(result) for result in everything.values() if packed_path(new, result) == path]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_lines(path, lines)
    return len(everything) - before


def main(argv=None):
    """Migrate the folders that the command line names."""
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("old", metavar="OLD")
    parser.add_argument("new", metavar="NEW")
    args = parser.parse_args(argv)
    print(f"{migrate(args.old, args.new)} runs added to {Path(args.new) / 'runs'}")


if __name__ == "__main__":
    run_command(main)
