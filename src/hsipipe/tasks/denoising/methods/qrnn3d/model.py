"""QRNN3D: 3-D quasi-recurrent neural network for hyperspectral image denoising.

K. Wei, Y. Fu and H. Huang, "3-D Quasi-Recurrent Neural Network for Hyperspectral Image Denoising", IEEE Transactions on
Neural Networks and Learning Systems 32(1), 2021, doi 10.1109/TNNLS.2020.2978756.

A layer convolves over rows, columns and bands to a candidate z = tanh(.) and a forget gate f = sigmoid(.), and then
sweeps through the bands: h_i = f_i h_(i-1) + (1 - f_i) z_i, so that every band can use all bands before it. The
direction of the sweep alternates from layer to layer; the first and the last layer sweep in both directions and add.
The network is an encoder and a decoder with additive skips that halves the image's sides, never the bands, and adds
what it finds to its input. Its weights do not depend on the number of bands or on the size of the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


def _sweep(candidate: Tensor, gate: Tensor, out: Tensor, reverse: bool) -> Tensor:
    """The recurrence of `forget_pool`, written into `out`, which may be `candidate` or `gate` itself."""
    z, f, h = candidate.unbind(2), gate.unbind(2), out.unbind(2)
    previous = None
    for band in range(len(z))[::-1] if reverse else range(len(z)):
        if previous is None:
            torch.addcmul(z[band], z[band], f[band], value=-1, out=h[band])
        else:
            torch.lerp(z[band], h[previous], f[band], out=h[band])
        previous = band
    return out


class _ForgetPool(torch.autograd.Function):
    """The sweep h_i = f_i h_(i-1) + (1 - f_i) z_i along axis 2, with one kernel per band and direction.

    Left to autograd, the recurrence would record several small operations and copies per band. Written out, its
    gradient is a recurrence of the same form: with g_i = dL/dh_i + f_(i+1) g_(i+1), dL/dz_i = (1 - f_i) g_i and
    dL/df_i = (h_(i-1) - z_i) g_i. A scan in log-depth would pass over the whole tensor 2 log2(C) times, not once.
    """

    @staticmethod
    def forward(ctx: Any, candidate: Tensor, gate: Tensor, reverse: bool) -> Tensor:
        hidden = _sweep(candidate, gate, torch.empty_like(candidate), reverse)
        ctx.save_for_backward(candidate, gate, hidden)
        ctx.reverse = reverse
        return hidden

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        candidate, gate, hidden = ctx.saved_tensors
        total = gradient.clone(memory_format=torch.contiguous_format)
        g, f = total.unbind(2), gate.unbind(2)
        order = range(len(g)) if ctx.reverse else range(len(g))[::-1]
        later = None
        for band in order:
            if later is not None:
                g[band].addcmul_(f[later], g[later])
            later = band
        before = torch.zeros_like(hidden)
        if ctx.reverse:
            before[:, :, :-1] = hidden[:, :, 1:]
        else:
            before[:, :, 1:] = hidden[:, :, :-1]
        return total * (1 - gate), before.sub_(candidate).mul_(total), None


def forget_pool(candidate: Tensor, gate: Tensor, *, reverse: bool = False) -> Tensor:
    """The quasi-recurrent pooling of section III-B: h_i = f_i h_(i-1) + (1 - f_i) z_i with h = 0 before the first band.

    Args:
        candidate: z, (B, F, bands, H, W).
        gate: f in (0, 1), the same shape.
        reverse: sweep from the last band to the first.

    Returns:
        h, the same shape.
    """
    return _ForgetPool.apply(candidate, gate, reverse)


class QuasiRecurrentLayer(nn.Module):
    """Batch normalisation, 3 x 3 x 3 convolution to candidate and gates, sweep along the bands.

    Args:
        inputs, outputs: channels.
        both: sweep in both directions, with a gate for each, and add the two.
        scale: 1, 0.5 (halve rows and columns) or 2 (double them, linearly, before the convolution).
        bias: whether the convolution has a bias.
    """

    def __init__(self, inputs: int, outputs: int, *, both: bool = False, scale: float = 1, bias: bool = False) -> None:
        super().__init__()
        self.both, self.scale = both, scale
        self.norm = nn.BatchNorm3d(inputs)
        stride = (1, 2, 2) if scale == 0.5 else 1
        self.conv = nn.Conv3d(inputs, outputs * (3 if both else 2), 3, stride=stride, padding=1, bias=bias)

    def forward(self, features: Tensor, reverse: bool) -> Tensor:
        """(B, inputs, bands, H, W) to (B, outputs, bands, H * scale, W * scale)."""
        features = self.norm(features)
        if self.scale == 2:
            # Bands keep their number, so the trilinear interpolation of the paper is a bilinear one of each band.
            height, width = features.shape[-2:]
            # One channel per image: with thousands of channels torch first reorders the memory, three times the work.
            images = features.flatten(0, 2).unsqueeze(1)
            flat = functional.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)
            features = flat.view(*features.shape[:3], 2 * height, 2 * width)
        # The sweep sums over hundreds of bands with gates near 1: float32 also where autocast convolves in bfloat16.
        convolved = self.conv(features)
        convolved = convolved.to(torch.promote_types(convolved.dtype, torch.float32))
        parts = convolved.chunk(3 if self.both else 2, dim=1)
        if torch.compiler.is_exporting():
            return self._pool_for_export(*parts, reverse=reverse)
        if not torch.is_grad_enabled():
            return self._pool_in_place(*parts, reverse=reverse)
        candidate, gates = parts[0].tanh(), [gate.sigmoid() for gate in parts[1:]]
        if self.both:
            return forget_pool(candidate, gates[0]).add(forget_pool(candidate, gates[1], reverse=True))
        return forget_pool(candidate, gates[0], reverse=reverse)

    def _pool_in_place(self, candidate: Tensor, *gates: Tensor, reverse: bool) -> Tensor:
        """The same without gradients: in the memory of the convolution's result, of which a whole cube fills a lot."""
        candidate.tanh_()
        if not self.both:
            # Into a tensor of its own, because a view would keep the gates' memory alive as long as the features.
            hidden = torch.empty(candidate.shape, dtype=candidate.dtype, device=candidate.device)
            return _sweep(candidate, gates[0].sigmoid_(), hidden, reverse)
        upwards, downwards = (gate.sigmoid_() for gate in gates)
        return _sweep(candidate, upwards, upwards, False) + _sweep(candidate, downwards, downwards, True)

    def _pool_for_export(self, candidate: Tensor, *gates: Tensor, reverse: bool) -> Tensor:
        """The same as one operator of a graph (Scan in ONNX), which takes any number of bands."""
        candidate = candidate.tanh()
        if not self.both:
            return _scan(candidate, gates[0].sigmoid(), reverse)
        return _scan(candidate, gates[0].sigmoid(), False) + _scan(candidate, gates[1].sigmoid(), True)


