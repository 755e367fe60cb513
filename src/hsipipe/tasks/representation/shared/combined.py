"""The loss of a training: global (whole views), local (places), or both with weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from hsipipe.errors import UserError
from hsipipe.settings import check
from hsipipe.tasks.representation.shared.contrastive import LOSSES, check_batch, make_loss

# torch is imported by the call: settings and their check are read without it.
if TYPE_CHECKING:
    import torch
    from torch import Tensor

    Pair = tuple[Tensor, Tensor]

TEXTS = {
    name: f"{meaning} (of {', '.join(loss for loss, entry in LOSSES.items() if name in entry.settings)})"
    for entry in LOSSES.values()
    for name, (_, meaning) in entry.settings.items()
}


@dataclass(frozen=True)
class LossSettings:
    """Settings of the loss."""

    loss_type: Literal["global", "local", "combined"] = field(
        default="global",
        metadata={"meaning": "what is compared: whole views, places matched between the views, or both"},
    )
    loss: str = field(
        default="nt_xent",
        metadata={
            "meaning": "the global loss: " + "; ".join(f"{k}: {v.meaning}" for k, v in LOSSES.items()),
            "choices": tuple(LOSSES),
        },
    )
    temperature: float = field(default=0.1, metadata={"meaning": TEXTS["temperature"] + " and of places", "above": 0})
    invariance_weight: float = field(default=25.0, metadata={"meaning": TEXTS["invariance_weight"], "minimum": 0})
    variance_weight: float = field(default=25.0, metadata={"meaning": TEXTS["variance_weight"], "minimum": 0})
    covariance_weight: float = field(default=1.0, metadata={"meaning": TEXTS["covariance_weight"], "minimum": 0})
    global_weight: float = field(
        default=0.6, metadata={"meaning": "weight of the global loss, if combined", "minimum": 0}
    )
    local_weight: float = field(
        default=0.4, metadata={"meaning": "weight of the local loss, if combined", "minimum": 0}
    )
    matching: Literal["position", "peer"] = field(
        default="position",
        metadata={"meaning": "pairs of places: the same place of the source, or (peer) the same index of the maps"},
    )
    distance: float = field(
        default=0.1,
        metadata={"meaning": "how far apart paired places may be, fraction of the image's side", "above": 0},
    )
    coverage: float = field(
        default=0.5,
        metadata={"meaning": "least fraction of a place that is on the specimen", "minimum": 0, "maximum": 1},
    )
    anchors: int = field(default=4096, metadata={"meaning": "most paired places per batch", "minimum": 1})
    negatives: int = field(default=1024, metadata={"meaning": "most places to contrast with", "minimum": 1})

    def __post_init__(self) -> None:
        check(self)
        if self.loss_type == "combined" and self.global_weight + self.local_weight == 0:
            raise UserError("global_weight and local_weight are both 0", key="global_weight", remedy="raise one")

    @property
    def is_global(self) -> bool:
        """Whether whole views are compared."""
        return self.loss_type == "global" or (self.loss_type == "combined" and self.global_weight > 0)

    @property
    def is_local(self) -> bool:
        """Whether places are compared: feature maps, grids and masks are needed."""
        return self.loss_type == "local" or (self.loss_type == "combined" and self.local_weight > 0)

    def check_batch(self, batch_size: int, *, micro_batches: int = 1, accumulate: int = 1) -> None:
        """Refuse a batch that is too small for these losses; arguments as of `contrastive.check_batch`. No torch.

        Raises:
            UserError: too few samples: fewer than 8 for nt_xent and for the peer matching, 1 for all.
        """
        if self.is_global:
            check_batch(self.loss, batch_size, micro_batches=micro_batches, accumulate=accumulate)
        if self.is_local and self.matching == "peer":
            check_batch("nt_xent", batch_size, micro_batches=micro_batches, accumulate=accumulate)
        elif self.is_local and batch_size * micro_batches < 2:
            raise UserError(
                "the local loss contrasts places of several samples, and there is one only",
                key="batch_size",
                found=batch_size,
                remedy="give a larger batch, or join micro-batches by gradient caching",
            )


@dataclass(frozen=True)
class LossParts:
    """A loss and what it consists of.

    Attributes:
        total: scalar with a graph.
        parts: scalars without one: "global", "local" before their weights, "pairs" of places; those that there are.
    """

    total: Tensor
    parts: dict[str, Tensor]


class RepresentationLoss:
    """The loss of two views by `LossSettings`; weights count for the combined loss alone."""

    def __init__(self, settings: LossSettings) -> None:
        self.settings = settings
        own = LOSSES[settings.loss].settings
        self._global = make_loss(settings.loss, **{name: getattr(settings, name) for name in own})
        self._checked: set[int] = set()

    def __call__(
        self,
        *,
        embeddings: Pair | None = None,
        maps: Pair | None = None,
        grids: Pair | None = None,
        masks: Pair | None = None,
        generator: torch.Generator | None = None,
    ) -> LossParts:
        """The loss of a batch (under gradient caching: of the joined micro-batches).

        Args:
            embeddings: (B, d) of the first and the second views; for the global loss.
            maps: (B, d, h, w) of both; for the local loss.
            grids: (B, size, size, 2) of both, where in the source each pixel lies.
            masks: (B, 1, size, size) of both, 1 on the specimen, or None: no mask.
            generator: of the draws of the local loss.

        Raises:
            UserError: too small a batch.
            ValueError: what the settings ask for was not given, or does not fit together.
        """
        from hsipipe.tasks.representation.shared.local_loss import local_loss

        settings = self.settings
        weights = (settings.global_weight, settings.local_weight) if settings.loss_type == "combined" else (1.0, 1.0)
        given = embeddings or maps
        if given is None or (settings.is_global and embeddings is None):
            raise ValueError("the global loss needs embeddings of both views")
        self._check(len(given[0]))
        parts: dict[str, Tensor] = {}
        total: Tensor | None = None
        if settings.is_global and embeddings is not None:
            value = self._global(*embeddings)
            parts["global"] = value.detach()
            total = weights[0] * value
        if settings.is_local:
            if maps is None or grids is None:
                raise ValueError("the local loss needs feature maps and grids of both views")
            found = local_loss(
                *maps,
                *grids,
                masks_1=None if masks is None else masks[0],
                masks_2=None if masks is None else masks[1],
                temperature=settings.temperature,
                distance=settings.distance,
                coverage=settings.coverage,
                anchors=settings.anchors,
                negatives=settings.negatives,
                matching=settings.matching,
                generator=generator,
            )
            parts |= {"local": found.value.detach(), "pairs": found.pairs}
            share = weights[1] * found.value
            total = share if total is None else total + share
        if total is None:
            raise ValueError("neither the global nor the local loss has a weight")
        return LossParts(total, parts)

    def _check(self, batch_size: int) -> None:
        if batch_size not in self._checked:
            self.settings.check_batch(batch_size)
            self._checked.add(batch_size)
