"""Pictures of an image and of its spectra: the parts that notebooks, `hsipipe plot` and `hsipipe denoise` draw with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hsipipe.bands.sample import SPECTRA, sample_spectra
from hsipipe.errors import UserError
from hsipipe.report.figures.spectra import break_at_gaps, spread_pixels
from hsipipe.report.style import composite, rgb_bands, start_figure
from hsipipe.scenes.scene import Item

GAP = np.array([0.79, 0.86, 0.94])  # pale blue, where nothing was measured
PERCENTILES = (1, 99)
COLOURS_NM = {"true": (640.0, 550.0, 460.0), "infrared": (860.0, 650.0, 550.0), "shortwave": (2200.0, 1650.0, 860.0)}
"""Name of a choice of colours -> wavelengths of what is shown as red, green and blue."""
FARTHEST_NM = 60.0  # a band that is farther from a colour than this does not show it
PIXELS = 3  # whose spectra are shown where none are named


def draw_cube(item: Item, bands: Sequence[int] | None = None) -> Any:
    """Three bands as a picture, each from its 1st to its 99th percentile over valid pixels.

    Args:
        item: at least one valid pixel.
        bands: three of its bands, or one for a grey picture; None: those nearest to red, green and blue.

    Raises:
        UserError: another number of bands, or bands that it does not have.
    """
    rows, cols = item.valid.shape
    figure, axes = start_figure(6, float(np.clip(6 * rows / cols, 2.5, 9)))
    chosen = check_bands(item, bands)
    show_cube(axes, item, chosen)
    axes.set_title(f"{item.name}: {bands_told(item, chosen)}\n{stretch_told(item)}")
    return figure


def draw_spectra(item: Item, pixels: Sequence[tuple[int, int]] = ()) -> Any:
    """Spectra of pixels (row, column) over wavelength; without pixels the mean and the middle 90 % of all valid ones.

    Raises:
        UserError: a pixel outside the image.
    """
    figure, axes = start_figure(6.5, 3.6)
    show_spectra(axes, item, pixels)
    axes.set_title(item.name)
    return figure


def draw_overview(item: Item, bands: Sequence[int] | None = None, pixels: Sequence[tuple[int, int]] = ()) -> Any:
    """The picture of an image, and beside it the spectra of some pixels, which are marked in the picture.

    An image of one band has no spectra: its picture stands alone.

    Args:
        item, bands: as in `draw_cube`.
        pixels: (row, column); without any, three whose spectra differ most.

    Raises:
        UserError: as `draw_cube` and `draw_spectra`.
    """
    if len(item.cube) == 1:
        return draw_cube(item, bands)
    chosen = check_bands(item, bands)
    shown = list(pixels) or unlike_pixels(item, PIXELS)
    rows, cols = item.valid.shape
    height = float(np.clip(5.4 * rows / cols, 3.4, 8))
    figure, (left, right) = start_figure(13, height, ncols=2, width_ratios=(1, 1.15))
    show_cube(left, item, chosen)
    left.set_title(f"{bands_told(item, chosen)}\n{stretch_told(item)}")
    show_spectra(right, item, shown)
    right.set_title("spectra of the marked pixels")
    to_map = _to_map(item)
    for line, (row, col) in zip(right.lines, shown, strict=False):
        x, y = to_map(row, col)
        left.plot(x, y, "o", markersize=9, markerfacecolor="none", markeredgecolor="white", markeredgewidth=3.2)
        left.plot(
            x, y, "o", markersize=9, markerfacecolor="none", markeredgecolor=line.get_color(), markeredgewidth=1.8
        )
    bands_count = len(item.cube)
    figure.suptitle(f"{item.name}: {rows:,} x {cols:,} pixels, {bands_count} bands", fontsize=11)
    return figure


def colour_bands(item: Item, colours: str) -> list[int]:
    """The three bands nearest to what a choice of `COLOURS_NM` names, among those with measurements.

    Raises:
        UserError: unknown wavelengths, or none near enough.
    """
    origin = item.source.get("path", item.name)
    if item.wavelength_nm is None:
        remedy = "name three bands with --bands"
        raise UserError("tells no wavelengths", file=origin, key="--colours", found=colours, remedy=remedy)
    chosen = nearest_bands(item, COLOURS_NM[colours])
    for band, wanted in zip(chosen, COLOURS_NM[colours], strict=True):
        if abs(item.wavelength_nm[band] - wanted) > FARTHEST_NM:
            raise UserError(
                f"has no band near {wanted:g} nm",
                file=origin,
                key="--colours",
                found=f"{item.wavelength_nm[band]:g} nm is the nearest",
                remedy="choose other colours, or name bands with --bands",
            )
    return chosen


def nearest_bands(item: Item, wanted_nm: Sequence[float]) -> list[int]:
    """The bands with measurements nearest to wavelengths; the item must tell its own."""
    good = np.flatnonzero(item.good_bands)
    assert item.wavelength_nm is not None
    centres = item.wavelength_nm[good]
    return [int(good[np.abs(centres - wanted).argmin()]) for wanted in wanted_nm]


def check_bands(item: Item, bands: Sequence[int] | None) -> list[int]:
    """Three bands or one to be shown; None: red, green and blue, or three spread evenly; one of fewer than three.

    Raises:
        UserError: another number of bands, or bands that it does not have.
    """
    count = len(item.cube)
    if bands is None:
        good = np.flatnonzero(item.good_bands)
        if len(good) < 3:
            return [int(good[0]) if len(good) else 0]
        centres = None if item.wavelength_nm is None else item.wavelength_nm[good]
        return good[rgb_bands(len(good), centres)].tolist()
    chosen = [int(band) for band in bands]
    if len(chosen) not in (1, 3) or not all(0 <= band < count for band in chosen):
        raise UserError("a picture has one or three bands", key="bands", found=chosen, remedy=f"from 0 to {count - 1}")
    return chosen


def limits_of(item: Item, bands: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value shown of each band, (bands, 1, 1): its percentiles over valid pixels.

    Raises:
        UserError: no valid pixel.
    """
    if not item.valid.any():
        raise UserError("has no valid pixel to show", file=item.source.get("path"))
    values = item.cube[list(bands)][:, item.valid].astype(np.float32)
    low, high = np.nanpercentile(values, PERCENTILES, axis=1)[..., None, None]
    return low, np.maximum(high, low + 1e-12)


