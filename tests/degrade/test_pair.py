from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import convolve

from hsipipe.cli import main
from hsipipe.degrade.figures import draw_psfs, draw_response
from hsipipe.degrade.files import PairSettings, degrade_item
from hsipipe.degrade.pair import degrade_pair, peer_normalise
from hsipipe.degrade.psf import PSFS, make_psf
from hsipipe.degrade.response import make_srf
from hsipipe.errors import UserError
from hsipipe.report.style import save_figure
from hsipipe.scenes.readers import read_image
from hsipipe.scenes.scene import Item, Scene
from hsipipe.scenes.writers import write_image

WAVELENGTH_NM = np.linspace(400.0, 1000.0, 30)


def cube(bands=30, rows=24, cols=32, seed=0):
    generator = np.random.default_rng(seed)
    return (0.2 + generator.random((bands, rows, cols))).astype(np.float32)


def srf(bands=30):
    return make_srf(4, wavelength_nm=np.linspace(400.0, 1000.0, bands), bands=bands).matrix


def test_without_noise_it_is_the_forward_model():
    truth, kernel = cube(), make_psf("gaussian:size=7,sigma=1.5")
    lr_hsi, hr_msi = degrade_pair(truth, psf=kernel, srf=srf(), ratio=4, edge="zero")
    assert lr_hsi.dtype == hr_msi.dtype == np.float32
    blurred = np.stack([convolve(band.astype(float), kernel, mode="constant") for band in truth])
    assert np.allclose(lr_hsi, blurred.reshape(30, 6, 4, 8, 4).mean(axis=(2, 4)), atol=1e-6)
    assert np.allclose(hr_msi, np.einsum("mc,chw->mhw", srf(), truth), atol=1e-6)
    # Zero edges darken the border.
    assert lr_hsi[:, 0].mean() < 0.95 * lr_hsi[:, 2:4].mean()


def test_noise_has_the_asked_for_strength():
    truth = np.repeat(np.linspace(0.1, 2.0, 5, dtype=np.float32)[:, None, None], 400, axis=1).repeat(400, axis=2)
    options = {"psf": None, "srf": np.full((1, 5), 0.2), "ratio": 2}
    clean = degrade_pair(truth, **options)
    noisy = degrade_pair(truth, **options, snr_hsi_db=20.0, snr_msi_db=30.0)
    for clear, seen, snr_db in zip(clean, noisy, (20.0, 30.0), strict=True):
        for band, noise in zip(clear, seen - clear, strict=True):
            found = 10 * np.log10(np.mean(band**2) / np.mean(noise**2))
            assert found == pytest.approx(snr_db, abs=0.1)
            assert abs(noise.mean()) < 0.01 * band.mean()


def test_the_msis_noise_depends_on_the_seed_alone():
    options = {"srf": srf(), "snr_hsi_db": 30.0, "snr_msi_db": 30.0}
    first = degrade_pair(cube(), psf=make_psf("delta"), ratio=2, seed=("case", 1), **options)
    other_psf = degrade_pair(cube(), psf=make_psf("gaussian"), ratio=4, seed=("case", 1), **options)
    again = degrade_pair(cube(), psf=make_psf("delta"), ratio=2, seed=("case", 1), **options)
    other_seed = degrade_pair(cube(), psf=make_psf("delta"), ratio=2, seed=("case", 2), **options)
    assert np.array_equal(first[1], other_psf[1])
    assert np.array_equal(first[0], again[0])
    assert not np.array_equal(first[1], other_seed[1])
    assert not np.array_equal(first[0], other_seed[0])


def test_mistakes_of_a_pair():
    with pytest.raises(UserError, match="one column for each of the 30 bands"):
        degrade_pair(cube(), psf=None, srf=srf(20), ratio=4)
    with pytest.raises(UserError, match="no multiple"):
        degrade_pair(cube(), psf=None, srf=srf(), ratio=5)


def test_peer_normalise():
    values = np.arange(10_001, dtype=np.float64).reshape(1, 73, 137)
    scaled, low, high = peer_normalise(values)
    assert (low, high) == pytest.approx((100.0, 9900.0))
    assert scaled.dtype == np.float32
    assert (scaled.min(), scaled.max()) == (0.0, 1.0)
    assert scaled.ravel()[5000] == pytest.approx(0.5)
    valid = np.zeros((73, 137), bool)
    valid.ravel()[:101] = True
    assert peer_normalise(values, valid=valid)[1:] == pytest.approx((1.0, 99.0))
    with pytest.raises(UserError, match="no contrast"):
        peer_normalise(np.ones((2, 5, 5)))


