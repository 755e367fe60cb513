import logging
import subprocess
import sys

import numpy as np
import pytest

from hsipipe.metrics import spatial, spectral, structure
from hsipipe.metrics.fusion import FUSION_METRICS, score_fusion
from hsipipe.metrics.registry import METRICS


@pytest.fixture
def pair():
    random = np.random.default_rng(0)
    truth = random.random((5, 30, 26)).astype(np.float32) * np.linspace(0.3, 1, 5, dtype=np.float32)[:, None, None]
    return truth, (truth + 0.05 * random.standard_normal(truth.shape)).astype(np.float32)


def scores_of(truth, prediction, *, ratio=4, border=4, valid=None):
    rows = score_fusion(truth, prediction, ratio=ratio, border=border, valid=valid)
    assert [(name, unit) for name, _, unit in rows] == [(name, METRICS[name].unit) for name in FUSION_METRICS]
    assert all(type(value) is float for _, value, _ in rows)
    return {name: value for name, value, _ in rows}


@pytest.mark.parametrize("masked", [False, True])
def test_every_score_is_that_of_its_function(pair, masked):
    truth, prediction = pair
    valid = np.random.default_rng(1).random(truth.shape[1:]) > 0.02 if masked else None
    inside = (slice(None), slice(3, -3), slice(3, -3))
    inner = (truth[inside], prediction[inside], None if valid is None else valid[inside[1:]])
    expected = {
        "psnr": spatial.psnr(truth, prediction, valid),
        "mpsnr": spatial.mpsnr(truth, prediction, valid),
        "rmse": spatial.rmse(truth, prediction, valid),
        "ergas": spatial.ergas(truth, prediction, valid, ratio=8),
        "sam": spectral.sam_degrees(truth, prediction, valid),
        "ssim": structure.ssim(truth, prediction, valid),
        "uqi": structure.uqi(truth, prediction, valid),
        "inner_psnr": spatial.psnr(*inner),
        "inner_mpsnr": spatial.mpsnr(*inner),
        "inner_sam": spectral.sam_degrees(*inner),
    }
    assert scores_of(truth, prediction, ratio=8, border=3, valid=valid) == pytest.approx(expected)
    if masked:
        truth[:, ~valid], prediction[:, ~valid] = np.nan, 1e20
        assert scores_of(truth, prediction, ratio=8, border=3, valid=valid) == pytest.approx(expected, rel=1e-5)


def test_known_values():
    truth = np.stack([np.full((12, 12), 0.5), np.ones((12, 12))])
    prediction = truth + np.array([0.1, 0.01])[:, None, None]
    scores = scores_of(truth, prediction, ratio=2, border=1)
    assert scores["psnr"] == scores["inner_psnr"] == pytest.approx(-10 * np.log10(0.00505))
    assert scores["mpsnr"] == pytest.approx((20 + 40) / 2)
    assert scores["rmse"] == pytest.approx(0.00505**0.5)
    assert scores["ergas"] == pytest.approx(50 * np.sqrt((0.2**2 + 0.01**2) / 2))
    angle = np.degrees(np.arctan2(1, 0.5) - np.arctan2(1.01, 0.6))
    assert [scores["sam"], scores["inner_sam"]] == pytest.approx([angle, angle])
    # Constant blocks: nothing but the means is compared.
    luminance = [2 * a * b / (a * a + b * b) for a, b in ((0.5, 0.6), (1, 1.01))]
    assert scores["uqi"] == pytest.approx(np.mean(luminance))


def test_errors_at_the_border_are_not_inner_errors(pair):
    truth, _ = pair
    prediction = truth.copy()
    prediction[:, :4] += 1
    prediction[:, :, -4:] *= -1
    scores = scores_of(truth, prediction)
    assert scores["inner_psnr"] == scores["inner_mpsnr"] == spatial.PSNR_CEILING_DB
    assert scores["inner_sam"] == pytest.approx(0, abs=1e-5)
    assert scores["psnr"] < 10
    assert scores_of(truth, prediction, border=3)["inner_psnr"] < 20
    no_border = scores_of(truth, prediction, border=0)
    assert no_border["inner_sam"] == pytest.approx(no_border["sam"])


def test_truth_is_perfect_and_directions_are_right(pair, caplog):
    best, found = scores_of(pair[0], pair[0]), scores_of(*pair)
    assert best["ssim"] == pytest.approx(1)
    assert best["uqi"] == pytest.approx(1)
    assert best["ergas"] == best["rmse"] == 0
    for name in FUSION_METRICS:
        assert (best[name] > found[name]) == METRICS[name].higher_is_better, name
    assert not caplog.records


def test_what_is_not_defined_is_nan_and_told(pair, caplog):
    scores = scores_of(*pair, border=13)
    assert {name for name, value in scores.items() if np.isnan(value)} == {"inner_psnr", "inner_mpsnr", "inner_sam"}
    assert "not defined for this image: inner_psnr, inner_mpsnr, inner_sam" in caplog.text
    caplog.clear()
    small = scores_of(*(cube[:, :5, :5] for cube in pair), border=1)
    assert [name for name, value in small.items() if np.isnan(value)] == ["uqi"]
    assert "not defined for this image: uqi" in caplog.text
    pair[1][2, 10, 10] = np.nan
    assert all(np.isnan(value) for value in scores_of(*pair).values())
    pair[1][2, 10, 10] = 0
    assert all(np.isnan(value) for value in scores_of(*pair, valid=np.zeros((30, 26), bool)).values())


def test_dead_and_constant_bands_leave_scores_finite(pair, caplog):
    truth, prediction = pair
    rest = spatial.ergas(truth[2:], prediction[2:], ratio=4)
    truth[0] = 0
    prediction[0] = 0.01
    truth[1] = prediction[1] = 0.4
    scores = scores_of(truth, prediction)
    assert all(np.isfinite(value) for value in scores.values())
    assert scores["ergas"] == pytest.approx(rest * np.sqrt(3 / 4))  # of four bands, one is exact
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "leaves out 1 of 5 bands" in caplog.text


def test_a_band_that_dominates_ergas_is_told(caplog):
    random = np.random.default_rng(0)
    truth = 0.5 + 0.1 * random.random((12, 16, 16))
    truth[7] = 5e-5
    scores = scores_of(truth, truth + 0.01)
    assert scores["ergas"] > 100
    assert "band 7, whose true mean is 5e-05, makes 100 % of ERGAS squared" in caplog.text


def test_what_cannot_be_scored_is_refused(pair):
    with pytest.raises(ValueError, match="one shape"):
        score_fusion(pair[0], pair[1][:, 1:], ratio=4, border=0)
    with pytest.raises(ValueError, match="ratio 0"):
        score_fusion(*pair, ratio=0, border=0)
    with pytest.raises(ValueError, match="border -1"):
        score_fusion(*pair, ratio=4, border=-1)


def test_scoring_needs_no_torch():
    modules = "hsipipe.metrics.fusion, hsipipe.metrics.spectramorph, hsipipe.metrics.no_reference"
    code = f"import sys, {modules}; print({{'torch', 'skimage', 'sklearn'}} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
