"""How fast a scene file gives its patches to several processes, beside plain reading of as many bytes.

python benchmarks/patch_store.py FOLDER [--workers 1 2 4]

FOLDER holds patches as HySpecNet-11k does (`benchmarks/hyspecnet_folder.py` makes one). They are read into a scene file
in a temporary folder beside FOLDER; then so many processes read shares of it: plain bytes of the file, as `dd` does;
the stored values (`h5py`); items (`Scene.read`); training images (`read_truth`: float32, masked, each band scaled);
and, for comparison, the GeoTIFFs themselves. Each after the file was dropped from the page cache (cold), and again
(warm). CPU seconds are those of all workers. Writes benchmarks/patch_store.csv and .md.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from hsipipe.cases.split import Unit
from hsipipe.files import write_text
from hsipipe.scenes.convert import convert
from hsipipe.scenes.hyspecnet import hyspecnet_patches
from hsipipe.scenes.readers import read_image
from hsipipe.scenes.scene import Scene
from hsipipe.tasks.denoising.case import read_truth

CSV, REPORT = Path(__file__).with_suffix(".csv"), Path(__file__).with_suffix(".md")
BLOCK = 1 << 20
Share = tuple[str, list[int], int]  # the file, which patches, of how many


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    options = parser.parse_args()
    images = hyspecnet_patches(options.folder, form="tiff")
    with tempfile.TemporaryDirectory(dir=options.folder.parent) as temporary:
        store = Path(temporary) / "patches.h5"
        started = time.process_time()
        convert([options.folder], store)
        reading_s = time.process_time() - started
        contenders: dict[str, tuple[Callable[[Share], int], Sequence[Path]]] = {
            "plain bytes": (plain_bytes, [store]),
            "stored values (h5py)": (stored_values, [store]),
            "items (Scene.read)": (items, [store]),
            "training images (read_truth)": (training_images, [store]),
            "GeoTIFFs (read_image)": (geotiffs, list(images.values())),
        }
        rows = []
        for name, (function, files) in contenders.items():
            for workers in options.workers:
                for state in ("cold", "warm"):
                    rows.append(
                        {"what": name, "workers": workers, "state": state, **measure(function, files, workers, state)}
                    )
        count, size = len(images), store.stat().st_size
    table = pd.DataFrame(rows)
    table.to_csv(CSV, index=False, float_format="%.6g", lineterminator="\n")
    write_text(REPORT, report(table, count=count, size=size, reading_s=reading_s))
    print(REPORT.read_text(encoding="utf-8"))


def measure(function: Callable[[Share], int], files: Sequence[Path], workers: int, state: str) -> dict[str, float]:
    """Seconds and bytes of one way of reading by so many processes."""
    if state == "cold":
        for file in files:
            forget(file)
    count = len(files) if len(files) > 1 else len(Scene(files[0]).items)
    name = "\n".join(map(str, files))
    shares: list[Share] = [(name, list(range(worker, count, workers)), count) for worker in range(workers)]
    context = multiprocessing.get_context("fork")
    with context.Pool(workers) as pool:
        started = time.perf_counter()
        found = pool.map(timed, [(function, share) for share in shares])
        wall_s = time.perf_counter() - started
    return {
        "patches": count,
        "megabytes": sum(size for size, _ in found) / 1e6,
        "wall_s": wall_s,
        "cpu_s": sum(cpu_s for _, cpu_s in found),
    }


def timed(job: tuple[Callable[[Share], int], Share]) -> tuple[int, float]:
    """Bytes that a worker read, and its CPU seconds."""
    function, share = job
    started = time.process_time()
    size = function(share)
    return size, time.process_time() - started


def forget(file: Path) -> None:
    """Drop a file from the page cache, so that it is read from the disk again."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def plain_bytes(share: Share) -> int:
    """As many bytes of the file as there are patches in the share, one after the other."""
    name, numbers, count = share
    total, size = 0, os.path.getsize(name) // count
    with open(name, "rb", buffering=0) as file:
        for number in numbers:
            file.seek(number * size)
            left = size
            while left > 0 and (block := file.read(min(BLOCK, left))):
                left -= len(block)
                total += len(block)
    return total


def stored_values(share: Share) -> int:
    """The values as they are stored."""
    import h5py

    name, numbers, _ = share
    with h5py.File(name) as file:
        return sum(file["cube"][number].nbytes for number in numbers)


def items(share: Share) -> int:
    """Items with their masks, float32; the bytes are those of the stored values."""
    name, numbers, _ = share
    with Scene(name) as scene:
        return sum(scene.read(scene.items[number]).cube.size * scene.dtype.itemsize for number in numbers)


def training_images(share: Share) -> int:
    """What a training holds of a patch; the bytes are those of the stored values."""
    name, numbers, _ = share
    total = 0
    with Scene(name) as scene:
        for number in numbers:
            rows, cols = scene.sizes[scene.items[number]]
            unit = Unit(scene.name, scene.items[number], "train", 0, rows, 0, cols)
            total += read_truth(scene, unit, range(scene.bands)).cube.size * scene.dtype.itemsize
    return total


def geotiffs(share: Share) -> int:
    """The GeoTIFFs, all their bands; the bytes are those of their values as stored."""
    names, numbers, _ = share
    return sum(read_image(names.split("\n")[number]).cube.size * 2 for number in numbers)


def report(table: pd.DataFrame, *, count: int, size: int, reading_s: float) -> str:
    """The report in Markdown."""
    lines = [
        "# Reading patches from a scene file",
        "",
        f"`python benchmarks/patch_store.py FOLDER`, {count} simulated patches of HySpecNet-11k's form, "
        f"{size / 1e6:.0f} MB as a scene file, written in {reading_s / count:.3f} CPU s a patch.",
        "Measured on 2 cores that other work kept busy: CPU seconds tell, wall seconds are upper bounds.",
        "",
        "| what | workers | ms CPU a patch, cold | warm | MB/s of CPU time, warm | MB/s of wall time, cold | warm |",
        "| --- " * 7 + "|",
    ]
    for (what, workers), pair in table.groupby(["what", "workers"], sort=False):
        found = pair.set_index("state")
        cold, warm = found.loc["cold"], found.loc["warm"]
        lines.append(
            f"| {what} | {workers} | {1e3 * cold.cpu_s / cold.patches:.1f} | {1e3 * warm.cpu_s / warm.patches:.1f} "
            f"| {warm.megabytes / warm.cpu_s:.0f} | {cold.megabytes / cold.wall_s:.0f} "
            f"| {warm.megabytes / warm.wall_s:.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