def item(**options):
    transform = [30.0, 0.0, 500_000.0, 0.0, -30.0, 4_000_000.0]
    source = {"path": "x.tif", "format": "geotiff", "crs": None, "transform": transform, "nodata": -9999.0}
    return Item(cube(), name="x", wavelength_nm=WAVELENGTH_NM, source=source, **options)


SETTINGS = PairSettings(psf="gaussian:size=5,sigma=1", srf="4", ratio=4)


def test_items_carry_what_they_should():
    pair = degrade_item(item(labels=np.ones((24, 32), int)), SETTINGS)
    assert pair.lr_hsi.cube.shape == (30, 6, 8)
    assert pair.lr_hsi.source["transform"] == [120.0, 0.0, 500_000.0, 0.0, -120.0, 4_000_000.0]
    assert np.array_equal(pair.lr_hsi.wavelength_nm, WAVELENGTH_NM)
    assert pair.hr_msi.cube.shape == (4, 24, 32)
    assert pair.hr_msi.source["transform"][0] == 30.0
    assert pair.hr_msi.wavelength_nm.tolist() == [480, 552, 666, 803]
    assert pair.hr_msi.fwhm_nm.tolist() == [118, 144, 127, 180]
    assert pair.hr_msi.labels.shape == (24, 32)
    assert pair.lr_hsi.labels is None
    told = pair.hr_msi.source["degradation"]
    assert {told[key] for key in ("psf", "srf", "ratio", "seed")} == {"gaussian:size=5,sigma=1", "4", 4, 0}


def test_widths_are_half_power_widths_whatever_the_factor():
    widths = degrade_item(item(), replace(SETTINGS, fwhm_factor=4.7096)).hr_msi.fwhm_nm
    assert np.allclose(widths, np.array([118, 144, 127, 180]) / 2)
    # The response made of the told centres and widths is the one that was used.
    pair = degrade_item(item(), replace(SETTINGS, fwhm_factor=3.0))
    told = {"centres_nm": pair.hr_msi.wavelength_nm, "fwhm_nm": pair.hr_msi.fwhm_nm}
    again = make_srf(told, wavelength_nm=WAVELENGTH_NM, bands=30)
    assert np.allclose(again.matrix, pair.response.matrix, atol=1e-6)


@pytest.mark.parametrize("srf", ["4", {"centres_nm": [500, 700], "fwhm_nm": [50, 60]}])
def test_on_the_stretched_axis_no_wavelengths_are_told(srf):
    pair = degrade_item(item(), replace(SETTINGS, srf=srf, axis="stretched"))
    assert pair.hr_msi.wavelength_nm is None
    assert pair.hr_msi.fwhm_nm is None
    assert np.array_equal(pair.lr_hsi.wavelength_nm, WAVELENGTH_NM)


def test_infinite_ratios_are_no_noise():
    clean = degrade_item(item(), SETTINGS)
    infinite = degrade_item(item(), replace(SETTINGS, snr_hsi_db=np.inf, snr_msi_db=np.inf))
    assert np.array_equal(infinite.lr_hsi.cube, clean.lr_hsi.cube)
    assert np.array_equal(infinite.hr_msi.cube, clean.hr_msi.cube)
    assert infinite.lr_hsi.source["degradation"]["snr_hsi_db"] is None


def test_invalid_pixels_and_bad_bands():
    valid = np.ones((24, 32), bool)
    valid[:4, :4] = False  # a whole block
    valid[8:10, 8:12] = False  # half of one
    valid[12:15, 12:16] = False  # three quarters of one
    good = np.ones(30, bool)
    good[[3, 17]] = False
    broken = item(valid=valid, good_bands=good)
    clean = broken.cube.copy()
    broken.cube[:, ~valid] = -9999.0
    broken.cube[3] = np.nan
    pair = degrade_item(broken, SETTINGS)
    assert pair.lr_hsi.cube.shape[0] == 28
    assert pair.lr_hsi.good_bands.all()
    assert np.array_equal(pair.lr_hsi.wavelength_nm, WAVELENGTH_NM[good])
    assert np.argwhere(~pair.lr_hsi.valid).tolist() == [[0, 0], [3, 3]]
    assert np.array_equal(pair.hr_msi.valid, valid)
    assert np.isfinite(pair.lr_hsi.cube).all()
    assert pair.lr_hsi.cube.min() > 0.2
    # The hole holds the mean of each band.
    means = clean[good][:, valid].mean(axis=1)
    alone = degrade_item(broken, PairSettings(psf="delta", srf="4", ratio=4)).lr_hsi.cube
    assert np.allclose(alone[:, 0, 0], means, rtol=1e-5)


