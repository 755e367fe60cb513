"""One look for all figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.files import atomic_path
from hsipipe.report.theme import DEEP, WHITEGRID

# After M. Okabe and K. Ito's palette for all eyes (Color universal design, 2008), darkened to stand out from white.
KIND_COLOURS = {
    "control": "#5f6b78",
    "direct": "#0072b2",
    "per-scene": "#a4478a",
    "trained": "#b84f00",
    "encoder": "#b84f00",
    "oracle": "#00785a",
}
RGB_NM = (640.0, 550.0, 460.0)


def start_figure(width: float, height: float, **layout: Any) -> tuple[Any, Any]:
    """A Matplotlib figure and its axes in the house style, drawn without a display."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from cycler import cycler

    plt.rcParams.update({**WHITEGRID, "axes.prop_cycle": cycler(color=DEEP)})
    return plt.subplots(figsize=(width, height), constrained_layout=True, **layout)


def save_figure(figure: Any, outputs: Sequence[str | Path]) -> None:
    """Save a figure to one or more files, atomically, without a date, so that equal figures are equal bytes."""
    import matplotlib.pyplot as plt

    for output in outputs:
        with atomic_path(output) as temporary:
            # JPEG takes no metadata, and has none that changes from run to run.
            unsaid = {".svg": "Date", ".png": "Software", ".pdf": "CreationDate"}.get(Path(output).suffix.lower())
            figure.savefig(temporary, dpi=110, metadata={unsaid: None} if unsaid else None)
    plt.close(figure)


def rgb_bands(bands: int, wavelength_nm: np.ndarray | None) -> list[int]:
    """The bands nearest to 640, 550 and 460 nm; without wavelengths, or without the visible, three spread evenly."""
    if wavelength_nm is not None and wavelength_nm.min() < 500 and wavelength_nm.max() > 600:
        return [int(np.abs(wavelength_nm - centre).argmin()) for centre in RGB_NM]
    return [int(share * (bands - 1)) for share in (0.75, 0.5, 0.25)]


def stretch(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 1st and 99th percentile of each of three bands (3, rows, cols), for the same contrast in all pictures."""
    low, high = np.percentile(truth, (1, 99), axis=(1, 2))
    return low[:, None, None], np.maximum(high, low + 1e-6)[:, None, None]


def composite(bands: np.ndarray, limits: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """An RGB picture (rows, cols, 3) in [0, 1] of three bands (3, rows, cols)."""
    low, high = limits
    return np.clip((bands - low) / (high - low), 0, 1).transpose(1, 2, 0)
