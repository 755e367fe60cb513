"""All files that a user's own scene is made of, so that a change of any makes it be read again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def own_files(files: Sequence[str], labels: str | None = None) -> list[str]:
    """The files themselves, those of the same name beside them (header and data), what folders hold, and the labels.

    Args:
        files: files and folders; one that does not exist stands for itself, so that Snakemake names it as missing.
        labels: FILE[:KEY] or a folder.
    """
    named = [*files, *([_without_key(labels)] if labels else [])]
    found: list[Path] = []
    for path in map(Path, named):
        if path.is_dir():
            found += (inner for inner in path.rglob("*") if inner.is_file() and not inner.name.startswith("."))
            continue
        found.append(path)
        if path.is_file():
            found += (beside for beside in path.parent.iterdir() if beside.is_file() and _belong(beside, path))
    return sorted({str(path) for path in found})


def _without_key(labels: str) -> str:
    file, colon, _ = labels.rpartition(":")
    return labels if not colon or Path(labels).exists() else file


def _belong(beside: Path, path: Path) -> bool:
    """Whether two files are header and data of one image: x.hdr with x or x.raw, x.raw.hdr with x.raw."""
    header, data = (beside, path) if beside.suffix.lower() == ".hdr" else (path, beside)
    return header.suffix.lower() == ".hdr" and data.suffix.lower() != ".hdr" and header.stem in (data.stem, data.name)