def test_sizes_are_cropped_with_a_warning(caplog):
    odd = Item(cube(rows=26, cols=35), wavelength_nm=WAVELENGTH_NM, source={"path": "odd.npy"})
    pair = degrade_item(odd, SETTINGS)
    assert "odd.npy: cropped from 26 x 35 to 24 x 32 pixels" in caplog.text
    assert pair.hr_msi.cube.shape == (4, 24, 32)
    assert pair.lr_hsi.cube.shape == (30, 6, 8)
    with pytest.raises(UserError, match="less than one block"):
        degrade_item(odd, PairSettings(psf="delta", srf="4", ratio=32))


@pytest.fixture
def scene(tmp_path):
    write_image(tmp_path / "in.h5", Item(cube(), name="one", wavelength_nm=WAVELENGTH_NM))
    return tmp_path / "in.h5"


def pair_arguments(scene, *extra, lr="lr.tif", msi="msi.h5"):
    outputs = [str(scene.with_name(lr)), str(scene.with_name(msi))]
    return ["degrade", str(scene), *outputs, "--psf", "gaussian:size=5", "--srf", "4", "--ratio", "4", *extra]


def test_verb_writes_both_files_and_a_figure(scene):
    figure = scene.with_name("how.png")
    assert main(pair_arguments(scene, "--snr-hsi", "30", "--snr-msi", "40", "--figure", str(figure))) == 0
    lr_hsi, hr_msi = read_image(scene.with_name("lr.tif")), read_image(scene.with_name("msi.h5"))
    assert lr_hsi.cube.shape == (30, 6, 8)
    assert lr_hsi.cube.dtype == np.float32
    assert np.allclose(lr_hsi.wavelength_nm, WAVELENGTH_NM)
    assert hr_msi.cube.shape == (4, 24, 32)
    with Scene(scene.with_name("msi.h5")) as written:
        told = written.read_source("one")["degradation"]
    assert (told["ratio"], told["snr_msi_db"], told["psf"], told["edge"]) == (4, 40.0, "gaussian:size=5", "reflect")
    expected = degrade_pair(
        cube(),
        psf=make_psf("gaussian:size=5"),
        srf=srf(),
        ratio=4,
        snr_hsi_db=30.0,
        snr_msi_db=40.0,
        seed=("degrade", 0, "one"),
    )
    assert np.array_equal(lr_hsi.cube, expected[0])
    assert np.array_equal(hr_msi.cube, expected[1])
    assert figure.stat().st_size > 10_000
    assert not list(scene.parent.glob(".*"))


