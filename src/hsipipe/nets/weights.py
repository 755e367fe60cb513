"""Weights from a file, fitted to an encoder of another sensor, image size or token.

What depends on the image is resampled: positions by bicubic interpolation over the grid of tokens; the patch embedding
over space by the pseudo-inverse of bilinear resizing (L. Beyer et al., "FlexiViT: One Model for All Patch Sizes", CVPR
2023, section 3.4: an enlarged patch then gives the token of the small one), and over wavelength by `band_matrix`.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from hsipipe.errors import UserError
from hsipipe.nets.band_matrix import band_matrix

if TYPE_CHECKING:
    from hsipipe.nets.vit import Encoder

# What other programs put before the names of the transformer's parameters, in any combination.
PREFIXES = ("module.", "model.", "encoder.", "vit.")
SAME_NM = 0.1  # centres that differ by less are the same band
KERNEL, POSITIONS = "patch_embed.proj.weight", "pos_embed"


@dataclass(frozen=True)
class WeightsReport:
    """What became of the tensors of a file; names are those of the encoder, `unexpected` those of the file.

    Attributes:
        matched: taken over, resampled or not.
        missing: not in the file; they keep the encoder's random values.
        unexpected: in the file, and not of this encoder (a decoder, a classifier).
        mismatched: in the file with a shape that cannot be resampled: name, shape in the file, shape needed.
        notes: what was resampled and how, in words.
    """

    matched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [f"{len(self.matched)} of {len(self.matched) + len(self.missing) + len(self.mismatched)} tensors taken"]
        parts += self.notes
        shapes = [f"{name} {list(found)} for {list(needed)}" for name, found, needed in self.mismatched]
        for what, names in (("missing", self.missing), ("of another shape", shapes), ("not used", self.unexpected)):
            if names:
                more = f" and {len(names) - 4} more" if len(names) > 4 else ""
                parts.append(f"{what}: {', '.join(names[:4])}{more}")
        return "; ".join(parts)


def read_weights(path: str | Path) -> dict[str, Any]:
    """Read a state dictionary from a file, without executing anything in it.

    Args:
        path: a model.pt of this program; a file of `torch.save` that holds tensors by name, alone or under `model` or
            `state_dict`; or a .safetensors file.

    Returns:
        `state`: tensors by name, on the CPU; `wavelength_nm`: (bands,) float64 array of the sensor, None if not known.

    Raises:
        UserError: no such file, one that is not weights, or one with Python objects in it.
    """
    path = Path(path)
    remedy = "give weights as saved by torch.save(network.state_dict(), ...), or a .safetensors file"
    if not path.is_file():
        raise UserError("no such file", file=path, remedy="give a file of weights")
    if path.suffix == ".safetensors":
        return {"state": _read_safetensors(path), "wavelength_nm": None}
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError("holds Python objects, or is no file of weights", file=path, remedy=remedy) from error
    except Exception as error:  # torch raises nearly anything for a file that it did not write
        found = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError("is not a file of weights", file=path, found=found, remedy=remedy) from error
    found = type(content).__name__
    content = content if isinstance(content, dict) else {}
    if "format" in content and "model_state" in content:
        from hsipipe.training.model_file import load_model

        model = load_model(path)
        return {"state": model["model_state"], "wavelength_nm": model["wavelength_nm"]}
    wavelength_nm = content.get("wavelength_nm")
    for key in ("model", "state_dict"):
        if isinstance(content.get(key), dict):
            content = content[key]
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not state:
        raise UserError("holds no tensors by name", file=path, found=found, remedy=remedy)
    return {
        "state": state,
        "wavelength_nm": None if wavelength_nm is None else np.asarray(wavelength_nm, np.float64),
    }


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise UserError(
            "needs the package safetensors", file=path, remedy="install it, or convert the file to one of torch.save"
        ) from error
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError("is not a safetensors file", file=path, found=str(error)) from error


def adapt_weights(
    state: Mapping[str, Tensor],
    encoder: Encoder,
    *,
    source_nm: Sequence[float] | np.ndarray | None = None,
    target_nm: Sequence[float] | np.ndarray | None = None,
) -> tuple[dict[str, Tensor], WeightsReport]:
    """Fit a state dictionary to an encoder.

    Args:
        state: tensors by name: timm's names or those of the masked autoencoder's authors (the same), with any of
            PREFIXES before them.
        encoder: what the weights are for; left as it is.
        source_nm: (bands,) wavelengths of the state's sensor, nm, in the order of its bands.
        target_nm: (bands,) those of the encoder's.

    Returns:
        What `encoder.load_state_dict(..., strict=False)` takes, and the report.

    Raises:
        UserError: nothing of a transformer in the state, another width or depth, or one name twice.
    """
    target = {name.removeprefix("vit."): value for name, value in encoder.state_dict().items()}
    found: dict[str, Tensor] = {}
    report = WeightsReport()
    for name, value in state.items():
        bare = _bare(name)
        if bare in found:
            raise UserError("the weights hold it twice", key=bare, remedy="give the state of one network")
        if bare in target:
            found[bare] = value
        else:
            report.unexpected.append(name)
    if not any(name.startswith("blocks.") for name in found):
        some = ", ".join(list(state)[:4])
        raise UserError(
            "the weights are not of a vision transformer", found=some, remedy="give weights with timm's names"
        )
    _compare_sizes(found, state, encoder)
    adapted = {}
    for name, needed in target.items():
        if name not in found:
            report.missing.append(f"vit.{name}")
            continue
        value = found[name].detach().to("cpu")
        value = value.to(needed.dtype) if value.is_floating_point() else value
        if name == POSITIONS:
            value = _adapt_positions(value, needed, encoder.grid, report)
        elif name == KERNEL:
            value = _adapt_kernel(value, needed, source_nm, target_nm, report)
        if value.shape == needed.shape and value.dtype == needed.dtype:
            adapted[f"vit.{name}"] = value
            report.matched.append(f"vit.{name}")
        else:
            report.mismatched.append((f"vit.{name}", tuple(found[name].shape), tuple(needed.shape)))
    return adapted, report


def _bare(name: str) -> str:
    while prefix := next((prefix for prefix in PREFIXES if name.startswith(prefix)), None):
        name = name.removeprefix(prefix)
    return name


def _compare_sizes(found: Mapping[str, Tensor], state: Mapping[str, Tensor], encoder: Encoder) -> None:
    """Refuse another width or depth: nothing sensible turns one into the other."""
    numbers = [int(match[1]) for name in state if (match := re.match(r"blocks\.(\d+)\.", _bare(name)))]
    vectors = [value for name, value in found.items() if name.endswith("norm1.weight") or name == "cls_token"]
    has = {"width": vectors[0].shape[-1] if vectors else encoder.width, "blocks": max(numbers) + 1}
    needed = {"width": encoder.width, "blocks": len(encoder.vit.blocks)}
    if has != needed:
        raise UserError(
            f"the weights are of a transformer of width {has['width']} with {has['blocks']} blocks",
            key="preset",
            found=f"an encoder of width {needed['width']} with {needed['blocks']} blocks",
            remedy="choose the preset of the weights",
        )


def _adapt_positions(value: Tensor, needed: Tensor, grid: int, report: WeightsReport) -> Tensor:
    if value.ndim != 3 or value.shape == needed.shape:
        return value
    side = math.isqrt(value.shape[1] - 1)
    if side**2 != value.shape[1] - 1:
        return value
    # It imports timm, which takes seconds; reading weights does without.
    from hsipipe.nets.vit import resize_positions

    report.notes.append(f"positions interpolated from {side} x {side} to {grid} x {grid} tokens")
    return resize_positions(value, (grid, grid), (side, side))


def _adapt_kernel(
    value: Tensor,
    needed: Tensor,
    source_nm: Sequence[float] | np.ndarray | None,
    target_nm: Sequence[float] | np.ndarray | None,
    report: WeightsReport,
) -> Tensor:
    if value.ndim != 4:
        return value
    if value.shape[-2:] != needed.shape[-2:]:
        from timm.layers.patch_embed import resample_patch_embed

        report.notes.append(
            f"patch embedding resampled from {value.shape[-1]} to {needed.shape[-1]} pixels by the pseudo-inverse of "
            "bilinear resizing"
        )
        value = resample_patch_embed(value, list(needed.shape[-2:]), interpolation="bilinear", antialias=False)
    source, target = value.shape[1], needed.shape[1]
    first, second = (None if centres is None else np.asarray(centres, np.float64) for centres in (source_nm, target_nm))
    if first is not None and second is not None and (len(first), len(second)) == (source, target):
        if source == target and np.allclose(first, second, atol=SAME_NM):
            return value
        matrix = torch.from_numpy(band_matrix(first, second))
        report.notes.append(
            f"patch embedding interpolated over wavelength from {source} bands of {first.min():.0f} to "
            f"{first.max():.0f} nm to {target} bands of {second.min():.0f} to {second.max():.0f} nm"
        )
    elif source != target:
        matrix = torch.full((source, target), 1 / target, dtype=torch.float64)
        report.notes.append(
            f"patch embedding of {source} bands averaged and repeated for {target}, because wavelengths are not known"
        )
    else:
        return value
    return torch.einsum("dsij,st->dtij", value.double(), matrix).to(value.dtype)
