"""The figures of a tiny case, drawn of predictions that are known; what they show is read off their axes."""

import json
from dataclasses import asdict, replace
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.ticker import FixedFormatter

from hsipipe.cases.bands import select_case_bands
from hsipipe.cases.pixels import TEST, TRAIN
from hsipipe.cases.split import SplitSettings, split_scenes
from hsipipe.errors import UserError
from hsipipe.methods import find_method
from hsipipe.report.figures.panels import GAP_COLOUR
from hsipipe.report.scores import read_scores
from hsipipe.scenes.scene import Item, Scene, write_scene
from hsipipe.settings import as_plain
from hsipipe.tasks import load_task
from hsipipe.tasks.predictions import Prediction, write_predictions
from hsipipe.tasks.segmentation.case import CaseFile, Image
from hsipipe.tasks.segmentation.draw import KINDS
from hsipipe.tasks.segmentation.figures.colours import balanced, cluster_colours, match_clusters, spare_colours
from hsipipe.tasks.segmentation.figures.latents import principal_axes
from hsipipe.tasks.segmentation.figures.material import Material
from hsipipe.tasks.segmentation.figures.reconstructions import shown_band
from hsipipe.tasks.segmentation.label_maps import PALETTE
from hsipipe.tasks.segmentation.settings import FIGURES, CaseSettings
from hsipipe.tidy import collect_scores, write_scores

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


@pytest.mark.parametrize("kind", FIGURES)
def test_every_kind_is_drawn_to_files_the_same_each_time(study, kind, tmp_path):
    about = {"kind": kind, "case": "c", "title": "Some title", "metric": METRIC.get(kind, "nmi")}
    named = {key: {name: study[key][name] for name in OF[kind]} for key in ("kept", "records")}
    drawn = []
    for number in range(2):
        outputs = [tmp_path / f"{number}.png", tmp_path / f"{number}.svg"]
        load_task("segmentation", "draw")(about, **study["inputs"], case_settings={}, **named, outputs=outputs)
        drawn.append([path.read_bytes() for path in outputs])
    assert drawn[0] == drawn[1]
    assert drawn[0][0].startswith(b"\x89PNG")
    assert b"Some title" in drawn[0][1]


@pytest.mark.parametrize("copies", [0, 1, 4])
@pytest.mark.parametrize("kind", [kind for kind in FIGURES if kind not in METRIC])
def test_nothing_is_cut_off_with_one_variant_or_eight(study, kind, copies):
    variants, copies = (OF[kind][:1], 1) if copies == 0 else (OF[kind], copies)
    figure = KINDS[kind](material(study, kind, *variants, copies=copies))
    assert crowded(figure) == []


@pytest.mark.parametrize(
    "kind", ["slices", "pixel-spectra", "latents", "latent-scatter", "cluster-maps", "cluster-spectra"]
)
def test_a_scene_without_labels_and_wavelengths_is_drawn(unlabelled, kind):
    assert crowded(KINDS[kind](material(unlabelled, kind))) == []


@pytest.mark.parametrize(
    ("kind", "variants", "needs"),
    [
        ("loss-curves", CLUSTERINGS, "trained in epochs"),
        ("slices", CLASSIFIERS, "needs an autoencoder"),
        ("pixel-spectra", CLUSTERINGS, "needs an autoencoder"),
        ("latents", CLASSIFIERS, "needs an autoencoder or a clustering of latents"),
        ("latent-scatter", ("swapped",), "needs an autoencoder or a clustering of latents"),
        ("cluster-maps", AUTOENCODERS, "needs a clustering"),
        ("cluster-spectra", CLASSIFIERS, "needs a clustering"),
        ("classification-maps", CLUSTERINGS, "needs a classifier"),
        ("confusion", AUTOENCODERS, "needs a classifier"),
    ],
)
def test_variants_that_a_figure_cannot_show_are_refused(study, kind, variants, needs):
    with pytest.raises(UserError, match=f"{needs}.*{variants[0]}"):
        KINDS[kind](material(study, kind, *variants))


def test_a_confusion_matrix_needs_test_pixels(study):
    made = material(study, "confusion")
    roles = np.zeros(SHAPE, np.uint8)
    made.__dict__["roles"] = (roles, roles)
    with pytest.raises(UserError, match="needs labelled test pixels"):
        KINDS["confusion"](made)
    figure = KINDS["classification-maps"](made)
    assert titled(figure)["good"].get_title() == "good"
    assert "test pixel, wrong" not in entries_of(figure)


