"""sgan/runs/startup.py: what is held back while TensorFlow is imported; scripts that are started in unusual ways."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, USERS_ENVIRONMENT

import discriminator_variants
import sgan_mnist
from sgan.runs.command import InputError
from sgan.studies import development, study

SMALL = ("--batch-size", "10", "--steps-per-epoch", "1", "--labels", "20", "--epochs", "1")


def run_program(program):
    """Run lines of Python after the import of `quiet_stderr`: (exit status, standard error)."""
    lines = "import os, sys\nfrom sgan.runs.startup import quiet_stderr\n" + program
    ended = subprocess.run([sys.executable, "-c", lines], cwd=ROOT, env=USERS_ENVIRONMENT, text=True, timeout=60,
                           capture_output=True)
    return ended.returncode, ended.stderr


def test_lines_on_standard_error_are_not_shown_if_all_goes_well():
    status, errors = run_program("""
with quiet_stderr():
    print("of Python", file=sys.stderr)
    os.write(2, b"of C++\\n")
print("afterwards", file=sys.stderr)
os.write(2, b"C++ afterwards\\n")
""")
    assert (status, errors) == (0, "afterwards\nC++ afterwards\n")


@pytest.mark.parametrize("failure, status, message", [
    ("raise ZeroDivisionError('wrong')", 1, "ZeroDivisionError: wrong"), ("sys.exit(3)", 3, ""),
])
def test_lines_held_back_are_shown_if_it_fails(failure, status, message):
    ended, errors = run_program(f"""
with quiet_stderr():
    os.write(2, b"a line of C++\\n" * 10000)
    {failure}
""")
    assert ended == status
    assert errors.startswith("a line of C++\n" * 10000) and message in errors[140_000:]


def with_keras(folder, content):
    """An environment in which `import keras` runs other lines."""
    (folder / "keras.py").write_text(content)
    return {**USERS_ENVIRONMENT, "PYTHONPATH": str(folder)}


def test_an_import_that_fails_shows_all_that_was_said(tmp_path):
    environment = with_keras(tmp_path, """
import os
os.write(2, b"of TensorFlow\\n")
raise ImportError("no such library")
""")
    ended = subprocess.run([sys.executable, "sgan_mnist.py"], cwd=ROOT, env=environment, text=True, capture_output=True)
    assert ended.returncode == 1
    assert "of TensorFlow\n" in ended.stderr and "Traceback" in ended.stderr
    assert ended.stderr.endswith("ImportError: no such library\n")


def test_ctrl_c_during_the_import_is_no_traceback(tmp_path):
    environment = with_keras(tmp_path, "print('importing', flush=True)\nimport time\ntime.sleep(600)")
    process = subprocess.Popen([sys.executable, "sgan_mnist.py"], cwd=ROOT, env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (-signal.SIGINT, "", "")


def test_tensorflow_says_nothing_at_the_start_even_where_it_logs_everything(run_script):
    status, output, errors = run_script("sgan_mnist.py", "--help", TF_CPP_MIN_LOG_LEVEL="0")
    assert (status, errors) == (0, []) and "--label-seed" in output


# Unusual starts


@pytest.mark.slow
def test_settings_of_keras_that_a_user_has_changed_change_nothing(run_script, small_digits, tmp_path):
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "keras.json").write_text(json.dumps(
        {"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.1, "backend": "jax"}))
    changed = {"KERAS_HOME": str(tmp_path / "keras")}
    options = "--data", str(small_digits), *SMALL
    assert run_script("sgan_mnist.py", *options, "--out", tmp_path / "changed", **changed)[0] == 0
    sgan_mnist.main([*options, "--out", str(tmp_path / "plain")])
    with np.load(tmp_path / "changed" / "state.npz") as ours, np.load(tmp_path / "plain" / "state.npz") as theirs:
        names = [sorted(set(each.files) - {"run"}) for each in (ours, theirs)]
        assert len(names[0]) == len(names[1]) > 50
        assert [a for a, b in zip(*names) if ours[a].tobytes() != theirs[b].tobytes()] == []

    status, output, errors = run_script("discriminator_variants.py", PATH=str(tmp_path), cwd=tmp_path, **changed)
    assert (status, errors) == (0, [])
    assert all(number in output for number in ("298,497", "318,987", "321,036", "316,938"))


SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_may_be_started_by_its_path_from_anywhere(script, tmp_path):
    environment = with_keras(tmp_path, """
