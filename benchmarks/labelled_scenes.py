"""Real scenes with labels, for the benchmarks of segmentation: read from a folder of files as their users have them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hsipipe.scenes.readers import read_image
from hsipipe.scenes.readers.labels import read_labels

# Columns and rows of the tiles of EnMAP Potsdam in pixels of the scene: two gapless rectangles of them.
ENMAP_BLOCKS = (((64, 96, 128), (0, 32)), ((96, 128, 160, 192), (96, 128)))
HOUSTON_AGREEING = 12


@dataclass(frozen=True)
class LabelledScene:
    """Attributes: name; cube (C, H, W) float32, good bands in the scene's units; labels (H, W) integers, 0 where there
    is none; valid (H, W) bool."""

    name: str
    cube: np.ndarray
    labels: np.ndarray
    valid: np.ndarray

    @property
    def classes(self) -> int:
        """How many classes the labels have."""
        return len(np.unique(self.labels[self.labels > 0]))


def indian_pines(folder: Path) -> LabelledScene:
    """The subset of Indian Pines of 70 x 70 pixels with 4 classes."""
    file = folder / "indian_pines" / "Indian_subset.mat"
    item = read_image(file, key="Indian_subset")
    return LabelledScene(
        "Indian Pines subset", item.cube.astype(np.float32), read_labels(f"{file}:gt", item.valid.shape), item.valid
    )


def with_abundances(folder: Path, name: str, file: str, key: str, abundances: str, abundance_key: str) -> LabelledScene:
    """A scene whose labels are the material with the largest abundance in each pixel."""
    item = read_image(folder / file, key=key)
    shares = read_image(folder / abundances, key=abundance_key).cube
    return LabelledScene(name, item.cube.astype(np.float32), shares.argmax(0) + 1, item.valid)


def samson(folder: Path) -> LabelledScene:
    """Samson, 95 x 95 pixels, 3 materials."""
    return with_abundances(folder, "Samson", "samson/samson_1.mat", "V", "samson/A_true.mat", "A_true")


def moffett(folder: Path) -> LabelledScene:
    """Moffett Field, 50 x 50 pixels, 3 materials."""
    return with_abundances(folder, "Moffett", "moffett/moffett.mat", "Y", "moffett/moffett.mat", "S_GT")


def houston(folder: Path) -> LabelledScene:
    """The crop of Houston 2018: a pixel has the class that at least 12 of its 4 x 4 finer labels have."""
    file = folder / "houston_2018" / "houston_dataset.mat"
    item = read_image(file, key="hyprImg")
    rows, cols = item.valid.shape
    fine = read_labels(f"{file}:clasLabs")
    parts = fine.reshape(rows, 4, cols, 4).transpose(0, 2, 1, 3).reshape(rows, cols, 16)
    counts = np.stack([(parts == code).sum(2) for code in range(fine.max() + 1)])
    labels = np.where(counts.max(0) >= HOUSTON_AGREEING, counts.argmax(0), 0)
    return LabelledScene("Houston 2018 crop", item.cube[item.good_bands].astype(np.float32), labels, item.valid)


def enmap_tiles(folder: Path) -> list[LabelledScene]:
    """The 14 tiles of EnMAP Potsdam, 32 x 32 pixels each."""
    tiles = []
    for file in sorted((folder / "enmap_potsdam" / "images").glob("*.tif")):
        item = read_image(file)
        labels = read_labels(folder / "enmap_potsdam" / "labels" / file.name, item.valid.shape)
        cube = item.cube[item.good_bands].astype(np.float32)
        tiles.append(LabelledScene(file.stem.removeprefix("enmap_potsdam_tile_"), cube, labels, item.valid))
    return tiles


def enmap_blocks(folder: Path) -> list[LabelledScene]:
    """Two rectangles of EnMAP Potsdam, put together from adjoining tiles."""
    tiles = {tile.name: tile for tile in enmap_tiles(folder)}
    blocks = []
    for cols, rows in ENMAP_BLOCKS:

        def together(field: str, cols: tuple[int, ...] = cols, rows: tuple[int, ...] = rows) -> np.ndarray:
            lines = [np.concatenate([getattr(tiles[f"{x}_{y}"], field) for x in cols], axis=-1) for y in rows]
            return np.concatenate(lines, axis=-2)

        name = f"EnMAP Potsdam, {len(rows)} x {len(cols)} tiles"
        blocks.append(LabelledScene(name, together("cube"), together("labels"), together("valid")))
    return blocks
