"""Cost of reading some bands of a band-interleaved-by-line image, against a bare memory map gather.

python benchmarks/reading.py [--rows 512 --cols 512 --bands 408 --count 9 --repeats 101]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hsipipe.scenes.readers import open_image, read_image


def write_bil(folder: Path, bands: int, rows: int, cols: int, dtype: str) -> Path:
    """Write a .bil of random numbers with its header; returns the data file."""
    data = folder / f"bench_{dtype}.bil"
    generator = np.random.default_rng(0)
    with open(data, "wb") as file:
        for _ in range(rows):
            file.write(generator.integers(1, 4000, (bands, cols)).astype(dtype).tobytes())
    centres = ", ".join(f"{value:.2f}" for value in np.linspace(400, 2500, bands))
    code = {"uint16": 12, "float32": 4}[dtype]
    data.with_suffix(".hdr").write_text(
        f"ENVI\nsamples = {cols}\nlines = {rows}\nbands = {bands}\nheader offset = 0\ndata type = {code}\n"
        f"interleave = bil\nbyte order = 0\nwavelength units = nm\nwavelength = {{{centres}}}\n"
    )
    return data


def milliseconds(contenders: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median processor time of each, in a new random order every round, so that all see the same load and caches."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order = np.random.default_rng(0)
    for _ in range(repeats):
        for name in order.permutation(list(contenders)):
            start = time.process_time()
            result = contenders[name]()
            times[name].append(1000 * (time.process_time() - start))
            del result
    return {name: statistics.median(values) for name, values in times.items()}


def measure(bands: int, rows: int, cols: int, count: int, repeats: int, dtype: str) -> dict[str, float]:
    """Median milliseconds of the bare gather and of this package's ways to the same bands."""
    with tempfile.TemporaryDirectory() as name:
        data = write_bil(Path(name), bands, rows, cols, dtype)
        index = np.linspace(0, bands - 1, count).round().astype(int)

        def gather() -> np.ndarray:
            stored = np.memmap(data, dtype, "r", shape=(rows, bands, cols))
            return np.ascontiguousarray(stored[:, index].transpose(1, 0, 2))

        def gather_float() -> np.ndarray:
            return gather().astype(np.float32)

        image = open_image(data)
        assert (image.load(index) == gather()).all()
        return milliseconds(
            {
                "bare gather": gather,
                "bare gather to float32": gather_float,
                "ImageFile.load (pixels)": lambda: image.load(index),
                "ImageFile.read (pixels and mask)": lambda: image.read(index),
                "read_image (header, pixels and mask)": lambda: read_image(data, bands=index),
            },
            repeats,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, value in (("rows", 512), ("cols", 512), ("bands", 408), ("count", 9), ("repeats", 101)):
        parser.add_argument(f"--{option}", type=int, default=value)
    options = parser.parse_args()
    for dtype in ("uint16", "float32"):
        found = measure(options.bands, options.rows, options.cols, options.count, options.repeats, dtype)
        base = found["bare gather"]
        print(f"{options.count} of {options.bands} bands, {options.rows} x {options.cols}, {dtype}")
        for name, value in found.items():
            print(f"  {name:38s} {value:8.2f} ms   ratio {value / base:5.2f}")


if __name__ == "__main__":
    main()
