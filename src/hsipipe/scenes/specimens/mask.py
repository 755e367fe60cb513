"""Which pixels of an image are the specimen: neither background nor lines that the camera lost."""

from __future__ import annotations

import numpy as np

LEAST_SHARE = 0.005  # of the image; what is smaller is no specimen
BINS = 256


def otsu_threshold(values: np.ndarray) -> float:
    """The threshold that parts values into two classes of the greatest variance between them.

    Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. SMC 9(1), 1979.

    Args:
        values: any shape, finite, not all equal.

    Returns:
        A number: class one is <= it. Of 256 bins between the smallest and largest value.
    """
    counts, edges = np.histogram(values, BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    between[~np.isfinite(between)] = -1
    best = np.flatnonzero(between == between.max())
    # Between two separate classes every empty bin is as good; the middle one is the fairest.
    return float(edges[1:][best].mean())


def separate_specimen(cube: np.ndarray, usable: np.ndarray) -> np.ndarray | None:
    """The specimen by its contrast to the background, whatever is darker.

    The background's spectrum is the median over the rim of the image. The distance of each pixel's spectrum to it
    (root mean square over bands, on a root scale, which evens out photon noise) is parted by Otsu's threshold; holes
    are filled, and pieces below a tenth of the largest dropped. Pixels of the rim that are partly specimen are in.

    Args:
        cube: (bands, rows, cols), any real type.
        usable: (rows, cols) bool; False: lost lines, declared background.

    Returns:
        (rows, cols) bool, or None where no specimen stands out (no usable rim, no contrast, less than 0.5 % of the
        image, or nearly all of it).
    """
    from scipy import ndimage

    rows, cols = usable.shape
    width = max(1, min(rows, cols) // 24)
    rim = np.ones((rows, cols), bool)
    rim[width : rows - width, width : cols - width] = False
    rim &= usable
    if rim.sum() < 8 or min(rows, cols) < 4:
        return None
    total = np.zeros((rows, cols))
    for band in cube:
        plane = np.sqrt(np.maximum(band.astype(np.float64), 0))
        total += (plane - np.median(plane[rim])) ** 2
    distance = np.sqrt(np.sqrt(total / len(cube)))
    inner = distance[usable]
    if not np.isfinite(inner).all() or inner.max() <= inner.min():
        return None
    found = (distance > otsu_threshold(inner)) & usable
    # A lost line must not cut a hole open, or a specimen in two.
    found = ndimage.binary_closing(found | ~usable & ndimage.binary_dilation(found, iterations=2))
    found = ndimage.binary_fill_holes(found)
    pieces, count = ndimage.label(found, structure=np.ones((3, 3)))
    if count == 0:
        return None
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    found = np.isin(pieces, np.flatnonzero(sizes >= 0.1 * sizes.max()))
    share = found.mean()
    return found if LEAST_SHARE <= share <= 1 - LEAST_SHARE else None


def dead_lines(cube: np.ndarray, declared: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Lines of the scan and columns of the detector without a measurement.

    A line (row) is dead if in most bands all its samples are one value, as a dropped frame's are; so is a column, the
    dead lines left out. Lines at the edge of the image that its file declares to be background are no dead lines.

    Args:
        cube: (bands, rows, cols) as stored.
        declared: (rows, cols) bool, False where the file says that nothing was measured (nodata, zeros); None: nowhere.

    Returns:
        (rows,) and (cols,) bool; all False in images with fewer than three of the other.
    """
    rows, cols = cube.shape[1:]
    known = np.ones((rows, cols), bool) if declared is None else declared
    dead_rows, dead_cols = np.zeros(rows, bool), np.zeros(cols, bool)
    if cols >= 3:
        dead_rows = _without_edges(_constant_along(cube), np.asarray(~known.any(axis=1)))
    left = cube[:, ~dead_rows]
    if left.shape[1] >= 3:
        dead_cols = _without_edges(_constant_along(left.transpose(0, 2, 1)), np.asarray(~known[~dead_rows].any(axis=0)))
    return dead_rows, dead_cols


def _constant_along(cube: np.ndarray) -> np.ndarray:
    """(lines,) bool: lines of (bands, lines, samples) that hold one value in more than half of the bands."""
    return sum((band == band[:, :1]).all(axis=1).astype(int) for band in cube) > len(cube) / 2


def _without_edges(dead: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Dead lines without the runs of background that begin at either end."""
    inner = np.flatnonzero(~background)
    kept = dead.copy()
    if len(inner):
        kept[: inner[0]] = False
        kept[inner[-1] + 1 :] = False
    return kept
