import numpy as np
import pytest

from hsipipe.degrade.blur import Blur
from hsipipe.degrade.psf import make_psf
from hsipipe.metrics.consistency import compare_images, msi_consistency
from hsipipe.metrics.no_reference import hybrid_qnr, pair_quality, score_without_truth
from hsipipe.metrics.q2n import block_slices, conjugate_products, q2n
from hsipipe.metrics.registry import METRICS

NAMES = ["hsi_rmse", "hsi_snr", "msi_rmse", "msi_snr", "d_lambda", "d_s", "hqnr"]


def scene(bands=6, rows=48, cols=40, seed=0):
    """Smooth maps with edges, mixed from three spectra: (bands, rows, cols) in about [0, 1]."""
    random = np.random.default_rng(seed)
    row, col = np.mgrid[:rows, :cols]
    maps = [np.sin(row / 5 + phase) * np.cos(col / 4 - phase) > 0.3 * phase - 0.4 for phase in range(3)]
    maps = np.stack(maps) + 0.1 * random.random((3, rows, cols))
    return (np.einsum("khw,kc->chw", maps, random.uniform(0.1, 0.4, (3, bands)))).astype(np.float32)


@pytest.fixture
def pair():
    truth = scene()
    blur = Blur(make_psf("gaussian:sigma=1.5,size=7"), 4, truth.shape[1:])
    srf = np.kron(np.eye(2), np.full((1, 3), 1 / 3))
    lr_hsi, hr_msi = blur.forward(truth), np.einsum("mc,chw->mhw", srf, truth).astype(np.float32)
    return truth, lr_hsi, hr_msi, blur, srf


def test_the_truth_is_consistent_with_its_images(pair):
    truth, lr_hsi, hr_msi, blur, srf = pair
    rows = score_without_truth(lr_hsi, hr_msi, truth, blur=blur, srf=srf)
    assert [(name, unit) for name, _, unit in rows] == [(name, METRICS[name].unit) for name in NAMES]
    assert all(type(value) is float for _, value, _ in rows)
    scores = {name: value for name, value, _ in rows}
    assert scores["hsi_rmse"] == 0
    assert scores["hsi_snr"] == 150
    assert scores["msi_rmse"] < 1e-7
    assert scores["msi_snr"] > 120
    assert scores["d_lambda"] == pytest.approx(0, abs=1e-6)
    assert scores["hqnr"] == pytest.approx((1 - scores["d_lambda"]) * (1 - scores["d_s"]))


def test_an_offset_is_found_as_it_is(pair):
    truth, lr_hsi, hr_msi, blur, srf = pair
    # Blur, block mean and response have weights of sum 1, so that an offset passes unchanged.
    for found, measured in (
        (compare_images(lr_hsi, blur.forward(truth + np.float32(0.1)), noise=0.05), lr_hsi),
        (msi_consistency(hr_msi, truth + np.float32(0.1), srf, noise=np.full(2, 0.05)), hr_msi),
    ):
        assert found.rmse == pytest.approx(0.1, rel=1e-5)
        assert found.snr_db == pytest.approx(10 * np.log10(np.mean(measured.astype(float) ** 2) / 0.01), abs=1e-4)
        assert found.noise_ratio == pytest.approx(2, rel=1e-5)
    assert compare_images(lr_hsi, blur.forward(truth), noise=None).noise_ratio is None


def test_noise_is_explained_to_its_level(pair):
    truth, lr_hsi, hr_msi, blur, srf = pair
    random = np.random.default_rng(0)
    deviation = np.linspace(0.01, 0.1, len(truth))
    noisy = lr_hsi + deviation[:, None, None] * random.standard_normal(lr_hsi.shape)
    rows = score_without_truth(noisy, hr_msi, truth, blur=blur, srf=srf, hsi_noise=deviation, msi_noise=0.01)
    scores = {name: value for name, value, _ in rows}
    assert [*scores] == [*NAMES[:2], "hsi_noise_ratio", *NAMES[2:4], "msi_noise_ratio", *NAMES[4:]]
    assert scores["hsi_noise_ratio"] == pytest.approx(1, abs=0.1)
    assert scores["hsi_rmse"] == pytest.approx(np.sqrt(np.mean(deviation**2)), rel=0.1)
    assert scores["msi_noise_ratio"] < 1e-4


