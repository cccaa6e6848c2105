"""python -m sgan.studies NAME: see study.py."""

import sys
from pathlib import Path

if not __package__:  # run by its path instead of with -m
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import sgan

if __name__ == "__main__":
    sgan.begin_script()

from sgan.command_line import run_command
from sgan.studies.study import main

if __name__ == "__main__":
    run_command(main)
