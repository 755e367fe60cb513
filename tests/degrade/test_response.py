import logging

import numpy as np
import pytest
from scipy.io import savemat

from hsipipe.degrade.response import coverage, make_srf, sensors
from hsipipe.degrade.spacing import band_cells
from hsipipe.errors import UserError

EVEN = np.linspace(380.0, 2500.0, 425)  # 5 nm apart


@pytest.mark.parametrize(
    ("count", "name"), [(1, "ikonos-pan"), (3, "ikonos-rgb"), (4, "ikonos"), (8, "worldview-2"), (16, "worldview-3")]
)
def test_sensors_by_number_and_name(count, name):
    response = make_srf(count, wavelength_nm=EVEN, bands=425)
    assert response.name == name
    assert response.matrix.shape == (count, 425)
    assert np.allclose(response.matrix.sum(axis=1), 1.0)
    assert np.array_equal(response.matrix, make_srf(name, wavelength_nm=EVEN, bands=425).matrix)
    assert np.array_equal(response.matrix, make_srf(str(count), wavelength_nm=EVEN, bands=425).matrix)
    wide = np.arange(-1000.0, 4001.0, 5.0)
    assert np.allclose(make_srf(count, wavelength_nm=wide, bands=1001).matrix @ wide, response.centres_nm, atol=0.2)
    assert (response.lower_nm < response.centres_nm).all()
    assert (response.centres_nm < response.upper_nm).all()


def test_edges_are_half_power_points_by_default():
    response = make_srf("ikonos", wavelength_nm=np.arange(400.0, 1000.0), bands=600)
    blue = response.matrix[0] / response.matrix[0].max()
    assert blue[480 - 59 - 400] == pytest.approx(0.5, abs=0.001)  # 59 nm: half of 539 - 421
    assert blue[480 + 59 - 400] == pytest.approx(0.5, abs=0.001)
    narrow = make_srf("ikonos", wavelength_nm=np.arange(400.0, 1000.0), bands=600, fwhm_factor=4.2).matrix[0]
    assert narrow[480 + 59 - 400] / narrow.max() == pytest.approx(np.exp(-0.5 * 2.1**2), rel=1e-6)


def test_stretched_axis_is_the_papers():
    """SpectraMorph: bands evenly between the lowest and highest edge, exp(-((l - c) / std)^2 / 2), rows over sums."""
    response = make_srf(4, wavelength_nm=EVEN, bands=425, axis="stretched", fwhm_factor=4.2)
    axis = np.linspace(421.0, 893.0, 425)
    for row, (centre, lower, upper) in zip(response.matrix, sensors()["ikonos"], strict=True):
        expected = np.exp(-0.5 * ((axis - centre) / ((upper - lower) / 4.2)) ** 2)
        assert np.allclose(row, expected / expected.sum())
    without = make_srf(4, wavelength_nm=None, bands=425, axis="stretched", fwhm_factor=4.2)
    assert np.array_equal(without.matrix, response.matrix)


def test_centres_and_fwhm():
    spec = {"centres_nm": [500, 700], "fwhm_nm": [20, 40], "name": "mine"}
    response = make_srf(spec, wavelength_nm=EVEN, bands=425)
    assert response.name == "mine"
    assert response.lower_nm.tolist() == [490, 680]
    sigma = 20 / 2.3548
    expected = np.exp(-0.5 * ((EVEN - 500) / sigma) ** 2)
    assert np.allclose(response.matrix[0], expected / expected.sum())
    one_width = make_srf({"centres_nm": [500, 700], "fwhm_nm": 20}, wavelength_nm=EVEN, bands=425)
    assert np.allclose(one_width.matrix[0], response.matrix[0])


