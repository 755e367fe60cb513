"""What verbs print for machines, and how they name their outputs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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


def print_json(value: Any) -> None:
    """Print strict JSON: numbers that are not finite become null."""
    print(json.dumps(_finite(value), allow_nan=False))


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
