import json

import numpy as np
import pytest
from scipy.io import savemat

from hsipipe.cli import main
from hsipipe.degrade.pair import degrade_pair
from hsipipe.degrade.psf import make_psf

RATIO, BANDS = 4, 20


@pytest.fixture
def files(tmp_path):
    """low.npy (24, 20, 20), high.npy (96, 80, 4) and srf.npy (4, 20)."""
    generator = np.random.default_rng(5)
    maps = np.kron(generator.uniform(0, 1, (4, 24, 20)), np.ones((1, 4, 4)))
    cube = np.tensordot(generator.uniform(0.05, 0.25, (BANDS, 4)), maps, axes=1).astype(np.float32)
    srf = np.repeat(np.eye(4), 5, axis=1) / 5
    low, high = degrade_pair(cube, psf=make_psf("gaussian:sigma=1.5,size=7"), srf=srf, ratio=RATIO, snr_hsi_db=40)
    np.save(tmp_path / "low.npy", low.transpose(1, 2, 0))
    np.save(tmp_path / "high.npy", high.transpose(1, 2, 0))
    np.save(tmp_path / "srf.npy", srf)
    return tmp_path


def fuse(folder, *options, low="low.npy", high="high.npy", out="out.npy", method="ridge"):
    srf = () if "--srf" in options else ("--srf", str(folder / "srf.npy"))
    return main(["fuse", str(folder / low), str(folder / high), str(folder / out), "--method", method, *srf, *options])


def refused(capsys, folder, *options, out="out.npy", **names):
    """The one line that the command complains in; nothing else may have been written."""
    before = set(folder.iterdir())
    assert fuse(folder, *options, out=out, **names) == 2
    assert set(folder.iterdir()) == before
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error:")
    return lines[0]


def test_a_pair_is_fused_and_reported_as_json(files, capsys):
    assert fuse(files, "--json", "--quiet") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["sizes"] == {"lr_hsi": [20, 24, 20], "hr_msi": [4, 96, 80], "output": [20, 96, 80]}
    assert report["ratio"] == RATIO
    assert {"hsi_rmse", "msi_rmse", "hqnr"} <= set(report["scores"])
    assert np.load(files / "out.npy").shape == (96, 80, BANDS)


def test_the_text_report_tells_the_same(files, capsys):
    assert fuse(files, "--psf", "gaussian:sigma=1.5,size=7", "--details", str(files / "details")) == 0
    text = capsys.readouterr().out
    for part in ("ratio 4", "orientation", "shift", "radiometry", "srf.npy (given)", "given, rms", "hqnr", "out.npy"):
        assert part in text
    assert (files / "details" / "overview.png").exists()


def test_the_default_method_takes_a_given_psf_as_known(files, capsys):
    psf = ("--psf", "gaussian:sigma=1.5,size=7")
    assert fuse(files, *psf, "--json", "--quiet", method="subspace_map") == 0
    known = json.loads(capsys.readouterr().out)
    assert known["psf"]["origin"] == "given"
    assert known["settings"]["psf_source"] == "known"
    assert fuse(files, "--json", "--quiet", method="subspace_map") == 0
    assert json.loads(capsys.readouterr().out)["psf"]["origin"] != "given"


def test_bad_sizes(files, capsys):
    high = np.load(files / "high.npy")
    np.save(files / "odd.npy", high[:, :70])
    line = refused(capsys, files, high="odd.npy")
    assert "LR_HSI 24 x 20, HR_MSI 96 x 70" in line


def test_a_few_pixels_too_many_are_cropped_with_a_warning(files, capsys):
    high = np.load(files / "high.npy")
    np.save(files / "more.npy", np.concatenate([high, high[:3]]))
    assert fuse(files, high="more.npy") == 0
    captured = capsys.readouterr()
    assert "HR_MSI is cropped from 99 x 80 to 96 x 80 pixels" in captured.err
    assert np.load(files / "out.npy").shape == (96, 80, BANDS)


