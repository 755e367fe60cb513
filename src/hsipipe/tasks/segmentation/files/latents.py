"""Spectra to latents and back, as files: encode, decode, and both in one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.scenes.scene import Item
from hsipipe.scenes.transform import transform_file
from hsipipe.tasks.segmentation.files.inputs import (
    check_distinct,
    check_spectra_output,
    image_of,
    read_spectra,
    write_spectra,
)
from hsipipe.tasks.segmentation.files.tables import is_csv, is_table

if TYPE_CHECKING:
    from hsipipe.tasks.segmentation.autoencoder import TrainedAutoencoder

KEPT = ("path", "format", "layout", "interleave", "key", "crs", "transform", "simulated")  # of an item's source
STRIP = 65_536  # pixels that are encoded at once

log = logging.getLogger(__name__)


def encode_spectra(
    trained: TrainedAutoencoder, spectra: np.ndarray, *, wavelength_nm: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Spectra (N, bands) to latents (N, z) and the parameters (N, p) that the normaliser keeps of each.

    Args:
        trained: from `load_autoencoder`.
        spectra: finite, in the units that it was trained on.
        wavelength_nm: (bands,); other bands than those trained on are resampled to them.

    Raises:
        UserError: values that are not finite, or bands that it cannot serve.
    """
    _check_finite(spectra)
    return trained.for_bands(spectra.shape[1], wavelength_nm).encode(spectra)


def reconstruct_spectra(
    trained: TrainedAutoencoder, spectra: np.ndarray, *, wavelength_nm: np.ndarray | None = None
) -> np.ndarray:
    """Spectra (N, bands) as they come out of the latent space, (N, bands) float32; see `encode_spectra`."""
    _check_finite(spectra)
    return trained.for_bands(spectra.shape[1], wavelength_nm).reconstruct(spectra)


def encode_item(item: Item, trained: TrainedAutoencoder) -> Item:
    """The latents of an item: z bands, and after them p of the normaliser's parameters; NaN where not valid."""
    image = image_of(item)
    own = trained.for_bands(len(image.cube), image.wavelength_nm)
    latent, parameters = int(own.network.latent), own.normaliser.parameters
    cube = np.full((latent + parameters, *image.valid.shape), np.nan, np.float32)
    for rows in _strips(image.valid.shape):
        valid = image.valid[rows]
        latents, kept = own.encode(image.cube[:, rows][:, valid].T)
        cube[:latent, rows][:, valid], cube[latent:, rows][:, valid] = latents.T, kept.T
    if parameters:
        log.info(
            "%s: bands 1 to %d are latents, the last %d what the normaliser %s keeps of each spectrum",
            *(item.name, latent, parameters, own.normaliser.name),
        )
    told: dict[str, Any] = {"latents": latent, "parameters": parameters}
    if image.wavelength_nm is not None and own.matching is not None:
        told["encoded_nm"] = image.wavelength_nm.tolist()
    return Item(cube, item.name, image.valid, source={**_source(item), **told})


def decode_item(item: Item, trained: TrainedAutoencoder) -> Item:
    """Spectra from an item that `encode_item` made, at the wavelengths that the model was trained on; or at those that
    were encoded, where the file tells them (scene files).

    Raises:
        UserError: another number of latents, or a decoder that needs the spectra.
    """
    encoded = item.source.get("encoded_nm")
    own = trained if encoded is None else trained.for_bands(len(encoded), np.array(encoded))
    latent, parameters = int(own.network.latent), own.normaliser.parameters
    if len(item.cube) != latent + parameters:
        besides = f" and {parameters} parameters of the normaliser {own.normaliser.name!r}" if parameters else ""
        remedy = "give what `hsipipe encode` wrote with this model"
        where = item.source.get("path")
        raise UserError(
            f"the model decodes {latent} latents{besides}", file=where, found=f"{len(item.cube)} bands", remedy=remedy
        )
    wavelength_nm = trained.wavelength_nm if encoded is None else np.array(encoded)
    bands = trained.bands if encoded is None else len(encoded)
    valid = item.valid & np.isfinite(item.cube).all(axis=0)
    cube = np.full((bands, *valid.shape), np.nan, np.float32)
    for rows in _strips(valid.shape):
        chosen = valid[rows]
        values = item.cube[:, rows][:, chosen].T
        if len(values):
            cube[:, rows][:, chosen] = own.decode(values[:, :latent], values[:, latent:]).T
    return Item(cube, item.name, valid, wavelength_nm=wavelength_nm, source=_source(item))


