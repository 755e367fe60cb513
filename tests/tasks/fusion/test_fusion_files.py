import logging

import numpy as np
import pytest
from rasterio.crs import CRS

from hsipipe.degrade.pair import degrade_pair
from hsipipe.degrade.psf import make_psf
from hsipipe.errors import UserError
from hsipipe.methods import find_method
from hsipipe.scenes.readers import read_image
from hsipipe.scenes.scene import Item
from hsipipe.scenes.writers import write_image
from hsipipe.tasks.fusion.files.fuse_files import FuseOptions, fuse_files
from hsipipe.tasks.fusion.files.fuse_job import mean_scores

RATIO, BANDS = 4, 20
UTM = CRS.from_epsg(32633).to_wkt()


@pytest.fixture(scope="module")
def pair():
    """Truth (bands, 96, 80) in [0, 1], its pair, and the response."""
    generator = np.random.default_rng(5)
    maps = np.kron(generator.uniform(0, 1, (4, 24, 20)), np.ones((1, 4, 4)))
    cube = np.tensordot(generator.uniform(0.05, 0.25, (BANDS, 4)), maps, axes=1).astype(np.float32)
    srf = np.repeat(np.eye(4), 5, axis=1) / 5
    low, high = degrade_pair(cube, psf=make_psf("gaussian:sigma=1.5,size=7"), srf=srf, ratio=RATIO, snr_hsi_db=40)
    return cube, low, high, srf


@pytest.fixture
def srf_file(tmp_path, pair):
    np.save(tmp_path / "srf.npy", pair[3])
    return tmp_path / "srf.npy"


def save(path, cube, **source):
    write_image(path, Item(cube=cube.astype(np.float32), source={"dtype": "float32", **source}))
    return path


def fuse(*files, name="ridge", settings=None, **options):
    method = find_method("fusion", name)
    return fuse_files(*files, method=method, settings=method.complete(settings or {}), options=FuseOptions(**options))


def psnr(found, truth):
    return float(-10 * np.log10(np.mean((found - truth) ** 2)))


def test_units_of_the_hsi_and_geometry_of_the_msi(tmp_path, pair, srf_file):
    cube, low, high, _ = pair
    hsi = Item(
        cube=low * 10_000,
        wavelength_nm=np.linspace(450, 850, BANDS),
        source={"dtype": "float32", "crs": UTM, "transform": [40, 0, 1000, 0, -40, 5000], "nodata": -32768.0},
    )
    write_image(tmp_path / "low.tif", hsi)
    save(tmp_path / "high.tif", high * 255 + 30, crs=UTM, transform=[10, 0, 1000, 0, -10, 5000])
    report = fuse(tmp_path / "low.tif", tmp_path / "high.tif", tmp_path / "out.tif", srf=srf_file)
    out = read_image(tmp_path / "out.tif")
    assert psnr(out.cube / 10_000, cube) > 25
    assert out.source["transform"] == [10, 0, 1000, 0, -10, 5000]
    assert CRS.from_wkt(out.source["crs"]) == CRS.from_epsg(32633)
    assert out.source["nodata"] == -32768
    assert out.wavelength_nm == pytest.approx(np.linspace(450, 850, BANDS))
    assert report["ratio"] == RATIO
    assert report["radiometry"]["changed"]
    assert np.array(report["radiometry"]["gain"]) == pytest.approx(np.full(4, 0.0255), rel=0.03)
    assert abs(report["shift"]["rows_hr_pixels"]) < 0.3
    assert report["orientation"]["applied"] == "as it is"
    assert report["scores"]["msi_snr"] > 15


def test_partial_overlap_is_cropped_and_placed(tmp_path, pair, srf_file, caplog):
    cube, low, high, _ = pair
    save(tmp_path / "low.tif", low, crs=UTM, transform=[40, 0, 1000, 0, -40, 5000])
    # The MSI begins 10 pixels to the right: the third LR pixel is the first that it covers wholly.
    save(tmp_path / "high.tif", high[:, :, 10:], crs=UTM, transform=[10, 0, 1100, 0, -10, 5000])
    with caplog.at_level(logging.WARNING):
        report = fuse(tmp_path / "low.tif", tmp_path / "high.tif", tmp_path / "out.tif", srf=srf_file)
    out = read_image(tmp_path / "out.tif")
    assert out.cube.shape == (BANDS, 96, 68)
    assert out.source["transform"] == [10, 0, 1120, 0, -10, 5000]
    assert psnr(out.cube, cube[:, :, 12:]) > 25
    assert any("cropped" in note for note in report["cropped"])
    assert "LR_HSI is cropped from 24 x 20 to 24 x 17 pixels" in caplog.text


def test_georeference_of_the_hsi_serves_where_the_msi_has_none(tmp_path, pair, srf_file):
    _, low, high, _ = pair
    save(tmp_path / "low.tif", low, crs=UTM, transform=[40, 0, 1000, 0, -40, 5000])
    save(tmp_path / "high.npy", high)
    fuse(tmp_path / "low.tif", tmp_path / "high.npy", tmp_path / "out.tif", srf=srf_file)
    assert read_image(tmp_path / "out.tif").source["transform"] == [10, 0, 1000, 0, -10, 5000]


