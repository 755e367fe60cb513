"""The figures of a tiny case, drawn as the workflow draws them; what they show is read off their axes."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from hsipipe.cases.bands import select_case_bands
from hsipipe.cases.split import SplitSettings, split_scenes
from hsipipe.errors import UserError
from hsipipe.methods import find_method
from hsipipe.report.figures.labels import label_points, spread
from hsipipe.report.figures.spectra import spread_pixels
from hsipipe.report.scores import read_scores
from hsipipe.report.style import start_figure
from hsipipe.scenes.scene import Item, Scene, write_scene
from hsipipe.scores import collect_scores, write_scores
from hsipipe.tasks import load_task
from hsipipe.tasks.denoising.case import CaseFile
from hsipipe.tasks.denoising.draw import KINDS
from hsipipe.tasks.denoising.figures.material import Material
from hsipipe.tasks.denoising.settings import FIGURES
from hsipipe.tasks.predictions import read_kept

CASE = {"noise": "gaussian:sigma=0.1", "seed": 0, "figure_unit": 1, "figure_band": 2}
TRAINED = {"small": 12_000, "large": 3_400_000}
UNITS = 3
NEAR_NM = (450, 550, 650, 750, 860, 1000)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A case with three test units; on it `noisy`, three kinds of svd, an oracle, and what passes for two networks."""
    folder = tmp_path_factory.mktemp("study")
    generator = np.random.default_rng(0)
    items = []
    for number in range(UNITS):
        cube = generator.random((6, 20, 16)).cumsum(axis=1).astype(np.float32)
        valid = np.ones((20, 16), bool)
        valid[:4, :5] = False
        items.append(Item(cube, name=f"i{number}", valid=valid, wavelength_nm=np.array(NEAR_NM, float)))
    scenes = [folder / "s.h5"]
    write_scene(scenes[0], items, name="s")
    with Scene(scenes[0]) as scene:
        units = split_scenes([scene], SplitSettings(by="test"))
        bands = select_case_bands([scene], units, {"strategy": "all"})
    case = folder / "case.h5"
    load_task("denoising", "prepare")(scenes, units, bands, CASE, name="c", output=case)
    variants = {"noisy": ("noisy", {}), "oracle": ("oracle", {})}
    variants |= {name: ("svd", {"rank": 1 + rank}) for rank, name in enumerate(("svd1", "svd2", "svd3", *TRAINED))}
    kept, records, written, predictions = {}, {}, [], {}
    for name, (method_name, settings) in variants.items():
        run = folder / name / "seed0"
        run.mkdir(parents=True)
        method = find_method("denoising", method_name)
        paths = {key: run / key for key in ("output", "kept", "record")}
        load_task("denoising", "predict")(
            case, scenes, method, method.complete(settings), case_settings=CASE, seed=0, **paths
        )
        if name in TRAINED:
            record = json.loads(paths["record"].read_text())
            record.update(kind="trained", memory={"parameters": 5_000_000, "trainable": TRAINED[name]})
            paths["record"].write_text(json.dumps(record))
        scores = load_task("denoising", "score")(case, scenes, paths["output"], case_settings=CASE)
        write_scores(run / "scores.csv", scores, task="denoising", case="c", variant=name, seed=0)
        written.append(run / "scores.csv")
        kept[name], records[name], predictions[name] = paths["kept"], paths["record"], paths["output"]
    collect_scores(written, folder / "scores.csv")
    return {
        "inputs": {"case": case, "scenes": scenes, "case_settings": CASE, "scores": folder / "scores.csv"},
        "kept": kept,
        "records": records,
        "predictions": predictions,
    }


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def material(study, kind, *variants, metric="mpsnr", scores=None, **settings):
    chosen = variants or tuple(study["kept"])
    given = {key: value for key, value in study["inputs"].items() if key != "scores"}
    return Material(
        figure={"kind": kind, "case": "c", "title": "", "metric": metric},
        scores=read_scores(study["inputs"]["scores"]) if scores is None else scores,
        kept={name: study["kept"][name] for name in chosen},
        records={name: json.loads(study["records"][name].read_text()) for name in chosen},
        simulated=True,
        **{**given, "case_settings": {**CASE, **settings}},
    )


def boxes_of(texts):
    """Where texts stand as drawn, in pixels, without the lines that lead to them."""
    texts[0].figure.draw_without_rendering()
    return [Text.get_window_extent(text) for text in texts]


def overlapping(texts):
    """Pairs of names that lie on one another as drawn."""
    boxes = boxes_of(texts)
    return [
        (texts[one].get_text(), texts[other].get_text())
        for one in range(len(texts))
        for other in range(one)
        if boxes[one].overlaps(boxes[other])
    ]


def titles(figure):
    return {axis.get_title().partition("\n")[0]: axis for axis in figure.axes if axis.get_title()}


