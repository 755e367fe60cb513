"""NumPy files, ERDAS, scene files and what is no image at all."""

import logging
import struct

import numpy as np
import pytest

from hsipipe.errors import UserError
from hsipipe.scenes.readers import open_image, read_image
from hsipipe.scenes.scene import Item, write_scene

CUBE = (np.arange(3 * 4 * 5).reshape(3, 4, 5) + 1).astype(np.int16)


def test_npy_is_rows_cols_bands(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, CUBE)
    image = open_image(path)
    assert (image.shape, image.layout, image.format) == ((5, 3, 4), "rows-cols-bands", "npy")
    np.testing.assert_array_equal(image.read([4, 0]).cube, CUBE.transpose(2, 0, 1)[[4, 0]])
    np.testing.assert_array_equal(read_image(path, layout="bands-rows-cols").cube, CUBE)


def test_npy_in_fortran_order_and_big_endian(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.asfortranarray(CUBE).astype(">i2"))
    item = read_image(path)
    assert item.cube.dtype == np.int16
    assert item.cube.flags.c_contiguous
    np.testing.assert_array_equal(item.cube, CUBE.transpose(2, 0, 1))


def test_hyspecnet_npy_has_bands_first(tmp_path):
    path = tmp_path / "tile_001-patch_01-DATA.npy"
    values = np.random.default_rng(0).random((202, 4, 4)).astype(np.float32) + 0.1
    np.save(path, values)
    image = open_image(path)
    assert (image.shape, image.name, image.layout) == ((202, 4, 4), "tile_001-patch_01", "bands-rows-cols")
    assert image.wavelength_nm[[0, -1]].tolist() == [418.24, 2445.53]
    np.testing.assert_array_equal(image.read().cube, values)


def test_bands_first_by_mistake_is_warned_of(tmp_path, caplog):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((100, 64, 64)))
    with caplog.at_level(logging.WARNING):
        open_image(tmp_path / "a.npy")
    assert "--layout bands-rows-cols" in caplog.text