@pytest.mark.parametrize("suffix", [".npy", ".mat", ".h5", ".tif", ".bsq"])
def test_every_output_format_holds_the_same(tmp_path, pair, srf_file, suffix):
    _, low, high, _ = pair
    files = save(tmp_path / "low.npy", low), save(tmp_path / "high.npy", high)
    fuse(*files, tmp_path / f"out{suffix}", srf=srf_file)
    fuse(*files, tmp_path / "again.npy", srf=srf_file)
    found = read_image(tmp_path / f"out{suffix}")
    assert np.array_equal(found.cube, read_image(tmp_path / "again.npy").cube)
    if suffix == ".h5":
        assert found.source["fusion"]["method"] == "ridge"
        assert found.source["hr_msi"].endswith("high.npy")


def test_bad_bands_are_left_out_and_invalid_pixels_stay_invalid(tmp_path, pair, caplog):
    cube, low, high, srf = pair
    low, high = low.copy(), high.copy()
    low[3] = 0.5
    low[7] = np.nan
    low[:, 4, 5] = np.nan
    high[:, 50:53, 60:64] = np.nan
    np.save(tmp_path / "srf.npy", srf)
    files = save(tmp_path / "low.npy", low), save(tmp_path / "high.npy", high)
    with caplog.at_level(logging.WARNING):
        report = fuse(*files, tmp_path / "out.npy", srf=tmp_path / "srf.npy")
    assert report["bands_left_out"] == {"lr_hsi": [3, 7], "hr_msi": []}
    assert "LR_HSI: 1 of 20 bands constant, left out: 3" in caplog.text
    assert "LR_HSI: 1 of 20 bands without a measurement, left out: 7" in caplog.text
    out = np.load(tmp_path / "out.npy").transpose(2, 0, 1)
    assert len(out) == BANDS - 2
    invalid = np.isnan(out[0])
    assert invalid.sum() == report["invalid_pixels"] == 16 + 12
    assert invalid[16:20, 20:24].all()
    assert invalid[50:53, 60:64].all()
    good = np.delete(cube, (3, 7), axis=0)
    assert psnr(out[:, ~invalid], good[:, ~invalid]) > 25


def test_a_constant_msi_band_is_left_out(tmp_path, pair, srf_file):
    _, low, high, _ = pair
    high = high.copy()
    high[2] = 9
    files = save(tmp_path / "low.npy", low), save(tmp_path / "high.npy", high)
    report = fuse(*files, tmp_path / "out.npy", srf=srf_file)
    assert report["bands_left_out"]["hr_msi"] == [2]
    assert len(report["radiometry"]["gain"]) == 3
    assert report["coverage"]["unseen_bands"] == [10, 11, 12, 13, 14]


def test_orient_auto_turns_the_hsi_onto_the_msi(tmp_path, pair, srf_file):
    cube, low, high, _ = pair
    files = save(tmp_path / "low.npy", np.rot90(low, 1, (1, 2))), save(tmp_path / "high.npy", high)
    with pytest.raises(UserError, match=r"transposed or rotated.*--orient auto"):
        fuse(*files, tmp_path / "out.npy", srf=srf_file)
    report = fuse(*files, tmp_path / "out.npy", srf=srf_file, orient="auto")
    assert report["orientation"]["applied"] == "rotated by 90 degrees clockwise"
    assert psnr(np.load(tmp_path / "out.npy").transpose(2, 0, 1), cube) > 25


def test_the_response_comes_from_the_bands_of_the_msi_file(tmp_path, pair):
    _, low, high, _ = pair
    centres = np.linspace(450, 850, BANDS)
    write_image(tmp_path / "low.tif", Item(cube=low, wavelength_nm=centres))
    bands = np.array([490.0, 600.0, 700.0, 810.0])
    write_image(tmp_path / "high.tif", Item(cube=high, wavelength_nm=bands, fwhm_nm=np.full(4, 90.0)))
    report = fuse(tmp_path / "low.tif", tmp_path / "high.tif", tmp_path / "out.npy")
    assert report["srf"]["origin"] == "bands of the MSI file"
    assert report["srf"]["centres_nm"] == bands.tolist()


def test_the_response_is_estimated_from_the_pair_where_nothing_tells_it(tmp_path, pair):
    cube, low, high, _ = pair
    files = save(tmp_path / "low.npy", low), save(tmp_path / "high.npy", high * 200 + 5)
    report = fuse(*files, tmp_path / "out.npy")
    assert report["srf"]["origin"] == "estimated from the pair"
    assert min(report["radiometry"]["r2"]) > 0.95
    assert psnr(np.load(tmp_path / "out.npy").transpose(2, 0, 1), cube) > 25


