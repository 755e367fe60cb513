"""ENVI: headers, data types, interleaves, compression, georeference, and what is wrong with them."""

import gzip
import logging

import numpy as np
import pytest

from hsipipe.errors import UserError
from hsipipe.scenes.readers import open_image, read_image

BANDS, ROWS, COLS = 5, 3, 4
AXES = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}
CODES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}


def cube(dtype="u2"):
    return (np.arange(BANDS * ROWS * COLS).reshape(BANDS, ROWS, COLS) + 1).astype(dtype)


def write(folder, values=None, *, name="x.bil", header=None, code=12, interleave="bil", order=0, offset=0, extra=""):
    values = cube() if values is None else values
    stored = values.transpose(AXES[interleave]).astype(values.dtype.newbyteorder("<" if order == 0 else ">"))
    (folder / name).write_bytes(b"\x07" * offset + stored.tobytes())
    order_line = "" if order is None else f"byte order = {order}\n"
    text = (
        f"ENVI\nsamples = {values.shape[2]}\nlines = {values.shape[1]}\nbands = {values.shape[0]}\n"
        f"header offset = {offset}\ndata type = {code}\ninterleave = {interleave}\n{order_line}{extra}"
    )
    (folder / (header or name.split(".")[0] + ".hdr")).write_text(text)
    return folder / name


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("interleave", AXES)
@pytest.mark.parametrize("order", [0, 1])
def test_all_types_interleaves_and_byte_orders(tmp_path, code, interleave, order):
    values = cube(CODES[code])
    path = write(tmp_path, values, code=code, interleave=interleave, order=order, offset=6)
    image = open_image(path)
    assert (image.shape, image.layout, image.format) == ((BANDS, ROWS, COLS), interleave, "envi")
    item = image.read()
    assert item.cube.dtype == (values.dtype if values.dtype.kind in "iu" else np.float32)
    assert item.cube.dtype.isnative
    np.testing.assert_array_equal(item.cube, values)
    np.testing.assert_array_equal(image.read([4, 0, 2]).cube, values[[4, 0, 2]])


@pytest.mark.parametrize("place", ["UTM, 1.5, 2.5", "UTM, 1, 1"])
def test_agrees_with_gdal(tmp_path, place):
    rasterio = pytest.importorskip("rasterio")
    turn = ", rotation=15" if place.endswith("1, 1") else ""  # GDAL turns about the corner, not about the tie point
    extra = (
        f"data ignore value = 9\n"
        f"map info = {{{place}, 400000, 5600000, 30, 20, 33, North, WGS-84, units=Meters{turn}}}\n"
    )
    path = write(tmp_path, cube("i2"), code=2, extra=extra)
    image = open_image(path)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(image.load(None), dataset.read())
        np.testing.assert_allclose(image.transform, tuple(dataset.transform)[:6], rtol=1e-9)
        assert dataset.crs == rasterio.crs.CRS.from_wkt(image.crs)
        assert dataset.nodata == image.nodata == 9


def test_a_turned_image_has_its_tie_point_where_the_header_says(tmp_path):
    path = write(tmp_path, extra="map info = {Arbitrary, 2.5, 3.5, 100, 200, 30, 20, rotation=40}\n")
    a, b, c, d, e, f = open_image(path).transform
    np.testing.assert_allclose([a * 1.5 + b * 2.5 + c, d * 1.5 + e * 2.5 + f], [100, 200])


@pytest.mark.parametrize(
    ("name", "header", "ask"),
    [
        ("x.raw", "x.raw.hdr", "x.raw"),
        ("x.raw", "x.raw.hdr", "x.raw.hdr"),
        ("x.raw", "x.hdr", "x.hdr"),
        ("x", "x.hdr", "x"),
        ("x", "x.hdr", "x.hdr"),
        ("x.img", "x.HDR", "x.img"),
        ("x.DAT", "x.hdr", "x.hdr"),
    ],
)
def test_header_and_data_find_each_other(tmp_path, name, header, ask):
    write(tmp_path, name=name, header=header)
    image = open_image(tmp_path / ask)
    assert image.name == "x"
    np.testing.assert_array_equal(image.read().cube, cube())


