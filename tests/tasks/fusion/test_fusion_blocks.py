import numpy as np
import pytest

from hsipipe.degrade.pair import degrade_pair
from hsipipe.degrade.psf import make_psf
from hsipipe.errors import UserError
from hsipipe.methods import find_method
from hsipipe.tasks.fusion.apply import Fuser
from hsipipe.tasks.fusion.files.blocks import block_windows, inner, sample_windows, widened

RATIO = 4


@pytest.fixture(scope="module")
def pair():
    generator = np.random.default_rng(0)
    maps = np.kron(generator.uniform(0, 1, (4, 24, 32)), np.ones((1, 8, 8)))
    cube = np.tensordot(generator.uniform(0.1, 0.5, (20, 4)), maps, axes=1).astype(np.float32)
    srf = np.repeat(np.eye(4), 5, axis=1) / 5
    psf = make_psf("gaussian:sigma=2,size=9")
    low, high = degrade_pair(cube, psf=psf, srf=srf, ratio=RATIO, snr_hsi_db=35, snr_msi_db=40)
    return low, high, psf, srf


def fused_by_blocks(fuser, low, high, side):
    model = fuser.fit([(low, high)])
    out = np.full((len(low), *high.shape[1:]), np.nan, np.float32)
    rows, cols = low.shape[1:]
    for window in block_windows(rows, cols, side):
        wide = widened(window, model.halo, rows, cols)
        part = apply_on(model, low, high, wide)
        space = (slice(RATIO * window[0], RATIO * window[1]), slice(RATIO * window[2], RATIO * window[3]))
        out[:, *space] = inner(part, window, wide, RATIO)
    return out


def apply_on(model, low, high, wide):
    coarse = (slice(wide[0], wide[1]), slice(wide[2], wide[3]))
    fine = (slice(RATIO * wide[0], RATIO * wide[1]), slice(RATIO * wide[2], RATIO * wide[3]))
    return model.apply(np.ascontiguousarray(low[:, *coarse]), np.ascontiguousarray(high[:, *fine]))


def fuser_of(name, pair):
    method = find_method("fusion", name)
    return Fuser(method, method.complete({}), pair[2], pair[3])


def test_blocks_of_a_pixelwise_method_equal_the_whole(pair):
    fuser = fuser_of("ridge", pair)
    assert np.abs(fused_by_blocks(fuser, *pair[:2], 10) - fuser.fuse(*pair[:2]).cube).max() < 1e-5


def test_blocks_of_the_default_method_show_no_seam(pair):
    fuser = fuser_of("subspace_map", pair)
    whole = fuser.fuse(*pair[:2]).cube
    assert np.abs(fused_by_blocks(fuser, *pair[:2], 16) - whole).max() < 1e-3


def test_windows_tile_the_image_once():
    count = np.zeros((23, 31), int)
    for top, bottom, left, right in block_windows(23, 31, 8):
        count[top:bottom, left:right] += 1
    assert (count == 1).all()


def test_halos_end_at_the_image():
    assert widened((0, 8, 8, 16), 3, 20, 18) == (0, 11, 5, 18)
    image = np.arange(11 * 13).reshape(11, 13)
    assert np.array_equal(inner(image, (0, 8, 8, 16), (0, 11, 5, 18), 1), image[:8, 3:11])


def test_small_images_are_sampled_whole_and_large_ones_evenly():
    assert sample_windows(40, 30, side=20, most=16) == [(0, 40, 0, 30)]
    windows = sample_windows(1000, 500, side=50, most=16)
    assert 8 <= len(windows) <= 16
    assert all(bottom - top == 50 and right - left == 50 for top, bottom, left, right in windows)
    assert windows[0][:1] == (0,)
    assert windows[-1][1] == 1000
    assert windows[-1][3] == 500
    long = sample_windows(10, 100_000, side=50, most=16)
    assert len(long) <= 16
    assert all(bottom - top == 10 for top, bottom, _, _ in long)


def test_methods_for_whole_images_are_refused_with_those_for_blocks(pair):
    fuser = fuser_of("cnmf", pair)
    with pytest.raises(UserError, match=r"'cnmf' works on whole images only.*ridge"):
        fuser.fit([pair[:2]])
