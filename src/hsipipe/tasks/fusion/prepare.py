"""`prepare`: make the pairs of a case once, so that all methods see the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.bands.selection import BandSelection
from hsipipe.cases.split import Unit
from hsipipe.degrade.pair import degrade_pair
from hsipipe.degrade.psf import make_psf, peer_spec
from hsipipe.degrade.response import make_srf
from hsipipe.progress import progress
from hsipipe.scenes.scene import Scene
from hsipipe.tasks.fusion.case import Truth, read_truth, write_case


def prepare(
    scenes: Sequence[str | Path],
    units: Sequence[Unit],
    selection: BandSelection,
    settings: dict[str, Any],
    *,
    name: str,
    output: str | Path,
) -> None:
    """Write the case file: for every test unit the MSI, and the HSI under each PSF. `settings`: a `CaseSettings`'s.

    Noise is drawn from generators seeded by (case, seed, unit): it depends neither on the order nor on the number of
    units, and under every PSF it is the same draw, so that PSFs differ in nothing else.
    """
    opened = {scene.name: scene for scene in (Scene(path) for path in scenes)}
    ratio, scaling = settings["ratio"], settings["scaling"]
    response = make_srf(
        settings["srf"],
        wavelength_nm=selection.wavelength_nm,
        bands=len(selection.indices),
        axis=settings["axis"],
        fwhm_factor=settings["fwhm_factor"],
    )
    psfs = {spec: make_psf(peer_spec(spec) if settings["peer"] else spec) for spec in settings["psfs"]}

    def synthesised() -> Iterator[tuple[Unit, Truth, np.ndarray, list[np.ndarray]]]:
        for unit in progress([unit for unit in units if unit.part == "test"], "degrading"):
            truth = read_truth(opened[unit.scene], unit, selection.indices, ratio=ratio, scaling=scaling)
            pairs = [
                degrade_pair(
                    truth.cube,
                    psf=kernel,
                    srf=response.matrix,
                    ratio=ratio,
                    snr_hsi_db=settings["snr_hsi_db"],
                    snr_msi_db=settings["snr_msi_db"],
                    edge=settings["edge"],
                    seed=(name, settings["seed"], unit.name),
                )
                for kernel in psfs.values()
            ]
            yield unit, truth, pairs[0][1], [lr_hsi for lr_hsi, _ in pairs]

    write_case(
        output,
        synthesised(),
        psfs=psfs,
        response=response,
        selection=selection,
        attributes={
            "case": name,
            "ratio": ratio,
            "edge": settings["edge"],
            "scaling": scaling,
            "degradation": settings,
            "simulated": int(any(scene.simulated for scene in opened.values())),
        },
    )
