"""Clustering of latents on real scenes: agreement with classes it never saw, spread over seeds, and time.

python benchmarks/clustering.py --data FOLDER

Writes benchmarks/clustering.csv and benchmarks/clustering.md. Latents are 10 principal components, or ours of the
autoencoder `residual`, of all pixels of a scene; the clusterings have their default settings unless the name says
otherwise. The larger scene for the timing is a real crop, mirrored until it has the size of Pavia University; it is
encoded and clustered in a process of its own.
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
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")})

import numpy as np
import torch
from labelled_scenes import LabelledScene, enmap_blocks, houston, indian_pines, moffett, samson
from spectral_autoencoders import fitted
from tqdm import tqdm

from hsipipe.files import write_text
from hsipipe.methods import find_method
from hsipipe.metrics.clustering import score_clusters
from hsipipe.scenes.readers import read_image
from hsipipe.training.accounting import measure

LATENT, SEEDS = 10, range(5)
ENCODERS: dict[str, dict[str, Any]] = {
    "pca": {"latent": LATENT},
    "residual": {"latent": LATENT, "hidden": 128, "epochs": 15},
}
# Name: method and what differs from its defaults.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "kmeans (the default)": ("kmeans", {}),
    "superpixels": ("superpixels", {}),
    "gmm": ("gmm", {}),
    "gmm as deepHSI's program": ("gmm", {"starts": 1, "floor": 1e-6}),
    "plain k-means": ("kmeans", {"scaling": "common", "smoothing": "none"}),
}
ON_RESIDUAL = ("kmeans (the default)", "superpixels", "gmm")
COUNTED = ("kmeans (the default)", "superpixels", "gmm")
PIXELS, FEATURES, COMPONENTS = 207_400, 34, 9
LARGE = (610, 340)
LARGE_SOURCE = ("pavia_university/reg_pavia_dataset.mat", "I1")
COLUMNS = ("scene", "latents", "k", "variant", "seed", "clusters", "nmi", "ari", "hungarian_oa", "cpu_s")
HEAD = """# Clustering side by side

