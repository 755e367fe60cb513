import numpy as np
import pytest

from hsipipe.errors import UserError
from hsipipe.settings import settings_from
from hsipipe.tasks.denoising.case import Truth
from hsipipe.tasks.denoising.settings import CaseSettings
from hsipipe.tasks.denoising.shown import shown_band, shown_unit


def make_truth(wavelength_nm, good=None):
    bands = 9 if wavelength_nm is None else len(wavelength_nm)
    good = np.ones(bands, bool) if good is None else np.array(good)
    one = np.ones(bands)
    centres = None if wavelength_nm is None else np.array(wavelength_nm, float)
    return Truth(np.zeros((bands, 2, 2), np.float32), np.ones((2, 2), bool), good, 0 * one, one, centres)


def test_the_last_unit_is_shown_where_there_are_fewer():
    assert [shown_unit(["a", "b"], number) for number in (0, 1, 7)] == ["a", "b", "b"]


@pytest.mark.parametrize(
    ("wavelength_nm", "good", "band"),
    [
        ([500, 700, 850, 1000], None, 2),
        ([1000, 850, 700, 500], None, 1),  # in the sensor's order, whatever that is
        ([500, 700, 850, 1000], [True, True, False, True], 3),  # 140 nm away, not 160
        ([400, 500, 600], None, 2),
        (None, None, 4),
        (None, [True] * 4 + [False] + [True] * 4, 5),
    ],
)
def test_the_band_nearest_to_860_nm_or_the_middle_one(wavelength_nm, good, band):
    assert shown_band(make_truth(wavelength_nm, good), None) == band


def test_a_band_that_is_named():
    truth = make_truth([500, 700, 850, 1000], [True, True, True, False])
    assert shown_band(truth, 0) == 0
    with pytest.raises(UserError, match=r"figure_band: the case has 4 bands \(found 4\); choose one from 0 to 3"):
        shown_band(truth, 4)
    with pytest.raises(UserError, match="no measurement of this band"):
        shown_band(truth, 3)


@pytest.mark.parametrize("bands", [{"strategy": "uniform", "count": 3}, {"strategy": "list", "bands": [5, 9, 1]}])
def test_a_config_cannot_ask_for_a_band_beyond_its_own(bands):
    case = {"scenes": ["s"], "noise": "hyspecnet", "bands": bands}
    assert settings_from(CaseSettings, {**case, "figure_band": 2}, "x.yaml").figure_band == 2
    assert settings_from(CaseSettings, case, "x.yaml").figure_band is None
    with pytest.raises(UserError, match=r"x.yaml: figure_band: the case has 3 bands \(found 3\)"):
        settings_from(CaseSettings, {**case, "figure_band": 3}, "x.yaml")
    with pytest.raises(UserError, match="figure_band: must be at least 0"):
        settings_from(CaseSettings, {**case, "figure_band": -1}, "x.yaml")
    everything = {**case, "bands": {"strategy": "all"}, "figure_band": 300}
    assert settings_from(CaseSettings, everything, "x.yaml").figure_band == 300
