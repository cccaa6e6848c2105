"""sgan/studies/results.py: a run's identity, finding results."""

import json
from dataclasses import fields, replace

import pytest
from conftest import ROOT
from helpers import hand_made

from sgan import tuned
from sgan.data.augmentation import AUGMENTATION
from sgan.data.dataset import MNIST_FINGERPRINT
from sgan.runs.command import InputError
from sgan.studies.results import read_results, write_result
from sgan.studies.run import Run, recipe

# --------------------------------------------------------------------------------------------------------------
# What makes a run


CHANGES = [
    ("tutorial", {"method": "supervised-only"}), ("tutorial", {"variant": "shared"}), ("tutorial", {"labels": 20}),
    ("tutorial", {"label_seed": 1}), ("tutorial", {"label_seed": "first"}), ("tutorial", {"seed": 1}),
    ("tutorial", {"unlabelled": 500}), ("tutorial", {"steps": 7}), ("tutorial", {"preset": "article"}),
    ("tuned", {"without": "generator"}), ("tuned", {"seed": 1}), ("tuned", {"steps": 7}),
]


@pytest.mark.parametrize("preset, changes", CHANGES)
def test_any_setting_makes_another_run(preset, changes):
    assert Run(preset=preset).identity("x") != Run(**{"preset": preset, **changes}).identity("x")


def test_no_setting_was_forgotten_there():
    assert {name for _, changes in CHANGES for name in changes} | {"data", "evaluate_every"} == {
        each.name for each in fields(Run)}


@pytest.mark.parametrize("preset", ["tutorial", "article", "tuned"])
def test_the_data_make_another_run_but_neither_their_place_nor_how_often_is_evaluated(preset):
    run = Run(preset=preset)
    assert run.identity("x") != run.identity("y")
    assert run.identity("x") == Run(preset=preset, data="elsewhere/mnist.npz", evaluate_every=7).identity("x")


@pytest.mark.parametrize("name, value", [
    ("RECIPE", tuned.RECIPE + 1), ("AUGMENTATION", {**AUGMENTATION, "rotation": 0.26}),
    ("tuned_settings", lambda run: replace(tuned.TunedSettings(), mutual_information_weight=2.5)),
])
def test_a_new_recipe_makes_other_tuned_runs_and_no_others(monkeypatch, name, value):
    runs = Run(), Run(preset="tuned")
    before = [run.identity("x") for run in runs]
    monkeypatch.setattr(f"sgan.studies.run.{name}", value)
    assert [run.identity("x") == old for run, old in zip(runs, before)] == [True, False]


def test_another_setting_of_feature_matching_makes_other_runs_of_it(monkeypatch):
    run, others = Run(preset="feature-matching"), (Run(), Run(preset="tuned"))
    before = [each.identity("x") for each in (run, *others)]
    monkeypatch.setattr("sgan.studies.run.EPSILON", 1e-7)
    assert [each.identity("x") == old for each, old in zip((run, *others), before)] == [False, True, True]


def test_the_committed_runs_have_the_identities_and_names_of_what_they_say():
    """Each is there once; those of earlier recipes and settings are not made any more."""
    runs = read_results(ROOT / "results")
    lines = [line for path in ROOT.glob("results/runs/*.jsonl") for line in path.read_text().splitlines()]
    assert len(runs) == len(lines) > 600
    matching = recipe(Run(preset="feature-matching"))
    ours = [result for result in runs.values() if result["recipe"] in (None, matching) or
            result["recipe"].get("recipe") == tuned.RECIPE]
    assert {result["settings"]["preset"] for result in ours} >= {"tutorial", "article", "tuned", "feature-matching"}
    for result in ours:
        run = Run(**result["settings"])
        assert (run.name, run.identity(result["data"]["fingerprint"])) == (result["name"], result["id"])
        assert run.settings() == result["settings"]


# --------------------------------------------------------------------------------------------------------------
# Reading


RESULT = hand_made(Run(), 0.5)
DAMAGED = [{"id": [1]}, {"id": "0123456789ab"}, {"settings": None}, {"data": "mnist"},
           {"data": {**RESULT["data"], "fingerprint": "other images"}}, {"recipe": {"recipe": 8}},
           {"settings": {**RESULT["settings"], "steps": "2"}}, {"final": None}, {"history": 3}, {"history": [{}]},
           {"history": []}, {"final": {**RESULT["final"], "test_accuracy": 0.9}},
           {"history": [{**RESULT["history"][0], "test_accuracy": "0.5"}, RESULT["final"]]}]


@pytest.mark.parametrize("content", [
    b"[1]", b'{"name": "x"', b"\x89PNG\xff\xfe", 100_000 * b"[", *(json.dumps({**RESULT, **changes}).encode()
                                                                 for changes in DAMAGED),
    json.dumps({name: value for name, value in RESULT.items() if name != "error"}).encode(),
], ids=lambda content: repr(content[:20]))
def test_a_line_that_is_no_result_is_named(tmp_path, content):
    (tmp_path / "runs").mkdir()
    path = tmp_path / "runs" / "x.jsonl"
    path.write_bytes(json.dumps(hand_made(Run(seed=1), 0.5)).encode() + b"\n" + content)
    with pytest.raises(InputError, match="x.jsonl, line 2: is not the result of a run; delete it, and the run"):
        read_results(tmp_path)


# --------------------------------------------------------------------------------------------------------------
# Two places


RUNS = [Run(seed=0), Run(seed=1), Run(preset="tuned")]


@pytest.fixture
def results(tmp_path):
    """A folder with a new result of each of RUNS."""
    for run in RUNS:
        write_result(tmp_path, hand_made(run, 0.5))
    return tmp_path


def keep(results):
    """As results.py says: append the new results to a file of kept ones."""
    (results / "runs").mkdir(exist_ok=True)
    for path in results.glob("new/*.json"):
        with open(results / "runs" / "x.jsonl", "a") as file:
            file.write(path.read_text())
        path.unlink()


def test_new_results_and_kept_ones_are_found_and_the_later_of_two_counts(results):
    before = read_results(results)
    assert {path.stem for path in results.glob("new/*")} == {f"{each['name']}-{key}" for key, each in before.items()}
    keep(results)
    assert read_results(results) == before and len(before) == 3
    failed = {**Run(seed=7).result(MNIST_FINGERPRINT, error="diverged"), "final": None, "history": []}
    for result in failed, hand_made(Run(seed=7), 0.7):  # made again
        write_result(results, result)
        assert read_results(results)[failed["id"]] == result and len(read_results(results)) == 4
        keep(results)