import importlib.util, os
print(importlib.util.find_spec("sgan_mnist").origin, flush=True)
os._exit(0)
""")
    (tmp_path / "link.py").symlink_to(ROOT / script)
    for path in ROOT / script, "link.py":
        ended = subprocess.run([sys.executable, path, "--help"], cwd=tmp_path, env=environment, text=True,
                               capture_output=True)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{ROOT / 'sgan_mnist.py'}\n", "")


@pytest.mark.parametrize("settings", [
    "[]", '{"floatx": "float7"}', pytest.param(100_000 * "[", id="nested"), "a folder"])
def test_settings_that_keras_cannot_use_are_named(run_script, tmp_path, settings):
    path = tmp_path / "keras.json"
    if settings == "a folder":
        path.mkdir()
    else:
        path.write_text(settings)
    status, output, errors = run_script("sgan_mnist.py", "--help", KERAS_HOME=str(tmp_path))
    assert (status, output) == (2, "")
    (line,) = errors
    assert line.startswith("Keras cannot be imported: ") and line.endswith(f"keras.json in {tmp_path}")


@pytest.mark.skipif(sys.platform == "win32", reason="for a shell of Unix")
def test_a_closed_standard_output_is_one_line():
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "sgan_mnist.py", "--help"]
    ended = subprocess.run(command, cwd=ROOT, env=USERS_ENVIRONMENT, text=True, stderr=subprocess.PIPE)
    assert ended.returncode == 2
    assert ended.stderr == "sgan_mnist.py: standard output is closed; to see nothing, send it to /dev/null\n"


@pytest.mark.skipif(sys.platform == "win32", reason="for a shell of Unix")
def test_no_file_gets_the_number_of_a_closed_standard_error(tmp_path):
    code = "import sgan; sgan.begin_script(); print(open('x', 'w').fileno())"
    command = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", code]
    environment = {**USERS_ENVIRONMENT, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE)
    assert ended.returncode == 0 and int(ended.stdout) > 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="for a device of Linux")
def test_the_exit_status_is_right_where_standard_error_is_full():
    command = ["sh", "-c", 'exec "$@" 2>/dev/full', "sh", sys.executable, "sgan_mnist.py", "--epochs", "0"]
    assert subprocess.run(command, cwd=ROOT, env=USERS_ENVIRONMENT).returncode == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="for a device of Linux")
@pytest.mark.parametrize("arguments", [["evaluate_classifier.py", "--help"], ["-m", "sgan.studies", "tuned", "--list"]])
def test_a_full_standard_output_is_one_line(arguments):
    command = ["sh", "-c", 'exec "$@" >/dev/full', "sh", sys.executable, *arguments]
    ended = subprocess.run(command, cwd=ROOT, env=USERS_ENVIRONMENT, text=True, stderr=subprocess.PIPE)
    (line,) = ended.stderr.splitlines()
    assert ended.returncode == 2 and line.endswith("No space left on device: standard output")


@pytest.mark.slow
def test_the_home_folder_may_be_named_with_a_tilde(small_digits, digits_file, tmp_path, monkeypatch, capsys):
    """As in --out=~/x, which a shell leaves alone."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.npz").symlink_to(small_digits)
    sgan_mnist.main(["--data=~/small.npz", "--out=~/run", *SMALL])
    assert (tmp_path / "run" / "c_model_0001.h5").exists()
    sgan_mnist.main(["--out=~/run", "--resume", "--epochs=2"])
    assert (tmp_path / "run" / "c_model_0002.h5").exists()
    development.main(["~/development.npz", f"--data={digits_file}"])
    capsys.readouterr()
    study.main(["labels", "--list", "--results=~/some"])
    assert all(line.endswith(f"--results {tmp_path / 'some'}") for line in capsys.readouterr().out.splitlines())
    monkeypatch.setattr(discriminator_variants, "build_variants", list)
    discriminator_variants.main(["--out=~/pictures"])
    assert f"written to {tmp_path / 'pictures'}" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"small.npz", "run", "development.npz"}


def test_a_tilde_that_names_no_user_is_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no run in ~nobody_of_this_name/x"):
        sgan_mnist.main(["--out=~nobody_of_this_name/x", "--resume"])
