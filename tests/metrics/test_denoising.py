import subprocess
import sys

import numpy as np
import pytest

from hsipipe.degrade.normalise import band_minmax, normalise
from hsipipe.metrics import spatial, spectral, structure
from hsipipe.metrics.denoising import BAND_METRICS, DENOISING_METRICS, score_band, score_cube
from hsipipe.metrics.registry import METRICS


@pytest.fixture
def cubes():
    random = np.random.default_rng(0)
    original = (random.random((5, 20, 24)) * np.array([10, 100, 1000, 3, 0])[:, None, None] + 40).astype(np.float32)
    low, high = band_minmax(original)
    truth = normalise(original, low, high)
    return original, truth, (truth + 0.1 * random.standard_normal(truth.shape)).astype(np.float32), low, high


def test_every_score_is_that_of_its_function(cubes):
    original, truth, prediction, low, high = cubes
    valid = np.random.default_rng(1).random(truth.shape[1:]) > 0.2
    rows = score_cube(truth, prediction, valid=valid, low=low, high=high)
    assert [(name, unit) for name, _, unit in rows] == [(name, METRICS[name].unit) for name in DENOISING_METRICS]
    scores = {name: value for name, value, _ in rows}
    for name, function in {
        "mpsnr": spatial.mpsnr,
        "psnr": spatial.psnr,
        "ssim": structure.ssim,
        "sam": spectral.sam_degrees,
        "mse": spatial.mse,
        "rmse": spatial.rmse,
        "ergas": spatial.ergas,
    }.items():
        assert scores[name] == pytest.approx(function(truth, prediction, valid)), name
    span = np.where(high > low, high - low, 1)
    physical = prediction * span[:, None, None] + low[:, None, None]
    assert scores["sam_original"] == pytest.approx(spectral.sam_degrees(original, physical, valid), rel=1e-4)
    assert all(type(value) is float for value in scores.values())


def test_without_scaling_there_is_no_original_angle(cubes):
    names = [name for name, _, _ in score_cube(cubes[1], cubes[2])]
    assert names == [name for name in DENOISING_METRICS if name != "sam_original"]


def test_truth_is_perfect_and_directions_are_right(cubes):
    _, truth, prediction, low, high = cubes
    best = {name: value for name, value, _ in score_cube(truth, truth, low=low, high=high)}
    found = {name: value for name, value, _ in score_cube(truth, prediction, low=low, high=high)}
    assert best["mse"] == best["ergas"] == 0
    assert best["ssim"] == pytest.approx(1)
    for name in DENOISING_METRICS:
        assert (best[name] > found[name]) == METRICS[name].higher_is_better, name


def test_an_image_without_valid_pixels_has_no_scores(cubes):
    rows = score_cube(cubes[1], cubes[2], valid=np.zeros(cubes[1].shape[1:], bool))
    assert all(np.isnan(value) for _, value, _ in rows)


def test_scoring_needs_no_torch_and_no_skimage():
    code = "import sys, hsipipe.metrics.denoising; print({'torch', 'skimage'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_one_band_is_scored_by_itself():
    truth = np.zeros((4, 5), np.float32)
    prediction = np.full((4, 5), 0.1, np.float32)
    prediction[0, 0] = 9
    valid = np.ones((4, 5), bool)
    valid[0, 0] = False
    rows = score_band(truth, prediction, valid=valid)
    # An error of 0.1 everywhere: MSE 0.01, PSNR 10 log10(1 / 0.01).
    assert [(name, unit) for name, _, unit in rows] == [("band_psnr", "dB"), ("band_mse", "")]
    assert [value for _, value, _ in rows] == pytest.approx([20, 0.01], rel=1e-6)
    assert [METRICS[name].higher_is_better for name in BAND_METRICS] == [True, False]
    assert all(type(value) is float for _, value, _ in rows)


def test_the_bands_scores_are_parts_of_the_cubes(cubes):
    _, truth, prediction, _, _ = cubes
    bands = [dict(row[:2] for row in score_band(*pair)) for pair in zip(truth, prediction, strict=True)]
    whole = {name: value for name, value, _ in score_cube(truth, prediction)}
    assert np.mean([band["band_psnr"] for band in bands]) == pytest.approx(whole["mpsnr"])
    assert np.mean([band["band_mse"] for band in bands]) == pytest.approx(whole["mse"])


def test_a_band_without_valid_pixels_has_no_scores(cubes):
    rows = score_band(cubes[1][0], cubes[2][0], valid=np.zeros(cubes[1].shape[1:], bool))
    assert all(np.isnan(value) for _, value, _ in rows)


def test_a_band_and_a_cube_do_not_fit(cubes):
    with pytest.raises(ValueError, match="one shape"):
        score_band(cubes[1][0], cubes[2][0, :-1])
