"""What a fusion found, as numbers and figures: endmembers, latent maps, PSF, response, and an overview."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.degrade.psf import psf_width
from hsipipe.degrade.response import Response
from hsipipe.errors import unknown
from hsipipe.files import atomic_path, write_text
from hsipipe.report.figures.spectra import break_at_gaps
from hsipipe.report.style import RGB_NM, composite, rgb_bands, save_figure, start_figure, stretch
from hsipipe.scenes.scene import Item, Window
from hsipipe.scenes.writers import write_image
from hsipipe.tasks.fusion.figures.mixing import plot_endmembers, plot_latents
from hsipipe.tasks.fusion.result import Fused

FIGURE_FORMATS = ("png", "jpg", "svg")
PICTURE_SIDE = 900  # pixels that pictures of the overview have at most
SPECTRA = 4
COLUMNS = 4
GAP_COLOUR = "#c9dcf0"  # pale blue, where nothing was measured


@dataclass
class Preview:
    """Pictures and a few spectra of a pair and its fused cube, gathered window by window.

    Args:
        shape: (C, H, W) of the fused cube.
        ratio: HR pixels per LR pixel.
        wavelength_nm: (C,) or None.
        response: (m, C), which tells what MSI bands show without wavelengths, or None.
    """

    shape: tuple[int, int, int]
    ratio: int
    wavelength_nm: np.ndarray | None = None
    response: np.ndarray | None = None
    places: list[tuple[int, int]] = field(default_factory=list)
    before: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    after: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bands, rows, cols = self.shape
        low_rows, low_cols = rows // self.ratio, cols // self.ratio
        self.step = max(1, -(-max(rows, cols) // PICTURE_SIDE))
        self.low_step = max(1, -(-max(low_rows, low_cols) // PICTURE_SIDE))
        self.msi_bands, self.bands = _shown_bands(bands, self.wavelength_nm, self.response)
        self.fused = np.full((3, -(-rows // self.step), -(-cols // self.step)), np.nan, np.float32)
        self.msi = np.full_like(self.fused, np.nan)
        self.hsi = np.full((3, -(-low_rows // self.low_step), -(-low_cols // self.low_step)), np.nan, np.float32)

    def choose_spectra(self, lr_hsi: np.ndarray, valid: np.ndarray, window: Window | None = None) -> None:
        """Choose LR pixels from dark to bright, of which spectra will be kept, in a window of the LR HSI (C, h, w)."""
        row, col = (window[0], window[2]) if window else (0, 0)
        index = np.flatnonzero(valid.ravel())
        if not len(index):
            return
        order = index[np.argsort(lr_hsi.mean(axis=0).ravel()[index], kind="stable")]
        for share in np.linspace(0.1, 0.95, SPECTRA):
            down, along = divmod(int(order[int(share * (len(order) - 1))]), valid.shape[1])
            self.places.append((row + down, col + along))

    def add(
        self,
        window: Window,
        lr_hsi: np.ndarray,
        hr_msi: np.ndarray,
        fused: np.ndarray,
        valid: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> None:
        """Take up a window.

        Args:
            window: in LR pixels.
            lr_hsi, hr_msi, fused: (C, h, w), (m, H, W) and (C, H, W), in one scaling.
            valid: (h, w), (H, W) and (H, W) bool of the three.
        """
        start = (self.ratio * window[0], self.ratio * window[2])
        _paste(self.hsi, np.where(valid[0], lr_hsi[self.bands], np.nan), (window[0], window[2]), self.low_step)
        _paste(self.msi, np.where(valid[1], hr_msi[self.msi_bands], np.nan), start, self.step)
        _paste(self.fused, np.where(valid[2], fused[self.bands], np.nan), start, self.step)
        for row, col in self.places:
            if window[0] <= row < window[1] and window[2] <= col < window[3]:
                down, along = row - window[0], col - window[2]
                self.before[row, col] = lr_hsi[:, down, along].copy()
                top, left = self.ratio * down, self.ratio * along
                inside = fused[:, top : top + self.ratio, left : left + self.ratio]
                self.after[row, col] = inside.reshape(len(fused), -1).copy()


def _paste(picture: np.ndarray, part: np.ndarray, start: tuple[int, int], step: int) -> None:
    """Every `step`-th pixel of the whole, as far as it lies in a part that begins at `start`."""
    first = [-(-value // step) for value in start]
    piece = part[:, first[0] * step - start[0] :: step, first[1] * step - start[1] :: step]
    picture[:, first[0] : first[0] + piece.shape[1], first[1] : first[1] + piece.shape[2]] = piece


def _shown_bands(
    bands: int, wavelength_nm: np.ndarray | None, response: np.ndarray | None
) -> tuple[list[int], list[int]]:
    """The bands of the MSI, and of the HSI, that are shown as red, green and blue."""
    shown = rgb_bands(bands, wavelength_nm)
    if response is None:
        return [0, 0, 0], shown
    count = len(response)
    if wavelength_nm is not None:
        centres = response @ wavelength_nm
        return [int(np.abs(centres - centre).argmin()) for centre in RGB_NM], shown
    if count < 3:
        return [0, 0, 0], shown
    # Three bands without wavelengths are red, green and blue; more mostly rise with the wavelength.
    msi = [0, 1, 2] if count == 3 else [2, 1, 0]
    centres = [round(float(response[band] @ np.arange(bands))) for band in msi]
    return msi, centres if len(set(centres)) == len(set(msi)) else shown


def write_details(
    folder: Path,
    found: Fused,
    preview: Preview,
    *,
    psf: np.ndarray | None,
    response: Response,
    wavelength_nm: np.ndarray | None,
    figure_format: str,
    output: Path,
    source: dict[str, Any],
) -> list[Path]:
    """Write all there is to tell: tables (.csv), latent maps (.npy, or .tif if the output is one), figures.

    Args:
        folder: made if it does not exist.
        found: endmembers, latents and PSF of the method, as far as it has them.
        preview: of the pair and the fused cube.
        psf: the one given, used where the method tells none.
        response: (m, C) of the MSI.
        wavelength_nm: (C,) or None: band numbers, from 1, take its place.
        figure_format: png, jpg or svg.
        output: the fused file.
        source: of the fused file, for the georeference of the maps.

    Returns:
        The files.

    Raises:
        UserError: an unknown format of figures.
    """
    if figure_format not in FIGURE_FORMATS:
        raise unknown("format of figures", figure_format, FIGURE_FORMATS)
    written: list[Path] = []

    def save(figure: Any, name: str) -> None:
        written.append(folder / f"{name}.{figure_format}")
        save_figure(figure, [written[-1]])

    axis = np.arange(1, preview.shape[0] + 1) if wavelength_nm is None else wavelength_nm
    label = "band" if wavelength_nm is None else "wavelength_nm"
    kernel = found.psf if found.psf is not None else psf
    names = [f"band_{band}" for band in range(1, len(response.matrix) + 1)]
    written.append(_table(folder / "srf.csv", [label, *names], np.vstack([axis, response.matrix]).T))
    if kernel is not None:
        written.append(_table(folder / "psf.csv", None, kernel))
        save(draw_psf(kernel), "psf")
    if found.endmembers is not None:
        names = [f"endmember_{number}" for number in range(1, len(found.endmembers) + 1)]
        written.append(_table(folder / "endmembers.csv", [label, *names], np.vstack([axis, found.endmembers]).T))
        save(plot_endmembers(found.endmembers, wavelength_nm), "endmembers")
    if found.latents is not None:
        written.append(_write_latents(folder, found.latents, output, source))
        save(plot_latents(found.latents), "latents")
    save(draw_overview(preview), "overview")
    return written


def _table(path: Path, header: Sequence[str] | None, rows: np.ndarray) -> Path:
    lines = [] if header is None else [",".join(header)]
    lines += [",".join(f"{value:.8g}" for value in row) for row in rows]
    write_text(path, "\n".join(lines) + "\n")
    return path


def _write_latents(folder: Path, latents: np.ndarray, output: Path, source: dict[str, Any]) -> Path:
    if output.suffix.lower() in (".tif", ".tiff"):
        path = folder / "latents.tif"
        kept = {key: source.get(key) for key in ("crs", "transform")}
        write_image(path, Item(cube=latents.astype(np.float32), name="latents", source={**kept, "dtype": "float32"}))
        return path
    path = folder / "latents.npy"
    with atomic_path(path) as temporary:
        np.save(temporary, latents.astype(np.float32).transpose(1, 2, 0), allow_pickle=False)
    return path


def draw_psf(psf: np.ndarray) -> Any:
    """The kernel as a picture, with its profiles through the centre."""
    figure, (left, right) = start_figure(8, 3.4, ncols=2)
    half = len(psf) // 2
    extent = (-half - 0.5, half + 0.5, half + 0.5, -half - 0.5)
    image = left.imshow(psf, cmap="viridis", extent=extent, interpolation="nearest")
    left.grid(False)
    left.set(title="point-spread function", xlabel="columns [HR pixels]", ylabel="rows [HR pixels]")
    figure.colorbar(image, ax=left, shrink=0.8)
    offset = np.arange(-half, half + 1)
    width = psf_width(psf)
    right.plot(offset, psf[half], label=f"along a row, rms {width.rms_cols:.2f}", marker=".")
    right.plot(offset, psf[:, half], label=f"down a column, rms {width.rms_rows:.2f}", marker=".", linestyle="--")
    right.set(xlabel="HR pixels from the centre", title="profiles through the centre")
    right.legend(frameon=False, fontsize=8)
    return figure


def draw_overview(preview: Preview) -> Any:
    """LR HSI, HR MSI and fused cube as composites; below them a few spectra before and after."""
    from matplotlib.colors import to_rgb

    tall = preview.fused.shape[1] / preview.fused.shape[2]
    figure, axes = start_figure(13, min(13 / 3 * tall, 9) + 3.2, nrows=1, ncols=1)
    axes.remove()
    top, below = figure.subfigures(2, 1, height_ratios=[min(13 / 3 * tall, 9), 3.2])
    # The fused cube has the widest range: the limits of the LR HSI would clip what is small and bright.
    limits = _limits(preview.fused)
    pictures = top.subplots(1, 3)
    names = [f"band {band + 1}" for band in preview.bands]
    if preview.wavelength_nm is not None:
        names = [f"{preview.wavelength_nm[band]:.0f} nm" for band in preview.bands]
    for axis, title, picture in (
        (pictures[0], f"LR HSI ({', '.join(names)})", composite(preview.hsi, limits)),
        (pictures[1], f"HR MSI (bands {', '.join(str(band + 1) for band in preview.msi_bands)})",
         composite(preview.msi, _limits(preview.msi))),
        (pictures[2], f"fused ({', '.join(names)})", composite(preview.fused, limits)),
    ):  # fmt: skip
        axis.imshow(np.where(np.isnan(picture), to_rgb(GAP_COLOUR), picture), interpolation="nearest")
        axis.set_title(title)
        axis.set_axis_off()
    where, order = break_at_gaps(preview.wavelength_nm, preview.shape[0])
    broken = order < 0
    for number, (axis, place) in enumerate(zip(below.subplots(1, SPECTRA), preview.places, strict=False)):
        if place not in preview.before:
            axis.set_axis_off()
            continue
        inside = np.where(broken[:, None], np.nan, preview.after[place][order])
        mean = np.where(broken, np.nan, preview.before[place][order])
        axis.fill_between(where, inside.min(axis=1), inside.max(axis=1), alpha=0.25, linewidth=0, label="fused: range")
        axis.plot(where, inside.mean(axis=1), linewidth=1.2, label="fused: mean within")
        axis.plot(where, mean, color="0.2", linestyle="--", linewidth=1.2, label="LR HSI pixel")
        axis.set_title(f"LR pixel {place[0]}, {place[1]}")
        axis.set_xlabel("band" if preview.wavelength_nm is None else "wavelength [nm]")
        if number == 0:
            axis.legend(frameon=False, fontsize=7)
    return figure


def _limits(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The limits of contrast of a picture (3, rows, cols) with gaps."""
    known = np.isfinite(picture).all(axis=0)
    return stretch(picture[:, None, known] if known.any() else np.zeros((3, 1, 1)))
