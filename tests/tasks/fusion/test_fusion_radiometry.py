from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from hsipipe.degrade.blur import Blur
from hsipipe.degrade.psf import make_psf, psf_width
from hsipipe.errors import UserError
from hsipipe.tasks.fusion.files.pair_files import PairWindow
from hsipipe.tasks.fusion.files.radiometry import joint_scaling, low_resolution, match_blur, rough_scaling, shifted

BANDS, RATIO = 12, 4


@pytest.fixture(scope="module")
def fine():
    generator = np.random.default_rng(3)
    maps = gaussian_filter(generator.standard_normal((4, 160, 160)), (0, 4, 4), mode="mirror") * 5 + 1
    return (np.tensordot(generator.uniform(0.2, 1, (BANDS, 4)), maps, axes=1) * 1000 + 200).astype(np.float32)


@pytest.fixture(scope="module")
def srf():
    return np.repeat(np.eye(3), 4, axis=1) / 4


def window(fine, srf, gain, offset, psf="gaussian:sigma=2,size=11"):
    hsi = Blur(make_psf(psf), RATIO, fine.shape[1:]).forward(fine)
    msi = np.tensordot(srf, fine, 1) * np.reshape(gain, (-1, 1, 1)) + np.reshape(offset, (-1, 1, 1))
    valid = np.ones(hsi.shape[1:], bool), np.ones(fine.shape[1:], bool)
    return PairWindow(hsi, msi.astype(np.float32), *valid, RATIO)


def sample(*arguments, psf="gaussian:sigma=2,size=11"):
    return low_resolution(window(*arguments), psf and make_psf(psf), edge="reflect")


def test_the_blur_of_the_hsi_is_matched(fine, srf):
    kernel = match_blur([window(fine, srf, [0.2, 0.5, 3.0], [10, -20, 400])])
    expected = psf_width(make_psf("gaussian:sigma=2,size=11"))
    assert psf_width(kernel).rms_rows == pytest.approx(expected.rms_rows, rel=0.03)
    assert match_blur([window(fine, srf, [1, 1, 1], [0, 0, 0], psf="delta")]) is None


def test_gain_and_offset_are_found(fine, srf):
    gain, offset = [0.2, 0.5, 3.0], [10, -20, 400]
    scaling = joint_scaling([sample(fine, srf, gain, offset)], srf)
    assert scaling.changed
    assert scaling.gain == pytest.approx(gain, rel=1e-3)
    assert scaling.offset == pytest.approx(offset, abs=1)
    assert (scaling.r2 > 0.999).all()
    assert scaling.poor_bands == []
    # Without the blur, the finer detail of the MSI passes for gain.
    assert joint_scaling([sample(fine, srf, gain, offset, psf=None)], srf).gain[0] > 0.202


def test_both_images_come_into_one_scaling_and_back(fine, srf):
    one = sample(fine, srf, [0.2, 0.5, 3.0], [10, -20, 400])
    scaling = joint_scaling([one], srf)
    low = scaling.scale_hsi(one[0])
    assert 0.995 < (low.max(axis=0) < 1).mean() <= 1
    assert scaling.scale_msi(one[1]) == pytest.approx(np.tensordot(srf, low, 1), abs=2e-3)
    assert scaling.restore(low) == pytest.approx(one[0], rel=1e-5)


def test_a_pair_in_one_scaling_is_left_alone(fine, srf):
    one = sample(fine, srf, [1, 1, 1], [0, 0, 0])
    scaling = joint_scaling([one], srf)
    assert not scaling.changed
    assert np.array_equal(scaling.scale_msi(one[1]), one[1] / np.float32(scaling.factor))
    assert joint_scaling([sample(fine, srf, [1, 1.05, 1], [0, 0, 0])], srf).changed
    assert joint_scaling([sample(fine, srf, [1, 1, 1], [0, 0, 60])], srf).changed


def test_margins_of_windows_are_left_out(fine, srf):
    part = window(fine, srf, [1, 1, 1], [0, 0, 0])
    valid = low_resolution(part, make_psf("gaussian:sigma=2,size=11"), edge="reflect", margin=True)[2]
    assert valid.sum() == 36 * 36


def test_outliers_do_not_bend_the_line(fine, srf):
    hsi, msi, valid = sample(fine, srf, [0.5, 0.5, 0.5], [0, 0, 0])
    msi = msi.copy()
    msi[:, :3, :10] = 5000  # a cloud over 2 % of the MSI
    clean = joint_scaling([sample(fine, srf, [0.5, 0.5, 0.5], [0, 0, 0])], srf)
    clouded = joint_scaling([(hsi, msi, valid)], srf)
    assert clouded.gain == pytest.approx(clean.gain, rel=0.05)


def test_a_band_that_does_not_belong_is_told(fine, srf):
    hsi, msi, valid = sample(fine, srf, [1, 1, 1], [0, 0, 0])
    msi = msi.copy()
    msi[1] = np.random.default_rng(0).uniform(0, 1, msi[1].shape)
    scaling = joint_scaling([(hsi, msi, valid)], srf)
    assert scaling.poor_bands == [1]
    assert (scaling.gain > 0).all()


def test_rough_scaling_needs_no_response(fine, srf):
    one = sample(fine, srf, [0.01, 20, -3], [5, 0, 9000])
    rough = rough_scaling([one])
    hsi = one[0][:, one[2]]
    assert rough.shape == (3, hsi.shape[1])
    assert hsi.mean(axis=1).min() <= rough.mean() <= hsi.mean(axis=1).max()
    seen = srf @ hsi
    for band in range(3):
        assert np.corrcoef(rough[band], seen[band])[0, 1] > 0.7


def test_rough_scaling_of_two_materials_takes_no_negative():
    random = np.random.default_rng(0)
    share = random.random((1, 12, 12))
    hsi = np.concatenate([1 - share, share + 0.02 * random.normal(size=share.shape)])
    rough = rough_scaling([(hsi, 100 * share, np.ones((12, 12), bool))])
    assert np.corrcoef(rough[0], share.ravel())[0, 1] > 0.999


def test_a_shifted_window_lies_on_the_hsi_again(fine, srf):
    part = window(fine, srf, [1, 1, 1], [0, 0, 0])
    moved = replace(part, hr_msi=np.roll(part.hr_msi, (2, -1), axis=(1, 2)))
    back = shifted(moved, 2.0, -1.0)
    assert back.hr_msi[:, back.hr_valid] == pytest.approx(part.hr_msi[:, back.hr_valid], rel=1e-3)
    assert back.hr_valid.sum() == 158 * 159


def test_nothing_in_common_is_refused(fine, srf):
    hsi, msi, valid = sample(fine, srf, [1, 1, 1], [0, 0, 0])
    with pytest.raises(UserError, match="hardly a valid pixel"):
        joint_scaling([(hsi, msi, np.zeros_like(valid))], srf)
    with pytest.raises(UserError, match="no positive values"):
        joint_scaling([(-hsi, msi, valid)], srf)