def test_unequal_and_unsorted_bands_are_weighted_by_their_spacing():
    """A sum over bands that are dense on one side must not lean to that side."""
    unequal = np.concatenate([np.arange(400.0, 550.0, 2.0), np.arange(550.0, 701.0, 6.0)])
    spec = {"centres_nm": [550], "fwhm_nm": [60]}
    response = make_srf(spec, wavelength_nm=unequal, bands=len(unequal))
    assert response.matrix[0] @ unequal == pytest.approx(550.0, abs=0.5)
    plain = np.exp(-0.5 * ((unequal - 550) / (60 / 2.3548)) ** 2)
    assert abs((plain @ unequal) / plain.sum() - 550.0) > 5
    shuffle = np.random.default_rng(0).permutation(len(unequal))
    turned = make_srf(spec, wavelength_nm=unequal[shuffle], bands=len(unequal))
    assert np.allclose(turned.matrix[0], response.matrix[0][shuffle])


def test_overlapping_spectrometers_count_once():
    """EnMAP-like: the SWIR starts below the last VNIR bands; a flat spectrum of two levels keeps its mean."""
    vnir, swir = np.arange(800.0, 1001.0, 5.0), np.arange(902.5, 1200.0, 5.0)
    both = np.concatenate([vnir, swir])
    lower, upper = band_cells(both)
    assert (upper - lower).sum() == pytest.approx(both.max() - both.min() + 5.0, abs=1e-9)
    response = make_srf({"centres_nm": [1000], "fwhm_nm": [150]}, wavelength_nm=both, bands=len(both))
    assert response.matrix[0] @ both == pytest.approx(1000.0, abs=1.0)


def test_a_hole_is_no_wide_band():
    holed = np.concatenate([np.arange(1000.0, 1341.0, 10.0), np.arange(1450.0, 1701.0, 10.0)])
    lower, upper = band_cells(holed)
    assert np.allclose(upper - lower, 10.0)
    assert band_cells(np.array([500.0])) == (np.array([499.5]), np.array([500.5]))


def test_measured_curves(tmp_path):
    wavelength_nm = np.arange(400.0, 905.0, 5.0)
    triangle = np.clip(1 - np.abs(wavelength_nm - 550) / 50, 0, None)
    table = np.stack([wavelength_nm, triangle, np.roll(triangle, 40)], axis=1)
    np.savetxt(tmp_path / "nm.csv", table, delimiter=";", header="wavelength_nm;green;far", comments="")
    savemat(tmp_path / "um.mat", {"curves": table * [0.001, 7.0, 3.0]})
    np.save(tmp_path / "falling.npy", table[::-1])
    hsi = np.arange(410.0, 901.0, 10.0)
    for name in ("nm.csv", "um.mat", "falling.npy"):
        response = make_srf(str(tmp_path / name), wavelength_nm=hsi, bands=len(hsi))
        assert response.matrix.shape == (2, 50)
        expected = np.clip(1 - np.abs(hsi - 550) / 50, 0, None)
        assert np.allclose(response.matrix[0], expected / expected.sum())
        assert np.allclose(response.centres_nm, [550, 750])
        assert np.allclose([response.lower_nm[0], response.upper_nm[0]], [525, 575])
    # As many samples as the HSI has bands: still curves, not a matrix.
    response = make_srf(str(tmp_path / "nm.csv"), wavelength_nm=np.linspace(450, 850, 101), bands=101)
    assert response.matrix.shape == (2, 101)


def test_ready_matrices(tmp_path):
    matrix = np.random.default_rng(0).random((3, 20))
    np.save(tmp_path / "m.npy", matrix)
    np.save(tmp_path / "turned.npy", matrix.T)
    expected = matrix / matrix.sum(axis=1, keepdims=True)
    for name in ("m.npy", "turned.npy"):
        response = make_srf({"file": tmp_path / name}, wavelength_nm=None, bands=20)
        assert np.allclose(response.matrix, expected)
        assert response.centres_nm is None
    wavelength_nm = np.linspace(400, 800, 20)
    response = make_srf(matrix, wavelength_nm=wavelength_nm, bands=20)
    assert np.allclose(response.centres_nm, expected @ wavelength_nm)
    good = np.arange(20) != 5
    dropped = make_srf(matrix, wavelength_nm=wavelength_nm, bands=20, good_bands=good)
    assert np.allclose(dropped.matrix, matrix[:, good] / matrix[:, good].sum(axis=1, keepdims=True))
    assert np.allclose(make_srf(matrix[:, good], wavelength_nm=None, bands=20, good_bands=good).matrix, dropped.matrix)


