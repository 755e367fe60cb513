"""Where the workflow of this package lies, and a study folder that uses it."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

from hsipipe.errors import UserError
from hsipipe.files import write_text

COPIED = ("config/config.yaml", "config/papers", "profiles")
SNAKEFILE = """\
# A study that uses the workflow of the installed package hsipipe. `snakemake` runs config/config.yaml,
# `snakemake --configfile FILE` another study; settings of the machine are in profiles/default/profile.yaml.
from hsipipe.workflow_files import workflow_root


include: str(workflow_root() / "Snakefile")


# What `snakemake` makes where no target is named: a Snakefile that is included does not say so.
rule study:
    default_target: True
    input:
        rules.all.input,
    localrule: True
"""


def workflow_root() -> Path:
    """The folder that holds Snakefile, workflow, config, profiles and envs: the checkout, or where pip put them.

    Raises:
        UserError: they were not installed.
    """
    checkout = Path(__file__).parents[2]
    if (checkout / "Snakefile").is_file() and (checkout / "workflow" / "rules").is_dir():
        return checkout
    try:
        installed = metadata.files("hsipipe") or []
    except metadata.PackageNotFoundError:
        installed = []
    for file in installed:
        if file.name == "Snakefile" and (path := Path(str(file.locate()))).is_file():
            return path.resolve().parent
    raise UserError("the workflow is not installed with this package", remedy="install hsipipe anew from its wheel")


def make_study(folder: str | Path) -> list[Path]:
    """Make a study folder: a Snakefile that includes the workflow, and copies of the configs and profiles to edit.

    Args:
        folder: made if need be.

    Returns:
        What was written, relative to the folder.

    Raises:
        UserError: one of these is there already.
    """
    target, root = Path(folder), workflow_root()
    for name in ("Snakefile", *COPIED):
        if (target / name).exists():
            raise UserError("is there already", file=target / name, remedy="choose another folder")
    if target.exists() and not target.is_dir():
        raise UserError("is a file", file=target, remedy="choose another folder")
    sources = [
        path for name in COPIED for path in sorted([root / name, *(root / name).rglob("*.yaml")]) if path.is_file()
    ]
    for path in sources:
        place = target / path.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    write_text(target / "Snakefile", SNAKEFILE)
    return [Path("Snakefile"), *(path.relative_to(root) for path in sources)]
