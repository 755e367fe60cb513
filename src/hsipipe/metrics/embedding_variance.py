"""How much of the variation of embeddings a factor explains, dimension by dimension and in all of them together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsipipe.errors import UserError
from hsipipe.metrics.embedding_permutations import permuted_labels
from hsipipe.randomness import generator_for

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class DimensionTests:
    """Attributes: statistic (D,): Kruskal-Wallis H, corrected for ties; p (D,); adjusted (D,): p after Benjamini and
    Hochberg; all NaN for a dimension that does not vary, which is not counted as tested."""

    statistic: np.ndarray
    p: np.ndarray
    adjusted: np.ndarray

    def significant(self, level: float = SIGNIFICANCE) -> float:
        """Share of the tested dimensions, in [0, 1], whose adjusted p is at most `level`; NaN where none was tested."""
        tested = self.adjusted[np.isfinite(self.adjusted)]
        return float((tested <= level).mean()) if len(tested) else float("nan")


@dataclass(frozen=True)
class Permanova:
    """Attributes: f: pseudo-F; r2: share of the sum of squared distances that lies between classes, 0 to 1; p: share of
    permutations, the true labels included, whose F is as high; null_f, null_r2 (P,): values of the permutations."""

    f: float
    r2: float
    p: float
    null_f: np.ndarray
    null_r2: np.ndarray


def eta_squared(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Share of each dimension's sum of squares that lies between classes, (D,), 0 to 1; NaN where it does not vary.

    Its expectation for classes that mean nothing is (K - 1) / (N - 1), not 0.

    Args:
        features: (N, D); labels: (N,) of at least two classes.
    """
    features, codes, classes = _check(features, labels)
    centred = features - features.mean(0)
    total = (centred**2).sum(0)
    total[_constant(features)] = 0
    member = np.zeros((classes, len(codes)))
    member[codes, np.arange(len(codes))] = 1
    between = ((member @ centred) ** 2 / member.sum(1)[:, None]).sum(0)
    return np.divide(between, total, out=np.full(len(total), np.nan), where=total > 0)


def kruskal_wallis(features: np.ndarray, labels: np.ndarray) -> DimensionTests:
    """Kruskal and Wallis' rank test of each dimension, with p corrected for their number.

    Args:
        features: (N, D); labels: (N,) of at least two classes.

    Source: W. Kruskal, W. Wallis, Journal of the American Statistical Association 47, 1952,
    doi:10.1080/01621459.1952.10483441; Y. Benjamini, Y. Hochberg, Journal of the Royal Statistical Society B 57(1),
    1995, doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    from scipy.stats import chi2, rankdata

    features, codes, classes = _check(features, labels)
    count = len(codes)
    ranks = rankdata(features, axis=0)
    member = np.zeros((classes, count))
    member[codes, np.arange(count)] = 1
    sums = member @ ranks
    statistic = 12 / (count * (count + 1)) * (sums**2 / member.sum(1)[:, None]).sum(0) - 3 * (count + 1)
    # With ties the ranks vary less: their sum of squares over that of 1..N is the usual correction.
    spread = ((ranks - (count + 1) / 2) ** 2).sum(0) * 12 / (count**3 - count)
    varies = (spread > 0) & ~_constant(features)
    statistic = np.divide(statistic, spread, out=np.full(len(spread), np.nan), where=varies)
    p = chi2.sf(statistic, classes - 1)
    return DimensionTests(statistic, p, adjusted_p(p))


def adjusted_p(p: np.ndarray) -> np.ndarray:
    """p-values (D,) after Benjamini and Hochberg's correction for the false discovery rate; NaN stays, uncounted."""
    from scipy.stats import false_discovery_control

    p = np.asarray(p, np.float64)
    adjusted = np.full(p.shape, np.nan)
    tested = np.isfinite(p)
    if tested.any():
        adjusted[tested] = false_discovery_control(p[tested], method="bh")
    return adjusted