def test_coverage(caplog):
    wavelength_nm = np.linspace(430.0, 860.0, 44)  # 10 nm apart: cells from 425 to 865
    with caplog.at_level(logging.WARNING):
        response = make_srf("ikonos", wavelength_nm=wavelength_nm, bands=44)
    assert "MSI band 4 (713 to 893 nm) is covered by the HSI's bands to 84% only" in caplog.text
    found = coverage(response, wavelength_nm)
    assert found.partly_covered == pytest.approx({0: (539 - 425) / 118, 3: (865 - 713) / 180})
    assert found.unseen_bands == []
    assert len(found.lines()) == 2
    wide = coverage(make_srf("ikonos-rgb", wavelength_nm=EVEN, bands=425), EVEN)
    assert wide.partly_covered == {}
    assert 424 in wide.unseen_bands
    assert wide.lines() == wide.unseen_lines()
    assert "HSI bands are seen by no MSI band" in wide.lines()[0]
    assert wide.lines()[0].endswith("to 2500 nm")
    unknown_axis = coverage(make_srf(np.eye(2, 8), wavelength_nm=None, bands=8), None)
    assert unknown_axis.lines() == ["6 of 8 HSI bands are seen by no MSI band: bands 3 to 8"]


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("worldview2", {}, "did you mean 'worldview-2'"),
        (5, {}, "unknown spectral response '5'"),
        (4, {"wavelength_nm": None}, "needs the wavelengths.*stretched"),
        (4, {"axis": "fake"}, "unknown axis"),
        (4, {"fwhm_factor": 0}, "positive"),
        (4, {"wavelength_nm": EVEN[:7]}, "7 wavelengths for 425 bands"),
        ({"centres_nm": [300], "fwhm_nm": [20]}, {}, r"MSI band 1 \(290 to 310 nm\) lies outside .*378 to 2502 nm"),
        ({"centres_nm": [502.5], "fwhm_nm": [0.01]}, {}, "no HSI band falls within MSI band 1"),
        ({"centres_nm": [500], "fwhm_nm": [-1]}, {}, "positive"),
        ({"centres_nm": [500, 600], "fwhm_nm": [1, 2, 3]}, {}, "as many numbers"),
        ({"centres": [500]}, {}, "did you mean 'centres_nm'"),
        ({"fwhm_nm": [500]}, {}, "needs centres_nm and fwhm_nm"),
        (np.ones((3, 20)), {}, "3 x 20, the HSI has 425 bands"),
        (np.zeros((3, 425)), {}, "positive sum"),
        (np.full((3, 425), np.nan), {}, "finite"),
        ("missing.npy", {}, "no such file"),
    ],
)
def test_mistakes(spec, options, message):
    arguments = {"wavelength_nm": EVEN, "bands": 425, **options}
    with pytest.raises(UserError, match=message):
        make_srf(spec, **arguments)


def test_ikonos_as_measured(real_data):
    """The measured IKONOS curves agree with the table of edges in where their bands lie."""
    path = real_data / "spectral_response" / "ikonos_spec_resp.mat"
    if not path.exists():
        pytest.skip("no measured curves on this machine")
    measured = make_srf(str(path), wavelength_nm=EVEN, bands=425)
    assert measured.matrix.shape == (5, 425)  # pan, blue, green, red, near infrared
    assert np.allclose(measured.centres_nm[1:], sensors()["ikonos"][:, 0], atol=5)
