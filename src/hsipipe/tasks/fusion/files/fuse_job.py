"""Fusing a matched pair of files into an output, whole or block by block, with scores that need no truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.degrade.blur import Blur
from hsipipe.progress import progress
from hsipipe.scenes.scene import Item, Window
from hsipipe.scenes.writers import write_image
from hsipipe.scenes.writers.windows import block_side, outline, write_windows
from hsipipe.tasks.fusion.apply import Fuser
from hsipipe.tasks.fusion.files.blocks import block_windows, inner, widened
from hsipipe.tasks.fusion.files.details import Preview
from hsipipe.tasks.fusion.files.pair_files import PairFiles, PairWindow
from hsipipe.tasks.fusion.files.relations import Relations
from hsipipe.tasks.fusion.result import Fused

BLOCK_BYTES = 64 << 20  # of one block of the output
SCORED_BLOCKS = 8
LEAST_SCORED = 8  # LR pixels a side


@dataclass
class Outcome:
    """What fusing gave besides the file: the method's finds, scores, and material for the figures."""

    found: Fused
    scores: dict[str, float]
    preview: Preview
    blocks: int | None
    invalid: int


@dataclass(frozen=True)
class Job:
    """All that fusing needs, whole or by blocks.

    Attributes:
        pair: the files.
        fuser: method, settings, PSF and response.
        relations: what the pair's images have to do with one another.
        windows: LR pixels, to fit on when working by blocks.
        source: of the output: provenance, layout, georeference.
        output: where it goes.
        block: HR pixels of a block's side; None chooses.
        quiet: no progress bar.
    """

    pair: PairFiles
    fuser: Fuser
    relations: Relations
    windows: list[Window]
    source: dict[str, Any]
    output: Path
    block: int | None = None
    quiet: bool = False

    def scaled(self, part: PairWindow) -> tuple[np.ndarray, np.ndarray]:
        """A window's lr_hsi and hr_msi in the common scaling."""
        return self.relations.scaling.scale_hsi(part.lr_hsi), self.relations.scaling.scale_msi(part.hr_msi)

    def preview(self) -> Preview:
        """An empty preview of the pair."""
        return Preview(
            self.pair.shape, self.pair.grid.ratio, wavelength_nm=self.pair.wavelength_nm, response=self.fuser.srf
        )


def fuse_whole(job: Job) -> Outcome:
    """Fuse the pair in one piece and write the output."""
    part = job.pair.read()
    lr_hsi, hr_msi = job.scaled(part)
    fused = job.fuser.fuse(lr_hsi, hr_msi)
    scores = _score(job, lr_hsi, hr_msi, fused.cube)
    preview = job.preview()
    valid = part.output_valid
    preview.choose_spectra(lr_hsi, part.both_valid)
    window = (0, job.pair.grid.rows, 0, job.pair.grid.cols)
    preview.add(window, lr_hsi, hr_msi, fused.cube, (part.lr_valid, part.hr_valid, valid))
    item = Item(
        cube=job.relations.scaling.restore(fused.cube),
        name=job.output.stem,
        valid=valid,
        wavelength_nm=job.pair.wavelength_nm,
        fwhm_nm=job.pair.fwhm_nm,
        source=job.source,
    )
    fused.cube = np.empty((0, 0, 0), np.float32)
    write_image(job.output, item)
    return Outcome(fused, scores, preview, None, int((~valid).sum()))


def fuse_blocks(job: Job) -> Outcome:
    """Fuse the pair block by block into the output, in memory that does not grow with the scene."""
    pair, ratio = job.pair, job.pair.grid.ratio
    rows, cols = pair.grid.rows, pair.grid.cols
    wanted = job.block or int(np.sqrt(BLOCK_BYTES / 4 / pair.shape[0]))
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
        wavelength_nm=pair.wavelength_nm,
        fwhm_nm=job.pair.fwhm_nm,
        source=job.source,
    )
    with write_windows(job.output, like, side=side) as write:
        for number, window in enumerate(progress(blocks, job.fuser.method.name, unit="block", disable=job.quiet)):
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
                    scores.append(_score(job, own_hsi, own_msi, cube))
            place = (ratio * window[0], ratio * window[1], ratio * window[2], ratio * window[3])
            write(place, job.relations.scaling.restore(cube), valid)
    return Outcome(found, mean_scores([row for row in scores if row]), preview, len(blocks), invalid)


def _score(job: Job, lr_hsi: np.ndarray, hr_msi: np.ndarray, cube: np.ndarray) -> dict[str, float]:
    """Scores without truth, with the PSF given or matched to the pair: the same for every method."""
    from hsipipe.metrics.no_reference import score_without_truth

    side = min(cube.shape[1:])
    kernel = job.relations.kernel
    if kernel is not None and len(kernel) > side:
        return {}
    blur = Blur(kernel, job.pair.grid.ratio, cube.shape[1:], edge=job.fuser.edge)
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
