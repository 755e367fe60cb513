import itertools

import numpy as np
import pytest

from hsipipe.errors import UserError
from hsipipe.scenes.enmap import enmap_bands
from hsipipe.scenes.scene import Scene, write_scene

pytest.importorskip("prosail")

from hsipipe.scenes.simulate import simulate_scene
from hsipipe.scenes.simulation.materials import MATERIALS, material_spectra
from hsipipe.scenes.simulation.optics import (
    GRID_NM,
    aluminium_reflectance,
    convolve_to_bands,
    kubelka_munk,
    remission,
    sky_share,
)
from hsipipe.scenes.simulation.texture import fractal_field, relative_sunlight


@pytest.fixture(scope="module")
def item():
    return next(simulate_scene(rows=72, cols=96, seed=3))


@pytest.fixture(scope="module")
def spectra():
    return material_spectra(seed=0, variants=4)


def of(spectra, name, wavelength_nm):
    return spectra[MATERIALS.index(name)][:, int(wavelength_nm - GRID_NM[0])]


def test_shapes_types_and_sensor(item):
    bands = enmap_bands()
    assert item.cube.shape == (202, 72, 96)
    assert item.cube.dtype == np.int16
    np.testing.assert_array_equal(item.wavelength_nm, bands.wavelength_nm[bands.hyspecnet])
    np.testing.assert_array_equal(item.fwhm_nm, bands.fwhm_nm[bands.hyspecnet])
    assert item.endmembers.shape == (len(MATERIALS), 202)
    assert item.abundances.shape == (len(MATERIALS), 72, 96)
    assert item.class_names == list(MATERIALS)
    assert item.source["simulated"] is True
    assert item.source["scale"] == 1e-4
    assert item.source["seed"] == 3
    assert item.valid.all()
    assert item.good_bands.all()


def test_abundances_are_shares_and_labels_the_dominant_material(item):
    assert item.abundances.min() >= 0
    np.testing.assert_allclose(item.abundances.sum(0), 1, atol=1e-5)
    np.testing.assert_array_equal(item.labels, item.abundances.argmax(0) + 1)
    purity = item.abundances.max(0)
    # Sharp and mixed borders: many pixels are nearly pure, many are not.
    assert 0.1 < np.mean(purity > 0.95) < 0.9
    assert np.mean(purity < 0.7) > 0.05
    assert len(np.unique(item.labels)) >= 10


def test_cube_is_the_linear_mixture_up_to_variability(item):
    mixture = np.einsum("kb,krc->brc", item.endmembers, item.abundances)
    error = np.linalg.norm(mixture - item.cube) / np.linalg.norm(item.cube)
    assert 0.03 < error < 0.25  # the materials vary, but they are those of the truth
    assert 0 < item.cube.mean() * 1e-4 < 0.5


def test_spectral_rank_is_that_of_real_scenes():
    item = next(simulate_scene(seed=0))
    values = item.cube.reshape(202, -1).astype(float)
    values -= values.mean(1, keepdims=True)
    variance = np.linalg.eigvalsh(values @ values.T)[::-1]
    share = np.cumsum(variance) / variance.sum()
    components = int(np.searchsorted(share, 0.999)) + 1
    assert 5 <= components <= 13  # airborne and EnMAP crops: 5 to 13, measurement noise included


def test_same_seed_same_scene_and_items_differ():
    first, second = simulate_scene(rows=24, cols=24, seed=5, items=2)
    again = list(simulate_scene(rows=24, cols=24, seed=5, items=2))
    np.testing.assert_array_equal(again[0].cube, first.cube)
    np.testing.assert_array_equal(again[1].cube, second.cube)
    assert first.name != second.name
    assert (first.cube != second.cube).mean() > 0.9
    np.testing.assert_array_equal(first.endmembers, second.endmembers)
    other = next(simulate_scene(rows=24, cols=24, seed=6))
    assert (first.cube != other.cube).mean() > 0.9


def test_own_wavelengths_noise_and_blur():
    wavelength_nm = [850.0, 550.0, 1650.0]
    clean = next(simulate_scene(rows=48, cols=48, wavelength_nm=wavelength_nm))
    noisy = next(simulate_scene(rows=48, cols=48, wavelength_nm=wavelength_nm, snr_db=30))
    np.testing.assert_array_equal(clean.wavelength_nm, wavelength_nm)
    for before, after in zip(clean.cube.astype(float), noisy.cube, strict=True):
        assert 10 * np.log10(np.mean(before**2) / np.mean((after - before) ** 2)) == pytest.approx(30, abs=0.4)
    blurred = next(simulate_scene(rows=48, cols=48, wavelength_nm=wavelength_nm, psf_fwhm_pixels=3))
    assert np.abs(np.diff(blurred.cube.astype(float))).mean() < 0.6 * np.abs(np.diff(clean.cube.astype(float))).mean()
    np.testing.assert_allclose(blurred.abundances.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"rows": 0},
        {"items": 0},
        {"wavelength_nm": [350.0, 500.0]},
        {"wavelength_nm": [np.nan]},
        {"wavelength_nm": []},
        {"wavelength_nm": [500.0, 600.0], "fwhm_nm": [10.0]},
    ],
)
def test_what_cannot_be_simulated_is_refused_at_once(settings):
    with pytest.raises(UserError):
        simulate_scene(**settings)


