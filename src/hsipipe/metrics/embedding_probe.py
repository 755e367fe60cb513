"""The linear probe: logistic regression on standardised features, its penalty chosen without splitting groups."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hsipipe.errors import UserError
from hsipipe.metrics.embedding_folds import Fold, group_folds, keep_distance

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

COSTS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
DEFAULT_COST = 1.0
INNER_FOLDS = 3
# Rounds of iterations, each going on where the last one ended, before non-convergence is reported.
ROUNDS, ITERATIONS = 8, 500


@dataclass(frozen=True)
class Scaling:
    """Attributes: centre (D,), scale (D,): mean and standard deviation of the training features; 1 where constant."""

    centre: np.ndarray
    scale: np.ndarray

    def apply(self, features: np.ndarray) -> np.ndarray:
        """(N, D) float64 of zero mean and unit variance over the training samples."""
        return (np.asarray(features, np.float64) - self.centre) / self.scale


@dataclass(frozen=True)
class Probe:
    """A fitted probe.

    Attributes: classes (K,), rising; scaling; weights (K, D), on standardised features; intercepts (K,); cost: C, the
    weight of the errors against the squared norm of the weights; chosen: whether it was chosen by cross-validation.
    """

    classes: np.ndarray
    scaling: Scaling
    weights: np.ndarray
    intercepts: np.ndarray
    cost: float
    chosen: bool

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Logits (N, K) of features (N, D).

        Raises:
            UserError: another number of features.
        """
        features = np.asarray(features)
        if features.ndim != 2 or features.shape[1] != self.weights.shape[1]:
            raise UserError(f"a probe of {self.weights.shape[1]} features cannot judge", found=features.shape)
        return self.scaling.apply(features) @ self.weights.T + self.intercepts

    def predict(self, features: np.ndarray) -> np.ndarray:
        """The most probable class of each sample, (N,)."""
        return self.classes[self.scores(features).argmax(1)]

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Probabilities (N, K) that sum to 1."""
        from scipy.special import softmax

        return softmax(self.scores(features), axis=1)

    def margins(self, features: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Logit of the true class less the largest other one, (N,): above 0 where the probe is right.

        Raises:
            UserError: a class that the probe does not know.
        """
        codes = codes_of(labels, self.classes)
        scores = self.scores(features)
        rows = np.arange(len(scores))
        own = scores[rows, codes]
        scores[rows, codes] = -np.inf
        return own - scores.max(1)


def fit_scaling(features: np.ndarray) -> Scaling:
    """Mean and standard deviation of each feature of (N, D); a feature that does not vary keeps its scale."""
    features = np.asarray(features, np.float64)
    centre, scale = features.mean(0), features.std(0)
    # What rounding leaves of a constant is no variance.
    return Scaling(centre, np.where(scale > 1e-10 * np.maximum(np.abs(centre), 1e-30), scale, 1.0))


def fit_probe(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    costs: Sequence[float] = COSTS,
    seed: int = 0,
    places: np.ndarray | None = None,
    guard: int = 0,
) -> Probe:
    """Fit a multinomial logistic regression with a squared-norm penalty.

    C is the one with the highest balanced accuracy over inner folds that share no group (ties: the lower log loss).
    Where the classes have too few groups for inner folds, C is `DEFAULT_COST`. The penalty does not change under
    rotation: with more features than samples the fit is done, exactly, in the span of the samples.

    Args:
        features: (N, D) finite numbers, training samples only.
        labels, groups: (N,).
        costs: candidates of C, above 0.
        seed: of the inner folds.
        places, guard: as for `keep_distance`: applied to the inner folds of blocks.

    Raises:
        UserError: features that are not finite, lengths that differ, or a single class.
    """
    features, labels, groups = _checked(features, labels, groups)
    candidates = sorted(float(cost) for cost in costs)
    if not candidates or candidates[0] <= 0:
        raise UserError("must be numbers above 0", key="costs", found=list(costs))
    inner = _inner_folds(labels, groups, seed, places, guard) if len(candidates) > 1 else []
    cost = candidates[0] if len(candidates) == 1 else DEFAULT_COST
    if inner:
        cost = _choose(features, labels, inner, candidates)
    classes, codes = np.unique(labels, return_inverse=True)
    scaling = fit_scaling(features)
    weights, intercepts = next(iter(_Path(scaling.apply(features), codes, len(classes), [cost])))
    return Probe(classes, scaling, weights, intercepts, cost, bool(inner))


