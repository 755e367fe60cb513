"""Embed images of files by a trained encoder: a row for each specimen, or for each pixel where it embeds patches."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hsipipe.bands.matching import match_bands
from hsipipe.errors import UserError
from hsipipe.files import atomic_path
from hsipipe.progress import progress
from hsipipe.scenes.scene import Item, Scene
from hsipipe.tasks.representation.images import crop_to_mask, patches_of, reflectance
from hsipipe.tasks.representation.model_file import Embedder, load_embedder, network_embed

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet", ".npy")
METADATA = ("specimen", "species", "side", "session", "split")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """Attributes: told: file, name and what is known of the image; values: its embedding (D,)."""

    told: dict[str, Any]
    values: np.ndarray


def check_table(path: str | Path) -> Path:
    """The path, if embeddings can be written to it.

    Raises:
        UserError: another extension, or .parquet without the package pyarrow.
    """
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise UserError(
            "embeddings are not written in this format", file=target, remedy=f"one of {', '.join(SUFFIXES)}"
        )
    if target.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise UserError("needs the package pyarrow", file=target, remedy="pip install pyarrow, or .csv") from error
    return target


def embed_files(
    sources: Sequence[str | Path],
    target: str | Path,
    model: str | Path,
    *,
    device: str = "cpu",
    key: str | None = None,
    layout: str | None = None,
    stride: int = 1,
) -> int:
    """Embed every image of some files and folders, and write a table.

    Args:
        sources: folders of specimens, scene files, or images of any supported format.
        target: .csv or .parquet, with names, metadata and the embedding; .npy, the embeddings alone.
        model: of an encoder.
        device: where to embed.
        key, layout: of bare arrays.
        stride: of the pixels, for a model of patches.

    Returns:
        How many rows were written.

    Raises:
        UserError: unreadable files, no wavelengths in common, or a format that cannot be written.
    """
    output = check_table(target)
    embedder = load_embedder(model, device=device)
    rows: list[Row] = []
    for source in progress(list(sources), "embedding", unit="file"):
        for item in _items(Path(source), key=key, layout=layout):
            rows += embed_item(item, embedder, path=model, source=source, stride=stride, device=device)
    if not rows:
        raise UserError("no image was found", file=", ".join(map(str, sources)))
    values = np.stack([row.values for row in rows])
    with atomic_path(output) as temporary:
        if output.suffix.lower() == ".npy":
            np.save(temporary, values, allow_pickle=False)
        elif output.suffix.lower() == ".csv":
            _table(rows, values).to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")
        else:
            _table(rows, values).to_parquet(temporary, index=False)
    return len(rows)


def embed_item(
    item: Item, embedder: Embedder, *, path: str | Path, source: str | Path = "", stride: int = 1, device: str = "cpu"
) -> list[Row]:
    """The embeddings of an item: one of a specimen, one for each pixel where the model embeds patches.

    Raises:
        UserError: bands that the model cannot serve.
    """
    needed = len(embedder.bands)
    matching = match_bands(
        embedder.wavelength_nm, item.wavelength_nm, needed=needed, given=len(item.cube), path=path, back=False
    )
    embed = embedder.embed
    network = embedder.network
    cube = reflectance(item)
    if (
        matching is not None
        and network is not None
        and network.encoder.bands is None
        and network.normalisation.bands is None
    ):
        embed = network_embed(network, device, wavelength_nm=item.wavelength_nm)  # any bands serve
    elif matching is not None:
        cube = np.tensordot(matching.there, cube, axes=1)
    known = Item(cube, item.name, valid=item.valid, source={**item.source, "scale": 1})
    told = {"file": str(source), "name": item.name}
    if not embedder.content["patches"]:
        image, mask = crop_to_mask(cube, item.valid, size=embedder.content["size"])
        metadata = item.source.get("metadata") or {}
        told |= {name: metadata.get(name, "") for name in METADATA if metadata}
        return [Row(told, embed(image[None], mask[None])[0])]
    labels = np.where(item.valid, 1, 0)  # every valid pixel is wanted
    wanted = replace(known, labels=labels, class_names=["pixel"])
    found = list(patches_of(wanted, item.name, side=embedder.content["size"], stride=stride, block=1))
    values = embed(np.stack([image.cube for _, _, image in found]), np.stack([image.mask for _, _, image in found]))
    return [Row({**told, "row": row, "col": col}, value) for (row, col, _), value in zip(found, values, strict=True)]


def _items(path: Path, *, key: str | None, layout: str | None) -> Iterator[Item]:
    from hsipipe.scenes.readers import detect_format, read_image
    from hsipipe.scenes.specimens.reader import is_specimen_folder, read_specimens

    if path.is_dir() and is_specimen_folder(path):
        yield from read_specimens(path)
        return
    if not path.exists():
        raise UserError("no such file or folder", file=path)
    if path.is_file() and detect_format(path) == "hdf5" and _is_scene(path):
        with Scene(path) as scene:
            for name in scene.items:
                yield scene.read(name)
        return
    yield read_image(path, key=key, layout=layout)


def _is_scene(path: Path) -> bool:
    import h5py

    with h5py.File(path, "r") as file:
        return str(file.attrs.get("format", "")).startswith("hsipipe-scene")


def _table(rows: list[Row], values: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    told = pd.DataFrame([row.told for row in rows])
    columns = [f"e{number}" for number in range(1, values.shape[1] + 1)]
    return pd.concat([told, pd.DataFrame(values, columns=columns)], axis=1)
