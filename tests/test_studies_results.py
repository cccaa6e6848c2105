"""sgan/studies/results.py and pack.py: a run's identity, finding results, packing them."""

import json
import os
from dataclasses import fields, replace

import numpy as np
import pytest
from conftest import ROOT
from helpers import hand_made

from sgan import tuned
from sgan.data.augmentation import AUGMENTATION
from sgan.runs.command import InputError
from sgan.data.dataset import MNIST_FINGERPRINT
from sgan.studies import pack
from sgan.studies.results import describe_rows, new_path, read_results, run_id, write_result
from sgan.studies.run import PRESETS, Run
from sgan.studies.study import main as study_main
from sgan.studies.study import run_study
from sgan.studies.workers import Workers

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


def test_a_new_recipe_makes_other_tuned_runs_and_no_others(monkeypatch):
    runs = Run(preset="tutorial"), Run(preset="tuned")
    before = [run.identity("x") for run in runs]
    with monkeypatch.context() as patch:
        patch.setattr("sgan.studies.run.RECIPE", tuned.RECIPE + 1)
        assert [run.identity("x") == old for run, old in zip(runs, before)] == [True, False]
    with monkeypatch.context() as patch:
        patch.setitem(AUGMENTATION, "rotation", 0.26)
        assert [run.identity("x") == old for run, old in zip(runs, before)] == [True, False]
    with monkeypatch.context() as patch:
        patch.setattr("sgan.studies.run.tuned_settings", lambda run: replace(
            tuned.TunedSettings(seed=run.seed), mutual_information_weight=2.5))
        assert [run.identity("x") == old for run, old in zip(runs, before)] == [True, False]
    assert [run.identity("x") for run in runs] == before


def test_runs_of_another_recipe_or_on_other_images_of_the_same_name_are_not_found_and_do_not_collide(tmp_path):
    run = Run(preset="tuned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sgan.studies.run.RECIPE", tuned.RECIPE - 1)
        earlier = hand_made(run, 0.5)
    elsewhere, ours = hand_made(run, 0.6, "other images"), hand_made(run, 0.7)
    assert earlier["name"] == elsewhere["name"] == ours["name"] and elsewhere["data"]["name"] == ours["data"]["name"]
    for result in earlier, elsewhere:
        write_result(tmp_path, result)
    assert Workers([run], MNIST_FINGERPRINT, tmp_path, jobs=1).waiting == [run]
    with pytest.raises(InputError, match="no run of the study 'tuned' is done yet"):
        study_main(["tuned", "--table", "--results", str(tmp_path)])
    write_result(tmp_path, ours)
    for packed in 3, 0:
        assert read_results(tmp_path) == {result["id"]: result for result in (earlier, elsewhere, ours)}
        assert Workers([run], MNIST_FINGERPRINT, tmp_path, jobs=1).done == 1
        assert pack.pack(tmp_path) == packed


def test_the_committed_runs_have_the_identities_of_what_they_say():
    runs = read_results(ROOT / "results")  # which refuses an identity that is there twice
    assert len(runs) > 250
    for identity, result in runs.items():
        assert identity == result["id"] == run_id(result["settings"], result["recipe"], result["data"]["fingerprint"])


def test_the_committed_runs_are_found_today_unless_they_are_of_an_earlier_recipe():
    found = [result for result in read_results(ROOT / "results").values()
             if not result["recipe"] or result["recipe"]["recipe"] == tuned.RECIPE]
    assert {result["settings"]["preset"] for result in found} == set(PRESETS)
    for result in found:
        run = Run(**result["settings"])
        assert (run.name, run.identity(result["data"]["fingerprint"])) == (result["name"], result["id"])
        assert run.settings() == result["settings"]


def test_labelled_images_are_described_by_number_and_hash():
    rows = describe_rows(np.array([3, 5, 8]))
    assert rows["number"] == 3 and rows == describe_rows([3, 5, 8]) and rows != describe_rows([3, 5, 9])


# --------------------------------------------------------------------------------------------------------------
# Reading


RESULT = hand_made(Run(), 0.5)