@pytest.mark.parametrize("kind", FIGURES)
def test_every_kind_is_drawn_to_files_the_same_each_time(study, kind, tmp_path):
    about = {"kind": kind, "case": "c", "title": "Some title", "metric": "mpsnr"}
    named = {"kept": study["kept"], "records": study["records"]}
    drawn = []
    for number in range(2):
        outputs = [tmp_path / f"{number}.png", tmp_path / f"{number}.svg"]
        load_task("denoising", "draw")(about, **study["inputs"], **named, outputs=outputs)
        drawn.append([path.read_bytes() for path in outputs])
    assert drawn[0] == drawn[1]
    assert drawn[0][0].startswith(b"\x89PNG")
    assert b"Some title" in drawn[0][1]


def test_the_scores_of_the_band_are_those_of_the_shown_unit_alone(study):
    scores = read_scores(study["inputs"]["scores"])
    shown = scores[scores.metric.isin(["band_psnr", "band_mse"])]
    assert len(shown) == 2 * len(study["kept"])
    with CaseFile(study["inputs"]["case"], study["inputs"]["scenes"]) as opened:
        unit = opened.names("test")[CASE["figure_unit"]]
        truth = opened.truth(unit)
    assert set(shown.item) == {unit}
    for name, path in study["kept"].items():
        error = ((read_kept(path)["prediction"][2] - truth.cube[2])[truth.valid].astype(float) ** 2).mean()
        values = shown[shown.variant == name].set_index("metric").value
        assert values["band_mse"] == pytest.approx(error, rel=1e-6), name
        assert values["band_psnr"] == pytest.approx(min(-10 * np.log10(error), 150) if error else 150, rel=1e-6), name


def test_without_its_settings_no_band_is_scored_and_all_else_is_the_same(study):
    inputs = (study["inputs"]["case"], study["inputs"]["scenes"], study["predictions"]["svd1"])
    plain, full = (load_task("denoising", "score")(*inputs, case_settings=given) for given in (None, CASE))
    assert [row for row in full if not row.metric.startswith("band_")] == plain
    assert len(full) == len(plain) + 2
    with pytest.raises(UserError, match="figure_band: the case has 6 bands"):
        load_task("denoising", "score")(*inputs, case_settings={**CASE, "figure_band": 6})


def test_a_band_is_shown_in_grey_with_its_scores_errors_and_gaps(study):
    figure = KINDS["band"](material(study, "band", "svd1", "small"))
    axes = titles(figure)
    assert list(axes) == ["truth", "noisy", "svd1", "small"]
    assert axes["truth"].get_title().strip() == "truth"
    scores = read_scores(study["inputs"]["scores"])
    for name in ("noisy", "svd1", "small"):
        values = scores[scores.variant == name].set_index("metric").value
        told = f"{name}\n{values['band_psnr']:.2f} dB, MSE {values['band_mse']:.5f}"
        assert axes[name].get_title() == told
    pictures = {name: axis.images[0].get_array() for name, axis in axes.items()}
    assert len({axes[name].images[0].get_clim() for name in axes}) == 1, "one stretch for all"
    for picture in pictures.values():
        assert picture.shape == (20, 16)
        assert np.array_equal(np.ma.getmaskarray(picture), np.add.outer(np.arange(20) >= 4, np.arange(16) >= 5) == 0)
    below = {name: figure.axes[4 + place].images for place, name in enumerate(axes)}
    assert not below["truth"]
    with CaseFile(study["inputs"]["case"], study["inputs"]["scenes"]) as opened:
        unit = opened.names("test")[1]
        truth, noisy = opened.truth(unit), opened.noisy(unit)
    error = np.abs(noisy[2] - truth.cube[2])
    assert np.allclose(below["noisy"][0].get_array()[truth.valid], error[truth.valid])
    assert "band 2 (650 nm); pale blue: no valid data" in figure.get_suptitle()


def test_without_a_choice_the_band_at_860_nm_is_shown(study):
    figure = KINDS["band"](material(study, "band", "svd1", figure_band=None))
    assert "band 4 (860 nm)" in figure.get_suptitle()


@pytest.mark.parametrize(("count", "columns", "lines"), [(3, 5, 1), (9, 6, 2), (16, 6, 3)])
@pytest.mark.parametrize("kind", ["band", "visual"])
def test_pictures_stand_in_lines_of_seven_at_most(study, kind, count, columns, lines):
    made = material(study, kind, "svd1")
    names = [f"a-variant-with-a-name-of-some-length-{number}" for number in range(count)]
    made.kept.clear()
    made.kept.update(dict.fromkeys(names, study["kept"]["svd1"]))
    figure = KINDS[kind](made)
    grid = figure.axes[0].get_gridspec()
    assert (grid.ncols, grid.nrows) == (columns, 2 * lines)
    assert list(titles(figure)) == ["truth", "noisy", *names]
    assert overlapping([axis.title for axis in figure.axes if axis.get_title()]) == []


def test_composites_have_gaps_too(study):
    figure = KINDS["visual"](material(study, "visual", "svd1"))
    picture = titles(figure)["truth"].images[0].get_array()
    assert picture.shape == (20, 16, 3)
    gap = np.add.outer(np.arange(20) >= 4, np.arange(16) >= 5) == 0
    assert len(np.unique(picture[gap], axis=0)) == 1
    assert (np.ptp(picture[~gap], axis=0) == 1).all(), "the valid pixels fill the range of each colour"


