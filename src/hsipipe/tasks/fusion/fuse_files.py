"""From two files to a fused one: match, check, scale, fuse, score, write. `hsipipe fuse` comes through here."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe import __version__
from hsipipe.degrade.blur import Blur
from hsipipe.degrade.psf import make_psf, psf_width
from hsipipe.degrade.response import coverage
from hsipipe.errors import UserError
from hsipipe.methods import Method
from hsipipe.progress import progress
from hsipipe.scenes.scene import Item, Window
from hsipipe.scenes.validity import ranges
from hsipipe.scenes.windows import Survey, WindowedImage
from hsipipe.scenes.writers import check_outputs, write_image
from hsipipe.scenes.writers.windows import block_side, check_size, outline, write_windows
from hsipipe.tasks.fusion.alignment import better_symmetry, estimate_shift, find_symmetry
from hsipipe.tasks.fusion.blocks import Fuser, block_windows, inner, sample_windows, widened
from hsipipe.tasks.fusion.details import Preview, write_details
from hsipipe.tasks.fusion.pair_files import PairFiles, PairWindow, require_bands
from hsipipe.tasks.fusion.pairing import Grid, Place, find_grid, turned_further
from hsipipe.tasks.fusion.radiometry import Sample, Scaling, joint_scaling, low_resolution, match_blur, shifted
from hsipipe.tasks.fusion.responses import ChosenResponse, choose_response
from hsipipe.tasks.fusion.result import Fused

log = logging.getLogger(__name__)

WHOLE_BYTES = 1 << 29  # of the output; above, the scene is worked through in blocks
BLOCK_BYTES = 64 << 20  # of one block of the output
SAMPLE_BYTES = 128 << 20  # of all windows together that are looked at, and fitted on
SAMPLES = 16
THUMBNAIL_SIDE = 256  # LR pixels
SHIFT_HR = 0.5  # HR pixels from which a shift is warned of, if it is also
SHIFT_LR = 0.05  # LR pixels: what the estimate can tell
SCORED_BLOCKS = 8
RANKS = ("endmembers", "num_endmembers", "rank", "components")  # settings that count spectra
LEAST_SCORED = 8  # LR pixels a side


@dataclass(frozen=True)
class FuseOptions:
    """What `hsipipe fuse` may be told besides files and method.

    Attributes:
        psf: a specification of `make_psf`, a file, or None: not known, for the method to estimate if it can.
        srf: as in `choose_response`.
        axis, edge: as in `make_srf` and `Blur`.
        hsi_key, msi_key, hsi_layout, msi_layout: as in `open_image`.
        block: HR pixels of a block's side; None: whole, unless the output exceeds 512 MiB.
        orient: "auto" turns an LR HSI that lies otherwise than the MSI, "as-is" refuses it.
        details: a folder for endmembers, latents, PSF, SRF and figures, or None; figure_format: png, jpg or svg.
        device: of torch.
        quiet: no progress bar.
    """

    psf: Any = None
    srf: Any = None
    axis: str = "measured"
    edge: str = "reflect"
    hsi_key: str | None = None
    msi_key: str | None = None
    hsi_layout: str | None = None
    msi_layout: str | None = None
    block: int | None = None
    orient: str = "as-is"
    details: Path | None = None
    figure_format: str = "png"
    device: str = "cpu"
    quiet: bool = False


@dataclass(frozen=True)
class _Relations:
    """How the two images relate: PSF given or roughly matched (None: block means), shift, response, scaling."""

    kernel: np.ndarray | None
    shift: dict[str, float] | None
    response: ChosenResponse
    scaling: Scaling


@dataclass
class _Outcome:
    """What fusing gave besides the file: the method's finds, scores, and material for the figures."""

    found: Fused
    scores: dict[str, float]
    preview: Preview
    blocks: int | None
    invalid: int


