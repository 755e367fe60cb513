import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from hsipipe.degrade.blur import block_mean
from hsipipe.tasks.fusion.files.alignment import better_symmetry, estimate_shift, find_symmetry
from hsipipe.tasks.fusion.files.symmetry import SYMMETRIES, Symmetry

RATIO = 4


def scene(rows=96, cols=96, bands=12, seed=0):
    """Smooth random maps of four materials, mixed into spectra: (bands, rows, cols)."""
    generator = np.random.default_rng(seed)
    maps = gaussian_filter(generator.standard_normal((4, rows, cols)), (0, 3, 3), mode="wrap")
    maps /= maps.std(axis=(1, 2), keepdims=True)
    spectra = generator.uniform(0.2, 1, (bands, 4))
    return np.tensordot(spectra, maps, axes=1).astype(np.float32)


def responses(bands=12):
    return np.repeat(np.eye(4), bands // 4, axis=1) * 4 / bands


@pytest.mark.parametrize("symmetry", SYMMETRIES, ids=lambda symmetry: symmetry.name)
def test_the_turned_partner_is_found(symmetry):
    fine = scene()
    hsi = block_mean(fine, RATIO)
    msi = symmetry.turn(np.tensordot(responses(), fine, 1).astype(np.float32))
    low = block_mean(np.ascontiguousarray(msi), RATIO) * 300 + 7
    shares = find_symmetry(hsi, low, (np.ones(hsi.shape[1:], bool), np.ones(low.shape[1:], bool)))
    assert max(shares, key=shares.get) == symmetry
    assert better_symmetry(shares) == (None if symmetry.is_identity else symmetry)


def test_only_symmetries_of_the_right_size_are_tried():
    hsi = scene(24, 20)
    shares = find_symmetry(hsi, scene(24, 20, 4), (np.ones((24, 20), bool), np.ones((24, 20), bool)))
    assert len(shares) == 4
    assert not any(symmetry.transpose for symmetry in shares)


def test_no_verdict_on_few_pixels_or_unlike_images():
    small = np.ones((5, 5), bool)
    assert find_symmetry(scene(5, 5), scene(5, 5, 4), (small, small)) == {}
    assert better_symmetry({}) is None
    assert better_symmetry({Symmetry(): 0.30, Symmetry(flip_cols=True): 0.36}) is None


def found_in(hsi, msi, turn=lambda image: image):
    low = np.ascontiguousarray(turn(msi))
    return better_symmetry(find_symmetry(hsi, low, (np.ones(hsi.shape[1:], bool), np.ones(low.shape[1:], bool))))


def test_a_turned_partner_is_found_though_the_images_explain_little_of_one_another():
    low = block_mean(scene(seed=4), RATIO)
    msi = np.tensordot(responses(), low, 1)
    noise = gaussian_filter(np.random.default_rng(1).standard_normal(msi.shape), (0, 0.5, 0.5))
    msi += 1.1 * (msi.std() / noise.std()) * noise
    flip = Symmetry(flip_cols=True)
    whole = np.ones(low.shape[1:], bool)
    shares = find_symmetry(low, flip.turn(msi), (whole, whole))
    # The case of a Houston crop: less than half is explained by the right symmetry, but next to nothing by the others.
    assert shares[flip] < 0.5
    assert better_symmetry(shares) == flip
    assert found_in(low, msi) is None


def test_the_best_symmetry_must_stand_out_unless_it_fits_far_better():
    flip, half = Symmetry(flip_cols=True), Symmetry(flip_rows=True, flip_cols=True)
    assert better_symmetry({Symmetry(): 0.08, flip: 0.54}) == flip
    assert better_symmetry({Symmetry(): 0.08, flip: 0.40, half: 0.10}) == flip
    assert better_symmetry({Symmetry(): 0.08, flip: 0.40, half: 0.35}) is None
    assert better_symmetry({Symmetry(): 0.08, flip: 0.99, half: 0.99}) == flip


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [8, 16, 24])
@pytest.mark.parametrize("blur", [0.0, 1.0, 3.0])
def test_no_alarm_on_unlike_images(blur, size, seed):
    generator = np.random.default_rng([seed, size])
    maps = gaussian_filter(generator.standard_normal((9, size, size)), (0, blur, blur))
    hsi = np.tensordot(generator.uniform(size=(12, 5)), maps[:5], 1)
    assert found_in(hsi, maps[5:]) is None


def test_no_alarm_on_symmetric_or_featureless_scenes():
    low = block_mean(scene(seed=2), RATIO)
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((2, 12, 24, 24)) * 0.05
    twofold = low + low[:, :, ::-1]
    assert found_in(twofold, np.tensordot(responses(), twofold, 1)) is None
    assert found_in(twofold + noise[0], np.tensordot(responses(), twofold + noise[1], 1)) is None
    assert found_in(1 + noise[0], np.tensordot(responses(), 1 + noise[1], 1)) is None
    ramp = np.linspace(0, 1, 24)[:, None] * np.ones((12, 24, 24))
    assert found_in(ramp + noise[0], np.tensordot(responses(), ramp + noise[1], 1)) is None


@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (0, -2), (5, 3)])
def test_a_shift_of_whole_hr_pixels_is_found_to_a_tenth(shift):
    fine = scene(128, 128)
    msi = np.roll(np.tensordot(responses(), fine, 1).astype(np.float32), shift, axis=(1, 2))
    found = estimate_shift(block_mean(fine, RATIO), block_mean(msi, RATIO))
    assert found is not None
    assert (RATIO * found.rows, RATIO * found.cols) == pytest.approx(shift, abs=0.1)
    assert found.explained > 0.98


def test_no_shift_is_told_of_small_or_structureless_images():
    assert estimate_shift(scene(12, 12), scene(12, 12, 4)) is None
    flat = np.ones((4, 40, 40), np.float32)
    assert estimate_shift(scene(40, 40), flat) is None


def test_invalid_pixels_are_not_looked_at():
    fine = scene(128, 128)
    hsi, msi = block_mean(fine, RATIO), block_mean(np.tensordot(responses(), fine, 1).astype(np.float32), RATIO)
    valid = np.ones((32, 32), bool)
    valid[8:16, 8:16] = False
    hsi[:, ~valid] = hsi[:, 0, :1]
    found = estimate_shift(hsi, msi, valid)
    assert found is not None
    assert abs(found.rows) < 0.05
    assert abs(found.cols) < 0.05
