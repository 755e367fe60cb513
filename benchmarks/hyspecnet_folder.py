"""A folder laid out as HySpecNet-11k is, of simulated patches, to rehearse a study of it with real files.

python benchmarks/hyspecnet_folder.py OUT [--patches 115 --side 128 --seed 0 --data]

Writes OUT/patches/TILE/PATCH/PATCH-SPECTRAL_IMAGE.TIF (224 bands, int16, deflate, -32768 where nothing was measured),
the quality layers PATCH-QL_*.TIF beside it, with --data also PATCH-DATA.npy (202 bands, float32 in 0..1), and
OUT/splits/{easy,hard}/{train,val,test}.csv: 70, 20 and 10 percent of the patches; of whole tiles in the hard ones. A
patch is cut from one of a few simulated landscapes, turned, and given a brightness and sensor noise of its own, so that
no two files are alike. The tiles' names are of EnMAP's form and of no real tile.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from hsipipe.randomness import generator_for
from hsipipe.scenes.enmap import enmap_bands
from hsipipe.scenes.simulate import simulate_scene
from hsipipe.scenes.simulation.texture import fractal_field

NODATA = -32768
FEWEST = 6
PATCHES_PER_TILE = 46  # 11,483 patches of 250 tiles
SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}
LANDSCAPES = 2  # each is as wide as four patches; a patch is one of its windows in one of eight positions
NOISE = 15.0  # digital numbers: 0.0015 of reflectance
LAYERS = ("CLOUD", "CLOUDSHADOW", "CIRRUS", "HAZE", "SNOW", "TESTFLAGS")
CLOUDED = 0.1  # of the patches have a cloud


def main() -> None:
    """Write the folder and say what it cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--patches", type=int, default=115)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", action="store_true", help="write -DATA.npy too")
    options = parser.parse_args()
    if options.patches < FEWEST:
        parser.error(f"--patches must be {FEWEST} or more: both lists have three parts")
    started = time.process_time()
    write_folder(options.out, patches=options.patches, side=options.side, seed=options.seed, data=options.data)
    size = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
    print(f"{options.patches} patches, {size / 1e6:.1f} MB, {time.process_time() - started:.1f} CPU s")


