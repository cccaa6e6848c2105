"""sgan/runs/lock.py: one process at a time; and two runs started at once in one folder."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT

from sgan.runs import lock
from sgan.runs.lock import is_held, locked
from sgan_mnist import main

SMALL = ("--batch-size", 10, "--steps-per-epoch", 2, "--labels", 20, "--print-every", 1)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds tmp_path / "lock" until it is killed."""
    program = f"""if True:
        import time
        from sgan.runs.lock import locked
        with locked({str(tmp_path / "lock")!r}):
            print("held", flush=True)
            time.sleep(600)
    """
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_lock_is_refused_while_another_process_holds_it_and_released_by_its_kill(holder, tmp_path):
    path = tmp_path / "lock"
    with pytest.raises(BlockingIOError) as refusal, locked(path):
        pass
    assert refusal.value.filename == str(path) and path.exists()
    holder.kill()
    holder.wait()
    assert path.exists()  # a kill does not clean up
    with locked(path) as file:
        assert is_held(file, path)
    assert not path.exists()


def test_a_lock_is_held_once_and_deleted_at_the_end(tmp_path):
    path = tmp_path / "lock"
    with pytest.raises(ZeroDivisionError), locked(path):
        assert path.exists()
        with pytest.raises(BlockingIOError), locked(path):
            pass
        assert path.exists()  # the one that was refused leaves it
        raise ZeroDivisionError
    assert not path.exists()


def test_a_file_system_that_cannot_lock_is_not_called_another_process(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")
    monkeypatch.setattr(lock, "take", refuse)
    with pytest.raises(OSError, match="No locks available .the file system cannot lock files") as refusal, \
            locked(tmp_path / "lock"):
        pass
    assert not isinstance(refusal.value, BlockingIOError) and refusal.value.filename == str(tmp_path / "lock")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
@pytest.mark.parametrize("put", [os.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_lock_file_is_to_be_removed(tmp_path, put):
    put(tmp_path / "lock")
    with pytest.raises(OSError, match="what is here is no lock file; remove it") as refusal, locked(tmp_path / "lock"):
        pass
    assert refusal.value.filename == str(tmp_path / "lock") and os.path.lexists(tmp_path / "lock")


def test_a_lock_that_was_replaced_is_not_held_any_more_and_left_to_its_new_owner(tmp_path):
    path = tmp_path / "lock"
    with locked(path) as file:
        path.unlink()
        assert not is_held(file, path)
        with locked(path) as other:
            assert is_held(other, path) and not is_held(file, path)
            path.rename(tmp_path / "moved")
            path.write_text("a third one's")
    assert path.read_text() == "a third one's"


def test_a_lock_deleted_between_opening_and_locking_is_made_anew(tmp_path, monkeypatch):
    """As when its last owner comes to its end just then."""
    path, take, taken = tmp_path / "lock", lock.take, []

    def delete_first(file):
        if not taken:
            path.unlink()
        taken.append(file)
        take(file)

    monkeypatch.setattr(lock, "take", delete_first)
    with locked(path) as file:
        assert len(taken) == 2 and is_held(file, path)


@pytest.mark.slow
@pytest.mark.parametrize("resumed", [False, True])
def test_of_two_runs_started_at_once_in_one_folder_one_trains(start_script, small_digits, tmp_path, resumed):
    out = tmp_path / "run"
    if resumed:
        main(["--data", str(small_digits), "--out", str(out), "--epochs", "1", *map(str, SMALL)])
        commands = [["--resume", "--epochs", epochs] for epochs in (1000, 1001)]
    else:
        commands = [["--data", small_digits, "--epochs", epochs, *SMALL] for epochs in (1000, 1001)]
    processes = [start_script("sgan_mnist.py", "--out", out, *command, PYTHONUNBUFFERED="1") for command in commands]
    try:
        while not (ended := [process for process in processes if process.poll() is not None]):
            time.sleep(0.05)
        (refused,), (training,) = ended, [process for process in processes if process not in ended]
        assert refused.returncode == 2
        assert refused.communicate()[1].splitlines() == [
            f"sgan_mnist.py: --out {out}: another process is training in this folder; wait for it, or choose another "
            "--out"]
        assert any(line.startswith(">4,") for line in iter(training.stdout.readline, ""))  # the other goes on
        training.send_signal(signal.SIGINT)
        training.communicate(timeout=120)
        assert training.returncode == 130
    finally:
        for process in processes:
            process.kill()
    record = json.loads((out / "run.json").read_text())
    assert record["settings"]["epochs"] == 1000 + processes.index(training)