def show_cube(axes: Any, item: Item, bands: Sequence[int], limits: tuple[np.ndarray, np.ndarray] | None = None) -> None:
    """Show one band in greys with a scale of values, or three as colours, on axes in the units of the map or in pixels.

    Args:
        axes: of Matplotlib.
        item: the image.
        bands: from `check_bands`.
        limits: from `limits_of`, of this image or of another that it is compared with; None: its own.
    """
    low, high = limits_of(item, bands) if limits is None else limits
    rows, cols = item.valid.shape
    given: dict[str, Any] = {"interpolation": "nearest"}
    transform = item.source.get("transform")
    if transform is not None and transform[1] == transform[3] == 0:
        left, top = transform[2], transform[5]
        given["extent"] = (left, left + transform[0] * cols, top + transform[4] * rows, top)
        unit = _map_unit(item)
        axes.set(xlabel=f"x of the map{unit}", ylabel=f"y of the map{unit}")
        axes.ticklabel_format(style="plain", useOffset=False)
        axes.tick_params(axis="x", rotation=30)
    else:
        axes.set(xlabel="column", ylabel="row")
    if len(bands) == 1:
        values = np.where(item.valid, item.cube[bands[0]].astype(np.float32), np.nan)
        axes.set_facecolor(GAP)
        drawn = axes.imshow(values, cmap="gray", vmin=low.item(), vmax=high.item(), **given)
        axes.figure.colorbar(drawn, ax=axes, shrink=0.8, extend="both", label=value_label(item))
    else:
        picture = composite(item.cube[list(bands)].astype(np.float32), (low, high))
        picture[~item.valid] = GAP
        axes.imshow(np.nan_to_num(picture), **given)
    axes.grid(visible=False)


