import numpy as np
import pytest

from hsipipe.errors import UserError
from hsipipe.tasks.fusion.files.pairing import Place, find_grid, match_georeferences, match_sizes, turned_further
from hsipipe.tasks.fusion.files.symmetry import SYMMETRIES, Symmetry

UTM33 = "EPSG:32633"
UTM32 = "EPSG:32632"


def test_exact_sizes_match_without_a_word():
    grid = match_sizes((25, 30), (100, 120))
    assert (grid.ratio, grid.rows, grid.cols, grid.notes) == (4, 25, 30, ())
    assert grid.hsi_window == (0, 25, 0, 30)
    assert grid.msi_window == (0, 100, 0, 120)


def test_up_to_ratio_less_one_too_many_pixels_are_cropped():
    # The University of Pavia scene, 610 x 340, beside its 152 x 85 pixels at a quarter of the resolution.
    grid = match_sizes((152, 85), (610, 340))
    assert (grid.ratio, grid.rows, grid.cols) == (4, 152, 85)
    assert grid.msi_window == (0, 608, 0, 340)
    assert grid.notes == ("HR_MSI is cropped from 610 x 340 to 608 x 340 pixels",)


def test_missing_pixels_cost_the_last_row_of_the_hsi():
    grid = match_sizes((152, 85), (607, 340))
    assert (grid.ratio, grid.rows, grid.cols) == (4, 151, 85)
    assert grid.hsi_window == (0, 151, 0, 85)
    assert grid.msi_window == (0, 604, 0, 340)
    assert len(grid.notes) == 2


@pytest.mark.parametrize("msi", [(100, 150), (26, 31), (90, 120), (25, 30)])
def test_sizes_in_no_common_ratio_are_refused_with_both_sizes(msi):
    with pytest.raises(UserError, match=rf"LR_HSI 25 x 30, HR_MSI {msi[0]} x {msi[1]}"):
        match_sizes((25, 30), msi)


def test_swapped_inputs_are_told():
    with pytest.raises(UserError, match="LR_HSI comes first"):
        match_sizes((100, 120), (25, 30))


def test_sizes_that_fit_transposed_are_refused_or_turned():
    with pytest.raises(UserError, match=r"transposed or rotated by 90 degrees.*--orient auto"):
        match_sizes((25, 30), (120, 100))
    grid = match_sizes((25, 30), (120, 100), turn=True)
    assert (grid.ratio, grid.rows, grid.cols) == (4, 30, 25)
    assert grid.hsi_window == (0, 25, 0, 30)
    assert grid.symmetry == Symmetry(transpose=True)


def test_georeferences_give_ratio_offset_and_common_part():
    hsi = Place((10, 12), UTM33, (30, 0, 1000, 0, -30, 5000))
    # The MSI begins 2 LR pixels and 1 HR pixel further right, 1 LR pixel further down, and ends within the HSI.
    msi = Place((50, 45), UTM33, (6, 0, 1066, 0, -6, 4970))
    grid = find_grid(hsi, msi)
    assert grid.ratio == 5
    # To the right: 66 m = 11 HR pixels; the first whole LR pixel is the third, at 90 m = 4 HR pixels into the MSI.
    assert grid.hsi_window == (1, 10, 3, 11)
    assert grid.msi_window == (0, 45, 4, 44)
    assert len(grid.notes) == 2


def test_georeferences_of_other_grids_are_told():
    hsi = Place((10, 10), UTM33, (30, 0, 0, 0, -30, 0))
    grid = match_georeferences(hsi, Place((50, 50), UTM33, (6, 0, 1.2, 0, -6, 0)))
    assert any("miss one another by +0.00 rows and -0.20 columns" in note for note in grid.notes)


def test_different_coordinate_systems_are_refused():
    transform = (30, 0, 0, 0, -30, 0)
    with pytest.raises(UserError, match=r"different coordinate systems.*EPSG:32633.*EPSG:32632"):
        find_grid(Place((10, 10), UTM33, transform), Place((50, 50), UTM32, (6, 0, 0, 0, -6, 0)))


def test_no_ground_in_common_is_refused():
    with pytest.raises(UserError, match="no whole LR pixel in common"):
        find_grid(Place((10, 10), UTM33, (30, 0, 0, 0, -30, 0)), Place((50, 50), UTM33, (6, 0, 9000, 0, -6, 0)))


def test_pixel_sizes_in_no_whole_ratio_are_refused():
    with pytest.raises(UserError, match=r"4\.286 times"):
        find_grid(Place((10, 10), UTM33, (30, 0, 0, 0, -30, 0)), Place((50, 50), UTM33, (7, 0, 0, 0, -7, 0)))


def test_a_georeference_from_south_to_north_is_a_mirrored_image():
    hsi = Place((10, 10), UTM33, (30, 0, 0, 0, 30, -300))
    msi = Place((50, 50), UTM33, (6, 0, 0, 0, -6, 0))
    with pytest.raises(UserError, match="mirrored upside down"):
        find_grid(hsi, msi)
    grid = find_grid(hsi, msi, turn=True)
    assert grid.symmetry == Symmetry(flip_rows=True)
    assert grid.hsi_window == (0, 10, 0, 10)


@pytest.mark.parametrize("symmetry", SYMMETRIES, ids=lambda symmetry: symmetry.name)
def test_windows_and_pixel_maps_follow_the_turn(symmetry):
    image = np.arange(35).reshape(5, 7)
    turned = symmetry.turn(image)
    assert turned.shape == symmetry.size((5, 7))
    window = (1, 3, 0, 4)
    top, bottom, left, right = symmetry.window(window, (5, 7))
    assert np.array_equal(symmetry.turn(image[top:bottom, left:right]), turned[1:3, 0:4])
    # The centre of turned pixel (row 2, col 3) lies in the pixel of the same value.
    col, row, _ = symmetry.pixel_map((5, 7)) @ (3.5, 2.5, 1)
    assert image[int(row), int(col)] == turned[2, 3]


def test_names_say_what_numpy_does():
    image = np.arange(6).reshape(2, 3)
    named = {symmetry.name: symmetry for symmetry in SYMMETRIES}
    assert np.array_equal(named["rotated by 90 degrees clockwise"].turn(image), np.rot90(image, -1))
    assert np.array_equal(named["rotated by 90 degrees counter-clockwise"].turn(image), np.rot90(image))
    assert np.array_equal(named["mirrored left-right"].turn(image), np.fliplr(image))
    assert np.array_equal(named["transposed"].turn(image), image.T)


def test_turning_twice_is_one_turn():
    grid = match_sizes((5, 7), (28, 20), turn=True)
    further = turned_further(grid, Symmetry(flip_rows=True))
    image = np.arange(35).reshape(5, 7)
    assert np.array_equal(further.symmetry.turn(image), image.T[::-1])