def test_npz(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, cube=CUBE, gt=np.zeros((3, 4), np.uint8), wavelength=np.linspace(0.4, 0.8, 5))
    image = open_image(path)
    assert (image.key, image.labels) == ("cube", ["gt"])
    np.testing.assert_allclose(image.wavelength_nm, np.linspace(400, 800, 5))
    np.testing.assert_array_equal(image.read([2]).cube, CUBE.transpose(2, 0, 1)[[2]])
    with pytest.raises(UserError, match="there are cube 3x4x5, gt 3x4"):
        open_image(path, key="data")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (CUBE[:, :, 0], "2 axes.*--table"),
        (CUBE[None], "4 axes.*1x3x4x5"),
        (CUBE[0, 0], "1 axes"),
        (CUBE.astype(complex), "complex"),
        (np.array([["a"]]), "not a numeric array"),
        (np.zeros((0, 3, 4)), "empty"),
        (np.array([[[None]]]), "Python objects"),
    ],
)
def test_arrays_that_are_no_image(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(UserError, match=message):
        open_image(tmp_path / "a.npy")


def test_truncated_and_damaged(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, CUBE)
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    with pytest.raises(UserError, match=r"238 bytes of 248 for 3x4x5 of int16"):
        open_image(path)
    path.write_bytes(content[:30])
    with pytest.raises(UserError, match=r"not a readable .npy"):
        open_image(path)
    np.savez(tmp_path / "b.npz", CUBE)
    (tmp_path / "b.npz").write_bytes((tmp_path / "b.npz").read_bytes()[:100])
    with pytest.raises(UserError, match=r"not a readable .npz"):
        open_image(tmp_path / "b.npz")


def test_table_with_nan(tmp_path):
    values = np.random.default_rng(0).random((6, 3))
    values[2, 1] = np.nan
    np.save(tmp_path / "a.npy", values)
    item = read_image(tmp_path / "a.npy", table=True)
    assert item.cube.shape == (3, 6, 1)
    assert np.argwhere(~item.valid).tolist() == [[2, 0]]


def erdas(order="<", mark=b"HEAD74", packing=2, sizes="2i"):
    header = bytearray(128)
    header[:6] = mark
    header[6:10] = struct.pack(order + "2h", packing, 5)
    header[16:24] = struct.pack(order + sizes, 4, 3)
    return bytes(header) + CUBE.transpose(0, 2, 1).astype(order + "i2").tobytes()  # lines of bands


@pytest.mark.parametrize(
    ("order", "mark", "sizes"), [("<", b"HEAD74", "2i"), (">", b"HEAD74", "2i"), ("<", b"HEADER", "2f")]
)
def test_erdas(tmp_path, order, mark, sizes):
    path = tmp_path / "a.lan"
    path.write_bytes(erdas(order, mark, sizes=sizes))
    path.with_suffix(".spc").write_text("FILE x\n-----\n" + "".join(f"{400 + n}.5 9.5 0 1\n" for n in range(5)))
    image = open_image(path)
    assert (image.format, image.shape, image.layout) == ("erdas", (5, 3, 4), "bil")
    np.testing.assert_array_equal(image.read().cube, CUBE.transpose(2, 0, 1))
    np.testing.assert_array_equal(image.read([3, 1]).cube, CUBE.transpose(2, 0, 1)[[3, 1]])
    np.testing.assert_allclose(image.wavelength_nm, 400.5 + np.arange(5))
    np.testing.assert_allclose(image.fwhm_nm, 9.5)


def test_erdas_agrees_with_spectral_python(tmp_path):
    spectral = pytest.importorskip("spectral")
    path = tmp_path / "a.lan"
    path.write_bytes(erdas())
    np.testing.assert_array_equal(
        read_image(path).cube, np.asarray(spectral.open_image(str(path)).load(), int).transpose(2, 0, 1)
    )


def test_erdas_faults(tmp_path):
    path = tmp_path / "a.lan"
    path.write_bytes(erdas()[:-1])
    with pytest.raises(UserError, match="247 bytes of 248"):
        open_image(path)
    path.write_bytes(erdas(packing=1))
    with pytest.raises(UserError, match="packing"):
        open_image(path)
    path.write_bytes(erdas())
    path.with_suffix(".spc").write_text("400\n500\n")
    with pytest.raises(UserError, match="2 values for 5 bands"):
        open_image(path)


def test_scene_files_are_images(tmp_path):
    path = tmp_path / "s.h5"
    cube = CUBE.transpose(2, 0, 1)
    labels = np.ones((3, 4), np.int32)
    items = [
        Item(cube=cube, name="a", wavelength_nm=np.linspace(400, 800, 5), labels=labels),
        Item(cube=cube[:, ::-1], name="b", wavelength_nm=np.linspace(400, 800, 5), labels=labels),
    ]
    write_scene(path, items, name="s")
    image = open_image(path, key="a")
    assert (image.format, image.name, image.shape, image.labels) == ("scene", "a", (5, 3, 4), ["a"])
    np.testing.assert_array_equal(open_image(path, key="b").read([2]).cube, cube[[2], ::-1])
    assert image.describe()["keys"] == {"a": [5, 3, 4], "b": [5, 3, 4]}
    assert image.describe()["simulated"] is False
    with pytest.raises(UserError, match="unknown item 'c'"):
        open_image(path, key="c")


def test_what_is_no_image(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        open_image(tmp_path / "none.tif")
    with pytest.raises(UserError, match="is a folder"):
        open_image(tmp_path)
    empty = tmp_path / "e.mat"
    empty.touch()
    with pytest.raises(UserError, match="is empty"):
        open_image(empty)
    picture = tmp_path / "p.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    with pytest.raises(UserError, match="picture"):
        open_image(picture)
    text = tmp_path / "t.txt"
    text.write_text("hello")
    with pytest.raises(UserError, match="cannot be read"):
        open_image(text)


def test_options_that_do_not_apply(tmp_path):
    np.save(tmp_path / "a.npy", CUBE)
    with pytest.raises(UserError, match="leave out the key"):
        open_image(tmp_path / "a.npy", key="x")
    (tmp_path / "a.lan").write_bytes(erdas())
    with pytest.raises(UserError, match="--layout"):
        open_image(tmp_path / "a.lan", layout="hwc")


def test_describe_is_json(tmp_path):
    import json

    values = CUBE.astype(np.float32)
    values[0, 0] = np.nan
    values[..., 1] = 7
    np.save(tmp_path / "a.npy", values)
    about = json.loads(json.dumps(open_image(tmp_path / "a.npy").describe()))
    assert {k: about[k] for k in ("rows", "cols", "bands", "dtype", "layout", "nodata", "labels")} == {
        "rows": 3,
        "cols": 4,
        "bands": 5,
        "dtype": "float32",
        "layout": "rows-cols-bands",
        "nodata": None,
        "labels": [],
    }
    assert about["bad_bands"] == [1]
    assert about["valid_share"] == pytest.approx(11 / 12)
    assert about["value_range"] == [6, 60]
    assert "value_range" not in open_image(tmp_path / "a.npy").describe(pixels=False)
