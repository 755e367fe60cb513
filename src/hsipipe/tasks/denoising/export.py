"""Export a trained denoiser to a file that runs without this package: TorchScript, torch.export or ONNX.

The file holds one network in plain weights (adapters merged, 4-bit weights unpacked) that maps noisy (batch, bands,
rows, cols) float32, each band scaled to [0, 1], to the denoised image on that scale; and, as JSON under the name
`hsipipe`, what must be known to feed it: bands, wavelengths, normalisation, and which sizes are free.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsipipe import __version__
from hsipipe.errors import UserError, unknown
from hsipipe.files import atomic_path

if TYPE_CHECKING:
    from torch import Tensor, nn

log = logging.getLogger(__name__)

TORCHSCRIPT, TORCH_EXPORT, ONNX = "TorchScript", "torch.export", "ONNX"
FORMATS = {".pt": TORCHSCRIPT, ".torchscript": TORCHSCRIPT, ".pt2": TORCH_EXPORT, ".onnx": ONNX}
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
AXES = ("batch", "bands", "rows", "cols")
SIDE = 32  # pixels; of the example, where the network leaves it open
STEPS = (1, 2, 4, 8, 16)  # of which free sizes may have to be multiples
TOLERANCE = 1e-4  # of images in [0, 1]; rounding alone stays a hundred times below
ENTRY = "hsipipe.json"  # in the archives of torch; ONNX has a property of the name without its extension

_NORMALISATION = {"band-minmax": "each band of an image, from its smallest valid value to its largest, to [0, 1]"}

Apply = Callable[["Tensor"], "Tensor"]


@dataclass(frozen=True)
class Exported:
    """An export that passed its check.

    Attributes:
        path, kind, size_bytes: the file, its format (`FORMATS`) and its size.
        difference: largest absolute difference from the trained network's output, on images in [0, 1].
        description: what the file says of itself; see `describe`.
    """

    path: Path
    kind: str
    size_bytes: int
    difference: float
    description: dict[str, Any]


def export_model(model: str | Path, output: str | Path, *, size: int | None = None) -> Exported:
    """Export a model file, and check the result against the trained network on random images of several sizes.

    Args:
        model: what `hsipipe train` wrote.
        output: ends in .pt or .torchscript (TorchScript), .pt2 (torch.export) or .onnx.
        size: side of the images that the network is exported with, pixels; only where no size is free does it matter.
            None: the network's own, or 32.

    Raises:
        UserError: another ending, the model itself as output, a model that is no denoiser, a size that it does not
            take, or ONNX without its packages.
        RuntimeError: torch cannot export this network so, or the result differs by more than 1e-4; no file is left.
    """
    import torch

    from hsipipe.tasks.denoising.trained import load_denoiser, read_method

    kind = _kind_of(output)
    if Path(output).exists() and Path(output).samefile(model):
        raise UserError("is the trained model itself", file=output, remedy="give the export another name")
    method, _ = read_method(model)
    if method.kind == "encoder":
        raise UserError("is an encoder, which denoises nothing", file=model, remedy="export a model that was given it")
    trained = load_denoiser(model)
    if getattr(trained.network, "whole_image", False):
        raise UserError(
            f"{method.name} fits what it computes to each image, which no exported graph does",
            file=model,
            remedy="use `hsipipe denoise --model`, or export another network",
        )
    merged: Callable[[], nn.Module] | None = getattr(trained.network, "merged", None)
    network = trained.network if merged is None else merged()
    network = network.eval().requires_grad_(False)
    example = _example(network, trained.content["bands"], size)
    candidates = _candidates(network)
    with atomic_path(output) as temporary, _quietly(), torch.no_grad():
        try:
            write, free = _write_and_try(temporary, kind, network, trained.network, example, candidates)
            if "batch" not in free:  # then of one image, not of the example's two
                example, candidates = example[:1], [axis for axis in candidates if axis != "batch"]
                write, free = _write_and_try(temporary, kind, network, trained.network, example, candidates)
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise RuntimeError(f"{output}: torch cannot export {method.name} to {kind}: {reason}") from error
        description = _describe(trained.content, network, example, free)
        write(temporary, json.dumps(description))
        difference = _largest_difference(_open(temporary, kind), trained.network, example, free)
        if not difference <= TOLERANCE:
            raise RuntimeError(
                f"{output}: the exported network differs from the trained one by {difference:.1e} on random images; "
                "no file was kept"
            )
        size_bytes = temporary.stat().st_size
    return Exported(Path(output), kind, size_bytes, difference, description)


def open_exported(path: str | Path) -> Apply:
    """An exported network as a function of a batch (B, C, H, W) float32, on the CPU."""
    with _quietly():
        return _open(Path(path), _kind_of(path))


def describe(path: str | Path) -> dict[str, Any]:
    """What an exported file says of itself.

    Returns:
        `architecture`, `bands`, `wavelength_nm` (a list, or None), `tile` (the only side of images that it takes, or
        None), `range`, `normalisation`, `axes`, `free` (axes of any size, each with the number that it must be a
        multiple of) and `fixed` (sizes of the others).
    """
    import torch

    kind = _kind_of(path)
    if kind == ONNX:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return json.loads(session.get_modelmeta().custom_metadata_map[Path(ENTRY).stem])
    entries: dict[str, Any] = {ENTRY: ""}
    with _quietly():
        if kind == TORCHSCRIPT:
            torch.jit.load(str(path), map_location="cpu", _extra_files=entries)
        else:
            torch.export.load(str(path), extra_files=entries)
    return json.loads(entries[ENTRY])


def _kind_of(path: str | Path) -> str:
    """The format by the file's ending, if what it needs is installed."""
    kind = FORMATS.get(Path(path).suffix.lower())
    if kind is None:
        raise unknown("format of exports", Path(path).suffix, FORMATS, file=path)
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None] if kind == ONNX else []
    if missing:
        raise UserError(
            f"ONNX needs {', '.join(missing)}", file=path, remedy='pip install "hsipipe[export]", or export to .pt'
        )
    return kind


