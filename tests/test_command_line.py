"""sgan/runs/command.py, options.py: options from a dataclass, errors as one line, the options in the documents."""

import importlib
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, fields
from importlib.machinery import ModuleSpec

import pytest
import tensorflow as tf
from conftest import ROOT, USERS_ENVIRONMENT

from sgan.runs.command import InputError, interrupted, printable, run_command
from sgan.runs.options import ArgumentParser, add_options, flag, option
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


def test_options_are_the_fields_and_absent_if_they_are_not_given():
    assert parsed() == {}
    assert parsed("--number", "7", "--perhaps", "0", "--rate", "1e-3", "--on-or-off", "--word", "b") == {
        "number": 7, "perhaps": 0, "rate": 0.001, "on_or_off": True, "word": "b"}


@pytest.mark.parametrize("arguments, complaint", [
    (["--number", "1"], "--number: 1: must be at least 2 and below 2**31"),
    (["--number", str(2**31)], "must be at least 2 and below 2**31"), (["--perhaps", "-1"], "--perhaps: -1: must be"),
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


def test_names_are_shown_on_one_line_without_control_characters():
    assert printable("é 三.png") == "é 三.png"
    assert printable("a\n\x1b[31m\t\u202e\ud800") == r"a\n\x1b[31m\t\u202e\ud800"


# What ends a command

OUT_OF_MEMORY = "out of memory: use fewer or smaller images; to train, a smaller --batch-size or --latent-dim"


@pytest.mark.parametrize("module, name", [(None, "script.py"), ("sgan.tuned", "sgan.tuned"),
                                          ("sgan.studies.__main__", "sgan.studies")])
@pytest.mark.parametrize("error, line, status", [
    (InputError("wrong\ndata"), "wrong data", 2), (OSError(28, "No space left", "a.h5"), "No space left: a.h5", 2),
    (OSError("strange"), "strange", 2), (OSError(28, "No space left"), "No space left: standard output", 2),
    (FloatingPointError("diverged"), "diverged", 1), (MemoryError(), OUT_OF_MEMORY, 2),
    (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"), OUT_OF_MEMORY, 2),
    (KeyboardInterrupt(), "interrupted", 130), (KeyboardInterrupt("go on"), "go on", 130),
    (ZeroDivisionError(), None, None),  # only a developer can mend it
])
def test_what_a_user_can_mend_is_one_line_and_a_status(module, name, error, line, status, monkeypatch, capsys):
    def fail():
        raise error

    spec = module and ModuleSpec(module, None)  # None if a script was run by its path
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    monkeypatch.setattr(sys, "argv", ["folder/script.py"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit if line else ZeroDivisionError) as stop:
        run_command(fail)
    if line:
        assert stop.value.code == status and capsys.readouterr().err == f"{name}: {line}\n"


def test_ctrl_c_in_one_command_does_not_end_the_next_in_the_same_process(monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    interrupted.set()
    run_command(lambda: None)
    assert not interrupted.is_set()


def start(program, redirections=""):
    """Start a command whose `main` is a line of Python, with redirections of a shell."""
    program = f"""if True:
        from sgan.runs.command import InputError, run_command
        from sgan.runs.options import ArgumentParser
        def main():
            {program}
        run_command(main)
    """
    return subprocess.Popen(["sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-c", program], cwd=ROOT,
                            env={**USERS_ENVIRONMENT, "PYTHONIOENCODING": "utf-8"}, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, encoding="utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="for a shell and a device of Linux")
@pytest.mark.parametrize("program, redirections, status, output, errors", [
    ("print('é', '\\ud800')", "", 0, "é \\ud800\n", ""), ("raise InputError('x')", "", 2, "", "-c: x\n"),
    ("import signal; signal.raise_signal(signal.SIGTERM)", "", 130, "", "-c: interrupted\n"),
    ("print('x')", ">&-", 2, "", "-c: standard output is closed; to see nothing, send it to /dev/null\n"),
    ("print('x')", ">/dev/full", 2, "", "-c: No space left on device: standard output\n"),
    ("ArgumentParser().parse_args(['--help'])", ">/dev/full", 2, "", "-c: No space left on device: standard output\n"),
    ("raise InputError('x')", "2>/dev/full", 2, "", ""), ("raise InputError('x')", ">/dev/full", 2, "", "-c: x\n"),
])
def test_outputs_that_are_closed_or_full(program, redirections, status, output, errors):
    process = start(program, redirections)
    assert (*process.communicate(), process.returncode) == (output, errors, status)


def test_an_output_that_nobody_reads_any_more_is_no_error():
    process = start("print(*range(10**6))")
    process.stdout.read(1)
    process.stdout.close()  # as `| head` does
    assert process.stderr.read() == "" and process.wait() == 141


# The documents

DOCUMENTS = "README.md", "results/README.md"
OPTION = r"(?<![\w-])--[a-z][a-z0-9-]*"


def read_document(name):
    """A document, its continued lines joined."""
    return (ROOT / name).read_text(encoding="utf-8").replace("\\\n", "")


def commands_in(text):
    """(command, its options) of each `python ...` in a text, up to the end of the code or the line; pytest is none."""
    return [(command, set(re.findall(OPTION, rest)))
            for command, rest in re.findall(r"python ((?:-m )?[\w.]+)([^`#\n]*)", text) if command != "-m pytest"]


def options_of(command, capsys):
    """The options of a command, by its --help."""
    module = command.removeprefix("-m ").removesuffix(".py")
    with pytest.raises(SystemExit):
        importlib.import_module(f"{module}.__main__" if module == "sgan.studies" else module).main(["--help"])
    return set(re.findall(OPTION, capsys.readouterr().out))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_give_each_command_only_its_own_options(document, capsys):
    text = read_document(document)
    known = {command: options_of(command, capsys) for command, _ in commands_in(text)}
    for command, given in commands_in(text):
        own = known[command]
        if "--compare" in given:
            own = own | options_of("-m sgan.studies", capsys)
        assert given <= own, f"python {command}: {given - own}"
    others = set(re.findall(OPTION, text)) - set.union(*known.values())
    assert others <= options_of("-m sgan.studies.run", capsys)


def test_every_command_is_documented():
    files = [*ROOT.glob("*.py"), *ROOT.glob("sgan/**/*.py")]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__"): path for path in files}
    commands = {f"-m {name}" if "." in name else f"{name}.py" for name, path in names.items()
                if '\nif __name__ == "__main__":\n    run_command(main)' in path.read_text(encoding="utf-8")}
    documented = {command for name in DOCUMENTS for command, _ in commands_in(read_document(name))}
    assert len(commands) > 10 and commands - documented == set()
