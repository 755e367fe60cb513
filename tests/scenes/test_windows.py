import h5py
import numpy as np
import pytest
from rasterio.crs import CRS
from scipy.io import savemat

from hsipipe.errors import UserError
from hsipipe.scenes.readers import read_image
from hsipipe.scenes.scene import Item
from hsipipe.scenes.windows import WindowedImage
from hsipipe.scenes.writers import write_image
from hsipipe.scenes.writers.windows import block_side, check_size, outline, write_windows

BANDS, ROWS, COLS = 5, 40, 48
SUFFIXES = (".npy", ".tif", ".bsq", ".bil", ".bip", ".h5", ".mat")
CORNERS = [(row, min(row + 16, ROWS), col, min(col + 16, COLS)) for row in range(0, ROWS, 16) for col in (0, 16, 32)]


@pytest.fixture
def cube():
    return np.random.default_rng(0).uniform(1, 2, (BANDS, ROWS, COLS)).astype(np.float32)


@pytest.fixture
def source():
    return {"crs": CRS.from_epsg(32633).to_wkt(), "transform": [30, 0, 1000, 0, -30, 5000], "nodata": -9999.0}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_windows_read_what_the_whole_holds(tmp_path, cube, suffix):
    path = tmp_path / f"image{suffix}"
    write_image(path, Item(cube=cube))
    with WindowedImage(path) as image:
        assert image.shape == cube.shape
        assert image.in_place == (suffix != ".mat")
        assert np.array_equal(image.read(), cube)
        assert np.array_equal(image.read((3, 9, 40, 48)), cube[:, 3:9, 40:48])
        with pytest.raises(UserError, match="has 40 rows and 48 columns"):
            image.read((3, 41, 0, 48))


def test_matlab_73_windows_are_turned_back(tmp_path, cube):
    path = tmp_path / "image.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["cube"] = cube  # MATLAB's (cols, rows, bands) reversed is (bands, rows, cols)
        file["cube"].attrs["MATLAB_class"] = np.bytes_("single")
    head = b"MATLAB 7.3 MAT-file".ljust(128) + b"\0" * 384
    with open(path, "r+b") as file:
        file.write(head)
    expected = read_image(path).cube
    with WindowedImage(path) as image:
        assert image.in_place
        assert np.array_equal(image.read((2, 7, 1, 4)), expected[:, 2:7, 1:4])


def test_survey_tells_bad_bands_and_makes_a_thumbnail(tmp_path, cube):
    cube[1] = 7
    cube[3] = np.nan
    cube[:, :8, :8] = 0
    path = tmp_path / "image.npy"
    np.save(path, cube.transpose(1, 2, 0))
    with WindowedImage(path) as image:
        survey = image.survey(factor=8)
        values, valid = image.read_valid(good_bands=survey.good_bands)
    assert survey.good_bands.tolist() == [True, False, True, False, True]
    assert survey.without.tolist() == [False, False, False, True, False]
    assert survey.constant.tolist() == [False, True, False, False, False]
    assert survey.thumbnail.shape == (BANDS, 5, 6)
    assert survey.thumbnail[0, 4, 5] == pytest.approx(cube[0, 32:, 40:].mean(), rel=1e-5)
    assert not survey.thumbnail_valid[0, 0]
    assert survey.thumbnail_valid[1:].all()
    assert len(values) == 3
    assert np.array_equal(valid, cube[0] != 0)


def test_survey_of_a_window_keeps_to_it(tmp_path, cube):
    cube[2, :20] = 3
    path = tmp_path / "image.npy"
    np.save(path, cube.transpose(1, 2, 0))
    with WindowedImage(path) as image:
        survey = image.survey(window=(0, 20, 8, 48), factor=4)
    assert survey.constant.tolist() == [False, False, True, False, False]
    assert survey.thumbnail[0, 0, 0] == pytest.approx(cube[0, :4, 8:12].mean(), rel=1e-5)


