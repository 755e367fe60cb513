"""Validation losses and pictures of networks that are known by heart, on a small case."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from hsipipe.cases.bands import select_case_bands
from hsipipe.cases.split import SplitSettings, split_scenes
from hsipipe.degrade.noise import parse_noise
from hsipipe.scenes.scene import Item, Scene, write_scene
from hsipipe.tasks import load_task
from hsipipe.tasks.denoising.case import CaseFile
from hsipipe.tasks.denoising.judge import Judge

NOISE = "gaussian:sigma=0.2"


class Scaled(nn.Module):
    """A network of one weight: its output is so many times its input."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, noisy):
        return self.factor * noisy


def write_case(folder, fractions):
    """A scene of four items, one with invalid pixels and a band without a measurement, and its case."""
    generator = np.random.default_rng(0)
    items = []
    for number in range(4):
        cube = generator.random((4, 18, 14)).astype(np.float32)
        valid, good = np.ones((18, 14), bool), np.ones(4, bool)
        valid[:3, :4] = False
        good[2] = number != 2
        items.append(
            Item(cube, name=f"i{number}", valid=valid, good_bands=good, wavelength_nm=np.array([450, 550, 650, 900]))
        )
    write_scene(folder / "s.h5", items, name="s")
    with Scene(folder / "s.h5") as scene:
        units = split_scenes([scene], SplitSettings(fractions=fractions))
        selection = select_case_bands([scene], units, {"strategy": "all"})
    settings = {"noise": NOISE, "seed": 0}
    load_task("denoising", "prepare")(
        [folder / "s.h5"], units, selection, settings, name="c", output=folder / "case.h5"
    )
    return units


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("case")
    units = write_case(folder, (0.25, 0.5, 0.25))
    with CaseFile(folder / "case.h5", [folder / "s.h5"]) as case:
        yield case, units


@pytest.fixture(scope="module")
def without_validation(tmp_path_factory):
    folder = tmp_path_factory.mktemp("case")
    units = write_case(folder, (0.5, 0.0, 0.5))
    with CaseFile(folder / "case.h5", [folder / "s.h5"]) as case:
        yield case, units


PLAIN = SimpleNamespace()


@pytest.mark.parametrize("factor", [0.0, 1.0, 0.5])
def test_loss_is_the_mean_square_error_over_what_was_measured(opened, factor):
    case, _ = opened
    judge = Judge(case, PLAIN, seed=0)
    assert judge.names == case.names("val")
    assert len(judge.names) == 2
    expected = []
    for name in judge.names:
        truth, error = case.truth(name), 0.0
        for band in np.flatnonzero(truth.good):
            difference = factor * case.noisy(name)[band] - truth.cube[band]
            error += (difference[truth.valid] ** 2).mean() / truth.good.sum()
        expected.append(error)
    with torch.no_grad():
        found = judge.validate(Scaled(factor))
    assert found == {"loss": pytest.approx(np.mean(expected), rel=1e-5)}
    if factor == 1:
        assert found["loss"] == pytest.approx(0.04, rel=0.1)


def test_a_network_is_given_the_images_that_it_takes(opened):
    case, _ = opened
    sizes = []

    class Tiled(Scaled):
        tile = 8

        def forward(self, noisy):
            sizes.append(tuple(noisy.shape[-2:]))
            return noisy

    with torch.no_grad():
        found = Judge(case, PLAIN, seed=0).validate(Tiled())
        whole = Judge(case, PLAIN, seed=0).validate(Scaled())
    assert set(sizes) == {(8, 8)}
    assert found["loss"] == pytest.approx(whole["loss"], rel=1e-4)


def test_an_encoder_judges_itself(opened):
    case, _ = opened
    calls = []

    def validation(_, clean, noisy, generator):
        calls.append((clean, noisy, float(torch.rand((), generator=generator))))
        return torch.tensor(len(calls))

    module = SimpleNamespace(validation=validation)
    judge = Judge(case, module, seed=0)
    assert judge.validate(Scaled()) == {"loss": 1.5}
    for (clean, noisy, _), name in zip(calls, judge.names, strict=True):
        assert np.array_equal(clean, case.truth(name).cube)
        assert np.array_equal(noisy, case.noisy(name))
    drawn = [number for *_, number in calls]
    assert drawn[0] != drawn[1]
    calls.clear()
    judge.validate(Scaled())
    Judge(case, module, seed=1).validate(Scaled())
    again = [number for *_, number in calls]
    assert again[:2] == drawn, "the same in every epoch"
    assert again[2] != drawn[0]


def test_picture_of_the_first_validation_unit(opened):
    case, units = opened
    judge = Judge(case, PLAIN, seed=0)
    images = judge.picture(Scaled(0.5).requires_grad_(False), units[0], parse_noise(NOISE))
    assert list(images) == ["noisy", "denoised", "clean"]
    name = judge.names[0]
    np.testing.assert_array_equal(images["noisy"], case.noisy(name))
    np.testing.assert_array_equal(images["clean"], case.truth(name).cube)
    np.testing.assert_allclose(images["denoised"], 0.5 * case.noisy(name), rtol=1e-6)


def test_without_validation_units_a_training_unit_is_shown(without_validation):
    case, units = without_validation
    train = next(unit for unit in units if unit.part == "train")
    judge = Judge(case, PLAIN, seed=0)
    assert judge.names == []
    network = Scaled().requires_grad_(False)
    first, again = (judge.picture(network, train, parse_noise(NOISE)) for _ in range(2))
    np.testing.assert_array_equal(first["clean"], case.truth_of(train).cube)
    np.testing.assert_array_equal(first["noisy"], again["noisy"])
    np.testing.assert_array_equal(first["denoised"], first["noisy"])
    assert (first["noisy"] - first["clean"]).std() == pytest.approx(0.2, rel=0.1)
    other = Judge(case, PLAIN, seed=1).picture(network, train, parse_noise(NOISE))
    assert (other["noisy"] != first["noisy"]).any()


def test_a_method_draws_its_own_picture(opened, without_validation):
    given = {}

    def picture(_, clean, noisy, generator):
        given.update(clean=clean, noisy=noisy, generator=generator)
        return {"masked": clean.half(), "drawn": noisy.double()}

    module = SimpleNamespace(picture=picture)
    for case, units in (opened, without_validation):
        train = next(unit for unit in units if unit.part == "train")
        images = Judge(case, module, seed=0).picture(Scaled(), train, parse_noise(NOISE))
        assert list(images) == ["masked", "drawn"]
        assert {image.dtype for image in images.values()} == {np.dtype(np.float32)}
        assert given["clean"].shape == given["noisy"].shape == (4, 18, 14)
        assert isinstance(given["generator"], torch.Generator)
