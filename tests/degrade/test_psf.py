import h5py
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.io import savemat
from scipy.special import j0

from hsipipe.degrade.psf import PSFS, check_kernel, make_psf, peer_name, peer_spec, psf_width
from hsipipe.errors import UserError


def profile(kernel):
    """The centre row from the centre on, relative to the centre."""
    half = len(kernel) // 2
    return kernel[half, half:] / kernel[half, half]


@pytest.mark.parametrize("name", PSFS)
def test_every_psf_is_a_kernel(name):
    kernel = make_psf(name)
    assert kernel.shape == (15, 15)
    assert kernel.dtype == np.float64
    assert kernel.sum() == pytest.approx(1.0)
    assert np.allclose(kernel, kernel[::-1, ::-1])  # no shift
    assert np.array_equal(kernel, make_psf({"name": name, "sigma": 3.4, "size": 15}))
    assert make_psf(f"{name}:size=9,sigma=2").shape == (9, 9)


def test_there_are_ten_families():
    assert {name for name in PSFS if not name.endswith("_peer")} == {
        *("gaussian", "kolmogorov", "airy", "moffat", "sinc", "lorentzian2", "hermite", "parabolic", "gabor", "delta")
    }


def test_closed_forms_along_a_row():
    assert profile(make_psf("gaussian:sigma=2"))[2] == pytest.approx(np.exp(-0.5))
    assert profile(make_psf("moffat:sigma=3,beta=2"))[3] == pytest.approx(0.25)
    assert profile(make_psf("lorentzian2:sigma=4"))[4] == pytest.approx(0.5)
    assert profile(make_psf("parabolic:sigma=4"))[[2, 4, 5]] == pytest.approx([0.75, 0.0, 0.0])
    # H4(1) = (4 - 12 + 3) / sqrt(24), H4(0) = 3 / sqrt(24).
    root = np.sqrt(24.0)
    expected = np.exp(-0.5) * (1 - 0.5 / root) / (1 + 0.3 / root)
    assert profile(make_psf("hermite:sigma=3"))[3] == pytest.approx(expected)
    assert make_psf("delta:size=5")[2, 2] == 1.0


def test_airy_has_its_first_zero_at_sigma_and_its_first_ring_where_it_belongs():
    row = profile(make_psf("airy:sigma=15,size=61"))
    assert row[15] < 1e-25
    assert (row[:15] > 1e-3).all()
    # The textbook's first bright ring: 1.75 % of the peak, at 1.34 times the radius of the zero.
    assert row[15:31].argmax() + 15 == 20
    assert row[20] == pytest.approx(0.0175, abs=1e-4)


def test_kolmogorov_is_the_transform_of_its_transfer_function_and_as_wide_as_the_gaussian():
    row = profile(make_psf("kolmogorov:sigma=6,size=61"))
    unit = 2.354820045 * 6 / 0.9758634

    def at(distance):
        return quad(lambda f: f * np.exp(-3.44 * f ** (5 / 3)) * j0(2 * np.pi * f * distance / unit), 0, 8, limit=500)[
            0
        ]

    assert row[[3, 10, 30]] == pytest.approx([at(3) / at(0), at(10) / at(0), at(30) / at(0)], abs=1e-9)
    assert psf_width(make_psf("kolmogorov:sigma=6,size=61")).fwhm_rows == pytest.approx(2.3548 * 6, rel=2e-3)


def test_sinc_is_zero_at_multiples_of_sigma_and_has_negative_lobes():
    kernel = make_psf("sinc:sigma=4")
    row = profile(kernel)
    assert abs(row[4]) < 1e-15
    assert row[6] < -0.03
    # Window length 8 = 2 sigma: this is Lanczos's kernel with two lobes.
    assert row[2] == pytest.approx(np.sinc(0.5) * np.sinc(0.25))
    assert np.isnan(psf_width(kernel).rms_rows)
    rim = np.abs(kernel).sum() - np.abs(kernel[1:-1, 1:-1]).sum()
    assert rim < 0.03


def test_gabor_shows_its_modulation_on_whole_pixels():
    kernel = make_psf("gabor:sigma=3")
    assert profile(kernel)[3] == pytest.approx(0.0, abs=1e-15)
    assert profile(kernel)[4] < 0
    assert (kernel[:, 7] > 0).all()
    assert np.allclose(make_psf(f"gabor:sigma=3,theta={np.pi / 2}"), kernel.T)
    assert make_psf("gabor:sigma=3,phase=0.5")[7, 4] != pytest.approx(make_psf("gabor:sigma=3,phase=0.5")[7, 10])


