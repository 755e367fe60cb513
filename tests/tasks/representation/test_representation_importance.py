import numpy as np
import pytest

from hsipipe.errors import UserError
from hsipipe.metrics.embedding_probe import fit_probe
from hsipipe.tasks.representation.shared.importance import fill_weights, spectral_windows, window_importance

WAVELENGTHS = np.linspace(400, 800, 81)  # every 5 nm
DIP_NM = 620.0


def specimens(count=24, seed=0):
    """Two classes that differ in the depth of one dip, on a smooth spectrum; the background holds 0."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    smooth = 0.3 + 0.4 * (WAVELENGTHS - 400) / 400
    dip = np.exp(-0.5 * ((WAVELENGTHS - DIP_NM) / 6) ** 2)
    depth = 0.05 + 0.2 * labels + 0.01 * generator.normal(size=count)
    gain = generator.uniform(0.9, 1.1, count)
    spectra = gain[:, None] * (smooth - depth[:, None] * dip)
    masks = np.zeros((count, 6, 6))
    masks[:, 1:5, 1:5] = 1
    images = (
        spectra[:, :, None, None] * masks[:, None] + 0.002 * generator.normal(size=(count, 81, 6, 6)) * masks[:, None]
    )
    return images.astype(np.float32), masks, labels


def masked_means(images):
    inside = images.any(1, keepdims=True)
    return (images * inside).sum((2, 3)) / inside.sum((2, 3))


def test_windows_cover_the_spectrum_and_hold_their_edges():
    windows = spectral_windows(WAVELENGTHS, width_nm=20, step_nm=10)
    assert windows.centres_nm[[0, 1, -1]].tolist() == [410, 420, 790]
    assert WAVELENGTHS[windows.bands[1]].tolist() == [410, 415, 420, 425, 430]
    assert set(np.concatenate(windows.bands)) == set(range(81))
    assert set(np.concatenate(spectral_windows(WAVELENGTHS, width_nm=30, step_nm=27).bands)) == set(range(81))


def test_windows_between_bands_are_left_out_and_order_of_bands_does_not_matter():
    sparse = np.array([700.0, 400.0, 410.0])
    windows = spectral_windows(sparse, width_nm=20, step_nm=20)
    assert [sorted(one.tolist()) for one in windows.bands] == [[1, 2], [0]]
    assert windows.centres_nm.tolist() == [410, 690]
    with pytest.raises(UserError, match="holds all bands"):
        spectral_windows(sparse, width_nm=400)
    with pytest.raises(UserError, match="above 0 nm"):
        spectral_windows(sparse, width_nm=20, step_nm=0)


def test_fill_is_a_line_over_wavelength_and_constant_at_the_ends():
    uneven = np.array([400.0, 410.0, 440.0, 450.0, 500.0])
    below, above, weight = fill_weights(uneven, np.array([1, 2]))
    assert (below.tolist(), above.tolist()) == ([0, 0], [3, 3])
    assert weight.tolist() == [0.2, 0.8]
    below, above, weight = fill_weights(uneven, np.array([0]))
    assert (below.tolist(), above.tolist(), weight.tolist()) == ([1], [1], [0.0])
    below, above, weight = fill_weights(uneven, np.array([4]))
    assert (below.tolist(), above.tolist(), weight.tolist()) == ([3], [3], [0.0])


def test_fill_follows_wavelength_not_order():
    shuffled = np.array([500.0, 400.0, 440.0])
    below, above, weight = fill_weights(shuffled, np.array([2]))
    assert (below.tolist(), above.tolist(), weight.tolist()) == ([1], [0], [pytest.approx(0.4)])


@pytest.mark.parametrize("fill", ["interpolation", "mean"])
def test_the_planted_window_ranks_first_for_probe_and_embedding(fill):
    images, masks, labels = specimens()
    # An encoder of the shape of the spectrum: differences of neighbouring bands, so that smooth parts weigh little.
    encode = lambda cubes: np.diff(masked_means(cubes), axis=1)  # noqa: E731
    train, _, train_labels = specimens(seed=1)
    probe = fit_probe(encode(train), train_labels, np.arange(len(train)))
    found = window_importance(
        encode, images, masks, WAVELENGTHS, width_nm=40, step_nm=20, fill=fill, probe=probe, labels=labels, batch=7
    )
    nearest = set(np.argsort(np.abs(found.centres_nm - DIP_NM), kind="stable")[:2])
    if fill == "interpolation":
        assert found.order()[0] in nearest
    assert found.order("margin")[0] in nearest
    assert found.accuracy_drop.max() >= 30
    assert found.order("accuracy")[0] in nearest
    assert found.effects.shape == (24, len(found.centres_nm))


def test_interpolation_leaves_a_straight_spectrum_alone_and_zeroing_would_not():
    masks = np.ones((3, 4, 4))
    straight = (0.2 + 0.001 * np.outer([1, 2, 3], WAVELENGTHS - 400))[:, :, None, None] * masks[:, None]
    found = window_importance(masked_means, straight, masks, WAVELENGTHS)
    # The ends are continued as constants: all windows but the outermost have no effect.
    assert found.mean[1:-1].max() < 1e-9
    assert found.mean[[0, -1]].min() > 1e-9


def test_effect_by_hand_with_spread_over_specimens():
    # Two specimens, three bands; filling the middle band makes (1, 0, 1) into (1, 1, 1): cosine 2 / sqrt(6).
    images = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])[:, :, None, None]
    found = window_importance(
        masked_means_of_all, images, np.ones((2, 1, 1)), np.array([400.0, 500.0, 600.0]), width_nm=20, step_nm=90
    )
    middle = [one.tolist() for one in found.windows.bands].index([1])
    distance = 1 - 2 / np.sqrt(6)
    assert found.effects[:, middle] == pytest.approx([distance, 0])
    assert found.mean[middle] == pytest.approx(distance / 2)
    assert found.deviation[middle] == pytest.approx(distance / np.sqrt(2))
    assert found.scale == pytest.approx(distance)
    assert found.relative[middle] == pytest.approx(0.5)


def masked_means_of_all(cubes):
    return cubes.mean((2, 3))


def test_background_and_input_stay_and_batches_do_not_matter():
    images, masks, _ = specimens(count=5)
    before = images.copy()
    seen = []

    def encode(cubes):
        seen.append(cubes[:, :, 0, 0].copy())
        return masked_means_of_all(cubes)

    first = window_importance(encode, images, masks, WAVELENGTHS, fill="mean", batch=2)
    second = window_importance(masked_means_of_all, images, masks[:, None], WAVELENGTHS, fill="mean", batch=5)
    assert np.allclose(first.effects, second.effects)
    assert np.array_equal(images, before)
    assert all(not one.any() for one in seen)


def test_wrong_input_is_refused():
    images, masks, labels = specimens(count=4)
    with pytest.raises(UserError, match="did you mean 'interpolation'"):
        window_importance(masked_means, images, masks, WAVELENGTHS, fill="interpolate")
    with pytest.raises(UserError, match="go together"):
        window_importance(masked_means, images, masks, WAVELENGTHS, labels=labels)
    with pytest.raises(UserError, match="do not fit 81 bands"):
        window_importance(masked_means, images, masks, WAVELENGTHS[:-1])
    with pytest.raises(UserError, match="do not fit images"):
        window_importance(masked_means, images, masks[:, :3], WAVELENGTHS)
    with pytest.raises(UserError, match="specimen 2 has no pixel"):
        window_importance(masked_means, images, masks * (np.arange(4) != 2)[:, None, None], WAVELENGTHS)
    with pytest.raises(UserError, match="finite embeddings"):
        window_importance(lambda cubes: cubes, images, masks, WAVELENGTHS)
    found = window_importance(masked_means, images, masks, WAVELENGTHS)
    with pytest.raises(UserError, match="without a probe"):
        found.order("margin")
