import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from hsipipe.metrics.structure import ssim, uqi


@pytest.fixture
def pair():
    random = np.random.default_rng(0)
    truth = gaussian_filter(random.random((5, 40, 33)), (0, 2, 2)) * np.linspace(0.5, 4, 5)[:, None, None]
    return truth.astype(np.float32), (truth + 0.05 * random.standard_normal(truth.shape)).astype(np.float32)


def reference(truth, prediction, data_range=1.0):
    return np.mean(
        [
            structural_similarity(
                a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=data_range
            )
            for a, b in zip(truth.astype(float), prediction.astype(float), strict=True)
        ]
    )


def test_ssim_against_skimage(pair):
    assert ssim(*pair) == pytest.approx(reference(*pair), abs=1e-5)
    assert ssim(*pair, data_range=3.0) == pytest.approx(reference(*pair, data_range=3.0), abs=1e-5)
    bright = [image + 1000 for image in pair]  # far from zero, float32 must still do
    assert ssim(*bright) == pytest.approx(reference(*bright), abs=1e-3)


def test_ssim_of_equal_images_is_one(pair):
    assert ssim(pair[0], pair[0]) == pytest.approx(1)
    constant = np.full((2, 16, 16), 0.3, np.float32)
    assert ssim(constant, constant) == pytest.approx(1)
    # Constants 0.2 and 0.6: structure 1, luminance by hand.
    assert ssim(0 * constant + 0.2, 0 * constant + 0.6) == pytest.approx((2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4))


def test_ssim_mask_ignores_what_is_not_valid(pair):
    truth, prediction = pair
    valid = np.ones(truth.shape[1:], bool)
    valid[:, 20:] = False
    valid[3, 3] = False
    expected = ssim(truth, prediction, valid)
    truth[:, ~valid], prediction[:, ~valid] = np.nan, -50
    assert ssim(truth, prediction, valid) == pytest.approx(expected, rel=1e-5)
    assert np.isnan(ssim(truth, prediction, np.zeros_like(valid)))


def test_ssim_mask_against_direct_weighted_statistics(pair):
    truth, prediction = (image[:1].astype(float) for image in pair)
    valid = np.random.default_rng(1).random(truth.shape[1:]) > 0.3
    grid = np.arange(-5, 6)
    window = np.exp(-(grid[:, None] ** 2 + grid**2) / (2 * 1.5**2))
    values = []
    for row in range(5, truth.shape[1] - 5):
        for col in range(5, truth.shape[2] - 5):
            if not valid[row, col]:
                continue
            block = (slice(row - 5, row + 6), slice(col - 5, col + 6))
            x, y, weight = truth[0][block], prediction[0][block], window * valid[block]
            mean = lambda value, weight=weight: (weight * value).sum() / weight.sum()  # noqa: E731
            m, n = mean(x), mean(y)
            covariance, spread = mean((x - m) * (y - n)), mean((x - m) ** 2) + mean((y - n) ** 2)
            values.append((2 * m * n + 1e-4) * (2 * covariance + 9e-4) / ((m * m + n * n + 1e-4) * (spread + 9e-4)))
    assert ssim(*(image.astype(np.float32) for image in (truth, prediction)), valid) == pytest.approx(
        np.mean(values), abs=1e-5
    )


def test_small_images_are_reflected():
    truth = np.random.default_rng(0).random((2, 7, 30)).astype(np.float32)
    assert ssim(truth, truth) == pytest.approx(1)
    assert ssim(truth, 1 - truth) < 0


def test_uqi_against_its_formula(pair):
    truth, prediction = (image.astype(float) for image in pair)
    values = []
    for a, b in zip(truth, prediction, strict=True):
        for row in range(a.shape[0] - 7):
            for col in range(a.shape[1] - 7):
                x, y = a[row : row + 8, col : col + 8], b[row : row + 8, col : col + 8]
                covariance = np.cov(x.ravel(), y.ravel(), bias=True)
                values.append(
                    4
                    * covariance[0, 1]
                    * x.mean()
                    * y.mean()
                    / (np.trace(covariance) * (x.mean() ** 2 + y.mean() ** 2))
                )
    assert uqi(*pair) == pytest.approx(np.mean(values), abs=1e-5)


def test_uqi_special_cases(pair):
    constant = np.ones((1, 10, 10))
    assert uqi(constant, constant) == 1
    assert uqi(0 * constant, 0 * constant) == 1
    assert uqi(constant, 3 * constant) == pytest.approx(2 * 3 / (1 + 9))
    assert uqi(pair[0], pair[0]) == pytest.approx(1)
    valid = np.ones(pair[0].shape[1:], bool)
    valid[:, 20:] = False
    assert uqi(*pair, valid) == pytest.approx(uqi(*(image[:, :, :20] for image in pair)), abs=1e-9)
    assert np.isnan(uqi(*pair, ~valid & False))
    with pytest.raises(ValueError, match="no 8 x 8 block"):
        uqi(constant[:, :5], constant[:, :5])