def show_spectra(axes: Any, item: Item, pixels: Sequence[tuple[int, int]] = (), **style: Any) -> None:
    """Draw spectra of pixels (row, column) over wavelength; without pixels the mean, and where the middle 90 % lie.

    Bands without a measurement, and steps over missing bands, are gaps.

    Raises:
        UserError: a pixel outside the image.
    """
    rows, cols = item.valid.shape
    # Sensors with two cameras have bands that overlap: drawn in the order of their wavelengths.
    x, order = break_at_gaps(item.wavelength_nm, len(item.cube))
    dead = (order < 0) | ~item.good_bands[order]

    def in_order(values: np.ndarray) -> np.ndarray:
        return np.where(dead, np.nan, values[order].astype(np.float64))

    for row, col in pixels:
        if not (0 <= row < rows and 0 <= col < cols):
            raise UserError("is outside the image", key="pixels", found=(row, col), remedy=f"it has {rows} x {cols}")
        axes.plot(x, in_order(item.cube[:, row, col]), **{"label": f"row {row}, column {col}", **style})
    if not pixels:
        spectra = sample_spectra(item.cube, item.valid, SPECTRA, "spectra", 0, item.name)
        low, high = (in_order(np.percentile(spectra, share, axis=0)) for share in (5, 95))
        axes.fill_between(x, low, high, alpha=0.25, linewidth=0, label="middle 90 % of the pixels")
        count = "" if len(spectra) == item.valid.sum() else f" (a sample of {item.valid.sum():,})"
        axes.plot(x, in_order(spectra.mean(axis=0)), label=f"mean of {len(spectra):,} pixels{count}")
    axes.set(xlabel="band" if item.wavelength_nm is None else "wavelength (nm)", ylabel=value_label(item))
    axes.legend()


def unlike_pixels(item: Item, count: int) -> list[tuple[int, int]]:
    """Valid pixels (row, column) whose spectra differ most, of at most `SPECTRA` that are looked at."""
    where = np.argwhere(item.valid)
    where = where[:: max(1, len(where) // SPECTRA)]
    spectra = item.cube[item.good_bands][:, where[:, 0], where[:, 1]].astype(np.float32)
    taken = spread_pixels(spectra[:, None], np.ones((1, len(where)), bool), count)
    return [(int(where[index][0]), int(where[index][1])) for _, index in taken]


def value_label(item: Item) -> str:
    """What the values are called on an axis."""
    scale = item.source.get("scale")
    told = isinstance(scale, (int, float)) and scale not in (0, 1)
    return f"value (times {scale:g} is physical)" if told else "value in the file's units"


def bands_told(item: Item, bands: Sequence[int]) -> str:
    """The bands of a picture, in the order of red, green and blue."""
    names = [f"band {band}" if item.wavelength_nm is None else f"{item.wavelength_nm[band]:.0f} nm" for band in bands]
    return names[0] if len(names) == 1 else "red {}, green {}, blue {}".format(*names)


def stretch_told(item: Item) -> str:
    """How values became brightness, and what the gaps are."""
    gaps = "" if item.valid.all() else "; pale blue: no data"
    return f"brightness from the {PERCENTILES[0]}st to the {PERCENTILES[1]}th percentile{gaps}"


def _to_map(item: Item) -> Any:
    """A function from row and column to where the middle of that pixel is drawn."""
    transform = item.source.get("transform")
    if transform is not None and transform[1] == transform[3] == 0:
        return lambda row, col: (
            transform[2] + transform[0] * (col + 0.5),
            transform[5] + transform[4] * (row + 0.5),
        )
    return lambda row, col: (col, row)


def _map_unit(item: Item) -> str:
    """` (metre)` or what the coordinates are in; nothing where the file does not tell."""
    crs = item.source.get("crs")
    if not crs:
        return ""
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        known = CRS.from_wkt(crs, morph_from_esri_dialect="AUTHORITY" not in crs)
    except CRSError:
        return ""
    unit = "degrees" if known.is_geographic else known.linear_units
    return f" ({unit})" if unit and unit != "unknown" else ""
