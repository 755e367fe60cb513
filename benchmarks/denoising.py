"""The untrained denoisers beside the public package's, on real scenes: quality, CPU seconds and memory in one run.

python benchmarks/denoising.py --data FOLDER [--package-python PYTHON] [--scenes ...] [--cases ...] [--methods ...]

Writes benchmarks/denoising.csv and benchmarks/denoising.md. Each scene is cropped to at most 128 x 128, scaled band by
band to [0, 1], and degraded. One thread on both sides. MPSNR: mean over bands of 10 log10 (1 / MSE).
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path

from public_package import ONE_THREAD, PACKAGE_METHODS, Measured, measure, run_package

os.environ.update(ONE_THREAD)

import numpy as np
import torch
from tqdm import tqdm

from hsipipe.degrade.noise import noisy_item, parse_noise
from hsipipe.files import write_text
from hsipipe.methods import methods_of
from hsipipe.metrics.spatial import mpsnr
from hsipipe.scenes.readers import read_image
from hsipipe.tasks.denoising.shared.destripe import destripe

# name: file below --data, key of the array
SCENES = {
    "abu-airport-1": ("abu/abu-airport-1.mat", "data"),
    "abu-beach-1": ("abu/abu-beach-1.mat", "data"),
    "abu-urban-1": ("abu/abu-urban-1.mat", "data"),
    "abu-urban-4": ("abu/abu-urban-4.mat", "data"),
    "abu-airport-2": ("abu/abu-airport-2.mat", "data"),
    "aviris_santa_barbara": ("aviris_santa_barbara/a_hsi_img_for_VI_demo.mat", "hsi_img"),
    "pavia_centre": ("pavia_centre/abu-beach-4.mat", "data"),
}
CASES = {
    "hyspecnet": "hyspecnet",
    "gaussian-0.05": "gaussian:sigma=0.05",
    "gaussian-0.1": "gaussian:sigma=0.1",
    "non-iid": "noniid-gaussian:sigma_low=0.02,sigma_high=0.2",
    "clean": "none",
}
# Methods with other than their default settings, where the method exists.
VARIANTS: dict[str, tuple[str, dict[str, object]]] = {"blind-slow": ("blind", {"effort": "slow"})}
FIELDS = ("mpsnr", "cpu_s", "mib")
SIDES = ("package", "ours", "destripe")
COLUMNS = ["case", "scene", "method", "noisy", *(f"{side}_{field}" for side in SIDES for field in FIELDS)]


def read_cube(path: Path, key: str, side: int) -> np.ndarray:
    """The upper left `side` x `side` pixels of a scene, (C, H, W), bands scaled to [0, 1]; no constant ones."""
    cube = read_image(path, key=key).cube[:, :side, :side].astype(np.float32)
    low, high = cube.min(axis=(1, 2), keepdims=True), cube.max(axis=(1, 2), keepdims=True)
    varied = (high > low)[:, 0, 0]
    return np.ascontiguousarray(((cube - low) / np.where(high > low, high - low, 1))[varied])


def our_functions(names: list[str], truth: np.ndarray) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Each method with its default settings as a function of a cube (C, H, W), and `destripe+` before it."""
    functions: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    for name in names:
        folder, settings = VARIANTS.get(name, (name, {}))
        method = methods_of("denoising")[folder]
        denoise = partial(method.load().denoise, **settings)
        extra = {"truth": torch.from_numpy(truth)[None]} if method.kind == "oracle" else {}
        if method.backend == "numpy":
            functions[name] = partial(_on_numpy, denoise)
            continue
        functions[name] = partial(_on_torch, denoise, extra, False)
        if method.kind != "oracle" and not name.startswith("blind"):
            functions[f"destripe+{name}"] = partial(_on_torch, denoise, extra, True)
    return functions


def _on_numpy(denoise: Callable, cube: np.ndarray) -> np.ndarray:
    return denoise(cube[None])[0]