@pytest.mark.parametrize("content", [
    b"{}", b"[1]", b'{"name": "x"', b'"error"', b"\x89PNG\xff\xfe", 100_000 * b"[",
    *(json.dumps({**RESULT, **changes}).encode() for changes in (
        {"id": [1]}, {"name": None}, {"settings": None}, {"data": "mnist"}, {"error": 5}, {"data": {}},
        {"settings": {"preset": "tuned", "method": "../../x"}}, {"final": None}, {"history": 3}, {"history": [{}]},
        {"final": {**RESULT["final"], "test_accuracy": "0.5"}}, {"device": 5}, {"weights": "x"},
        {"seconds_per_step": None}, {"settings": {**RESULT["settings"], "steps": "2"}},
        {"settings": {**RESULT["settings"], "variant": None}})),
    json.dumps({name: value for name, value in RESULT.items() if name != "error"}).encode(),
], ids=lambda content: repr(content[:20]))
def test_a_file_that_is_no_result_is_said_to_be_none(tmp_path, content):
    for name in "new/x.json", "runs/x.jsonl":
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(content)
        for read in read_results, pack.pack:
            with pytest.raises(InputError, match=f"{name}, line 1: .*delete it, and the run is made again"):
                read(tmp_path)
        assert (tmp_path / name).read_bytes() == content
        (tmp_path / name).unlink()


def test_the_line_that_is_no_result_is_named(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "x.jsonl").write_text(json.dumps(RESULT) + "\n{}\n")
    with pytest.raises(InputError, match="runs/x.jsonl, line 2: is not the result of a run"):
        read_results(tmp_path)


