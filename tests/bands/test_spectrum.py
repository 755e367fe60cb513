import numpy as np
import pytest

from hsipipe.bands.selection import fit_bands
from hsipipe.bands.spectrum import rgb_bands
from hsipipe.errors import UserError


def fit(wavelength_nm, good=None, **settings):
    wavelength_nm = None if wavelength_nm is None else np.asarray(wavelength_nm, float)
    good = np.ones(len(wavelength_nm) if good is None else len(good), bool) if good is None else np.asarray(good, bool)
    return fit_bands(settings, wavelength_nm=wavelength_nm, good_bands=good)


def test_all_takes_every_good_band():
    good = [True, False, True, True]
    selection = fit([400, 410, 420, 430], good, strategy="all")
    assert selection.indices.tolist() == [0, 2, 3]
    assert selection.wavelength_nm.tolist() == [400, 420, 430]
    assert selection.indices.dtype == np.int64


def test_uniform_takes_centres_of_equal_bins():
    grid = np.arange(400, 501, 5)  # bins of 20 nm: centres 410, 430, ...
    assert fit(grid, strategy="uniform", count=5).wavelength_nm.tolist() == [410, 430, 450, 470, 490]
    assert fit(grid, strategy="uniform", count=1).wavelength_nm.tolist() == [450]
    assert fit(grid, strategy="uniform", count=21).indices.tolist() == list(range(21))


def test_uniform_is_uniform_in_nm_not_in_bands():
    dense_then_sparse = np.concatenate([np.arange(400, 500, 1), np.arange(500, 601, 3)])
    chosen = fit(dense_then_sparse, strategy="uniform", count=10).wavelength_nm
    np.testing.assert_allclose(chosen, np.arange(410, 600, 20), atol=2)


def test_uniform_with_wavelengths_that_overlap_keeps_the_sensors_order():
    # Two detectors: the second begins before the first ends, as in EnMAP.
    wavelength_nm = np.array([900.0, 920, 940, 960, 980, 1000, 930, 950, 970, 990, 1010, 1030])
    selection = fit(wavelength_nm, strategy="uniform", count=4)
    assert (np.diff(selection.indices) > 0).all()
    shuffled = np.random.default_rng(0).permutation(12)
    other = fit(wavelength_nm[shuffled], strategy="uniform", count=4)
    assert sorted(other.wavelength_nm) == sorted(selection.wavelength_nm)


def test_uniform_leaves_gaps_out_of_the_bins():
    wavelength_nm = np.concatenate([np.arange(400, 500, 10), np.arange(1000, 1100, 10)])
    chosen = fit(wavelength_nm, strategy="uniform", count=4).wavelength_nm
    # 20 bands, 190 nm of spectrum without the gap: nothing at the gap's edges 490 and 1000.
    assert chosen.tolist() == [420, 470, 1020, 1070]
    by_mask = np.concatenate([np.arange(400, 500, 10), np.arange(500, 1000, 10), np.arange(1000, 1100, 10)])
    good = (by_mask < 500) | (by_mask >= 1000)
    assert fit(by_mask, good, strategy="uniform", count=4).wavelength_nm.tolist() == chosen.tolist()


def test_random_is_seeded_and_different():
    grid = np.arange(400, 800, 5)
    first, again, other = (fit(grid, strategy="random", count=12, seed=seed).indices for seed in (0, 0, 1))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    assert len(set(first.tolist())) == 12
    assert (np.diff(first) > 0).all()


def test_region_shares_the_count_evenly():
    grid = np.arange(350, 1000, 5)
    chosen = fit(grid, strategy="region", count=10).wavelength_nm
    counts = np.histogram(chosen, [300, 400, 500, 600, 700, 1000])[0]
    assert counts.tolist() == [2, 2, 2, 2, 2]
    # Bins' centres within a region: 400-495 nm in two bins.
    np.testing.assert_allclose(chosen[2:4], [425, 470], atol=5)


