"""Pictures of an image and of its spectra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.report.style import composite, rgb_bands, start_figure
from hsipipe.scenes.scene import Item

GAP = np.array([0.79, 0.86, 0.94])  # pale blue, where nothing was measured


def draw_cube(item: Item, bands: Sequence[int] | None = None) -> Any:
    """Three bands as a picture, each from its 1st to its 99th percentile over valid pixels.

    Args:
        item: at least one valid pixel.
        bands: three of its bands, or one for a grey picture; None: those nearest to red, green and blue.

    Raises:
        UserError: another number of bands, or bands that it does not have.
    """
    count = len(item.cube)
    chosen = _shown_bands(item) if bands is None else [int(band) for band in bands]
    if len(chosen) not in (1, 3) or not all(0 <= band < count for band in chosen):
        raise UserError("a picture has one or three bands", key="bands", found=chosen, remedy=f"from 0 to {count - 1}")
    shown = np.repeat(item.cube[chosen].astype(np.float32), 3 // len(chosen), axis=0)
    low, high = np.percentile(shown[:, item.valid], (1, 99), axis=1)[..., None, None]
    picture = composite(shown, (low, np.maximum(high, low + 1e-12)))
    picture[~item.valid] = GAP
    rows, cols = item.valid.shape
    figure, axes = start_figure(6, float(np.clip(6 * rows / cols, 2.5, 9)))
    transform = item.source.get("transform")
    if transform is not None and transform[1] == transform[3] == 0:
        left, top = transform[2], transform[5]
        axes.imshow(picture, extent=(left, left + transform[0] * cols, top + transform[4] * rows, top))
        axes.set(xlabel="x of the map", ylabel="y of the map")
        axes.ticklabel_format(style="plain", useOffset=False)
        axes.tick_params(axis="x", rotation=30)
    else:
        axes.imshow(picture)
        axes.set(xlabel="column", ylabel="row")
    axes.grid(visible=False)
    axes.set_title(f"{item.name}: {', '.join(_named(item, band) for band in chosen)}")
    return figure


def draw_spectra(item: Item, pixels: Sequence[tuple[int, int]] = ()) -> Any:
    """Spectra of pixels (row, column) over wavelength; without pixels the mean and the middle 90 % of all valid ones.

    Raises:
        UserError: a pixel outside the image.
    """
    rows, cols = item.valid.shape
    known = item.wavelength_nm
    # Sensors with two cameras have bands that overlap; bands without a measurement are gaps.
    order = np.arange(len(item.cube)) if known is None else np.argsort(known)
    x = order if known is None else known[order]
    dead = ~item.good_bands[order]
    figure, axes = start_figure(6.5, 3.6)

    def in_order(values: np.ndarray) -> np.ndarray:
        return np.where(dead, np.nan, values[order])

    for row, col in pixels:
        if not (0 <= row < rows and 0 <= col < cols):
            raise UserError("is outside the image", key="pixels", found=(row, col), remedy=f"it has {rows} x {cols}")
        axes.plot(x, in_order(item.cube[:, row, col]), label=f"row {row}, column {col}")
    if not pixels:
        spectra = item.cube[:, item.valid].astype(np.float32)
        low, high = (in_order(np.percentile(spectra, share, axis=1)) for share in (5, 95))
        axes.fill_between(x, low, high, alpha=0.25, linewidth=0, label="middle 90 % of the pixels")
        axes.plot(x, in_order(spectra.mean(axis=1)), label=f"mean of {spectra.shape[1]:,} pixels")
    axes.set(xlabel="band" if known is None else "wavelength (nm)", ylabel="value in the file's units", title=item.name)
    axes.legend()
    return figure


def _shown_bands(item: Item) -> list[int]:
    """Red, green and blue among the bands with measurements."""
    good = np.flatnonzero(item.good_bands)
    centres = None if item.wavelength_nm is None else item.wavelength_nm[good]
    return good[rgb_bands(len(good), centres)].tolist()


def _named(item: Item, band: int) -> str:
    return f"band {band}" if item.wavelength_nm is None else f"{item.wavelength_nm[band]:.0f} nm"