def test_the_papers_forms():
    """Properties that were read off the paper's program at sigma 3.4, 15 x 15."""
    assert {peer_name(name) for name in PSFS if not name.endswith("_peer")} <= set(PSFS)
    assert peer_name("gaussian") == "gaussian"
    assert peer_name("airy_peer") == "airy_peer"
    assert peer_spec("airy:sigma=2") == "airy_peer:sigma=2"
    assert peer_spec({"name": "sinc", "sigma": 2}) == {"name": "sinc_peer", "sigma": 2}
    assert peer_spec("moffat") == "moffat"
    assert peer_spec("my.csv") == "my.csv"

    def rms(name):
        return psf_width(make_psf(peer_name(name))).rms_rows

    for name, width in (("gaussian", 3.12), ("kolmogorov", 2.67), ("moffat", 1.84), ("lorentzian2", 2.74)):
        assert rms(name) == pytest.approx(width, abs=0.005)
    assert rms("parabolic") == pytest.approx(1.40, abs=0.005)
    airy = make_psf("airy_peer")
    assert airy[7, 7] == pytest.approx(0.020, abs=5e-4)
    assert airy[7, 8] == pytest.approx(0.200, abs=5e-4)
    assert make_psf("hermite_peer")[7, 7] == 0
    sinc = make_psf("sinc_peer")
    assert sinc.min() == pytest.approx(-0.033, abs=5e-4)
    assert 1 - sinc[1:-1, 1:-1].sum() == pytest.approx(0.70, abs=0.01)
    wide = psf_width(make_psf("gabor_peer"))
    assert (wide.rms_cols, wide.rms_rows) == pytest.approx((3.12, 3.98), abs=0.005)


def test_widths():
    width = psf_width(make_psf("gaussian:sigma=3,size=41"))
    assert (width.rms_rows, width.rms_cols) == pytest.approx((3.0, 3.0), rel=1e-4)
    assert width.fwhm_rows == pytest.approx(2.3548 * 3, rel=5e-3)
    single = psf_width(make_psf("delta"))
    assert (single.rms_rows, single.fwhm_rows) == (0.0, 1.0)
    # Two equal neighbours along the columns: mean half-way, rms 1/2; the outer crossings are two pixels apart.
    pair = np.zeros((3, 3))
    pair[1, 1:] = 0.5
    width = psf_width(pair)
    assert (width.rms_rows, width.rms_cols, width.fwhm_rows, width.fwhm_cols) == pytest.approx((0.0, 0.5, 1.0, 2.0))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gausian", "did you mean 'gaussian'"),
        ("gaussian:sigm=2", "did you mean 'sigma'"),
        ("gaussian:beta=2", "unknown setting"),
        ("gaussian:sigma", "expected setting=value"),
        ("gaussian:sigma=wide", "psf gaussian.sigma: must be a number"),
        ("gaussian:sigma=nan", "must be finite"),
        ("gaussian:sigma=0", "must be positive"),
        ("gaussian:size=8", "odd"),
        ("gaussian:size=7.5", "odd"),
        ("moffat:beta=1", "above 1"),
        ("gabor:period=-1", "must be positive"),
        ("gabor:phase=1.5707963", "positive sum"),
        ({"sigma": 2}, "needs a name"),
        ({"file": "a.csv", "sigma": 2}, "unknown setting of a psf's file"),
        (7, "must be a name"),
        ("missing.csv", "no such file"),
    ],
)
def test_mistakes_in_a_spec(spec, message):
    with pytest.raises(UserError, match=message):
        make_psf(spec)


def test_kernels_from_files(tmp_path):
    kernel = np.arange(1.0, 10.0).reshape(3, 3)
    np.save(tmp_path / "k.npy", kernel)
    np.savetxt(tmp_path / "k.csv", kernel, delimiter=",")
    np.savetxt(tmp_path / "spaced.csv", kernel, header="a kernel")
    savemat(tmp_path / "k.mat", {"psf": kernel, "other": np.eye(4)})
    with h5py.File(tmp_path / "v73.mat", "w") as file:
        file["psf"] = kernel.T  # MATLAB's order of axes
    for name in ("k.npy", "k.csv", "spaced.csv", "k.mat:psf", "v73.mat"):
        assert np.allclose(make_psf(str(tmp_path / name)), kernel / 45.0), name
    assert np.allclose(make_psf({"file": tmp_path / "k.mat", "key": "psf"}), kernel / 45.0)
    assert np.allclose(make_psf(kernel), kernel / 45.0)
    for name, message in (
        ("k.mat:pfs", "there are: psf 3x3, other 4x4"),
        ("k.mat", "holds 2 tables"),
        ("k.mat:other", "odd side"),
        ("k.npy:psf", "only .mat files have keys"),
        ("v73.mat:x", "there are: psf 3x3"),
    ):
        with pytest.raises(UserError, match=message):
            make_psf(str(tmp_path / name))


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (np.ones((3, 5)), "square"),
        (np.ones(9), "square"),
        (np.ones((4, 4)), "odd side"),
        (np.zeros((3, 3)), "positive sum"),
        (-np.ones((3, 3)), "positive sum"),
        (np.full((3, 3), np.nan), "finite"),
        (np.ones((3, 3), complex), "real"),
    ],
)
def test_kernels_that_are_refused(kernel, message):
    with pytest.raises(UserError, match=message):
        check_kernel(kernel)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("1,2\n3", "unequal lengths"),
        ("1,2\n3,x", "line 2: must hold numbers"),
        ("1,nan\n3,4", "not finite"),
    ],
)
def test_tables_that_are_refused(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        make_psf(str(tmp_path / "t.csv"))
