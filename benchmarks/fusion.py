"""The fusion methods on real scenes: quality, CPU seconds and memory, in one run; and on a scene of a paper's size.

python benchmarks/fusion.py --data FOLDER [--only NAME ...]

Writes benchmarks/fusion.csv and benchmarks/fusion.md. The degradation is that of the paper SpectraMorph (`peer`):
values clipped to the 1st to 99th percentile, stretched wavelength axis, zero edges, Gaussian PSF (sigma 3.4, 15 x 15),
ratio 4, four bands, SNR 35 and 40 dB. Each method runs in a process of its own, on one thread. The large scene, of
the size of Pavia University, is simulated (`hsipipe.scenes.simulate`).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")})

import numpy as np
from tqdm import tqdm

from hsipipe.degrade.pair import degrade_pair, peer_normalise
from hsipipe.degrade.psf import make_psf
from hsipipe.degrade.response import PEER_FWHM_FACTOR, make_srf
from hsipipe.files import write_text
from hsipipe.methods import find_method
from hsipipe.metrics.fusion import score_fusion
from hsipipe.metrics.spectramorph import score_as_published
from hsipipe.scenes.readers import read_image
from hsipipe.scenes.simulate import simulate_scene
from hsipipe.tasks.fusion.apply import Fuser
from hsipipe.tasks.fusion.methods.spectramorph.settings import FAST
from hsipipe.training.accounting import measure

RATIO = 4
# Name: file below --data.
SCENES = {
    "pavia-centre": "pavia_centre/abu-beach-4.mat",
    "abu-urban-1": "abu/abu-urban-1.mat",
    "abu-beach-1": "abu/abu-beach-1.mat",
    "abu-airport-1": "abu/abu-airport-1.mat",
    "abu-airport-2": "abu/abu-airport-2.mat",
    "abu-urban-4": "abu/abu-urban-4.mat",
}
# SpectraMorph's own program, run on these with the same settings: PSNR, SAM, wall seconds.
PROGRAM = {
    "pavia-centre": (29.36, 10.59, 63.4),
    "abu-urban-1": (37.40, 1.81, 123.0),
    "abu-beach-1": (41.62, 0.96, 175.0),
}
LARGE = "simulated-608x340x103"
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "bicubic": ("bicubic", {}),
    "linear": ("ridge", {"degree": 1}),
    "quadratic": ("ridge", {"degree": 2}),
    "gsa": ("gsa", {}),
    "glp": ("glp", {}),
    "sfim": ("sfim", {}),
    "cnmf": ("cnmf", {}),
    "hysure": ("hysure", {}),
    "spectramorph": ("spectramorph", {"num_endmembers": 9}),
    "spectramorph-fast": ("spectramorph", {"num_endmembers": 9, **FAST}),
    "subspace-map-none": ("subspace_map", {"psf_source": "none"}),
    "subspace-map": ("subspace_map", {"psf_source": "estimated"}),
    "subspace-map-known": ("subspace_map", {"psf_source": "known"}),
    "oracle": ("oracle", {}),
}
HEAD = """# Fusion methods side by side

