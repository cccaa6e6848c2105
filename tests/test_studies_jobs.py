"""sgan/studies/jobs.py: runs side by side, each in a process of its own, whatever they end with."""

import os
import signal
import subprocess

import pytest

from sgan.runs.command import InputError
from sgan.studies import jobs
from sgan.studies.run import Run

RUNS = [Run(seed=seed) for seed in range(4)]
REAL_POPEN = subprocess.Popen


@pytest.fixture
def programs(monkeypatch):
    """{seed of a run: a Python program that is started in its place}, to be filled; and the processes started."""
    programs, started = {}, []

    def start(*arguments, **options):
        started.append(REAL_POPEN(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(jobs, "command", lambda run, results: ["python", "-c", programs[run.seed]])
    monkeypatch.setattr(jobs.subprocess, "Popen", start)
    return programs, started


def test_runs_are_made_side_by_side_and_the_end_of_each_is_said(tmp_path, programs, capsys):
    wait = "import pathlib, time\nwhile not pathlib.Path({!r}).exists(): time.sleep(0.01)\n"
    programs[0].update({
        0: wait.format(str(tmp_path / "flag")) + "print('waited')",  # for the next one, at its side
        1: f"open({str(tmp_path / 'flag')!r}, 'w'); print('step'); print('done')",
        2: "import sys; sys.exit('diverged')", 3: "import os; os.kill(os.getpid(), 9)"})
    jobs.make_side_by_side(RUNS, tmp_path, jobs=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [f"{number} of 4" for number in range(1, 5)]
    assert sorted(line.split("  ")[1] for line in lines) == [f"{run.name}: {said}" for run, said in zip(RUNS, (
        "waited", "done", "FAILED, status 1: diverged", "FAILED, status -9: nothing printed"))]
    assert (tmp_path / "new" / "logs" / f"{RUNS[1].name}-mnist.log").read_text() == "step\ndone\n"


def test_a_run_that_is_impossible_stops_the_others(tmp_path, programs):
    programs[0].update({seed: "import time; time.sleep(60)" for seed in range(4)})
    programs[0][1] = "import sys; print('--labels 3: too few'); sys.exit(2)"
    with pytest.raises(InputError, match="split_0-seed1-12000steps: --labels 3: too few"):
        jobs.make_side_by_side(RUNS, tmp_path, jobs=2)
    assert {process.poll() for process in programs[1]} == {-signal.SIGTERM, 2}


def test_ctrl_c_stops_all_runs(tmp_path, programs):
    programs[0].update({seed: "import time; time.sleep(60)" for seed in range(4)})
    programs[0][2] = f"import os, time; os.kill({os.getpid()}, 2); time.sleep(60)"
    with pytest.raises(KeyboardInterrupt):
        jobs.make_side_by_side(RUNS, tmp_path, jobs=3)
    assert {process.poll() for process in programs[1]} == {-signal.SIGTERM}


@pytest.mark.parametrize("jobs_at_once, given, threads", [
    (1, {}, ["6", "6"]), (2, {}, ["3", "3"]), (4, {}, ["1", "1"]), (9, {}, ["1", "1"]),
    (2, {"OMP_NUM_THREADS": "5"}, ["3", "5"]),
])
def test_runs_share_the_cores_unless_the_user_says_how_many_threads(monkeypatch, jobs_at_once, given, threads):
    monkeypatch.setattr(jobs, "available_cores", lambda: 6)
    monkeypatch.setattr(jobs.os, "environ", given)
    environment = jobs.environment(jobs_at_once)
    assert [environment[name] for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")] == threads