def _scan(candidate: Tensor, gate: Tensor, reverse: bool) -> Tensor:
    """The recurrence of `forget_pool` as a scan over axis 2."""
    from torch._higher_order_ops.scan import scan

    def step(previous: Tensor, current: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        hidden = torch.lerp(current[0], previous, current[1])
        return hidden, hidden.clone()

    z, f = candidate.movedim(2, 0), gate.movedim(2, 0)
    return scan(step, torch.zeros_like(z[0]), (z, f), dim=0, reverse=reverse)[1].movedim(0, 2)


@contextmanager
def _statistics_kept(layer: QuasiRecurrentLayer) -> Iterator[None]:
    """The second forward pass of a checkpointed layer must not count its batch into the running statistics again."""
    norm, counter = layer.norm, layer.norm.num_batches_tracked
    assert counter is not None
    momentum, seen = norm.momentum, counter.clone()
    norm.momentum = 0.0
    try:
        yield
    finally:
        norm.momentum = momentum
        counter.copy_(seen)


class QRNN3D(nn.Module):
    """The network of section III-C.

    Args:
        channels: width of the first layer; the paper: 16.
        depth: layers of the encoder, and of the decoder; every second one halves (doubles) the image; the paper: 5.
        checkpointing: recompute each layer in the backward pass instead of storing what is inside it.
    """

    def __init__(self, *, channels: int = 16, depth: int = 5, checkpointing: bool = False) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        self.multiple = 2 ** (depth // 2)
        self.extractor = QuasiRecurrentLayer(1, channels, both=True)
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        width = channels
        for index in range(depth):
            halve = index % 2 == 1
            self.encoder.append(QuasiRecurrentLayer(width, width * (2 if halve else 1), scale=0.5 if halve else 1))
            width *= 2 if halve else 1
        for index in reversed(range(depth)):
            double = index % 2 == 1
            self.decoder.append(QuasiRecurrentLayer(width, width // (2 if double else 1), scale=2 if double else 1))
            width //= 2 if double else 1
        self.reconstructor = QuasiRecurrentLayer(channels, 1, both=True, bias=True)

    def forward(self, noisy: Tensor) -> Tensor:
        """(B, C, H, W) to the denoised (B, C, H, W), any C, H and W."""
        height, width = noisy.shape[-2:]
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        features = functional.pad(noisy, padding, mode="replicate").unsqueeze(1)
        features = self._pass(self.extractor, features, False)
        skips = [features]
        reverse = False
        for layer in self.encoder:
            features = self._pass(layer, features, reverse)
            skips.append(features)
            reverse = not reverse
        skips.pop()  # the innermost features go straight on
        for index, layer in enumerate(self.decoder):
            if index:
                features = features + skips.pop()
            features = self._pass(layer, features, reverse)
            reverse = not reverse
        features = features + skips.pop()
        residual = self._pass(self.reconstructor, features, False).squeeze(1)
        return noisy + residual[..., :height, :width]

    def _pass(self, layer: Any, features: Tensor, reverse: bool) -> Tensor:
        if not (self.checkpointing and torch.is_grad_enabled()):
            return layer(features, reverse)
        return checkpoint(
            layer,
            features,
            reverse,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), _statistics_kept(layer)),
        )


def build(
    *, bands: int | None = None, channels: int = 16, depth: int = 5, checkpointing: bool = False
) -> nn.Module:  # the weights fit any number of bands
    """The network: (B, C, H, W) noisy, band-wise scaled to [0, 1], to (B, C, H, W) denoised, any C, H and W.

    Args:
        bands: the number of bands to train on; the network does not depend on it.
        channels, depth, checkpointing: see `QRNN3D`.

    Raises:
        ValueError: a number below 1.
    """
    if min(channels, depth) < 1 or (bands is not None and bands < 1):
        raise ValueError(f"bands, channels and depth must be at least 1, got {bands}, {channels}, {depth}")
    return QRNN3D(channels=channels, depth=depth, checkpointing=checkpointing)