def test_loss_curves_are_those_of_the_history(study):
    made = material(study, "loss-curves", "ae-one", "good", "swapped")
    made.records["good"]["history"] = [{"epoch": 1, "train_loss": 0.0}, {"epoch": 2, "train_loss": 2.0}]
    linear, logarithmic = KINDS["loss-curves"](made).axes
    assert (linear.get_yscale(), logarithmic.get_yscale()) == ("linear", "log")
    assert [line.get_ydata().tolist() for line in linear.lines] == [[4, 0.5], [5, 0.25], [0, 2]]
    assert np.array_equal(logarithmic.lines[2].get_ydata(), [np.nan, 2], equal_nan=True)
    assert linear.lines[0].get_color().tolist() == linear.lines[1].get_color().tolist()
    assert linear.lines[0].get_linestyle() != linear.lines[1].get_linestyle()
    (legend,) = linear.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["ae-one", "good", "training", "validation"]


def test_a_slice_has_the_error_of_its_band_below(study):
    figure = KINDS["slices"](material(study, "slices"))
    image, _ = image_of(study)
    # No band is near 860 nm.
    band = int(image.cube[:, image.valid].mean(axis=1).argmax())
    assert f"band {band} (largest mean, {NEAR_NM[band]:.0f} nm)" in figure.get_suptitle()
    axes = titled(figure)
    assert list(axes) == ["input", *AUTOENCODERS]
    assert axes["ae-one"].get_title() == "ae-one\nRMSE 0.5"
    errors = figure.axes[4].images[0].get_array()
    assert np.allclose(errors[image.valid], 0.5)
    assert np.array_equal(np.ma.getmaskarray(errors), ~image.valid)


def test_the_band_nearest_to_860_nm_is_shown_where_one_was_measured():
    cube = np.stack([np.full(SHAPE, value, np.float32) for value in (1, 2, 3, 9)])
    parts = {"cube": cube, "valid": np.ones(SHAPE, bool), "labels": np.zeros(SHAPE, int), "class_names": []}
    near = np.array([800.0, 850, 862, 900])
    good = np.ones(4, bool)
    assert shown_band(Image(name="i", good=good, wavelength_nm=near, **parts)) == (2, "band 2 (862 nm)")
    assert shown_band(Image(name="i", good=good, wavelength_nm=None, **parts)) == (3, "band 3 (largest mean)")
    good = np.array([True, True, False, False])
    assert shown_band(Image(name="i", good=good, wavelength_nm=near, **parts)) == (1, "band 1 (850 nm)")
    assert shown_band(Image(name="i", good=good, wavelength_nm=None, **parts))[0] == 1


def test_latents_are_stretched_one_by_one_and_each_is_shown_once(study):
    # `split` clustered the latents of `ae-many`, and `swapped` the spectra.
    figure = KINDS["latents"](material(study, "latents", "split", "ae-one", "ae-many", "swapped"))
    image, _ = image_of(study)
    shown = [axis for axis in figure.axes if axis.images]
    assert [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()] == ["ae-one", "ae-many"]
    assert len(shown) == 1 + 6
    for axis, band in zip(shown, (0, *range(6)), strict=True):
        (picture,) = axis.images
        assert picture.get_clim() == pytest.approx(np.percentile(image.cube[band][image.valid], (2, 98)))
        assert np.array_equal(np.ma.getmaskarray(picture.get_array()), ~image.valid)
        assert axis.get_title().startswith(f"latent {band + 1} of {8 if axis is not shown[0] else 1}\n")


def test_points_lie_at_the_principal_axes_in_the_colours_of_their_classes(study):
    figure = KINDS["latent-scatter"](material(study, "latent-scatter"))
    image, _ = image_of(study)
    entries = entries_of(figure)
    assert entries == {"grass": PALETTE[0], "bare earth": PALETTE[1], NAMES[3]: PALETTE[2], "no label": "#c9ced6"}
    one, many = (axis.collections[0] for axis in figure.axes)
    assert len(one.get_offsets()) == len(many.get_offsets()) == image.valid.sum()
    found, counts = np.unique([to_hex(colour) for colour in many.get_facecolors()], return_counts=True)
    wanted = [(image.labels[image.valid] == code).sum() for code in (*CODES, 0)]
    assert dict(zip(found, counts, strict=True)) == dict(zip(entries.values(), wanted, strict=True))
    # Along a principal axis points spread more than along any latent.
    spread = np.var(many.get_offsets(), axis=0)
    assert spread[0] >= image.cube[:8, image.valid].var(axis=1).max()
    assert "mean of the spectrum" in figure.axes[0].get_ylabel()


