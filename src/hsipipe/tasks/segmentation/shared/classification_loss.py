"""Softmax cross-entropy with weights of the samples."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def classification_loss(
    logits: Tensor, classes: Tensor, weights: Tensor | None = None, *, label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy of each sample times its weight, averaged over the samples whose weight is not zero.

    The mean is over their number, as in the program deephyp, not over the sum of the weights; a sample without class
    (-1) has weight 0.

    Args:
        logits: (N, K).
        classes: (N,) from 0 on; -1: no class.
        weights: (K,), the weight of each class; None: 1.
        label_smoothing: the share of the target that is spread over all classes.

    Returns:
        a scalar; 0 without any sample that counts.
    """
    known = classes >= 0
    targets = classes.clamp_min(0)
    each = functional.cross_entropy(logits, targets, reduction="none", label_smoothing=label_smoothing)
    own = known.to(each) if weights is None else known.to(each) * weights.to(each)[targets]
    return (own * each).sum() / (own != 0).sum().clamp_min(1)
