"""Outputs keep what the input was: type, layout, nodata, georeference; all or nothing."""

import logging

import numpy as np
import pytest
import rasterio
from scipy.io import loadmat, savemat

from hsipipe.errors import UserError
from hsipipe.scenes.readers import open_image, read_image
from hsipipe.scenes.scene import Item
from hsipipe.scenes.writers import write_image

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
SUFFIXES = ("tif", "hdr", "bil", "bsq", "bip", "img", "raw", "dat", "npy", "mat", "h5")
WKT = rasterio.crs.CRS.from_epsg(32633).to_wkt()


def item(dtype="int16"):
    generator = np.random.default_rng(0)
    cube = generator.integers(-50, 4000, (6, 4, 5)).astype(dtype)
    valid = np.ones((4, 5), bool)
    valid[1, 2] = False
    cube[:, 1, 2] = -999
    cube[3] = -999
    good = np.ones(6, bool)
    good[3] = False
    return Item(
        cube=cube,
        name="tile",
        valid=valid,
        good_bands=good,
        wavelength_nm=np.array([418.24, 500, 640.5, 902.257, 900, 2445.53]),
        fwhm_nm=np.full(6, 7.25),
        source={
            "format": "geotiff",
            "layout": "bands-rows-cols",
            "dtype": dtype,
            "nodata": -999.0,
            "scale": 1e-4,
            "crs": WKT,
            "transform": [30.0, 0.0, 366015.0, 0.0, -30.0, 5809965.0],
        },
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_round_trip(tmp_path, suffix, dtype):
    original = item(dtype)
    path = tmp_path / f"x.{suffix}"
    write_image(path, original)
    image = open_image(path)
    assert image.dtype == np.dtype(dtype)
    back = image.read()
    np.testing.assert_array_equal(back.cube[original.good_bands], original.cube[original.good_bands])
    if suffix != "npy":
        np.testing.assert_allclose(back.wavelength_nm, original.wavelength_nm)
        np.testing.assert_allclose(back.fwhm_nm, original.fwhm_nm)
    assert back.good_bands.tolist() == original.good_bands.tolist()
    if suffix not in ("npy", "mat"):
        np.testing.assert_array_equal(back.valid, original.valid)
        assert (image.nodata, image.scale) == (-999, 1e-4)
        np.testing.assert_allclose(image.transform, original.source["transform"])
        assert rasterio.crs.CRS.from_wkt(image.crs, morph_from_esri_dialect=True).to_epsg() == 32633
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("suffix", ["tif", "bil", "bip", "bsq"])
def test_gdal_reads_the_same(tmp_path, suffix):
    original = item()
    path = tmp_path / f"x.{suffix}"
    write_image(path, original)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), original.cube)
        assert dataset.nodata == -999
        assert dataset.crs.to_epsg() == 32633
        np.testing.assert_allclose(tuple(dataset.transform)[:6], original.source["transform"])
        assert float(dataset.tags(2)["wavelength"]) == 500


def test_integers_are_rounded_clipped_and_kept_off_nodata(tmp_path):
    original = item()
    original.source["dtype"] = "uint8"
    original.cube = np.full((6, 4, 5), 7.5, np.float32)
    original.cube[:, 0, :5] = [-3.2, 300.0, 254.6, 0.4, 9.4]
    original.source |= {"nodata": 255.0}
    write_image(tmp_path / "x.npy", original)
    stored = np.load(tmp_path / "x.npy")
    assert stored.dtype == np.uint8
    assert stored[0, :, 0].tolist() == [0, 254, 254, 0, 9]
    assert stored[1, 2].tolist() == [255] * 6
    assert stored[2, 2, 0] == 8
    original.source["nodata"] = 0.0
    write_image(tmp_path / "y.npy", original)
    assert np.load(tmp_path / "y.npy")[0, :, 0].tolist() == [1, 255, 255, 1, 9]


def test_64_bit_limits(tmp_path):
    original = item()
    original.source["dtype"] = "int64"
    original.cube = np.zeros((6, 4, 5), np.float32)
    original.cube[:, 0, 0], original.cube[:, 0, 1] = 1e30, -1e30
    write_image(tmp_path / "x.npy", original)
    stored = np.load(tmp_path / "x.npy")
    assert stored[0, 0, 0] > 9.2e18
    assert stored[0, 1, 0] == -(2**63)


@pytest.mark.parametrize(("hole", "expected"), [(np.nan, np.nan), (0.0, 0.0)])
def test_without_nodata_invalid_pixels_hold_what_they_held(tmp_path, hole, expected):
    values = np.random.default_rng(0).random((4, 5, 6)).astype(np.float32) + 0.1
    values[2, 3] = hole
    np.save(tmp_path / "in.npy", values)
    original = read_image(tmp_path / "in.npy")
    original.cube = np.where(original.valid, original.cube * 0.5, 1)
    write_image(tmp_path / "out.npy", original)
    stored = np.load(tmp_path / "out.npy")
    np.testing.assert_array_equal(stored[2, 3], np.full(6, expected, np.float32))
    np.testing.assert_allclose(stored[0], values[0] * 0.5)


