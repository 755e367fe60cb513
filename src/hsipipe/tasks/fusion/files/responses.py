"""The spectral response of a pair of files: given, told by the MSI's own bands, or estimated from the two images."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hsipipe.degrade.response import Response, make_srf
from hsipipe.errors import UserError
from hsipipe.scenes.readers import ImageFile
from hsipipe.tasks.fusion.files.pair_files import PairFiles
from hsipipe.tasks.fusion.files.radiometry import Sample, pool, rough_scaling

ESTIMATE = "estimate"
make_srf_log = logging.getLogger(make_srf.__module__)
_PIXELS = 100_000  # as many spectra as the estimation gets at most


@dataclass(frozen=True)
class ChosenResponse:
    """A response of the pair's good bands, and where it comes from: given, bands of the MSI file, or estimated."""

    response: Response
    origin: str


def choose_response(
    spec: int | str | Path | Mapping[str, Any] | np.ndarray | None,
    pair: PairFiles,
    samples: Sequence[Sample],
    *,
    axis: str = "measured",
) -> ChosenResponse:
    """The response to fuse with.

    Args:
        spec: as in `make_srf`, or "estimate", or None: the MSI file's centres and widths if it has them and the HSI has
            wavelengths, else an estimate.
        pair: the files.
        samples: windows of the pair in the files' units, for the estimate.
        axis: as in `make_srf`.

    Raises:
        UserError: as `make_srf`; a response of another number of bands than the MSI has.
    """
    chosen = known_response(spec, pair, axis=axis)
    return chosen or ChosenResponse(_estimated(pair, samples), "estimated from the pair")


def known_response(
    spec: int | str | Path | Mapping[str, Any] | np.ndarray | None, pair: PairFiles, *, axis: str = "measured"
) -> ChosenResponse | None:
    """As `choose_response`, without a look at the pixels: None where the response is to be estimated.

    Raises:
        UserError: as `choose_response`.
    """
    hsi, msi = pair.hsi.file, pair.msi.file
    if spec is None and hsi.wavelength_nm is not None and msi.wavelength_nm is not None and msi.fwhm_nm is not None:
        told = {"centres_nm": msi.wavelength_nm, "fwhm_nm": msi.fwhm_nm, "name": "the MSI file's bands"}
        return ChosenResponse(_of_good_bands(told, pair, axis), "bands of the MSI file")
    if spec is None or (isinstance(spec, str) and spec == ESTIMATE):
        return None
    return ChosenResponse(_of_good_bands(spec, pair, axis), "given")


def check_response(spec: Any, hsi: ImageFile, msi: ImageFile, *, axis: str = "measured") -> None:
    """Refuse, before any pixel is read, a response that fits the two files with no choice of bands.

    Raises:
        UserError: as `make_srf`; another number of bands than the MSI has.
    """
    if spec is None or (isinstance(spec, str) and spec == ESTIMATE):
        return
    try:
        with silent():
            response = make_srf(spec, wavelength_nm=hsi.wavelength_nm, bands=hsi.shape[0], axis=axis)
    except UserError:
        # The columns of a ready matrix may be the good bands, which are not known yet.
        if _is_table(spec):
            return
        raise
    _check_rows(response, msi.shape[0])


@contextmanager
def silent() -> Iterator[None]:
    """Without the warnings of `make_srf`: it is asked first whether it can, and warns when the response is made."""
    level = make_srf_log.level
    make_srf_log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        make_srf_log.setLevel(level)


def _check_rows(response: Response, bands: int) -> None:
    if len(response.matrix) != bands:
        raise UserError(
            f"the response {response.name} has {len(response.matrix)} bands, HR_MSI has {bands}",
            key="--srf",
            remedy="give the sensor's own, a matrix (MSI bands, HSI bands), or estimate",
        )


def _of_good_bands(spec: Any, pair: PairFiles, axis: str) -> Response:
    hsi, good, used = pair.hsi.file, pair.hsi_bands, pair.msi_bands
    try:
        response = make_srf(spec, wavelength_nm=hsi.wavelength_nm, bands=len(good), axis=axis)
        matrix = response.matrix[:, good]
    except UserError:
        # A ready matrix may have been made for the good bands only.
        if good.all() or not _is_table(spec):
            raise
        wavelength_nm = None if hsi.wavelength_nm is None else hsi.wavelength_nm[good]
        response = make_srf(spec, wavelength_nm=wavelength_nm, bands=int(good.sum()), axis=axis)
        matrix = response.matrix
    _check_rows(response, len(used))
    matrix = matrix[used]
    sums = matrix.sum(axis=1, keepdims=True)
    if (sums <= 0).any():
        raise UserError(
            "an MSI band sees none of the HSI's usable bands",
            key="--srf",
            found=f"MSI bands {(np.flatnonzero(used)[sums[:, 0] <= 0] + 1).tolist()}",
            remedy="choose another response, or estimate",
        )

    def kept(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[used]

    return replace(
        response,
        matrix=matrix / sums,
        centres_nm=kept(response.centres_nm),
        lower_nm=kept(response.lower_nm),
        upper_nm=kept(response.upper_nm),
    )


def _is_table(spec: Any) -> bool:
    from hsipipe.degrade.tables import is_table_path

    return isinstance(spec, np.ndarray) or (isinstance(spec, (str, Path)) and is_table_path(str(spec)))


def _estimated(pair: PairFiles, samples: Sequence[Sample]) -> Response:
    from hsipipe.tasks.fusion.shared.estimate_srf import estimate_srf

    hsi, _ = pool(samples)
    if hsi.shape[1] < 3:
        raise UserError(
            "too few valid pixels in common to estimate the response",
            found=f"{hsi.shape[1]} LR pixels",
            remedy="give --srf",
        )
    msi = rough_scaling(samples)
    step = -(-hsi.shape[1] // _PIXELS)
    scale = max(float(np.percentile(hsi, 99.9)), 1e-12)
    # Spectra stand in one column: nothing in the estimate depends on where a pixel lies.
    matrix = estimate_srf(
        (hsi[:, ::step, None] / scale).astype(np.float32), (msi[:, ::step, None] / scale).astype(np.float32)
    )
    wavelength_nm = pair.hsi.file.wavelength_nm
    good = pair.hsi_bands
    if wavelength_nm is None:
        return Response(np.asarray(matrix, np.float64), "estimate")
    return make_srf(np.asarray(matrix, np.float64), wavelength_nm=wavelength_nm[good], bands=int(good.sum()))
