"""`model.pt`: a trained model as tensors and plain values, written whole and read without running anything in it."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hsipipe.errors import UserError, unknown
from hsipipe.files import atomic_path

FORMAT = "hsipipe-model-1"
REQUIRED = ("model_state", "architecture", "settings", "normaliser", "wavelength_nm", "key", "history")


def save_model(
    path: str | Path,
    *,
    model_state: Mapping[str, Tensor],
    architecture: str,
    settings: Mapping[str, Any],
    normaliser: Mapping[str, Any] | None,
    wavelength_nm: Sequence[float] | np.ndarray | None,
    key: str,
    history: Sequence[Mapping[str, float]] = (),
    **more: Any,
) -> None:
    """Write a model file, atomically; equal models make equal files.

    Args:
        model_state: `state_dict` of the model; stored on the CPU.
        architecture: name of the method that builds the model.
        settings: what the method's `build` needs to make the same architecture, and how it was trained.
        normaliser: statistics fitted on the training part (arrays and plain values), or None.
        wavelength_nm: (bands,) wavelengths that the model was trained on, in nm, or None if they are not known.
        key: the key of the training.
        history: a row per epoch.
        more: further plain values, arrays or tensors: task, case, seed, code version.

    Raises:
        TypeError: a value that is neither a tensor, an array, nor plain (numbers, texts, lists, dictionaries, None).
    """
    content = {
        "format": FORMAT,
        # contiguous, because a view would drag the whole of its storage into the file
        "model_state": {name: value.detach().cpu().contiguous().clone() for name, value in model_state.items()},
        "architecture": architecture,
        "settings": _plain(settings, "settings"),
        "normaliser": _plain(normaliser, "normaliser"),
        "wavelength_nm": None if wavelength_nm is None else torch.tensor(np.asarray(wavelength_nm, np.float64)),
        "key": key,
        "history": _plain(list(history), "history"),
        **{name: _plain(value, name) for name, value in more.items()},
    }
    # Saved through a handle, the archive does not carry the (random) name of the temporary file.
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        torch.save(content, file)


def load_model(path: str | Path, *, architecture: str | None = None) -> dict[str, Any]:
    """Read a model file onto the CPU with `weights_only=True`: nothing in it is executed.

    Args:
        architecture: the method that the caller expects, or None for any.

    Returns:
        What `save_model` was given: `model_state` as tensors, other arrays as NumPy arrays (`wavelength_nm`: float64).

    Raises:
        UserError: no such file, another kind of file, one with Python objects in it, or another method's model.
    """
    if not Path(path).is_file():
        raise UserError("no such file", file=path, remedy="give a model.pt that `hsipipe train` wrote")
    remedy = "give a model.pt that `hsipipe train` wrote"
    if not zipfile.is_zipfile(path):
        raise UserError("is not a model file, or is cut off", file=path, remedy=remedy)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError("holds Python objects, which are never executed here", file=path, remedy=remedy) from error
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise UserError("is not a model file", file=path, found=str(error).splitlines()[0], remedy=remedy) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format", "no format entry") if isinstance(content, dict) else type(content).__name__
        raise UserError("is not a model file of this program", file=path, found=found, remedy=remedy)
    missing = [name for name in REQUIRED if name not in content]
    if missing:
        raise UserError("is not complete", file=path, found=f"without {', '.join(missing)}", remedy=remedy)
    if architecture is not None and content["architecture"] != architecture:
        raise unknown("architecture", str(content["architecture"]), [architecture], file=path)
    return {name: value if name == "model_state" else _arrays(value) for name, value in content.items()}


def _plain(value: Any, name: str) -> Any:
    """`value` as tensors and plain types, which is all that `weights_only=True` reads back."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        return value.detach().cpu().contiguous().clone()
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            return _plain(value.tolist(), name)
        return torch.from_numpy(np.array(value, copy=True))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(part): _plain(item, f"{name}.{part}") for part, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{name}[{index}]") for index, item in enumerate(value)]
    raise TypeError(f"{name} is {type(value).__name__}, which a model file cannot hold")


def _arrays(value: Any) -> Any:
    """The reverse of `_plain` for tensors: NumPy arrays, which need no torch to be used."""
    if isinstance(value, Tensor):
        return value.numpy()
    if isinstance(value, dict):
        return {name: _arrays(item) for name, item in value.items()}
    return [_arrays(item) for item in value] if isinstance(value, list) else value
