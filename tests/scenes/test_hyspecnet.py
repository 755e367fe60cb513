"""HySpecNet-11k's layout: patches, quality layers, splits; EnMAP's bands."""

import logging

import numpy as np
import pytest
import rasterio

from hsipipe.errors import UserError
from hsipipe.scenes.convert import convert
from hsipipe.scenes.enmap import enmap_bands
from hsipipe.scenes.hyspecnet import hyspecnet_patches, hyspecnet_split, is_hyspecnet, read_hyspecnet, tile_of
from hsipipe.scenes.scene import Scene

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
TILE = "ENMAP01-____L2A-DT0000004950_20221103T162438Z_001_V010110_20221118T145147Z"
PATCHES = [f"{TILE}-Y01460273_X03110438", f"{TILE}-Y04390566_X03110438"]


def layer(path, values, dtype="uint8"):
    values = np.atleast_3d(values.T).T.astype(dtype)
    profile = {"count": len(values), "height": values.shape[1], "width": values.shape[2], "dtype": dtype}
    with rasterio.open(path, "w", driver="GTiff", **profile) as dataset:
        dataset.write(values)


@pytest.fixture
def dataset(tmp_path):
    root = tmp_path / "hyspecnet-11k"
    generator = np.random.default_rng(0)
    for patch in PATCHES:
        folder = root / "patches" / TILE / patch
        folder.mkdir(parents=True)
        np.save(folder / f"{patch}-DATA.npy", generator.random((202, 6, 7)).astype(np.float32) + 0.01)
        layer(folder / f"{patch}-SPECTRAL_IMAGE.TIF", generator.integers(1, 9999, (224, 6, 7)), "int16")
        for name in ("CLOUD", "CIRRUS", "HAZE", "CLOUDSHADOW", "SNOW", "TESTFLAGS"):
            layer(folder / f"{patch}-QL_QUALITY_{name}.TIF", np.zeros((6, 7)))
        layer(folder / f"{patch}-QL_QUALITY_CLASSES.TIF", np.ones((6, 7)))
        layer(folder / f"{patch}-QL_PIXELMASK.TIF", np.zeros((224, 6, 7)))
    for which in ("easy", "hard"):
        for part, names in (("train", PATCHES[:1]), ("val", PATCHES[1:]), ("test", ["T-Y1_X1"])):
            file = root / "splits" / which / f"{part}.csv"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(f"{tile_of(n)}/{n}/{n}-DATA.npy\n" for n in names))
    return root


def test_bands_of_enmap():
    bands = enmap_bands()
    assert [len(values) for values in bands] == [224, 224, 224]
    assert bands.hyspecnet.sum() == 202
    # Bands 127-141 and 161-167, counted from 1 (Fuchs and Demir 2023): strong water absorption.
    dropped = np.flatnonzero(~bands.hyspecnet) + 1
    assert dropped.tolist() == [*range(127, 142), *range(161, 168)]
    assert (bands.wavelength_nm[0], bands.wavelength_nm[-1]) == (418.24, 2445.53)
    assert bands.wavelength_nm[91] < bands.wavelength_nm[90]
    assert (bands.fwhm_nm > 0).all()


def test_tiles():
    assert tile_of(PATCHES[0]) == tile_of(PATCHES[1]) == TILE
    assert tile_of("tile_001-patch_01") == "tile_001"
    assert tile_of("enmap_potsdam_tile_128_0") == "enmap_potsdam_tile_128_0"
    assert tile_of("abu-airport-1") == "abu-airport-1"


@pytest.mark.parametrize("form", ["data", "tiff"])
@pytest.mark.parametrize("below", [".", "patches", f"patches/{TILE}"])
def test_patches(dataset, form, below):
    assert is_hyspecnet(dataset / below)
    items = list(read_hyspecnet(dataset / below, form=form))
    assert [item.name for item in items] == PATCHES
    for item in items:
        assert item.cube.shape == (202, 6, 7)
        assert item.cube.dtype == (np.float32 if form == "data" else np.int16)
        np.testing.assert_array_equal(item.wavelength_nm, enmap_bands().wavelength_nm[enmap_bands().hyspecnet])
        assert item.source["tile"] == TILE
        assert item.valid.all()
    path = dataset / "patches" / TILE / PATCHES[0]
    if form == "data":
        np.testing.assert_array_equal(items[0].cube, np.load(path / f"{PATCHES[0]}-DATA.npy"))
    else:
        with rasterio.open(path / f"{PATCHES[0]}-SPECTRAL_IMAGE.TIF") as image:
            np.testing.assert_array_equal(items[0].cube, image.read()[enmap_bands().hyspecnet])