def test_scene_file_says_simulated(item, tmp_path):
    write_scene(tmp_path / "s.h5", [item], name="simulated", simulated=True)
    with Scene(tmp_path / "s.h5") as scene:
        read = scene.read(item.name)
        assert scene.simulated
        assert read.source["simulated"] is True
        np.testing.assert_array_equal(read.cube, item.cube)
        np.testing.assert_allclose(read.abundances, item.abundances)
        np.testing.assert_allclose(scene.endmembers, item.endmembers)


def test_kubelka_munk_known_values():
    assert kubelka_munk(np.array(0.0)) == 1
    assert kubelka_munk(np.array(0.5)) == pytest.approx((3 - 5**0.5) / 2)
    reflectance = np.linspace(0.01, 0.99, 50)
    np.testing.assert_allclose(kubelka_munk(remission(reflectance)), reflectance)


def test_aluminium_matches_tables():
    # Palik, Handbook of Optical Constants of Solids: 0.92 in the visible, about 0.87 at 825 nm, 0.97 beyond 1.5 um.
    reflectance = aluminium_reflectance()
    assert reflectance[150] == pytest.approx(0.92, abs=0.015)
    assert GRID_NM[reflectance[200:800].argmin() + 200] == pytest.approx(825, abs=30)
    assert reflectance[425] == pytest.approx(0.87, abs=0.015)
    assert reflectance[1600] == pytest.approx(0.977, abs=0.01)


def test_canopies_have_red_edge_and_green_peak(spectra):
    for name in ("crop", "meadow", "deciduous forest", "conifer forest"):
        red, infrared, green = (of(spectra, name, nm) for nm in (670, 860, 555))
        assert ((infrared - red) / (infrared + red) > 0.6).all(), name
        assert (green > red).all(), name
    assert (of(spectra, "crop", 1200) < of(spectra, "crop", 1100)).all()  # leaf water
    assert (of(spectra, "conifer forest", 860) < of(spectra, "deciduous forest", 860).min()).all()


def test_soils_and_minerals(spectra):
    assert of(spectra, "wet soil", 1600).max() < of(spectra, "dry soil", 1600).min()
    tile = {nm: of(spectra, "red roof tile", nm) for nm in (450, 650, 760, 870)}
    assert (tile[650] > 1.7 * tile[450]).all()
    # Hematite's band at 870 nm lies below the straight line from 760 to 1100 nm.
    line = tile[760] + (of(spectra, "red roof tile", 1100) - tile[760]) * (870 - 760) / (1100 - 760)
    assert (tile[870] < line).all()
    shoulders = (of(spectra, "concrete", 2270) + of(spectra, "concrete", 2400)) / 2
    assert (of(spectra, "concrete", 2338) < shoulders).all()


def test_water_is_dark_in_the_infrared_and_sediment_brightens_it(spectra):
    for name in ("clear water", "turbid water"):
        assert (of(spectra, name, 1600) < 0.01).all()
    assert of(spectra, "turbid water", 700).min() > of(spectra, "clear water", 700).max()
    assert spectra.min() >= 0
    assert spectra.max() <= 1


def test_sky_share_falls_with_wavelength():
    share = sky_share(38.0)
    assert (np.diff(share) < 0).all()
    assert 0.25 < share[0] < 0.5
    assert share[-1] < 0.05


def test_band_convolution_keeps_constants_and_finds_the_centre():
    spectra = np.stack([np.full_like(GRID_NM, 0.3), GRID_NM])
    bands = convolve_to_bands(spectra, np.array([550.0, 1650.0]), np.array([7.0, 12.0]))
    np.testing.assert_allclose(bands, [[0.3, 0.3], [550.0, 1650.0]])


def test_fractal_field_has_the_power_law():
    field = fractal_field((512, 512), np.random.default_rng(0), exponent=3.0, outer_scale=10_000)
    assert field.mean() == pytest.approx(0, abs=1e-5)
    assert field.std() == pytest.approx(1, abs=1e-5)
    window = np.hanning(512)
    power = np.abs(np.fft.fft2(field * window[:, None] * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(512)[:, None], np.fft.fftfreq(512))
    rings = np.geomspace(0.02, 0.25, 9)
    levels = [power[(frequency >= low) & (frequency < high)].mean() for low, high in itertools.pairwise(rings)]
    slope = np.polyfit(np.log(np.sqrt(rings[1:] * rings[:-1])), np.log(levels), 1)[0]
    assert slope == pytest.approx(-3.0, abs=0.15)


def test_slope_toward_the_sun_is_brighter():
    # Ground that falls to the south (down the image) by 10 degrees, sun in the south 40 degrees from the zenith.
    plane = -np.tan(np.deg2rad(10)) * np.arange(20.0)[:, None] * np.ones((1, 20))
    sunlight = relative_sunlight(plane, slope_deg=10, sun_zenith_deg=40, sun_azimuth_deg=180)
    np.testing.assert_allclose(sunlight, np.cos(np.deg2rad(30)) / np.cos(np.deg2rad(40)))
    level = relative_sunlight(np.zeros((5, 5)), slope_deg=10, sun_zenith_deg=40, sun_azimuth_deg=180)
    np.testing.assert_allclose(level, 1)