def test_srf_columns_that_do_not_match(files, capsys):
    np.save(files / "narrow.npy", np.full((4, 11), 1 / 11))
    assert "the HSI has 20 bands" in refused(capsys, files, "--srf", str(files / "narrow.npy"))


def test_srf_rows_that_do_not_match(files, capsys):
    np.save(files / "three.npy", np.full((3, BANDS), 1 / BANDS))
    line = refused(capsys, files, "--srf", str(files / "three.npy"))
    assert "has 3 bands, HR_MSI has 4" in line


def test_an_msi_band_outside_the_hsis_range(files, capsys):
    low = np.load(files / "low.npy")
    savemat(files / "low.mat", {"cube": low, "wavelength": np.linspace(430, 700, BANDS)})
    line = refused(capsys, files, "--srf", "4", low="low.mat")
    assert "lies outside the HSI's bands" in line


def test_a_sensor_without_wavelengths(files, capsys):
    assert "needs the wavelengths" in refused(capsys, files, "--srf", "4")


def test_a_kernel_larger_than_the_image(files, capsys):
    line = refused(capsys, files, "--psf", "gaussian:sigma=9,size=101")
    assert "kernel of 101 x 101 is larger than the image" in line


def test_more_endmembers_than_bands(files, capsys):
    line = refused(capsys, files, "--set", "endmembers=21", method="cnmf")
    assert "--set endmembers: must be at most the HSI's 20 usable bands (found 21)" in line


def test_an_image_of_constant_bands(files, capsys):
    np.save(files / "flat.npy", np.full((24, 20, BANDS), 3.0))
    assert "no band that can be used" in refused(capsys, files, low="flat.npy")
    np.save(files / "nan.npy", np.full((96, 80, 4), np.nan))
    assert "no band that can be used" in refused(capsys, files, high="nan.npy")


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (lambda image: image[:, ::-1], "mirrored left-right"),
        (lambda image: image[::-1], "mirrored upside down"),
        (lambda image: image[::-1, ::-1], "rotated by 180 degrees"),
    ],
)
def test_a_turned_partner(files, capsys, turn, words):
    np.save(files / "turned.npy", turn(np.load(files / "high.npy")))
    line = refused(capsys, files, high="turned.npy")
    assert f"HR_MSI looks {words} against LR_HSI" in line
    assert "--orient auto" in line
    assert fuse(files, "--orient", "auto", high="turned.npy") == 0


def test_a_transposed_partner(files, capsys):
    np.save(files / "turned.npy", np.load(files / "high.npy").transpose(1, 0, 2))
    assert "transposed or rotated by 90 degrees" in refused(capsys, files, high="turned.npy")


def test_a_wrong_key(files, capsys):
    savemat(files / "pair.mat", {"hsi": np.load(files / "low.npy"), "rgb": np.load(files / "high.npy")})
    line = refused(capsys, files, "--hsi-key", "hyper", "--msi-key", "rgb", low="pair.mat", high="pair.mat")
    assert "hyper" in line
    assert "hsi 24x20x20" in line
    assert fuse(files, "--hsi-key", "hsi", "--msi-key", "rgb", low="pair.mat", high="pair.mat") == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--block", "0"), "at least 1 pixel"),
        (("--psf", "gausian"), "did you mean 'gaussian'"),
        (("--set", "no_such=1"), "unknown setting"),
        (("--method", "oracle"), "needs the truth"),
        (("--method", "bicubik"), "unknown fusion method"),
        (("--hsi-layout", "rows-cols"), "layout"),
    ],
)
def test_wrong_choices(files, capsys, options, words):
    assert words in refused(capsys, files, *options)


def test_output_over_an_input_is_refused(files, capsys):
    assert "would overwrite its own input" in refused(capsys, files, out="high.npy")
    assert "unknown output format" in refused(capsys, files, out="out.png")


