"""Non-negative matrix factorisation by multiplicative updates, with weights that sum to a given number.

Sources: Lee and Seung, "Algorithms for non-negative matrix factorization", NIPS 13, 2001; Heinz and Chang, "Fully
constrained least squares linear spectral mixture analysis method", IEEE TGRS 39(3), 2001, doi:10.1109/36.911111 (the
sum as one more band).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TINY = np.float32(1e-12)


@dataclass
class Factors:
    """spectra (C, K) and abundances (K, N), float32, not negative."""

    spectra: np.ndarray
    abundances: np.ndarray


def with_sum(bands: np.ndarray, total: np.ndarray | float, strength: float) -> np.ndarray:
    """Bands (C, N) with one more, strength x total: to fit it, abundances of spectra that end in `strength` sum up."""
    row = np.broadcast_to(np.float32(strength) * np.asarray(total, dtype=np.float32), (1, bands.shape[1]))
    return np.concatenate([bands, row])


def update_abundances(factors: Factors, bands: np.ndarray, total: np.ndarray | float, strength: float) -> None:
    """One multiplicative step of the abundances, in place; it never increases the misfit, that of the sum included.

    Args:
        factors: changed.
        bands: (C, N), not negative.
        total: what the abundances of a pixel shall sum to, a number or (N,).
        strength: of that, in the units of the bands.
    """
    spectra = np.concatenate([factors.spectra, np.full((1, factors.spectra.shape[1]), strength, dtype=np.float32)])
    step = spectra.T @ with_sum(bands, total, strength)
    # (C + 1) or K columns: whichever makes the smaller product.
    if len(spectra) < spectra.shape[1]:
        below = spectra.T @ (spectra @ factors.abundances)
    else:
        below = (spectra.T @ spectra) @ factors.abundances
    below += TINY
    step /= below
    factors.abundances *= step


def update_spectra(factors: Factors, bands: np.ndarray) -> None:
    """One multiplicative step of the spectra, in place; it never increases |bands - spectra abundances|^2.

    Args:
        factors: changed.
        bands: (C, N), not negative.
    """
    abundances = factors.abundances
    above = bands @ abundances.T
    factors.spectra *= above / (factors.spectra @ (abundances @ abundances.T) + TINY)


def misfit(factors: Factors, bands: np.ndarray) -> float:
    """|bands - spectra abundances|^2 over |bands|^2."""
    residual = bands - factors.spectra @ factors.abundances
    return float((residual**2).sum(dtype=np.float64) / max(float((bands**2).sum(dtype=np.float64)), 1e-30))
