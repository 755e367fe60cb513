"""What GDAL and the programs that are built on it (QGIS, EnMAP-Box) find in what the verbs write."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import rasterio

from hsipipe.cli import main
from hsipipe.degrade.pair import degrade_pair
from hsipipe.degrade.psf import make_psf
from hsipipe.scenes.scene import Item
from hsipipe.scenes.writers import write_image

UTM = rasterio.crs.CRS.from_epsg(32633)
PLACE = (30.0, 0.0, 366015.0, 0.0, -30.0, 5809965.0)
NM = np.array([440.0, 460, 500, 553, 600, 641, 700, 760, 830, 860.5])
FWHM_NM = 6.5 + 0.25 * np.arange(10)
DEAD = 7
COARSER, TURNED = 4, (21.0, 12.0, 366015.0, 12.0, -21.0, 5809965.0)


def field(place=PLACE):
    """(10 bands, 24, 20) int16 of three materials in stripes, with a hole, a dead band, a scale, and a place."""
    generator = np.random.default_rng(0)
    materials = generator.uniform(500, 4000, (3, 10))
    cube = materials[np.repeat(np.arange(24) // 8, 20).reshape(24, 20)].transpose(2, 0, 1)
    cube = (cube + generator.normal(0, 40, cube.shape)).astype(np.int16)
    valid = np.ones((24, 20), bool)
    valid[2:4, 3:6] = False
    source = {"dtype": "int16", "nodata": -32768.0, "scale": 1e-4, "crs": UTM.to_wkt(), "transform": place}
    good = np.arange(10) != DEAD
    return Item(cube, name="field", valid=valid, good_bands=good, wavelength_nm=NM, fwhm_nm=FWHM_NM, source=source)


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image("scene.tif", field())


def run(*arguments):
    assert main([*map(str, arguments), "--quiet"]) == 0


def gdalinfo(path):
    """What the program of GDAL tells, all domains of metadata; the test ends where it is not installed."""
    if shutil.which("gdalinfo") is None:
        pytest.skip("gdalinfo is not installed")
    command = ["gdalinfo", "-json", "-mdd", "all", str(path)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def check_tags(path, bands=range(10)):
    """Wavelengths in all places, name, scale, nodata and place, as rasterio reads them."""
    with rasterio.open(path) as file:
        assert file.crs.to_epsg() == 32633
        assert tuple(file.transform)[:6] == PLACE
        assert file.nodata == -32768
        assert set(file.scales) == {1e-4}
        assert file.count == len(bands)
        for number, band in enumerate(bands, start=1):
            tags = file.tags(number)
            assert float(tags["wavelength"]) == NM[band]
            assert tags["wavelength_units"] == "Nanometers"
            assert float(tags["fwhm"]) == FWHM_NM[band]
            imagery = file.tags(number, ns="IMAGERY")
            assert float(imagery["CENTRAL_WAVELENGTH_UM"]) == pytest.approx(NM[band] / 1000)
            assert float(imagery["FWHM_UM"]) == pytest.approx(FWHM_NM[band] / 1000)
            assert file.descriptions[number - 1] == f"band {number} ({NM[band]:g} Nanometers)"
        shown = {name.name: NM[bands[i]] for i, name in enumerate(file.colorinterp) if name.name in "red green blue"}
        assert shown == {"red": 641, "green": 553, "blue": 460}
        return file.read(1)


@pytest.mark.usefixtures("scene")
def test_a_converted_and_a_denoised_geotiff_tell_wavelengths_and_place():
    run("convert", "scene.tif", "converted.tif")
    run("denoise", "scene.tif", "clean.tif", "--method", "svd", "--set", "rank=3")
    for name in ("converted.tif", "clean.tif"):
        first = check_tags(name)
        assert (first[2:4, 3:6] == -32768).all()
        with rasterio.open(name) as file:
            assert [band for band in range(10) if file.tags(band + 1)["bbl"] == "0"] == [DEAD]


@pytest.mark.usefixtures("scene")
def test_a_fused_geotiff_tells_wavelengths_and_place():
    item = field()
    low, high = degrade_pair(
        np.kron(item.cube.astype(np.float32), np.ones((1, 4, 4), np.float32)),
        psf=make_psf("gaussian:sigma=1.5,size=7"),
        srf=np.repeat(np.eye(2), 5, axis=1) / 5,
        ratio=COARSER,
    )
    fine = {**item.source, "dtype": "float32"}
    coarse = {**fine, "transform": (120.0, 0.0, PLACE[2], 0.0, -120.0, PLACE[5])}
    write_image("low.tif", Item(low, wavelength_nm=NM, fwhm_nm=FWHM_NM, source=coarse))
    write_image("high.tif", Item(high, source=fine))
    np.save("srf.npy", np.repeat(np.eye(2), 5, axis=1) / 5)
    run("fuse", "low.tif", "high.tif", "fused.tif", "--method", "gsa", "--srf", "srf.npy")
    check_tags("fused.tif")


@pytest.mark.usefixtures("scene")
def test_gdal_reads_a_geotiff_without_a_file_beside_it():
    run("convert", "scene.tif", "converted.tif")
    told = gdalinfo("converted.tif")
    assert [told["geoTransform"][i] for i in (1, 2, 0, 4, 5, 3)] == list(PLACE)
    assert told["files"] == ["converted.tif"]
    assert 'ID["EPSG",32633]' in told["coordinateSystem"]["wkt"]
    band = told["bands"][3]
    assert band["description"] == "band 4 (553 Nanometers)"
    assert band["colorInterpretation"] == "Green"
    assert (band["noDataValue"], band["scale"], band["type"]) == (-32768, 1e-4, "Int16")
    assert band["metadata"]["IMAGERY"]["CENTRAL_WAVELENGTH_UM"] == "0.553"


@pytest.mark.usefixtures("scene")
@pytest.mark.parametrize("suffix", ["bil", "bsq", "bip"])
def test_gdal_reads_wavelengths_place_and_colours_of_an_envi_image(suffix):
    run("convert", "scene.tif", f"e.{suffix}")
    with rasterio.open(f"e.{suffix}") as file, rasterio.open("scene.tif") as before:
        assert file.driver == "ENVI"
        assert file.crs.to_epsg() == 32633
        assert tuple(file.transform)[:6] == pytest.approx(PLACE, abs=1e-9)
        assert file.nodata == -32768
        assert [float(file.tags(band)["wavelength"]) for band in range(1, 11)] == NM.tolist()
        assert file.tags(1)["wavelength_units"] == "Nanometers"
        shown = {name.name: NM[i] for i, name in enumerate(file.colorinterp) if name.name in "red green blue"}
        assert shown == {"red": 641, "green": 553, "blue": 460}
        np.testing.assert_array_equal(file.read(), before.read())
    told = gdalinfo(f"e.{suffix}")
    assert told["bands"][9]["description"] == "860.5 Nanometers"
    assert told["metadata"]["ENVI"]["fwhm"].replace(" ", "").strip("{}").split(",")[0] == "6.5"


def test_a_turned_place_survives(tmp_path):
    for name in ("t.tif", "t.bsq"):
        write_image(tmp_path / name, field(TURNED))
        with rasterio.open(tmp_path / name) as file:
            assert tuple(file.transform)[:6] == pytest.approx(TURNED, abs=1e-6)


@pytest.mark.usefixtures("scene")
def test_label_maps_have_colours_names_nodata_and_place():
    run("segment", "scene.tif", "map.tif", "--clusters", 3, "--encoder", "none", "--set", "smoothing=none")
    with rasterio.open("map.tif") as file:
        codes = file.read(1)
        assert file.crs.to_epsg() == 32633
        assert tuple(file.transform)[:6] == PLACE
        assert (file.nodata, file.dtypes[0]) == (0, "uint8")
        assert (codes[2:4, 3:6] == 0).all()
        assert set(np.unique(codes)) == {0, 1, 2, 3}
        colours = file.colormap(1)
        assert len({colours[code] for code in (1, 2, 3)}) == 3
        assert colours[0][3] == 0
    told = gdalinfo("map.tif")
    (band,) = told["bands"]
    assert band["categories"][1:] == ["cluster 1", "cluster 2", "cluster 3"]
    assert band["colorInterpretation"] == "Palette"
    assert band["noDataValue"] == 0


def test_an_image_without_visible_light_has_no_colours(tmp_path):
    item = field()
    far = Item(item.cube, wavelength_nm=NM + 1000, source=item.source)
    write_image(tmp_path / "far.tif", far)
    write_image(tmp_path / "far.bsq", far)
    with rasterio.open(tmp_path / "far.tif") as file:
        assert not {"red", "green", "blue"} & {name.name for name in file.colorinterp}
    assert "default bands" not in (tmp_path / "far.hdr").read_text()
