"""Follow a tutorial word by word: run its commands, put what they print into the page, take its pictures.

    python docs/follow.py docs/tutorials/denoise.md --folder FOLDER [--check]

FOLDER is a copy of the repository in which `make run` has ended, its .venv/bin on the PATH. In the page:

- a block ```bash is run there, unless the line before it is `<!-- not run -->`;
- a block ```text right after it becomes what the commands printed;
- a block after `<!-- file: PATH -->` is written to PATH, and a picture after `<!-- picture: PATH -->` is made of PATH.

With --check nothing is written, and a page that prints something else is a failure.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(
    r"(?:<!-- (?P<mark>not run|file: (?P<file>\S+)|picture: (?P<picture>\S+)) -->\n+)?"
    r"(?:```(?P<language>\w+)\n(?P<body>.*?)^```$(?P<shown>\n+```text\n.*?^```$)?|!\[[^\]]*\]\((?P<image>[^)]+)\))",
    re.MULTILINE | re.DOTALL,
)
PROGRESS = re.compile(r"\d+%\|")  # a bar of progress says nothing on paper
WIDEST = 1000  # pixels of a picture in a page


class FollowingError(Exception):
    """A command of a page that failed."""


def follow(page: Path, folder: Path, *, pictures: bool = True) -> str:
    """The text of a page with what its commands print today.

    Args:
        page: the page; its pictures are written beside it if `pictures`.
        folder: where the commands run.

    Raises:
        FollowingError: a command that fails, with what it printed.
    """

    def replace(found: re.Match) -> str:
        whole = found[0]
        if found["image"]:
            if found["picture"] and pictures:
                shrink(folder / found["picture"], page.parent / found["image"])
        elif found["file"]:
            path = folder / found["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(found["body"], encoding="utf-8")
        elif found["language"] == "bash" and found["mark"] is None:
            printed = run(found["body"], folder)
            if found["shown"]:
                return whole[: found.start("shown") - found.start()] + f"\n\n```text\n{printed}```"
        return whole

    return BLOCK.sub(replace, page.read_text(encoding="utf-8"))


def run(commands: str, folder: Path) -> str:
    """What commands print, errors and all, in the order of a terminal."""
    environment = {**os.environ, "COLUMNS": "100", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        ["bash", "-ec", commands],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if ended.returncode:
        raise FollowingError(f"{commands.rstrip()}\nended with {ended.returncode}:\n{ended.stdout}")
    lines = [line.rstrip() for line in ended.stdout.split("\n") if not PROGRESS.search(line)]
    return "\n".join(lines).strip("\n") + "\n"


def shrink(source: Path, target: Path) -> None:
    """A picture of at most `WIDEST` pixels and 128 colours, for a page."""
    from PIL import Image

    picture = Image.open(source).convert("RGB")
    if picture.width > WIDEST:
        picture = picture.resize((WIDEST, round(picture.height * WIDEST / picture.width)), Image.Resampling.LANCZOS)
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(128, dither=Image.Dither.NONE).save(target, optimize=True)


def main() -> int:
    """Follow the pages named on the command line; 1 if one fails or, with --check, prints something else."""
    parser = argparse.ArgumentParser(description="Run the commands of tutorials and keep what they print.")
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument(
        "--folder", type=Path, required=True, help="a copy of the repository in which `make run` has ended"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page prints something else")
    options = parser.parse_args()
    failed = False
    for page in options.pages:
        old = page.read_text(encoding="utf-8")
        try:
            new = follow(page, options.folder.resolve(), pictures=not options.check)
        except FollowingError as error:
            print(f"{page}: {error}", file=sys.stderr)
            failed = True
            continue
        difference = list(
            difflib.unified_diff(old.splitlines(), new.splitlines(), str(page), "today", lineterm="", n=0)
        )
        print("\n".join(difference) or f"{page}: as it stands")
        if options.check:
            failed |= bool(difference)
        elif difference:
            page.write_text(new, encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