def test_nodata_and_masks_are_invalid(tmp_path, cube, source):
    valid = np.ones((ROWS, COLS), bool)
    valid[:5] = False
    for suffix in (".tif", ".h5"):
        path = tmp_path / f"image{suffix}"
        write_image(path, Item(cube=cube, valid=valid, source=source))
        with WindowedImage(path) as image:
            assert np.array_equal(image.read_valid((2, 10, 0, COLS))[1], valid[2:10])


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".hdr"])
def test_written_windows_make_the_file_that_the_whole_makes(tmp_path, cube, source, suffix):
    centres = np.linspace(450, 850, BANDS)
    valid = np.random.default_rng(1).uniform(size=(ROWS, COLS)) > 0.1
    source = {**source, "dtype": "float32"}
    whole = Item(cube=cube, name="out", valid=valid, wavelength_nm=centres, fwhm_nm=centres / 50, source=source)
    write_image(tmp_path / f"whole{suffix}", whole)
    path = tmp_path / f"out{suffix}"
    like = outline(cube.shape, name="out", wavelength_nm=centres, fwhm_nm=centres / 50, source=source)
    with write_windows(path, like, side=16) as write:
        for top, bottom, left, right in CORNERS:
            space = (slice(top, bottom), slice(left, right))
            write((top, bottom, left, right), cube[:, *space], valid[space])
        assert not path.exists()
    found, expected = read_image(path), read_image(tmp_path / f"whole{suffix}")
    assert found.cube.dtype == np.float32
    assert np.array_equal(found.cube[:, valid], expected.cube[:, valid])
    for name in ("valid", "wavelength_nm", "fwhm_nm"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))
    for name in ("nodata", "crs", "transform", "layout"):
        assert found.source.get(name) == expected.source.get(name)
    if suffix == ".npy":
        assert (found.cube[:, ~valid] == -9999).all()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failure_leaves_nothing(tmp_path, cube, suffix):
    def fail():
        like = outline(cube.shape, name="out", wavelength_nm=None, fwhm_nm=None, source={})
        with write_windows(tmp_path / f"out{suffix}", like, side=16) as write:
            write((0, 16, 0, 16), cube[:, :16, :16], np.ones((16, 16), bool))
            raise UserError("stop")

    with pytest.raises(UserError, match="stop"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_geotiff_tiles_never_straddle_windows(tmp_path, cube):
    import rasterio

    path = tmp_path / "out.tif"
    like = outline(cube.shape, name="out", wavelength_nm=None, fwhm_nm=None, source={"transform": [1, 0, 0, 0, -1, 0]})
    with write_windows(path, like, side=48) as write:
        write((0, ROWS, 0, COLS), cube, np.ones((ROWS, COLS), bool))
    with rasterio.open(path) as dataset:
        assert set(dataset.block_shapes) == {(48, 48)}


def test_block_sides_hold_whole_lr_pixels_and_tiles():
    assert block_side(100, 4) == 112
    assert block_side(16, 4) == 16
    assert block_side(1, 5) == 80
    assert block_side(500, 31) == 992


def test_matlab_is_refused_above_its_limit(tmp_path):
    check_size(tmp_path / "x.mat", (60, 4000, 4000))
    with pytest.raises(UserError, match="too large for MATLAB v5"):
        check_size(tmp_path / "x.mat", (100, 4000, 4000))
    check_size(tmp_path / "x.tif", (100, 4000, 4000))


def test_layout_of_the_input_is_kept(tmp_path, cube):
    savemat(tmp_path / "in.mat", {"cube": cube})
    source = read_image(tmp_path / "in.mat", layout="bands-rows-cols").source
    like = outline(cube.shape, name="out", wavelength_nm=None, fwhm_nm=None, source=source)
    with write_windows(tmp_path / "out.npy", like, side=16) as write:
        write((0, ROWS, 0, COLS), cube, np.ones((ROWS, COLS), bool))
    assert np.load(tmp_path / "out.npy").shape == cube.shape
