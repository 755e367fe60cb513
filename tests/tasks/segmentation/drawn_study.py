"""A small study of segmentation whose figures the tests look at: fixtures, and what reads them off."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.ticker import FixedFormatter

from hsipipe.cases.bands import select_case_bands
from hsipipe.cases.split import SplitSettings, split_scenes
from hsipipe.methods import find_method
from hsipipe.report.scores import read_scores
from hsipipe.scenes.scene import Item, Scene, write_scene
from hsipipe.scores import collect_scores, write_scores
from hsipipe.settings import as_plain
from hsipipe.tasks import load_task
from hsipipe.tasks.predictions import Prediction, write_predictions
from hsipipe.tasks.segmentation.case import CaseFile
from hsipipe.tasks.segmentation.figures.material import Material
from hsipipe.tasks.segmentation.settings import CaseSettings

NEAR_NM = np.array([450.0, 500, 550, 600, 650, 700, 1500, 1550, 1600])
SHAPE = (24, 20)
CODES = (1, 3, 4)  # class 2 has no pixel
NAMES = ["grass", "water", "bare earth", "a road of some length"]
HISTORY = [
    {"epoch": 1, "step": 5, "learning_rate": 1e-3, "train_loss": 4.0, "loss": 5.0, "seconds": 1.0},
    {"epoch": 2, "step": 10, "learning_rate": 1e-3, "train_loss": 0.5, "loss": 0.25, "seconds": 1.0},
]
AUTOENCODERS = ("ae-one", "ae-many")
CLUSTERINGS = ("swapped", "split")
CLASSIFIERS = ("good", "poor")
OF = {
    **dict.fromkeys(
        ("pixel-spectra", "slices", "latents", "latent-scatter", "loss-curves", "parameters"), AUTOENCODERS
    ),
    **dict.fromkeys(("cluster-maps", "cluster-spectra"), CLUSTERINGS),
    **dict.fromkeys(("classification-maps", "confusion", "bars", "time"), CLASSIFIERS),
}
METRIC = {"bars": "oa", "time": "oa", "parameters": "sam"}


def labels_of_scene():
    """Three fields, one above the other, with a strip without labels at the right."""
    labels = np.repeat(CODES, 8)[:, None] * np.ones(SHAPE[1], int)
    labels[:, 17:] = 0
    return labels.astype(np.int32)


def predictions_of(name, image):
    """What a variant made of the scene: cube or map, and what is kept besides."""
    valid = image.valid
    random = np.random.default_rng(len(name))
    spectra = {key: random.random((4, 9)).astype(np.float32) for key in ("member_spectra", "medoid_spectra")}
    if name == "ae-one":
        return Prediction(image.cube + np.float32(0.5) * valid, 0.1, {"latents": image.cube[:1]})
    if name == "ae-many":
        return Prediction(image.cube * np.float32(0.9), 0.2, {"latents": image.cube[:8]})
    field = np.arange(SHAPE[0])[:, None] // 8 + np.zeros(SHAPE[1], int)
    if name == "swapped":  # one cluster a field, in another order
        found = np.where(valid, np.array([3, 1, 2])[field], 0)
        kept = {key: value[:3] for key, value in spectra.items()}
        return Prediction(found[None].astype(np.float32), 0.1, {"cluster_means": np.zeros((3, 2)), **kept})
    if name == "split":  # the first field in two unequal parts
        found = np.where(valid, field + 2, 0)
        found[:3][valid[:3]] = 1
        kept = {"cluster_means": np.zeros((4, 2)), "latents": image.cube[:8], **spectra}
        return Prediction(found[None].astype(np.float32), 0.2, {**kept, "decoded_spectra": spectra["member_spectra"]})
    codes = np.where(valid, np.array(CODES)[field], 0)
    if name == "poor":
        codes[4:8][valid[4:8]] = 4
    confidence = np.ones(SHAPE, np.float32)
    return Prediction(codes[None].astype(np.float32), 0.1, {"confidence": confidence})


METHODS = {
    "ae-one": ("residual", "reconstruction"),
    "ae-many": ("mlp", "reconstruction"),
    "swapped": ("kmeans", "clusters"),
    "split": ("gmm", "clusters"),
    "good": ("svm", "labels"),
    "poor": ("lda", "labels"),
}


def make_study(folder, *, labelled=True, wavelength_nm=NEAR_NM):
    cube = np.random.default_rng(0).random((9, *SHAPE)).cumsum(axis=1).astype(np.float32)
    valid = np.ones(SHAPE, bool)
    valid[:3, :4] = False
    labels = labels_of_scene() if labelled else None
    item = Item(cube, valid=valid, wavelength_nm=wavelength_nm, labels=labels, class_names=NAMES)
    scenes = [folder / "s.h5"]
    write_scene(scenes[0], [item], name="s")
    settings = as_plain(CaseSettings(scenes=["s"])) | {"figure_unit": 0}
    settings["pixels"] |= {"by": "random", "count": 20, "fraction": None}
    with Scene(scenes[0]) as scene:
        units = split_scenes([scene], SplitSettings(by="test"))
        bands = select_case_bands([scene], units, {"strategy": "all"})
    case = folder / "case.h5"
    load_task("segmentation", "prepare")(scenes, units, bands, settings, name="c", output=case)
    kept, records, written = {}, {}, []
    for name, (method_name, content) in METHODS.items():
        if content == "labels" and not labelled:
            continue
        run = folder / name
        run.mkdir()
        method = find_method("segmentation", method_name)
        costs = {"history": HISTORY if name.startswith("ae") else []}
        costs |= {"memory": {"parameters": 100, "trainable": 50}} if name.startswith("ae") else {}
        with CaseFile(case, scenes) as opened:
            write_predictions(
                opened.names("test"),
                lambda unit, name=name, opened=opened: predictions_of(name, opened.image(unit)),
                shown=opened.shown(0),
                method=method,
                settings={},
                seed=0,
                device="cpu",
                output=run / "output",
                kept=run / "kept",
                record=run / "record",
                costs=costs,
                content=content,
            )
        scores = load_task("segmentation", "score")(case, scenes, run / "output", case_settings=settings)
        write_scores(run / "scores.csv", scores, task="segmentation", case="c", variant=name, seed=0)
        written.append(run / "scores.csv")
        kept[name], records[name] = run / "kept", run / "record"
    collect_scores(written, folder / "scores.csv")
    inputs = {"case": case, "scenes": scenes, "scores": folder / "scores.csv"}
    return {"inputs": inputs, "kept": kept, "records": records}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("unlabelled"), labelled=False, wavelength_nm=None)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def material(study, kind, *variants, metric="nmi", copies=1):
    """What a figure is drawn from; with copies each variant stands several times under other names."""
    chosen = {
        name if number == 0 else f"{name}-of-a-rather-long-name-{number}": name
        for number in range(copies)
        for name in variants or OF[kind]
    }
    return Material(
        figure={"kind": kind, "case": "c", "title": "", "metric": metric},
        scores=read_scores(study["inputs"]["scores"]),
        kept={shown: study["kept"][name] for shown, name in chosen.items()},
        records={shown: json.loads(study["records"][name].read_text()) for shown, name in chosen.items()},
        simulated=False,
        case=study["inputs"]["case"],
        scenes=study["inputs"]["scenes"],
    )


def image_of(study):
    with CaseFile(study["inputs"]["case"], study["inputs"]["scenes"]) as opened:
        return opened.image(opened.names("test")[0]), opened.pixel_roles(opened.names("test")[0])


def titled(figure):
    """First line of the title -> axis, of those that have one."""
    return {axis.get_title().partition("\n")[0]: axis for axis in figure.axes if axis.get_title()}


def entries_of(figure):
    """Name -> colour of the figure's legend."""
    (legend,) = figure.legends
    return {
        text.get_text(): to_hex(patch.get_facecolor())
        for text, patch in zip(legend.get_texts(), legend.get_patches(), strict=True)
    }