def test_parameters_are_those_trained_and_the_best_untrained_are_lines(study):
    figure = KINDS["parameters"](material(study, "parameters"))
    axis = figure.axes[0]
    assert axis.get_xscale() == "log"
    scores = read_scores(study["inputs"]["scores"])
    means = scores[scores.metric == "mpsnr"].groupby("variant").value.mean()
    lines = {line.get_ydata()[0] for line in axis.lines if line.get_linestyle() == "--"}
    untrained = means.drop([*TRAINED, "oracle"]).sort_values(ascending=False)
    assert len(untrained) == 4
    assert sorted(lines) == pytest.approx(sorted(untrained[:3]))
    points = {(line.get_xdata()[0], line.get_ydata()[0]) for line in axis.lines if line.get_marker() == "o"}
    assert np.allclose(sorted(points), [(TRAINED[name], means[name]) for name in TRAINED])
    texts = [text for text in axis.texts if text.get_text()]
    assert {text.get_text() for text in texts} == {*TRAINED, *untrained.index[:3]}
    assert overlapping(texts) == []


def test_of_an_error_the_smallest_is_best(study):
    figure = KINDS["parameters"](material(study, "parameters", metric="rmse"))
    scores = read_scores(study["inputs"]["scores"])
    means = scores[scores.metric == "rmse"].groupby("variant").value.mean().drop([*TRAINED, "oracle"])
    lines = sorted(line.get_ydata()[0] for line in figure.axes[0].lines if line.get_linestyle() == "--")
    assert lines == pytest.approx(sorted(means)[:3])


def test_several_seeds_have_bars(study):
    scores = read_scores(study["inputs"]["scores"])
    second = scores[scores.variant.isin(list(TRAINED))].assign(seed=1)
    second = second.assign(value=second.value + 2)
    figure = KINDS["parameters"](material(study, "parameters", scores=pd.concat([scores, second])))
    axis = figure.axes[0]
    assert "mean ± sd over seeds" in axis.get_ylabel()
    heights = [np.ptp(bar.get_segments()[0][:, 1]) for bar in axis.collections]
    assert heights == pytest.approx([2 * np.sqrt(2)] * 2)


def test_parameters_need_a_trained_variant(study):
    with pytest.raises(UserError, match=r"none of its variants is trained \(found noisy, svd1\)"):
        KINDS["parameters"](material(study, "parameters", "noisy", "svd1"))


@pytest.mark.parametrize("count", [1, 3, 9, 16, 30])
def test_names_lie_on_no_other_name_and_on_no_point(count):
    _, axis = start_figure(7.5, 4.6)
    random = np.random.default_rng(count)
    # Points in a heap, some at the very same place: as variants of one network with the same rank.
    points = [(1e6 * (1 + number % 2), 30 + random.integers(3) / 10, f"a-variant-{number}") for number in range(count)]
    for x, y, _ in points:
        axis.scatter(x, y)
    axis.set_xscale("log")
    axis.set_xlim(1e5, 1e8)
    axis.set_ylim(28, 32)
    label_points(axis, points)
    assert sorted(text.get_text() for text in axis.texts) == sorted(point[2] for point in points)
    assert overlapping(axis.texts) == []
    frame = axis.get_window_extent()
    for box in boxes_of(axis.texts):
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1
        assert frame.y0 <= box.y0 < box.y1 <= frame.y1
        for place in axis.transData.transform([point[:2] for point in points]):
            assert not box.contains(*place)


def test_a_name_alone_stands_right_of_its_point():
    _, axis = start_figure(7.5, 4.6)
    axis.set_xscale("log")
    axis.set_xlim(1, 1e4)
    axis.set_ylim(0, 1)
    label_points(axis, [(100, 0.5, "alone")])
    (box,) = boxes_of(axis.texts)
    x, y = axis.transData.transform((100, 0.5))
    assert x < box.x0 < x + 20
    assert (box.y0 + box.y1) / 2 == pytest.approx(y, abs=1.5)


def test_heights_are_spread_no_further_than_needed():
    assert spread(np.array([0.0, 5, 10]), 1) == pytest.approx([0, 5, 10])
    assert spread(np.array([1.0, 1]), 1) == pytest.approx([0.5, 1.5])
    assert spread(np.array([0.0, 0.1, 0.2, 9]), 1) == pytest.approx([-0.9, 0.1, 1.1, 9])
    found = spread(np.sort(np.random.default_rng(0).random(20)), 0.1)
    assert np.diff(found).min() >= 0.1 - 1e-12
    assert len(spread(np.zeros(0), 1)) == 0


def test_pixels_of_different_spectra_are_picked():
    cube = np.zeros((3, 10, 10))
    cube[:, :5] = np.array([1.0, 0, 0])[:, None, None]
    cube[:, 8:] = np.array([0, 0, 5.0])[:, None, None]
    valid = np.ones((10, 10), bool)
    valid[9] = False
    rows = {row for row, _ in spread_pixels(cube, valid, 3)}
    assert {(row < 5, row >= 8) for row in rows} == {(True, False), (False, True), (False, False)}
