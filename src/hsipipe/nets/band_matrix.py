"""Kernels over wavelength, taken from one sensor's bands to another's."""

from __future__ import annotations

import numpy as np


def band_matrix(source_nm: np.ndarray, target_nm: np.ndarray) -> np.ndarray:
    """Which share of each source band's weight goes to each target band, (source, target); rows sum to 1.

    The kernel is interpolated linearly over wavelength: target band t takes of source band s what the triangular
    function that is 1 at s and 0 at its neighbours has at t. Each source band's shares are then scaled to a sum of 1:
    the bands that lie between two of the other sensor share its weight, and a constant spectrum keeps its response
    exactly. A source band whose triangle holds no target band (a finer sensor than the target's) goes to the two
    target bands around it, by linear interpolation of the spectrum. One that lies outside the target's range by more
    than a band goes to all target bands evenly; target bands outside the source's range get nothing.

    Args:
        source_nm, target_nm: (bands,) wavelengths, nm, in any order.
    """
    order = np.argsort(target_nm, kind="stable")
    sorted_target = target_nm[order]
    nodes = np.unique(source_nm)
    matrix = np.zeros((len(source_nm), len(target_nm)))
    # A band reaches half the distance to its neighbour beyond the first and the last centre.
    margin = np.diff(nodes).mean() / 2 if len(nodes) > 1 else 0.0
    reach = np.diff(sorted_target).mean() if len(sorted_target) > 1 else 0.0
    inside = (target_nm >= nodes[0] - margin) & (target_nm <= nodes[-1] + margin)
    for row, centre in zip(matrix, source_nm, strict=True):
        triangle = np.where(inside, np.interp(target_nm, nodes, (nodes == centre).astype(float)), 0.0)
        if triangle.sum() > 0:
            row[:] = triangle / triangle.sum()
        elif sorted_target[0] - reach <= centre <= sorted_target[-1] + reach:
            after = min(int(np.searchsorted(sorted_target, centre)), len(order) - 1)
            before = max(after - 1, 0)
            gap = sorted_target[after] - sorted_target[before]
            share = float(np.clip((centre - sorted_target[before]) / gap, 0, 1)) if gap > 0 else 1.0
            row[order[before]] += 1 - share
            row[order[after]] += share
        else:
            row[:] = 1 / len(row)
    return matrix
