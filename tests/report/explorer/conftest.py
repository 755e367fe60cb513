"""A small paper as `gather` would describe it: two image cases, embeddings, claims."""

import json

import numpy as np
import pytest

from hsipipe.report.explorer.gather import FORMAT
from hsipipe.report.explorer.page import write_page
from hsipipe.report.explorer.views import Budget, CodeMap, CubeView, MapView, PointView, encode

ROWS, COLS, BANDS = 20, 24, 10
NM = np.linspace(450, 900, BANDS)


@pytest.fixture(scope="session")
def cubes():
    """Truth, noisy input and two methods' estimates, (bands, rows, cols)."""
    draw = np.random.default_rng(0)
    truth = draw.uniform(0.1, 0.9, (BANDS, ROWS, COLS)).astype(np.float32)
    return {
        "truth": truth,
        "noisy input": truth + draw.normal(0, 0.2, truth.shape).astype(np.float32),
        "good": truth + draw.normal(0, 0.02, truth.shape).astype(np.float32),
        "poor": truth + draw.normal(0, 0.1, truth.shape).astype(np.float32),
    }


@pytest.fixture(scope="session")
def cube_view(cubes):
    return CubeView(
        item="unit-0",
        reference="truth",
        truth=cubes["truth"],
        beside={"noisy input": cubes["noisy input"]},
        variants=["good", "poor"],
        read=lambda variant: cubes[variant],
        good=np.arange(BANDS) != 3,
        valid=np.ones((ROWS, COLS), bool),
        wavelength_nm=NM,
        unit="reflectance",
    )


@pytest.fixture(scope="session")
def map_view():
    codes = np.repeat(np.array([[1, 1, 7, 7]], np.int32), 4, axis=0)
    wrong = codes.copy()
    wrong[0, 0] = 7
    names, colours = {1: "grass", 7: "water"}, {1: "#e69f00", 7: "#0072b2"}
    return MapView(
        item="field",
        picture=np.full((4, 4, 3), 0.5),
        labels=CodeMap(codes, names, colours),
        tested=np.ones((4, 4), bool),
        maps={"lda": CodeMap(wrong, names, colours)},
    )


@pytest.fixture(scope="session")
def point_view():
    return PointView(
        method="t-SNE",
        names=["one", "two", "three"],
        groups={"class": ["moth", "moth", "butterfly"]},
        pictures=[np.full((4, 4, 3), share) for share in (0.2, 0.5, 0.8)],
        places={"simclr": np.array([[0.0, 0.0], [1.0, 2.0], [4.0, 1.0]])},
    )


def row(variant, kind, scores, *, seconds=None, parameters=None):
    return {
        "variant": variant,
        "method": variant,
        "kind": kind,
        "title": f"Title of {variant}",
        "citation": "A paper",
        "deviations": [],
        "scores": scores,
        "costs": {
            "seconds_per_item": seconds,
            "seconds_to_train": None,
            "peak_memory_mb": 100.0,
            "peak_gpu_memory_mb": None,
            "parameters": parameters,
        },
        "seeds": {"0": {name: value[0] for name, value in scores.items()}},
        "items": [["unit-0", {name: value[0] for name, value in scores.items()}]],
        "run": {"folder": f"results/denoising/small/{variant}/seed0", "seed": 0, "settings": {"rank": 5}},
    }


@pytest.fixture(scope="session")
def paper(cube_view, map_view, point_view):
    """The data of a paper; a text in it looks like the end of a script."""
    budget = Budget(1_000_000, 4)
    image, divided, embedded = (encode(view, budget) for view in (cube_view, map_view, point_view))
    metric = {"label": "MPSNR", "unit": "dB", "better": "higher", "decimals": 2}
    cost = {"heading": "s/item", "decimals": 3}
    shared = {"simulated": True, "scenes": ["s"]}
    return {
        "format": FORMAT,
        "code_version": "0",
        "paper": {"name": "small", "title": "Small </script><b>study</b>", "citation": "", "size": "demo"},
        "metrics": {
            "mpsnr": metric,
            "sam": {"label": "SAM", "unit": "°", "better": "lower", "decimals": 2},
            "oa": {"label": "OA", "unit": "%", "better": "higher", "decimals": 1},
        },
        "costs": {
            "seconds_per_item": cost,
            "seconds_to_train": cost,
            "peak_memory_mb": {"heading": "peak memory [MiB]", "decimals": 0},
            "peak_gpu_memory_mb": cost,
            "parameters": {"heading": "parameters", "decimals": 0},
        },
        "cases": [
            {
                "task": "denoising",
                "case": "small",
                "note": "A note",
                **shared,
                "metrics": ["mpsnr", "sam"],
                "rows": [
                    row(
                        "poor", "direct", {"mpsnr": [20.0, None, 1, 3, 1.0], "sam": [3.0, None, 1, 3, 0.1]}, seconds=0.1
                    ),
                    row(
                        "good", "trained", {"mpsnr": [30.0, 0.5, 2, 3, 1.0], "sam": [5.0, 0.2, 2, 3, 0.1]}, seconds=2.0
                    ),
                    row(
                        "oracle", "oracle", {"mpsnr": [40.0, None, 1, 3, 1.0], "sam": [1.0, None, 1, 3, 0.1]}, seconds=1
                    ),
                ],
                "views": [image],
            },
            {
                "task": "segmentation",
                "case": "field",
                "note": "",
                **shared,
                "metrics": ["oa"],
                "rows": [row("lda", "trained", {"oa": [93.8, None, 1, 1, None]})],
                "views": [divided],
            },
            {
                "task": "representation",
                "case": "wings",
                "note": "",
                **shared,
                "metrics": ["oa"],
                "rows": [row("simclr", "trained", {"oa": [90.0, None, 1, 1, None]})],
                "views": [embedded],
            },
        ],
        "tables": [
            {
                "name": name,
                "title": f"Table {name}",
                "headings": ["variant", "kind", "MPSNR [dB] ↑", "paper PSNR [dB]"],
                "lines": [[["good", False], ["trained", False], ["30.00 ± 0.50", True], [published, False]]],
                "notes": ["A note below"],
            }
            for name, published in (("first", "26.90"), ("second", "–"))
        ],
        "claims": [{"task": "denoising", "claim": "Good is better", "verdict": "reproduced", "evidence": "30 to 20"}],
    }


@pytest.fixture(scope="session")
def page_file(paper, tmp_path_factory):
    folder = tmp_path_factory.mktemp("explorer")
    data = folder / "small" / "explorer.json"
    data.parent.mkdir()
    data.write_text(json.dumps(paper))
    write_page([data], folder / "index.html")
    return folder / "index.html"
