"""The part of a truth that a prediction of its fusion pair can be scored against.

`hsipipe degrade` leaves out bad bands, crops to whole blocks and, for comparison with SpectraMorph, scales; what is
fused of its two files therefore differs from the scene by as much.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from hsipipe.degrade.files import valid_blocks, whole_blocks
from hsipipe.degrade.pair import peer_normalise
from hsipipe.scenes.scene import Item

log = logging.getLogger(__name__)

SAME_BAND_NM = 0.5  # centres that are no further apart are those of one band


def truth_of_pair(truth: Item, prediction: Item, *, ratio: int, peer: bool) -> Item | None:
    """The truth with the size and the bands of a prediction, or None if it has no such part.

    The prediction has the truth's rows and columns, or those of its whole blocks of `ratio`; and all bands of the
    truth, or its good bands, or bands that are found in it by their wavelengths. What is left out is logged.

    Args:
        truth: with a valid pixel and a good band.
        prediction: what is to be scored.
        ratio: side of a block in pixels.
        peer: scale the truth as `peer_normalise` does, over all its good bands, after the crop.
    """
    bands = matching_bands(truth, prediction)
    size = truth.valid.shape
    blocks = tuple(side // ratio * ratio for side in size)
    if bands is None or prediction.valid.shape not in (size, blocks):
        return None
    if prediction.valid.shape != size:
        truth = whole_blocks(truth, ratio)
    if peer:
        truth = _in_peer_units(truth)
    total, good = len(truth.cube), truth.good_bands
    if len(bands) == total:
        return truth
    unscored = int(good.sum() - good[bands].sum())
    tell = log.warning if unscored else log.info
    lost = f"; {unscored} good bands of the truth are not scored" if unscored else ", the truth's others are bad"
    tell("%s: has %d of the truth's %d bands%s", prediction.source.get("path"), len(bands), total, lost)
    return truth.with_bands(bands)


def matching_bands(truth: Item, prediction: Item) -> np.ndarray | None:
    """The indices of the truth's bands that the prediction's bands are, in their order, or None.

    As many bands are the same bands. As many as the truth has good ones are these, unless both items have wavelengths
    and these disagree. Other bands are found by wavelength: each must be within 0.5 nm of one band of its own.
    """
    count, total = len(prediction.cube), len(truth.cube)
    if count == total:
        return np.arange(total)
    if count > total:
        return None
    good = np.flatnonzero(truth.good_bands)
    known, found = truth.wavelength_nm, prediction.wavelength_nm
    if known is None or found is None:
        return good if len(good) == count else None
    if len(good) == count and (np.abs(known[good] - found) <= SAME_BAND_NM).all():
        return good
    distance = np.abs(np.subtract.outer(found, known))
    nearest = distance.argmin(axis=1)
    near = (distance.min(axis=1) <= SAME_BAND_NM).all()
    return nearest if near and len(np.unique(nearest)) == count else None


def without_lost_blocks(truth: Item, lacking: np.ndarray, *, ratio: int) -> Item:
    """The truth without those pixels that a prediction lacks because their block is invalid in the pair.

    Args:
        truth: what `truth_of_pair` gives.
        lacking: (rows, cols) bool: where the prediction has no value.
        ratio: side of a block in pixels.
    """
    if any(side % ratio for side in truth.valid.shape):
        return truth
    kept = np.kron(valid_blocks(truth.valid, ratio), np.ones((ratio, ratio), bool))
    lost = truth.valid & lacking & ~kept
    if not lost.any():
        return truth
    log.info(
        "%s valid pixels of the truth are not scored: more than half of their block of %d has no data",
        *(f"{lost.sum():,}", ratio),
    )
    return replace(truth, valid=truth.valid & ~lost)


def _in_peer_units(truth: Item) -> Item:
    """The truth's good bands in [0, 1]; bad bands are 0."""
    cube = np.zeros(truth.cube.shape, np.float32)
    cube[truth.good_bands] = peer_normalise(truth.cube[truth.good_bands].astype(np.float32), valid=truth.valid)[0]
    return replace(truth, cube=cube)