def permanova(
    distances: np.ndarray,
    labels: np.ndarray,
    *,
    permutations: int = 999,
    seed: int = 0,
    groups: np.ndarray | None = None,
    strata: np.ndarray | None = None,
    at_a_time: int = 256,
) -> Permanova:
    """Permutational multivariate analysis of variance with one factor.

    With G = -C D² C / 2 (C the centring matrix, D² the squared distances), the total sum of squares is the trace of G
    and that between classes is sum_k (1_k' G 1_k) / n_k; pseudo-F = (SSB / (K - 1)) / (SSW / (N - K)).

    Args:
        distances: (N, N), symmetric with zeros on the diagonal.
        labels: (N,) of at least two classes, and more samples than classes.
        permutations, seed: of the null.
        groups: units exchanged whole; strata: sets that labels do not leave; see `permuted_labels`.
        at_a_time: permutations computed together.

    Raises:
        UserError: shapes that differ, fewer than two classes, as many classes as samples, or distances that are all 0.

    Source: M. J. Anderson, Austral Ecology 26, 2001, doi:10.1111/j.1442-9993.2001.01070.pp.x; the centred matrix:
    B. McArdle, M. Anderson, Ecology 82(1), 2001, doi:10.1890/0012-9658(2001)082[0290:FMMTCD]2.0.CO;2.
    """
    distances = np.asarray(distances, np.float64)
    classes, codes = np.unique(labels, return_inverse=True)
    count = len(codes)
    if distances.shape != (count, count):
        raise UserError(f"distances of {distances.shape} do not fit {count} labels")
    if not 2 <= len(classes) < count:
        raise UserError(f"PERMANOVA needs 2 to N - 1 classes of N = {count} samples", key="labels", found=len(classes))
    inner = -0.5 * distances**2
    inner -= inner.mean(0)
    inner -= inner.mean(1, keepdims=True)
    total = float(np.trace(inner))
    if total <= 0:
        raise UserError("all samples lie at one place: there is no variance to explain", found="distances of 0")
    shuffled = permuted_labels(
        codes,
        permutations=permutations,
        generator=generator_for("permanova", seed),
        groups=groups,
        strata=strata,
    )
    lines = np.vstack([codes, shuffled])
    r2 = np.concatenate(
        [
            _between(inner, lines[start : start + at_a_time], len(classes)) / total
            for start in range(0, len(lines), at_a_time)
        ]
    )
    with np.errstate(divide="ignore"):
        f = (r2 / (len(classes) - 1)) / (np.maximum(1 - r2, 0) / (count - len(classes)))
    # F rises with R2, which has no infinities; rounding must not part equal labellings.
    p = (1 + int((r2[1:] >= r2[0] - 1e-12).sum())) / (1 + permutations)
    return Permanova(float(f[0]), float(r2[0]), p, f[1:], r2[1:])


def _between(inner: np.ndarray, lines: np.ndarray, classes: int) -> np.ndarray:
    """Sum of squares between classes for each line of codes (P, N): (P,)."""
    member = (lines[:, None, :] == np.arange(classes)[:, None]).astype(np.float64)
    counts = member.sum(2)
    flat = member.reshape(-1, member.shape[2])
    sums = np.einsum("ij,ij->i", flat @ inner, flat).reshape(counts.shape)
    return np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0).sum(1)


def _constant(features: np.ndarray) -> np.ndarray:
    return np.ptp(features, axis=0) == 0


def _check(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    features = np.asarray(features, np.float64)
    classes, codes = np.unique(labels, return_inverse=True)
    if features.ndim != 2 or len(features) != len(codes):
        raise UserError(f"features of {features.shape} do not fit {len(codes)} labels")
    if len(classes) < 2:
        raise UserError("needs samples of at least two classes", key="labels", found=f"{len(classes)} class(es)")
    return features, codes, len(classes)
