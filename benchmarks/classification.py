"""The classifiers on real scenes with labels: OA, AA and kappa by random, block- and tile-disjoint splits.

python benchmarks/classification.py --data FOLDER [--only NAME ...]

Writes benchmarks/classification.csv and benchmarks/classification.md. Every method has its default settings, but for
the networks' number of epochs, which is set so that each training takes some 2,000 updates. Where folds are made,
every labelled pixel is tested once per seed, and a score is that of all folds' test pixels together.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")})

import numpy as np
from labelled_scenes import LabelledScene, enmap_tiles, houston, indian_pines
from tqdm import tqdm

from hsipipe.cases.pixels import TEST, TRAIN, PixelSplitSettings, roles_of_part, split_pixels
from hsipipe.files import write_text
from hsipipe.methods import find_method
from hsipipe.metrics.classification import score_labels
from hsipipe.randomness import generator_for
from hsipipe.tasks.segmentation.shared.label_codes import LabelCodes
from hsipipe.tasks.segmentation.shared.labelled import LabelledImage

Part = list[tuple[LabelledScene, np.ndarray]]  # scenes with the roles of their pixels
CLASSICAL = ("smoothed_lda_svm", "lda", "svm", "random_forest")
NETWORKS = ("cnn_classifier", "spatial_spectral")
UPDATES = 2000
BATCH = {"cnn_classifier": 50, "spatial_spectral": 64}  # the defaults
FOLDS = 5
FIRST_SEED = 300
COLUMNS = ("case", "method", "seed", "oa", "aa", "kappa", "cpu_s")
HEAD = """# Classifiers side by side

Labelled pixels only, never one that trained; OA and AA in percent, mean ± standard deviation over seeds of the split
and of the method, smallest and largest OA. CPU seconds of one fit with its prediction, one thread ({machine}). Written
by `python benchmarks/classification.py`. With folds a seed's score is that of all its test pixels together. All
settings are the methods' defaults, the epochs of the two networks excepted (about {updates:,} updates, one seed). The
defaults were chosen on these scenes, by other seeds of the splits than those below.
"""


def indian(**settings: Any) -> Callable[[Path, int], Iterator[Part]]:
    """Splits of the Indian Pines subset."""

    def parts(folder: Path, seed: int) -> Iterator[Part]:
        scene = indian_pines(folder)
        split = PixelSplitSettings(seed=seed, **settings)
        yield [(scene, split_pixels(scene.labels, split, seed_parts=("indian",), valid=scene.valid))]

    return parts


def houston_blocks(*, buffer: int) -> Callable[[Path, int], Iterator[Part]]:
    """Five folds of 16-pixel blocks; the rivals were measured without a buffer."""

    def parts(folder: Path, seed: int) -> Iterator[Part]:
        scene = houston(folder)
        shared: dict[str, Any] = {"by": "blocks", "block": 16, "folds": FOLDS, "rare": "keep"}
        for fold in range(FOLDS):
            split = PixelSplitSettings(buffer=buffer, fold=fold, seed=seed, **shared)
            yield [(scene, split_pixels(scene.labels, split, valid=scene.valid))]

    return parts


def potsdam_tiles(folder: Path, seed: int) -> Iterator[Part]:
    """Five folds of whole tiles."""
    tiles = enmap_tiles(folder)
    order = generator_for("tiles", seed).permutation(len(tiles))
    for fold in range(FOLDS):
        tested = set(order[fold::FOLDS].tolist())
        yield [
            (tile, roles_of_part(np.where(tile.valid, tile.labels, 0), "test" if index in tested else "train"))
            for index, tile in enumerate(tiles)
        ]


# Name: what is split how, seeds of the classical methods, seeds of the networks.
CASES: dict[str, tuple[Callable[[Path, int], Iterator[Part]], int, int]] = {
    "Indian Pines subset, 50 pixels of each class at random (leaky)": (indian(by="random", count=50), 5, 1),
    "Indian Pines subset, 10-pixel blocks, 30 % train, 3 pixels between": (indian(by="blocks", buffer=3), 5, 1),
    "Indian Pines subset, first 50 pixels of each class, row by row (deephyp's, leaky)": (
        indian(by="raster", count=50),
        1,
        1,
    ),
    "Houston 2018 crop, five folds of 16-pixel blocks without buffer": (houston_blocks(buffer=0), 3, 0),
    "EnMAP Potsdam, five folds of whole tiles": (potsdam_tiles, 3, 0),
    "Houston 2018 crop, five folds of 16-pixel blocks, 3 pixels between": (houston_blocks(buffer=3), 1, 0),
}
# OA measured earlier, by other seeds of such splits: deephyp's own network (TensorFlow), and scikit-learn's methods.
RIVALS = {
    0: "deephyp's network, 1000 epochs: 87.2; SVM-RBF 89.3; shrinkage LDA on 5 x 5 means 97.5; random forest 93.6",
    1: "SVM-RBF on 5 x 5 means 90.0; shrinkage LDA on 5 x 5 means 88.1; random forest 88.2",
    2: "deephyp's network, 1000 epochs: 65.0; SVM-RBF 80.9; shrinkage LDA 81.6; LDA on 5 x 5 means 76.0",
    3: "SVM-RBF 91.6; shrinkage LDA 84.1; random forest 87.2",
    4: "SVM-RBF 72.5; shrinkage LDA 71.9; random forest 71.0",
}


def score(part: Part, name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit a method to the training pixels; the true and the predicted codes of the test pixels."""
    model = find_method("segmentation", name).load()
    known = [np.where(roles == TRAIN, scene.labels, 0) for scene, roles in part]
    codes = LabelCodes.of(known)
    images = [
        LabelledImage(scene.cube, codes.encode(labels), scene.valid)
        for (scene, _), labels in zip(part, known, strict=True)
        if labels.any()
    ]
    settings = {}
    if name in NETWORKS:
        pixels = sum(int((image.labels >= 0).sum()) for image in images)
        settings["epochs"] = max(1, round(UPDATES * BATCH[name] / pixels))
    classifier = model.fit(images, seed=seed, **settings)
    truth, found = [], []
    for scene, roles in part:
        tested = roles == TEST
        if tested.any():
            truth.append(scene.labels[tested])
            found.append(codes.decode(classifier.predict(scene.cube, scene.valid).argmax(0))[tested])
    return np.concatenate(truth), np.concatenate(found)


