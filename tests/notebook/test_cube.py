"""hsipipe from Python: cubes, label maps, xarray, pictures."""

import subprocess
import sys

import numpy as np
import pytest

import hsipipe as hs
from hsipipe.errors import UserError
from hsipipe.scenes.readers import read_image


@pytest.fixture
def scene(tmp_path):
    """A GeoTIFF of two materials, a dead band, a corner without data."""
    random = np.random.default_rng(0)
    rows, cols, bands = 24, 20, 30
    spectra = np.stack([np.linspace(800, 3000, bands), np.linspace(2500, 900, bands)])
    share = np.clip(np.linspace(-1, 2, cols), 0, 1) * np.ones((rows, 1))
    cube = np.einsum("mrc,mb->brc", np.stack([share, 1 - share]), spectra) + random.normal(0, 5, (bands, rows, cols))
    cube[7] = 0
    cube[:, :3, :3] = -1
    array = hs.from_array(cube.astype(np.int16), wavelength_nm=np.linspace(450, 900, bands), name="field")
    source = {**array.item.source, "nodata": -1, "crs": 'LOCAL_CS["here",UNIT["metre",1]]'}
    source["transform"] = [30.0, 0.0, 5000.0, 0.0, -30.0, 9000.0]
    array.item.source.update(source)
    return hs.open(array.save(tmp_path / "field.tif"))


def test_denoising_a_file_as_the_first_page_says(scene, tmp_path):
    noisy = scene.degrade("gaussian:sigma=0.1", seed=3)
    clean = noisy.denoise()
    assert clean.score(scene)["mpsnr"] > noisy.score(scene)["mpsnr"] + 5
    written = read_image(clean.save(tmp_path / "clean.tif"))
    np.testing.assert_allclose(written.wavelength_nm, scene.wavelength_nm)
    assert written.source["transform"] == [30.0, 0.0, 5000.0, 0.0, -30.0, 9000.0]
    assert not written.valid[:3, :3].any()
    np.testing.assert_array_equal(clean.values[7], scene.values[7])
    by_command = tmp_path / "by_command.tif"
    noisy.save(tmp_path / "noisy.tif")
    from hsipipe.cli import main

    assert main(["denoise", str(tmp_path / "noisy.tif"), str(by_command), "--method", "svd", "--quiet"]) == 0
    again = hs.open(tmp_path / "noisy.tif").denoise("svd")
    np.testing.assert_array_equal(read_image(by_command).cube, again.values)


def test_maps_of_clusters(scene, tmp_path):
    found = scene.segment(2)
    assert set(found.shares) == {"cluster 1", "cluster 2"}
    assert sum(found.shares.values()) == pytest.approx(100)
    assert found.labels[10, 0] != found.labels[10, -1]
    assert (found.labels[:3, :3] == 0).all()
    assert read_image(found.save(tmp_path / "map.tif")).source["transform"][0] == 30.0
    assert "2 names: cluster" in repr(found)
    found.plot().savefig(tmp_path / "map.png")