def test_worse_cubes_have_worse_scores(pair):
    truth, lr_hsi, hr_msi, blur, srf = pair
    best = score_without_truth(lr_hsi, hr_msi, truth, blur=blur, srf=srf)
    replicated = lr_hsi.repeat(4, axis=1).repeat(4, axis=2)
    tilted = truth * np.linspace(0.6, 1.4, len(truth), dtype=np.float32)[:, None, None]
    for worse, names in ((replicated, NAMES), (np.roll(truth, 3, axis=2), NAMES), (tilted, NAMES[:5])):
        found = dict(row[:2] for row in score_without_truth(lr_hsi, hr_msi, worse, blur=blur, srf=srf))
        for name, value, _ in best:
            if name in names:
                assert (value > found[name]) == METRICS[name].higher_is_better, name


def test_without_a_response_the_msi_consistency_is_left_out(pair):
    truth, lr_hsi, hr_msi, blur, _ = pair
    names = [name for name, _, _ in score_without_truth(lr_hsi, hr_msi, truth, blur=blur, srf=None)]
    assert names == [name for name in NAMES if not name.startswith("msi_")]


@pytest.mark.parametrize("ratio", [2, 16])
def test_small_images_have_scores_at_all_ratios(ratio):
    truth = scene(rows=48, cols=32)
    blur = Blur(None, ratio, truth.shape[1:])
    quality = hybrid_qnr(blur.forward(truth), truth[:3], truth, blur, low=blur.forward(truth))
    assert quality.d_lambda == pytest.approx(0, abs=1e-6)
    assert 0 <= quality.d_s < 1


def test_what_is_not_defined_is_nan_and_told(pair, caplog):
    truth, lr_hsi, hr_msi, blur, srf = pair
    single = Blur(None, 32, (32, 64))
    cube = scene(rows=32, cols=64)
    low = single.forward(cube)
    assert np.isnan([*vars(hybrid_qnr(low, cube[:2], cube, single, low=low)).values()]).all()
    truth[2, 5, 5] = np.nan
    rows = score_without_truth(lr_hsi, hr_msi, truth, blur=blur, srf=srf)
    assert all(np.isnan(value) for _, value, _ in rows)
    assert "not defined for this image: hsi_rmse" in caplog.text


def test_shapes_and_noise_are_checked(pair):
    truth, lr_hsi, hr_msi, blur, srf = pair
    with pytest.raises(ValueError, match="do not fit at ratio 4"):
        score_without_truth(lr_hsi[:, 1:], hr_msi, truth, blur=blur, srf=srf)
    with pytest.raises(ValueError, match="do not fit at ratio 4"):
        hybrid_qnr(lr_hsi[1:], hr_msi, truth, blur, low=blur.forward(truth))
    with pytest.raises(ValueError, match="does not fit 2 MSI and 6 HSI bands"):
        msi_consistency(hr_msi, truth, srf[:, 1:])
    with pytest.raises(ValueError, match="of one shape"):
        compare_images(lr_hsi, truth)
    for noise in (0, -1, np.ones(5), np.nan):
        with pytest.raises(ValueError, match="noise must be positive"):
            compare_images(lr_hsi, lr_hsi, noise=noise)


def test_hypercomplex_units():
    signs, places = conjugate_products(4)
    signs = signs * np.array([1, -1, -1, -1])  # without the conjugate
    # The quaternions' table, i j = k, j k = i, k i = j, rows times columns; 0 is the unit 1.
    np.testing.assert_array_equal(places, [[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]])
    np.testing.assert_array_equal(signs, [[1, 1, 1, 1], [1, -1, 1, -1], [1, -1, -1, 1], [1, 1, -1, -1]])


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_norms_multiply_up_to_the_octonions(count):
    signs, places = conjugate_products(count)
    for x, y in np.random.default_rng(0).standard_normal((5, 2, count)):
        product = np.bincount(places.ravel(), (signs * np.outer(x, y)).ravel())
        assert np.linalg.norm(product) == pytest.approx(np.linalg.norm(x) * np.linalg.norm(y))
        own = np.bincount(places.ravel(), (signs * np.outer(x, x)).ravel())
        np.testing.assert_allclose(own, [x @ x] + [0] * (count - 1), atol=1e-12)  # x times its conjugate


