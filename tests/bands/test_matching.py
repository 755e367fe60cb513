"""Bringing a scene's bands to a model's."""

import numpy as np
import pytest

from hsipipe.bands.matching import match_bands
from hsipipe.errors import UserError


def matched(trained, given, **more):
    return match_bands(trained, given, needed=len(trained), given=len(given), path="m.pt", **more)


def test_the_same_bands_are_left_alone():
    bands = np.linspace(400, 900, 11)
    assert matched(bands, bands + 0.9) is None
    assert match_bands(None, bands, needed=11, given=11, path="m.pt") is None


def test_other_bands_are_interpolated_both_ways():
    matching = matched(np.array([450.0, 550.0]), np.array([400.0, 500.0, 600.0]))
    np.testing.assert_allclose(matching.there @ np.array([0.0, 10.0, 20.0]), [5, 15])
    np.testing.assert_allclose(matching.back @ np.array([5.0, 15.0]), [5, 10, 15])


def test_what_lies_outside_is_refused_unless_nothing_comes_back():
    trained, given = np.linspace(400, 800, 9), np.linspace(400, 1200, 17)
    with pytest.raises(UserError, match="% of the bands given lie outside"):
        matched(trained, given)
    assert matched(trained, given, back=False).there.shape == (9, 17)
    with pytest.raises(UserError, match="of the bands trained on lie outside"):
        matched(given, trained, back=False)


def test_without_wavelengths_the_numbers_of_bands_must_agree():
    with pytest.raises(UserError, match="was trained for 3 bands"):
        match_bands(None, None, needed=3, given=4, path="m.pt")


def test_what_must_be_assumed_is_told(caplog):
    trained = np.linspace(400, 800, 5)
    assert match_bands(trained, None, needed=5, given=5, path="m.pt") is None
    assert "the file tells none" in caplog.text
    finer = np.linspace(400, 800, 41)
    match_bands(finer, np.linspace(425, 900, 20), needed=41, given=20, path="m.pt", back=False)
    assert "2 of its bands lie beyond those of the file" in caplog.text
