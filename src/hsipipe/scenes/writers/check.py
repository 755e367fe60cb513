"""What can be told of an output before its input is read: then a mistake costs seconds, not hours."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from hsipipe.errors import UserError, unknown
from hsipipe.scenes.readers.envi import find_header

ENVI_SUFFIXES = (".hdr", ".bil", ".bsq", ".bip", ".img", ".raw", ".dat")
OUTPUT_SUFFIXES = (".h5", ".tif", ".tiff", *ENVI_SUFFIXES, ".npy", ".mat")


def check_place(path: str | Path) -> Path:
    """A file to be written, as a Path, refused if it is a folder or no file can be made there.

    Raises:
        UserError: naming the folder or file in the way.
    """
    target = Path(path)
    if target.is_dir():
        raise UserError("is a folder", file=target, remedy="name a file")
    above = next(parent for parent in (*target.parents, Path()) if parent.exists())
    if not above.is_dir():
        raise UserError("is a file, not a folder", file=above, remedy=f"choose another place for {target.name}")
    if not os.access(above, os.W_OK | os.X_OK):
        raise UserError("is a folder without permission to write", file=above, remedy="choose another")
    return target


def check_output(path: str | Path) -> Path:
    """The output image as a Path, refused early if its extension cannot be written, or as `check_place`.

    Raises:
        UserError: naming the nearest extension, or what is in the way.
    """
    target = Path(path)
    if target.suffix.lower() not in OUTPUT_SUFFIXES:
        raise unknown("output format", target.suffix or target.name, OUTPUT_SUFFIXES, file=target)
    return check_place(target)


def check_outputs(pairs: Iterable[tuple[str | Path, str | Path]]) -> None:
    """Check pairs of input and output before the first is read.

    Raises:
        UserError: an input that does not exist; an output that `check_output` refuses, that two inputs would write,
            that is an input (or its header), or whose header would replace another image's.
    """
    named = [(Path(source), Path(target)) for source, target in pairs]
    for source, _ in named:
        if not source.exists():
            raise UserError("does not exist", file=source)
    inputs = [(file, source) for source, _ in named for file in _read_files(source)]
    writer: dict[Path, Path] = {}
    for source, target in named:
        check_output(target)
        for file in written_files(target):
            other = writer.setdefault(file.resolve(), source)
            if other is not source:
                raise UserError(
                    f"would be written from both {other} and {source}",
                    file=file,
                    remedy="give them different names or outputs",
                )
            for read, owner in inputs:
                if file.exists() and file.samefile(read):
                    whose = "its own input" if owner is source else f"the input {owner}"
                    raise UserError(f"would overwrite {whose}", file=file, remedy="choose another output")
        refuse_foreign_header(target)


def refuse_foreign_header(target: Path) -> None:
    """Refuse an ENVI data file that is new while the header that it would get exists.

    Raises:
        UserError: naming the header.
    """
    header = target.with_suffix(".hdr")
    if target.suffix.lower() in ENVI_SUFFIXES and header != target and header.exists() and not target.exists():
        raise UserError("has a header beside it that describes another file", file=target, found=header.name)


def written_files(target: Path) -> list[Path]:
    """All files that an output may become; an ENVI header's data file depends on the input's interleave."""
    suffix = target.suffix.lower()
    if suffix == ".hdr":
        base = target.with_suffix("")
        named = base.suffix.lower() == ".raw"
        return [target, base] if named else [target, *(target.with_suffix(f".{i}") for i in ("bsq", "bil", "bip"))]
    return [target, target.with_suffix(".hdr")] if suffix in ENVI_SUFFIXES else [target]


def _read_files(source: Path) -> list[Path]:
    header = find_header(source) if source.is_file() else None
    return [source] if header is None or header == source else [source, header]
