import matplotlib.image
import numpy as np
import pytest

from hsipipe.bands.figure import draw_bands
from hsipipe.bands.selection import BandSelection

PINK = np.array([216, 27, 96]) / 255


def marks(path):
    """The largest number of separate pink runs in a pixel row near the foot of the axes."""
    image = matplotlib.image.imread(path)[..., :3]
    hit = np.abs(image[int(0.75 * len(image)) :] - PINK).max(axis=2) < 0.15
    return int((np.diff(hit.astype(int), axis=1, prepend=0) == 1).sum(axis=1).max())


@pytest.mark.parametrize("known", [True, False])
def test_every_chosen_band_is_marked(tmp_path, known):
    wavelength_nm = np.concatenate(
        [np.linspace(400, 1000, 30), np.linspace(980, 1300, 30), np.linspace(1500, 2400, 30)]
    )
    good = np.ones(90, bool)
    good[40:44] = False
    selection = BandSelection(np.array([5, 20, 62, 80]), None, "opbs")
    mean = np.sin(wavelength_nm / 200) + 2
    mean[~good] = np.nan
    for suffix in ("png", "svg"):
        draw_bands(
            selection,
            wavelength_nm if known else None,
            mean,
            np.full(90, 0.2),
            tmp_path / f"bands.{suffix}",
            good_bands=good,
        )
    assert marks(tmp_path / "bands.png") == 4
    text = (tmp_path / "bands.svg").read_text()
    assert text.count("<svg") == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bands.png", "bands.svg"]


def test_figures_are_equal_byte_for_byte(tmp_path):
    selection = BandSelection(np.array([1, 3]), np.array([420.0, 440]), "uniform")
    for name in ("a.svg", "b.svg", "a.png", "b.png"):
        draw_bands(selection, np.arange(410.0, 460, 10), np.arange(5.0), np.ones(5), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_dead_bands_are_not_drawn_as_values(tmp_path):
    wavelength_nm = np.arange(400.0, 600, 10)
    mean, deviation = np.full(20, 5.0), np.full(20, 0.5)
    good = np.ones(20, bool)
    good[8:13] = False
    mean[8:13] = deviation[8:13] = 0
    selection = BandSelection(np.array([2]), None, "uniform")
    draw_bands(selection, wavelength_nm, mean, deviation, tmp_path / "told.svg", good_bands=good)
    draw_bands(selection, wavelength_nm, mean, deviation, tmp_path / "guessed.svg")
    assert (tmp_path / "told.svg").read_bytes() == (tmp_path / "guessed.svg").read_bytes()
