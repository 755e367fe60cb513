"""Apply any denoiser, trained or not, to one cube; the workflow and the command line both come through here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.methods import DESTRIPE, Method, find_method
from hsipipe.randomness import seed_for
from hsipipe.tasks.defaults import DEFAULT_METHODS

if TYPE_CHECKING:
    from hsipipe.scenes.scene import Item

log = logging.getLogger(__name__)

# Maps noisy (bands, rows, cols), wavelength_nm (bands,) or None, and optionally the truth and the unit's name (which
# seeds random methods) to the denoised cube, all float32.
Denoiser = Callable[..., np.ndarray]

LEAST_TILE = 16  # pixels; below, a tile holds too few spectra for a subspace or a noise level


def choose_denoiser(name: str | None, model: str | Path | None, given: dict[str, Any]) -> tuple[Method, dict[str, Any]]:
    """The method that a user asked for, with its complete settings.

    Args:
        name: an untrained method; None: the default, unless there is a model.
        model: a trained model, which has its method and settings.
        given: settings that differ from the defaults.

    Raises:
        UserError: no such method or setting, settings for a trained model, or a method that needs the truth.
    """
    if model is not None:
        if given or name is not None:
            found = name or next(iter(given))
            raise UserError(
                "a trained model has its method and settings", key="model", found=found, remedy="leave it out"
            )
        from hsipipe.tasks.denoising.trained import read_method

        method, settings = read_method(model)
    else:
        method = find_method("denoising", name or DEFAULT_METHODS["denoising"])
        settings = method.complete(given)
    if method.kind == "oracle":
        raise UserError(f"method {method.name!r} needs the truth", key="method", remedy="choose another")
    return method, settings


def make_denoiser(
    method: Method,
    settings: dict[str, Any],
    *,
    model: str | Path | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> Denoiser:
    """The function that denoises one cube, scaled so that its bands lie about in [0, 1].

    Args:
        method: which.
        settings: complete settings of the method.
        model: the trained model, for a trained method.
        device: torch device.
        seed: with the name of each cube, seeds torch before it, for random methods.

    Raises:
        UserError: a trained method without a model, or the reverse.
    """
    if method.is_fitted != (model is not None):
        raise UserError(
            f"method {method.name!r} is {method.kind}",
            remedy="give its trained model" if method.is_fitted else "it takes no model",
        )
    if method.backend == "numpy":
        module = method.load()

        def denoise_array(noisy: np.ndarray, wavelength_nm: np.ndarray | None, *_: object) -> np.ndarray:
            return module.denoise(noisy[None], wavelength_nm=wavelength_nm, **settings)[0]

        return denoise_array
    return _torch_denoiser(method, settings, model, device, seed)


def _torch_denoiser(
    method: Method, settings: dict[str, Any], model: str | Path | None, device: str, seed: int
) -> Denoiser:
    import torch

    function: Callable[..., torch.Tensor]
    if model is not None:
        from hsipipe.tasks.denoising.trained import load_denoiser

        function = load_denoiser(model, device=device)
    else:
        function = method.load().denoise
    destripes = method.name.startswith(DESTRIPE)
    given = {} if model is not None else settings

    def denoise(
        noisy: np.ndarray, wavelength_nm: np.ndarray | None, truth: np.ndarray | None = None, name: str = ""
    ) -> np.ndarray:
        torch.manual_seed(seed_for(seed, name))
        batch = torch.from_numpy(np.ascontiguousarray(noisy, np.float32))[None].to(device)
        centres = None if wavelength_nm is None else torch.as_tensor(wavelength_nm, dtype=torch.float32, device=device)
        extra = {} if method.kind != "oracle" else {"truth": torch.from_numpy(truth)[None].to(device)}
        with torch.inference_mode():
            if destripes:
                from hsipipe.tasks.denoising.shared.destripe import destripe

                batch = destripe(batch)[0]
            return function(batch, wavelength_nm=centres, **extra, **given)[0].float().cpu().numpy()

    return denoise


def denoise_item(
    item: Item,
    denoiser: Denoiser,
    *,
    tile: int | None = None,
    each: Callable[[list[Any]], Iterable[Any]] = iter,
) -> Item:
    """Denoise an item in its own units; invalid pixels and bad bands are passed through.

    Args:
        item: at least one valid pixel in one good band.
        denoiser: from `make_denoiser`.
        tile: side in pixels, at least 16, of the overlapped tiles that the image is worked through in; None takes it
            whole. Tiles need less working memory.
        each: goes through the tiles, such as a progress bar.

    Raises:
        UserError: nothing to denoise, or tiles too small.
    """
    from hsipipe.scenes.scaled import scale_item, unscale_item

    check_tile(tile)
    scaled = scale_item(item)
    if tile is None:
        cube = denoiser(scaled.cube, scaled.wavelength_nm, None, item.name)
    else:
        import torch

        from hsipipe.training.tiles import apply_tiled

        def on_tile(batch: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(denoiser(batch[0].numpy(), scaled.wavelength_nm, None, item.name))[None]

        noisy = torch.from_numpy(scaled.cube)[None]
        cube = apply_tiled(on_tile, noisy, tile=tile, overlap=tile // 4, each=each)[0].numpy()
    if np.array_equal(cube, scaled.cube):
        origin = item.source.get("path", "an array")
        log.warning("%s: %s is left as it is: next to no noise was found in it", origin, item.name)
    return unscale_item(item, scaled, cube)


def check_tile(tile: int | None) -> None:
    """Refuse tiles that hold too few spectra."""
    if tile is not None and tile < LEAST_TILE:
        raise UserError(f"must be at least {LEAST_TILE} pixels", key="tile", found=tile)