def measured(folder: Path, case: str, name: str, seed: int) -> dict[str, Any]:
    """One row: the scores of all folds of a seed together."""
    truth, found, seconds = [], [], []
    for part in CASES[case][0](folder, seed):
        start = time.process_time()
        own_truth, own_found = score(part, name, seed)
        seconds.append(time.process_time() - start)
        truth.append(own_truth)
        found.append(own_found)
    scores = {key: value for key, value, _ in score_labels(np.concatenate(truth), np.concatenate(found))}
    return {"case": case, "method": name, "seed": seed, **scores, "cpu_s": float(np.mean(seconds))}


def spread(values: list[float], digits: int) -> str:
    """Mean ± standard deviation; the value alone if there is one."""
    text = f"{np.mean(values):.{digits}f}"
    return f"{text} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else text


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """One table per case."""
    lines = [HEAD.format(machine=platform.machine(), updates=UPDATES)]
    for number, case in enumerate(CASES):
        lines += [f"## {case}", ""]
        if number in RIVALS:
            lines += [f"OA measured earlier: {RIVALS[number]}.", ""]
        lines += ["| method | seeds | OA | smallest to largest | AA | kappa | CPU s |"]
        lines += ["|---|---:|---:|---:|---:|---:|---:|"]
        for name in (*CLASSICAL, *NETWORKS):
            own = [row for row in rows if row["case"] == case and row["method"] == name]
            if own:
                oa, aa, kappa = ([row[key] for row in own] for key in ("oa", "aa", "kappa"))
                cells = [name, str(len(own)), spread(oa, 2), f"{min(oa):.2f} to {max(oa):.2f}", spread(aa, 2)]
                cells += [spread(kappa, 3), f"{np.mean([row['cpu_s'] for row in own]):.1f}"]
                lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of real scenes")
    parser.add_argument("--only", nargs="+", choices=[*CLASSICAL, *NETWORKS], help="measure these, keep the other rows")
    options = parser.parse_args()
    table = Path(__file__).with_suffix(".csv")
    rows: list[dict[str, Any]] = []
    names = options.only or [*CLASSICAL, *NETWORKS]
    if options.only:
        with open(table, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["method"] not in names:
                    numbers = {key: float(row[key]) for key in COLUMNS[3:]}
                    rows.append({"case": row["case"], "method": row["method"], "seed": int(row["seed"]), **numbers})
    if set(names) & set(NETWORKS):
        import torch

        torch.set_num_threads(1)
    wanted = [
        (case, name, FIRST_SEED + seed)
        for case, (_, classical, networks) in CASES.items()
        for name in names
        for seed in range(networks if name in NETWORKS else classical)
    ]
    for case, name, seed in tqdm(wanted):
        rows.append(measured(options.data, case, name, seed))
        print(rows[-1], flush=True)
    with open(table, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: f"{v:.6g}" if isinstance(v, float) else v for key, v in row.items()} for row in rows)
    write_text(table.with_suffix(".md"), as_markdown(rows))


if __name__ == "__main__":
    main()