No clustering sees a label. Each pixel is clustered, labelled pixels are scored: mutual information (NMI), adjusted Rand
index (ARI), overall accuracy after the best matching of clusters to classes (OA); mean ± standard deviation over
{seeds} seeds. CPU seconds of one clustering on one thread ({machine}), latents given. `K given`: the number of classes;
`K by BIC`: chosen without labels. Latents: {latent} principal components, or as many latents of the autoencoder
`residual` (128 hidden units, 15 epochs, trained on the scene's pixels, seed 0). Labels of Samson and Moffett: the
material with the largest abundance; of Houston: what at least 12 of 16 finer labels agree on. Written by
`python benchmarks/clustering.py`.

The default was chosen as one setting for all of these scenes together, with their labels in view.
"""
RIVALS = """Measured earlier on the Indian Pines subset, mean of 5 seeds, NMI / ARI / OA: deepHSI as coded (mixture of
its 32 latents) .408 / .321 / .640, as in its text (with coordinates) .388 / .296 / .620; deephyp's mlp with a mixture
.235 / .181 / .498; SC-SSC, whose settings were chosen by labels, .794 / .822 / .931.
"""
TIME_RIVALS = """Measured earlier, CPU seconds: scikit-learn on an easy mixture of this size, in float64 on all pixels
12.1, in float32 4.7, fitted to 20,000 pixels 2.0. deepHSI on a scene of this size: preparation 9.0 (3.8 GB), encoding
22 in one batch (5.4 GB) and 7.7 in batches.
"""


def scenes(folder: Path) -> Iterator[LabelledScene]:
    yield indian_pines(folder)
    yield samson(folder)
    yield moffett(folder)
    yield houston(folder)
    yield from enmap_blocks(folder)


def measured(scene: LabelledScene, encoder: str, latents: np.ndarray, variant: str, given: bool) -> Iterator[dict]:
    """A row per seed."""
    name, settings = VARIANTS[variant]
    model = find_method("segmentation", name).load()
    for seed in SEEDS:
        start = time.process_time()
        wanted = scene.classes if given else None
        clusters = model.cluster(latents, valid=scene.valid, clusters=wanted, seed=seed, **settings)
        seconds = time.process_time() - start
        scores = {key: value for key, value, _ in score_clusters(scene.labels, clusters.labels)}
        yield {
            "scene": scene.name,
            "latents": encoder,
            "k": "given" if given else "by BIC",
            "variant": variant,
            "seed": seed,
            "clusters": clusters.found["clusters"],
            **{key: scores[key] for key in ("nmi", "ari", "hungarian_oa")},
            "cpu_s": seconds,
        }


def agreement(folder: Path) -> tuple[list[dict], dict[str, int]]:
    """All rows, and the number of classes of each scene."""
    rows: list[dict] = []
    classes = {}
    for scene in tqdm(list(scenes(folder)), desc="scenes"):
        classes[scene.name] = scene.classes
        for encoder in ("pca", "residual"):
            spectra = np.ascontiguousarray(scene.cube[:, scene.valid].T)
            latents = fitted(encoder, spectra, seed=0, **ENCODERS[encoder]).encode_image(scene.cube, scene.valid)[0]
            for variant in VARIANTS if encoder == "pca" else ON_RESIDUAL:
                rows += measured(scene, encoder, latents, variant, given=True)
                if encoder == "pca" and variant in COUNTED:
                    rows += measured(scene, encoder, latents, variant, given=False)
    return rows, classes


def drawn_mixture(separation: float, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Samples (N, d) of a mixture with differently shaped components, and which is of which."""
    means = separation * random.normal(size=(COMPONENTS, FEATURES))
    own = random.integers(COMPONENTS, size=PIXELS)
    samples = np.empty((PIXELS, FEATURES), np.float32)
    for component in range(COMPONENTS):
        axes = np.linalg.qr(random.normal(size=(FEATURES, FEATURES)))[0]
        deviations = 0.6 * np.exp(0.5 * random.normal(size=FEATURES))
        members = own == component
        samples[members] = random.normal(size=(members.sum(), FEATURES)) * deviations @ axes.T + means[component]
    return samples, own


def mixtures() -> str:
    """Time of our mixture and of scikit-learn's on an easy and a hard mixture."""
    from sklearn.metrics import adjusted_rand_score
    from sklearn.mixture import GaussianMixture

    from hsipipe.tasks.segmentation.shared.mixture import fit_mixture

    rows = ["| mixture | program | CPU s | iterations | ARI with the truth |", "|---|---|---:|---:|---:|"]
    for title, separation in (("easy", 1.0), ("hard", 0.25)):
        random = np.random.default_rng(0)
        samples, own = drawn_mixture(separation, random)

        def ours(samples: np.ndarray = samples, random: np.random.Generator = random) -> tuple[np.ndarray, int]:
            chosen = samples[random.choice(len(samples), 20000, replace=False)]
            mixture = fit_mixture(chosen, COMPONENTS, random=random, starts=5, floor=1e-3)
            return mixture.labels(samples), mixture.iterations

        def whole(samples: np.ndarray = samples) -> tuple[np.ndarray, int]:
            latents = np.ascontiguousarray(samples.T).reshape(FEATURES, *LARGE)
            model = find_method("segmentation", "gmm").load()
            clusters = model.cluster(latents, valid=np.ones(LARGE, bool), clusters=COMPONENTS)
            return clusters.labels.ravel(), clusters.found["iterations"]

        def peer(samples: np.ndarray = samples) -> tuple[np.ndarray, int]:
            mixture = GaussianMixture(COMPONENTS, random_state=0).fit(samples)
            return mixture.predict(samples), mixture.n_iter_

        for name, program in (
            ("fit to 20,000 (5 starts) and predict all", ours),
            ("method gmm whole: scaling, fit, labels, means", whole),
            ("scikit-learn, float32, all pixels, 1 start", peer),
        ):
            start = time.process_time()
            labels, iterations = program()
            seconds = time.process_time() - start
            rows.append(f"| {title} | {name} | {seconds:.2f} | {iterations} | {adjusted_rand_score(own, labels):.3f} |")
    return "\n".join(rows)


def large(folder: Path, encoder: str) -> dict[str, float]:
    """Encode and cluster the mirrored scene; what it cost. In this process."""
    crop = read_image(folder / LARGE_SOURCE[0], key=LARGE_SOURCE[1]).cube.astype(np.float32)
    rows, cols = crop.shape[1:]
    cube = np.pad(crop, ((0, 0), (0, LARGE[0] - rows), (0, LARGE[1] - cols)), mode="symmetric")
    sample = np.ascontiguousarray(crop.reshape(len(crop), -1).T)
    encode = fitted(encoder, sample, seed=0, **ENCODERS[encoder]).encode
    model = find_method("segmentation", "kmeans").load()
    with measure() as cost:
        latents = encode(cube.reshape(len(cube), -1).T)[0]
        encoded = time.process_time()
        maps = np.ascontiguousarray(latents.T).reshape(LATENT, *LARGE)
        model.cluster(maps, valid=np.ones(LARGE, bool), clusters=COMPONENTS)
        clustered = time.process_time() - encoded
    return {"encode_s": cost.cpu_s - clustered, "cluster_s": clustered, "peak_mb": cost.peak_memory_bytes / 2**20}


def large_in_a_process(folder: Path, encoder: str) -> dict[str, float]:
    """`large` in a process of its own, so that its memory is its own."""
    with tempfile.TemporaryDirectory() as place:
        answer = Path(place) / "answer.json"
        command = [sys.executable, __file__, "--data", str(folder), "--large", encoder, "--answer", str(answer)]
        subprocess.run(command, check=True)
        return json.loads(answer.read_text(encoding="utf-8"))


def larges(folder: Path) -> str:
    rows = ["| latents | encode, CPU s | k-means, CPU s | peak MiB of the process |", "|---|---:|---:|---:|"]
    for encoder in ("pca", "residual"):
        cost = large_in_a_process(folder, encoder)
        rows.append(f"| {encoder} | {cost['encode_s']:.2f} | {cost['cluster_s']:.2f} | {cost['peak_mb']:.0f} |")
    return "\n".join(rows)


def tables(rows: list[dict], classes: dict[str, int]) -> list[str]:
    """One table per scene."""
    lines = []
    for scene, count in classes.items():
        lines += [f"### {scene}, {count} classes", ""]
        lines += ["| latents | K | clustering | clusters | NMI | ARI | OA | CPU s |"]
        lines += ["|---|---|---|---:|---:|---:|---:|---:|"]
        own = [row for row in rows if row["scene"] == scene]
        for key in dict.fromkeys((row["latents"], row["k"], row["variant"]) for row in own):
            group = [row for row in own if (row["latents"], row["k"], row["variant"]) == key]
            counts = sorted({row["clusters"] for row in group})
            cells = [*key, f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"]
            for name in ("nmi", "ari", "hungarian_oa"):
                values = [row[name] for row in group]
                cells.append(f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}")
            lines.append("| " + " | ".join([*cells, f"{np.mean([row['cpu_s'] for row in group]):.2f}"]) + " |")
        lines.append("")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of real scenes")
    parser.add_argument("--large", choices=["pca", "residual"], help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.large:
        write_text(options.answer, json.dumps(large(options.data, options.large)))
        return
    mixture_table, large_table = mixtures(), larges(options.data)
    rows, classes = agreement(options.data)
    table = Path(__file__).with_suffix(".csv")
    with open(table, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: f"{v:.6g}" if isinstance(v, float) else v for key, v in row.items()} for row in rows)
    lines = [
        HEAD.format(seeds=len(SEEDS), machine=platform.machine(), latent=LATENT),
        "## Time",
        "",
        f"A Gaussian mixture of {COMPONENTS} components, full covariances, of {PIXELS:,} x {FEATURES} values.",
        "",
        mixture_table,
        "",
        f"A scene of {LARGE[0]} x {LARGE[1]} pixels and 103 bands (a crop of Pavia University of 80 x 50 pixels, "
        f"mirrored) encoded to {LATENT} latents and clustered by the default into {COMPONENTS}. "
        "The fitting of the autoencoder is not counted.",
        "",
        large_table,
        "",
        TIME_RIVALS,
        "## Agreement with classes",
        "",
        RIVALS,
        *tables(rows, classes),
    ]
    write_text(table.with_suffix(".md"), "\n".join(lines))


if __name__ == "__main__":
    main()
