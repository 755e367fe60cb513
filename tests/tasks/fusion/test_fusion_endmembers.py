"""Endmembers and their number: scenes mixed from known spectra."""

import numpy as np
import pytest

from hsipipe.errors import UserError
from hsipipe.tasks.fusion.shared.endmembers import estimate_count, nmf_endmembers, regression_noise, vca


def mixture(count: int = 4, bands: int = 40, pixels: int = 800, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Spectra (pixels, bands), the first `count` of them pure, and the pure ones without noise."""
    generator = np.random.default_rng(5)
    pure = generator.uniform(0.1, 0.9, (count, bands))
    shares = generator.dirichlet(np.ones(count), pixels)
    shares[:count] = np.eye(count)
    return shares @ pure + noise * generator.standard_normal((pixels, bands)), pure


def farthest(found: np.ndarray, pure: np.ndarray) -> float:
    """The largest distance of a true endmember from the nearest found one, root mean square over bands."""
    return float(np.sqrt(((found[:, None] - pure[None]) ** 2).mean(-1)).min(0).max())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_vca_finds_the_pure_spectra(seed: int) -> None:
    spectra, pure = mixture()
    assert farthest(vca(spectra, 4, seed=seed), pure) < 1e-5


def test_vca_does_not_mind_shading_of_clean_spectra() -> None:
    spectra, pure = mixture()
    shaded = spectra * np.random.default_rng(0).uniform(0.3, 1.0, (len(spectra), 1))
    found = vca(shaded, 4)
    cosine = (found @ pure.T) / np.linalg.norm(found, axis=1)[:, None] / np.linalg.norm(pure, axis=1)
    assert np.degrees(np.arccos(np.clip(cosine.max(0), -1, 1))).max() < 0.1


def test_vca_projects_noise_away() -> None:
    # 40 bands, 4 endmembers: of white noise a projection on the signal subspace leaves a tenth of the variance.
    spectra, pure = mixture(noise=0.02)
    assert farthest(vca(spectra, 4), pure) < 0.02


def test_vca_on_very_noisy_spectra_takes_the_affine_projection() -> None:
    spectra, pure = mixture(noise=0.3)
    found = vca(spectra, 4)
    centred = spectra - spectra.mean(0)
    basis = np.linalg.svd(centred, full_matrices=False)[2][:3]
    outside = (found - spectra.mean(0)) - (found - spectra.mean(0)) @ basis.T @ basis
    assert np.abs(outside).max() < 1e-5
    assert farthest(found, pure) < 0.3


def test_vca_survives_black_pixels() -> None:
    spectra, pure = mixture()
    spectra[100:120] = 0.0
    assert farthest(vca(spectra, 4), pure) < 1e-5


def test_vca_of_one_is_the_mean_spectrum() -> None:
    spectra, _ = mixture()
    np.testing.assert_allclose(vca(spectra, 1)[0], spectra.mean(0), rtol=1e-6)


def test_nmf_reconstructs_and_is_nonnegative() -> None:
    spectra, _ = mixture()
    found = nmf_endmembers(spectra, 4, max_iterations=500)
    left = spectra - spectra @ np.linalg.pinv(found) @ found
    assert found.shape == (4, 40)
    assert found.dtype == np.float32
    assert (found >= 0).all()
    assert np.sqrt((left**2).mean()) < 0.01 * np.sqrt((spectra**2).mean())


def test_nmf_on_representatives_spans_the_same_space() -> None:
    spectra, _ = mixture()
    found = nmf_endmembers(spectra, 4, max_iterations=500, representatives=100)
    left = spectra - spectra @ np.linalg.pinv(found) @ found
    assert np.sqrt((left**2).mean()) < 0.02 * np.sqrt((spectra**2).mean())


def test_nmf_clips_negative_and_bright_values() -> None:
    spectra, _ = mixture()
    spoilt = spectra.copy()
    spoilt[0, 0], spoilt[1, 1] = -5.0, 7.0
    clipped = np.clip(spoilt, 0, 1)
    np.testing.assert_array_equal(
        nmf_endmembers(spoilt, 3, max_iterations=50), nmf_endmembers(clipped, 3, max_iterations=50)
    )


@pytest.mark.parametrize("pixels", [800, 90])
@pytest.mark.parametrize("count", [2, 4, 6])
def test_estimate_count_of_noisy_mixtures(count: int, pixels: int) -> None:
    spectra, _ = mixture(count, pixels=pixels, noise=0.005)
    assert estimate_count(spectra) == count


def test_estimate_count_is_bounded() -> None:
    spectra, _ = mixture(6, noise=0.005)
    assert estimate_count(spectra, maximum=3) == 3
    assert estimate_count(np.ones((50, 8))) == 1
    assert estimate_count(np.random.default_rng(0).standard_normal((2000, 30))) == 1


@pytest.mark.parametrize("pixels", [2000, 100])
def test_regression_noise_of_known_levels(pixels: int) -> None:
    levels = np.linspace(0.002, 0.02, 40)
    spectra, _ = mixture(pixels=pixels)
    spectra = spectra + levels * np.random.default_rng(1).standard_normal(spectra.shape)
    found = np.sqrt(regression_noise(spectra - spectra.mean(0)))
    # A band is predicted from noisy others, which adds to its own noise: least to the noisiest bands.
    assert 0.9 < np.median(found[20:] / levels[20:]) < 1.6


@pytest.mark.parametrize("extract", [vca, nmf_endmembers])
def test_wrong_numbers_and_spectra_are_refused(extract) -> None:
    spectra, _ = mixture(pixels=30)
    for count in (0, 31, 41):
        with pytest.raises(UserError, match="num_endmembers"):
            extract(spectra, count)
    with pytest.raises(UserError, match="finite"):
        extract(np.where(spectra > 0.5, np.nan, spectra), 3)
    with pytest.raises(UserError, match="spectra, bands"):
        extract(spectra[0], 1)


@pytest.mark.parametrize("extract", [vca, nmf_endmembers])
def test_the_same_seed_gives_the_same_endmembers(extract) -> None:
    spectra, _ = mixture(noise=0.01, pixels=200)
    np.testing.assert_array_equal(extract(spectra, 3, seed=4), extract(spectra, 3, seed=4))