def test_verb_as_the_paper_does_it(scene):
    outputs = [str(scene.with_name(name)) for name in ("lr.npy", "msi.npy")]
    assert main(["degrade", str(scene), *outputs, "--peer", "--seed", "3", "--psf", "airy"]) == 0
    expected = degrade_pair(
        peer_normalise(cube())[0],
        psf=make_psf("airy_peer"),
        srf=make_srf(4, wavelength_nm=None, bands=30, axis="stretched", fwhm_factor=4.2).matrix,
        ratio=4,
        snr_hsi_db=35.0,
        snr_msi_db=40.0,
        edge="zero",
        seed=("degrade", 3, "one"),
    )
    for path, array in zip(outputs, expected, strict=True):
        assert np.array_equal(np.load(path).transpose(2, 0, 1), array)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in.h5", "lr.h5"], "neither --noise nor a second output"),
        (["in.h5", "lr.h5", "--psf", "gaussian"], "--psf needs two outputs"),
        (["in.h5", "lr.h5", "msi.h5", "--noise", "gaussian:sigma=0.1"], "--noise: does not go with MSI_OUT"),
        (["in.h5", "lr.h5", "--noise", "gaussian:sigma=0.1", "--ratio", "4"], "--noise: does not go with --ratio"),
        (["in.h5", "lr.h5", "msi.h5", "--psf", "gaussian"], "needs --srf and --ratio"),
        (["in.h5", "lr.h5", "msi.h5", "--peer", "--normalised"], "--normalised: goes with --noise only"),
        (["in.h5", "lr.h5", "lr.h5", "--peer"], "lr.h5: would be written twice"),
        (["in.h5", "in.h5", "msi.h5", "--peer"], "own input"),
        (["in.h5", "lr.h5", "srf.npy", "--peer", "--srf", "srf.npy"], "srf.npy: would be overwritten"),
        (["in.h5", "lr.h5", "msi.xyz", "--peer"], "msi.xyz"),
        (["in.h5", "lr.h5", "msi.h5", "--peer", "--figure", "x.foo"], "'.foo'"),
        (["in.h5", "lr.h5", "msi.h5", "--peer", "--psf", "gausian"], "did you mean 'gaussian'"),
        (["in.h5", "lr.h5", "msi.h5", "--peer", "--ratio", "1"], "ratio: must be at least 2"),
        (["in.h5", "lr.h5", "msi.h5", "--peer", "--ratio", "64"], "less than one block"),
        (["in.h5", "lr.h5", "msi.h5", "--peer", "--psf", "gaussian:size=25"], "larger than the image"),
        (["in.h5", "lr.h5", "msi.h5", "--peer", "--srf", "16", "--axis", "measured"], "lies outside the HSI's bands"),
        (["in.h5", "lr.h5", "msi.h5", "--peer", "--srf", "srf.npy"], "3 x 7, the HSI has 30 bands"),
        (["bare.npy", "lr.npy", "msi.npy", "--psf", "delta", "--srf", "4", "--ratio", "2"], "needs the wavelengths"),
        (["in.h5", "lr.h5", "msi.h5", "--peer", "--edge", "wrap"], "--edge"),
        (["in.h5", "lr.h5", "msi.h5", "--peer", "--snr-hsi", "nan"], "snr_hsi_db: must be from -200 to 200 dB"),
        (["in.h5", "lr.h5", "msi.h5", "--peer", "--snr-msi=-inf"], "snr_msi_db: must be from -200 to 200 dB"),
        (["in.h5", "lr.h5", "msi.h5", "--peer", "--snr-hsi", "5000"], "(found 5000.0)"),
    ],
)
def test_mistakes_of_the_verb_leave_nothing(scene, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(scene.parent)
    np.save("srf.npy", np.ones((3, 7)))
    np.save("bare.npy", cube().transpose(1, 2, 0))
    before = {path.name: path.stat().st_mtime_ns for path in scene.parent.iterdir()}
    assert main(["degrade", *arguments]) == 2
    told = capsys.readouterr().err.strip()
    assert message in told
    assert [line for line in told.splitlines() if line.startswith("error:")] == told.splitlines()[-1:]
    assert {path.name: path.stat().st_mtime_ns for path in scene.parent.iterdir()} == before


def test_if_the_second_file_fails_the_first_is_not_left(scene, monkeypatch, capsys):
    def refuse(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("hsipipe.scenes.writers.write_mat", refuse)
    assert main(pair_arguments(scene, lr="lr.npy", msi="msi.mat")) == 1
    assert "no space left" in capsys.readouterr().err
    assert [path.name for path in scene.parent.iterdir()] == ["in.h5"]


def test_envi_output_has_the_larger_pixels(tmp_path):
    source = {"transform": [10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0], "dtype": "float32"}
    write_image(tmp_path / "in.bsq", Item(cube(), wavelength_nm=WAVELENGTH_NM, source=source))
    arguments = ["--psf", "delta", "--srf", "3", "--ratio", "8"]
    assert main(["degrade", *(str(tmp_path / name) for name in ("in.bsq", "lr.bsq", "msi.bsq")), *arguments]) == 0
    assert read_image(tmp_path / "lr.bsq").source["transform"][:2] == [80.0, 0.0]
    assert read_image(tmp_path / "msi.bsq").source["transform"][0] == 10.0


def test_figures_are_drawn(tmp_path):
    save_figure(draw_psfs({name: make_psf(name) for name in PSFS}), [tmp_path / "psfs.svg"])
    text = (tmp_path / "psfs.svg").read_text()
    assert all(name in text for name in PSFS)
    assert "rms 3.12 px" in text
    response = make_srf(8, wavelength_nm=np.linspace(390, 1100, 90), bands=90)
    save_figure(draw_response(response, np.linspace(390, 1100, 90)), [tmp_path / "srf.svg"])
    assert "949 nm" in (tmp_path / "srf.svg").read_text()
    save_figure(draw_response(make_srf(np.eye(3, 9), wavelength_nm=None, bands=9), None), [tmp_path / "bare.svg"])
    assert "HSI band" in (tmp_path / "bare.svg").read_text()
