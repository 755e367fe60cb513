import json
import sys
from subprocess import run

import numpy as np
import pytest

from hsipipe.errors import UserError
from hsipipe.methods import methods_of
from hsipipe.metrics.clustering import score_clusters

METHODS = ("gmm", "kmeans", "superpixels")


def model_of(name):
    return methods_of("segmentation")[name].load()


def scene(rows=36, cols=45, noise=0.3, seed=0):
    """Latents (4, H, W) of three regions, the regions (1, 2, 3) and pixels that are valid (all but a corner)."""
    row, col = np.mgrid[:rows, :cols]
    regions = 1 + (col > 14 + 4 * np.sin(row / 5)) + ((row > 20) & (col > 24))
    spectra = np.array([[0, 0, 0, 0], [3, 0, 1, 0], [0, 2, -1, 1]], float)
    random = np.random.default_rng(seed)
    latents = spectra[regions - 1].transpose(2, 0, 1) + noise * random.normal(size=(4, rows, cols))
    valid = np.ones((rows, cols), bool)
    valid[:5, :6] = False
    return latents.astype(np.float32), regions, valid


def agreement(regions, labels, valid):
    return {name: value for name, value, _ in score_clusters(np.where(valid, regions, 0), labels)}["hungarian_oa"]


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


def test_finds_the_regions(method):
    latents, regions, valid = scene()
    result = model_of(method).cluster(latents, valid=valid, clusters=3)
    assert result.labels.dtype == np.int32
    assert ((result.labels == 0) == ~valid).all()
    assert np.unique(result.labels[valid]).tolist() == [1, 2, 3]
    assert (np.diff(np.bincount(result.labels[valid])[1:]) <= 0).all()
    assert agreement(regions, result.labels, valid) > 0.97
    expected = [latents[:, result.labels == number].mean(1) for number in (1, 2, 3)]
    assert result.means == pytest.approx(np.array(expected), abs=1e-4)
    assert result.found["clusters"] == 3
    json.dumps(result.found)
    assert all(isinstance(value, np.ndarray) and value.dtype.kind in "fi" for value in result.state.values())


def test_finds_the_number_of_regions(method):
    latents, regions, valid = scene(rows=72, cols=60)
    result = model_of(method).cluster(latents, valid=valid)
    assert result.found["clusters"] == 3
    assert result.found["chosen_by"] == "bic"
    assert agreement(regions, result.labels, valid) > 0.97


def test_equal_seeds_give_equal_maps_and_pixels_without_data_do_not_matter(method):
    latents, _, valid = scene()
    first = model_of(method).cluster(latents, valid=valid, clusters=3, seed=4)
    latents[:, ~valid] = np.nan
    second = model_of(method).cluster(latents, valid=valid, clusters=3, seed=4)
    assert np.array_equal(first.labels, second.labels)
    assert all(np.array_equal(first.state[key], second.state[key]) for key in first.state)


def test_labels_another_image(method):
    latents, regions, valid = scene()
    model = model_of(method)
    result = model.cluster(latents, valid=valid, clusters=3)
    same = model.assign(result.state, latents, valid)
    assert ((same == result.labels) | ~valid).mean() > (0.97 if method == "superpixels" else 0.999)
    other, other_regions, _ = scene(rows=50, cols=31, seed=1)
    labels = model.assign(result.state, other, np.ones((50, 31), bool))
    assert labels.shape == (50, 31)
    assert labels.dtype == np.int32
    names = [np.bincount(result.labels[(regions == region) & valid]).argmax() for region in (1, 2, 3)]
    assert (np.array(names)[other_regions - 1] == labels).mean() > 0.97
    with pytest.raises(UserError, match="found in 4 latents, this image has 2"):
        model.assign(result.state, latents[:2], valid)


@pytest.mark.parametrize("name", ["gmm", "kmeans"])
def test_coordinates_part_equal_regions_that_lie_apart(name):
    latents = np.random.default_rng(0).normal(size=(2, 20, 60)).astype(np.float32)
    valid = np.ones((20, 60), bool)
    model = model_of(name)
    result = model.cluster(latents, valid=valid, clusters=2, coordinate_weight=10.0)
    # both sides have unit variance, so that either may part
    halves = np.where(np.arange(60) < 30, 1, 2) * np.ones((20, 1), int)
    quarters = np.where(np.arange(20) < 10, 1, 2)[:, None] * np.ones((1, 60), int)
    assert max(agreement(halves, result.labels, valid), agreement(quarters, result.labels, valid)) > 0.95
    # another image is labelled by its latents alone
    assert model.assign(result.state, latents[:, :7, :9], valid[:7, :9]).shape == (7, 9)


