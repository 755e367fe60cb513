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


def rgb(tmp_path, image):
    """A WindowedImage of (bands, rows, cols)."""
    np.save(tmp_path / "rgb.npy", image.transpose(1, 2, 0))
    return WindowedImage(tmp_path / "rgb.npy")


@pytest.mark.parametrize("bands", [1, 3])
def test_black_is_a_measurement_in_few_bands(tmp_path, bands):
    generator = np.random.default_rng(3)
    image = generator.integers(1, 255, (bands, 60, 80)).astype(np.uint8)
    scattered = generator.uniform(size=(60, 80)) < 0.05
    image[:, scattered] = 0
    # A shadow that deepens to 0 in its middle, 49 pixels of 4,800.
    row, col = np.mgrid[:60, :80]
    depth = np.clip(np.maximum(abs(row - 30), abs(col - 40)) - 3, 0, 20)
    shadow = depth < 20
    image[:, shadow] = depth[shadow].astype(np.uint8)
    with rgb(tmp_path, image) as opened:
        values, valid = opened.read_valid()
        assert opened.holes == 0
        assert valid.all()
        assert np.array_equal(values, image.astype(np.float32))
        assert opened.survey(factor=4).thumbnail[0, 0, 0] == pytest.approx(image[0, :4, :4].mean(), rel=1e-6)


def test_many_bands_that_are_all_zero_are_no_data(tmp_path):
    image = np.ones((12, 20, 20), np.uint8) + np.arange(20, dtype=np.uint8)
    image[:, 5, 5] = image[:11, 6, 6] = 0
    with rgb(tmp_path, image) as opened:
        valid = opened.read_valid()[1]
    assert np.argwhere(~valid).tolist() == [[5, 5]]


@pytest.mark.parametrize("place", [(0, 0), (20, 30)], ids=["wedge at the border", "hole within"])
@pytest.mark.parametrize("side", [2048, 16])
def test_large_holes_of_zeros_are_no_data(tmp_path, monkeypatch, place, side):
    monkeypatch.setattr("hsipipe.scenes.windows.HOLE_SIDE", side)
    monkeypatch.setattr("hsipipe.scenes.windows.STRIP_BYTES", 3 * 4 * 80 * 10)  # several strips
    image = np.random.default_rng(3).integers(60, 255, (3, 60, 80)).astype(np.uint8)
    hole = np.zeros((60, 80), bool)
    hole[place[0] : place[0] + 18, place[1] : place[1] + 20] = True
    image[:, hole] = 0
    image[:, 55, 70] = 0  # black
    with rgb(tmp_path, image) as opened:
        assert np.array_equal(opened.read_valid()[1], ~hole)
        assert np.array_equal(opened.read_valid((10, 30, 5, 60))[1], ~hole[10:30, 5:60])
        assert opened.holes == hole.sum()


def test_a_file_that_tells_its_nodata_is_taken_at_its_word(tmp_path, source):
    image = np.random.default_rng(3).uniform(60, 255, (3, 60, 80)).astype(np.float32)
    image[:, :20, :20] = 0
    image[:, 40:, 40:] = -9999
    write_image(tmp_path / "rgb.tif", Item(cube=image, source=source))
    with WindowedImage(tmp_path / "rgb.tif") as opened:
        assert opened.file.nodata == -9999
        assert np.array_equal(opened.read_valid()[1], image[0] != -9999)


def test_a_matrix_is_read_by_windows_as_one_band(tmp_path):
    image = np.arange(60.0).reshape(6, 10)
    np.save(tmp_path / "pan.npy", image)
    with WindowedImage(tmp_path / "pan.npy", layout="rows-cols") as opened:
        assert opened.in_place
        assert opened.shape == (1, 6, 10)
        assert np.array_equal(opened.read((1, 3, 2, 9)), image[None, 1:3, 2:9])


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
