"""Figures of segmentation: maps of classes, confusion, and layout."""

from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
from drawn_study import (
    CLASSIFIERS,
    NAMES,
    SHAPE,
    crowded,
    entries_of,
    hex_of,
    image_of,
    material,
    titled,
)
from matplotlib.colors import to_rgb

from hsipipe.cases.pixels import TEST, TRAIN
from hsipipe.report.figures.panels import GAP_COLOUR
from hsipipe.tasks.segmentation.case import Image
from hsipipe.tasks.segmentation.draw import KINDS
from hsipipe.tasks.segmentation.figures.colours import balanced


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
