"""The name of a study's folder. Snakemake's own records of settings and code lie beside it, in `.snakemake`.

A result carries the name of the folder that it was made in: brought elsewhere without `.snakemake`, nothing there knows
with which settings it was made, and Snakemake would take it for that of any.
"""

from __future__ import annotations

import os
from pathlib import Path

from hsipipe.files import write_text

HOME = Path(".snakemake/hsipipe-home")


def read_home() -> str:
    """The name of the study folder that this process works in; empty before its first run."""
    return HOME.read_text(encoding="utf-8").strip() if HOME.is_file() else ""


def make_home() -> None:
    """Give the study folder a name, unless it has one."""
    if not read_home():
        write_text(HOME, f"{os.urandom(8).hex()}\n")
