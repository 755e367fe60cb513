"""Label maps from every format."""

import logging

import numpy as np
import pytest
import rasterio
from scipy.io import savemat

from hsipipe.errors import UserError
from hsipipe.scenes.readers import read_image, read_labels
from hsipipe.scenes.scene import Item, write_scene

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
GT = np.array([[0, 1, 2, 2], [3, 0, 1, 1], [4, 4, 0, 2]])


def raster(path, values, driver="GTiff", **options):
    values = np.atleast_3d(values.T).T
    profile = {"count": len(values), "height": values.shape[1], "width": values.shape[2], "dtype": str(values.dtype)}
    with rasterio.open(path, "w", driver=driver, **profile, **options) as dataset:
        dataset.write(values)
    return path


def test_formats(tmp_path):
    np.save(tmp_path / "a.npy", GT.astype(np.int64))
    np.savez(tmp_path / "a.npz", gt=GT, other=np.ones((7, 2)))
    savemat(tmp_path / "a.mat", {"gt": GT.astype(float)})
    write_scene(tmp_path / "a.h5", [Item(cube=np.ones((2, 3, 4), np.float32), labels=GT)], name="a")
    (tmp_path / "a.bsq").write_bytes(GT.astype("u1").tobytes())
    (tmp_path / "a.hdr").write_text(
        "ENVI\nsamples = 4\nlines = 3\nbands = 1\ndata type = 1\ninterleave = bsq\nfile type = ENVI Classification\n"
        "classes = 5\nclass names = {Unclassified, a, b, c, d}\n"
    )
    addresses = [
        tmp_path / "a.npy",
        f"{tmp_path / 'a.npz'}:gt",
        tmp_path / "a.mat",
        f"{tmp_path / 'a.mat'}:gt",
        tmp_path / "a.h5",
        tmp_path / "a.hdr",
        raster(tmp_path / "a.tif", GT.astype(np.float32)),
        raster(tmp_path / "b.tif", GT.astype(np.uint8), photometric="palette"),
        raster(tmp_path / "a.png", GT.astype(np.uint8), "PNG"),
        raster(tmp_path / "rgb.png", np.stack([GT.astype(np.uint8)] * 3), "PNG"),
    ]
    for address in addresses:
        labels = read_labels(address)
        assert labels.dtype == np.int32, address
        np.testing.assert_array_equal(labels, GT, err_msg=str(address))


def test_a_turned_map_is_turned_back(tmp_path, caplog):
    np.save(tmp_path / "a.npy", GT.T)
    with caplog.at_level(logging.INFO):
        np.testing.assert_array_equal(read_labels(tmp_path / "a.npy", (3, 4)), GT)
    assert "turned" in caplog.text
    with pytest.raises(UserError, match="4 x 3 for an image of 5 x 5"):
        read_labels(tmp_path / "a.npy", (5, 5))


def test_the_map_that_fits_is_taken(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"cube": np.ones((3, 4, 5)), "small": np.ones((2, 2)), "gt": GT})
    np.testing.assert_array_equal(read_labels(path, (3, 4)), GT)
    with pytest.raises(UserError, match=r"several maps .*small 2x2, gt 3x4.*FILE:KEY"):
        read_labels(path)
    with pytest.raises(UserError, match="truth: has no such array; there are"):
        read_labels(f"{path}:truth")


def test_nan_and_nodata_are_unlabelled(tmp_path):
    values = GT.astype(np.float32)
    values[0, 1] = np.nan
    path = raster(tmp_path / "a.tif", values, nodata=4)
    expected = np.where(np.isnan(values) | (values == 4), 0, values)
    np.testing.assert_array_equal(read_labels(path), expected)


def test_what_are_no_labels(tmp_path):
    np.save(tmp_path / "a.npy", GT + 0.5)
    with pytest.raises(UserError, match=r"not whole numbers .*found 0.5"):
        read_labels(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.ones((3, 4, 5)))
    with pytest.raises(UserError, match="3x4x5"):
        read_labels(tmp_path / "b.npy")
    np.save(tmp_path / "c.npy", GT + 2**40)
    with pytest.raises(UserError, match="32 bits"):
        read_labels(tmp_path / "c.npy")
    write_scene(tmp_path / "a.h5", [Item(cube=np.ones((2, 3, 4), np.float32))], name="a")
    with pytest.raises(UserError, match="no labels"):
        read_labels(tmp_path / "a.h5")


def test_read_image_with_labels(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((3, 4, 6)))
    np.save(tmp_path / "gt.npy", GT.T)
    item = read_image(tmp_path / "x.npy", labels=tmp_path / "gt.npy")
    np.testing.assert_array_equal(item.labels, GT)
