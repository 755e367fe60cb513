"""Folders and conversion."""

import numpy as np
import pytest

from hsipipe.errors import UserError
from hsipipe.files import sha256_of
from hsipipe.scenes.convert import convert
from hsipipe.scenes.readers import image_files, read_folder, read_image, read_labels, read_scene_items
from hsipipe.scenes.scene import Item, Scene, write_scene
from hsipipe.scenes.writers import write_image


def item(name, seed=0, rows=4):
    cube = np.random.default_rng(seed).integers(1, 999, (3, rows, 5)).astype(np.int16)
    return Item(cube=cube, name=name, wavelength_nm=np.array([450.0, 550, 650]))


@pytest.fixture
def specimens(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    write_image(folder / "a.bil", item("a", 0))
    write_image(folder / "b.raw", item("b", 1, rows=6))
    write_image(folder / "c.tif", item("c", 2))
    (folder / "notes.txt").write_text("x")
    (folder / ".hidden.tif").write_bytes(b"x")
    (folder / "c_gt.tif").write_bytes(b"x")
    (folder / "loose.raw").write_bytes(b"x")
    return folder


def test_images_of_a_folder_stand_once(specimens):
    assert [path.name for path in image_files(specimens)] == ["a.hdr", "b.hdr", "c.tif"]
    items = list(read_folder(specimens))
    assert [i.name for i in items] == ["a", "b", "c"]
    np.testing.assert_array_equal(items[1].cube, item("b", 1, rows=6).cube)


def test_a_folder_becomes_a_scene(specimens, tmp_path):
    output = convert(specimens, tmp_path / "out.h5")
    with Scene(output) as scene:
        assert (scene.name, scene.items) == ("out", ["a", "b", "c"])
        np.testing.assert_array_equal(scene.read("b").cube, item("b", 1, rows=6).cube)


def test_same_names_in_several_folders(tmp_path):
    for number, part in enumerate(("one", "two")):
        (tmp_path / "in" / part).mkdir(parents=True)
        write_image(tmp_path / "in" / part / "x.tif", item("x", number))
    assert [i.name for i in read_folder(tmp_path / "in")] == ["one_x", "two_x"]


def test_labels_of_a_folder(specimens, tmp_path):
    labels = tmp_path / "labels"
    labels.mkdir()
    for name, rows in (("a_gt", 4), ("b", 6), ("c_labels", 4)):
        np.save(labels / f"{name}.npy", np.full((rows, 5), rows))
    np.save(labels / "ab.npy", np.zeros((1, 1)))
    convert(specimens, tmp_path / "out.h5", labels=labels)
    with Scene(tmp_path / "out.h5") as scene:
        assert [int(scene.read(name).labels[0, 0]) for name in "abc"] == [4, 6, 4]
    (labels / "b.npy").unlink()
    with pytest.raises(UserError, match="b: has no label map"):
        convert(specimens, tmp_path / "again.h5", labels=labels)
    assert not (tmp_path / "again.h5").exists()


def test_images_beside_labels(tmp_path):
    (tmp_path / "in" / "images").mkdir(parents=True)
    (tmp_path / "in" / "labels").mkdir()
    write_image(tmp_path / "in" / "images" / "a.tif", item("a"))
    np.save(tmp_path / "in" / "labels" / "a.npy", np.full((4, 5), 2))
    (only,) = read_folder(tmp_path / "in")
    assert set(only.labels.ravel()) == {2}


def test_one_file(specimens, tmp_path):
    np.save(tmp_path / "gt.npy", np.full((4, 5), 3))
    convert(specimens / "a.hdr", tmp_path / "a.h5", labels=tmp_path / "gt.npy")
    with Scene(tmp_path / "a.h5") as scene:
        read = scene.read("a")
        assert read.source["sha256"] == sha256_of(specimens / "a.bil")
        assert read.labels.max() == 3
    convert(tmp_path / "a.h5", tmp_path / "a.npy", key="a")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), item("a").cube.transpose(1, 2, 0))
    assert np.load(tmp_path / "a.npy").dtype == np.int16


def test_several_files_and_scenes(specimens, tmp_path):
    convert([specimens / "a.bil", specimens / "c.tif"], tmp_path / "two.h5")
    convert(tmp_path / "two.h5", tmp_path / "same.h5")
    with Scene(tmp_path / "same.h5") as scene:
        assert scene.items == ["a", "c"]
    convert(tmp_path / "two.h5", tmp_path / "one.h5", key="c")
    with Scene(tmp_path / "one.h5") as scene:
        assert scene.items == ["c"]


def test_a_simulated_scene_stays_simulated(tmp_path):
    write_scene(tmp_path / "s.h5", [item("a")], name="s", simulated=True)
    convert(tmp_path / "s.h5", tmp_path / "t.h5")
    write_image(tmp_path / "u.h5", read_image(tmp_path / "s.h5"))
    for name in ("t.h5", "u.h5"):
        with Scene(tmp_path / name) as scene:
            assert scene.simulated


def test_several_items_never_shrink_to_the_first(tmp_path):
    labels = np.ones((4, 5), int)
    items = [item(name, number) for number, name in enumerate("abcdefg")]
    for one in items:
        one.labels = labels
    write_scene(tmp_path / "s.h5", items, name="s")
    for call in (read_image, read_labels):
        with pytest.raises(UserError, match=r"holds several items \(found 7: a, b, c, d, e, \.\.\.\); say --key ITEM"):
            call(tmp_path / "s.h5")
    with pytest.raises(UserError, match="--key ITEM"):
        convert(tmp_path / "s.h5", tmp_path / "out.tif")
    assert not (tmp_path / "out.tif").exists()
    np.testing.assert_array_equal(read_image(tmp_path / "s.h5", key="c").cube, items[2].cube)
    assert [one.name for one in read_scene_items(tmp_path / "s.h5")] == list("abcdefg")


def test_faults(specimens, tmp_path):
    with pytest.raises(UserError, match=r"name the output|x.h5"):
        convert(specimens, tmp_path / "out.tif")
    with pytest.raises(UserError, match="both input and output"):
        convert(specimens / "c.tif", specimens / "c.tif")
    with pytest.raises(UserError, match="unknown output format"):
        convert(specimens / "c.tif", tmp_path / "out.xyz")
    with pytest.raises(UserError, match="does not exist"):
        convert(tmp_path / "none", tmp_path / "out.h5")
    with pytest.raises(UserError, match="one label map for several"):
        convert([specimens / "a.hdr", specimens / "c.tif"], tmp_path / "o.h5", labels=tmp_path / "gt.npy")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no image"):
        convert(tmp_path / "empty", tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()