def test_principal_axes_of_a_known_cloud():
    turned = np.array([[3, 4], [-4, 3]]) / 5  # rows are orthonormal
    places = np.array([[2.0, 1], [-2, 1], [2, -1], [-2, -1]])
    found, names = principal_axes(places @ turned + 7)
    assert np.allclose(np.abs(found), np.abs(places))
    assert names == ["axis 1 (80.0 % of variance)", "axis 2 (20.0 % of variance)"]
    constant, names = principal_axes(np.ones((5, 1)))
    assert constant.tolist() == [[0]] * 5
    assert names == ["axis 1 (0.0 % of variance)"]


def test_clusters_are_matched_to_the_classes_that_most_of_their_pixels_have():
    truth = np.array([[1, 1, 1, 1, 1, 5, 5, 5, 0, 0]])
    labels = np.array([[2, 2, 2, 4, 4, 4, 2, 4, 3, 3]])
    # 2 with 1 and 4 with 5: 3 + 2 pixels; the other way round 2 + 1. Cluster 3 has no labelled pixel.
    assert match_clusters(truth, labels) == {2: 1, 4: 5}
    assert match_clusters(truth, np.where(labels == 2, 0, labels)) == {4: 1}
    assert match_clusters(np.zeros((2, 2), int), np.ones((2, 2), int)) == {}
    # A pair without a common pixel is none.
    assert match_clusters(np.array([[1, 2, 2]]), np.array([[0, 1, 2]])) == {1: 2}


def test_the_same_thing_has_the_same_colour_in_all_maps(study):
    made = material(study, "cluster-maps")
    figure = KINDS["cluster-maps"](made)
    image, _ = image_of(study)
    axes = titled(figure)
    assert list(axes) == ["image", "labels", *CLUSTERINGS]
    pictures = {name: hex_of(axis.images[0].get_array()) for name, axis in axes.items()}
    for picture in pictures.values():
        assert set(picture[~image.valid]) == {GAP_COLOUR}
    labelled = image.labels > 0
    assert np.array_equal(pictures["swapped"][labelled], pictures["labels"][labelled])
    assert set(pictures["labels"][image.valid & ~labelled]) == {"#ffffff"}
    # The smaller part of the field that was split fits no class.
    apart = np.zeros(SHAPE, bool)
    apart[:3] = True
    assert np.array_equal(pictures["split"][labelled & ~apart], pictures["labels"][labelled & ~apart])
    entries = entries_of(figure)
    assert set(pictures["split"][apart & image.valid]) == {entries["further cluster 1"]}
    assert list(entries) == ["grass", "bare earth", NAMES[3], "further cluster 1", "no label", "no valid data"]
    assert len(set(entries.values())) == 6
    scores = made.scores[made.scores.metric == "nmi"].set_index("variant").value
    assert scores["swapped"] == 1
    for name, count in (("swapped", 3), ("split", 4)):
        assert axes[name].get_title() == f"{name}\nNMI {scores[name]:.3f}, {count} clusters"


def test_the_metric_of_the_figure_stands_below_the_name(study):
    made = material(study, "cluster-maps", "split", metric="ari")
    value = made.scores[(made.scores.metric == "ari") & (made.scores.variant == "split")].value.item()
    assert f"ARI {value:.3f}, " in titled(KINDS["cluster-maps"](made))["split"].get_title()


def test_without_labels_maps_agree_with_the_first(unlabelled):
    figure = KINDS["cluster-maps"](material(unlabelled, "cluster-maps"))
    axes = titled(figure)
    assert list(axes) == ["image", *CLUSTERINGS]
    assert axes["split"].get_title() == "split\n4 clusters"
    one, other = (hex_of(axes[name].images[0].get_array()) for name in CLUSTERINGS)
    assert np.array_equal(one[3:], other[3:])
    assert list(entries_of(figure)) == ["cluster 1", "cluster 2", "cluster 3", "further cluster 1", "no valid data"]


