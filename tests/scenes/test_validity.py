"""The rule for valid pixels and good bands."""

import logging

import numpy as np
import pytest

from hsipipe.errors import UserError
from hsipipe.scenes.validity import assess_validity, ranges, representable


def cube(dtype=np.float32):
    return np.random.default_rng(3).integers(1, 100, (4, 5, 6)).astype(dtype)


def test_everything_valid():
    valid, good = assess_validity(cube())
    assert valid.shape == (5, 6)
    assert valid.all()
    assert good.all()


@pytest.mark.parametrize("hole", [np.nan, np.inf, -9999.0])
def test_one_bad_sample_makes_its_pixel_invalid(hole):
    values = cube()
    values[2, 1, 3] = hole
    valid, good = assess_validity(values, nodata=-9999)
    assert np.argwhere(~valid).tolist() == [[1, 3]]
    assert good.all()


def test_an_all_nan_band_is_bad_and_no_pixel_suffers(caplog):
    values = cube()
    values[1] = np.nan
    with caplog.at_level(logging.WARNING):
        valid, good = assess_validity(values, file="x.tif")
    assert valid.all()
    assert good.tolist() == [True, False, True, True]
    assert "x.tif" in caplog.text
    assert "marked bad: 1" in caplog.text


def test_single_zeros_and_negatives_are_measurements():
    values = cube(np.int16)
    values[0] = 0
    values[0, 0, 0] = -3
    values[1, 2, 2] = 0
    valid, good = assess_validity(values)
    assert valid.all()
    assert good.all()


def test_a_pixel_of_zeros_in_every_good_band_is_invalid():
    values = cube()
    values[:, 4, 5] = 0
    values[3, 4, 5] = 7
    assert assess_validity(values)[0].all()
    valid, _ = assess_validity(values, declared_bad=np.array([False, False, False, True]))
    assert np.argwhere(~valid).tolist() == [[4, 5]]


def test_a_band_constant_over_the_valid_pixels_is_bad():
    values = cube()
    values[:, 0, 0] = -1
    values[2] = 5
    values[2, 0, 0] = 8
    _, good = assess_validity(values)
    assert good.all()
    values[2, 0, 0] = -1
    _, good = assess_validity(values, nodata=-1)
    assert good.tolist() == [True, True, False, True]


def test_a_constant_band_does_not_keep_a_zero_pixel_alive():
    values = cube()
    values[:, 2, 2] = 0
    values[1] = 5
    valid, good = assess_validity(values)
    assert good.tolist() == [True, False, True, True]
    assert np.argwhere(~valid).tolist() == [[2, 2]]


def test_one_pixel_is_not_called_constant():
    valid, good = assess_validity(np.ones((3, 1, 1)))
    assert valid.all()
    assert good.all()


def test_nothing_left():
    with pytest.raises(UserError, match="no good band"):
        assess_validity(np.full((2, 3, 3), -9.0), nodata=-9)
    with pytest.raises(UserError, match="no good band"):
        assess_validity(np.full((2, 3, 3), np.nan))
    values = cube()
    values[0, :, ::2] = np.nan
    values[1, :, 1::2] = np.nan
    with pytest.raises(UserError, match="no valid pixel"):
        assess_validity(values)
    with pytest.raises(UserError, match="no valid pixel"):
        assess_validity(cube(), masked=np.ones((5, 6), bool))
    with pytest.raises(UserError, match="no good band"):
        assess_validity(cube(), declared_bad=np.ones(4, bool))


@pytest.mark.parametrize(
    ("nodata", "dtype", "expected"),
    [(-9999, "u2", None), (0.5, "i2", None), (65535, "u2", 65535), (np.nan, "f4", None), (None, "f4", None)],
)
def test_nodata_in_the_type_of_the_data(nodata, dtype, expected):
    assert representable(nodata, np.dtype(dtype)) == expected


def test_nodata_of_float32_is_rounded_as_the_data_are():
    values = cube()
    values[:, 0, 0] = -3.4028234663852886e38
    assert not assess_validity(values, nodata=-3.40282346638529e38)[0][0, 0]


def test_large_sums_are_not_taken_for_infinity():
    values = np.linspace(1e38, 3e38, 60, dtype=np.float32).reshape(2, 5, 6)
    valid, good = assess_validity(values)
    assert valid.all()
    assert good.all()


def test_ranges():
    assert ranges(np.zeros(3, bool)) == ""
    assert ranges(np.array([1, 0, 1, 1, 0], bool)) == "0, 2-3"