def test_nodata_that_does_not_fit_is_left_out(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        write_image(tmp_path / "x.tif", item(), dtype="uint8")
    assert "nodata -999" in caplog.text
    assert open_image(tmp_path / "x.tif").nodata is None


def test_layout_of_a_bare_array_is_kept(tmp_path):
    values = np.random.default_rng(0).random((6, 4, 5))
    np.save(tmp_path / "a.npy", values)
    original = read_image(tmp_path / "a.npy", layout="bands-rows-cols")
    write_image(tmp_path / "b.npy", original)
    np.testing.assert_allclose(np.load(tmp_path / "b.npy"), values, rtol=1e-6)
    assert np.load(tmp_path / "b.npy").dtype == np.float64
    write_image(tmp_path / "c.bsq", original)
    np.testing.assert_array_equal(read_image(tmp_path / "c.bsq").cube, original.cube)
    write_image(tmp_path / "p-DATA.npy", read_image(tmp_path / "c.bsq"))
    assert np.load(tmp_path / "p-DATA.npy").shape == (6, 4, 5)


def test_an_unfolded_cube_stays_unfolded(tmp_path):
    matrix = np.random.default_rng(0).random((6, 20)) + 0.1
    savemat(tmp_path / "a.mat", {"Y": matrix, "nRow": 4, "nCol": 5})
    write_image(tmp_path / "b.mat", read_image(tmp_path / "a.mat"))
    back = loadmat(tmp_path / "b.mat")
    np.testing.assert_allclose(back["Y"], matrix, rtol=1e-6)
    assert (back["nRow"].item(), back["nCol"].item(), back["nBand"].item()) == (4, 5, 6)
    np.testing.assert_array_equal(read_image(tmp_path / "b.mat").cube, read_image(tmp_path / "a.mat").cube)


def test_a_table_stays_a_table(tmp_path):
    table = np.random.default_rng(0).random((20, 6)).astype(np.float32)
    np.save(tmp_path / "a.npy", table)
    write_image(tmp_path / "b.npy", read_image(tmp_path / "a.npy", table=True))
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), table)
    write_image(tmp_path / "b.mat", read_image(tmp_path / "a.npy", table=True))
    np.testing.assert_array_equal(loadmat(tmp_path / "b.mat")["data"], table)


def test_like_another_file(tmp_path):
    write_image(tmp_path / "like.bip", item())
    result = Item(cube=item().cube.astype(np.float32) + 0.4, valid=item().valid, good_bands=item().good_bands)
    for number, like in enumerate((tmp_path / "like.bip", open_image(tmp_path / "like.bip"), item())):
        write_image(tmp_path / f"{number}.tif", result, like=like)
        image = open_image(tmp_path / f"{number}.tif")
        assert (image.dtype, image.nodata) == (np.int16, -999)
        np.testing.assert_array_equal(image.load(None)[0], item().cube[0])


def test_interleave_of_an_envi_input_is_kept(tmp_path):
    write_image(tmp_path / "a.bil", item())
    write_image(tmp_path / "b.hdr", read_image(tmp_path / "a.bil"))
    assert open_image(tmp_path / "b.hdr").layout == "bil"
    assert (tmp_path / "b.bil").read_bytes() == (tmp_path / "a.bil").read_bytes()


def test_a_turned_georeference(tmp_path):
    original = item()
    original.source["transform"] = [28.977, 7.7646, 400000.0, 7.7646, -28.977, 5600000.0]
    write_image(tmp_path / "a.bsq", original)
    np.testing.assert_allclose(open_image(tmp_path / "a.bsq").transform, original.source["transform"], rtol=1e-6)


@pytest.mark.parametrize("suffix", ["bil", "tif", "npy", "mat", "h5"])
def test_never_over_the_input(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    write_image(path, item())
    before = path.read_bytes()
    original = read_image(path)
    if suffix == "h5":
        original.source["path"] = str(path)
    with pytest.raises(UserError, match="is the input and would be overwritten"):
        write_image(path, original)
    assert path.read_bytes() == before


def test_never_over_the_header_of_the_input_or_of_another_image(tmp_path):
    write_image(tmp_path / "x.raw", item())
    with pytest.raises(UserError, match="is the input"):
        write_image(tmp_path / "x.bil", read_image(tmp_path / "x.raw"))
    with pytest.raises(UserError, match="describes another file"):
        write_image(tmp_path / "x.bil", item())
    assert not (tmp_path / "x.bil").exists()


def test_nothing_is_left_of_a_failure(tmp_path, monkeypatch):
    def fail(*_arguments, **_options):
        raise OSError("disk full")

    monkeypatch.setattr("hsipipe.scenes.writers.envi.header_text", lambda *_: "ENVI\n")
    monkeypatch.setattr(np, "ascontiguousarray", fail)
    with pytest.raises(OSError, match="disk full"):
        write_image(tmp_path / "x.bil", item())
    assert not list(tmp_path.iterdir())


def test_unknown_extensions(tmp_path):
    with pytest.raises(UserError, match=r"unknown output format '\.tiv'; did you mean '\.ti"):
        write_image(tmp_path / "x.tiv", item())
    with pytest.raises(UserError, match="unknown output format"):
        write_image(tmp_path / "x", item())
