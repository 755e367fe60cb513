"""OPBS: orthogonal-projection band selection."""

from __future__ import annotations

import numpy as np

from hsipipe.bands.candidates import Candidates, Choice


def opbs(candidates: Candidates, *, count: int) -> Choice:
    """Bands that span the largest volume: each next one has the largest residual after projection on those before.

    The squared volume of the ellipsoid of a set of bands is the determinant of their covariance. Adding band b
    multiplies it by b's residual variance given the chosen bands, so the greedy choice is the pivot order of a Cholesky
    factorisation of the covariance; its pivots are the scores. The number of pixels does not matter to its cost.

    Source: Zhang, Li, Dou, Zhao, "A geometry-based band selection approach for hyperspectral image analysis", IEEE TGRS
    56(8), 2018.
    """
    covariance = candidates.covariance()
    number = candidates.check_count(count)
    residual = np.diag(covariance).copy()
    floor = residual.max() * 1e-12
    factor = np.zeros((number, len(covariance)))
    chosen = np.zeros(number, int)
    scores = np.zeros(number)
    free = np.ones(len(covariance), bool)
    for step in range(number):
        pivot = int(np.argmax(np.where(free, residual, -np.inf)))
        if residual[pivot] <= floor:  # the chosen bands explain all others: what is left to rank by is their variance
            chosen[step:] = np.argsort(np.where(free, -np.diag(covariance), np.inf), kind="stable")[: number - step]
            break
        chosen[step], scores[step] = pivot, residual[pivot]
        free[pivot] = False
        row = covariance[pivot] - factor[:step, pivot] @ factor[:step]
        factor[step] = row / np.sqrt(residual[pivot])
        residual = np.maximum(residual - factor[step] ** 2, 0)
    return chosen, scores
