"""Superpixels: small connected regions of similar features.

Source: R. Achanta, A. Shaji, K. Smith, A. Lucchi, P. Fua and S. Suesstrunk, "SLIC superpixels compared to
state-of-the-art superpixel methods", IEEE TPAMI 34(11), 2012, doi:10.1109/TPAMI.2012.120.
"""

from __future__ import annotations

import numpy as np

SMALLEST = 0.25  # of a cell: smaller fragments are given to their most similar neighbour


def superpixels(
    features: np.ndarray, valid: np.ndarray, *, step: int, compactness: float = 0.5, iterations: int = 10
) -> np.ndarray:
    """Divide an image into superpixels of about `step` x `step` pixels.

    k-means in features and position together, in which a pixel chooses among the centres of nine cells: the cell of a
    regular grid that it lies in, and the eight around. The squared distance is |f - c|^2 / m + compactness^2
    |p - q|^2 / (step^2 / 6), with m the mean squared deviation of features within the cells of the grid and step^2 / 6
    that of positions, so that neither has a unit. In the end, each superpixel is made connected.

    Deviation: the paper lets a centre claim pixels in a window around its present place, here the windows stay with the
    grid (the work of a cell is then one product of matrices); features are scaled by their own spread, not by colour
    differences; fragments go to the most similar neighbour, not to any.

    Args:
        features: (d, H, W) float32.
        valid: (H, W) bool.
        step: side of the cells, pixels, 1 or more.
        compactness: weight of position, 0 or more.
        iterations: of the k-means.

    Returns:
        (H, W) int32: superpixels 0, 1, ..., and -1 where not valid.
    """
    rows, cols = valid.shape
    down, across = -(-rows // step), -(-cols // step)
    blocks, inside, place = _blocks(features, valid, step, down, across)
    cells = down * across
    home = np.broadcast_to(np.arange(cells)[:, None], inside.shape)
    spread = blocks - _means(blocks, inside, home, cells)[0][:, None, :]
    typical = float((spread**2).sum(2)[inside].mean())
    blocks = blocks / np.sqrt(typical if typical > 0 else 1.0)
    scale = compactness / np.sqrt(max(step**2 - 1, 1) / 6)
    samples = np.concatenate([blocks, np.broadcast_to(place * scale, (*inside.shape, 2))], axis=2).astype(np.float32)
    around = _around(down, across)
    labels = home
    for _ in range(iterations):
        centres, counts = _means(samples, inside, labels, cells)
        candidates = centres[np.maximum(around, 0)]
        cost = (candidates**2).sum(2)
        cost[(around < 0) | (counts[np.maximum(around, 0)] == 0)] = np.inf
        distances = cost[:, None, :] - 2 * (samples @ candidates.transpose(0, 2, 1))
        following = np.take_along_axis(around, distances.argmin(2), axis=1)
        if np.array_equal(following[inside], labels[inside]):
            break
        labels = following
    image = labels.reshape(down, across, step, step).transpose(0, 2, 1, 3).reshape(down * step, across * step)
    return connect(image[:rows, :cols], features, valid, smallest=max(int(SMALLEST * step**2), 1))


def _blocks(
    features: np.ndarray, valid: np.ndarray, step: int, down: int, across: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (cells, step^2, d), which of them are valid pixels, and rows and columns (cells, step^2, 2)."""
    rows, cols = valid.shape
    rest = (0, down * step - rows), (0, across * step - cols)

    def cut(maps: np.ndarray) -> np.ndarray:
        padded = np.pad(maps, ((0, 0), *rest))
        blocks = padded.reshape(len(maps), down, step, across, step).transpose(1, 3, 2, 4, 0)
        return blocks.reshape(down * across, step * step, len(maps))

    inside = cut(valid[None])[:, :, 0]
    return cut(np.where(valid, features, 0)), inside, cut(np.indices((rows, cols)).astype(np.float32))


def _around(down: int, across: int) -> np.ndarray:
    """The cells (cells, 9) that a pixel of each cell may join, itself first; -1 beyond the image."""
    row, col = np.divmod(np.arange(down * across), across)
    steps = sorted(((r, c) for r in (-1, 0, 1) for c in (-1, 0, 1)), key=lambda pair: abs(pair[0]) + abs(pair[1]))
    columns = []
    for r, c in steps:
        known = (row + r >= 0) & (row + r < down) & (col + c >= 0) & (col + c < across)
        columns.append(np.where(known, (row + r) * across + col + c, -1))
    return np.stack(columns, axis=1)


def _means(samples: np.ndarray, inside: np.ndarray, labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Means (count, d) float32 of the samples of each label, and how many there are."""
    members = labels[inside]
    counts = np.bincount(members, minlength=count)
    sums = np.stack([np.bincount(members, samples[:, :, k][inside], count) for k in range(samples.shape[2])], axis=1)
    return (sums / np.maximum(counts, 1)[:, None]).astype(np.float32), counts


def connect(labels: np.ndarray, features: np.ndarray, valid: np.ndarray, *, smallest: int) -> np.ndarray:
    """Number the connected parts of a label map; parts below `smallest` pixels join the most similar neighbour.

    Parts are connected by edges of pixels, not by corners. A small part without a neighbour stays.

    Args:
        labels: (H, W) integers.
        features: (d, H, W), by whose means parts are compared.
        valid: (H, W) bool; other pixels belong to no part.
        smallest: pixels.

    Returns:
        (H, W) int32: 0, 1, ..., and -1 where not valid.
    """
    first, second = neighbour_pairs(valid)
    flat = labels.ravel()
    same = flat[first] == flat[second]
    parts = _components(flat.size, first[same], second[same])
    while True:
        used, parts = np.unique(parts[valid.ravel()], return_inverse=True)
        full = np.full(flat.size, -1)
        full[valid.ravel()] = parts
        counts = np.bincount(parts, minlength=len(used))
        left, right = full[first], full[second]
        border = left != right
        left, right = left[border], right[border]
        small = counts < smallest
        if not (small[left] | small[right]).any():
            return full.reshape(labels.shape).astype(np.int32)
        means = region_means(features, full.reshape(labels.shape), len(used))
        source, target = np.concatenate([left, right]), np.concatenate([right, left])
        kept = small[source]
        source, target = source[kept], target[kept]
        distances = ((means[source] - means[target]) ** 2).sum(1)
        order = np.lexsort((target, distances, source))
        chosen, where = np.unique(source[order], return_index=True)
        # Each small part joins its most similar neighbour; chains and pairs of small parts become one.
        joined = _components(len(used), chosen, target[order][where])
        parts = np.full(flat.size, -1)
        parts[valid.ravel()] = joined[full[valid.ravel()]]


def neighbour_pairs(valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat indices of all pairs of valid pixels that share an edge."""
    index = np.arange(valid.size).reshape(valid.shape)
    first = np.concatenate([index[:, :-1].ravel(), index[:-1].ravel()])
    second = np.concatenate([index[:, 1:].ravel(), index[1:].ravel()])
    known = valid.ravel()[first] & valid.ravel()[second]
    return first[known], second[known]


def region_means(features: np.ndarray, regions: np.ndarray, count: int) -> np.ndarray:
    """Mean features (count, d) float32 of the regions of a map (H, W) of 0 to count-1, -1 for none."""
    inside = regions >= 0
    members = regions[inside]
    counts = np.maximum(np.bincount(members, minlength=count), 1)
    return np.stack([np.bincount(members, band[inside], count) / counts for band in features], axis=1).astype(
        np.float32
    )


def _components(size: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Connected components (size,) of a graph given by its edges."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(first), np.int8), (first, second)), shape=(size, size))
    return connected_components(graph, directed=False)[1]