def test_many_clusters_have_colours_of_their_own():
    codes = np.arange(1, 31).reshape(5, 6)
    image = Image("i", np.ones((2, 5, 6), np.float32), codes > 0, np.ones(2, bool), codes % 10 + 1, None, [])
    found = cluster_colours(image, {"a": codes, "b": 31 - codes}, {"a": 30, "b": 30})
    assert len(found.further) == 20
    for legend in found.of.values():
        assert legend.codes == tuple(range(1, 31))
        assert len(set(legend.colours)) == len(set(legend.names)) == 30
    assert len(set(spare_colours(PALETTE, 40))) == 40
    assert not set(spare_colours(PALETTE[:3], 17)) & set(PALETTE[:3])


def test_spectra_of_clusters_stand_above_each_other_in_the_colours_of_the_maps(study):
    made = material(study, "cluster-spectra")
    figure = KINDS["cluster-spectra"](made)
    axes = titled(figure)
    entries = entries_of(KINDS["cluster-maps"](material(study, "cluster-maps")))
    swapped = axes["swapped"]
    ticks = swapped.get_yticks()
    step = ticks[0] - ticks[1]
    highest = max(np.abs(made.arrays[name]["member_spectra"]).max() for name in CLUSTERINGS)
    assert step == pytest.approx(highest / 2, rel=0.05)
    # Cluster 3 is grass, 1 bare earth, 2 a road; of each the mean and the medoid.
    assert len(swapped.lines) == 3 * 2
    for place, (cluster, name) in enumerate(((3, "grass"), (1, "bare earth"), (2, NAMES[3]))):
        mean, medoid = swapped.lines[2 * place : 2 * place + 2]
        assert to_hex(mean.get_color()) == entries[name]
        for line, key in ((mean, "member_spectra"), (medoid, "medoid_spectra")):
            wanted = made.arrays["swapped"][key][cluster - 1] - place * step
            assert np.allclose(line.get_ydata()[np.isfinite(line.get_ydata())], wanted)
        # The line is broken between 700 and 1500 nm.
        assert np.isnan(mean.get_xdata()).tolist() == [False] * 6 + [True] + [False] * 3
    told = [text.get_text().replace("\n", " ") for text in swapped.get_yticklabels()]
    valid = image_of(study)[0].valid
    assert told[0] == f"grass {100 * valid[:8].sum() / valid.sum():.1f} %"
    assert len(axes["split"].lines) == 4 * 3
    (legend,) = figure.legends
    told = ["mean of the members", "most central member", "decoded mean latent"]
    assert [text.get_text() for text in legend.get_texts()] == told


def test_a_cluster_without_pixels_leaves_room(study):
    made = material(study, "cluster-spectra", "swapped")
    made.arrays["swapped"]["member_spectra"][1] = np.nan
    figure = KINDS["cluster-spectra"](made)
    assert len(figure.axes[0].get_yticks()) == 3


def test_wrong_test_pixels_are_red_and_training_pixels_blue(study):
    made = material(study, "classification-maps")
    figure = KINDS["classification-maps"](made)
    image, roles = image_of(study)
    entries = entries_of(figure)
    axes = titled(figure)
    assert {"image", "labels", "good", "poor", "errors"} == set(axes)
    below = {name: figure.axes[3 + place] for place, name in enumerate(CLASSIFIERS, start=1)}
    tested, wrong = roles == TEST, np.zeros(SHAPE, bool)
    wrong[4:8] = image.labels[4:8] > 0
    for name, errors in (("good", np.zeros(SHAPE, bool)), ("poor", wrong & tested)):
        colours = hex_of(below[name].images[0].get_array())
        assert np.array_equal(colours == entries["test pixel, wrong"], errors)
        assert np.array_equal(colours == entries["test pixel, right"], tested & ~errors)
        assert np.array_equal(colours == entries["training pixel"], roles == TRAIN)
        assert set(colours[image.valid & (image.labels == 0)]) == {"#ffffff"}
        assert below[name].get_title() == f"errors\n{errors.sum():,} of {tested.sum():,}"
        scores = made.scores[made.scores.variant == name].drop_duplicates("metric").set_index("metric").value
        assert axes[name].get_title() == f"{name}\nOA {scores['oa']:.2f} %, AA {scores['aa']:.2f} %"
    assert "other labelled pixel" not in entries, "all labelled pixels train or are tested"
    picture = hex_of(axes["good"].images[0].get_array())
    assert set(picture[(image.labels == 1) & image.valid]) == {entries["grass"]}
    assert np.allclose(axes["image"].images[0].get_array()[~image.valid], to_rgb(GAP_COLOUR))