def _example(network: nn.Module, trained_bands: int, size: int | None) -> Tensor:
    """Two random images in [0, 1] of the size to export with."""
    import torch

    tile = getattr(network, "tile", None)
    if size is not None and (size < 1 or (tile is not None and size != tile)):
        needed = "at least 1" if tile is None else f"{tile}, the side of image that this network takes"
        raise UserError(f"must be {needed}", key="size", found=size)
    side = tile or size or SIDE
    bands = getattr(network, "bands", None) or trained_bands
    # Two, because torch.export takes an axis of one for a constant.
    return torch.rand(2, bands, side, side, generator=torch.Generator().manual_seed(0))


def _candidates(network: nn.Module) -> list[str]:
    """Axes whose sizes the network itself leaves open."""
    candidates = ["batch"]
    if getattr(network, "bands", None) is None:
        candidates.append("bands")
    if getattr(network, "tile", None) is None:
        candidates += ["rows", "cols"]
    return candidates


def _write_and_try(
    path: Path, kind: str, network: nn.Module, trained: nn.Module, example: Tensor, candidates: list[str]
) -> tuple[Callable[[Path, str], None], dict[str, int]]:
    """A function that writes the export with a given description, and which of the candidate axes are free in it.

    Which sizes are free shows only in what was written; so it is written, tried, and later written with the answer.
    """
    write = _WRITERS[kind](network, example, candidates)
    write(path, "{}")
    return write, _free_axes(_open(path, kind), trained, example, candidates)


def _to_torchscript(network: nn.Module, example: Tensor, candidates: list[str]) -> Callable[[Path, str], None]:
    import torch

    del candidates  # a trace records what was computed from sizes, and loops with the number of turns they took
    traced = torch.jit.trace(network, (example,), check_trace=False)
    return lambda path, description: torch.jit.save(traced, str(path), _extra_files={ENTRY: description})


def _to_torch_export(network: nn.Module, example: Tensor, candidates: list[str]) -> Callable[[Path, str], None]:
    import torch

    program = torch.export.export(network, (example,), dynamic_shapes=(_dynamic(candidates),))
    return lambda path, description: torch.export.save(program, str(path), extra_files={ENTRY: description})


