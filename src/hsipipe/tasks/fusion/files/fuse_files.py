"""From two files to a fused one: match, check, scale, fuse, score, write. `hsipipe fuse` comes through here."""

from __future__ import annotations

import logging
import re
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe import __version__
from hsipipe.degrade.psf import make_psf, psf_width
from hsipipe.degrade.response import coverage
from hsipipe.errors import UserError
from hsipipe.methods import Method
from hsipipe.scenes.windows import WindowedImage
from hsipipe.scenes.writers import check_outputs
from hsipipe.scenes.writers.check import check_place
from hsipipe.scenes.writers.windows import check_size
from hsipipe.tasks.fusion.apply import Fuser, check_blocks
from hsipipe.tasks.fusion.files.details import write_details
from hsipipe.tasks.fusion.files.fuse_job import Job, fuse_blocks, fuse_whole
from hsipipe.tasks.fusion.files.pair_files import PairFiles
from hsipipe.tasks.fusion.files.radiometry import Scaling
from hsipipe.tasks.fusion.files.relations import common_grid, estimate_relations, match_files, survey_windows
from hsipipe.tasks.fusion.files.responses import ChosenResponse, check_response, known_response, silent

log = logging.getLogger(__name__)

WHOLE_BYTES = 1 << 29  # of the output; above, the scene is worked through in blocks
RANKS = ("endmembers", "num_endmembers", "rank", "components")  # settings that count spectra


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
    if options.details is not None:
        check_place(options.details / "overview.png")
    if options.block is not None:
        check_blocks(method, key="--block")
    psf = None if options.psf is None else make_psf(options.psf)
    with ExitStack() as stack:
        hsi = stack.enter_context(_opened(lr_hsi, "hsi", options.hsi_key, options.hsi_layout))
        msi = stack.enter_context(_opened(hr_msi, "msi", options.msi_key, options.msi_layout))
        turn = options.orient == "auto"
        grid = common_grid(hsi, msi, turn=turn)
        # A mistake is told before the images are gone through, and in any case before a first warning.
        size = (grid.ratio * grid.rows, grid.ratio * grid.cols)
        if psf is not None and len(psf) > min(size):
            raise UserError(
                f"a kernel of {len(psf)} x {len(psf)} is larger than the image",
                key="--psf",
                found=f"{size[0]} x {size[1]} pixels",
                remedy="choose a smaller kernel",
            )
        bands = hsi.shape[0] - len(hsi.file.bad_bands)
        whole = options.block is None and 4 * bands * size[0] * size[1] <= WHOLE_BYTES
        if not whole and options.block is None:
            check_blocks(method, why=f"{bands} x {size[0]} x {size[1]} pixels to fuse, which takes blocks")
        check_response(options.srf, hsi.file, msi.file, axis=options.axis)
        pair, orientation, warnings = match_files(hsi, msi, grid, turn=turn)
        check_size(output, pair.shape)
        _check_ranks(method, settings, pair)
        with silent():
            known_response(options.srf, pair, axis=options.axis)
        for line in warnings:
            log.warning("%s", line)
        windows = survey_windows(pair)
        relations = estimate_relations(pair, windows, psf=psf, srf=options.srf, axis=options.axis, edge=options.edge)
        chosen = relations.response
        covered = coverage(chosen.response, pair.wavelength_nm)
        for line in covered.lines():
            log.info("%s", line)
        fuser = Fuser(
            method,
            settings,
            psf,
            chosen.response.matrix,
            options.edge,
            pair.wavelength_nm,
            options.device,
        )
        source = _source(pair, fuser, chosen)
        job = Job(pair, fuser, relations, windows, source, Path(output), options.block, options.quiet)
        outcome = fuse_whole(job) if whole else fuse_blocks(job)
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
            "shift": relations.shift,
            "radiometry": _told_scaling(relations.scaling),
            "srf": {
                "origin": chosen.origin,
                "name": chosen.response.name,
                "centres_nm": None
                if chosen.response.centres_nm is None
                else [round(float(centre), 2) for centre in chosen.response.centres_nm],
            },
            "psf": _told_psf(psf, outcome.found.psf, relations.kernel, source=settings.get("psf_source")),
            "coverage": {"unseen_bands": covered.unseen_bands, "lines": covered.lines()},
            "blocks": outcome.blocks,
            "found": outcome.found.found,
            "scores": outcome.scores,
            "scored_with": _told_kernel(psf, relations.kernel),
        }
        if options.details is not None:
            write_details(
                options.details,
                outcome.found,
                outcome.preview,
                psf=psf,
                response=chosen.response,
                wavelength_nm=pair.wavelength_nm,
                figure_format=options.figure_format,
                output=Path(output),
                source=source,
            )
    return report | {"seconds": round(time.perf_counter() - started, 2)}


def _opened(path: str | Path, name: str, key: str | None, layout: str | None) -> WindowedImage:
    """An image of the pair, hsi or msi; a matrix (rows, cols) as MSI is one panchromatic band.

    Raises:
        UserError: as `open_image`, with the options of `fuse`.
    """
    try:
        return WindowedImage(path, key=key, layout=layout)
    except UserError as error:
        if name == "msi" and layout is None:
            with suppress(UserError):
                image = WindowedImage(path, key=key, layout="rows-cols")
                if image.shape[0] == 1:
                    return image
                image.close()
        text = str(error).replace("--key", f"--{name}-key")
        # A table of pixels has no place beside another image.
        text = re.sub(r"; say --table .*", f"; give (rows, cols, bands), or another array by --{name}-key", text)
        raise UserError(text) from error


def _check_ranks(method: Method, settings: dict[str, Any], pair: PairFiles) -> None:
    """Refuse more endmembers or components than the HSI has bands, where the user asked for them."""
    for key in RANKS:
        value = settings.get(key)
        asked = key in method.settings and value != method.settings[key].get("default")
        if asked and isinstance(value, int) and value > pair.shape[0]:
            raise UserError(f"must be at most the HSI's {pair.shape[0]} usable bands", key=f"--set {key}", found=value)


def _told_scaling(scaling: Scaling) -> dict[str, Any]:
    return {
        "gain": [round(float(value), 6) for value in scaling.gain],
        "offset": [round(float(value), 6) for value in scaling.offset],
        "r2": [round(float(value), 4) for value in scaling.r2],
        "changed": scaling.changed,
        "units_per_one": scaling.factor,
    }


def _told_psf(
    given: np.ndarray | None, found: np.ndarray | None, matched: np.ndarray | None, *, source: object
) -> dict[str, Any]:
    """Where the PSF comes from that the method worked with, and how wide it is.

    Args:
        given, found, matched: by the user, told by the method, matched to the pair.
        source: the method's setting `psf_source`, if it has one; other than "known", it leaves the given one alone.
    """
    if given is not None and source in (None, "known"):
        return {"origin": "given", **_width(given)}
    unused = "" if given is None else "; the one given serves the scores only"
    if found is not None:
        return {"origin": f"of the method{unused}", **_width(found)}
    if given is not None:
        return {"origin": f"none: not used by the method{unused}"}
    return {"origin": "none: block means"} if matched is None else {"origin": "a matched Gaussian", **_width(matched)}


def _told_kernel(given: np.ndarray | None, matched: np.ndarray | None) -> dict[str, Any]:
    """The PSF that the scores were taken with: the same for every method, so that their scores compare."""
    if matched is None:
        return {"psf": "block means"}
    return {"psf": "given" if given is not None else "a Gaussian matched to the pair", **_width(matched)}


def _width(psf: np.ndarray) -> dict[str, Any]:
    width = psf_width(psf)
    return {
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
