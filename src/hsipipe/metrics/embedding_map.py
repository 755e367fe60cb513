"""Embeddings on a plane, to look at."""

from __future__ import annotations

import numpy as np

from hsipipe.errors import UserError, unknown
from hsipipe.metrics.embedding_probe import fit_scaling

MAPS = ("pca", "tsne")


def embedding_map(features: np.ndarray, *, method: str = "pca", seed: int = 0, perplexity: float = 30.0) -> np.ndarray:
    """Coordinates (N, 2) float64 of embeddings on a plane.

    `pca`: the first two principal components of standardised features. `tsne`: t-SNE started from them, whose distances
    between clusters mean little; its perplexity is at most (N - 1) / 3.

    Args:
        features: (N, D) finite numbers, at least 3 samples.
        seed: of t-SNE; PCA has none.

    Raises:
        UserError: fewer than three samples, numbers that are not finite, or an unknown method.

    Source: L. van der Maaten, G. Hinton, Journal of Machine Learning Research 9, 2008.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) < 3 or not np.isfinite(features).all():
        raise UserError("a map needs at least 3 embeddings of finite numbers", found=features.shape)
    if method not in MAPS:
        raise unknown("map", method, MAPS)
    standard = fit_scaling(features).apply(features)
    # All components where there are few, 50 where there are many: t-SNE of the rest is slower and no better.
    kept = min(50, *standard.shape)
    reduced = PCA(kept, svd_solver="full").fit_transform(standard)
    if reduced.shape[1] == 1:
        reduced = np.column_stack([reduced, np.zeros(len(reduced))])
    if method == "pca":
        return reduced[:, :2]
    start = reduced[:, :2] / max(reduced[:, 0].std(), 1e-12) * 1e-4
    near = min(perplexity, (len(features) - 1) / 3)
    return (
        TSNE(2, perplexity=near, init=start, random_state=seed, learning_rate="auto")
        .fit_transform(reduced)
        .astype(float)
    )