def fuse_files(
    lr_hsi: str | Path,
    hr_msi: str | Path,
    output: str | Path,
    *,
    method: Method,
    settings: dict[str, Any],
    options: FuseOptions | None = None,
) -> dict[str, Any]:
    """Fuse two files of any supported format into one.

    The output has the HSI's usable bands, units and wavelengths, and the MSI's pixels and georeference; float32.

    Args:
        lr_hsi, hr_msi: the images.
        output: its extension says the format, as in `write_image`.
        method: of the task `fusion`, no oracle.
        settings: complete settings of the method.
        options: None takes the defaults.

    Returns:
        The report: JSON-able facts on sizes, orientation, shift, radiometry, response, PSF, coverage, finds and scores.

    Raises:
        UserError: whatever is wrong with files or choices, in one line; nothing is left at `output` then.
    """
    started = time.perf_counter()
    options = options or FuseOptions()
    for file in (lr_hsi, hr_msi):
        check_outputs([(file, output)])
    psf = None if options.psf is None else make_psf(options.psf)
    with ExitStack() as stack:
        hsi = stack.enter_context(WindowedImage(lr_hsi, key=options.hsi_key, layout=options.hsi_layout))
        msi = stack.enter_context(WindowedImage(hr_msi, key=options.msi_key, layout=options.msi_layout))
        pair, orientation = match_files(hsi, msi, turn=options.orient == "auto")
        check_size(output, pair.shape)
        if psf is not None and len(psf) > min(pair.shape[1:]):
            raise UserError(
                f"a kernel of {len(psf)} x {len(psf)} is larger than the image",
                key="--psf",
                found=f"{pair.shape[1]} x {pair.shape[2]} pixels",
                remedy="choose a smaller kernel",
            )
        _check_ranks(method, settings, pair)
        windows = _survey_windows(pair)
        estimates = _estimate_relations(pair, windows, psf, options)
        chosen, scaling, kernel = estimates.response, estimates.scaling, estimates.kernel
        _warn_of_radiometry(scaling, pair)
        covered = coverage(chosen.response, _good_wavelengths(pair))
        for line in covered.lines():
            log.info("%s", line)
        fuser = Fuser(
            method,
            settings,
            psf,
            chosen.response.matrix,
            options.edge,
            _good_wavelengths(pair),
            options.device,
        )
        source = _source(pair, fuser, chosen)
        job = _Job(pair, fuser, scaling, kernel, windows, source, Path(output), options)
        whole = options.block is None and 4 * np.prod(pair.shape, dtype=np.int64) <= WHOLE_BYTES
        outcome = _fuse_whole(job) if whole else _fuse_blocks(job)
        report = {
            "output": str(output),
            "method": method.name,
            "settings": settings,
            "ratio": pair.grid.ratio,
            "sizes": {"lr_hsi": hsi.shape, "hr_msi": msi.shape, "output": pair.shape},
            "cropped": list(pair.grid.notes),
            "bands_left_out": {
                "lr_hsi": np.flatnonzero(~pair.hsi_bands).tolist(),
                "hr_msi": np.flatnonzero(~pair.msi_bands).tolist(),
            },
            "invalid_pixels": outcome.invalid,
            "orientation": orientation,
            "shift": estimates.shift,
            "radiometry": _told_scaling(scaling),
            "srf": {
                "origin": chosen.origin,
                "name": chosen.response.name,
                "centres_nm": None
                if chosen.response.centres_nm is None
                else [round(float(centre), 2) for centre in chosen.response.centres_nm],
            },
            "psf": _told_psf(psf, outcome.found.psf, kernel),
            "coverage": {"unseen_bands": covered.unseen_bands, "lines": covered.lines()},
            "blocks": outcome.blocks,
            "found": outcome.found.found,
            "scores": outcome.scores,
        }
        if options.details is not None:
            write_details(
                options.details,
                outcome.found,
                outcome.preview,
                psf=psf,
                response=chosen.response,
                wavelength_nm=_good_wavelengths(pair),
                figure_format=options.figure_format,
                output=Path(output),
                source=source,
            )
    return report | {"seconds": round(time.perf_counter() - started, 2)}


def _estimate_relations(
    pair: PairFiles, windows: list[Window], psf: np.ndarray | None, options: FuseOptions
) -> _Relations:
    """Estimate blur, shift, response and radiometry on windows of the pair."""
    parts = [pair.read(window) for window in windows]

    def at_low_resolution(kernel: np.ndarray | None) -> list[Sample]:
        return [low_resolution(part, kernel, edge=options.edge, margin=len(parts) > 1) for part in parts]

    kernel = psf if psf is not None else match_blur(parts, edge=options.edge)
    samples = at_low_resolution(kernel)
    shift = report_shift(samples, pair.grid.ratio)
    if shift is not None:
        rows, cols = shift["rows_hr_pixels"], shift["cols_hr_pixels"]
        if max(abs(rows), abs(cols)) > SHIFT_LR * pair.grid.ratio:
            parts = [shifted(part, rows, cols) for part in parts]
            kernel = psf if psf is not None else match_blur(parts, edge=options.edge)
            samples = at_low_resolution(kernel)
    chosen = choose_response(options.srf, pair, samples, axis=options.axis)
    return _Relations(kernel, shift, chosen, joint_scaling(samples, chosen.response.matrix))


