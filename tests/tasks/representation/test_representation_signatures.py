import numpy as np
import pytest
from sklearn.decomposition import PCA

from hsipipe.errors import UserError
from hsipipe.tasks.representation.shared.signatures import class_signatures
from hsipipe.tasks.representation.shared.spectral_features import centre_spectra, fit_components, mean_spectra


def specimen(values, rows=1):
    """A cube of two bands, the second ten times the first, and a mask of all but the last pixel."""
    band = np.array([*values, 999.0]).reshape(rows, -1)
    mask = np.ones(band.shape)
    mask[-1, -1] = 0
    return np.stack([band, 10 * band]), mask


def test_signature_by_hand_over_specimens_and_pixels():
    cubes, masks = zip(specimen([1, 2, 3]), specimen([4, 8, 6, 6, 6]), specimen([7]), strict=True)
    table = class_signatures(iter(cubes), iter(masks), ["moth", "moth", "bird"], np.array([500.0, 400.0]))
    assert len(table) == 2 * 2 * 2
    at = table.set_index(["class", "over", "wavelength_nm"])
    individuals = at.loc[("moth", "specimens", 500.0)]
    # Specimens' means are 2 and 6.
    assert individuals[["mean", "sd", "q10", "q50", "q90"]].tolist() == pytest.approx([4, np.sqrt(8), 2.4, 4, 5.6])
    assert individuals[["specimens", "pixels"]].tolist() == [2, 8]
    pixels = at.loc[("moth", "pixels", 400.0)]
    values = 10 * np.array([1, 2, 3, 4, 8, 6, 6, 6])
    expected = [values.mean(), values.std(ddof=1), *np.quantile(values, [0.1, 0.5, 0.9])]
    assert pixels[["mean", "sd", "q10", "q50", "q90"]].tolist() == pytest.approx(expected)
    alone = at.loc[("bird", "specimens", 500.0)]
    assert alone[["mean", "sd", "q10", "q90"]].tolist() == [7, 0, 7, 7]
    assert table["wavelength_nm"][:2].tolist() == [400.0, 500.0]


def test_means_stay_exact_where_pixels_are_drawn():
    generator = np.random.default_rng(0)
    cube = generator.random((3, 40, 40))
    mask = np.ones((40, 40))
    first, again = (
        class_signatures([cube], [mask], ["x"], np.arange(3.0), pixels_per_specimen=100, quantiles=[0.25], seed=5)
        for _ in range(2)
    )
    pixels = first[first["over"] == "pixels"]
    assert pixels["mean"].tolist() == pytest.approx(cube.mean((1, 2)).tolist())
    assert pixels["sd"].tolist() == pytest.approx(cube.reshape(3, -1).std(1, ddof=1).tolist())
    assert pixels["q25"].tolist() == pytest.approx([0.25] * 3, abs=0.15)
    assert pixels["pixels"].tolist() == [1600] * 3
    assert first.equals(again)


def test_pixels_that_are_not_finite_do_not_count():
    cube, mask = specimen([1, 2, 3])
    cube[1, 0, 1] = np.nan
    table = class_signatures([cube], [mask], ["x"], np.array([400.0, 500.0]))
    assert table["mean"][0] == 2
    assert table["pixels"][0] == 2


def test_wrong_specimens_are_refused():
    cube, mask = specimen([1, 2, 3])
    with pytest.raises(UserError, match="specimen 1 has no finite pixel"):
        class_signatures([cube, cube], [mask, 0 * mask], ["x", "y"], np.array([400.0, 500.0]))
    with pytest.raises(UserError, match="do not fit 3 wavelengths"):
        class_signatures([cube], [mask], ["x"], np.arange(3.0))
    with pytest.raises(UserError, match="quantiles"):
        class_signatures([cube], [mask], ["x"], np.arange(2.0), quantiles=[50])
    with pytest.raises(UserError, match="no specimen"):
        class_signatures([], [], [], np.arange(2.0))


def test_mean_and_centre_spectra():
    cube, mask = specimen([1, 2, 3])
    assert mean_spectra([cube, cube], [mask, mask[None]]).tolist() == [[2, 20], [2, 20]]
    patches = np.arange(2 * 3 * 25.0).reshape(2, 3, 5, 5)
    assert centre_spectra(patches).tolist() == patches[:, :, 2, 2].tolist()
    with pytest.raises(UserError, match="specimen 0 has no pixel"):
        mean_spectra([cube], [0 * mask])
    with pytest.raises(UserError, match="does not fit"):
        mean_spectra([cube], [mask[:, 1:]])


def test_components_are_those_of_the_training_spectra_alone():
    generator = np.random.default_rng(0)
    train, test = generator.normal(size=(40, 6)) * [9, 5, 3, 1, 1, 1], 50 + generator.normal(size=(10, 6))
    reference = PCA(4).fit(train)
    found = fit_components(train, count=4)
    assert np.allclose(np.abs(found.transform(test)), np.abs(reference.transform(test)))
    assert found.variances == pytest.approx(reference.explained_variance_)
    assert np.allclose(found.axes @ found.axes.T, np.eye(4))


def test_components_are_at_most_the_rank_of_the_training_part():
    spectra = np.random.default_rng(0).normal(size=(5, 100))
    assert fit_components(spectra, count=30).axes.shape == (4, 100)
    with pytest.raises(UserError, match="two spectra"):
        fit_components(spectra[:1])
    with pytest.raises(UserError, match="at least 1"):
        fit_components(spectra, count=0)
    with pytest.raises(UserError, match="100 bands"):
        fit_components(spectra).transform(spectra[:, :9])
