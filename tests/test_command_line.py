"""sgan/runs/command.py, options.py: options from a dataclass, errors as one line, the options in the documents."""

import argparse
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import pytest
import tensorflow as tf
from conftest import ROOT, USERS_ENVIRONMENT

from sgan.runs.command import InputError, printable, run_command
from sgan.runs.options import ArgumentParser, add_options, at_least, flag, option
from sgan.studies.run import Run
from sgan.tuned import TunedSettings
from sgan_mnist import Settings


@dataclass
class Some:
    """Settings of every kind."""

    number: int = option(3, "a number", min=2)
    perhaps: int | None = option(None, "a number, if given", min=0)
    rate: float = option(0.5, "a rate", min=0, below=1)
    on_or_off: bool = option(False, "on")
    word: str = option("a", "a word", choices=["a", "b"])


def parsed(*arguments):
    parser = ArgumentParser(prog="some")
    add_options(parser, Some)
    return vars(parser.parse_args(arguments))


def test_options_are_the_fields_and_absent_where_they_are_not_given():
    assert parsed() == {}
    assert parsed("--number", "7", "--perhaps", "0", "--rate", "1e-3", "--on-or-off", "--word", "b") == {
        "number": 7, "perhaps": 0, "rate": 0.001, "on_or_off": True, "word": "b"}


@pytest.mark.parametrize("arguments, complaint", [
    (["--number", "1"], "--number: 1: must be at least 2 and below 2**31"),
    (["--number", str(2**31)], "must be at least 2 and below 2**31"),
    (["--number", "1.5"], "--number: invalid int value: '1.5'"),
    (["--rate", "1"], "--rate: 1: must be at least 0 and below 1"), (["--rate", "nan"], "at least 0 and below 1"),
    (["--rate", "high"], "--rate: invalid float value: 'high'"),
    (["--word", "c"], "--word: invalid choice: 'c'"), (["--numb", "3"], "unrecognized arguments: --numb 3"),
    (["rest"], "unrecognized arguments: rest"), (["--number"], "--number: expected one argument"),
])
def test_wrong_options_are_one_line_that_names_help(arguments, complaint):
    with pytest.raises(InputError) as refusal:
        parsed(*arguments)
    message = str(refusal.value)
    assert complaint in message and message.endswith("(--help lists the options)") and "\n" not in message


@pytest.mark.parametrize("settings_class", [Settings, TunedSettings, Run])
def test_help_explains_every_option_with_its_default(settings_class):
    parser = ArgumentParser()
    add_options(parser, settings_class)
    text = " ".join(parser.format_help().split())
    for each in fields(settings_class):
        assert flag(each.name) in text and each.metadata["help"]
        if each.default not in (None, False):
            assert f"(default: {each.default})" in text


def test_at_least_leaves_other_texts_to_argparse():
    assert at_least(int, 0)("0") == 0 and at_least(int, 0).__name__ == "int"
    with pytest.raises(ValueError):
        at_least(int, 0)("x")
    with pytest.raises(argparse.ArgumentTypeError):
        at_least(int, 0)("-1")


def test_names_are_shown_on_one_line_without_control_characters():
    assert printable("é 三.png") == "é 三.png"
    assert printable("a\n\x1b[31m\t\u202e\ud800") == r"a\n\x1b[31m\t\u202e\ud800"


# What ends a script


OUT_OF_MEMORY = "out of memory: use fewer or smaller images; to train, a smaller --batch-size or --latent-dim"


