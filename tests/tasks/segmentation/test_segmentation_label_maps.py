import warnings
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from matplotlib.image import imread
from scipy.io import loadmat

from hsipipe.errors import UserError
from hsipipe.scenes.readers.labels import read_labels
from hsipipe.tasks.segmentation.label_maps import PALETTE, coloured, make_legend, write_label_map

LABELS = np.array([[1, 10, 0], [14, 10, -3]])
# G. M. Machado et al. 2009, severity 1, on linear RGB.
VISIONS = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
TO_CONES = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
     [0.0883024619, 0.2817188376, 0.6299787005]]
)  # fmt: skip
TO_OKLAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
     [0.0259040371, 0.7827717662, -0.8086757660]]
)  # fmt: skip


@pytest.fixture
def legend():
    return make_legend([1, 10, 14], {1: "broccoli", 10: "corn", 14: "lettuce"})


def oklab(colours, vision):
    values = np.array([[int(colour[place : place + 2], 16) for place in (1, 3, 5)] for colour in colours]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return np.cbrt(np.clip(linear @ np.array(vision).T, 0, 1) @ TO_CONES.T) @ TO_OKLAB.T


@pytest.mark.parametrize("vision", VISIONS)
def test_colours_differ_to_all_eyes(vision):
    points = oklab([*PALETTE, "#ffffff"], VISIONS[vision])
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    assert distance[~np.eye(len(points), dtype=bool)].min() > 0.07


def test_legend_names_and_colours():
    legend = make_legend([7, 2], ["a", "b"], word="cluster")
    assert (legend.codes, legend.names) == ((2, 7), ("b", "cluster 7"))
    assert legend.colours == PALETTE[:2]
    assert make_legend(range(1, 23)).colours[20] == PALETTE[0]
    with pytest.raises(UserError, match="above 0"):
        make_legend([0, 1])


def test_geotiff_has_colours_names_and_place(tmp_path, legend):
    crs = rasterio.crs.CRS.from_epsg(32633).to_wkt()
    path = tmp_path / "map.tif"
    write_label_map(path, LABELS, legend, source={"crs": crs, "transform": (30, 0, 500000, 0, -30, 5800000)})
    with rasterio.open(path) as dataset:
        assert dataset.crs.to_epsg() == 32633
        assert dataset.transform.f == 5800000
        assert dataset.dtypes == ("uint8",)
        assert dataset.nodata == 0
        assert dataset.colormap(1)[10] == (0x56, 0xB4, 0xE9, 255)
        assert dataset.colormap(1)[0][3] == 0
        assert dataset.tags(1)["CLASS_14"] == "lettuce"
        assert dataset.read(1).tolist() == [[1, 10, 0], [14, 10, 0]]
    assert read_labels(path).tolist() == [[1, 10, 0], [14, 10, 0]]
    names = [item.text for item in ElementTree.parse(f"{path}.aux.xml").iter("Category")]
    assert (names[1], names[10], names[14], len(names)) == ("broccoli", "corn", "lettuce", 15)


def test_large_codes_take_16_bits(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_label_map(tmp_path / "map.tif", np.array([[300, 0]]), make_legend([300]))
    assert read_labels(tmp_path / "map.tif").tolist() == [[300, 0]]


def test_bare_arrays(tmp_path, legend):
    write_label_map(tmp_path / "map.npy", LABELS, legend)
    assert np.load(tmp_path / "map.npy").tolist() == [[1, 10, 0], [14, 10, 0]]
    write_label_map(tmp_path / "map.mat", LABELS, legend)
    content = loadmat(tmp_path / "map.mat", squeeze_me=True)
    assert content["labels"].tolist() == [[1, 10, 0], [14, 10, 0]]
    assert content["codes"].tolist() == [1, 10, 14]
    assert content["class_names"].tolist() == ["broccoli", "corn", "lettuce"]


def test_picture_shows_the_map_and_a_legend(tmp_path, legend):
    assert coloured(LABELS, legend)[0, 1].tolist() == [0x56, 0xB4, 0xE9]
    assert coloured(LABELS, legend)[0, 2].tolist() == [255, 255, 255]
    write_label_map(tmp_path / "map.png", np.kron(LABELS, np.ones((20, 20), int)), legend, title="a map")
    write_label_map(tmp_path / "again.png", np.kron(LABELS, np.ones((20, 20), int)), legend, title="a map")
    assert (tmp_path / "map.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    picture = (imread(tmp_path / "map.png")[..., :3] * 255).round().astype(int)
    shown = {tuple(colour) for colour in picture[:, : picture.shape[1] // 2].reshape(-1, 3)}
    beside = {tuple(colour) for colour in picture[:, 3 * picture.shape[1] // 4 :].reshape(-1, 3)}
    for colour in legend.colours[:2]:
        assert tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5)) in shown
    assert len(beside) > 3


def test_errors(tmp_path, legend):
    with pytest.raises(UserError, match="not written in this format"):
        write_label_map(tmp_path / "map.jpg", LABELS, legend)
    with pytest.raises(UserError, match="missing in the legend"):
        write_label_map(tmp_path / "map.npy", LABELS + 5, legend)
    with pytest.raises(UserError, match="rows and columns"):
        write_label_map(tmp_path / "map.npy", LABELS[None], legend)
    assert not list(tmp_path.iterdir())