def _to_onnx(network: nn.Module, example: Tensor, candidates: list[str]) -> Callable[[Path, str], None]:
    import torch

    program = torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        verbose=False,
        input_names=["noisy"],
        output_names=["denoised"],
        dynamic_shapes=(_dynamic(candidates),),
    )
    assert program is not None

    def write(path: Path, description: str) -> None:
        program.model.metadata_props[Path(ENTRY).stem] = description
        program.save(str(path))

    return write


_WRITERS = {TORCHSCRIPT: _to_torchscript, TORCH_EXPORT: _to_torch_export, ONNX: _to_onnx}


def _dynamic(candidates: list[str]) -> dict[int, Any]:
    """Let torch.export keep these axes free where the network's own code does, and fix them elsewhere."""
    from torch.export import Dim

    return {AXES.index(axis): Dim.AUTO for axis in candidates}


def _open(path: Path, kind: str) -> Apply:
    import torch

    if kind == TORCHSCRIPT:
        return torch.jit.load(str(path), map_location="cpu")
    if kind == TORCH_EXPORT:
        return torch.export.load(str(path)).module()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # it would print every size that is tried and refused
    # From memory: the session then holds no file that is to be renamed.
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    return lambda noisy: torch.from_numpy(session.run(None, {"noisy": noisy.numpy()})[0])


def _resized(example: Tensor, axis: str, more: int) -> Tensor:
    """Random images of the example's shape, but `more` along one axis."""
    import torch

    shape = list(example.shape)
    shape[AXES.index(axis)] += more
    return torch.rand(shape, generator=torch.Generator().manual_seed(more))


def _free_axes(exported: Apply, network: nn.Module, example: Tensor, candidates: list[str]) -> dict[str, int]:
    """Those of the candidates along which the export does what the network does for other sizes.

    Each with the number that its size must be a multiple of: what is exported from an even image may rest on that.
    """
    free = {}
    for axis in candidates:
        for step in STEPS if axis in ("rows", "cols") else STEPS[:1]:
            try:
                difference = _difference(exported, network, _resized(example, axis, step))
            except Exception as error:  # each runtime has an error of its own for a size that it does not take
                log.debug("no %s + %d: %s", axis, step, error)
                continue
            if difference <= TOLERANCE:
                free[axis] = step
                break
    return free


def _largest_difference(exported: Apply, network: nn.Module, example: Tensor, free: dict[str, int]) -> float:
    """Over the example, another image of its size, and two other sizes along every free axis."""
    others = [example.square()]  # of other values: shows what a trace took for constant
    others += [_resized(example, axis, many * step) for axis, step in free.items() for many in (1, 5)]
    return max(_difference(exported, network, noisy) for noisy in (example, *others))


def _difference(exported: Apply, network: nn.Module, noisy: Tensor) -> float:
    """Largest absolute difference of the outputs; infinite where their shapes differ or a value is not finite."""
    result, expected = exported(noisy), network(noisy)
    if result.shape != expected.shape:
        return float("inf")
    difference = float((result - expected).abs().max())
    return difference if math.isfinite(difference) else float("inf")


def _describe(content: dict[str, Any], network: nn.Module, example: Tensor, free: dict[str, int]) -> dict[str, Any]:
    wavelength_nm = content.get("wavelength_nm")
    normaliser = content.get("normaliser") or {}
    name = normaliser.get("name")
    return {
        "format": "hsipipe-export-1",
        "hsipipe": __version__,
        "task": "denoising",
        "architecture": content["architecture"],
        "key": content["key"],
        "input": "noisy",
        "output": "denoised",
        "dtype": "float32",
        "axes": list(AXES),
        "free": free,
        "fixed": {axis: length for axis, length in zip(AXES, example.shape, strict=True) if axis not in free},
        "bands": example.shape[1],
        "tile": getattr(network, "tile", None),
        "wavelength_nm": None if wavelength_nm is None else [float(centre) for centre in wavelength_nm],
        "range": [0.0, 1.0],
        "normalisation": _NORMALISATION.get(str(name), name),
    }


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what torch says of its own internals while it exports: deprecation, guesses about sizes."""
    names = ("torch.export", "torch._export", "torch.onnx", "onnxscript", "onnx_ir")
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
