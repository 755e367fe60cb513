"""The table of results in README.md, made of the measurements that stand beside this script.

python benchmarks/results.py [--check]

Rewrites what stands between the two marks in README.md; with --check it only says whether that would change it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from hsipipe.files import write_text

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- results: python benchmarks/results.py -->", "<!-- end of results -->"
# Other programs, measured with the programs themselves; the page that each row names tells how.
FUSION_PROGRAM_PSNR = {"pavia-centre": 29.36, "abu-urban-1": 37.40, "abu-beach-1": 41.62}
DEEPHSI_NMI, DEEPHYP_OA = 0.408, 87.2
MIXTURE = "gmm as deepHSI's program"
PACKAGE = ("fasthyde", "forpdn", "hyres", "otvca", "wsrrr")
NAMES = {"forpdn": "FORPDN", "fasthyde": "FastHyDe", "hyres": "HyRes", "otvca": "OTVCA", "wsrrr": "WSRRR"}


def denoising() -> list[list[str]]:
    """Mean MPSNR over the real scenes: noisy, the best of the public package, ours."""
    frame = pd.read_csv(HERE / "denoising.csv")
    rows = []
    for case, told in (
        ("hyspecnet", "stripes, clipping and Gaussian noise"),
        ("gaussian-0.05", "Gaussian noise of 0.05"),
    ):
        own = frame[frame.case == case]
        means = own.groupby("method")[["package_mpsnr", "ours_mpsnr"]].mean()
        package = means.package_mpsnr.reindex(list(PACKAGE)).dropna()
        best = package.idxmax()
        rows.append(
            [
                f"denoising, {own.scene.nunique()} scenes, {told}: MPSNR [dB]",
                f"noisy {own.noisy.groupby(own.scene).first().mean():.2f}",
                f"{NAMES[best]} of hyde-images {package[best]:.2f}",
                f"`blind` {means.ours_mpsnr['blind']:.2f}; our {NAMES[best]} {means.ours_mpsnr[best]:.2f}",
                page("denoising"),
            ]
        )
    return rows


def fusion() -> list[list[str]]:
    """Mean PSNR over the scenes on which the paper's own program was run."""
    frame = pd.read_csv(HERE / "fusion.csv")
    means = frame[frame.scene.isin(list(FUSION_PROGRAM_PSNR))].groupby("variant").psnr.mean()
    program = sum(FUSION_PROGRAM_PSNR.values()) / len(FUSION_PROGRAM_PSNR)
    return [
        [
            "fusion, 3 scenes, ratio 4, the paper's degradation: PSNR [dB]",
            f"bicubic {means['bicubic']:.2f}, linear {means['linear']:.2f}",
            f"SpectraMorph's program {program:.2f}",
            f"`subspace_map` {means['subspace-map']:.2f}; our SpectraMorph {means['spectramorph']:.2f}",
            page("fusion"),
        ]
    ]


def clustering() -> list[list[str]]:
    """NMI on the Indian Pines subset, the number of classes given."""
    frame = pd.read_csv(HERE / "clustering.csv")
    own = frame[(frame.scene == "Indian Pines subset") & (frame.k == "given") & (frame.latents == "pca")]
    means = own.groupby("variant").nmi.mean()
    return [
        [
            "clusters, Indian Pines subset: NMI",
            f"k-means {means['plain k-means']:.3f}",
            f"deepHSI's program {DEEPHSI_NMI:.3f}",
            f"default {means['kmeans (the default)']:.3f}, superpixels {means['superpixels']:.3f}; "
            f"our deepHSI mixture {means[MIXTURE]:.3f}",
            page("clustering"),
        ]
    ]


def classification() -> list[list[str]]:
    """OA on the Indian Pines subset, at random pixels and in blocks."""
    frame = pd.read_csv(HERE / "classification.csv")
    rows = []
    for case, told, program in (
        (
            "50 pixels of each class at random (leaky)",
            "50 random pixels a class (leaky)",
            f"deephyp's program {DEEPHYP_OA}",
        ),
        ("10-pixel blocks, 30 % train, 3 pixels between", "blocks, 3 pixels between", "not measured"),
    ):
        own = frame[frame.case == f"Indian Pines subset, {case}"].groupby("method").oa
        mean, sd = own.mean(), own.std()
        rows.append(
            [
                f"classes, Indian Pines subset, {told}: OA [%]",
                f"LDA {mean['lda']:.1f}, SVM {mean['svm']:.1f}",
                program,
                f"`smoothed_lda_svm` {mean['smoothed_lda_svm']:.1f} ± {sd['smoothed_lda_svm']:.1f}; "
                f"deephyp's CNN here {mean['cnn_classifier']:.1f}",
                page("classification"),
            ]
        )
    return rows


def representation() -> list[list[str]]:
    """Balanced accuracy on held-out blocks of the Indian Pines subset."""
    frame = pd.read_csv(HERE / "representation_folds.csv")
    means = frame.groupby(["variant", "metric"]).value.mean()
    sd = frame.groupby(["variant", "metric"]).value.std()
    return [
        [
            f"embeddings of patches, Indian Pines subset, 15 runs: {told} [%]",
            f"mean spectrum {means['mean-spectrum', metric]:.1f}, untrained {means['untrained', metric]:.1f}",
            "not measured",
            f"SimCLR, geometry {means['geometry', metric]:.1f} ± {sd['geometry', metric]:.1f}; "
            f"spectral {means['spectral', metric]:.1f}",
            page("representation_folds"),
        ]
        for metric, told in (("probe", "linear probe"), ("knn5", "5 nearest neighbours"))
    ]


def page(name: str) -> str:
    """A link to the page of a measurement."""
    return f"[`{name}.py`](benchmarks/{name}.md)"


def make_table() -> str:
    """The table as Markdown."""
    headings = ["what", "simple rivals", "others' programs", "ours", "written by"]
    rows = [*denoising(), *fusion(), *clustering(), *classification(), *representation()]
    return "\n".join(f"| {' | '.join(row)} |" for row in (headings, ["---"] * len(headings), *rows))


def main() -> int:
    """Write the table; with --check, 1 if README.md has another one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="say whether README.md has this table")
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    new = f"{before}{BEGIN}\n{make_table()}\n{END}{after}"
    if parser.parse_args().check:
        if new != text:
            print("README.md has another table: run `python benchmarks/results.py`", file=sys.stderr)
        return int(new != text)
    write_text(README, new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
