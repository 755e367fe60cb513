import numpy as np
import pytest
import torch

from hsipipe.cases.split import Unit
from hsipipe.tasks.denoising.case import Truth
from hsipipe.tasks.denoising.unit_pool import UnitPool


class FakeCase:
    name = "c"
    band_index = np.arange(3)

    def __init__(self):
        self.reads = 0

    def truth_of(self, unit):
        self.reads += 1
        cube = np.full((3, 4, 4), float(unit.item), np.float32)
        return Truth(cube, np.ones((4, 4), bool), np.ones(3, bool), np.zeros(3), np.ones(3), None)


UNITS = [Unit("s", str(number), "train", 0, 4, 0, 4) for number in range(10)]
UNIT_BYTES = 3 * 4 * 4 * 2  # bands, rows, columns, bytes of a half


def items(cubes):
    return [int(cube[0, 0, 0]) for cube in cubes]


def test_all_units_when_they_fit_and_read_once():
    case = FakeCase()
    pool = UnitPool(case, UNITS, seed=0, budget=10 * UNIT_BYTES)
    for epoch in range(3):
        assert items(pool.cubes(epoch, torch.device("cpu"))) == list(range(10))
    assert case.reads == 10


def test_the_cubes_are_where_they_are_asked_for():
    """The memory of a step is reckoned on the CPU before the same units are wanted on the device that trains."""
    case = FakeCase()
    pool = UnitPool(case, UNITS, seed=0)
    for device in ("cpu", "meta", "meta"):
        assert {cube.device.type for cube in pool.cubes(0, torch.device(device))} == {device}
    assert case.reads == 10


def test_a_sample_that_changes_with_the_epoch_and_repeats():
    first, second = (UnitPool(FakeCase(), UNITS, seed=0, budget=4 * UNIT_BYTES) for _ in range(2))
    drawn = [items(first.cubes(epoch, torch.device("cpu"))) for epoch in range(12)]
    assert all(len(epoch) == 4 for epoch in drawn)
    assert len({tuple(epoch) for epoch in drawn}) > 6
    assert set().union(*drawn) == set(range(10))
    # A resumed training starts at a later epoch and sees what the undisturbed one saw.
    assert items(second.cubes(7, torch.device("cpu"))) == drawn[7]


def test_the_seed_matters():
    pools = [UnitPool(FakeCase(), UNITS, seed=seed, budget=4 * UNIT_BYTES) for seed in range(4)]
    assert len({tuple(unit.item for unit in pool.units(0)) for pool in pools}) > 1


@pytest.mark.parametrize("budget", [1, UNIT_BYTES])
def test_at_least_one_unit(budget):
    assert len(UnitPool(FakeCase(), UNITS, seed=0, budget=budget).units(0)) == 1