def test_q2n_of_one_band_is_the_universal_quality_index():
    x, y = np.random.default_rng(0).random((2, 8, 8)) + 1
    covariance = np.cov(x.ravel(), y.ravel())
    index = 2 * abs(covariance[0, 1]) / np.trace(covariance) * 2 * x.mean() * y.mean() / (x.mean() ** 2 + y.mean() ** 2)
    assert q2n(x[None], y[None], window=8) == pytest.approx(index)


def test_q2n_of_two_bands_is_that_of_complex_numbers():
    x, y = np.random.default_rng(0).random((2, 2, 6, 6)) + 0.5
    values = []
    for rows in (slice(0, 4), slice(2, 6)):
        for cols in (slice(0, 4), slice(2, 6)):
            a, b = (cube[0, rows, cols] + 1j * cube[1, rows, cols] for cube in (x, y))
            m, n = a.mean(), b.mean()
            covariance = np.mean((a - m) * np.conj(b - n))
            spread = np.mean(abs(a - m) ** 2) + np.mean(abs(b - n) ** 2)
            values.append(2 * abs(covariance) / spread * 2 * abs(m) * abs(n) / (abs(m) ** 2 + abs(n) ** 2))
    assert q2n(x, y, window=4) == pytest.approx(np.mean(values))


def test_q2n_special_cases():
    cube = scene(bands=11)
    assert q2n(cube, cube, window=8) == pytest.approx(1)
    assert q2n(cube, 2 * cube, window=8) == pytest.approx(0.8**2)  # 2 * 2 / (1 + 4), of spreads and of means
    constant = np.full((3, 8, 8), 0.3, np.float32)
    assert q2n(constant, constant, window=8) == pytest.approx(1)
    assert q2n(constant, 2 * constant, window=8) == pytest.approx(0.8)
    assert q2n(0 * constant, 0 * constant, window=8) == 1
    with pytest.raises(ValueError, match="no block of 9 fits into 8"):
        q2n(constant, constant, window=9)
    with pytest.raises(ValueError, match="of one shape"):
        q2n(constant, constant[1:], window=8)


def test_blocks_cover_the_image():
    assert block_slices(10, 4) == [slice(0, 4), slice(4, 8), slice(6, 10)]
    assert block_slices(8, 4) == [slice(0, 4), slice(4, 8)]
    assert block_slices(4, 4) == [slice(0, 4)]


def test_pair_quality_against_its_formula():
    random = np.random.default_rng(0)
    first, second = random.random((3, 8, 16)) + 0.2, random.random((2, 8, 16)) + 0.4
    expected = np.zeros((3, 2))
    for band, x in enumerate(first):
        for other, y in enumerate(second):
            for cols in (slice(0, 8), slice(8, 16)):
                a, b = x[:, cols].ravel(), y[:, cols].ravel()
                covariance = np.cov(a, b)
                structure = 4 * covariance[0, 1] / np.trace(covariance)
                expected[band, other] += structure * a.mean() * b.mean() / (a.mean() ** 2 + b.mean() ** 2) / 2
    np.testing.assert_allclose(pair_quality(first, second, window=2, ratio=4), expected, rtol=1e-10)
    constant = np.full((1, 8, 16), 0.5)
    np.testing.assert_allclose(pair_quality(constant, constant, window=8), 1)
    np.testing.assert_allclose(pair_quality(0 * constant, 0 * constant, window=8), 1)


def test_spatial_distortion_is_the_mean_over_all_pairs(pair):
    truth, lr_hsi, hr_msi, blur, _ = pair
    fused = truth + 0.05 * np.random.default_rng(0).standard_normal(truth.shape).astype(np.float32)
    fine = pair_quality(fused, hr_msi, window=8, ratio=4)
    coarse = pair_quality(lr_hsi, blur.forward(hr_msi), window=8)
    assert fine.shape == coarse.shape == (6, 2)
    found = hybrid_qnr(lr_hsi, hr_msi, fused, blur, low=blur.forward(fused))
    assert found.d_s == pytest.approx(sum(abs(fine - coarse).ravel()) / 12)
    assert found.d_lambda == pytest.approx(1 - q2n(lr_hsi, blur.forward(fused), window=10))
