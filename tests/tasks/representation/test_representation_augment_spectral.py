"""Changes of spectra against closed forms, and settings that are refused."""

import math

import numpy as np
import pytest
import torch

from hsipipe.errors import UserError
from hsipipe.settings import as_plain, settings_from
from hsipipe.tasks.representation.augment.refused import REASONS, REMEDIES, refuse
from hsipipe.tasks.representation.augment.settings import PRESETS, Augmentation, augmentation_from
from hsipipe.tasks.representation.augment.spectral import (
    Spectral,
    diagonal,
    draw_spectral,
    drop_taps,
    lamp,
    smoothing_matrix,
    spectral_matrix,
)
from hsipipe.tasks.representation.augment.views import make_views

COUNT = 40
SORTED_NM = torch.linspace(400.0, 790.0, COUNT, dtype=torch.float64)
SHUFFLED_NM = SORTED_NM[torch.randperm(COUNT, generator=torch.Generator().manual_seed(4))]
ORDERS = pytest.mark.parametrize("wavelength_nm", [SORTED_NM, SORTED_NM.flip(0), SHUFFLED_NM])


def changes(**values) -> Spectral:
    """No change of one specimen but those given."""
    zero = torch.zeros(1, dtype=torch.float64)
    plain = {
        "factor": torch.ones(1, COUNT, dtype=torch.float64),
        "offset": zero,
        "shift_nm": zero,
        "sigma_nm": zero,
        "window_nm": torch.tensor([[1.0, 0.0]], dtype=torch.float64),
        "fill": "interpolation",
        "noise": zero,
        "floor": zero,
    }
    return Spectral(**{**plain, **values})


def applied(spectrum: torch.Tensor, wavelength_nm: torch.Tensor, **values) -> torch.Tensor:
    matrix, offset = spectral_matrix(changes(**values), wavelength_nm, device="cpu")
    return matrix[0].double() @ spectrum + offset[0].double()


def number(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


def window(first: float, last: float) -> torch.Tensor:
    return torch.tensor([[first, last]], dtype=torch.float64)


@ORDERS
def test_a_lamp_is_a_polynomial_of_the_wavelength(wavelength_nm):
    light = lamp(wavelength_nm, tilt=number(0.1), curvature=number(0.04))[0]
    place = (wavelength_nm - 595) / 195
    torch.testing.assert_close(light, 1 + 0.1 * place + 0.04 * (2 * place**2 - 1))
    assert float(light[wavelength_nm.argmin()]) == pytest.approx(0.94)
    assert float(light[wavelength_nm.argmax()]) == pytest.approx(1.14)


@ORDERS
def test_a_shift_moves_a_linear_spectrum_along(wavelength_nm):
    shifted = applied(wavelength_nm, wavelength_nm, shift_nm=number(3.5))
    expected = (wavelength_nm + 3.5).clamp(max=790.0)
    torch.testing.assert_close(shifted, expected, atol=1e-3, rtol=0)


@ORDERS
def test_smoothing_widens_a_gaussian_by_the_sum_of_variances(wavelength_nm):
    narrow, width = 25.0, 20.0
    spectrum = torch.exp(-0.5 * ((wavelength_nm - 600) / narrow) ** 2)
    smoothed = applied(spectrum, wavelength_nm, sigma_nm=number(width))
    wide = math.hypot(narrow, width)
    expected = narrow / wide * torch.exp(-0.5 * ((wavelength_nm - 600) / wide) ** 2)
    inner = (wavelength_nm - 600).abs() < 100
    torch.testing.assert_close(smoothed[inner], expected[inner], atol=2e-3, rtol=0)


def test_smoothing_keeps_constants_and_weighs_bands_by_their_interval():
    uneven = torch.tensor([400.0, 410, 420, 421, 422, 423, 424, 430, 440], dtype=torch.float64)
    matrix = smoothing_matrix(uneven, number(15.0))[0]
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(9, dtype=torch.float64))
    # A crowd of bands on one side does not pull the mean of a linear spectrum.
    assert float(matrix[2] @ uneven) == pytest.approx(420, abs=1.5)
    torch.testing.assert_close(smoothing_matrix(uneven, number(0.0))[0], torch.eye(9, dtype=torch.float64))


@ORDERS
@pytest.mark.parametrize(("first", "last", "count"), [(495.0, 555.0, 6), (380.0, 425.0, 3), (755.0, 900.0, 4)])
def test_a_drop_is_a_run_of_its_width_filled_from_beside(wavelength_nm, first, last, count):
    inside = drop_taps(wavelength_nm, window(first, last))[0][0]
    ranks = inside[wavelength_nm.argsort()].nonzero().flatten()
    assert len(ranks) == count
    assert bool((ranks.diff() == 1).all())
    spectrum = torch.sin(wavelength_nm / 30)
    filled = applied(spectrum, wavelength_nm, window_nm=window(first, last))
    torch.testing.assert_close(filled[~inside], spectrum[~inside], atol=1e-6, rtol=0)
    kept, order = wavelength_nm[~inside], wavelength_nm[~inside].argsort()
    expected = np.interp(wavelength_nm[inside], kept[order], spectrum[~inside][order])
    torch.testing.assert_close(filled[inside], torch.as_tensor(expected), atol=1e-5, rtol=0)


@ORDERS
def test_a_drop_to_zero(wavelength_nm):
    values = {"window_nm": window(500.0, 600.0), "fill": "zero", "offset": number(0.1)}
    dropped = applied(torch.ones(COUNT, dtype=torch.float64), wavelength_nm, **values)
    inside = (wavelength_nm >= 500) & (wavelength_nm <= 600)
    torch.testing.assert_close(dropped, torch.where(inside, 0.0, 1.1).double(), atol=1e-6, rtol=0)
    factor, offset = diagonal(changes(**values), wavelength_nm)
    torch.testing.assert_close(factor[0] + offset[0], dropped, atol=1e-6, rtol=0)