def _on_torch(denoise: Callable, extra: dict, before: bool, cube: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        batch = torch.from_numpy(cube)
        if before:
            batch = destripe(batch)[0]
        return denoise(batch[None], **extra)[0].numpy()


def columns_of(who: str, measured: Measured | None, truth: np.ndarray) -> dict[str, float | str]:
    if measured is None:
        return {}
    if measured.estimate is None:
        return {f"{who}_mpsnr": measured.error}
    # A package that returns NaN is scored with 0 in their place.
    score = mpsnr(truth, np.nan_to_num(measured.estimate))
    return {f"{who}_mpsnr": score, f"{who}_cpu_s": measured.cpu_s, f"{who}_mib": measured.extra_mib}


def compare_scene(name: str, clean: np.ndarray, cases: list[str], names: list[str], python: str | None) -> list[dict]:
    """Rows of one scene, one for each case and method."""
    noisy = {
        case: noisy_item(torch.from_numpy(clean), parse_noise(CASES[case]), "benchmark", case, name).numpy()
        for case in cases
    }
    rivals = tuple(method for method in PACKAGE_METHODS if method in names)
    package = run_package(python, noisy, rivals) if python and rivals else {}
    functions = our_functions(names, clean)
    for function in our_functions(names, clean[:20, :32, :32]).values():
        function(noisy[cases[0]][:20, :32, :32])
    rows = []
    for case in cases:
        for method in names:
            if method not in functions:
                continue
            row: dict[str, float | str] = {"case": case, "scene": name, "method": method}
            row["noisy"] = mpsnr(clean, noisy[case])
            row |= columns_of("package", package.get((case, method)), clean)
            row |= columns_of("ours", measure(functions[method], noisy[case]), clean)
            if f"destripe+{method}" in functions:
                row |= columns_of("destripe", measure(functions[f"destripe+{method}"], noisy[case]), clean)
            rows.append(row)
            tqdm.write(" ".join(f"{key}={_text(value)}" for key, value in row.items()))
    return rows


def _text(value: float | str | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return "inf" if math.isinf(value) else f"{value:.2f}"


def as_markdown(rows: list[dict]) -> str:
    """One table for each case, and the means over scenes."""
    text = [
        "# Denoisers side by side",
        "",
        f"MPSNR in dB, CPU seconds on one thread ({platform.machine()}), peak memory above the start in MiB. Package:",
        "the public package hyde-images 0.4.3 with its documented settings (WSRRR rank 5, OTVCA 6 features, FastHyDe",
        "10 components). Ours: default settings. `destripe+` takes stripes out first. Written by `make bench`.",
        "`blind` was developed on abu-airport-1, abu-beach-1 and aviris_santa_barbara; the other scenes are checks.",
        "WSRRR's rank and OTVCA's weight were chosen on these scenes.",
    ]
    for case in dict.fromkeys(row["case"] for row in rows):
        of_case = [row for row in rows if row["case"] == case]
        text += ["", f"## {case}", "", *_table(of_case + _means(of_case))]
    return "\n".join(text) + "\n"


def _means(rows: list[dict]) -> list[dict]:
    means = []
    for method in dict.fromkeys(row["method"] for row in rows):
        of_method = [row for row in rows if row["method"] == method]
        mean: dict[str, float | str] = {"scene": "**mean**", "method": method}
        for column in COLUMNS[3:]:
            values = [row[column] for row in of_method if isinstance(row.get(column), float)]
            if len(values) == len(of_method):
                mean[column] = float(np.mean(values))
        means.append(mean)
    return means


def _table(rows: list[dict]) -> list[str]:
    head = [
        "scene",
        "method",
        "noisy",
        "package",
        "CPU-s",
        "MiB",
        "ours",
        "CPU-s",
        "MiB",
        "destripe+ours",
        "CPU-s",
        "MiB",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * (len(head) - 2)]
    for row in rows:
        cells = [str(row["scene"]), str(row["method"])]
        for column in COLUMNS[3:]:
            value = row.get(column)
            cells.append(f"{value:.0f}" if column.endswith("_mib") and isinstance(value, float) else _text(value))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def read_rows(path: Path) -> list[dict]:
    """Rows of an earlier run; numbers as numbers."""
    with open(path, newline="", encoding="utf-8") as table:
        return [
            {key: _value(text) if key in COLUMNS[3:] else text for key, text in row.items() if text}
            for row in csv.DictReader(table)
        ]


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real scenes")
    parser.add_argument(
        "--package-python", help="a Python that has the public package; without it its columns stay empty"
    )
    parser.add_argument("--scenes", nargs="+", default=list(SCENES), choices=SCENES)
    parser.add_argument("--noise", "--cases", dest="cases", nargs="+", default=list(CASES), choices=CASES)
    available = [name for name, method in methods_of("denoising").items() if method.kind in ("direct", "oracle")]
    available += [name for name, (folder, _) in VARIANTS.items() if folder in available]
    parser.add_argument("--methods", nargs="+", default=available, choices=available)
    parser.add_argument("--side", type=int, default=128, help="rows and columns to crop to")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "denoising", help="without extension")
    parser.add_argument("--update", action="store_true", help="keep rows of the output that this run does not renew")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict] = []
    for name in tqdm(options.scenes, unit="scene"):
        file, key = SCENES[name]
        clean = read_cube(options.data / file, key, options.side)
        rows += compare_scene(name, clean, options.cases, options.methods, options.package_python)
    target = options.output.with_suffix(".csv")
    if options.update and target.exists():
        rows += read_rows(target)
    orders = [list(CASES), list(SCENES), available]
    rows = list({tuple(row[key] for key in COLUMNS[:3]): row for row in reversed(rows)}.values())
    rows.sort(key=lambda row: [order.index(row[key]) for order, key in zip(orders, COLUMNS[:3], strict=True)])
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _text(value) for key, value in row.items()} for row in rows)
    write_text(options.output.with_suffix(".md"), as_markdown(rows))


if __name__ == "__main__":
    main()