def write_folder(out: Path, *, patches: int, side: int = 128, seed: int = 0, data: bool = False) -> None:
    """Write `patches` patches of side x side pixels in as many tiles as the data set would have, and its splits."""
    tiles = max(FEWEST, -(-patches // PATCHES_PER_TILE))
    names = [patch_name(number, tile=number * tiles // patches) for number in range(patches)]
    cubes = windows(side, seed)
    for number, name in enumerate(names):
        write_patch(out / "patches" / name.rpartition("-")[0] / name, name, cubes, number, seed=seed, data=data)
    for which, parts in splits(names, seed).items():
        for part, chosen in parts.items():
            file = out / "splits" / which / f"{part}.csv"
            file.parent.mkdir(parents=True, exist_ok=True)
            lines = (f"{name.rpartition('-')[0]}/{name}/{name}-DATA.npy\n" for name in chosen)
            file.write_text("".join(lines), encoding="utf-8")


def patch_name(number: int, *, tile: int) -> str:
    """The name of a patch, of the form that the data set's have."""
    row, col = divmod(number % PATCHES_PER_TILE, 7)
    product = f"ENMAP01-____L2A-DT9999{tile:06d}_20990101T000000Z_001_V010110_20990102T000000Z"
    return f"{product}-Y{128 * row + 1:04d}{128 * (row + 1):04d}_X{128 * col + 1:04d}{128 * (col + 1):04d}"


def windows(side: int, seed: int) -> list[np.ndarray]:
    """Cubes (224, side, side) in digital numbers, of a few simulated landscapes."""
    bands = enmap_bands()
    items = simulate_scene(
        rows=2 * side,
        cols=2 * side,
        seed=seed,
        items=LANDSCAPES,
        wavelength_nm=bands.wavelength_nm,
        fwhm_nm=bands.fwhm_nm,
    )
    return [
        np.asarray(item.cube[:, row : row + side, col : col + side], np.float32)
        for item in items
        for row in (0, side)
        for col in (0, side)
    ]


def write_patch(folder: Path, name: str, cubes: Sequence[np.ndarray], number: int, *, seed: int, data: bool) -> None:
    """Write the image of a patch and its quality layers."""
    random = generator_for("hyspecnet folder", seed, name)
    cube = cubes[number % len(cubes)]
    turned = np.rot90(cube, number // len(cubes) % 4, axes=(1, 2))
    turned = turned[:, :, ::-1] if number // (4 * len(cubes)) % 2 else turned
    bright = turned * random.uniform(0.8, 1.2)
    noisy = bright + NOISE * random.standard_normal(turned.shape, dtype=np.float32)
    image = np.clip(np.rint(noisy), 1, 12000).astype(np.int16)
    folder.mkdir(parents=True, exist_ok=True)
    write_tiff(folder / f"{name}-SPECTRAL_IMAGE.TIF", image, nodata=NODATA)
    shape = image.shape[1:]
    cloud = np.zeros(shape, np.uint8)
    if random.random() < CLOUDED:
        cloud = (fractal_field(shape, random, exponent=3.0, outer_scale=64) > 1.0).astype(np.uint8)
    for layer in LAYERS:
        write_tiff(
            folder / f"{name}-QL_QUALITY_{layer}.TIF", (cloud if layer == "CLOUD" else np.zeros_like(cloud))[None]
        )
    write_tiff(folder / f"{name}-QL_QUALITY_CLASSES.TIF", np.ones((1, *shape), np.uint8))
    defects = (random.random((len(image), 1, shape[1])) < 0.001).astype(np.uint8)
    write_tiff(folder / f"{name}-QL_PIXELMASK.TIF", np.broadcast_to(defects, image.shape))
    if data:
        np.save(folder / f"{name}-DATA.npy", image[enmap_bands().hyspecnet].astype(np.float32) / 10000)


def write_tiff(path: Path, values: np.ndarray, nodata: float | None = None) -> None:
    """Write (bands, rows, cols) as a compressed GeoTIFF of pixels of 30 m."""
    bands, rows, cols = values.shape
    profile = {
        "driver": "GTiff",
        "count": bands,
        "height": rows,
        "width": cols,
        "dtype": values.dtype,
        "nodata": nodata,
        "compress": "deflate",
        "predictor": 2,
        "crs": "EPSG:32633",
        "transform": from_origin(400000, 5800000, 30, 30),
    }
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(values)


def splits(names: Sequence[str], seed: int) -> dict[str, dict[str, list[str]]]:
    """Shares of the patches: of single ones (easy) and of whole tiles (hard)."""
    tiles = sorted({name.rpartition("-")[0] for name in names})
    parts_of_tiles = dict(shared(tiles, generator_for("hyspecnet tiles", seed)))
    hard: dict[str, list[str]] = {part: [] for part in SHARES}
    easy: dict[str, list[str]] = {part: [] for part in SHARES}
    for name, part in shared(names, generator_for("hyspecnet patches", seed)):
        easy[part].append(name)
    for name in names:
        hard[parts_of_tiles[name.rpartition("-")[0]]].append(name)
    return {"easy": {part: sorted(chosen) for part, chosen in easy.items()}, "hard": hard}


def shared(names: Sequence[str], random: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Names in random order with their parts, each part with one at least."""
    counts = {part: max(1, round(share * len(names))) for part, share in SHARES.items() if part != "train"}
    order = [names[index] for index in random.permutation(len(names))]
    parts = [part for part, count in counts.items() for _ in range(count)]
    yield from zip(order, [*parts, *["train"] * (len(order) - len(parts))], strict=True)


if __name__ == "__main__":
    main()