@pytest.mark.parametrize("content", ["", json.dumps(RESULT) + "\n" + json.dumps(hand_made(Run(seed=1), 0.5))])
def test_a_new_file_is_one_run(tmp_path, content):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "x.json").write_text(content)
    for read in read_results, pack.pack:
        with pytest.raises(InputError, match="new/x.json, line 1: cannot be read"):
            read(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_result_that_is_a_pipe_is_not_waited_for(tmp_path):
    (tmp_path / "new").mkdir()
    os.mkfifo(tmp_path / "new" / "x.json")
    for read in read_results, pack.pack:
        with pytest.raises(InputError, match="x.json: is not a file but a pipe"):
            read(tmp_path)


def test_packing_needs_a_folder(tmp_path):
    with pytest.raises(InputError, match="--results .*none: no such folder"):
        pack.main(["--results", str(tmp_path / "none")])


def test_a_folder_without_results_has_none(tmp_path):
    assert read_results(tmp_path) == read_results(tmp_path / "none") == {}


# --------------------------------------------------------------------------------------------------------------
# Packing


RUNS = [Run(seed=0), Run(seed=1), Run(preset="tuned"), Run(method="supervised-only"), Run(data="some/own.npz", seed=2)]


@pytest.fixture
def results(tmp_path):
    """A folder with a new result of each of RUNS."""
    for run in RUNS:
        write_result(tmp_path, hand_made(run, 0.5))
    return tmp_path


def new_files(results):
    return sorted(results.glob("new/*.json"))


def test_new_results_move_into_a_file_for_each_preset_method_and_data_set(results, capsys):
    before = read_results(results)
    assert len(before) == len(new_files(results)) == 5
    assert {path.name for path in new_files(results)} == {
        f"{run.name}-{run.identity(MNIST_FINGERPRINT)}.json" for run in RUNS}
    pack.main(["--results", str(results)])
    assert "packed: 5 new results" in capsys.readouterr().out
    assert new_files(results) == [] and read_results(results) == before
    lines = {path.name: path.read_text().splitlines() for path in (results / "runs").iterdir()}
    assert {name: len(each) for name, each in lines.items()} == {
        "tutorial-sgan-mnist.jsonl": 2, "tuned-sgan-mnist.jsonl": 1, "tutorial-supervised-only-mnist.jsonl": 1,
        "tutorial-sgan-own.jsonl": 1}
    assert all(json.loads(line)["id"] in before for each in lines.values() for line in each)


def test_packing_again_adds_to_the_files_and_changes_no_line(results):
    assert pack.pack(results) == 5 and pack.pack(results) == 0
    packed = results / "runs" / "tutorial-sgan-mnist.jsonl"
    lines = packed.read_text().splitlines()
    write_result(results, hand_made(Run(seed=7), 0.7))
    assert pack.pack(results) == 1
    assert packed.read_text().splitlines()[:-1] == lines
    assert json.loads(packed.read_text().splitlines()[-1])["settings"]["seed"] == 7


def test_a_run_that_ends_while_others_are_packed_is_left_for_the_next_time(results, monkeypatch):
    def read_and_one_more_ends(*arguments):
        found = read_results(*arguments)
        write_result(results, hand_made(Run(seed=7), 0.7))
        return found
    monkeypatch.setattr(pack, "read_results", read_and_one_more_ends)
    assert pack.pack(results) == 5
    assert [json.loads(each.read_text())["settings"]["seed"] for each in results.glob("new/*.json")] == [7]
    assert len(read_results(results)) == 6  # none is lost, and none there twice


def test_a_run_that_is_there_twice_is_refused_and_nothing_is_lost(results):
    pack.pack(results)
    path = write_result(results, hand_made(RUNS[0], 0.9))
    before = {each: each.read_bytes() for each in results.rglob("*.json*")}
    for read in read_results, pack.pack:
        with pytest.raises(InputError) as refused:
            read(results)
        assert str(refused.value) == f"{path}, line 1: the run {RUNS[0].name} is there twice; delete one"
    assert {each: each.read_bytes() for each in results.rglob("*.json*")} == before
    path.unlink()
    packed = results / "runs" / "tuned-sgan-mnist.jsonl"
    packed.write_text(2 * packed.read_text())
    with pytest.raises(InputError, match="tuned-sgan-mnist.jsonl, line 2: .*twice"):
        pack.pack(results)


def test_failed_runs_are_removed_from_both_places_and_no_others(results):
    failed = {"error": "diverged", "final": None, "history": []}
    write_result(results, hand_made(RUNS[1], 0, **failed))
    write_result(results, hand_made(Run(seed=5), 0, **failed))
    pack.pack(results)  # a failed run is packed beside one that was made
    write_result(results, hand_made(Run(seed=6), 0, **failed))
    before = read_results(results)
    ids = {run.identity(MNIST_FINGERPRINT) for run in (*RUNS, Run(seed=6))}
    pack.remove_failed(results, ids)  # of a study that has no run with seed 5
    left = read_results(results)
    assert {before[each]["settings"]["seed"] for each in before.keys() - left.keys()} == {1, 6}
    assert new_files(results) == [] and all(left[each] == before[each] for each in left)


def test_bytes_that_are_no_text_do_not_stop_the_removal_of_failed_runs(results):
    for number in 5, 6:
        path = write_result(results, hand_made(Run(seed=number), 0, error="of ?", final=None, history=[]))
        path.write_bytes(path.read_bytes().replace(b"of ?", b"of \xff"))
        if number == 5:
            pack.pack(results)
            packed = results / "runs" / "tutorial-sgan-mnist.jsonl"
            packed.write_bytes(packed.read_bytes().replace(b"\\ufffd", b"\xff"))
            assert b"\xff" in packed.read_bytes()
    before = read_results(results)
    pack.remove_failed(results, set(before))
    assert {before[each]["settings"]["seed"] for each in before.keys() - read_results(results).keys()} == {5, 6}


def test_retry_makes_failed_runs_again_wherever_they_are(results, monkeypatch):
    runs, made = [Run(seed=0), Run(seed=1), Run(seed=6)], []
    write_result(results, hand_made(runs[1], 0, error="diverged"))
    pack.pack(results)
    write_result(results, hand_made(runs[2], 0, error="diverged"))

    def work(workers):
        made.extend(workers.waiting)

    monkeypatch.setattr("sgan.studies.study.Workers.work", work)
    assert run_study(runs, MNIST_FINGERPRINT, results, jobs=1) is False and made == []
    run_study(runs, MNIST_FINGERPRINT, results, jobs=1, retry=True)
    assert made == runs[1:] and not new_path(results, runs[2].name, runs[2].identity(MNIST_FINGERPRINT)).exists()
