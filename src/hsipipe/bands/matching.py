"""Whether a model made for certain bands serves a scene of others, and the way there and back if it does."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hsipipe.bands.resample import interpolation
from hsipipe.errors import UserError

SAME_NM = 1.0  # centres that differ by less are the same band
MARGIN_NM = 50.0  # how far bands may lie beyond the other range
MOST_OUTSIDE = 0.1  # share of bands that may lie farther out

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Matching:
    """Linear interpolation between the bands of a scene and those of a model.

    Attributes: there (model bands, scene bands), back (scene bands, model bands), float32.
    """

    there: np.ndarray
    back: np.ndarray


def match_bands(
    trained_nm: np.ndarray | None,
    given_nm: np.ndarray | None,
    *,
    needed: int,
    given: int,
    path: str | Path,
    back: bool = True,
) -> Matching | None:
    """How a scene's bands are brought to a model's: not at all (None) where they are the same.

    Args:
        trained_nm: (needed,) wavelengths that the model was trained on, or None if they are not known.
        given_nm: (given,) wavelengths of the scene, or None.
        needed, given: numbers of bands of the model and of the scene.
        path: the model's file, for messages.
        back: whether what the model makes is brought back to the scene's bands, so that these must lie within the
            model's range too; without it only the model's must lie within the scene's.

    Raises:
        UserError: another number of bands where wavelengths are not known, or wavelengths that lie outside those
            trained on, or the reverse.
    """
    if trained_nm is None or given_nm is None:
        if needed != given:
            raise UserError(
                f"was trained for {needed} bands",
                file=path,
                found=f"{given} bands, and wavelengths to resample by are not known",
                remedy="use a band-agnostic method, or train on this sensor",
            )
        if trained_nm is not None:
            log.warning(
                "%s: made for bands of %.0f to %.0f nm; the file tells none, and its %d bands are taken for these",
                *(path, trained_nm.min(), trained_nm.max(), given),
            )
        return None
    if needed == given and np.abs(trained_nm - given_nm).max() <= SAME_NM:
        return None
    ways = [("trained on", trained_nm, given_nm), *([("given", given_nm, trained_nm)] if back else [])]
    for what, inner, outer in ways:
        outside = float(np.mean((inner < outer.min() - MARGIN_NM) | (inner > outer.max() + MARGIN_NM)))
        if outside > MOST_OUTSIDE:
            raise UserError(
                f"was trained on {trained_nm.min():.0f} to {trained_nm.max():.0f} nm",
                file=path,
                found=f"{given_nm.min():.0f} to {given_nm.max():.0f} nm; {outside:.0%} of the bands {what} lie outside",
                remedy="use a model of this spectral range, a band-agnostic method, or an untrained one",
            )
    span = f"{trained_nm.min():.0f} to {trained_nm.max():.0f} nm"
    log.warning(
        "%s: made for %d bands of %s; the %d bands of %.0f to %.0f nm are resampled to them, which averages noise",
        *(path, needed, span, given, given_nm.min(), given_nm.max()),
    )
    step = float(np.median(np.diff(np.sort(trained_nm)))) if needed > 1 else 0.0
    beyond = int(((trained_nm < given_nm.min() - step) | (trained_nm > given_nm.max() + step)).sum())
    if beyond:
        log.warning("%s: %d of its bands lie beyond those of the file and take the values at their ends", path, beyond)
    there, home = interpolation(given_nm, trained_nm), interpolation(trained_nm, given_nm)
    return Matching(there.astype(np.float32), home.astype(np.float32))
