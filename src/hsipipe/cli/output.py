"""What verbs print for machines, and how they name their outputs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO

from hsipipe.errors import UserError

# What an image becomes in a folder of outputs if its own extension cannot be written.
_SUFFIX_BY_FORMAT = {
    "npy": ".npy",
    "npz": ".npy",
    "matlab5": ".mat",
    "matlab7.3": ".mat",
    "hdf5": ".h5",
    "scene": ".h5",
    "envi": ".hdr",
    "erdas": ".hdr",
}


FIGURE_SUFFIXES = (".png", ".svg", ".pdf")

_answers: ContextVar[TextIO | None] = ContextVar("answers", default=None)


@contextmanager
def only_json(wanted: bool) -> Iterator[None]:
    """Within the block nothing but `print_json` reaches standard output; what libraries print goes to stderr."""
    if not wanted:
        yield
        return
    token = _answers.set(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _answers.reset(token)


def print_json(value: Any) -> None:
    """Print strict JSON: numbers that are not finite become null."""
    print(json.dumps(_finite(value), allow_nan=False), file=_answers.get() or sys.stdout)


def check_figure(path: str) -> None:
    """Refuse a picture that cannot be drawn or written, before the work begins.

    Raises:
        UserError: another extension than .png, .svg, .pdf, or a place where no file can be made.
    """
    from hsipipe.errors import unknown
    from hsipipe.scenes.writers.check import check_place

    if Path(path).suffix.lower() not in FIGURE_SUFFIXES:
        raise unknown("figure format", Path(path).suffix, FIGURE_SUFFIXES, file=path)
    check_place(path)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return value


def pair_outputs(inputs: Sequence[str], output: str) -> list[tuple[Path, Path]]:
    """Each input with its output: `output` itself, or a file in it if it is a folder.

    It is a folder if it exists as one, ends with a slash, or there are several inputs. A file there is named as the
    input; where that name is no format that can be written, it gets an extension that is: .npy for .npz, .hdr (with
    .bil, .bsq or .bip) for ENVI and ERDAS, otherwise .tif.

    Raises:
        UserError: several inputs into one file, or an input that does not exist.
    """
    folder = Path(output)
    called_folder = output.endswith("/") or folder.is_dir()
    if len(inputs) == 1 and not called_folder:
        return [(Path(inputs[0]), folder)]
    if not called_folder and (folder.suffix or folder.exists()):
        raise UserError(
            "must be a folder",
            file=folder,
            remedy=f"there are {len(inputs)} inputs; end its name with / if it is to be one",
        )
    return [(Path(path), folder / _output_name(Path(path))) for path in inputs]


def _output_name(path: Path) -> str:
    from hsipipe.scenes.readers import SUFFIXES, detect_format
    from hsipipe.scenes.writers import OUTPUT_SUFFIXES

    kind = detect_format(path)
    name = path.name[:-3] if path.suffix.lower() == ".gz" else path.name
    suffix = Path(name).suffix.lower()
    if suffix in OUTPUT_SUFFIXES:
        return name
    # A dot in the name of a bare ENVI file, such as scan_1.2, starts no extension.
    stem = Path(name).stem if suffix in SUFFIXES or kind in ("gdal", "tiff") else name
    return stem + _SUFFIX_BY_FORMAT.get(kind, ".tif")
