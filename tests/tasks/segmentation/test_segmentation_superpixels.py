import numpy as np
import pytest
from scipy.ndimage import label

from hsipipe.errors import UserError
from hsipipe.tasks.segmentation.shared.slic import connect, neighbour_pairs, region_means, superpixels
from hsipipe.tasks.segmentation.shared.spectral_clustering import neighbour_graph, spectral_clusters


def disc(noise=0.2):
    """Features (2, 40, 50) of a disc on a ground, with noise, and where the disc is."""
    row, col = np.mgrid[:40, :50]
    inside = (row - 18) ** 2 + (col - 27) ** 2 < 120
    random = np.random.default_rng(0)
    features = np.stack([inside * 2.0, inside * -1.0]) + noise * random.normal(size=(2, 40, 50))
    return features.astype(np.float32), inside


def test_superpixels_are_connected_numbered_and_about_as_many_as_asked():
    features, _ = disc()
    regions = superpixels(features, np.ones((40, 50), bool), step=5)
    numbers = np.unique(regions)
    assert numbers.tolist() == list(range(len(numbers)))
    assert 60 < len(numbers) < 110
    assert all(label(regions == number)[1] == 1 for number in numbers)
    assert np.bincount(regions.ravel()).min() >= 6


def test_superpixels_keep_to_the_edges():
    features, inside = disc()
    valid = np.ones((40, 50), bool)
    regions = superpixels(features, valid, step=5)
    share = region_means(inside[None].astype(float), regions, regions.max() + 1)[:, 0]
    wrong = np.minimum(share, 1 - share)[regions].mean()
    squares = (np.arange(40)[:, None] // 5) * 10 + np.arange(50) // 5
    share = region_means(inside[None].astype(float), squares, 80)[:, 0]
    assert wrong < 0.15 * np.minimum(share, 1 - share)[squares].mean()


def test_pixels_without_data_belong_to_no_superpixel_and_do_not_matter():
    features, _ = disc()
    valid = np.ones((40, 50), bool)
    valid[10:20, :8] = False
    polluted = features.copy()
    polluted[:, ~valid] = 1e6
    regions = superpixels(polluted, valid, step=4)
    assert ((regions == -1) == ~valid).all()
    assert np.array_equal(regions, superpixels(features, valid, step=4))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 2), (10, 11)])
def test_any_size_of_image(shape):
    features = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    regions = superpixels(features, np.ones(shape, bool), step=4)
    assert regions.shape == shape
    assert regions.min() == 0


def test_small_parts_join_the_most_similar_neighbour():
    labels = np.array([[0, 0, 0, 2, 1, 1, 1], [0, 0, 0, 2, 1, 1, 1]])
    features = np.array([[[0, 0, 0, 0.9, 1, 1, 1]] * 2], np.float32)
    valid = np.ones(labels.shape, bool)
    joined = connect(labels, features, valid, smallest=3)
    assert joined[0].tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert connect(labels, features, valid, smallest=2).max() == 2
    # parts of one label that only touch at a corner are two
    assert connect(np.array([[0, 1], [1, 0]]), np.zeros((1, 2, 2)), np.ones((2, 2), bool), smallest=1).max() == 3


def test_pairs_of_neighbours():
    valid = np.array([[True, True], [True, False]])
    assert sorted(zip(*neighbour_pairs(valid), strict=True)) == [(0, 1), (0, 2)]


def rings(count=250):
    """Points on two rings, one within the other, and the ring of each."""
    random = np.random.default_rng(0)
    angle = random.uniform(0, 2 * np.pi, 2 * count)
    ring = np.repeat([0, 1], count)
    radius = 1 + 2 * ring + 0.08 * random.normal(size=2 * count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), ring


def test_rings_are_told_apart():
    points, ring = rings()
    labels = spectral_clusters(points, 2, random=np.random.default_rng(0))
    assert max((labels == ring).mean(), (labels != ring).mean()) == 1


def test_the_solver_for_large_graphs_agrees_with_that_for_small_ones():
    from hsipipe.tasks.segmentation.shared import spectral_clustering

    graph = neighbour_graph(rings()[0], 10)
    large = spectral_clustering._lowest(graph, 4, np.random.default_rng(0))[0]
    weights = graph.toarray()
    root = 1 / np.sqrt(weights.sum(1))
    small = np.linalg.eigvalsh(np.eye(500) - root[:, None] * weights * root)[:4]
    assert large == pytest.approx(small, abs=1e-6)
    assert large[:2] == pytest.approx([0, 0], abs=1e-6)


def test_the_graph_is_symmetric_without_loops_and_stands_equal_points():
    points = np.repeat(rings(20)[0], 3, axis=0)
    graph = neighbour_graph(points, 10)
    assert abs(graph - graph.T).max() == 0
    assert graph.diagonal().max() == 0
    assert np.isfinite(graph.data).all()
    assert graph.data.max() <= 1


def test_as_many_clusters_as_points_and_one():
    points = rings(5)[0]
    assert spectral_clusters(points, 10, random=np.random.default_rng(0)).tolist() == list(range(10))
    assert spectral_clusters(points, 1, random=np.random.default_rng(0)).tolist() == [0] * 10
    with pytest.raises(UserError, match="1 different points cannot make 29"):
        spectral_clusters(np.zeros((30, 2)), 29, random=np.random.default_rng(0))
