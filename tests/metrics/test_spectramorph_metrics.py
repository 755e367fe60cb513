import numpy as np
import pytest

from hsipipe.metrics.registry import METRICS
from hsipipe.metrics.spatial import PSNR_CEILING_DB
from hsipipe.metrics.spectramorph import SPECTRAMORPH_METRICS, score_as_published


def waves(bands, rows, cols):
    band, row, col = np.mgrid[:bands, :rows, :cols].astype(np.float64)
    truth = 0.5 + 0.3 * np.sin(row / 3 + band) * np.cos(col / 4 - band / 2) + 0.02 * band
    prediction = truth + 0.05 * np.sin(1.7 * row + 2.3 * col + band)
    return truth.astype(np.float32), prediction.astype(np.float32)


def with_holes():
    """Windows of zeros in one image or both, negative values and values above 1."""
    truth, prediction = waves(7, 70, 33)
    truth[:, 20:50] = 0
    prediction[:, 25:60] = 0
    prediction[:, :9] *= -1
    prediction[2] *= 3
    return truth, prediction


def scores_of(truth, prediction, ratio=4):
    rows = score_as_published(truth, prediction, ratio=ratio)
    assert [(name, unit) for name, _, unit in rows] == [(name, METRICS[name].unit) for name in SPECTRAMORPH_METRICS]
    assert all(type(value) is float for _, value, _ in rows)
    return {name.removeprefix("spectramorph_"): value for name, value, _ in rows}


# The values that the functions of sewar 0.4.6, on which the paper relies, give for these arrays as (rows, cols, bands):
# rmse, uqi and ergas of the float32 arrays, psnr and ssim of clip(255 x, 0, 255) as uint8. SAM by the paper's formula
# in float32 on arrays of that layout.
KNOWN = {
    "waves": {
        "rmse": 0.03535550281265386,
        "psnr": 29.022359300606855,
        "ssim": 0.9677784458766171,
        "uiqi": 0.9977737446168599,
        "ergas": 1.6594160870471746,
        "sam": 3.5585763454437256,
    },
    "with holes": {
        "rmse": 0.6261202473233841,
        "psnr": 8.758702978477162,
        "ssim": 0.35346337818476,
        "uiqi": 0.5546290425671226,
        "ergas": 49.57112521157919,
        "sam": 79.12496948242188,
    },
    "one window": {
        "rmse": 0.0353537198985697,
        "psnr": 29.033919910570354,
        "ssim": 0.9703563174578438,
        "uiqi": 0.9977992247126483,
        "ergas": 1.7169007512944225,
        "sam": 2.744985818862915,
    },
}
PAIRS = {"waves": waves(5, 24, 20), "with holes": with_holes(), "one window": waves(3, 12, 11)}


@pytest.mark.parametrize("name", KNOWN)
def test_values_of_the_papers_library(name):
    assert scores_of(*PAIRS[name]) == pytest.approx(KNOWN[name], rel=1e-6)


def test_values_are_truncated_to_8_bits():
    truth = np.full((1, 11, 11), 0.5, np.float32)  # 127.5: 127
    scores = scores_of(truth, truth + 0.99 / 255)  # 128.49: 128
    assert scores["psnr"] == pytest.approx(20 * np.log10(255))
    assert scores["ssim"] == pytest.approx((2 * 127 * 128 + 2.55**2) / (127**2 + 128**2 + 2.55**2))
    beyond = np.full((1, 11, 11), 1.7, np.float32)
    assert scores_of(beyond, beyond + 1)["psnr"] == PSNR_CEILING_DB  # both are 255
    assert scores_of(beyond, beyond + 1)["rmse"] == pytest.approx(1)


def test_uiqi_sees_energy_rather_than_structure():
    """What makes it unfit as evidence: noise of the same mean and variance scores near 1, the true index near 0."""
    truth, prediction = 0.5 + 0.1 * np.random.default_rng(0).standard_normal((2, 1, 32, 32)).astype(np.float32)
    assert scores_of(truth, prediction)["uiqi"] > 0.9
    x, y = (cube[0, :8, :8].astype(float) for cube in (truth, prediction))
    covariance = np.cov(x.ravel(), y.ravel())
    assert abs(2 * covariance[0, 1] / np.trace(covariance)) < 0.5
    # One window alone: its terms by hand.
    mean = np.mean
    cross, power = mean(x) * mean(y), mean(x) ** 2 + mean(y) ** 2
    by_hand = 4 * (64 * mean(x * y) - cross) * cross / ((64 * (mean(x * x) + mean(y * y)) - power) * power)
    assert scores_of(truth[:, :9, :9], prediction[:, :9, :9])["uiqi"] == pytest.approx(by_hand, rel=1e-6)


def test_ergas_has_one_factor_for_all_ratios():
    truth = np.full((2, 12, 12), 0.5, np.float32)
    prediction = truth + np.array([0.1, 0], np.float32)[:, None, None]
    for ratio in (2, 4, 32):
        assert scores_of(truth, prediction, ratio)["ergas"] == pytest.approx(25 * 0.2 / np.sqrt(2), rel=1e-5)


def test_zeros_are_at_right_angles_to_everything():
    truth, prediction = waves(4, 12, 12)
    prediction[:, :6] = 0
    half = scores_of(truth[:, 6:], prediction[:, 6:])["sam"]
    assert scores_of(truth, prediction)["sam"] == pytest.approx((90 + half) / 2, rel=1e-5)


def test_a_band_of_mean_zero_is_told(caplog):
    truth, prediction = waves(3, 12, 12)
    truth[1] = 0
    scores = scores_of(truth, prediction)
    assert scores["ergas"] == np.inf
    assert all(np.isfinite(value) for name, value in scores.items() if name != "ergas")
    assert "a band has the mean 0" in caplog.text


def test_what_has_no_scores_is_nan(caplog):
    truth, prediction = waves(3, 12, 12)
    small = scores_of(truth[:, :8], prediction[:, :8])
    assert {name for name, value in small.items() if np.isnan(value)} == {"ssim", "uiqi"}
    prediction[0, 3, 3] = np.nan
    assert all(np.isnan(value) for value in scores_of(truth, prediction).values())
    assert "not finite" in caplog.text
    with pytest.raises(ValueError, match="one shape"):
        score_as_published(truth, prediction[:, 1:], ratio=4)


def test_float64_and_strided_cubes_score_alike():
    truth, prediction = waves(4, 20, 18)
    expected = scores_of(truth, prediction)
    assert scores_of(truth.astype(np.float64), prediction.astype(np.float64)) == expected
    strided = [np.moveaxis(np.ascontiguousarray(np.moveaxis(cube, 0, -1)), -1, 0) for cube in (truth, prediction)]
    assert scores_of(*strided) == expected
