"""A contrastive loss of places: what two views show of the same place of a specimen is to have like features.

Two views are cropped and warped independently, so a location of one feature map shows what another location of the
other map shows. The sampling grids of the views tell where: locations are paired by their place in the source image,
as in Z. Xie et al., Propagate Yourself: Exploring Pixel-Level Consistency for Unsupervised Visual Representation
Learning, CVPR 2021, arXiv 2011.10043, section 3.1, and P. O. Pinheiro et al., Unsupervised Learning of Dense Visual
Representations, NeurIPS 2020, arXiv 2011.05499.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from hsipipe.errors import UserError, unknown
from hsipipe.tasks.representation.shared.contrastive import at_least_float32, check_temperature, unit_vectors

Matching = Literal["position", "peer"]
MATCHINGS: dict[str, str] = {
    "position": "locations of the two views that show the same place of the source",
    "peer": "locations of the same index, whatever they show, against that index of the other samples",
}


class LocalLoss(NamedTuple):
    """Value of the local loss (a scalar with a graph) and the number of pairs that it is the mean of (a scalar)."""

    value: Tensor
    pairs: Tensor


class Locations(NamedTuple):
    """Locations of the feature maps of one view.

    Attributes:
        positions: (B, L, 2) place in the source image, as fractions of its width and height, 0 to 1 within it.
        counted: (B, L) whether it shows enough of the specimen.
    """

    positions: Tensor
    counted: Tensor


def local_loss(
    maps_1: Tensor,
    maps_2: Tensor,
    grids_1: Tensor,
    grids_2: Tensor,
    *,
    masks_1: Tensor | None = None,
    masks_2: Tensor | None = None,
    temperature: float = 0.1,
    distance: float = 0.1,
    coverage: float = 0.5,
    anchors: int = 4096,
    negatives: int = 1024,
    matching: Matching = "position",
    generator: torch.Generator | None = None,
) -> LocalLoss:
    """NT-Xent on pairs of locations, in both directions.

    With `matching="position"` an anchor is any location of either view that counts and whose nearest location in the
    other view that counts is within `distance`: this one is its positive. Its negatives are locations of both views of
    all samples, `negatives` of them drawn for all anchors together, less those of its own sample within `distance` of
    its place (itself and its like). The loss is the mean over anchors of
    -log(exp(s_positive / t) / (exp(s_positive / t) + sum over negatives of exp(s / t))), s being cosines.

    With `matching="peer"` it is the index-matched form: NT-Xent over the batch at each location, averaged over
    locations. It takes no note of where the views were cropped, and uses neither grids nor masks.

    Deviation: Xie et al. take all locations within the distance as positives and negatives from the other view of the
    same image alone; here it is the nearest, and the batch.

    Args:
        maps_1: (B, d, h, w) features of the first views, of any length: they are normalised here.
        maps_2: (B, d, h, w), for "position" of any h and w.
        grids_1: (B, size, size, 2) where in the source each pixel of the view lies: (x, y), -1 to 1 within the source.
        grids_2: (B, size, size, 2).
        masks_1: (B, 1, size, size) 1 on the specimen, 0 elsewhere; without it all within the source counts.
        masks_2: (B, 1, size, size).
        temperature: above 0.
        distance: how far apart two locations of a pair may be, as a fraction of the source's side, above 0.
        coverage: least fraction of a location's cell that is on the specimen, 0 to 1 (at 0: any of it).
        anchors: at most that many anchors, drawn at random, at least 1; it bounds the memory.
        negatives: at most that many locations to draw negatives from, at least 1.
        matching: a key of `MATCHINGS`.
        generator: of the draws of anchors and negatives, on the CPU or the maps' device; else torch's own generator.

    Returns:
        The value and the number of anchors. Where nothing matches they are 0 and 0, with gradients of zero.

    Raises:
        UserError: an unknown matching, or a setting out of its range.
        ValueError: shapes that do not fit together.
    """
    check_temperature(temperature)
    if matching not in MATCHINGS:
        raise unknown("matching", matching, MATCHINGS)
    _check_ranges(distance, coverage, anchors, negatives)
    if maps_1.ndim != 4 or maps_2.ndim != 4 or maps_1.shape[:2] != maps_2.shape[:2]:
        raise ValueError(f"maps must be (B, d, h, w), not {tuple(maps_1.shape)} and {tuple(maps_2.shape)}")
    with torch.autocast(maps_1.device.type, enabled=False):
        first, second = _vectors(maps_1), _vectors(maps_2)
        if matching == "peer":
            return _index_matched(first, second, temperature)
        places_1 = locations(grids_1, maps_1.shape[-2:], mask=masks_1, coverage=coverage)
        places_2 = locations(grids_2, maps_2.shape[-2:], mask=masks_2, coverage=coverage)
        return _position_matched(
            (first, second),
            (places_1, places_2),
            temperature=temperature,
            distance=distance,
            anchors=anchors,
            negatives=negatives,
            generator=generator,
        )


def locations(grid: Tensor, shape: Sequence[int], *, mask: Tensor | None = None, coverage: float = 0.5) -> Locations:
    """Where the locations of a feature map lie in the source image, and whether they count.

    A location is the mean place of its cell, the pixels of the view above it. It counts if that is within the source
    and at least the fraction `coverage` of its cell is on the specimen (and more than none).

    Args:
        grid: (B, size, size, 2), (x, y) from -1 to 1 within the source.
        shape: (h, w) of the feature map, L = h * w.
        mask: (B, 1, size, size) 1 on the specimen, or None: all of it.
        coverage: 0 to 1.
    """
    if grid.ndim != 4 or grid.shape[-1] != 2 or (mask is not None and mask.shape != (len(grid), 1, *grid.shape[1:3])):
        found = None if mask is None else tuple(mask.shape)
        raise ValueError(f"grids must be (B, size, size, 2), masks (B, 1, size, size): {tuple(grid.shape)}, {found}")
    size = (shape[0], shape[1])
    places = functional.adaptive_avg_pool2d(at_least_float32(grid).permute(0, 3, 1, 2), size).flatten(2).transpose(1, 2)
    positions = (places + 1) / 2
    counted = ((positions >= 0) & (positions <= 1)).all(-1)
    if mask is not None:
        share = functional.adaptive_avg_pool2d(at_least_float32(mask), size).flatten(1)
        counted &= (share >= coverage) & (share > 0)
    return Locations(positions, counted)


def match(here: Locations, there: Locations, *, distance: float) -> tuple[Tensor, Tensor]:
    """For each location of one view the nearest that counts in the other view of the same sample.

    Returns:
        (B, L) index among the locations `there`, and (B, L) whether it is a pair: both count, within `distance`.
    """
    # without the expansion of the square, whose rounding is as large as a short distance
    apart = torch.cdist(here.positions, there.positions, compute_mode="donot_use_mm_for_euclid_dist")
    nearest, index = apart.masked_fill(~there.counted[:, None], math.inf).min(-1)
    return index, here.counted & (nearest <= distance)


def _position_matched(
    features: tuple[Tensor, Tensor],
    places: tuple[Locations, Locations],
    *,
    temperature: float,
    distance: float,
    anchors: int,
    negatives: int,
    generator: torch.Generator | None,
) -> LocalLoss:
    (first, second), (places_1, places_2) = features, places
    count, length_1, length_2 = len(first), first.shape[1], second.shape[1]
    # Both views in one row of locations per sample: the first view's, then the second's.
    vectors = torch.cat([first, second], 1).flatten(0, 1)
    positions = torch.cat([places_1.positions, places_2.positions], 1).flatten(0, 1)
    counted = torch.cat([places_1.counted, places_2.counted], 1).flatten()
    length = length_1 + length_2
    to_2, is_pair_1 = match(places_1, places_2, distance=distance)
    to_1, is_pair_2 = match(places_2, places_1, distance=distance)
    row = torch.arange(count, device=first.device)[:, None] * length
    partner = torch.cat([row + length_1 + to_2, row + to_1], 1).flatten()

    chosen = _draw(torch.cat([is_pair_1, is_pair_2], 1).flatten().nonzero()[:, 0], anchors, generator)
    if len(chosen) == 0:
        return LocalLoss(0 * vectors.sum(), chosen.new_zeros(()))
    pool = _draw(counted.nonzero()[:, 0], negatives, generator)
    anchor = vectors[chosen]
    positive = (anchor * vectors[partner[chosen]]).sum(1, keepdim=True) / temperature
    others = anchor @ vectors[pool].T / temperature
    same_sample = (chosen // length)[:, None] == (pool // length)
    apart = torch.cdist(positions[chosen], positions[pool], compute_mode="donot_use_mm_for_euclid_dist")
    others = others.masked_fill(same_sample & (apart <= distance), -math.inf)
    value = (torch.cat([positive, others], 1).logsumexp(1) - positive[:, 0]).mean()
    return LocalLoss(value, torch.tensor(len(chosen), device=value.device))


def _index_matched(first: Tensor, second: Tensor, temperature: float) -> LocalLoss:
    if first.shape != second.shape:
        raise ValueError(f"the peer matching needs maps of one size, not {first.shape[1]} and {second.shape[1]} places")
    count, length = first.shape[:2]
    if count < 2:
        raise UserError(
            "the peer matching contrasts samples, and there is one only",
            key="batch_size",
            found=count,
            remedy="give a larger batch",
        )
    views = torch.cat([first, second]).transpose(0, 1)  # (L, 2 B, d)
    logits = views @ views.transpose(1, 2) / temperature
    itself = torch.eye(2 * count, dtype=torch.bool, device=logits.device)
    positive = torch.arange(2 * count, device=logits.device).roll(count).repeat(length)
    value = functional.cross_entropy(logits.masked_fill(itself, -math.inf).flatten(0, 1), positive)
    return LocalLoss(value, torch.tensor(2 * count * length, device=value.device))


def _vectors(maps: Tensor) -> Tensor:
    """Features of locations at length 1, (B, L, d)."""
    return unit_vectors(at_least_float32(maps).flatten(2).transpose(1, 2))


def _draw(indices: Tensor, most: int, generator: torch.Generator | None) -> Tensor:
    """All indices if there are at most `most`, else that many of them at random."""
    if len(indices) <= most:
        return indices
    device = indices.device if generator is None else generator.device
    return indices[torch.randperm(len(indices), generator=generator, device=device)[:most].to(indices.device)]


def _check_ranges(distance: float, coverage: float, anchors: int, negatives: int) -> None:
    if not 0 < distance < math.inf:
        raise UserError("must be above 0", key="distance", found=distance, remedy="give a fraction of the image's side")
    if not 0 <= coverage <= 1:
        raise UserError("must be from 0 to 1", key="coverage", found=coverage)
    for key, value in (("anchors", anchors), ("negatives", negatives)):
        if value < 1:
            raise UserError("must be at least 1", key=key, found=value)
