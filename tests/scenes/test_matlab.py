"""MATLAB v5 and v7.3, plain HDF5: keys, layouts, unfolded cubes, wavelengths beside the cube."""

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from hsipipe.errors import UserError
from hsipipe.scenes.readers import open_image, read_image

CUBE = (np.arange(3 * 4 * 5).reshape(3, 4, 5) + 1).astype(np.uint16)  # rows, cols, bands as MATLAB shows them


def save73(path, arrays):
    """As MATLAB 7.3 does: HDF5 behind a 512-byte block, axes reversed, the class as an attribute."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for key, array in arrays.items():
            dataset = file.create_dataset(key, data=np.atleast_2d(array).T)
            dataset.attrs["MATLAB_class"] = np.bytes_({"u": "uint16", "f": "double", "i": "int16"}[array.dtype.kind])
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return path


@pytest.fixture(params=["v5", "v5 compressed", "v7.3"])
def save(request, tmp_path):
    def write(arrays, name="x.mat"):
        path = tmp_path / name
        if request.param == "v7.3":
            return save73(path, {k: np.asarray(v) for k, v in arrays.items()})
        savemat(path, arrays, do_compression=request.param != "v5")
        return path

    return write


def test_the_only_cube_is_found(save):
    path = save({"hsi": CUBE, "gt": np.ones((3, 4), np.uint16), "note": np.array([1.5])})
    image = open_image(path)
    assert (image.key, image.shape, image.layout, image.dtype) == ("hsi", (5, 3, 4), "rows-cols-bands", np.uint16)
    assert image.labels == ["gt"]
    assert image.keys["hsi"] == (3, 4, 5)
    np.testing.assert_array_equal(image.read().cube, CUBE.transpose(2, 0, 1))
    np.testing.assert_array_equal(image.read([4, 1, 1]).cube, CUBE.transpose(2, 0, 1)[[4, 1, 1]])


def test_labels_of_the_same_file(save):
    gt = np.arange(12, dtype=np.uint16).reshape(3, 4)
    item = read_image(save({"hsi": CUBE, "gt": gt}), labels="gt")
    np.testing.assert_array_equal(item.labels, gt)


def test_several_cubes_need_a_key(save):
    path = save({"hsi": CUBE, "rgb": CUBE[:, :, :3]})
    with pytest.raises(UserError, match=r"several cubes \(found hsi 3x4x5, rgb 3x4x3\).*--key"):
        open_image(path)
    assert open_image(path, key="rgb").shape == (3, 3, 4)
    with pytest.raises(UserError, match=r"cube: has no such array; there are .*hsi 3x4x5.*rgb 3x4x3"):
        open_image(path, key="cube")


@pytest.mark.parametrize("names", [("nRow", "nCol"), ("lines", "cols"), ("ROWS", "Cols")])
def test_an_unfolded_cube_is_column_major(save, names):
    unfolded = CUBE.transpose(2, 0, 1).reshape(5, 12, order="F")
    assert unfolded[0, 1] == CUBE[1, 0, 0]
    sizes = dict(zip(names, (3.0, 4.0), strict=True))
    for matrix, layout in ((unfolded, "bands-pixels"), (unfolded.T, "pixels-bands")):
        path = save({"Y": matrix, "M": np.ones((5, 2)), **{k: np.array([[v]]) for k, v in sizes.items()}})
        image = open_image(path)
        assert (image.key, image.layout, image.shape) == ("Y", layout, (5, 3, 4))
        np.testing.assert_array_equal(image.read().cube, CUBE.transpose(2, 0, 1))
        np.testing.assert_array_equal(image.read([2]).cube, CUBE.transpose(2, 0, 1)[[2]])


def test_abundances_beside_an_unfolded_cube_do_not_confuse(save):
    unfolded = CUBE.transpose(2, 0, 1).reshape(5, 12, order="F")
    arrays = {"Y": unfolded, "A": unfolded[:2], "S_GT": CUBE.astype(float)}
    sizes = {"nRow": np.array([[3.0]]), "nCol": np.array([[4.0]])}
    assert open_image(save({**arrays, **sizes, "nBand": np.array([[5.0]])})).key == "Y"
    with pytest.raises(UserError, match=r"several matrices .*(Y 5x12, A 2x12|A 2x12, Y 5x12)"):
        open_image(save({**arrays, **sizes}, "y.mat"))


def test_matrices_are_tables_or_refused(save):
    path = save({"X": CUBE[:, :, 0].astype(float)})
    with pytest.raises(UserError, match=r"X: has 2 axes.*found 3x4.*--table.*nRow"):
        open_image(path)
    item = read_image(path, table=True)
    assert item.cube.shape == (4, 3, 1)
    np.testing.assert_array_equal(item.cube[:, :, 0], CUBE[:, :, 0].T)
    assert read_image(path, layout="bands-pixels").cube.shape == (3, 4, 1)
    assert read_image(path, layout="rows-cols").cube.shape == (1, 3, 4)


def test_four_axes_are_refused(save):
    with pytest.raises(UserError, match=r"4 axes.*3x4x5x2.*save each image"):
        open_image(save({"X": np.ones((3, 4, 5, 2))}))


def test_layouts(save):
    path = save({"X": CUBE})
    assert open_image(path, layout="bands-rows-cols").shape == (3, 4, 5)
    assert open_image(path, layout="bil").shape == (4, 3, 5)
    np.testing.assert_array_equal(read_image(path, layout="chw", bands=[1]).cube, CUBE[1:2])
    with pytest.raises(UserError, match="rows-cols-bands"):
        open_image(path, layout="rows-cols-wavelengths")


@pytest.mark.parametrize("key", ["wavelengths", "wl", "lambda", "bands"])
@pytest.mark.parametrize("unit", [1, 1e-3])
def test_wavelengths_beside_the_cube(save, key, unit):
    truth = np.array([430.0, 500, 600, 700, 860])
    image = open_image(save({"X": CUBE, key: (truth * unit)[None]}))
    np.testing.assert_allclose(image.wavelength_nm, truth)


def test_band_indices_are_no_wavelengths(save):
    assert open_image(save({"X": CUBE, "bands": np.arange(1.0, 6)[None]})).wavelength_nm is None


def test_wavelengths_of_another_length_are_refused(save):
    with pytest.raises(UserError, match=r"wavelengths: wavelengths do not match the bands .*4 values for 5 bands"):
        open_image(save({"X": CUBE, "wavelengths": np.array([[400.0, 500, 600, 700]])}))


def test_wavelengths_of_the_other_cube_are_passed_over(save):
    path = save({"hsi": CUBE, "msi": CUBE[:, :, :3], "wl": np.array([[400.0, 500, 600, 700, 800]])})
    assert open_image(path, key="msi").wavelength_nm is None
    assert open_image(path, key="hsi").wavelength_nm is not None


def test_floats_become_float32_and_nan_is_masked(save):
    values = CUBE.astype(np.float64)
    values[1, 2, 3] = np.nan
    item = read_image(save({"X": values}))
    assert item.cube.dtype == np.float32
    assert item.source["dtype"] == "float64"
    assert np.argwhere(~item.valid).tolist() == [[1, 2]]


def test_plain_hdf5_is_not_turned(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["group/cube"] = CUBE
        file["group/wavelength"] = np.linspace(400, 800, 5)
    image = open_image(path)
    assert (image.format, image.key, image.shape) == ("hdf5", "group/cube", (5, 3, 4))
    np.testing.assert_array_equal(image.read([3, 0]).cube, CUBE.transpose(2, 0, 1)[[3, 0]])
    np.testing.assert_allclose(image.wavelength_nm, np.linspace(400, 800, 5))


@pytest.mark.parametrize("cut", [20, 130, 200])
def test_damaged_files(tmp_path, cut):
    path = tmp_path / "x.mat"
    savemat(path, {"X": CUBE})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"x\.mat") as caught:
        open_image(path)
    assert "\n" not in str(caught.value)


def test_damaged_v73(tmp_path):
    path = save73(tmp_path / "x.mat", {"X": np.random.default_rng(0).random((40, 50, 60))})
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match="not a readable HDF5 file"):
        open_image(path)


def test_what_is_no_number(tmp_path):
    path = tmp_path / "x.mat"
    savemat(path, {"X": CUBE, "s": {"a": 1}, "t": "text"})
    with pytest.raises(UserError, match=r"s: is not a numeric array \(found struct\); there are X 3x4x5"):
        open_image(path, key="s")
    savemat(path, {"X": CUBE.astype(complex)})
    with pytest.raises(UserError, match="complex"):
        open_image(path)
    savemat(path, {"t": "text"})
    with pytest.raises(UserError, match=r"no numeric array \(found t \(char\)\)"):
        open_image(path)
