import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from hsipipe.metrics import spatial


@pytest.fixture
def pair():
    random = np.random.default_rng(0)
    truth = random.random((6, 20, 24)).astype(np.float32)
    noise = random.standard_normal(truth.shape) * np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.3])[:, None, None]
    return truth, (truth + noise).astype(np.float32)


def test_known_values():
    truth = np.zeros((2, 3, 3), np.float32)
    prediction = truth.copy()
    prediction[0] = 0.1
    prediction[1] = 0.01
    np.testing.assert_allclose(spatial.band_mse(truth, prediction), [1e-2, 1e-4], rtol=1e-6)
    assert spatial.mse(truth, prediction) == pytest.approx(0.00505)
    assert spatial.rmse(truth, prediction) == pytest.approx(0.00505**0.5)
    assert spatial.mpsnr(truth, prediction) == pytest.approx(30)  # (20 + 40) / 2
    assert spatial.psnr(truth, prediction) == pytest.approx(-10 * np.log10(0.00505))
    assert spatial.psnr(truth, prediction, data_range=10) == pytest.approx(20 - 10 * np.log10(0.00505))


def test_psnr_against_skimage(pair):
    truth, prediction = pair
    assert spatial.psnr(truth, prediction) == pytest.approx(
        peak_signal_noise_ratio(truth, prediction, data_range=1), abs=1e-4
    )
    bands = [peak_signal_noise_ratio(a, b, data_range=1) for a, b in zip(truth, prediction, strict=True)]
    assert spatial.mpsnr(truth, prediction) == pytest.approx(np.mean(bands), abs=1e-4)
    assert spatial.mpsnr(truth, prediction) > spatial.psnr(truth, prediction)


def test_exact_bands_stay_finite(pair):
    truth, prediction = pair
    assert spatial.psnr(truth, truth) == spatial.PSNR_CEILING_DB
    prediction[0] = truth[0]
    rest = spatial.mpsnr(truth[1:], prediction[1:])
    assert spatial.mpsnr(truth, prediction) == pytest.approx((5 * rest + spatial.PSNR_CEILING_DB) / 6)


def test_ergas_against_its_formula(pair):
    truth, prediction = pair
    relative = [np.mean((a - b) ** 2) / np.mean(a) ** 2 for a, b in zip(truth, prediction, strict=True)]
    assert spatial.ergas(truth, prediction) == pytest.approx(100 * np.sqrt(np.mean(relative)), rel=1e-5)
    assert spatial.ergas(truth, prediction, ratio=4) == pytest.approx(25 * np.sqrt(np.mean(relative)), rel=1e-5)
    truth[0] = 0
    assert spatial.ergas(truth, prediction) == pytest.approx(100 * np.sqrt(np.mean(relative[1:])), rel=1e-5)
    assert np.isnan(spatial.ergas(0 * truth, prediction))


@pytest.mark.parametrize("metric", [spatial.mse, spatial.rmse, spatial.psnr, spatial.mpsnr, spatial.ergas])
def test_only_valid_pixels_count(pair, metric):
    truth, prediction = pair
    valid = np.ones(truth.shape[1:], bool)
    valid[:, 7:] = False
    expected = metric(truth[:, :, :7], prediction[:, :, :7])
    truth[:, ~valid], prediction[:, ~valid] = np.nan, 1e9
    assert metric(truth, prediction, valid) == pytest.approx(expected, rel=1e-6)
    assert np.isnan(metric(truth, prediction, np.zeros_like(valid)))
    assert np.isnan(metric(truth, prediction))


def test_peer_psnr_depends_on_the_batch():
    errors = [0.1] * 8 + [0.001] * 2
    assert spatial.peer_psnr(errors) == pytest.approx((10 + 30) / 2)
    assert spatial.peer_psnr(errors, batch=1) == pytest.approx((8 * 10 + 2 * 30) / 10)
    assert spatial.peer_psnr(errors, batch=10) == pytest.approx(-10 * np.log10(0.0802))
    with pytest.raises(ValueError, match="one MSE per item"):
        spatial.peer_psnr([])


def test_shapes_are_checked(pair):
    truth, prediction = pair
    with pytest.raises(ValueError, match="one shape"):
        spatial.mse(truth, prediction[:, 1:])
    with pytest.raises(ValueError, match="one shape"):
        spatial.mse(truth[0], prediction[0])
    with pytest.raises(ValueError, match="does not fit"):
        spatial.mse(truth, prediction, np.ones((2, 2), bool))