def test_a_name_with_dots_keeps_them(tmp_path):
    write(tmp_path, name="scan_1.2", header="scan_1.2.hdr")
    assert open_image(tmp_path / "scan_1.2").name == "scan_1.2"


@pytest.mark.parametrize(("name", "flag"), [("x.bil", "file compression = 1\n"), ("x.bil.gz", "")])
def test_compressed_data(tmp_path, name, flag):
    write(tmp_path, name=name, header="x.hdr", extra=flag)
    path = tmp_path / name
    path.write_bytes(gzip.compress(path.read_bytes()))
    for ask in (path, tmp_path / "x.hdr"):
        np.testing.assert_array_equal(read_image(ask, bands=[3]).cube, cube()[[3]])
    path.write_bytes(gzip.compress(cube()[:2].tobytes()))
    with pytest.raises(UserError, match=r"48 bytes unpacked of 120"):
        read_image(path)


def test_compressed_data_of_several_members_and_their_real_size(tmp_path, caplog):
    path = write(tmp_path, name="x.bil.gz", header="x.hdr")
    plain = path.read_bytes()
    path.write_bytes(gzip.compress(plain[:50]) + gzip.compress(plain[50:]))
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(read_image(path).cube, cube())
    assert not caplog.records
    path.write_bytes(gzip.compress(plain[:50]) + gzip.compress(plain[50:] + b"rest"))
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(read_image(path).cube, cube())
    assert "124 bytes unpacked, 120 expected" in caplog.text


def test_truncated_or_damaged_compressed_data(tmp_path, caplog):
    path = write(tmp_path, name="x.bil.gz", header="x.hdr")
    packed = gzip.compress(path.read_bytes())
    path.write_bytes(packed[:-12])
    with caplog.at_level(logging.WARNING), pytest.raises(UserError, match=r"cut short .*bytes unpacked of 120"):
        read_image(path)
    assert not caplog.records
    path.write_bytes(packed[:-8] + b"\0\0\0\0" + packed[-4:])
    with pytest.raises(UserError, match="compressed data is damaged"):
        read_image(path)
    header = tmp_path / "x.hdr"
    header.write_text(header.read_text().replace("lines = 3", "lines = 3000000000"))
    with pytest.raises(UserError, match="shorter than its header says"):
        open_image(path)


def test_data_called_compressed_that_are_not(tmp_path):
    path = write(tmp_path, extra="file compression = 1\n")
    np.testing.assert_array_equal(read_image(path).cube, cube())


def test_missing_byte_order_is_little_endian_with_a_warning(tmp_path, caplog):
    path = write(tmp_path, order=0)
    header = path.with_suffix(".hdr")
    header.write_text(header.read_text().replace("byte order = 0\n", ""))
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(read_image(path).cube, cube())
    assert "little-endian" in caplog.text


@pytest.mark.parametrize(
    ("units", "centres"),
    [("nm", 1.0), ("Nanometers", 1.0), ("um", 1e-3), ("Micrometers", 1e-3), ("Unknown", 1.0), ("Unknown", 1e-3)],
)
def test_wavelengths_become_nanometres(tmp_path, units, centres):
    truth = np.array([400.0, 500, 640, 900, 2500])
    listed = ", ".join(f"{v * centres:.6g}" for v in truth)
    widths = ", ".join(f"{10 * centres:.6g}" for _ in truth)
    path = write(
        tmp_path, extra=f"wavelength units = {units}\nwavelength = {{\n;a comment\n {listed}}}\nfwhm = {{{widths}}}\n"
    )
    item = read_image(path, bands=[4, 1])
    np.testing.assert_allclose(item.wavelength_nm, truth[[4, 1]])
    np.testing.assert_allclose(item.fwhm_nm, 10)


