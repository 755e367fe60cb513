"""From an encoder of some bands to one of others: the stage of a training that goes on with more bands."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from hsipipe.errors import UserError


def resample_stem(
    state: Mapping[str, Tensor], source_nm: np.ndarray, target_nm: np.ndarray, *, prefix: str = ""
) -> dict[str, Tensor]:
    """The state of an encoder for other bands, with the same response to any spectrum that is flat.

    Weights over bands (the 1 x 1 convolution of `reduce`, the backbone's first layer of `tiled` and `interpolated`, the
    first layer of the attention) are spread over wavelength: each source band's weight is shared among the target bands
    near it, by linear interpolation, with shares of sum 1. The gates of the attention are interpolated linearly. The
    state of an `adapter` is given back as it is. The number of hidden units of the attention stays; the encoder of the
    next stage must be built with as many (`attention_hidden`).

    Args:
        state: of an `Encoder`.
        source_nm: (C,) wavelengths of its bands, nm.
        target_nm: (C',) those of the bands to come.
        prefix: what stands before the encoder's names in the state, with its dot.

    Returns:
        What the other encoder's `load_state_dict` takes.

    Raises:
        UserError: the state is not of an encoder, or of one for another number of bands than `source_nm` has.
    """
    from hsipipe.nets.band_matrix import band_matrix

    new = dict(state)
    if any(name.startswith(f"{prefix}stem.convolutions.") for name in state):
        return new
    source, target = np.asarray(source_nm, np.float64), np.asarray(target_nm, np.float64)
    shares = torch.from_numpy(band_matrix(source, target))

    stem = f"{prefix}stem.mix.weight"
    if stem not in state:
        # The first layer comes first in the order of a network's state.
        names = (n for n, value in state.items() if n.startswith(f"{prefix}backbone.") and value.ndim == 4)
        stem = next(names, "")
        if not stem:
            raise UserError("the state is not of an encoder", found=", ".join(list(state)[:3]), remedy="give one")
    new[stem] = _spread(state[stem], shares, stem)
    squeeze = f"{prefix}attention.squeeze.weight"
    if squeeze in state:
        from hsipipe.bands.resample import interpolation

        between = torch.from_numpy(interpolation(source, target))
        new[squeeze] = _spread(state[squeeze], shares, squeeze)
        for name in (f"{prefix}attention.excite.weight", f"{prefix}attention.excite.bias"):
            value = state[name].detach()
            new[name] = torch.tensordot(between.to(value.device), value.double(), dims=1).to(value.dtype)
    return new


def _spread(value: Tensor, shares: Tensor, name: str) -> Tensor:
    """Weights (O, C, ...) to (O, C', ...)."""
    if value.shape[1] != shares.shape[0]:
        raise UserError(
            f"the stem's weights are of {value.shape[1]} bands",
            key=name,
            found=f"{shares.shape[0]} wavelengths",
            remedy="give the wavelengths that the encoder was trained with",
        )
    spread = torch.einsum("oc...,ct->ot...", value.detach().double(), shares.to(value.device))
    return spread.to(value.dtype).contiguous()