def _check_ranks(method: Method, settings: dict[str, Any], pair: PairFiles) -> None:
    """Refuse more endmembers or components than the HSI has bands, where the user asked for them."""
    for key in RANKS:
        value = settings.get(key)
        asked = key in method.settings and value != method.settings[key].get("default")
        if asked and isinstance(value, int) and value > pair.shape[0]:
            raise UserError(f"must be at most the HSI's {pair.shape[0]} usable bands", key=f"--set {key}", found=value)


def match_files(hsi: WindowedImage, msi: WindowedImage, *, turn: bool) -> tuple[PairFiles, dict[str, Any]]:
    """Match two open files: ratio, common part, usable bands, orientation.

    Args:
        hsi, msi: the files.
        turn: turn an HSI that lies otherwise than the MSI; False refuses it.

    Returns:
        The pair, and facts on its orientation for the report.

    Raises:
        UserError: images that do not match, or that have no usable band.
    """
    places = [Place(image.shape[1:], image.file.crs, image.file.transform) for image in (hsi, msi)]
    grid = find_grid(*places, turn=turn)
    for note in grid.notes:
        log.warning("%s", note)
    factor = max(1, -(-max(grid.rows, grid.cols) // THUMBNAIL_SIDE))
    coarse = hsi.survey(window=grid.hsi_window, factor=factor)
    fine = msi.survey(window=grid.msi_window, factor=factor * grid.ratio)
    for image, survey, name in ((hsi, coarse, "LR_HSI"), (msi, fine, "HR_MSI")):
        require_bands(survey.good_bands, name, image.file.path)
        _tell_bad_bands(image, survey, name)
    grid, orientation = _orient(grid, coarse, fine, turn=turn)
    return PairFiles(hsi, msi, grid, coarse.good_bands, fine.good_bands), orientation


def _tell_bad_bands(image: WindowedImage, survey: Survey, name: str) -> None:
    declared = image.file.declared_bad
    rest = survey.without | survey.constant
    for kind, which in (
        ("declared bad", np.zeros_like(rest) if declared is None else declared & ~rest),
        ("without a measurement", survey.without),
        ("constant", survey.constant & ~survey.without),
    ):
        if which.any():
            log.warning("%s: %d of %d bands %s, left out: %s", name, which.sum(), len(which), kind, ranges(which))


def _orient(grid: Grid, coarse: Survey, fine: Survey, *, turn: bool) -> tuple[Grid, dict[str, Any]]:
    turned = grid.symmetry.turn(coarse.thumbnail[coarse.good_bands])
    picture = fine.thumbnail[fine.good_bands]
    shares = find_symmetry(turned, picture, (grid.symmetry.turn(coarse.thumbnail_valid), fine.thumbnail_valid))
    better = better_symmetry(shares)
    told = {symmetry.name: round(share, 4) for symmetry, share in shares.items()}
    if better is None:
        return grid, {"applied": grid.symmetry.name, "explained": told}
    if not turn:
        raise UserError(
            f"HR_MSI looks {better.name} against LR_HSI",
            found=f"{shares[better]:.0%} of its variance explained so, {next(iter(shares.values())):.0%} as it is",
            remedy="let --orient auto turn LR_HSI, or check --hsi-layout and --msi-layout",
        )
    grid = turned_further(grid, better)
    log.warning("LR_HSI is turned to lie as HR_MSI does: %s", grid.symmetry.name)
    return grid, {"applied": grid.symmetry.name, "explained": told}


def report_shift(samples: Sequence[Sample], ratio: int) -> dict[str, float] | None:
    """The shift between the images in HR pixels, the median over windows; a warning if it matters.

    Args:
        samples: windows of the pair, the MSI's block means as soft as the HSI: otherwise a lopsided detail that only
            the MSI shows would pass for a shift.
        ratio: HR pixels per LR pixel.
    """
    found = [shift for shift in (estimate_shift(*sample) for sample in samples) if shift is not None]
    if not found:
        return None
    rows, cols, error, explained = (
        float(np.median([getattr(shift, name) for shift in found])) for name in ("rows", "cols", "error", "explained")
    )
    error /= math.sqrt(len(found))
    size = max(abs(rows), abs(cols))
    if size > max(SHIFT_HR / ratio, SHIFT_LR, 2 * error):
        log.warning(
            "HR_MSI lies %+.2f rows and %+.2f columns of its pixels off LR_HSI; registered images would fuse better",
            ratio * rows,
            ratio * cols,
        )
    return {
        "rows_hr_pixels": round(ratio * rows, 3),
        "cols_hr_pixels": round(ratio * cols, 3),
        "error_hr_pixels": round(ratio * error, 3),
        "explained": round(explained, 4),
    }


def _survey_windows(pair: PairFiles) -> list[Window]:
    bands, fine = pair.shape[0], int(pair.msi_bands.sum()) * pair.grid.ratio**2
    side = max(16, int(np.sqrt(SAMPLE_BYTES / SAMPLES / 4 / (bands + fine))))
    return sample_windows(pair.grid.rows, pair.grid.cols, side=side, most=SAMPLES)


def _good_wavelengths(pair: PairFiles) -> np.ndarray | None:
    centres = pair.hsi.file.wavelength_nm
    return None if centres is None else centres[pair.hsi_bands]


def _warn_of_radiometry(scaling: Scaling, pair: PairFiles) -> None:
    numbers = np.flatnonzero(pair.msi_bands)
    for band in scaling.poor_bands:
        log.warning(
            "HR_MSI band %d is badly explained by LR_HSI through the response (r^2 = %.2f)",
            numbers[band] + 1,
            scaling.r2[band],
        )


def _told_scaling(scaling: Scaling) -> dict[str, Any]:
    return {
        "gain": [round(float(value), 6) for value in scaling.gain],
        "offset": [round(float(value), 6) for value in scaling.offset],
        "r2": [round(float(value), 4) for value in scaling.r2],
        "changed": scaling.changed,
        "units_per_one": scaling.factor,
    }


def _told_psf(given: np.ndarray | None, found: np.ndarray | None, matched: np.ndarray | None) -> dict[str, Any]:
    """Where the PSF comes from that the scores were taken with, and how wide it is."""
    origin = "given" if given is not None else "estimated by the method" if found is not None else "a matched Gaussian"
    psf = found if found is not None else matched
    if psf is None:
        return {"origin": "none: block means"}
    width = psf_width(psf)
    return {
        "origin": origin,
        "size": len(psf),
        "rms_rows": round(float(width.rms_rows), 3),
        "rms_cols": round(float(width.rms_cols), 3),
    }


def _source(pair: PairFiles, fuser: Fuser, chosen: ChosenResponse) -> dict[str, Any]:
    """Provenance of the output, and what the writers take layout, nodata and georeference from."""
    hsi = pair.hsi.file.source()
    nodata = hsi.get("nodata")
    if nodata is not None and float(np.float32(nodata)) != float(nodata):
        nodata = None
    kept = {key: hsi[key] for key in ("format", "layout", "interleave", "scale", "key") if key in hsi}
    simulated = any(image.file.extra.get("simulated") for image in (pair.hsi, pair.msi))
    return kept | {
        "dtype": "float32",
        "fill": "nan",
        "nodata": nodata,
        "crs": pair.crs,
        "transform": pair.transform,
        "simulated": bool(simulated),
        "lr_hsi": str(pair.hsi.file.path),
        "hr_msi": str(pair.msi.file.path),
        "code_version": __version__,
        "fusion": {
            "method": fuser.method.name,
            "settings": fuser.settings,
            "psf": "given" if fuser.psf is not None else "not given",
            "srf": f"{chosen.response.name}, {chosen.origin}",
            "edge": fuser.edge,
            "numpy": np.__version__,
        },
    }


@dataclass(frozen=True)
class _Job:
    """All that fusing needs, whole or by blocks."""

    pair: PairFiles
    fuser: Fuser
    scaling: Scaling
    kernel: np.ndarray | None
    windows: list[Window]
    source: dict[str, Any]
    output: Path
    options: FuseOptions

    def scaled(self, part: PairWindow) -> tuple[np.ndarray, np.ndarray]:
        return self.scaling.scale_hsi(part.lr_hsi), self.scaling.scale_msi(part.hr_msi)

    @property
    def fwhm_nm(self) -> np.ndarray | None:
        widths = self.pair.hsi.file.fwhm_nm
        return None if widths is None else widths[self.pair.hsi_bands]

    def preview(self) -> Preview:
        return Preview(
            self.pair.shape, self.pair.grid.ratio, wavelength_nm=_good_wavelengths(self.pair), response=self.fuser.srf
        )


def _fuse_whole(job: _Job) -> _Outcome:
    part = job.pair.read()
    lr_hsi, hr_msi = job.scaled(part)
    fused = job.fuser.fuse(lr_hsi, hr_msi)
    scores = _score(job, lr_hsi, hr_msi, fused.cube, fused.psf)
    preview = job.preview()
    valid = part.output_valid
    preview.choose_spectra(lr_hsi, part.both_valid)
    window = (0, job.pair.grid.rows, 0, job.pair.grid.cols)
    preview.add(window, lr_hsi, hr_msi, fused.cube, (part.lr_valid, part.hr_valid, valid))
    item = Item(
        cube=job.scaling.restore(fused.cube),
        name=job.output.stem,
        valid=valid,
        wavelength_nm=_good_wavelengths(job.pair),
        fwhm_nm=job.fwhm_nm,
        source=job.source,
    )
    fused.cube = np.empty((0, 0, 0), np.float32)
    write_image(job.output, item)
    return _Outcome(fused, scores, preview, None, int((~valid).sum()))


def _fuse_blocks(job: _Job) -> _Outcome:
    pair, ratio = job.pair, job.pair.grid.ratio
    rows, cols = pair.grid.rows, pair.grid.cols
    wanted = job.options.block or int(np.sqrt(BLOCK_BYTES / 4 / pair.shape[0]))
    side = block_side(wanted, ratio)
    parts = [(window, part) for window, part in ((w, pair.read(w)) for w in job.windows) if not part.is_empty]
    preview = job.preview()
    preview.choose_spectra(parts[0][1].lr_hsi, parts[0][1].both_valid, parts[0][0])
    model = job.fuser.fit([job.scaled(part) for _, part in parts])
    del parts
    halo, found = model.halo, model.found
    blocks = list(block_windows(rows, cols, side // ratio))
    scored = set(np.linspace(0, len(blocks) - 1, min(SCORED_BLOCKS, len(blocks))).round().astype(int).tolist())
    scores: list[dict[str, float]] = []
    invalid = 0
    like = outline(
        pair.shape,
        name=job.output.stem,
        wavelength_nm=_good_wavelengths(pair),
        fwhm_nm=job.fwhm_nm,
        source=job.source,
    )
    with write_windows(job.output, like, side=side) as write:
        for number, window in enumerate(
            progress(blocks, job.fuser.method.name, unit="block", disable=True if job.options.quiet else None)
        ):
            wide = widened(window, halo, rows, cols)
            part = pair.read(wide)
            valid = inner(part.output_valid, window, wide, ratio)
            invalid += int((~valid).sum())
            if part.is_empty:
                cube = np.zeros((pair.shape[0], *valid.shape), np.float32)
            else:
                lr_hsi, hr_msi = job.scaled(part)
                cube = inner(model.apply(lr_hsi, hr_msi), window, wide, ratio)
                own_hsi, own_msi = inner(lr_hsi, window, wide, 1), inner(hr_msi, window, wide, ratio)
                own_valid = inner(part.lr_valid, window, wide, 1), inner(part.hr_valid, window, wide, ratio)
                preview.add(window, own_hsi, own_msi, cube, (*own_valid, valid))
                if number in scored and min(own_hsi.shape[1:]) >= LEAST_SCORED:
                    scores.append(_score(job, own_hsi, own_msi, cube, found.psf))
            place = (ratio * window[0], ratio * window[1], ratio * window[2], ratio * window[3])
            write(place, job.scaling.restore(cube), valid)
    return _Outcome(found, mean_scores([row for row in scores if row]), preview, len(blocks), invalid)


def _score(
    job: _Job, lr_hsi: np.ndarray, hr_msi: np.ndarray, cube: np.ndarray, psf: np.ndarray | None
) -> dict[str, float]:
    """Scores without truth, with the PSF that the method found, or that given, or the matched Gaussian."""
    from hsipipe.metrics.no_reference import score_without_truth

    side = min(cube.shape[1:])
    kernel = psf if psf is not None else job.kernel
    if kernel is not None and len(kernel) > side:
        return {}
    blur = Blur(kernel, job.pair.grid.ratio, cube.shape[1:], edge=job.options.edge)
    rows = score_without_truth(lr_hsi, hr_msi, np.ascontiguousarray(cube), blur=blur, srf=job.fuser.srf)
    return {name: round(float(value), 6) for name, value, _ in rows}


def mean_scores(blocks: Sequence[dict[str, float]]) -> dict[str, float]:
    """Scores of several blocks as those of all: errors and signals by their mean squares, the others by their mean."""
    if not blocks:
        return {}
    mean = {name: float(np.mean([block[name] for block in blocks])) for name in blocks[0]}
    for image in ("hsi", "msi"):
        if f"{image}_rmse" in mean:
            error = np.array([block[f"{image}_rmse"] for block in blocks]) ** 2
            power = error * 10 ** (np.array([block[f"{image}_snr"] for block in blocks]) / 10)
            mean[f"{image}_rmse"] = float(np.sqrt(error.mean()))
            mean[f"{image}_snr"] = float(10 * np.log10(power.mean() / max(error.mean(), 1e-30)))
    return {name: round(value, 6) for name, value in mean.items()}
