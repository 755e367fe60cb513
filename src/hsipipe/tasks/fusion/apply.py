"""Apply any fusion method to a pair, whole or by blocks; the workflow and the command line both come through here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.methods import TASKS_FOLDER, Method, methods_of
from hsipipe.randomness import seed_for
from hsipipe.tasks.fusion.result import Fused


@dataclass(frozen=True)
class Fuser:
    """A fusion method with its settings, and what is known of a pair.

    Attributes:
        method, settings: which, with complete settings.
        psf, srf: (n, n) and (m, C), or None where they are not known.
        edge: what the blur met beyond the image: reflect or zero.
        wavelength_nm: (C,) or None.
        device: for methods that compute with torch.
        seed, name: of the run and of the pair; they seed random methods.
    """

    method: Method
    settings: dict[str, Any]
    psf: np.ndarray | None
    srf: np.ndarray | None
    edge: str = "reflect"
    wavelength_nm: np.ndarray | None = None
    device: str = "cpu"
    seed: int = 0
    name: str = ""

    def fuse(self, lr_hsi: np.ndarray, hr_msi: np.ndarray, *, truth: np.ndarray | None = None) -> Fused:
        """Fuse a whole pair.

        Args:
            lr_hsi, hr_msi: (C, h, w) and (m, H, W) float32 in one scaling, about [0, 1].
            truth: (C, H, W), for an oracle.

        Raises:
            UserError: the method needs something that is not known, or cannot work on such a pair.
            ValueError: a result of another shape.
        """
        given = {"truth": truth} if self.method.kind == "oracle" else {}
        result = self.method.load().fuse(lr_hsi, hr_msi, **given, **self._arguments)
        fused = result if isinstance(result, Fused) else Fused(result)
        expected = (len(lr_hsi), *hr_msi.shape[1:])
        if fused.cube.shape != expected:
            raise ValueError(f"{self.method.name} returned a cube of {fused.cube.shape}, not {expected}")
        return fused

    def fit(self, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> BlockModel:
        """Fit the method on windows of a scene, for use on its blocks.

        Raises:
            UserError: a method that works on whole images only.
        """
        check_blocks(self.method)
        module = self.method.load()
        return BlockModel(module, module.fit(pairs, **self._arguments))

    @property
    def _arguments(self) -> dict[str, Any]:
        known: dict[str, Any] = {
            "psf": self.psf,
            "srf": self.srf,
            "edge": self.edge,
            "wavelength_nm": self.wavelength_nm,
        }
        if self.method.backend == "torch":
            known["device"] = self.device
        if self.method.random:
            known["seed"] = seed_for(self.seed, self.name)
        return {**known, **self.settings}


def check_blocks(method: Method, *, key: str | None = None, why: str | None = None) -> None:
    """Refuse a method that works on whole images only; told without importing it.

    Args:
        method: of the task `fusion`.
        key: the option by which blocks were asked for, if they were.
        why: why there must be blocks otherwise, as what was found.

    Raises:
        UserError: naming the methods that can.
    """
    if _works_by_blocks(method.name):
        return
    able = [name for name in methods_of(method.task) if _works_by_blocks(name)]
    raise UserError(
        f"method {method.name!r} works on whole images only",
        key=key,
        found=why,
        remedy=f"{f'leave {key} out' if key else 'crop the scene'}, or choose one of: {', '.join(able)}",
    )


def _works_by_blocks(name: str) -> bool:
    """Whether a method offers `fit` and `apply`; read from its text, without importing what it imports."""
    text = Path(TASKS_FOLDER, "fusion", "methods", name, "model.py").read_text(encoding="utf-8")
    return "\ndef fit(" in text and "\ndef apply(" in text


@dataclass(frozen=True)
class BlockModel:
    """A fitted method: its module, and what the module's `fit` returned."""

    module: ModuleType
    model: Any = field(repr=False)

    @property
    def halo(self) -> int:
        """Low-resolution pixels of context that a block needs on each side."""
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