def test_fusion_of_a_pair(scene):
    whole = hs.from_array(scene.values[:, 4:, 4:], wavelength_nm=scene.wavelength_nm)
    _, rows, cols = whole.shape
    coarse = whole.values.astype(np.float32).reshape(30, rows // 4, 4, cols // 4, 4).mean((2, 4))
    response = np.repeat(np.eye(3), 10, axis=1) / 10
    msi = hs.from_array(np.einsum("mb,brc->mrc", response, whole.values).astype(np.float32))
    fused = hs.from_array(coarse, wavelength_nm=scene.wavelength_nm, name="coarse").fuse(msi, "ridge", srf=None)
    good = scene.item.good_bands
    assert fused.shape[1:] == (rows, cols)
    truth = whole.values[good].astype(float)
    error = fused.values.astype(float) - (truth if len(fused.values) == good.sum() else whole.values)
    coarse_error = np.kron(coarse[good], np.ones((1, 4, 4))) - truth
    assert np.abs(error).mean() < 0.5 * np.abs(coarse_error).mean()


def test_bands_and_words(scene):
    few = scene.select_bands("uniform", 5)
    assert few.shape == (5, 24, 20)
    assert len(few.wavelength_nm) == 5
    assert repr(scene) == "<Cube 'field': 24 x 20 pixels, 30 bands, 450 to 900 nm, int16, 98.1% of the pixels valid>"
    with pytest.raises(UserError, match=r"strategy"):
        scene.select_bands("best", 5)
    with pytest.raises(UserError, match=r"the truth has"):
        few.score(scene)
    with pytest.raises(UserError, match=r"unknown denoising method .*did you mean 'hyres'"):
        scene.denoise("hyress")


def test_pictures_show_map_and_gaps(scene):
    picture = scene.plot().axes[0]
    assert picture.get_xlabel() == "x of the map"
    colours, brightness = picture.get_title().split("\n")
    assert colours == "field: red 636 nm, green 543 nm, blue 466 nm"
    assert brightness == "brightness from the 1st to the 99th percentile; pale blue: no data"
    assert picture.images[0].get_extent() == [5000, 5600, 8280, 9000]
    axes = scene.plot_spectra([(10, 10)]).axes[0]
    line = axes.lines[0]
    assert axes.get_xlabel() == "wavelength (nm)"
    assert np.isnan(line.get_ydata()[7])
    assert np.isfinite(np.delete(line.get_ydata(), 7)).all()
    with pytest.raises(UserError, match=r"outside the image.*24 x 20"):
        scene.plot_spectra([(24, 0)])
    with pytest.raises(UserError, match=r"one or three bands"):
        scene.plot([1, 2])


def test_xarray_there_and_back(scene):
    xarray = pytest.importorskip("xarray")
    array = scene.to_xarray()
    assert array.dims == ("band", "y", "x")
    assert float(array.x[0]) == 5015.0
    assert float(array.y[0]) == 8985.0
    for given in (array, array.transpose("y", "x", "band"), array.rename(band="bands", y="row", x="col")):
        back = hs.from_xarray(given)
        np.testing.assert_array_equal(back.values, scene.values)
        np.testing.assert_array_equal(back.valid, scene.valid)
        np.testing.assert_allclose(back.wavelength_nm, scene.wavelength_nm)
        assert back.item.source["transform"] == scene.item.source["transform"]
        assert back.item.source["crs"] == scene.item.source["crs"]
    micrometres = xarray.DataArray(
        np.random.default_rng(0).random((4, 5, 6)),
        dims=("wavelength", "y", "x"),
        coords={"wavelength": [0.4, 0.5, 0.6, 0.7]},
    )
    np.testing.assert_allclose(hs.from_xarray(micrometres).wavelength_nm, [400, 500, 600, 700])
    numbered = micrometres.rename(wavelength="band").assign_coords(band=[1, 2, 3, 4])
    assert hs.from_xarray(numbered).wavelength_nm is None
    micrometres["wavelength"].attrs["units"] = "furlong"
    with pytest.raises(UserError, match=r"no unit of wavelength.*furlong"):
        hs.from_xarray(micrometres)
    with pytest.raises(UserError, match=r"no axis is known as that of rows.*rename"):
        hs.from_xarray(array.rename(y="down"))


def test_arrays_that_are_no_cubes():
    with pytest.raises(UserError, match=r"bands, rows and columns.*4 axes"):
        hs.from_array(np.ones((1, 2, 3, 4)))
    with pytest.raises(UserError, match=r"3 values of wavelength_nm for 2 bands"):
        hs.from_array(np.random.default_rng(0).random((2, 3, 4)), wavelength_nm=[1, 2, 3])
    with pytest.raises(UserError, match=r"mask of \(2, 2\) does not fit"):
        hs.from_array(np.random.default_rng(0).random((2, 3, 4)), valid=np.ones((2, 2)))


def test_importing_the_package_costs_nothing():
    heavy = ["numpy", "torch", "rasterio", "matplotlib", "pandas"]
    code = f"import sys, hsipipe; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
