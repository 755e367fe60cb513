"""From a noisy file to a denoised one, with what was found: the noise of each band, and what was removed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.bands.sample import SPECTRA, sample_spectra
from hsipipe.progress import progress
from hsipipe.scenes.scene import Item
from hsipipe.tasks.denoising.apply import Denoiser, check_tile, denoise_item

FEW_BANDS = 10
MUCH = 5.0  # times the noise: stripes and the like may be removed besides

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """What denoising an item has found. All values are in the units of the file.

    Attributes:
        item: its name.
        shape: bands, rows, columns.
        seconds: that it took.
        wavelength_nm: (bands,) or None.
        noise: (bands,) standard deviation of the noise before, estimated by regression of each band on the others
            whatever the method is; NaN for bands without a measurement.
        signal: (bands,) root mean square of the values before; NaN as above.
        removed: (bands,) root mean square of what was taken out; NaN as above.
    """

    item: str
    shape: tuple[int, int, int]
    seconds: float
    wavelength_nm: np.ndarray | None
    noise: np.ndarray
    signal: np.ndarray
    removed: np.ndarray

    def report(self) -> dict[str, Any]:
        """The same for machines and for people: by band, and in one number each."""
        bands, rows, cols = self.shape
        with np.errstate(divide="ignore"):
            snr_db = 20 * np.log10(self.signal / self.noise)
        removed = float(np.sqrt(np.nanmean(self.removed**2)))
        return {
            "item": self.item,
            "rows": rows,
            "cols": cols,
            "bands": bands,
            "seconds": round(self.seconds, 3),
            "wavelength_nm": None if self.wavelength_nm is None else self.wavelength_nm.tolist(),
            "noise": {
                "median": float(np.nanmedian(self.noise)),
                "snr_db": float(np.nanmedian(snr_db)),
                "by_band": self.noise.tolist(),
            },
            "removed": {"rms": removed, "by_band": self.removed.tolist()},
        }


def denoise_file(
    source: str | Path,
    target: str | Path,
    denoiser: Denoiser,
    *,
    key: str | None = None,
    layout: str | None = None,
    table: bool = False,
    tile: int | None = None,
    figure: str | Path | None = None,
    title: str = "",
) -> list[Found]:
    """Denoise a file of any supported format into another; every item of a scene file, if the output is one too.

    Georeference, wavelengths, mask, scale, type and layout are kept.

    Args:
        source, key, layout, table: as in `open_image`.
        target: its extension says the format.
        denoiser, tile: as in `denoise_item`; the file itself is read whole.
        figure: .png, .svg or .pdf that shows before and after of the first item; None: none is drawn.
        title: of the figure, the method's.

    Returns:
        What was found in each item.

    Raises:
        UserError: an unreadable file, one with nothing to denoise, an output that cannot be, or tiles too small.
    """
    from hsipipe.scenes.transform import transform_file

    check_tile(tile)
    found: list[Found] = []

    def tiles(parts: list[Any]) -> Iterable[Any]:
        return progress(parts, "denoising", unit="tile", disable=len(parts) == 1)

    def denoise(item: Item) -> Item:
        start = time.perf_counter()
        clean = denoise_item(item, denoiser, tile=tile, each=tiles)
        seconds = time.perf_counter() - start
        found.append(describe(item, clean, seconds=seconds))
        if figure is not None and len(found) == 1:
            from hsipipe.notebook.before_after import draw_before_after
            from hsipipe.report.style import save_figure

            drawn = draw_before_after(item, clean, noise=found[0].noise, title=title)
            save_figure(drawn, [figure])
        return clean

    transform_file(source, target, denoise, key=key, layout=layout, table=table)
    return found


def describe(before: Item, after: Item, *, seconds: float = 0.0) -> Found:
    """The noise of an item, and what denoising took out of it."""
    good = before.good_bands
    spectra = sample_spectra(before.cube, before.valid, SPECTRA, "spectra", 0, before.name)[:, good]
    shape = before.cube.shape
    noise, signal, removed = (np.full(shape[0], np.nan) for _ in range(3))
    noise[good] = _noise_of(before, spectra)
    signal[good] = np.sqrt((spectra.astype(np.float64) ** 2).mean(axis=0))
    for band in np.flatnonzero(good):
        taken = before.cube[band][before.valid].astype(np.float64) - after.cube[band][before.valid]
        removed[band] = np.sqrt((taken**2).mean())
    bands, rows, cols = shape
    if bands < FEW_BANDS:
        log.warning(
            "%s has %d bands only: detail and noise can hardly be told apart by the spectrum", before.name, bands
        )
    elif np.nanmean(removed**2) > (MUCH * np.nanmean(noise)) ** 2:
        log.warning("%s: what was removed is far more than the noise found in it; look at the result", before.name)
    return Found(before.name, (bands, rows, cols), seconds, before.wavelength_nm, noise, signal, removed)


def _noise_of(item: Item, spectra: np.ndarray) -> np.ndarray:
    """(good bands,) standard deviation of the noise; `spectra` (N, good bands) are those of valid pixels."""
    import torch

    from hsipipe.tasks.denoising.shared.noise_estimate import noise_level

    pixels, bands = spectra.shape
    if bands >= 3 and pixels >= 2 * bands:  # regression, which asks not where a pixel lies
        cube = np.ascontiguousarray(spectra.T)[:, :, None]
    else:
        cube = item.cube[item.good_bands].astype(np.float32)
        cube = np.where(item.valid, cube, cube[:, item.valid].mean(axis=1)[:, None, None])
    return noise_level(torch.from_numpy(cube)[None])[0].numpy()