@pytest.mark.parametrize("name", ["CLOUD", "CIRRUS", "HAZE", "CLOUDSHADOW", "SNOW"])
def test_hiding_layers(dataset, name):
    values = np.zeros((6, 7))
    values[2, 3] = 2
    layer(dataset / "patches" / TILE / PATCHES[0] / f"{PATCHES[0]}-QL_QUALITY_{name}.TIF", values)
    first, second = read_hyspecnet(dataset)
    assert np.argwhere(~first.valid).tolist() == [[2, 3]]
    assert second.valid.all()
    clear, _ = read_hyspecnet(dataset, layers=())
    assert clear.valid.all()


def test_background_and_defective_pixels(dataset):
    folder = dataset / "patches" / TILE / PATCHES[0]
    classes = np.ones((6, 7))
    classes[0, 0], classes[0, 1] = 3, 2
    layer(folder / f"{PATCHES[0]}-QL_QUALITY_CLASSES.TIF", classes)
    defects = np.zeros((224, 6, 7))
    defects[130, 4, 4] = 1  # a band that is dropped
    defects[10, 5, 5] = 1
    layer(folder / f"{PATCHES[0]}-QL_PIXELMASK.TIF", defects)
    first = next(read_hyspecnet(dataset, defective_bands=0))
    assert np.argwhere(~first.valid).tolist() == [[0, 0], [5, 5]]
    first = next(read_hyspecnet(dataset))
    assert np.argwhere(~first.valid).tolist() == [[0, 0]]


def test_a_patch_of_clouds_is_passed_over(dataset, caplog):
    layer(dataset / "patches" / TILE / PATCHES[0] / f"{PATCHES[0]}-QL_QUALITY_CLOUD.TIF", np.ones((6, 7)))
    with caplog.at_level(logging.WARNING):
        assert [item.name for item in read_hyspecnet(dataset)] == PATCHES[1:]
    assert "passed over" in caplog.text
    image = dataset / "patches" / TILE / PATCHES[1] / f"{PATCHES[1]}-DATA.npy"
    np.save(image, np.zeros((202, 6, 7), np.float32))
    assert not list(read_hyspecnet(dataset))


def test_a_layer_of_another_size(dataset):
    layer(dataset / "patches" / TILE / PATCHES[0] / f"{PATCHES[0]}-QL_QUALITY_CLOUD.TIF", np.ones((5, 7)))
    with pytest.raises(UserError, match="5 x 7 for 6 x 7"):
        next(read_hyspecnet(dataset))


def test_splits(dataset):
    for which in ("easy", "hard"):
        assert hyspecnet_split(dataset, which) == {PATCHES[0]: "train", PATCHES[1]: "val", "T-Y1_X1": "test"}
    assert hyspecnet_split(dataset / "patches", "easy")[PATCHES[0]] == "train"
    with pytest.raises(UserError, match="unknown split 'easi'; did you mean 'easy'"):
        hyspecnet_split(dataset, "easi")
    test = dataset / "splits" / "easy" / "test.csv"
    test.write_text((dataset / "splits" / "easy" / "train.csv").read_text())
    with pytest.raises(UserError, match="also in train"):
        hyspecnet_split(dataset, "easy")
    test.unlink()
    with pytest.raises(UserError, match=r"test\.csv: does not exist"):
        hyspecnet_split(dataset, "easy")
    with pytest.raises(UserError, match="no official split"):
        hyspecnet_split(dataset.parent, "easy")


def test_names_and_conversion(dataset, tmp_path):
    assert [item.name for item in read_hyspecnet(dataset, names=PATCHES[1:])] == PATCHES[1:]
    with pytest.raises(UserError, match="misses 1 of 1 patches"):
        next(read_hyspecnet(dataset, names=["T-Y1_X1"]))
    with pytest.raises(UserError, match="holds no HySpecNet patch"):
        hyspecnet_patches(tmp_path / "hyspecnet-11k" / "splits")
    convert(dataset, tmp_path / "h.h5")
    with Scene(tmp_path / "h.h5") as scene:
        assert scene.items == PATCHES
        assert scene.bands == 202