def test_rows_of_a_confusion_matrix_are_shares_of_a_class(study):
    figure = KINDS["confusion"](material(study, "confusion"))
    image, roles = image_of(study)
    tested = roles == TEST
    poor = titled(figure)["poor"]
    shares = np.asarray(poor.images[0].get_array())
    grass = tested & (image.labels == 1)
    moved = grass.copy()
    moved[:4], moved[8:] = False, False
    share = 100 * moved.sum() / grass.sum()
    assert np.allclose(shares, [[100 - share, 0, share], [0, 100, 0], [0, 0, 100]])
    assert {text.get_text() for text in poor.texts} >= {f"{share:.0f}\n({moved.sum()})"}
    good = titled(figure)["good"]
    told = [text.get_text() for text in good.get_yticklabels()]
    assert told[0] == f"grass ({grass.sum()})"
    assert [text.get_text() for text in good.get_xticklabels()] == ["grass", "bare earth", NAMES[3]]


def test_matrices_above_an_empty_place_are_named_there(study):
    figure = KINDS["confusion"](material(study, "confusion", copies=2))
    assert figure.axes[0].get_gridspec().get_geometry() == (2, 2)
    figure = KINDS["confusion"](material(study, "confusion", "good", copies=5))
    last, under = figure.axes[2], figure.axes[3]
    named = {text.get_text() for text in last.texts if text.get_rotation() == 90}
    assert named == {"grass", "bare earth", NAMES[3]}
    assert [text.get_text() for text in under.get_xticklabels()] == ["grass", "bare earth", NAMES[3]]
    assert not any(text.get_rotation() for text in under.texts)


def test_classes_that_are_no_truth_and_pixels_without_a_class_have_columns(study):
    made = material(study, "confusion", "good")
    image, roles = image_of(study)
    tested = np.argwhere((roles == TEST) & (image.labels == 3))
    made.arrays["good"]["prediction"][0][tuple(tested[0])] = 2
    made.arrays["good"]["prediction"][0][tuple(tested[1])] = 0
    axis = KINDS["confusion"](made).axes[0]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["grass", "water", "bare earth", NAMES[3], "none"]
    shares = np.asarray(axis.images[0].get_array())
    one = 100 / len(tested)
    assert np.allclose(shares[2], [0, one, 100 - 2 * one, 0, one])
    assert np.allclose(shares[1], 0), "no pixel is water"


@pytest.mark.parametrize("count", [12, 30])
def test_many_classes_stay_legible(study, count):
    made = material(study, "confusion", "good", "poor")
    image, _ = image_of(study)
    labels = (np.arange(image.labels.size).reshape(SHAPE) % count + 1) * image.valid
    made.__dict__["image"] = Image(**{**asdict(image), "labels": labels, "class_names": []})
    made.__dict__["roles"] = (np.full(SHAPE, TEST), np.full(SHAPE, TEST))
    for name in ("good", "poor"):
        made.arrays[name]["prediction"][0] = labels
    figure = KINDS["confusion"](made)
    assert crowded(figure) == []
    axis = figure.axes[0]
    boxes = [text.get_window_extent() for text in axis.get_yticklabels()]
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))
    sizes = {text.get_fontsize() for text in axis.texts}
    assert sizes == {7.0 if count == 12 else 5.5}
    assert crowded(KINDS["classification-maps"](made)) == []


def test_panels_are_shared_out_evenly():
    wanted = {(1, 6): (1, 1), (6, 6): (1, 6), (7, 6): (2, 4), (9, 4): (3, 3)}
    assert {given: balanced(*given) for given in wanted} == wanted


@pytest.mark.parametrize("part", [(slice(6, 10), slice(0, 20)), (slice(0, 24), slice(9, 12))])
@pytest.mark.parametrize("kind", ["latents", "cluster-maps", "classification-maps", "slices"])
def test_strips_are_drawn_with_room_for_names(study, kind, part):
    made = material(study, kind, copies=3)
    image, roles = image_of(study)
    cut = {"cube": image.cube[:, *part], "valid": image.valid[part], "labels": image.labels[part]}
    made.__dict__.update(image=replace(image, **cut), roles=(roles[part], roles[part]))
    for arrays in made.arrays.values():
        arrays |= {key: arrays[key][:, *part] for key in ("prediction", "latents") if key in arrays}
    figure = KINDS[kind](made)
    assert crowded(figure) == []
    names = [axis.yaxis.label for axis in figure.axes if axis.get_ylabel() and kind == "latents"]
    boxes = [name.get_window_extent() for name in names]
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))
