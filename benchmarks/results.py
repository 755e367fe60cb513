"""The table of results in README.md, made of the measurements that stand beside this script.

python benchmarks/results.py [--check]

Rewrites what stands between the two marks in README.md; with --check it only says whether that would change it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from hsipipe.files import write_text

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
NOT_MEASURED = "not measured"
BEGIN, END = "<!-- results: python benchmarks/results.py -->", "<!-- end of results -->"
# Other programs on the same scenes, each run once by hand with the program itself: no script here repeats that.
FUSION_PROGRAM_PSNR = {"pavia-centre": 29.36, "abu-urban-1": 37.40, "abu-beach-1": 41.62}
DEEPHSI_NMI, DEEPHYP_NMI, SC_SSC_NMI, DEEPHYP_OA = 0.408, 0.235, 0.794, 87.2
PACKAGE = ("fasthyde", "forpdn", "hyres", "otvca", "wsrrr")
NAMES = {"forpdn": "FORPDN", "fasthyde": "FastHyDe", "hyres": "HyRes", "otvca": "OTVCA", "wsrrr": "WSRRR"}
FUSION_CHECKS = ("abu-airport-1", "abu-airport-2", "abu-urban-4")


def denoising() -> list[list[str]]:
    """Mean MPSNR over the real scenes: controls, the best of the public package, ours."""
    frame = pd.read_csv(HERE / "denoising.csv")
    rows = []
    for case, told in (("hyspecnet", "stripes, clipping, Gaussian noise"), ("gaussian-0.05", "Gaussian noise of 0.05")):
        own = frame[frame.case == case]
        means = own.groupby("method")[["package_mpsnr", "ours_mpsnr", "destripe_mpsnr"]].mean()
        package = means.package_mpsnr.reindex(list(PACKAGE)).dropna()
        best = package.idxmax()
        simple = f"noisy {own.noisy.groupby(own.scene).first().mean():.2f}"
        if "svd" in means.index:
            simple += f", SVD {means.ours_mpsnr['svd']:.2f}"
        ours = f"`blind` {means.ours_mpsnr['blind']:.2f}; our {NAMES[best]} {means.ours_mpsnr[best]:.2f}"
        if means.destripe_mpsnr.notna().any():
            after = means.destripe_mpsnr.drop("destripe", errors="ignore").idxmax()
            ours += f", best after destriping {means.destripe_mpsnr[after]:.2f} ({NAMES.get(after, after)})"
        what = f"denoising, {own.scene.nunique()} scenes, {told}: MPSNR [dB]"
        rows.append([what, simple, f"{NAMES[best]} of hyde-images {package[best]:.2f}", ours, page("denoising")])
    return rows


def fusion() -> list[list[str]]:
    """Mean PSNR over the scenes of the development, on which the paper's own program was run, and over the others."""
    frame = pd.read_csv(HERE / "fusion.csv")
    program = sum(FUSION_PROGRAM_PSNR.values()) / len(FUSION_PROGRAM_PSNR)
    rows = []
    for told, scenes, theirs in (
        ("3 scenes used in the development of `subspace_map`", [*FUSION_PROGRAM_PSNR], f"SpectraMorph's {program:.2f}"),
        ("3 scenes not used in it", [*FUSION_CHECKS], NOT_MEASURED),
    ):
        means = frame[frame.scene.isin(scenes)].groupby("variant").psnr.mean()
        simple = f"bicubic {means['bicubic']:.2f}, linear {means['linear']:.2f}"
        ours = f"`subspace_map` {means['subspace-map']:.2f}; our SpectraMorph {means['spectramorph']:.2f}, "
        ours += f"our CNMF {means['cnmf']:.2f}"
        rows.append([f"fusion, ratio 4, {told}: PSNR [dB]", simple, theirs, ours, page("fusion")])
    return rows


def clustering() -> list[list[str]]:
    """NMI on the Indian Pines subset, the number of classes given."""
    frame = pd.read_csv(HERE / "clustering.csv")
    own = frame[(frame.scene == "Indian Pines subset") & (frame.k == "given") & (frame.latents == "pca")]
    groups = own.groupby("variant").nmi
    default, superpixels = spread(groups, "kmeans (the default)", 3), spread(groups, "superpixels", 3)
    return [
        [
            "clusters, Indian Pines subset: NMI",
            f"k-means {spread(groups, 'plain k-means', 3)}",
            f"deepHSI's {DEEPHSI_NMI}, deephyp's {DEEPHYP_NMI}; SC-SSC's {SC_SSC_NMI} (settings chosen by labels)",
            f"default {default}, superpixels {superpixels}; mixture, as `gmm` {spread(groups, 'gmm', 3)}",
            page("clustering"),
        ]
    ]


def classification() -> list[list[str]]:
    """OA on the Indian Pines subset, at random pixels and in blocks."""
    frame = pd.read_csv(HERE / "classification.csv")
    rows = []
    for case, told, theirs in (
        ("50 pixels of each class at random (leaky)", "50 random pixels a class (leaky)", f"deephyp's {DEEPHYP_OA}"),
        ("10-pixel blocks, 30 % train, 3 pixels between", "blocks, 3 pixels between", NOT_MEASURED),
    ):
        groups = frame[frame.case == f"Indian Pines subset, {case}"].groupby("method").oa
        simple = f"LDA {spread(groups, 'lda', 1)}, SVM {spread(groups, 'svm', 1)}"
        ours = f"`smoothed_lda_svm` {spread(groups, 'smoothed_lda_svm', 1)}; "
        ours += f"our deephyp CNN {spread(groups, 'cnn_classifier', 1)}"
        rows.append([f"classes, Indian Pines subset, {told}: OA [%]", simple, theirs, ours, page("classification")])
    return rows


def representation() -> list[list[str]]:
    """Balanced accuracy on held-out blocks of the Indian Pines subset."""
    frame = pd.read_csv(HERE / "representation_folds.csv")
    rows = []
    for metric, told in (("probe", "linear probe"), ("knn5", "5 nearest neighbours")):
        groups = frame[frame.metric == metric].groupby("variant").value
        simple = f"mean spectrum {spread(groups, 'mean-spectrum', 1)}, untrained {spread(groups, 'untrained', 1)}"
        ours = f"SimCLR, geometry {spread(groups, 'geometry', 1)}; spectral {spread(groups, 'spectral', 1)}"
        what = f"embeddings of patches, Indian Pines subset, 15 runs: {told} [%]"
        rows.append([what, simple, NOT_MEASURED, ours, page("representation_folds")])
    return rows


def spread(groups: Any, name: str, digits: int) -> str:
    """Mean ± standard deviation over seeds or runs; the value alone if there is one."""
    values = groups.get_group(name)
    mean = f"{values.mean():.{digits}f}"
    return f"{mean} ± {values.std():.{digits}f}" if len(values) > 1 else mean


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
