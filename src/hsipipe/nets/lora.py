"""Low-rank adaptation of a transformer's attention: LoRA, DoRA, and both on 4-bit weights (QLoRA, QDoRA).

LoRA: E. J. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, arXiv 2106.09685. A frozen layer
W x + b learns an update of low rank, W x + b + (alpha / rank) B A dropout(x); B starts at zero, so that training starts
at the frozen network.

DoRA: S.-Y. Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation", ICML 2024, arXiv 2402.09353. The adapted weights
V = W + (alpha / rank) B A give the direction of each output's row alone, and its magnitude m, which starts at the norm
of W's row, is learned: (m / |V|) V x + b. As in section 4.3 of that paper the norm |V| is a constant in the gradient.
Dropout, which the paper leaves open, acts on what enters A, as in LoRA, and has no part in the norm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hsipipe.errors import UserError, unknown
from hsipipe.nets.quantised import FORMATS, QuantisedLinear

KINDS = ("lora", "dora")
TARGETS = ("q", "k", "v", "proj")


def adapt(
    module: nn.Module,
    *,
    kind: str = "lora",
    rank: int = 8,
    alpha: float = 16.0,
    dropout: float = 0.0,
    targets: Sequence[str] = TARGETS,
    quantisation: str | None = None,
    double_quantisation: bool = True,
) -> int:
    """Freeze `module` and give low-rank adapters to the attention layers in it, in place.

    Attention is whatever holds linear layers `qkv` (queries, keys and values below each other) and `proj`, as the
    blocks of timm's transformers do. Query, key and value each have an A and a B of their own.

    Args:
        module: a network with plain weights.
        kind: lora or dora.
        rank: of the update; from 1 to the layer's width.
        alpha: the update is scaled by alpha / rank; above 0.
        dropout: probability in [0, 1) of dropping an input of A, the same inputs for query, key and value.
        targets: which of q, k, v and proj are adapted; the others get no parameters.
        quantisation: None, nf4 or fp4: how the frozen qkv and proj layers, adapted or not, are stored.
        double_quantisation: see `QuantisedLinear`; means nothing without quantisation.

    Returns:
        The number of layers that have an adapter now; qkv is one layer.

    Raises:
        UserError: an unknown kind, target or format, a number out of its range, or 4 bits without bitsandbytes.
        ValueError: no attention in `module`, or adapters already.
    """
    if kind not in KINDS:
        raise unknown("kind of adapter", kind, KINDS)
    for target in targets:
        if target not in TARGETS:
            raise unknown("target of an adapter", target, TARGETS)
    if not targets:
        raise UserError("is empty", key="targets", remedy=f"name some of {', '.join(TARGETS)}")
    if quantisation is not None and quantisation not in FORMATS:
        raise unknown("4-bit format", quantisation, FORMATS)
    if any(isinstance(inner, (LowRankLinear, QuantisedLinear)) for inner in module.modules()):
        raise ValueError("the network is adapted already; merge it first")
    attentions = [inner for inner in module.modules() if _is_attention(inner)]
    if not attentions:
        raise ValueError(f"{type(module).__name__} has no attention with linear layers qkv and proj")
    selected = {
        "qkv": [index for index, target in enumerate("qkv") if target in targets],
        "proj": [0] if "proj" in targets else [],
    }
    # Everything is made before anything is replaced, so that a refused setting does not leave half a network adapted.
    made: list[tuple[nn.Module, str, nn.Module]] = []
    for attention in attentions:
        for name, parts in selected.items():
            linear = getattr(attention, name)
            base = linear
            if quantisation is not None:
                base = QuantisedLinear.from_linear(
                    linear, quantisation=quantisation, double_quantisation=double_quantisation
                )
            if parts:
                groups = 3 if name == "qkv" else 1
                layer: nn.Module = LowRankLinear(
                    base,
                    groups=groups,
                    selected=parts,
                    rank=rank,
                    alpha=alpha,
                    dropout=dropout,
                    magnitudes=kind == "dora",
                )
                made.append((attention, name, layer))
            elif base is not linear:
                made.append((attention, name, base))
    module.requires_grad_(False)
    for attention, name, layer in made:
        setattr(attention, name, layer.train(attention.training))
    return sum(isinstance(layer, LowRankLinear) for _, _, layer in made)


@torch.no_grad()
def merge(module: nn.Module) -> None:
    """Replace adapted and 4-bit layers by plain `nn.Linear`, in place, as frozen as the rest of the network.

    In evaluation mode the network computes the same as before, to rounding.
    """
    layers = [
        (parent, name, child)
        for parent in module.modules()
        for name, child in parent.named_children()
        if isinstance(child, (LowRankLinear, QuantisedLinear)) and not isinstance(parent, LowRankLinear)
    ]
    for parent, name, child in layers:
        plain = child.merged() if isinstance(child, LowRankLinear) else child.dequantised()
        setattr(parent, name, plain.train(child.training))


class LowRankLinear(nn.Module):
    """A frozen linear layer with a low-rank update for some of the equal groups of its outputs.

    All A's are one matrix and act in one product. The B's act in one product, too: they are laid out as a matrix
    (selected * rank, outputs) that is zero wherever one group's A would meet another group's B, and the product adds
    its result to the layer's output where that lies. The zeros cost next to nothing, since reading and writing the
    output is what takes the time; a batched product would need it permuted there and back.

    Args:
        base: the layer.
        groups: equal parts of its outputs: 3 for qkv, 1 for proj.
        selected: which of them have an update, ascending.
        rank, alpha, dropout: see `adapt`.
        magnitudes: learn the magnitude of each selected output, as DoRA does.

    Attributes:
        lora_a: (selected * rank, inputs), uniform as `nn.Linear` starts its weights.
        lora_b: (selected, outputs / groups, rank), zero at the start.
        dora_magnitude: (selected, outputs / groups); None for LoRA.

    Raises:
        UserError: a number out of its range.
    """

    mask: Tensor
    rows: Tensor

    def __init__(
        self,
        base: nn.Linear | QuantisedLinear,
        *,
        groups: int,
        selected: Sequence[int],
        rank: int,
        alpha: float,
        dropout: float,
        magnitudes: bool,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = base.in_features, base.out_features
        part = base.out_features // groups
        widest = min(base.in_features, part)
        if isinstance(rank, bool) or int(rank) != rank or not 1 <= rank <= widest:
            raise UserError(f"must be a whole number from 1 to the layer's width, {widest}", key="rank", found=rank)
        if not (alpha > 0 and math.isfinite(alpha)):
            raise UserError("must be above 0", key="alpha", found=alpha)
        if not 0 <= dropout < 1:
            raise UserError("must be at least 0 and below 1", key="dropout", found=dropout)
        self.base = base.requires_grad_(False)
        self.rank, self.scale = int(rank), alpha / rank
        self.dropout = nn.Dropout(dropout)
        weight = _weight(base)
        self.lora_a = nn.Parameter(weight.new_empty(len(selected) * self.rank, base.in_features))
        self.lora_b = nn.Parameter(weight.new_zeros(len(selected), part, self.rank))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))
        # Constants, not state: which groups are selected, and where each B is allowed to act, with its scale.
        rows = torch.as_tensor(list(selected), device=weight.device)
        mask = self.scale * functional.one_hot(rows, groups).to(weight.dtype)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("mask", mask[:, None, :, None], persistent=False)
        self.dora_magnitude: nn.Parameter | None = None
        if magnitudes:
            self.dora_magnitude = nn.Parameter(self._rows_of(weight).norm(dim=-1))

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        # As a matrix: the product below writes into the base's output, which must then be no view of another tensor.
        flat = inputs.reshape(-1, self.in_features)
        magnitude = self.dora_magnitude
        output = _product(self.base, flat, self.base.bias if magnitude is None else None)
        inner = functional.linear(self.dropout(flat), self.lora_a)
        outer = (self.lora_b.mT.unsqueeze(2) * self.mask).reshape(-1, self.out_features)
        output = output.addmm_(inner.to(output.dtype), outer.to(output.dtype))
        if magnitude is not None:
            output = output * self._gain(magnitude).to(output.dtype)
            if self.base.bias is not None:
                output = output + self.base.bias.to(output.dtype)
        return output.view(*inputs.shape[:-1], self.out_features)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """A plain layer, frozen, that computes the same without dropout."""
        linear = nn.Linear(
            self.in_features,
            self.out_features,
            bias=self.base.bias is not None,
            device=self.lora_a.device,
            dtype=self.lora_a.dtype,
        ).requires_grad_(False)
        weight = _weight(self.base).clone()
        parts = weight.view(self.mask.shape[2], -1, self.in_features)
        parts[self.rows] = self._updated()
        if self.dora_magnitude is not None:
            weight *= self._gain(self.dora_magnitude)[:, None]
        linear.weight.copy_(weight)
        if self.base.bias is not None:
            linear.bias.copy_(self.base.bias)
        return linear

    def extra_repr(self) -> str:
        """Rank, scale and groups, for printing."""
        kind = "LoRA" if self.dora_magnitude is None else "DoRA"
        return f"{kind}, rank={self.rank}, scale={self.scale:g}, groups {self.rows.tolist()} of {self.mask.shape[2]}"

    def _rows_of(self, weight: Tensor) -> Tensor:
        """(outputs, inputs) to the selected groups, (selected, outputs / groups, inputs)."""
        return weight.view(self.mask.shape[2], -1, self.in_features)[self.rows]

    def _updated(self) -> Tensor:
        """V = W + (alpha / rank) B A of the selected groups, (selected, outputs / groups, inputs)."""
        inner = self.lora_a.view(len(self.rows), self.rank, self.in_features)
        return torch.baddbmm(self._rows_of(_weight(self.base)), self.lora_b, inner, alpha=self.scale)

    def _gain(self, magnitude: Tensor) -> Tensor:
        """m / |V| of the selected outputs and 1 of the others, (outputs,); gradients flow to m alone."""
        # Dense, because that is exact, and small beside the layer's own product, which runs over all tokens.
        with torch.no_grad(), torch.autocast(magnitude.device.type, enabled=False):
            norm = self._updated().norm(dim=-1)
        ratio = magnitude / norm.clamp(min=torch.finfo(norm.dtype).tiny)
        if len(self.rows) == self.mask.shape[2]:
            return ratio.flatten()
        return ratio.new_ones(self.mask.shape[2], ratio.shape[1]).index_copy(0, self.rows, ratio).flatten()


def _is_attention(module: nn.Module) -> bool:
    qkv, proj = getattr(module, "qkv", None), getattr(module, "proj", None)
    return isinstance(qkv, nn.Linear) and isinstance(proj, nn.Linear) and qkv.out_features % 3 == 0


def _weight(base: nn.Linear | QuantisedLinear) -> Tensor:
    return base.weight() if isinstance(base, QuantisedLinear) else base.weight.detach()


def _product(base: nn.Linear | QuantisedLinear, inputs: Tensor, bias: Tensor | None) -> Tensor:
    if isinstance(base, QuantisedLinear):
        return base.product(inputs, bias)
    return functional.linear(inputs, base.weight, bias)