def reconstruct_item(item: Item, trained: TrainedAutoencoder) -> Item:
    """The item as it comes out of the latent space; invalid pixels and bands without a measurement stay as they are."""
    image = image_of(item)
    own = trained.for_bands(len(image.cube), image.wavelength_nm)
    cube = item.cube.astype(np.float32)
    for rows in _strips(image.valid.shape):
        valid = image.valid[rows]
        made = own.reconstruct(image.cube[:, rows][:, valid].T).T
        for band in np.flatnonzero(image.good):
            cube[band, rows][valid] = made[band]
    return replace(item, cube=cube)


def encode_file(source: str | Path, target: str | Path, model: str | Path, *, device: str = "cpu", **how: Any) -> Item:
    """Encode a file: latents, and the normaliser's parameters if it has any, as the bands of `target`.

    Args:
        source: as in `read_spectra`; `how`: its key, layout and table.
        target: an image format, or .csv for a table.
        model: the file of a trained autoencoder.
        device: torch device.

    Returns:
        What was written.

    Raises:
        UserError: files that cannot be read or written, a wrong model, or bands that it cannot serve.
    """
    return _apply(source, target, model, encode_item, device, "latent", **how)


def decode_file(source: str | Path, target: str | Path, model: str | Path, *, device: str = "cpu", **how: Any) -> Item:
    """Decode a file that `encode_file` wrote with the same model, see there."""
    return _apply(source, target, model, decode_item, device, "band", **how)


def reconstruct_file(
    source: str | Path, target: str | Path, model: str | Path, *, device: str = "cpu", **how: Any
) -> None:
    """Write the file as it comes out of the latent space; type, layout, mask and georeference stay, see `encode_file`.

    Of a scene file all items go through, if the output is one too.
    """
    if is_csv(source) or is_csv(target):
        _apply(source, target, model, reconstruct_item, device, "band", **how)
        return
    trained = _load(model, device)
    transform_file(source, target, lambda item: reconstruct_item(item, trained), **how)


def _apply(
    source: str | Path, target: str | Path, model: str | Path, function: Any, device: str, column: str, **how: Any
) -> Item:
    check_spectra_output(target)
    check_distinct((source, model), (target,))
    trained = _load(model, device)
    item = read_spectra(source, **how)
    if is_csv(target) and not is_table(item):
        raise UserError(
            "a table holds spectra, not an image", file=target, remedy="write .tif, .h5, .npy, .mat or ENVI"
        )
    made: Item = function(item, trained)
    write_spectra(target, made, column=column)
    return made


def _load(model: str | Path, device: str) -> TrainedAutoencoder:
    from hsipipe.tasks.segmentation.autoencoder import load_autoencoder

    return load_autoencoder(model, device=device)


def _source(item: Item) -> dict[str, Any]:
    """What an output of other values keeps of its input: place and layout, not type, scale and nodata."""
    kept = {name: item.source[name] for name in KEPT if name in item.source}
    return {**kept, "dtype": "float32", "nodata": None, "fill": "nan"}


def _strips(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of rows that hold about `STRIP` pixels."""
    step = max(1, STRIP // shape[1])
    for start in range(0, shape[0], step):
        yield slice(start, start + step)


def _check_finite(spectra: np.ndarray) -> None:
    """Refuse what is no table of finite spectra."""
    if spectra.ndim != 2 or not np.isfinite(spectra).all():
        remedy, found = "leave those spectra out", f"an array of {spectra.shape}"
        raise UserError("give spectra (N, bands) without missing values", found=found, remedy=remedy)
