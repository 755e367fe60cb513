"""Pretrained weights for a backbone: from a file, from timm, and its first layer spread over other channels."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hsipipe.errors import UserError
from hsipipe.tasks.representation.shared.response import tiled

# What stands before the names of a backbone's parameters, in any combination: in files of others and in our own.
PREFIXES = ("module.", "model.", "encoder.", "backbone.", "network.")
# The classifiers of timm's models, which an encoder does not have.
CLASSIFIERS = ("fc.", "head.fc.", "head.weight", "head.bias", "classifier.", "head_dist.")
CONNECT_SECONDS = 5.0


@contextmanager
def cache_only_where_offline() -> Iterator[None]:
    """Within it, weights come from the local cache alone if their server does not answer at once.

    Without a connection the client tries again and again, for most of a minute.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        urllib.request.urlopen(request, timeout=CONNECT_SECONDS).close()
    except urllib.error.HTTPError:
        reachable = True  # it answered, if only to refuse the request
    except OSError:
        reachable = False
    else:
        reachable = True
    try:
        constants.HF_HUB_OFFLINE = before or not reachable
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def read_backbone(path: str) -> dict[str, Tensor]:
    """A backbone's tensors by name, without prefixes, from a state dictionary, a .safetensors file, or a model.pt.

    Of the state of a whole encoder (one with names under `backbone.`), those are taken.

    Raises:
        UserError: no such file, or one that is not weights.
    """
    from hsipipe.nets.weights import read_weights

    state: dict[str, Tensor] = read_weights(path)["state"]
    own = {name: value for name, value in state.items() if name.startswith("backbone.") or ".backbone." in name}
    return {_bare(name.split("backbone.")[-1]): value for name, value in (own or state).items()}


def first_convolution(network: nn.Module, channels: int) -> nn.Conv2d:
    """The convolution that sees the images: the first of the network's that takes `channels`.

    Raises:
        UserError: there is none, so that the network cannot be given other channels.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            if module.in_channels == channels and module.groups == 1:
                return module
            break
    remedy = "choose another backbone"
    raise UserError("the backbone does not begin with a convolution over channels", key="backbone", remedy=remedy)


def load_backbone(network: nn.Module, first: nn.Conv2d, state: Mapping[str, Tensor], *, file: str) -> None:
    """Load a state dictionary into a network; its first convolution takes on the channels of the file's.

    Raises:
        UserError: tensors missing, left over (but for a classifier's) or of another shape, naming some of them.
    """
    inner: Any = getattr(network, "network", network)
    names = [name for name, module in inner.named_modules() if module is first]
    stem = state.get(f"{names[0]}.weight")
    if stem is not None and stem.ndim == 4 and stem.shape[1] != first.in_channels:
        _replace(first, torch.zeros_like(stem, dtype=first.weight.dtype))
    needed = inner.state_dict()
    if hasattr(inner, "pos_embed") and "pos_embed" in state and state["pos_embed"].shape != needed["pos_embed"].shape:
        from timm.layers import resample_abs_pos_embed

        grid = list(inner.patch_embed.grid_size)
        prefix = int(inner.num_prefix_tokens)
        state = {**state, "pos_embed": resample_abs_pos_embed(state["pos_embed"], grid, num_prefix_tokens=prefix)}
    wrong = [name for name, value in needed.items() if name not in state or state[name].shape != value.shape]
    extra = [name for name in state if name not in needed and not name.startswith(CLASSIFIERS)]
    if wrong or extra:
        some = [*(f"{name} missing or of another shape" for name in wrong), *(f"{name} not used" for name in extra)]
        found = f"{', '.join(some[:3])}{f' and {len(some) - 3} more' if len(some) > 3 else ''}"
        raise UserError(
            "the weights are not of this backbone", file=file, found=found, remedy="name the backbone they are of"
        )
    inner.load_state_dict({name: state[name] for name in needed})


def spread(first: nn.Conv2d, channels: int, matrix: Tensor | None) -> None:
    """Give a first convolution other channels, in place.

    Args:
        first: with as many input channels as the image has, and then nothing changes; or with three.
        channels: of the images.
        matrix: (channels, 3), see `response`; None for `response.tiled`.

    Raises:
        UserError: it has another number than three.
    """
    if first.in_channels == channels and (channels != 3 or matrix is None):
        return
    if first.in_channels != 3:
        remedy = "give weights with three channels or with as many as the stem's"
        raise UserError(f"the first layer is to take {channels} channels", found=first.in_channels, remedy=remedy)
    mixed = torch.from_numpy(tiled(channels)) if matrix is None else matrix.double()
    weight = torch.einsum("oihw,ci->ochw", first.weight.detach().double(), mixed)
    _replace(first, weight.to(first.weight.dtype))


def _replace(convolution: nn.Conv2d, weight: Tensor) -> None:
    convolution.in_channels = weight.shape[1]
    convolution.weight = nn.Parameter(weight.contiguous())


def _bare(name: str) -> str:
    while prefix := next((prefix for prefix in PREFIXES if name.startswith(prefix)), None):
        name = name.removeprefix(prefix)
    return name
