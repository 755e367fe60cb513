import base64
import io

import numpy as np
import pytest
from PIL import Image

from hsipipe.report.explorer.views import Budget, encode

NM = np.linspace(450, 900, 10)
BANDS, ROWS, COLS = 10, 20, 24


def decoded(url):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))))[..., 0]


def test_a_cube_survives_to_half_a_level(cube_view, cubes):
    made = encode(cube_view, Budget(1_000_000, 4))
    assert 3 not in made["bands"]  # it has no measurement
    assert made["rows"] == ROWS
    assert made["cols"] == COLS
    low, high, across = made["low"], made["high"], made["columns"]
    sheet = decoded(made["pictures"]["good"])
    for place, band in enumerate(made["bands"]):
        row, col = divmod(place, across)
        levels = sheet[row * ROWS : (row + 1) * ROWS, col * COLS : (col + 1) * COLS]
        values = low[place] + levels / 255 * (high[place] - low[place])
        expected = np.clip(cubes["good"][band], low[place], high[place])
        assert np.abs(values - expected).max() <= 0.51 * (high[place] - low[place]) / 255
    assert made["nm"] == pytest.approx(NM[made["bands"]])


def test_the_colour_picture_has_its_bands(cube_view):
    made = encode(cube_view, Budget(1_000_000, 4))
    centres = [made["nm"][place] for place in made["rgb"]]
    assert centres[0] > centres[1] > centres[2]
    assert centres == pytest.approx([650, 550, 450])  # those nearest to 640, 550 and 460 nm


def test_many_cubes_are_shown_smaller():
    few, many = Budget(6_000_000, 10), Budget(6_000_000, 400)
    assert (few.side, few.bands) == (96, 24)
    assert many.side < few.side
    assert many.bands < few.bands
    assert many.side**2 * many.bands * 400 * 0.9 <= 6_000_000


def test_maps_keep_codes_and_names(map_view):
    made = encode(map_view, Budget(1, 1))
    assert made["labels"]["legend"] == [["grass", "#e69f00"], ["water", "#0072b2"]]
    assert decoded(made["maps"]["lda"]["codes"]).tolist()[0] == [2, 1, 2, 2]
    assert decoded(made["tested"]).min() == 255


def test_points_keep_their_proportions(point_view):
    made = encode(point_view, Budget(1, 1))
    assert made["places"]["simclr"] == [[0, 0], [250, 500], [1000, 250]]
    assert made["groups"]["class"] == {"names": ["butterfly", "moth"], "of": [1, 1, 0]}


def test_bands_out_of_order_are_spread_along_the_wavelengths(cube_view, cubes):
    from dataclasses import replace

    order = np.random.default_rng(1).permutation(BANDS)
    shuffled = replace(
        cube_view,
        truth=cubes["truth"][order],
        beside={},
        read=lambda variant: cubes[variant][order],
        wavelength_nm=NM[order],
        good=np.ones(BANDS, bool),
    )
    made = encode(shuffled, Budget(4 * ROWS * COLS, 3))
    assert made["nm"] == pytest.approx(NM[order][made["bands"]])
    assert min(made["nm"]) == pytest.approx(450)
    assert max(made["nm"]) == pytest.approx(900)
