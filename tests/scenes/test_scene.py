import numpy as np
import pytest
import xarray

from hsipipe.errors import UserError
from hsipipe.scenes.scene import Item, Scene, write_scene


def make_item(name, rows, cols, bands=5, dtype=np.int16):
    cube = np.arange(bands * rows * cols).reshape(bands, rows, cols).astype(dtype)
    valid = np.ones((rows, cols), bool)
    valid[0, 0] = False
    return Item(
        cube,
        name=name,
        valid=valid,
        wavelength_nm=np.linspace(400, 800, bands),
        labels=np.full((rows, cols), 2),
        source={"scale": 1e-4, "path": f"{name}.tif"},
    )


@pytest.fixture
def two_sizes(tmp_path):
    items = [make_item("small", 3, 4), make_item("large", 6, 2)]
    write_scene(tmp_path / "s.h5", items, name="two", simulated=True)
    return tmp_path / "s.h5", items


def test_items_of_different_size_come_back_as_they_were(two_sizes):
    path, items = two_sizes
    with Scene(path) as scene:
        assert scene.items == ["small", "large"]
        assert scene.sizes == {"small": (3, 4), "large": (6, 2)}
        assert scene.simulated
        assert scene.dtype == np.int16
        for item in items:
            back = scene.read(item.name)
            assert np.array_equal(back.cube, item.cube)
            assert back.cube.dtype == np.float32
            assert np.array_equal(back.valid, item.valid)
            assert np.array_equal(back.labels, item.labels)
            assert back.source["scale"] == 1e-4


def test_bands_in_any_order_and_window(two_sizes):
    path, items = two_sizes
    with Scene(path) as scene:
        part = scene.read("large", bands=[4, 1, 1], window=(1, 5, 0, 1))
    assert np.array_equal(part.cube, items[1].cube[[4, 1, 1], 1:5, 0:1])
    assert np.allclose(part.wavelength_nm, [800, 500, 500])


def test_xarray_opens_it_with_named_dimensions(two_sizes):
    path, _ = two_sizes
    with xarray.open_dataset(path, engine="h5netcdf") as dataset:
        assert dataset.cube.dims == ("item", "band", "row", "col")
        assert dataset.wavelength_nm.attrs["units"] == "nm"


def test_digest_follows_the_content(tmp_path):
    changed = make_item("small", 3, 4)
    changed.cube[0, 0, 0] += 1
    for name, item in (("a", make_item("small", 3, 4)), ("b", make_item("small", 3, 4)), ("c", changed)):
        write_scene(tmp_path / f"{name}.h5", [item], name="x")
    digests = [Scene(tmp_path / f"{name}.h5").digests["small"] for name in "abc"]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (make_item("small", 3, 4), "two items are named"),
        (make_item("other", 3, 4, bands=6), "6 bands"),
        (make_item("other", 3, 4, dtype=np.float32), "float32"),
    ],
)
def test_items_that_do_not_fit_are_refused_and_nothing_is_left(tmp_path, second, message):
    with pytest.raises(UserError, match=message):
        write_scene(tmp_path / "s.h5", [make_item("small", 3, 4), second], name="x")
    assert list(tmp_path.iterdir()) == []


def test_no_item_is_refused(tmp_path):
    with pytest.raises(UserError, match="at least one item"):
        write_scene(tmp_path / "s.h5", [], name="x")


def test_another_file_is_not_a_scene(tmp_path):
    (tmp_path / "x.h5").write_text("hello")
    with pytest.raises(UserError, match="not a readable HDF5"):
        Scene(tmp_path / "x.h5")


def test_unknown_item_suggests_the_nearest(two_sizes):
    with Scene(two_sizes[0]) as scene, pytest.raises(UserError, match="did you mean 'large'"):
        scene.read("lrge")


def test_wavelengths_must_match_the_bands():
    with pytest.raises(UserError, match="4 values of wavelength_nm for 5 bands"):
        Item(np.zeros((5, 2, 2)), wavelength_nm=np.arange(4))