@pytest.mark.parametrize("covariance", ["full", "tied", "diagonal"])
def test_covariances_of_the_mixture(covariance):
    latents, regions, valid = scene()
    result = model_of("gmm").cluster(latents, valid=valid, clusters=3, covariance=covariance)
    assert agreement(regions, result.labels, valid) > 0.97
    factors = result.state["factors"]
    assert (np.ptp(factors, axis=0).max() < 1e-9) == (covariance == "tied")
    assert (np.abs(factors * (1 - np.eye(4))).max() < 1e-12) == (covariance == "diagonal")


def test_a_mixture_of_part_of_the_pixels_labels_them_all():
    latents, regions, valid = scene()
    result = model_of("gmm").cluster(latents, valid=valid, clusters=3, fit_pixels=200)
    assert agreement(regions, result.labels, valid) > 0.97
    assert (result.labels[valid] > 0).all()


def test_too_few_pixels_and_too_few_different_ones(method):
    model = model_of(method)
    latents, valid = np.zeros((2, 4, 4), np.float32), np.zeros((4, 4), bool)
    valid[0, :3] = True
    with pytest.raises(UserError, match="3 valid pixels cannot make 5 clusters"):
        model.cluster(latents, valid=valid, clusters=5)
    valid[:] = True
    with pytest.raises(UserError, match="cannot make 3 clusters"):
        model.cluster(latents, valid=valid, clusters=3)
    with pytest.raises(UserError, match="finite at valid pixels"):
        model.cluster(np.full((2, 4, 4), np.inf), valid=valid, clusters=2)
    with pytest.raises(UserError, match="unknown scaling"):
        model.cluster(scene()[0], valid=scene()[2], clusters=2, scaling="tall")


def test_one_cluster(method):
    latents, _, valid = scene()
    result = model_of(method).cluster(latents, valid=valid, clusters=1)
    assert (result.labels == valid).all()


def test_unknown_covariance():
    latents, _, valid = scene()
    with pytest.raises(UserError, match="did you mean 'diagonal'"):
        model_of("gmm").cluster(latents, valid=valid, clusters=2, covariance="diag")


def test_no_method_imports_torch():
    names = ", ".join(f"hsipipe.tasks.segmentation.methods.{name}.model" for name in METHODS)
    code = f"import sys, hsipipe.metrics.clustering, {names}; sys.exit(bool({{'torch', 'sklearn'}} & set(sys.modules)))"
    assert run([sys.executable, "-c", code], check=False).returncode == 0


def test_settings_of_the_files_are_those_of_the_functions(method):
    import inspect

    known = inspect.signature(model_of(method).cluster).parameters
    described = methods_of("segmentation")[method]
    own = set(described.settings) - {"encoder"}  # says whose latents are clustered
    assert own == set(known) - {"latents", "valid", "seed"}
    defaults = described.complete({})
    assert {name: known[name].default for name in own} == {name: defaults[name] for name in own}


def test_indian_pines_subset_is_clustered_as_well_as_documented(real_data):
    """The default on 10 principal components of the scene: NMI 0.457 and OA 0.705, whatever the seed."""
    from scipy.io import loadmat

    content = loadmat(real_data / "indian_pines" / "Indian_subset.mat")
    spectra = content["Indian_subset"].reshape(-1, 200).astype(float)
    spectra -= spectra.mean(0)
    axes = np.linalg.eigh(spectra.T @ spectra)[1][:, ::-1][:, :10]
    latents = (spectra @ axes).T.reshape(10, 70, 70).astype(np.float32)
    maps = [model_of("kmeans").cluster(latents, valid=np.ones((70, 70), bool), clusters=4, seed=s) for s in (0, 1)]
    for found in maps:
        scores = {name: value for name, value, _ in score_clusters(content["gt"].astype(int), found.labels)}
        assert scores["nmi"] > 0.45
        assert scores["hungarian_oa"] > 0.70
    assert (maps[0].labels == maps[1].labels).mean() > 0.99
