import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from hsipipe.errors import UserError
from hsipipe.scenes.assemble import read_scene_files, unpack_scene
from hsipipe.scenes.catalogue import SceneEntry, SceneFile, read_catalogue
from hsipipe.scenes.download import download_scene
from hsipipe.scenes.scene import Scene, write_scene

CATALOGUE = Path(__file__).parents[2] / "config" / "scenes.tsv"


def file(name, role, key="", sha256=None):
    return SceneFile(name, role, key, f"https://example.org/{name}", "", sha256, None, "CC0-1.0", "")


@pytest.fixture
def parts(tmp_path):
    generator = np.random.default_rng(0)
    endmembers = generator.random((7, 3))
    abundances = generator.dirichlet(np.ones(3), (4, 5))
    cube = abundances @ endmembers.T
    savemat(tmp_path / "cube.mat", {"cube": cube, "gt": np.arange(20).reshape(4, 5).astype(np.uint8)})
    savemat(tmp_path / "truth.mat", {"A": abundances, "E": endmembers, "wl": np.linspace(0.4, 1.0, 7)})
    (tmp_path / "bands.spc").write_text("a heading\n-----\n" + "".join(f"{400 + 10 * i} 9.5 0\n" for i in range(9)))
    return tmp_path, cube, abundances, endmembers


def test_parts_come_together(parts):
    folder, cube, _, _ = parts
    entry = SceneEntry(
        "a-scene",
        (
            file("cube.mat", "image", "cube", "f" * 64),
            file("cube.mat", "labels", "gt", "f" * 64),
            file("truth.mat", "abundances", "A"),
            file("truth.mat", "endmembers", "E"),
            file("bands.spc", "wavelengths", "1-3,5-7,9"),
        ),
    )
    (item,) = read_scene_files(entry, folder)
    assert item.name == "a-scene"
    np.testing.assert_allclose(item.cube, cube.transpose(2, 0, 1), rtol=1e-6)
    np.testing.assert_array_equal(item.labels, np.arange(20).reshape(4, 5))
    np.testing.assert_allclose(np.einsum("kb,krc->brc", item.endmembers, item.abundances), item.cube, rtol=1e-5)
    np.testing.assert_array_equal(item.wavelength_nm, [400, 410, 420, 440, 450, 460, 480])
    np.testing.assert_array_equal(item.fwhm_nm, [9.5] * 7)
    assert item.source["sha256"] == "f" * 64
    assert item.source["path"] == "cube.mat"
    assert item.source["simulated"] is False


def test_wavelengths_from_an_array_in_micrometres(parts):
    folder = parts[0]
    entry = SceneEntry("s", (file("cube.mat", "image", "cube"), file("truth.mat", "wavelengths", "wl")))
    (item,) = read_scene_files(entry, folder)
    np.testing.assert_allclose(item.wavelength_nm, np.linspace(400, 1000, 7))


def test_endmembers_and_abundances_alone_are_a_simulated_mixture(parts):
    folder, cube, _, _ = parts
    entry = SceneEntry(
        "simulated-mixture", (file("truth.mat", "abundances", "A"), file("truth.mat", "endmembers", "E"))
    )
    (item,) = read_scene_files(entry, folder)
    np.testing.assert_allclose(item.cube, cube.transpose(2, 0, 1), rtol=1e-5)
    assert item.source["simulated"] is True


def test_finer_labels_become_the_most_frequent(tmp_path):
    fine = np.array([[1, 1, 3, 3], [1, 2, 3, 3], [5, 5, 0, 0], [5, 4, 0, 2]], np.uint8)
    savemat(tmp_path / "x.mat", {"cube": np.random.default_rng(0).random((2, 2, 6)), "gt": fine})
    entry = SceneEntry("s", (file("x.mat", "image", "cube"), file("x.mat", "labels", "gt")))
    (item,) = read_scene_files(entry, tmp_path)
    np.testing.assert_array_equal(item.labels, [[1, 3], [5, 0]])
    assert item.source["labels_coarsened_by"] == 2