@pytest.mark.parametrize("error, line, status", [
    (InputError("wrong\ndata"), "wrong data", 2), (OSError(28, "No space left", "a.h5"), "No space left: a.h5", 2),
    (OSError("strange"), "strange", 2), (OSError(28, "No space left"), "No space left: standard output", 2),
    (FloatingPointError("diverged"), "diverged", 1), (MemoryError(), OUT_OF_MEMORY, 2),
    (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"), OUT_OF_MEMORY, 2),
    (KeyboardInterrupt(), "interrupted", 130), (KeyboardInterrupt("go on"), "go on", 130),
])
def test_what_a_user_can_mend_is_one_line_and_a_status(error, line, status, monkeypatch, capsys):
    def fail():
        raise error

    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)  # as where a script is run by its path
    monkeypatch.setattr(sys, "argv", ["folder/script.py"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as stop:
        run_command(fail)
    assert stop.value.code == status and capsys.readouterr().err == f"script.py: {line}\n"


def test_what_only_a_developer_can_mend_is_a_traceback(monkeypatch):
    def fail():
        raise ZeroDivisionError

    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(ZeroDivisionError):
        run_command(fail)


@pytest.mark.parametrize("command, status, output, errors", [
    ("print('é', '\\ud800')", 0, "é \\ud800\n", ""),
    ("print(*range(10**6))", 141, None, ""),
    ("raise InputError('x')", 2, "", "-c: x\n"),
])
def test_outputs_of_processes(command, status, output, errors):
    """Names that cannot be printed are escaped; a reader that has seen enough (`| head`) gets no traceback."""
    program = f"""if True:
        from sgan.runs.command import InputError, run_command
        def main():
            {command}
        run_command(main)
    """
    environment = {**USERS_ENVIRONMENT, "PYTHONIOENCODING": "utf-8"}
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    if output is None:
        process.stdout.read(1)
        process.stdout.close()
        printed = process.stderr.read()
        process.wait()
    else:
        out, printed = process.communicate()
        assert out.decode() == output
    assert (process.returncode, printed.decode()) == (status, errors)


def test_bad_input_is_one_line_and_status_2(run_script, tmp_path):
    status, output, errors = run_script("sgan_mnist.py", "--data", tmp_path / "missing.npz", "--out", tmp_path / "run")
    assert status == 2 and len(errors) == 1
    assert errors[0].startswith("sgan_mnist.py: ") and "missing.npz" in errors[0]


@pytest.mark.slow
def test_modules_are_named_as_they_are_called(run_script, tmp_path):
    (tmp_path / "file").write_text("")
    for command, name in {"sgan_mnist.py": "sgan_mnist.py", "-m sgan.tuned": "sgan.tuned"}.items():
        status, output, errors = run_script(command, "--data", "synthetic", "--out", tmp_path / "file" / "run")
        assert status == 2 and len(errors) == 1
        assert errors[0].startswith(f"{name}: ") and "file" in errors[0]
    status, output, errors = run_script("-m sgan.studies", "none")
    assert status == 2 and len(errors) == 1 and errors[0].startswith("sgan.studies: ")


# The documents

COMMANDS = {"sgan_mnist.py", "evaluate_classifier.py", "discriminator_variants.py", "-m sgan.tuned", "-m sgan.studies",
            "-m sgan.studies.run", "-m sgan.studies.development", "-m sgan.studies.own_data",
            "-m sgan.studies.baselines",
            "-m sgan.benchmarks.train_step", "-m sgan.benchmarks.time_to_accuracy",
            "-m sgan.benchmarks.digit_pictures"}
DOCUMENTS = "README.md", "results/README.md"
OPTION = r"(?<![\w-])--[a-z][a-z0-9-]*"


def read_document(name):
    """A document, its continued lines joined."""
    return (ROOT / name).read_text(encoding="utf-8").replace("\\\n", "")


def commands_in(text):
    """(command, its options) of each `python ...` in a text, up to the end of the code or the line; pytest is none."""
    return [(command, set(re.findall(OPTION, rest)))
            for command, rest in re.findall(r"python ((?:-m )?[\w.]+)([^`#\n]*)", text) if command != "-m pytest"]


@pytest.fixture(scope="module")
def options_of(run_script):
    """{command: its options}, by --help, for COMMANDS and others that are documented."""
    def options(command):
        status, output, errors = run_script(command, "--help")
        assert (status, errors) == (0, []), command
        return set(re.findall(OPTION, output))

    commands = sorted(COMMANDS.union(command for name in DOCUMENTS for command, _ in commands_in(read_document(name))))
    with ThreadPoolExecutor(4) as pool:  # starting TensorFlow takes seconds
        return dict(zip(commands, pool.map(options, commands)))


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_give_each_command_only_its_own_options(document, options_of):
    text = read_document(document)
    commands = commands_in(text)
    assert len(commands) > 5
    for command, given in commands:
        own = options_of[command]
        if "--compare" in given:
            own = own | options_of["-m sgan.studies"]
        assert given <= own, f"python {command}: {given - own}"
    assert set(re.findall(OPTION, text)) <= set.union(*options_of.values())


def test_every_command_is_documented():
    found = {command for name in DOCUMENTS for command, _ in commands_in(read_document(name))}
    assert COMMANDS - found == set()