def test_latin1_header_with_capital_keys(tmp_path):
    path = write(tmp_path)
    header = path.with_suffix(".hdr")
    text = header.read_text().replace("samples", "Samples") + "wavelength units = µm\nwavelength = {1, 2, 3, 4, 5}\n"
    header.write_bytes(text.encode("latin-1"))
    np.testing.assert_allclose(open_image(path).wavelength_nm, [1000, 2000, 3000, 4000, 5000])


def test_bad_bands_nodata_scale_and_classes(tmp_path):
    values = cube("i2")
    values[:, 0, 0] = -99
    path = write(
        tmp_path,
        values,
        code=2,
        extra="bbl = {1, 1, 0, 1, 1}\ndata ignore value = -99\nreflectance scale factor = 10000\n"
        "class names = {Unclassified, water, soil}\n",
    )
    image = open_image(path)
    assert (image.bad_bands, image.nodata, image.scale, image.class_names) == ([2], -99, 1e-4, ["water", "soil"])
    item = image.read()
    assert (~item.valid).sum() == 1
    assert not item.valid[0, 0]
    assert item.good_bands.tolist() == [True, True, False, True, True]


def test_truncated_data_name_both_sizes(tmp_path):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"x\.bil: data is shorter .*119 bytes of 120"):
        open_image(path)


def test_longer_data_are_read_with_a_warning(tmp_path, caplog):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes() + b"tail")
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(read_image(path).cube, cube())
    assert "longer than its header says" in caplog.text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("data type = 12", "data type = 6", "complex"),
        ("data type = 12", "data type = 77", "not a known ENVI data type.*found 77"),
        ("interleave = bil", "interleave = abc", "interleave"),
        ("samples = 4\n", "", "samples: is missing"),
        ("lines = 3", "lines = three", "lines: is not a whole number"),
        ("bands = 5", "bands = 0", "empty"),
        ("byte order = 0", "byte order = 0\nwavelength = {1, 2}", r"2 values for 5 bands"),
        ("byte order = 0", "byte order = 0\nwavelength = {1, 2, x, 4, 5}", "no number"),
        ("byte order = 0", "byte order = 0\nwavelength = {1, 2,", "broken ENVI header"),
        ("byte order = 0", "byte order = 0\nwavelength units = Wavenumber\nwavelength = {1,2,3,4,5}", "units"),
        ("ENVI\n", "ENVY\n", "is not an ENVI header"),
    ],
)
def test_wrong_headers(tmp_path, old, new, message):
    path = write(tmp_path)
    header = path.with_suffix(".hdr")
    header.write_text(header.read_text().replace(old, new))
    with pytest.raises(UserError, match=message) as caught:
        open_image(header)
    assert "\n" not in str(caught.value)


def test_missing_partners(tmp_path):
    path = write(tmp_path)
    path.rename(tmp_path / "y.bil")
    with pytest.raises(UserError, match="no data file beside it"):
        open_image(tmp_path / "x.hdr")
    with pytest.raises(UserError, match="without an ENVI header"):
        open_image(tmp_path / "y.bil")


def test_a_spectral_library_is_a_table(tmp_path):
    values = np.arange(1, 13, dtype="f4").reshape(1, 3, 4)
    path = write(
        tmp_path,
        values,
        name="x.sli",
        code=4,
        interleave="bsq",
        extra="file type = ENVI Spectral Library\nwavelength = {400, 500, 600, 700}\n",
    )
    with pytest.raises(UserError, match="--table"):
        open_image(path)
    item = read_image(path, table=True)
    assert item.cube.shape == (4, 3, 1)
    np.testing.assert_array_equal(item.cube[:, 1, 0], values[0, 1])


def test_a_changed_header_is_read_anew(tmp_path):
    path = write(tmp_path)
    assert open_image(path).nodata is None
    header = path.with_suffix(".hdr")
    header.write_text(header.read_text() + "data ignore value = 5\n")
    assert open_image(path).nodata == 5


@pytest.mark.parametrize("bands", [[5], [-1], []])
def test_bands_that_do_not_exist(tmp_path, bands):
    with pytest.raises(UserError, match="bands are 0 to 4"):
        open_image(write(tmp_path)).read(bands)