def codes_of(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Place of each label among the rising classes.

    Raises:
        UserError: a label that is none of them.
    """
    labels = np.asarray(labels)
    places = np.searchsorted(classes, labels).clip(max=len(classes) - 1)
    wrong = classes[places] != labels
    if wrong.any():
        raise UserError(f"class {labels[wrong][0]} is none of the probe's", remedy="fit it to samples of all classes")
    return places


class _Path:
    """Solutions (weights (K, D), intercepts (K,)) for rising costs, each started from the one before."""

    def __init__(self, standard: np.ndarray, codes: np.ndarray, classes: int, costs: Sequence[float]) -> None:
        self.costs, self.codes, self.classes = costs, codes, classes
        self.basis: np.ndarray | None = None
        if standard.shape[1] > len(standard):
            # Rows of `basis` span the samples; weights outside the span only add to the penalty.
            axes, coordinates = np.linalg.qr(standard.T)
            self.basis, standard = axes.T, coordinates.T
        self.standard = standard

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        from sklearn.linear_model import LogisticRegression

        machine = LogisticRegression(max_iter=ITERATIONS, warm_start=True, tol=1e-5)
        for cost in self.costs:
            _converge(machine.set_params(C=cost), self.standard, self.codes)
            weights, intercepts = machine.coef_, machine.intercept_
            if self.classes == 2:
                # One logit; as two that sum to zero the softmax is the same.
                weights, intercepts = np.vstack([-weights, weights]) / 2, np.hstack([-intercepts, intercepts]) / 2
            yield (weights if self.basis is None else weights @ self.basis), intercepts.copy()


def _converge(machine: LogisticRegression, standard: np.ndarray, codes: np.ndarray) -> None:
    """Fit, and go on from where it stopped until the solver reports convergence."""
    from sklearn.exceptions import ConvergenceWarning

    for _ in range(ROUNDS):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            machine.fit(standard, codes)
        unfinished = [one for one in caught if issubclass(one.category, ConvergenceWarning)]
        for one in caught:
            if one not in unfinished:
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        if not unfinished:
            return
    warnings.warn(
        f"the logistic probe did not converge in {ROUNDS * ITERATIONS} iterations at C = {machine.C:g}",
        ConvergenceWarning,
        stacklevel=2,
    )


def _choose(features: np.ndarray, labels: np.ndarray, folds: Sequence[Fold], costs: Sequence[float]) -> float:
    """The best cost by balanced accuracy over the folds' test samples taken together."""
    classes, codes = np.unique(labels, return_inverse=True)
    scalings = [fit_scaling(features[fold.train]) for fold in folds]
    tests = [scaling.apply(features[fold.test]) for scaling, fold in zip(scalings, folds, strict=True)]
    paths = [
        iter(_Path(scaling.apply(features[fold.train]), codes[fold.train], len(classes), costs))
        for scaling, fold in zip(scalings, folds, strict=True)
    ]
    truth = np.concatenate([codes[fold.test] for fold in folds])
    best = (-1.0, -np.inf, costs[0])
    for cost in costs:
        logits = []
        for path, test in zip(paths, tests, strict=True):
            weights, intercepts = next(path)
            logits.append(test @ weights.T + intercepts)
        score = (*_judge(np.concatenate(logits), truth, len(classes)), cost)
        best = max(best, score, key=lambda one: one[:2])
    return best[2]


def _judge(logits: np.ndarray, truth: np.ndarray, classes: int) -> tuple[float, float]:
    """Balanced accuracy and mean log likelihood."""
    from scipy.special import log_softmax

    right = logits.argmax(1) == truth
    counts = np.bincount(truth, minlength=classes)
    recall = np.bincount(truth, right, minlength=classes)[counts > 0] / counts[counts > 0]
    likelihood = log_softmax(logits, axis=1)[np.arange(len(truth)), truth].mean()
    return round(float(recall.mean()), 12), float(likelihood)


def _inner_folds(
    labels: np.ndarray, groups: np.ndarray, seed: int, places: np.ndarray | None, guard: int
) -> list[Fold]:
    """Group-disjoint folds of the training samples; none where a class has one group."""
    pairs = np.unique(np.column_stack([np.unique(one, return_inverse=True)[1] for one in (labels, groups)]), axis=0)
    held = np.bincount(pairs[:, 0])
    if held.min() < 2:
        return []
    try:
        folds = group_folds(labels, groups, folds=min(INNER_FOLDS, len(np.unique(groups))), seed=seed)
        return folds if places is None else keep_distance(folds, labels, places, guard=guard)
    except UserError:
        # Not the user's mistake here: few labels simply cannot be split again, and the default cost stands.
        return []


def _checked(features: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    features, labels, groups = np.asarray(features, np.float64), np.asarray(labels), np.asarray(groups)
    if features.ndim != 2 or not len(features) == len(labels) == len(groups):
        raise UserError(f"features of {features.shape} do not fit {len(labels)} labels and {len(groups)} groups")
    if not np.isfinite(features).all():
        raise UserError(
            "the embeddings hold numbers that are not finite",
            found=f"{int((~np.isfinite(features)).any(1).sum())} of {len(features)} samples",
            remedy="look at the training: its loss has diverged, or specimens hold invalid pixels",
        )
    if len(np.unique(labels)) < 2:
        raise UserError("a probe needs samples of at least two classes", key="labels")
    return features, labels, groups