def hex_of(picture):
    """The colours of a picture (rows, cols, 3) in [0, 1] as text."""
    return np.array([[to_hex(colour) for colour in row] for row in np.asarray(picture)])


def crowded(figure):
    """Pairs of titles that lie on one another as drawn, and texts that leave the figure."""
    figure.draw_without_rendering()
    titles = [axis.title for axis in figure.axes if axis.get_title()]
    boxes = [text.get_window_extent() for text in titles]
    pairs = [
        (titles[one].get_text(), titles[other].get_text())
        for one in range(len(boxes))
        for other in range(one)
        if boxes[one].overlaps(boxes[other])
    ]
    frame = figure.bbox
    # Names at the ticks; Matplotlib also keeps numbers of ticks beyond the axis, which it does not draw.
    sides = [side for axis in figure.axes if axis.axison for side in (axis.xaxis, axis.yaxis)]
    names = [side for side in sides if isinstance(side.get_major_formatter(), FixedFormatter)]
    ticks = [text for side in names for text in side.get_ticklabels()]
    whole = [*titles, *(text for text in ticks if text.get_text()), *figure.legends]
    whole += [figure._suptitle] if figure.get_suptitle() else []
    for one in whole:
        box = one.get_window_extent()
        if box.x0 < frame.x0 - 1 or box.x1 > frame.x1 + 1 or box.y0 < frame.y0 - 1 or box.y1 > frame.y1 + 1:
            pairs.append((str(one), "leaves the figure"))
    return pairs
