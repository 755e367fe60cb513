"""Figures of segmentation: all kinds, reconstructions, latents, clusters."""

import numpy as np
import pytest
from drawn_study import (
    AUTOENCODERS,
    CLASSIFIERS,
    CLUSTERINGS,
    CODES,
    METRIC,
    NAMES,
    NEAR_NM,
    OF,
    SHAPE,
    crowded,
    entries_of,
    hex_of,
    image_of,
    material,
    titled,
)
from matplotlib.colors import to_hex

from hsipipe.errors import UserError
from hsipipe.report.figures.panels import GAP_COLOUR
from hsipipe.tasks import load_task
from hsipipe.tasks.segmentation.case import Image
from hsipipe.tasks.segmentation.draw import KINDS
from hsipipe.tasks.segmentation.figures.colours import cluster_colours, match_clusters, spare_colours
from hsipipe.tasks.segmentation.figures.latents import principal_axes
from hsipipe.tasks.segmentation.figures.reconstructions import shown_band
from hsipipe.tasks.segmentation.label_maps import PALETTE
from hsipipe.tasks.segmentation.settings import FIGURES


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
