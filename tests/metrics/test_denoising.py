import subprocess
import sys

import numpy as np
import pytest

from hsipipe.degrade.normalise import band_minmax, normalise
from hsipipe.metrics import spatial, spectral, structure
from hsipipe.metrics.denoising import DENOISING_METRICS, score_cube
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
