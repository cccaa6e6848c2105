"""python -m sgan.studies NAME: see study.py."""

import sgan

if __name__ == "__main__":
    sgan.begin_script()

from sgan.runs.command import run_command
from sgan.studies.study import main

if __name__ == "__main__":
    run_command(main)
