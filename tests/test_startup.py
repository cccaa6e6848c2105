"""sgan/runs/startup.py: what is held back while TensorFlow is imported; scripts that are started in unusual ways."""

import json
import os
import signal
import subprocess
import sys

import pytest
from conftest import ROOT, USERS_ENVIRONMENT
from helpers import SMALL, assert_same_variables

import sgan_mnist
from sgan.runs.command import InputError
from sgan.runs.run_folder import open_run


def run_python(*arguments, **options):
    """Run Python with these arguments: (exit status, standard output, standard error)."""
    ended = subprocess.run([sys.executable, *arguments], text=True, capture_output=True,
                           **{"cwd": ROOT, "env": USERS_ENVIRONMENT, **options})
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize("last, status, errors", [
    ("pass", 0, "afterwards\nC++ afterwards\n"), ("sys.exit(3)", 3, 10_000 * "a line of C++\n" + "of Python\n")])
def test_lines_on_standard_error_are_held_back_and_shown_if_it_fails(last, status, errors):
    assert run_python("-c", f"""if True:
        import os, sys
        from sgan.runs.startup import quiet_stderr
        with quiet_stderr():
            os.write(2, b"a line of C++\\n" * 10000)
            print("of Python", file=sys.stderr)
            {last}
        print("afterwards", file=sys.stderr)
        os.write(2, b"C++ afterwards\\n")
    """) == (status, "", errors)


def with_keras(folder, content):
    """An environment in which `import keras` runs other lines."""
    (folder / "keras.py").write_text(content)
    return {**USERS_ENVIRONMENT, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


def test_an_import_that_fails_shows_all_that_was_said(tmp_path):
    environment = with_keras(tmp_path, "import os\nos.write(2, b'of TensorFlow\\n')\nraise ImportError('no library')")
    status, _, errors = run_python("sgan_mnist.py", env=environment)
    assert status == 1 and errors.startswith("of TensorFlow\nTraceback")
    assert errors.endswith("ImportError: no library\n")


def test_ctrl_c_during_the_import_is_no_traceback(tmp_path):
    environment = with_keras(tmp_path, "print('importing', flush=True)\nimport time\ntime.sleep(600)")
    process = subprocess.Popen([sys.executable, "sgan_mnist.py"], cwd=ROOT, env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    assert (*process.communicate(timeout=60), process.returncode) == ("", "", -signal.SIGINT)


@pytest.mark.slow
def test_tensorflow_says_nothing_at_the_start_even_if_it_logs_everything(run_script):
    status, output, errors = run_script("sgan_mnist.py", "--help", TF_CPP_MIN_LOG_LEVEL="0")
    assert (status, errors) == (0, []) and "--label-seed" in output


@pytest.mark.skipif(sys.platform == "win32", reason="for a shell of Unix")
def test_no_file_gets_the_number_of_a_closed_standard_error(tmp_path):
    environment = with_keras(tmp_path, "import sys, unittest.mock as mock\n"
                                       "sys.modules.update(keras=mock.Mock(), tensorflow=mock.Mock())")
    program = "import sgan; sgan.begin_script(); print(open('x', 'w').fileno())"
    command = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", program]
    assert int(subprocess.check_output(command, cwd=tmp_path, env=environment)) > 2


# Unusual starts


@pytest.mark.slow
def test_settings_of_keras_that_a_user_has_changed_change_nothing(run_script, small_digits, tmp_path):
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "keras.json").write_text(json.dumps(
        {"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.1, "backend": "jax",
         "nnx_enabled": True}))
    options = "--data", str(small_digits), *SMALL, "--epochs", "1"
    run_script("sgan_mnist.py", *options, "--out", tmp_path / "changed", KERAS_HOME=str(tmp_path / "keras"))
    sgan_mnist.main([*options, "--out", str(tmp_path / "plain")])
    assert_same_variables(tmp_path / "changed", tmp_path / "plain")


@pytest.mark.parametrize("script", sorted(path.name for path in ROOT.glob("*.py")))
def test_every_script_may_be_started_by_its_path_from_anywhere(script, tmp_path):
    environment = with_keras(tmp_path, "import importlib.util, os\n"
                                       "print(importlib.util.find_spec('sgan_mnist').origin, flush=True)\nos._exit(0)")
    environment["PYTHONPATH"] = str(tmp_path)
    (tmp_path / "link.py").symlink_to(ROOT / script)
    for path in ROOT / script, "link.py":
        assert run_python(path, "--help", cwd=tmp_path, env=environment) == (0, f"{ROOT / 'sgan_mnist.py'}\n", "")


@pytest.mark.parametrize("settings", ["[]", '{"floatx": "float7"}', pytest.param(100_000 * "[", id="nested")])
def test_settings_that_keras_cannot_use_are_named(tmp_path, settings):
    path = tmp_path / "keras.json"
    path.write_text(settings)
    status, output, errors = run_python("sgan_mnist.py", env={**USERS_ENVIRONMENT, "KERAS_HOME": str(tmp_path)})
    assert (status, output) == (2, "") and errors.count("\n") == 1
    assert errors.startswith("Keras cannot be imported: ") and errors.endswith(f"its settings, {path}\n")


def test_the_home_folder_may_be_named_with_a_tilde(tmp_path, monkeypatch):
    """As in --out=~/x, which a shell leaves alone."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match=f"no such file: {tmp_path}/none.npz"):
        sgan_mnist.main(["--data=~/none.npz", "--out=~/run"])
    with open_run(sgan_mnist.Settings, {"out": "~/run", "resume": False}) as run:
        assert run.path == tmp_path / "run"