def test_region_gives_what_a_region_lacks_to_the_others():
    grid = np.concatenate([[495], np.arange(500, 700, 10)])  # no UV, one blue band, 10 green, 10 red, no NIR
    counts = np.histogram(fit(grid, strategy="region", count=11).wavelength_nm, [400, 500, 600, 700])[0]
    assert counts.tolist() == [1, 5, 5]
    assert len(fit(grid, strategy="region", count=21)) == 21
    with pytest.raises(UserError, match="asks for 22 bands"):
        fit(grid, strategy="region", count=22)


def test_region_per_region_and_peer_limits():
    grid = 348.3931 + 1.1332 * np.arange(408)  # the lepidoptera sensor
    chosen = fit(grid, strategy="region", per_region=10, limits="peer").wavelength_nm
    counts = np.histogram(chosen, [348, 400, 480, 550, 650, 810])[0]
    assert counts.tolist() == [10] * 5
    two = fit(grid, strategy="region", per_region=2, regions=["red", "blue"], limits={"red": [620, 640]}).wavelength_nm
    assert np.histogram(two, [400, 500, 620, 640])[0].tolist() == [2, 0, 2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 4, "regions": ["blue", "swir"]}, "no good band in the region swir"),
        ({"count": 4, "regions": ["blau"]}, "did you mean 'blue'"),
        ({"per_region": 30}, "too few bands"),
        ({}, "either count or per_region"),
        ({"count": 4, "per_region": 2}, "either count or per_region"),
        ({"count": 4, "limits": "per"}, "did you mean 'peer'"),
        ({"count": 4, "limits": {"red": [700, 600]}}, "must be .low, high. in nm"),
    ],
)
def test_region_mistakes(settings, message):
    with pytest.raises(UserError, match=message):
        fit(np.arange(400, 700, 10), strategy="region", **settings)


def test_rgb_takes_the_nearest_good_bands():
    grid = np.arange(400, 1000, 10)
    assert fit(grid, strategy="rgb").wavelength_nm.tolist() == [460, 550, 640]
    assert rgb_bands(grid) == (24, 15, 6)
    good = grid != 550
    assert rgb_bands(grid, good) in [(24, 14, 6), (24, 16, 6)]
    with pytest.raises(UserError, match="within 50 nm of 640"):
        fit(np.arange(1000, 2000, 10), strategy="rgb")
    with pytest.raises(UserError, match="fewer than three"):
        rgb_bands(np.array([500.0, 600.0]), tolerance_nm=60)


def test_list_keeps_its_order():
    grid = np.arange(400, 500, 10)
    assert fit(grid, strategy="list", bands=[7, 2, 4]).indices.tolist() == [7, 2, 4]
    assert fit(grid, strategy="list", wavelengths_nm=[482.0, 401]).indices.tolist() == [8, 0]
    good = grid != 400
    assert fit(grid, good, strategy="list", bands=[7, 2]).wavelength_nm.tolist() == [470, 420]
    assert fit(grid, good, strategy="list", wavelengths_nm=[401]).indices.tolist() == [1]
    assert fit(None, good, strategy="list", bands=[7]).wavelength_nm is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either bands or wavelengths_nm"),
        ({"bands": [0], "wavelengths_nm": [410]}, "either bands or wavelengths_nm"),
        ({"bands": [10]}, "no such band.*give 0 to 9"),
        ({"bands": [-1]}, "no such band"),
        ({"bands": [3]}, "not usable"),
        ({"bands": [1, 1]}, "one band twice"),
        ({"bands": [1.5]}, "list of numbers"),
        ({"bands": "1,2"}, "list of numbers"),
        ({"bands": []}, "list of numbers"),
        ({"wavelengths_nm": [600]}, "within 20 nm of 600 nm"),
        ({"wavelengths_nm": [411, 412]}, "one band twice"),
    ],
)
def test_list_mistakes(settings, message):
    grid = np.arange(400, 500, 10)
    with pytest.raises(UserError, match=message):
        fit(grid, grid != 430, strategy="list", **settings)


@pytest.mark.parametrize("strategy", ["uniform", "region", "rgb"])
def test_strategies_that_need_wavelengths_say_so(strategy):
    settings = {} if strategy == "rgb" else {"count": 3}
    with pytest.raises(UserError, match=f"'{strategy}' needs wavelengths"):
        fit(None, [True] * 10, strategy=strategy, **settings)
