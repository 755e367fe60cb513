import subprocess
import sys

import numpy as np
import pytest

from hsipipe.bands.selection import (
    STRATEGIES,
    BandSelection,
    check_band_settings,
    fit_bands,
    read_bands_csv,
    write_bands_csv,
)
from hsipipe.errors import UserError

BY_COUNT = [name for name in STRATEGIES if name not in ("all", "rgb", "list")]


def scene(bands=40, bad=(0, 17, 39)):
    random = np.random.default_rng(0)
    wavelength_nm = np.linspace(400, 1000, bands)
    spectra = random.random((300, 4)) @ random.random((4, bands)) + 0.01 * random.random((300, bands))
    good = np.ones(bands, bool)
    good[list(bad)] = False
    spectra[:, ~good] = 1e6 * random.random((300, len(bad)))  # to be seen if they are looked at
    return {"wavelength_nm": wavelength_nm, "good_bands": good, "spectra": spectra.astype(np.float32)}


@pytest.mark.parametrize("strategy", BY_COUNT)
@pytest.mark.parametrize("count", [1, 7, 37])
def test_every_strategy_gives_that_many_good_bands_in_order(strategy, count):
    given = scene()
    selection = fit_bands({"strategy": strategy, "count": count}, **given)
    assert len(selection) == count
    assert (np.diff(selection.indices) > 0).all()
    assert given["good_bands"][selection.indices].all()
    np.testing.assert_array_equal(selection.wavelength_nm, given["wavelength_nm"][selection.indices])
    assert selection.strategy == strategy
    assert selection.scores is None or selection.scores.shape == (count,)
    seed = {} if strategy in ("random", "issc") else {"seed": 3}  # accepted, and of no effect, where nothing is drawn
    again = fit_bands({"strategy": strategy, "count": count, **seed}, **given)
    np.testing.assert_array_equal(again.indices, selection.indices)


@pytest.mark.parametrize("strategy", BY_COUNT)
def test_more_bands_than_there_are(strategy):
    with pytest.raises(UserError, match=r"asks for 38 bands.*37"):
        fit_bands({"strategy": strategy, "count": 38}, **scene())


@pytest.mark.parametrize("strategy", ["pca", "variance", "issc", "opbs", "peer-pca"])
def test_spectra_are_needed_and_gaps_in_them_are_left_out(strategy):
    given = scene()
    settings = {"strategy": strategy, "count": 5}
    with pytest.raises(UserError, match="needs training spectra"):
        fit_bands(settings, **{**given, "spectra": None})
    expected = fit_bands(settings, **given).indices
    broken = np.vstack([given["spectra"], np.full((5, 40), np.nan, np.float32)])
    np.testing.assert_array_equal(fit_bands(settings, **{**given, "spectra": broken}).indices, expected)
    with pytest.raises(UserError, match="at least two"):
        fit_bands(settings, **{**given, "spectra": broken[-5:]})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "needs a strategy"),
        ({"strategy": "unifrom", "count": 3}, "did you mean 'uniform'"),
        ({"strategy": "uniform", "cuont": 3}, "did you mean 'count'"),
        ({"strategy": "uniform"}, "needs count"),
        ({"strategy": "uniform", "count": 0}, "whole number of at least 1"),
        ({"strategy": "uniform", "count": 2.5}, "whole number of at least 1"),
        ({"strategy": "uniform", "count": True}, "whole number of at least 1"),
        ({"strategy": "all", "count": 3}, "unknown setting"),
        ({"strategy": "pca", "count": 3, "components": 0}, "between 1 and 37"),
        ({"strategy": "issc", "count": 3, "regularisation": 0}, "must be above 0"),
    ],
)
def test_mistakes_are_named(settings, message):
    with pytest.raises(UserError, match=message):
        fit_bands(settings, **scene())


def test_settings_can_be_checked_alone():
    check_band_settings({"strategy": "uniform", "count": 50})
    with pytest.raises(UserError, match="needs count"):
        check_band_settings({"strategy": "issc"})


def test_arrays_that_do_not_fit():
    given = scene()
    with pytest.raises(ValueError, match="39 wavelengths for 40 bands"):
        fit_bands({"strategy": "all"}, **{**given, "wavelength_nm": given["wavelength_nm"][1:]})
    with pytest.raises(ValueError, match="do not have 40 bands"):
        fit_bands({"strategy": "variance", "count": 1}, **{**given, "spectra": given["spectra"][:, 1:]})
    with pytest.raises(UserError, match="no usable band"):
        fit_bands({"strategy": "all"}, **{**given, "good_bands": np.zeros(40, bool)})


@pytest.mark.parametrize("wavelength_nm", [None, np.array([500.125, 1 / 3])])
@pytest.mark.parametrize("scores", [None, np.array([1e-9, 2.0])])
def test_table_round_trip(tmp_path, wavelength_nm, scores):
    path = tmp_path / "bands.csv"
    write_bands_csv(path, BandSelection(np.array([7, 3]), wavelength_nm, "opbs", scores))
    header = path.read_text().splitlines()[0].split(",")
    assert header == ["index"] + ["wavelength_nm"] * (wavelength_nm is not None) + ["score"] * (scores is not None)
    selection = read_bands_csv(path)
    assert selection.indices.tolist() == [7, 3]
    for expected, found in ((wavelength_nm, selection.wavelength_nm), (scores, selection.scores)):
        assert (found is None) if expected is None else (found.tolist() == expected.tolist())


@pytest.mark.parametrize(
    ("text", "message"), [("", "not a table"), ("a,b\n1,2\n", "not a table"), ("index\nx\n", "not a number")]
)
def test_broken_tables(tmp_path, text, message):
    path = tmp_path / "bands.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_bands_csv(path)
    assert "bands.csv" in str(error.value)
    with pytest.raises(UserError, match="cannot be read"):
        read_bands_csv(tmp_path / "none.csv")


def test_import_is_light():
    code = (
        "import sys, hsipipe.bands.selection, hsipipe.bands.figure;"
        "print({'torch', 'sklearn', 'scipy', 'matplotlib', 'rasterio'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