def test_labels_belong_to_the_image_of_their_name(tmp_path):
    generator = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for index, name in enumerate("ab", 1):
        np.save(tmp_path / "images" / f"{name}.npy", generator.random((3, 4, 5)))
        np.save(tmp_path / "labels" / f"{name}.npy", np.full((3, 4), index))
    images = [file(f"images/{name}.npy", "image") for name in "ab"]
    labels = [file(f"labels/{name}.npy", "labels") for name in "ba"]
    items = list(read_scene_files(SceneEntry("s", (*images, *labels)), tmp_path))
    assert [item.name for item in items] == ["a", "b"]
    assert [int(item.labels[0, 0]) for item in items] == [1, 2]
    with pytest.raises(UserError, match="0 of them named as the image"):
        list(read_scene_files(SceneEntry("s", (images[1], *labels[1:], images[0], labels[1])), tmp_path))


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ([("cube.mat", "labels", "gt")], "has no image"),
        ([("absent.mat", "image", "cube")], "download the scene first"),
        ([("cube.mat", "image", "cube"), ("bands.spc", "wavelengths", "")], "9 for 7 bands"),
        ([("cube.mat", "image", "cube"), ("bands.spc", "wavelengths", "1-20")], "names bands that the file"),
        ([("cube.mat", "image", "cube"), ("bands.spc", "wavelengths", "all")], "is not a list of bands"),
        ([("cube.mat", "image", "cube"), ("truth.mat", "endmembers", "A")], "endmembers do not match"),
        ([("cube.mat", "image", "cube"), ("truth.mat", "endmembers", "X")], "no such numeric array"),
        ([("cube.mat", "image", "cube"), ("truth.mat", "abundances", "E")], "abundances have rows"),
        (
            [("cube.mat", "image", "cube"), ("truth.mat", "endmembers", "wl"), ("truth.mat", "abundances", "A")],
            "1 endmembers and abundances of 3",
        ),
    ],
)
def test_what_does_not_fit_is_named(parts, files, word):
    files = tuple(file(*row) for row in files)
    with pytest.raises(UserError, match=word):
        list(read_scene_files(SceneEntry("s", files), parts[0]))


def test_archives_are_unpacked_once_and_share_their_top_folder(tmp_path):
    generator = np.random.default_rng(0)
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", generator.random((3, 4, 5)).astype(np.float32))
        with tarfile.open(tmp_path / f"{name}.tar.gz", "w:gz") as archive:
            archive.add(tmp_path / f"{name}.npy", f"top/{name}.npy")
    entry = SceneEntry("s", (file("a.tar.gz", "archive"), file("b.tar.gz", "archive")))
    assert [item.name for item in read_scene_files(entry, tmp_path)] == ["a", "b"]
    top = unpack_scene(entry, tmp_path)
    assert top == tmp_path / "unpacked" / "top"
    (top / "a.npy").unlink()
    assert [item.name for item in read_scene_files(entry, tmp_path)] == ["b"]  # not unpacked again


SCENES = [entry.name for entry in read_catalogue(CATALOGUE).values() if all(file.sha256 for file in entry.files)]


@pytest.mark.parametrize("name", SCENES)
def test_every_scene_of_the_mirror_becomes_a_scene_file(real_data, tmp_path, monkeypatch, name):
    monkeypatch.setenv("HSIPIPE_MIRROR", str(real_data))
    entry = read_catalogue(CATALOGUE)[name]
    paths = download_scene(entry, tmp_path / "files", progress=False)
    for path, wanted in zip(paths, entry.downloads, strict=True):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == wanted.sha256
    items = read_scene_files(entry, tmp_path / "files")
    write_scene(tmp_path / "scene.h5", items, name=name, simulated=entry.simulated)
    with Scene(tmp_path / "scene.h5") as scene:
        item = scene.read(scene.items[0])
        assert scene.simulated is name.startswith("simulated-")
        assert scene.good_bands.sum() >= 40
        assert item.valid.mean() > 0.9
        if entry.in_role("labels"):
            assert item.labels.max() >= 1
        if entry.in_role("wavelengths"):
            assert len(scene.wavelength_nm) == scene.bands
        if item.abundances is not None and item.endmembers is not None:
            # The published factors explain the image (relative errors 0.096 and 0.056), which pins their order.
            mixture = np.einsum("kb,krc->brc", item.endmembers, item.abundances)
            assert np.linalg.norm(mixture - item.cube) < 0.1 * np.linalg.norm(item.cube)
