"""How many clusters there are, where the user does not say."""

from __future__ import annotations

from typing import Any

import numpy as np

from hsipipe.tasks.segmentation.shared.mixture import fit_mixture
from hsipipe.tasks.segmentation.shared.scaling import moments

PIXELS_PER_SAMPLE = 25.0
SAMPLES, AXES, PATIENCE = 4000, 10, 3


def count_clusters(
    samples: np.ndarray,
    *,
    most: int,
    random: np.random.Generator,
    pixels: int,
    covariance: str = "full",
    pixels_per_sample: float = PIXELS_PER_SAMPLE,
) -> tuple[int, dict[str, Any]]:
    """The number of Gaussian components with the least Bayesian information criterion (BIC).

    Pixels of an image are not independent samples: with each counted as one, the criterion asks for as many components
    as it is offered. Here `pixels_per_sample` of them count as one (a block of 5 x 5 by default), in the likelihood and
    in the penalty. The features are taken along their first 10 principal axes, and the search ends when three numbers
    in a row have not done better.

    Source: G. Schwarz, "Estimating the dimension of a model", Annals of Statistics 6(2), 1978.

    Args:
        samples: (N, d) float32 features of the pixels, or of a part of them.
        most: the largest number tried; at least 2 is always chosen.
        random: draws the starts.
        pixels: number of pixels in the image, of which `samples` may be a part.
        covariance: of the mixture, as `fit_mixture` takes it.
        pixels_per_sample: how many pixels tell as much as one independent sample; 1 for the plain criterion.

    Returns:
        The number, and facts for `Clusters.found`: `chosen_by`, and `bic` by number.

    Raises:
        UserError: fewer than two different samples.
    """
    if len(samples) > SAMPLES:
        samples = samples[random.choice(len(samples), SAMPLES, replace=False)]
    mean, spread = moments(samples)
    axes = np.linalg.eigh(spread)[1][:, ::-1][:, :AXES]
    samples = ((samples - mean) @ axes).astype(np.float32)
    effective = max(pixels / pixels_per_sample, 2.0)
    scores: dict[int, float] = {}
    for clusters in range(2, min(most, len(samples)) + 1):
        mixture = fit_mixture(samples, clusters, random=random, covariance=covariance, starts=3, iterations=50)
        scores[clusters] = mixture.bic(effective)
        best = min(scores, key=lambda number: scores[number])
        if clusters - best >= PATIENCE:
            break
    found = {"chosen_by": "bic", "bic_by_clusters": {str(number): score for number, score in scores.items()}}
    return min(scores, key=lambda number: scores[number]), found