def test_a_drop_of_everything_drops_nothing():
    assert not bool(drop_taps(SORTED_NM, window(300.0, 900.0))[0].any())


def test_the_lamp_comes_before_the_sensor():
    factor = lamp(SORTED_NM, tilt=number(0.5), curvature=number(0.0))
    spectrum = torch.sin(SORTED_NM / 15) + 2
    both = applied(spectrum, SORTED_NM, factor=factor, sigma_nm=number(20.0), offset=number(0.3))
    torch.testing.assert_close(both, smoothing_matrix(SORTED_NM, number(20.0))[0] @ (factor[0] * spectrum) + 0.3)


def test_a_gain_scales_each_specimen_by_one_number():
    cubes, masks = torch.rand(6, COUNT, 8, 8) + 0.1, torch.ones(6, 1, 8, 8)
    settings = Augmentation(gain_probability=1.0, gain=0.3)
    result = make_views(cubes, masks, SORTED_NM, settings, size=8, generator=torch.Generator().manual_seed(0))
    ratios = result.images / cubes
    gains = ratios.mean(dim=(2, 3, 4))
    torch.testing.assert_close(ratios, gains[:, :, None, None, None].expand_as(ratios), atol=1e-4, rtol=0)
    assert float(gains.min()) >= 0.7
    assert float(gains.max()) <= 1.3
    assert float(gains.std()) > 0.05


def test_matrix_and_factors_give_the_same_views():
    cubes, masks = torch.rand(3, COUNT, 10, 10), torch.ones(3, 1, 10, 10)
    masks[..., :4] = 0
    cubes = cubes * masks
    light = {"gain_probability": 1.0, "tilt_probability": 1.0, "offset_probability": 1.0}
    # A shift of next to nothing takes the way of the matrix.
    mixed = Augmentation(**light, shift_probability=1.0, shift_nm=1e-9)
    first, second = (
        make_views(cubes, masks, SORTED_NM, settings, size=10, generator=torch.Generator().manual_seed(1))
        for settings in (Augmentation(**light), mixed)
    )
    torch.testing.assert_close(first.images, second.images, atol=1e-5, rtol=1e-5)


def test_drawn_changes_stay_within_their_settings():
    drawn = draw_spectral(
        500, SHUFFLED_NM, augmentation=PRESETS["spectral"], generator=torch.Generator().manual_seed(0)
    )
    width = (drawn.window_nm[:, 1] - drawn.window_nm[:, 0]).clamp_min(0)
    assert 0.19 < float(width.max()) / 390 <= 0.2
    dropped = width > 0
    assert float(drawn.window_nm[dropped, 0].min()) >= 400
    assert float(drawn.window_nm[dropped, 1].max()) <= 790
    assert 0.4 < float(dropped.float().mean()) < 0.6
    assert float(drawn.shift_nm.abs().max()) <= 2
    widths = drawn.sigma_nm[drawn.sigma_nm > 0] * math.sqrt(8 * math.log(2))
    assert float(widths.min()) >= 1
    assert float(widths.max()) <= 8
    assert float(drawn.factor.min()) > 0.8 * 0.8
    assert float(drawn.factor.max()) < 1.2 * 1.2
    assert float(drawn.noise.max()) <= 0.01
    assert float(drawn.floor.max()) <= 0.002


def test_one_band_has_no_tilt():
    light = lamp(torch.tensor([550.0]).double(), tilt=number(0.2), curvature=number(0.0))
    assert light.tolist() == [[1.0]]


@pytest.mark.parametrize("name", sorted(REASONS))
def test_operations_of_colour_are_refused_with_the_reason(name):
    with pytest.raises(UserError) as caught:
        augmentation_from({"preset": "spectral", name: 0.5}, "config.yaml")
    assert REASONS[name] in str(caught.value)
    assert "config.yaml" in str(caught.value)
    assert set(REMEDIES) <= set(REASONS)


@pytest.mark.parametrize(
    "name", ["RandomHue", "color_jitter", "ColourJitter", "JPEG", "random_grayscale", "hue_probability"]
)
def test_refusals_know_other_spellings(name):
    with pytest.raises(UserError, match="not offered"):
        refuse(name)


def test_offered_names_are_not_refused():
    for name in as_plain(Augmentation()):
        refuse(name)


def test_settings_from_a_config():
    assert augmentation_from(None) == Augmentation() == augmentation_from("none")
    changed = augmentation_from({"preset": "spectral", "gain": 0.1, "crop_scale": [0.3, 0.9]})
    assert changed.gain == 0.1
    assert changed.crop_scale == (0.3, 0.9)
    assert changed.tilt_probability == 0.8
    assert hash(changed)
    assert settings_from(Augmentation, as_plain(changed)) == changed
    with pytest.raises(UserError, match="did you mean 'geometry'"):
        augmentation_from("geometri")
    with pytest.raises(UserError, match="tilt_probability"):
        augmentation_from({"tilt_probabilty": 0.5})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gain": 1.5}, "gain"),
        ({"crop_scale": (0.9, 0.3)}, "swap"),
        ({"band_subset": "disjoint", "band_fraction": 0.6}, "share none"),
        ({"tilt": 0.7, "curvature": 0.4}, "vanish"),
        ({"drop_fill": "mean"}, "drop_fill"),
    ],
)
def test_wrong_settings(wrong, message):
    with pytest.raises(UserError, match=message):
        Augmentation(**wrong)
