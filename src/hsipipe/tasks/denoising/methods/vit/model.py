"""A vision transformer that denoises: a masked autoencoder's encoder, a head, and several ways to adapt the former.

A. Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021; K. He et al., "Masked Autoencoders Are Scalable
Vision Learners", CVPR 2022; E. J. Hu et al., "LoRA", ICLR 2022; T. Dettmers et al., "QLoRA", NeurIPS 2023; S.-Y. Liu
et al., "DoRA", ICML 2024. The building blocks are in `hsipipe.nets`.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from hsipipe.errors import UserError, unknown
from hsipipe.nets.heads import build_head
from hsipipe.nets.vit import Encoder, build_encoder, check_sizes
from hsipipe.nets.weights import adapt_weights

log = logging.getLogger(__name__)

# How the encoder is adapted: (kind of low-rank adapters or None, whether its attention has 4-bit weights)
ADAPTATIONS: dict[str, tuple[str | None, bool]] = {
    "frozen": (None, False),
    "full": (None, False),
    "lora": ("lora", False),
    "qlora": ("lora", True),
    "dora": ("dora", False),
}

EMBEDDING = ("vit.patch_embed.", "vit.pos_embed")  # what `take_over: blocks` leaves as it is


class DenoisingTransformer(nn.Module):
    """Encoder and head: (B, C, H, W) noisy to (B, C, H, W) denoised, both sides multiples of a token's patch.

    Args:
        encoder: with adapters, if there are to be any.
        head: called with (features, noisy).
        frozen: nothing in the encoder learns: it stays in evaluation mode, and nothing is stored for its gradients.
        adapter_rate_factor: factor on the learning rate of the encoder's adapters.

    Attributes:
        bands: the number of bands that it takes.
        tile: side of the images that its positions are made for.
    """

    def __init__(
        self, *, encoder: Encoder, head: nn.Module, frozen: bool = False, adapter_rate_factor: float = 1.0
    ) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.frozen, self.adapter_rate_factor = frozen, adapter_rate_factor
        self.bands, self.tile = encoder.bands, encoder.image_size
        self.train(self.training)

    def forward(self, noisy: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape.

        Raises:
            UserError: a size that is not a multiple of a token's patch, or another number of bands.
        """
        check_sizes(noisy.shape[-2], noisy.shape[-1], self.encoder.patch)
        with torch.no_grad() if self.frozen else nullcontext():
            tokens = self.encoder(noisy)
        rows, cols = (size // self.encoder.patch for size in noisy.shape[-2:])
        features = tokens[:, 1:].transpose(1, 2).unflatten(2, (rows, cols))
        return self.head(features, noisy)

    def train(self, mode: bool = True) -> DenoisingTransformer:
        """As of any module, except that a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def rate_factor(self, name: str) -> float:
        """The factor on the learning rate of the parameter of that name: that of adapters, or 1."""
        return self.adapter_rate_factor if "lora_" in name or "dora_" in name else 1.0

    def merged(self) -> DenoisingTransformer:
        """A copy in plain weights, without adapters and 4-bit layers, that computes the same in evaluation mode."""
        from hsipipe.nets.lora import merge

        plain = copy.deepcopy(self)
        merge(plain.encoder)
        return plain


def build(
    *,
    bands: int,
    wavelength_nm: Sequence[float] | None = None,
    start: Mapping[str, Any] | None = None,
    preset: str = "small",
    image_size: int = 128,
    token_side: int = 4,
    head: str = "unet",
    head_channels: int | None = None,
    adapt: str = "full",
    rank: int = 8,
    alpha: float = 16.0,
    dropout: float = 0.1,
    targets: Sequence[str] = ("q", "k", "v", "proj"),
    quantisation: str = "nf4",
    double_quantisation: bool = True,
    train_patch_embedding: bool = False,
    take_over: str = "all",
    lora_rate_factor: float = 10.0,
    checkpointing: bool = False,
) -> DenoisingTransformer:
    """The network; weights are random, except those of the encoder if there is a start.

    Args:
        bands: bands of the images.
        wavelength_nm: (bands,) their wavelengths, nm; used to fit the weights of another sensor.
        start: `state` (weights of an encoder by name, alone or among others) and `wavelength_nm` (of their bands, or
            None); None for random weights, and to load a model, which brings all its weights.
        preset, image_size, token_side, checkpointing: see `hsipipe.nets.vit.build_encoder`.
        head, head_channels: see `hsipipe.nets.heads.build_head`.
        adapt: frozen, full, lora, qlora or dora.
        rank, alpha, dropout, targets, quantisation, double_quantisation: see `hsipipe.nets.lora.adapt`.
        train_patch_embedding: whether the patch embedding learns where the encoder is not trained as a whole.
        take_over: what of the start is taken: all, or blocks, without patch embedding and positions.
        lora_rate_factor: factor on the learning rate of the adapters.

    Raises:
        UserError: settings that make no network, or a start of another architecture.
    """
    if adapt not in ADAPTATIONS:
        raise unknown("adaptation", adapt, ADAPTATIONS)
    body = build_encoder(
        bands=bands, image_size=image_size, preset=preset, patch=token_side, checkpointing=checkpointing
    )
    top = build_head(head, bands=bands, patch=token_side, width=body.width, channels=head_channels)
    if start is not None:
        _take_over(start, body, wavelength_nm, what=take_over)
    kind, four_bits = ADAPTATIONS[adapt]
    if kind is not None:
        from hsipipe.nets.lora import adapt as add_adapters

        add_adapters(
            body,
            kind=kind,
            rank=rank,
            alpha=alpha,
            dropout=dropout,
            targets=targets,
            quantisation=quantisation if four_bits else None,
            double_quantisation=double_quantisation,
        )
    elif adapt == "frozen":
        body.requires_grad_(False)
    if train_patch_embedding:
        body.vit.patch_embed.requires_grad_(True)
    return DenoisingTransformer(
        encoder=body,
        head=top,
        frozen=adapt == "frozen" and not train_patch_embedding,
        adapter_rate_factor=lora_rate_factor,
    )


def _take_over(start: Mapping[str, Any], encoder: Encoder, wavelength_nm: Sequence[float] | None, *, what: str) -> None:
    """Load the start's weights into the encoder, fitted to it; say what was not as it should be."""
    state, report = adapt_weights(
        start["state"], encoder, source_nm=start.get("wavelength_nm"), target_nm=wavelength_nm
    )
    lacking = [name for name in (*report.missing, *(name for name, *_ in report.mismatched)) if ".blocks." in name]
    if lacking:
        raise UserError(
            "the weights to start from lack parts of the transformer",
            found=", ".join(lacking[:4]) + (", ..." if len(lacking) > 4 else ""),
            remedy="give plain weights (of a model with adapters: merged)",
        )
    if what == "blocks":
        state = {name: value for name, value in state.items() if not name.startswith(EMBEDDING)}
    encoder.load_state_dict(state, strict=False)
    log.log(
        logging.WARNING if report.missing or report.mismatched else logging.INFO, "weights to start from: %s", report
    )