def test_a_missing_file(files, capsys):
    assert "does not exist" in refused(capsys, files, high="none.npy")


def test_whole_image_methods_are_refused_before_the_images_are_read(files, capsys, monkeypatch):
    np.save(files / "flat.npy", np.full((24, 20, BANDS), 3.0))  # reading it would be refused for its bands
    line = refused(capsys, files, "--block", "32", low="flat.npy", method="cnmf")
    assert "--block: method 'cnmf' works on whole images only" in line
    monkeypatch.setattr("hsipipe.tasks.fusion.files.fuse_files.WHOLE_BYTES", 1000)
    line = refused(capsys, files, low="flat.npy", method="cnmf")
    assert "'cnmf' works on whole images only (found 20 x 96 x 80 pixels" in line
    assert "--block" not in line


def test_srf_errors_come_before_any_warning(files, capsys):
    # Both a shift and a bad band would be warned of.
    low, high = np.load(files / "low.npy"), np.load(files / "high.npy")
    low[..., 3] = 1
    np.save(files / "low.npy", low)
    np.save(files / "off.npy", np.roll(high, 2, axis=1))
    np.save(files / "narrow.npy", np.full((4, 11), 1 / 11))
    assert "11" in refused(capsys, files, "--srf", str(files / "narrow.npy"), high="off.npy")


def test_a_details_folder_that_cannot_be_made(files, capsys):
    line = refused(capsys, files, "--details", str(files / "srf.npy" / "details"))
    assert "srf.npy: is a file, not a folder" in line


def test_two_cubes_in_one_file_name_the_keys_of_fuse(files, capsys):
    savemat(files / "pair.mat", {"hsi": np.load(files / "low.npy"), "rgb": np.load(files / "high.npy")})
    assert refused(capsys, files, low="pair.mat").endswith("choose one with --hsi-key")
    assert refused(capsys, files, high="pair.mat").endswith("choose one with --msi-key")
    np.save(files / "matrix.npy", np.load(files / "low.npy")[..., 0])
    assert "--table" not in refused(capsys, files, low="matrix.npy")


def test_a_matrix_as_msi_is_one_panchromatic_band(files, capsys):
    np.save(files / "pan.npy", np.load(files / "high.npy").mean(axis=2))
    np.save(files / "flat.npy", np.full((1, BANDS), 1 / BANDS))
    assert fuse(files, "--srf", str(files / "flat.npy"), "--json", "--quiet", high="pan.npy") == 0
    assert json.loads(capsys.readouterr().out)["sizes"]["hr_msi"] == [1, 96, 80]


def test_an_estimated_psf_is_not_called_given(files, capsys):
    told = {}
    for source in ("known", "estimated", "none"):
        options = ("--psf", "gaussian:sigma=1.5,size=7", "--set", f"psf_source={source}", "--json", "--quiet")
        assert fuse(files, *options, method="subspace_map") == 0
        told[source] = json.loads(capsys.readouterr().out)
    assert told["known"]["psf"]["origin"] == "given"
    assert told["estimated"]["psf"]["origin"] == "of the method; the one given serves the scores only"
    assert told["estimated"]["psf"]["rms_rows"] != told["known"]["psf"]["rms_rows"]
    assert "size" not in told["none"]["psf"]
    for report in told.values():
        assert report["scored_with"] == {
            "psf": "given",
            **{k: told["known"]["psf"][k] for k in report["scored_with"] if k != "psf"},
        }


def test_all_methods_are_scored_with_one_psf(files, capsys):
    kernels = []
    for method in ("ridge", "subspace_map", "bicubic"):
        assert fuse(files, "--json", "--quiet", method=method) == 0
        kernels.append(json.loads(capsys.readouterr().out)["scored_with"])
    assert kernels[0]["psf"] == "a Gaussian matched to the pair"
    assert kernels[1:] == kernels[:1] * 2