def test_blocks_equal_the_whole_and_pass_empty_parts(tmp_path, pair, srf_file):
    _, low, high, _ = pair
    high = high.copy()
    high[:, :32, :32] = np.nan
    files = save(tmp_path / "low.npy", low), save(tmp_path / "high.npy", high)
    whole = fuse(*files, tmp_path / "whole.npy", srf=srf_file)
    report = fuse(*files, tmp_path / "out.tif", srf=srf_file, block=32, quiet=True)
    assert whole["blocks"] is None
    assert report["blocks"] == 9
    assert report["invalid_pixels"] == whole["invalid_pixels"] == 32 * 32
    found, expected = read_image(tmp_path / "out.tif").cube, read_image(tmp_path / "whole.npy").cube
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    assert np.nanmax(np.abs(found - expected)) < 1e-5


def test_details_are_written(tmp_path, pair, srf_file):
    _, low, high, _ = pair
    files = save(tmp_path / "low.npy", low), save(tmp_path / "high.npy", high)
    for figure_format in ("png", "jpg", "svg"):
        folder = tmp_path / figure_format
        fuse(
            *files,
            tmp_path / "out.npy",
            srf=srf_file,
            psf="gaussian:sigma=1.5,size=7",
            details=folder,
            figure_format=figure_format,
        )
        names = {path.name for path in folder.iterdir()}
        assert names == {"srf.csv", "psf.csv", f"psf.{figure_format}", f"overview.{figure_format}"}
    assert np.loadtxt(tmp_path / "png/psf.csv", delimiter=",").sum() == pytest.approx(1)
    table = np.loadtxt(tmp_path / "png/srf.csv", delimiter=",", skiprows=1)
    assert table[:, 1:] == pytest.approx(pair[3].T)


def test_scores_of_blocks_add_up_by_their_squares():
    blocks = [{"hsi_rmse": 0.03, "hsi_snr": 20.0, "hqnr": 0.8}, {"hsi_rmse": 0.04, "hsi_snr": 30.0, "hqnr": 0.6}]
    mean = mean_scores(blocks)
    # Noise (9 + 16) / 2 e-4, power (9 e-4 * 100 + 16 e-4 * 1000) / 2.
    assert mean["hsi_rmse"] == pytest.approx(np.sqrt(12.5e-4), abs=1e-6)
    assert mean["hsi_snr"] == pytest.approx(10 * np.log10(0.845 / 12.5e-4), abs=1e-5)
    assert mean["hqnr"] == pytest.approx(0.7)
    assert mean_scores([]) == {}


def test_endmembers_and_latents_are_numbers_and_pictures(tmp_path):
    from pathlib import Path

    from hsipipe.degrade.response import Response
    from hsipipe.tasks.fusion.files.details import Preview, write_details
    from hsipipe.tasks.fusion.result import Fused

    generator = np.random.default_rng(0)
    preview = Preview((6, 24, 16), RATIO, response=np.full((3, 6), 1 / 6))
    low = generator.uniform(size=(6, 6, 4)).astype(np.float32)
    preview.choose_spectra(low, np.ones((6, 4), bool))
    high, fused = generator.uniform(size=(3, 24, 16)), generator.uniform(size=(6, 24, 16))
    coarse, fine = np.ones((3, 4), bool), np.ones((12, 16), bool)
    gap = fine.copy()
    gap[0, 0] = False
    preview.add((0, 3, 0, 4), low[:, :3], high[:, :12], fused[:, :12], (coarse, fine, gap))
    preview.add((3, 6, 0, 4), low[:, 3:], high[:, 12:], fused[:, 12:], (coarse, fine, fine))
    assert np.isnan(preview.fused[:, 0, 0]).all()
    assert np.array_equal(preview.fused[:, 1:], fused[preview.bands, 1:].astype(np.float32))
    assert len(preview.before) == len(set(preview.places))
    row, col = preview.places[0]
    assert np.array_equal(preview.before[row, col], low[:, row, col])
    inside = fused[:, 4 * row : 4 * row + 4, 4 * col : 4 * col + 4].reshape(6, -1)
    assert np.array_equal(preview.after[row, col], inside)

    found = Fused(
        np.empty((0, 0, 0)),
        endmembers=generator.uniform(size=(5, 6)),
        latents=generator.uniform(size=(5, 24, 16)),
        psf=make_psf("gaussian:sigma=1,size=5"),
    )
    response = Response(np.full((3, 6), 1 / 6), "flat")
    for output, latents in (("out.npy", "latents.npy"), ("out.tif", "latents.tif")):
        written = write_details(
            tmp_path / output,
            found,
            preview,
            psf=None,
            response=response,
            wavelength_nm=None,
            figure_format="png",
            output=Path(output),
            source={"crs": UTM, "transform": [10, 0, 1000, 0, -10, 5000]},
        )
        names = {path.name for path in written}
        assert {latents, "endmembers.csv", "endmembers.png", "latents.png", "psf.csv", "psf.png"} < names
        assert read_image(tmp_path / output / latents).cube == pytest.approx(found.latents, abs=1e-6)
    table = np.loadtxt(tmp_path / "out.npy/endmembers.csv", delimiter=",", skiprows=1)
    assert table[:, 0].tolist() == [1, 2, 3, 4, 5, 6]
    assert table[:, 1:] == pytest.approx(found.endmembers.T, rel=1e-6)
