import numpy as np
import pytest
import torch

from hsipipe.degrade.normalise import band_minmax, denormalise, normalise


@pytest.fixture
def cube():
    values = np.random.default_rng(0).normal(100, 20, (4, 9, 11)).astype(np.float32)
    values[2] = 7
    return values


def test_extremes_and_back(cube):
    low, high = band_minmax(cube)
    np.testing.assert_array_equal(low, cube.reshape(4, -1).min(1))
    np.testing.assert_array_equal(high, cube.reshape(4, -1).max(1))
    scaled = normalise(cube, low, high)
    assert scaled.dtype == np.float32
    assert scaled[[0, 1, 3]].min() == 0
    assert scaled.max() == 1
    assert (scaled[2] == 0).all()
    np.testing.assert_allclose(denormalise(scaled, low, high), cube, rtol=1e-6)


@pytest.mark.parametrize("percentiles", [(0, 100), (2, 98), (0.1, 99.9)])
@pytest.mark.parametrize("masked", [False, True])
def test_torch_and_numpy_agree_with_numpy_percentile(cube, percentiles, masked):
    valid = np.random.default_rng(1).random((9, 11)) > 0.3 if masked else None
    cube[1, 0, 0] = np.nan
    pixels = cube[:, valid] if masked else cube.reshape(4, -1)
    expected = np.array([np.percentile(band[np.isfinite(band)], percentiles) for band in pixels])
    found = band_minmax(cube, valid, percentiles)
    np.testing.assert_allclose(np.stack(found, 1), expected, rtol=1e-6)
    tensors = band_minmax(torch.from_numpy(cube), None if valid is None else torch.from_numpy(valid), percentiles)
    np.testing.assert_allclose(torch.stack(tensors, 1).numpy(), expected, rtol=1e-6)


def test_batches(cube):
    batch = np.stack([cube, 2 * cube])
    low, high = band_minmax(batch)
    assert low.shape == (2, 4)
    tensor = torch.from_numpy(batch)
    scaled = normalise(tensor, *band_minmax(tensor))
    np.testing.assert_allclose(scaled.numpy(), normalise(batch, low, high), atol=1e-6)


def test_no_valid_pixel_and_integers(cube):
    low, high = band_minmax(cube, np.zeros((9, 11), bool))
    assert (low == 0).all()
    assert (high == 0).all()
    low, _ = band_minmax(cube.astype(np.int16))
    assert low.dtype == np.float32
    for library in (cube, torch.from_numpy(cube)):
        with pytest.raises(ValueError, match="percentiles"):
            band_minmax(library, None, (50, 50))
