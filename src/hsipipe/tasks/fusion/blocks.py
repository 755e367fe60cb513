"""A method applied to a pair, whole or block by block: the model is fitted on windows spread over the scene."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.methods import Method, methods_of
from hsipipe.scenes.scene import Window
from hsipipe.tasks.fusion.result import Fused

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Fuser:
    """A fusion method with its settings, for pairs in one scaling.

    Attributes:
        method, settings: complete settings.
        psf, srf, edge, wavelength_nm: as the methods take them.
        device: for methods that compute with torch.
    """

    method: Method
    settings: dict[str, Any]
    psf: np.ndarray | None
    srf: np.ndarray | None
    edge: str = "reflect"
    wavelength_nm: np.ndarray | None = None
    device: str = "cpu"

    def fuse(self, lr_hsi: np.ndarray, hr_msi: np.ndarray) -> Fused:
        """Fuse a whole pair: lr_hsi (C, h, w), hr_msi (m, H, W)."""
        fused = self.method.load().fuse(lr_hsi, hr_msi, **self._arguments)
        return fused if isinstance(fused, Fused) else Fused(np.asarray(fused))

    def fit(self, pairs: Sequence[Pair]) -> BlockModel:
        """Fit the method on windows of a scene, for use on its blocks.

        Raises:
            UserError: a method that works on whole images only.
        """
        module = self.method.load()
        if not hasattr(module, "fit") or not hasattr(module, "apply"):
            able = [name for name in methods_of(self.method.task) if _works_by_blocks(name)]
            raise UserError(
                f"method {self.method.name!r} works on whole images only",
                key="--block",
                remedy=f"leave --block out, crop the scene, or choose one of: {', '.join(able)}",
            )
        return BlockModel(module, module.fit(pairs, **self._arguments))

    @property
    def _arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "psf": self.psf,
            "srf": self.srf,
            "edge": self.edge,
            "wavelength_nm": self.wavelength_nm,
            **self.settings,
        }
        if self.method.backend == "torch":
            arguments["device"] = self.device
        if self.method.backend == "torch" or self.method.random:
            arguments["seed"] = 0
        return arguments


def _works_by_blocks(name: str) -> bool:
    from pathlib import Path

    import hsipipe.tasks.fusion.methods as package

    text = (Path(package.__path__[0]) / name / "model.py").read_text(encoding="utf-8")
    return "\ndef fit(" in text and "\ndef apply(" in text


@dataclass(frozen=True)
class BlockModel:
    """A fitted method: its module, and what the module's `fit` returned."""

    module: Any
    model: Any = field(repr=False)

    @property
    def halo(self) -> int:
        """LR pixels of context that a block needs on each side."""
        return int(self.module.halo(self.model))

    def apply(self, lr_hsi: np.ndarray, hr_msi: np.ndarray) -> np.ndarray:
        """The fused cube of a block: (C, H, W) float32."""
        return self.module.apply(self.model, lr_hsi, hr_msi)

    @property
    def found(self) -> Fused:
        """What the fit found, with an empty cube: endmembers, PSF and facts, as far as the model tells."""
        return Fused(
            np.empty((0, 0, 0), np.float32),
            endmembers=getattr(self.model, "endmembers", None),
            psf=getattr(self.model, "psf", None),
            found=dict(getattr(self.model, "found", None) or {}),
        )


def block_windows(rows: int, cols: int, side: int) -> Iterator[Window]:
    """Windows of `side` x `side` LR pixels that tile an image, row by row; those at the end are smaller."""
    for row in range(0, rows, side):
        for col in range(0, cols, side):
            yield row, min(row + side, rows), col, min(col + side, cols)


def widened(window: Window, halo: int, rows: int, cols: int) -> Window:
    """The window with `halo` LR pixels more on each side, as far as the image (rows, cols) reaches."""
    return (
        max(window[0] - halo, 0),
        min(window[1] + halo, rows),
        max(window[2] - halo, 0),
        min(window[3] + halo, cols),
    )


def inner(cube: np.ndarray, window: Window, wide: Window, ratio: int) -> np.ndarray:
    """The part (..., H, W) of a widened block that belongs to the window itself."""
    row, col = ratio * (window[0] - wide[0]), ratio * (window[2] - wide[2])
    return cube[..., row : row + ratio * (window[1] - window[0]), col : col + ratio * (window[3] - window[2])]


def sample_windows(rows: int, cols: int, *, side: int, most: int) -> list[Window]:
    """Up to `most` windows of `side` LR pixels, spread evenly over an image; the whole of it where it is small enough.

    Args:
        rows, cols: of the image.
        side: of a window; an image of at most most * side**2 pixels is taken whole.
        most: number of windows.
    """
    if rows * cols <= most * side**2:
        return [(0, rows, 0, cols)]
    height, width = min(side, rows), min(side, cols)
    down = max(1, min(rows // height, round(np.sqrt(most * rows / cols))))
    along = max(1, min(cols // width, most // down))
    first_rows = _spread(rows - height, down)
    first_cols = _spread(cols - width, along)
    return [(row, row + height, col, col + width) for row in first_rows for col in first_cols]


def _spread(room: int, count: int) -> list[int]:
    """`count` starts from 0 to `room`, evenly; the middle for a single one."""
    return [room // 2] if count == 1 else np.linspace(0, room, count).round().astype(int).tolist()
