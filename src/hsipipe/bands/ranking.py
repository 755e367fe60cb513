"""Strategies that rank each band by its share of the variance (variance, pca), and earlier work's rules (peer-*)."""

from __future__ import annotations

import numpy as np

from hsipipe.bands.candidates import Candidates, Choice
from hsipipe.errors import UserError


def _best(scores: np.ndarray, count: int) -> Choice:
    """The `count` highest scores; of equal ones the earlier band."""
    chosen = np.argsort(-scores, kind="stable")[:count]
    return chosen, scores[chosen]


def variance(candidates: Candidates, *, count: int) -> Choice:
    """The bands of largest variance over the training spectra.

    This is MVPCA with all components: Chang, Du, Sun, Althouse, "A joint band prioritization and band-decorrelation
    approach to band selection for hyperspectral image classification", IEEE TGRS 37(6), 1999. Neighbouring bands are
    much alike and rank together, so the choice is redundant.
    """
    return _best(np.diag(candidates.covariance()).copy(), candidates.check_count(count))


def pca(candidates: Candidates, *, count: int, components: int | None = None, standardise: bool = False) -> Choice:
    """The bands that carry most of the leading principal components' variance.

    The score of band b is sum over components k of lambda_k v_bk^2, with lambda_k the variance along the unit
    eigenvector v_k: the part of the band's variance that lies in those components.

    Args:
        count: number of bands.
        components: number of leading components; by default as few as hold 99.9 % of the variance, so that noise does
            not count.
        standardise: divide each band by its standard deviation first: the score is then the share of a band's own
            variance that the components explain.
    """
    values, vectors = _eigen(candidates, standardise)
    number = candidates.check_count(count)
    if components is None:
        share = np.cumsum(values) / max(values.sum(), np.finfo(float).tiny)
        components = int(np.searchsorted(share, 0.999 - 1e-12) + 1)
    elif isinstance(components, bool) or not isinstance(components, int) or not 1 <= components <= len(candidates):
        raise UserError(f"must lie between 1 and {len(candidates)}", key="bands.components", found=repr(components))
    return _best(vectors[:, :components] ** 2 @ values[:components], number)


def _eigen(candidates: Candidates, standardise: bool) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (descending, not negative) and eigenvectors (columns) of the covariance or correlation."""
    matrix = correlation(candidates.covariance()) if standardise else candidates.covariance()
    values, vectors = np.linalg.eigh(matrix)
    return np.maximum(values[::-1], 0), vectors[:, ::-1]


def correlation(covariance: np.ndarray) -> np.ndarray:
    """Correlation of a covariance; a constant band correlates with nothing, itself included."""
    deviation = np.sqrt(np.diag(covariance))
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    return covariance * scale[:, None] * scale


def peer_every_nth(candidates: Candidates, *, count: int) -> Choice:
    """Every nth good band from the first, n = bands // count: the rule of the lepidoptera SimCLR work.

    It stops early: of 408 bands, 50 by steps of 8 never reach the last 16.
    """
    number = candidates.check_count(count)
    return np.arange(0, len(candidates), len(candidates) // number)[:number], None


def peer_pca(candidates: Candidates, *, count: int) -> Choice:
    """The rule of the lepidoptera SimCLR work: unweighted sum of the absolute loadings of the first `count` components.

    A component counts as much as any other, however little variance it has; with many components most are noise.
    """
    number = candidates.check_count(count)
    _, vectors = _eigen(candidates, standardise=False)
    return _best(np.abs(vectors[:, :number]).sum(axis=1), number)