PSNR and SAM as the paper computes them (8 bits); CPU seconds on one thread ({machine}); peak memory of the process,
the truth included. Degradation of the paper: Gaussian PSF, ratio 4, four bands, SNR 35 and 40 dB. `program`: the
paper's own program, run on these scenes on two loaded cores. Written by `make bench`. The settings of
spectramorph-fast were chosen on the first three scenes by the truth, the constants of subspace-map as
[its page](../docs/explanation/methods/subspace_map.md) tells; abu-airport-1, abu-airport-2 and abu-urban-4 are checks.
gsa, glp, sfim, cnmf, hysure and subspace-map-known are told the PSF; an oracle is given the truth.
"""
COLUMNS = ("scene", "variant", "psnr", "sam", "mpsnr", "inner_psnr", "cpu_s", "wall_s", "peak_mb")


def read_truth(data: Path, scene: str) -> np.ndarray:
    """The scene (C, H, W), cropped to a multiple of the ratio."""
    if scene == LARGE:
        item = next(iter(simulate_scene(rows=608, cols=340, seed=0)))
        bands = np.linspace(0, item.good_bands.sum() - 1, 103).round().astype(int)
        cube = item.cube[item.good_bands][bands]
    else:
        cube = read_image(data / SCENES[scene], key="data").cube.astype(np.float32)
    rows, cols = (size // RATIO * RATIO for size in cube.shape[1:])
    return peer_normalise(cube[:, :rows, :cols])[0]


def run(data: Path, scene: str, variant: str) -> dict[str, Any]:
    """Fuse one scene by one variant; its scores and what it cost. In this process."""
    truth = read_truth(data, scene)
    psf = make_psf("gaussian")
    srf = make_srf(4, wavelength_nm=None, bands=len(truth), axis="stretched", fwhm_factor=PEER_FWHM_FACTOR).matrix
    noise = {"snr_hsi_db": 35.0, "snr_msi_db": 40.0}
    lr_hsi, hr_msi = degrade_pair(truth, psf=psf, srf=srf, ratio=RATIO, edge="zero", seed=("benchmark", scene), **noise)
    name, given = VARIANTS[variant]
    method = find_method("fusion", name)
    settings = method.complete(given)
    method.load()
    if method.backend == "torch":
        import torch

        torch.set_num_threads(1)
    given_truth = truth if method.kind == "oracle" else None
    fuser = Fuser(method, settings, psf=psf, srf=srf, edge="zero", name=scene)
    with measure() as cost:
        fused = fuser.fuse(lr_hsi, hr_msi, truth=given_truth)
    published = {key: value for key, value, _ in score_as_published(truth, fused.cube, ratio=RATIO)}
    scores = {key: value for key, value, _ in score_fusion(truth, fused.cube, ratio=RATIO, border=3 * RATIO)}
    return {
        "scene": scene,
        "variant": variant,
        "psnr": published["spectramorph_psnr"],
        "sam": published["spectramorph_sam"],
        "mpsnr": scores["mpsnr"],
        "inner_psnr": scores["inner_psnr"],
        "cpu_s": cost.cpu_s,
        "wall_s": cost.wall_s,
        "peak_mb": cost.peak_memory_bytes / 2**20,
    }


def in_a_process(data: Path, scene: str, variant: str) -> dict[str, Any]:
    """`run` in a process of its own, so that its memory is its own."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, __file__, "--data", str(data), "--run", scene, variant, "--answer", str(answer)]
        subprocess.run(command, check=True)
        return json.loads(answer.read_text(encoding="utf-8"))


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """One table per scene, the program's own figures in a row of theirs."""
    lines = [HEAD.format(machine=platform.machine())]
    for scene in dict.fromkeys(row["scene"] for row in rows):
        lines += [
            f"## {scene}",
            "",
            "| variant | PSNR | SAM | MPSNR | PSNR, 12 px of border left out | CPU-s | peak MiB |",
        ]
        lines += ["|---|---:|---:|---:|---:|---:|---:|"]
        if scene in PROGRAM:
            psnr, sam, seconds = PROGRAM[scene]
            lines.append(f"| program | {psnr:.2f} | {sam:.2f} |  |  | {seconds:.0f} (wall) |  |")
        for row in rows:
            if row["scene"] == scene:
                scores = " | ".join(f"{row[key]:.2f}" for key in ("psnr", "sam", "mpsnr", "inner_psnr", "cpu_s"))
                lines.append(f"| {row['variant']} | {scores} | {row['peak_mb']:.0f} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of real scenes")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), help="measure these, keep the other rows")
    parser.add_argument("--run", nargs=2, metavar=("SCENE", "VARIANT"), help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        write_text(options.answer, json.dumps(run(options.data, *options.run)))
        return
    here = Path(__file__).parent
    kept: dict[tuple[str, str], dict[str, Any]] = {}
    if options.only:
        with open(here / "fusion.csv", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                numbers = {key: float(row[key]) for key in COLUMNS[2:]}
                kept[row["scene"], row["variant"]] = {"scene": row["scene"], "variant": row["variant"], **numbers}
    wanted = [(scene, variant) for scene in (*SCENES, LARGE) for variant in VARIANTS]
    for scene, variant in tqdm(wanted):
        # The network at full size and length takes many minutes on the large scene.
        if (options.only is None or variant in options.only) and (scene, variant) != (LARGE, "spectramorph"):
            kept[scene, variant] = in_a_process(options.data, scene, variant)
    rows = [kept[key] for key in wanted if key in kept]
    lines = [",".join(COLUMNS)]
    lines += [",".join(f"{row[key]:.6g}" if key in COLUMNS[2:] else row[key] for key in COLUMNS) for row in rows]
    write_text(here / "fusion.csv", "\n".join(lines) + "\n")
    write_text(here / "fusion.md", as_markdown(rows))


if __name__ == "__main__":
    main()
