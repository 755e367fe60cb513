"""GeoTIFF: band metadata, nodata, masks, pages."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from hsipipe.errors import UserError
from hsipipe.scenes.readers import open_image, read_image

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def cube(bands=3, dtype="i2"):
    return (np.arange(bands * 4 * 5).reshape(bands, 4, 5) + 1).astype(dtype)


def write(path, values, **options):
    tags, descriptions = options.pop("tags", []), options.pop("descriptions", [])
    profile = {"driver": "GTiff", "count": len(values), "height": 4, "width": 5, "dtype": values.dtype}
    with rasterio.open(path, "w", **profile, **options) as dataset:
        dataset.write(values)
        for band, tag in enumerate(tags, 1):
            dataset.update_tags(band, **tag)
        for band, text in enumerate(descriptions, 1):
            dataset.set_band_description(band, text)
    return path


def test_pixels_georeference_and_nodata(tmp_path):
    values = cube()
    values[:, 0, 0] = -1
    path = write(tmp_path / "a.tif", values, nodata=-1, crs="EPSG:32633", transform=from_origin(500, 900, 30, 30))
    image = open_image(path)
    assert (image.shape, image.format, image.dtype, image.nodata) == ((3, 4, 5), "geotiff", np.int16, -1)
    assert image.transform == (30, 0, 500, 0, -30, 900)
    assert "32633" in image.crs
    item = image.read([2, 0])
    np.testing.assert_array_equal(item.cube, values[[2, 0]])
    assert np.argwhere(~item.valid).tolist() == [[0, 0]]
    assert not list(tmp_path.glob("*.xml"))


@pytest.mark.parametrize(
    ("tags", "descriptions"),
    [
        ([{"wavelength": str(v), "wavelength_units": "Nanometers"} for v in (450.5, 550, 2200)], []),
        ([{"wavelength": str(v), "wavelength_units": "Micrometers"} for v in (0.4505, 0.55, 2.2)], []),
        ([{"WAVELENGTH": str(v)} for v in (0.4505, 0.55, 2.2)], []),
        ([], ["450.5 nm", "550 nm", "2200 nm"]),
        ([], ["band 1 (0.4505 Micrometers)", "band 2 (0.55 Micrometers)", "band 3 (2.2 Micrometers)"]),
        ([], ["450.5", "550.0", "2200.0"]),
    ],
)
def test_wavelengths_from_wherever_they_stand(tmp_path, tags, descriptions):
    path = write(tmp_path / "a.tif", cube(), tags=tags, descriptions=descriptions)
    np.testing.assert_allclose(open_image(path).wavelength_nm, [450.5, 550, 2200])


def test_wavelengths_of_gdal(tmp_path):
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", count=3, height=4, width=5, dtype="int16") as dataset:
        dataset.write(cube())
        for band, centre in enumerate(("0.45", "0.55", "0.65"), 1):
            dataset.update_tags(band, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=centre, FWHM_UM="0.01")
    image = open_image(path)
    np.testing.assert_allclose(image.wavelength_nm, [450, 550, 650])
    np.testing.assert_allclose(image.fwhm_nm, 10)


@pytest.mark.parametrize("descriptions", [["1.0", "2.0", "3.0"], ["red", "green", "blue"], []])
def test_no_wavelengths(tmp_path, descriptions):
    assert open_image(write(tmp_path / "a.tif", cube(), descriptions=descriptions)).wavelength_nm is None


def test_bad_bands_widths_and_scale(tmp_path):
    tags = [
        {"wavelength": str(v), "wavelength_units": "nm", "fwhm": "7.5", "bbl": b}
        for v, b in ((400, "1"), (500, "0"), (600, "1"))
    ]
    path = write(tmp_path / "a.tif", cube(), tags=tags)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales = [1e-4] * 3
    image = open_image(path)
    assert image.bad_bands == [1]
    assert image.scale == 1e-4
    np.testing.assert_allclose(image.fwhm_nm, 7.5)
    assert image.read().good_bands.tolist() == [True, False, True]


def test_the_files_own_mask(tmp_path):
    path = write(tmp_path / "a.tif", cube())
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        mask = np.full((4, 5), 255, np.uint8)
        mask[2, 3] = 0
        dataset.write_mask(mask)
    assert np.argwhere(~read_image(path).valid).tolist() == [[2, 3]]


def _pages(path, stack):
    for number, values in enumerate(stack):
        options = {} if number == 0 else {"append_subdataset": "YES"}
        write(path, values, **options)
    return path


def test_pages_of_one_band_are_bands(tmp_path):
    values = cube(6)
    path = _pages(tmp_path / "stack.tif", [page[None] for page in values])
    image = open_image(path)
    assert (image.shape, image.layout) == ((6, 4, 5), "pages-rows-cols")
    np.testing.assert_array_equal(image.read([5, 1]).cube, values[[5, 1]])
    np.testing.assert_array_equal(image.read().cube, values)
    np.testing.assert_array_equal(read_image(path, key="3").cube, values[2:3])


def test_pages_of_several_bands_are_images(tmp_path):
    first, second = cube(3), cube(3)[::-1]
    path = _pages(tmp_path / "stack.tif", [first, second])
    with pytest.raises(UserError, match=r"several images .*2 pages: 1: 3 bands 4 x 5.*--key"):
        open_image(path)
    item = read_image(path, key="2")
    np.testing.assert_array_equal(item.cube, second)
    assert item.name == "stack_2"
    with pytest.raises(UserError, match="pages are 1 to 2"):
        open_image(path, key="3")


def test_complex_and_damaged_files(tmp_path):
    with pytest.raises(UserError, match="complex"):
        open_image(write(tmp_path / "c.tif", cube().astype("complex64")))
    path = write(tmp_path / "a.tif", cube())
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match=r"a\.tif") as caught:
        open_image(path)
    assert "\n" not in str(caught.value)


def test_truncated_pixels(tmp_path):
    values = np.random.default_rng(0).integers(1, 99, (3, 200, 300)).astype("i2")
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", count=3, height=200, width=300, dtype="int16") as dataset:
        dataset.write(values)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="cannot be read as a raster"):
        read_image(path)


def test_an_enmap_product_without_tags(tmp_path):
    values = cube(224)
    path = write(tmp_path / "T-SPECTRAL_IMAGE.TIF", values)
    assert open_image(path).wavelength_nm[0] == 418.24
    nodes = "".join(
        f"<bandID number='{n}'><wavelengthCenterOfBand>{400 + n}</wavelengthCenterOfBand>"
        "<FWHMOfBand>8</FWHMOfBand></bandID>"
        for n in range(224)
    )
    metadata = tmp_path / "T-METADATA.XML"
    metadata.write_text(f"<a><specific><bandCharacterisation>{nodes}</bandCharacterisation></specific></a>")
    image = open_image(path)
    assert image.wavelength_nm[[0, -1]].tolist() == [400, 623]
    assert set(image.fwhm_nm) == {8}
    metadata.write_text("<a>")
    with pytest.raises(UserError, match="METADATA"):
        open_image(path)


def test_one_nan_for_all_bands_is_one_nodata(tmp_path, caplog):
    values = np.ones((3, 4, 5), np.float32)
    values[:, 0, 0] = np.nan
    image = open_image(write(tmp_path / "a.tif", values, nodata=np.nan))
    assert np.isnan(image.nodata)
    assert "differ in nodata" not in caplog.text
