"""The learned basis and filter: what they start as, what they learn, and what cubes they take."""

import copy

import numpy as np
import pytest
import torch

from hsipipe.degrade.noise import parse_noise
from hsipipe.errors import UserError
from hsipipe.methods import find_method
from hsipipe.tasks.denoising.fit import sort_settings
from hsipipe.tasks.denoising.methods.blind.model import (
    NOTHING_LEARNED,
    Eigenimages,
    Learned,
    denoise,
    project,
    restore,
)
from hsipipe.tasks.denoising.methods.eigenfilter import model as eigenfilter
from hsipipe.tasks.denoising.methods.eigenfilter.examples import make_examples, random_crop, spectral_basis
from hsipipe.tasks.denoising.methods.eigenfilter.network import Block, FilterNetwork
from hsipipe.tasks.denoising.trained import load_denoiser
from hsipipe.training.model_file import save_model

SMALL = {"components": 4, "channels": 4, "blocks": 1, "effort": "fast", "examples": 3, "side": 24, "window": 12}
NOISES = ("hyspecnet", "gaussian:sigma=0.15")


def mixture(bands=12, rows=28, cols=26, rank=3, seed=0):
    """Smooth maps of a few smooth spectra, each band in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    spectra = torch.nn.functional.avg_pool1d(torch.rand(1, rank, bands + 4, generator=generator), 5, stride=1)[0].T
    maps = torch.nn.functional.interpolate(
        torch.randn(1, rank, 5, 5, generator=generator), (rows, cols), mode="bicubic", align_corners=True
    )[0]
    cube = torch.einsum("ck,khw->chw", spectra, (4 * maps).softmax(0))
    low, high = cube.amin((1, 2), keepdim=True), cube.amax((1, 2), keepdim=True)
    return (cube - low) / (high - low)


def corrupted(clean, noise="hyspecnet", seed=1):
    return parse_noise(noise).apply(clean[None], torch.Generator().manual_seed(seed))


def build(bands=12, **settings):
    torch.manual_seed(0)
    return eigenfilter.build(bands=bands, **{**SMALL, **settings})


def disturbed(network):
    """The network with other weights than those that change nothing."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return network


def eigenimages(count=3, rows=14, cols=11, seed=0):
    generator = torch.Generator().manual_seed(seed)
    filtered = 5 * torch.randn(1, count, rows, cols, generator=generator)
    return {
        "coefficients": filtered + torch.randn(filtered.shape, generator=generator),
        "deviation": 0.5 + torch.rand(filtered.shape, generator=generator),
        "filtered": filtered,
        "striped": (torch.rand(1, cols, generator=generator) < 0.3).float(),
    }


def prepared(network, noise="hyspecnet", cubes=None, seed=("c", 0)):
    return eigenfilter.prepare(network, cubes or [mixture(), mixture(seed=5)], noise=parse_noise(noise), seed=seed)


# What the network starts as


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("effort", ["fast", "slow"])
def test_without_training_it_is_the_blind_method(noise, effort):
    noisy = corrupted(mixture(), noise)
    network = build(effort=effort)
    assert not network.basis.any()
    expected = denoise(noisy, effort=effort)
    assert not torch.equal(expected, noisy)
    assert torch.equal(network(noisy), expected)
    assert (disturbed(network)(noisy) - expected).abs().max() > 1e-3


def test_settings_of_the_method_build_it():
    method = find_method("denoising", "eigenfilter")
    settings, _, training = sort_settings(method.complete({}))
    network = eigenfilter.build(bands=202, **settings)
    assert network.basis.shape == (202, 20)
    assert network.whole_image
    # 0.5 M is what the issue of trained rivals allows; the file of the model stays near 1 MB.
    assert 1e5 < sum(parameter.numel() for parameter in network.parameters()) < 5e5
    assert (training["optimizer"], training["batch_size"]) == ("adamw", 4)


def test_nothing_to_learn_is_refused():
    with pytest.raises(UserError, match="nothing to learn"):
        build(components=0, channels=0)


# The filter


def test_filter_starts_as_the_identity_on_filtered_images():
    images = eigenimages()
    assert torch.equal(FilterNetwork(channels=4, blocks=1)(**images), images["filtered"])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 2), (13, 15), (16, 16)])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_filter_takes_any_size_and_number_of_eigenimages(size, count):
    torch.manual_seed(0)
    network = disturbed(FilterNetwork(channels=4, blocks=1))
    images = eigenimages(count, *size)
    better = network(**images)
    assert better.shape == images["filtered"].shape
    assert better.isfinite().all()
    assert not torch.equal(better, images["filtered"])


def test_filter_treats_eigenimages_alike():
    """Their order means nothing (the same weights, and a mean over all); scenes of a batch know nothing of another."""
    torch.manual_seed(0)
    network = disturbed(FilterNetwork(channels=4, blocks=2))
    images = eigenimages(4)
    better = network(**images)
    order = torch.tensor([2, 0, 3, 1])
    other = {name: value if name == "striped" else value[:, order] for name, value in images.items()}
    torch.testing.assert_close(network(**other), better[:, order], atol=1e-5, rtol=1e-5)
    second = eigenimages(4, seed=9)
    both = network(**{name: torch.cat([value, second[name]]) for name, value in images.items()})
    torch.testing.assert_close(both[:1], better, atol=1e-5, rtol=1e-5)


def test_filter_sees_other_eigenimages_and_stripes():
    torch.manual_seed(0)
    network = disturbed(FilterNetwork(channels=4, blocks=1))
    images = eigenimages(2)
    better = network(**images)
    changed = copy.deepcopy(images)
    changed["filtered"][:, 1] += 3
    assert not torch.equal(network(**changed)[:, 0], better[:, 0])
    unstriped = network(**{**images, "striped": torch.zeros_like(images["striped"])})
    assert not torch.equal(unstriped, better)


def test_gradients_are_finite_for_strong_and_weak_eigenimages():
    torch.manual_seed(0)
    network = disturbed(FilterNetwork(channels=4, blocks=1))
    images = eigenimages(2)
    images["filtered"][:, 0] *= 1e4
    images["deviation"][:, 1] = 1e-3
    network(**images).square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_a_block_starts_as_nothing():
    torch.manual_seed(0)
    features = torch.randn(6, 4, 5, 7)
    block = Block(4)
    assert torch.equal(block(features, 3), features)
    assert not torch.equal(disturbed(block)(features, 3), features)


# Crops, basis and examples


@pytest.mark.parametrize("side", [None, 9, 100])
def test_crops_are_scaled_anew_and_repeat(side):
    cubes = [mixture(bands=4, rows=20, cols=30), mixture(bands=4, rows=31, cols=18, seed=2)]
    crops = [random_crop(cubes, side=side, seed=("a", number)) for number in range(12)]
    assert all(crop.shape[1] == crop.shape[2] for crop in crops)
    assert {len(crop[0]) for crop in crops} <= ({9} if side == 9 else {20, 18} if side == 100 else set(range(16, 21)))
    for crop in crops:
        torch.testing.assert_close(crop.amin((1, 2)), torch.zeros(4))
        torch.testing.assert_close(crop.amax((1, 2)), torch.ones(4))
    assert torch.equal(crops[3], random_crop(cubes, side=side, seed=("a", 3)))
    assert len({float(crop.mean()) for crop in crops}) > 4


@pytest.mark.parametrize("size", [(1, 1), (3, 40)])
def test_crops_of_tiny_cubes(size):
    crop = random_crop([torch.rand(2, *size)], side=None, seed=("a",))
    assert crop.shape == (2, size[0], size[0])
    assert crop.isfinite().all()


def test_basis_finds_the_space_of_the_training_set():
    """Spectra that recur every few pixels: each crop has the same ranges, so all lie in one space of known axes."""
    generator = torch.Generator().manual_seed(0)
    spectra = torch.rand(9, 4, generator=generator)
    names = (torch.randperm(16, generator=generator) % 4).view(4, 4).repeat(8, 8)
    cube = spectra[:, names]
    basis = spectral_basis([cube], components=3, seed=("b",), crops=20)
    torch.testing.assert_close(basis.T @ basis, torch.eye(3), atol=1e-5, rtol=0)
    low, high = spectra.amin(1, keepdim=True), spectra.amax(1, keepdim=True)
    scaled = (spectra - low) / (high - low)
    differences = scaled - scaled.mean(1, keepdim=True)  # of four spectra: three dimensions
    torch.testing.assert_close(basis @ (basis.T @ differences), differences, atol=1e-4, rtol=0)
    wide = spectral_basis([cube], components=12, seed=("b",), crops=3)
    assert wide.shape == (9, 12)
    assert not wide[:, 9:].any()


@pytest.mark.parametrize(
    ("noise", "effort", "passes"), [(NOISES[0], "slow", 2), (NOISES[0], "fast", 1), (NOISES[1], "fast", 1)]
)
def test_examples(noise, effort, passes):
    cubes, many = [mixture()], {"count": 2, "side": 24, "effort": effort, "basis": None}
    made = make_examples(cubes, noise=parse_noise(noise), seed=("e", 0), **many)
    assert len(made) == 2 * passes
    for example in made:
        count = len(example["target"])
        assert 1 <= count <= 12
        assert {name: tuple(value.shape) for name, value in example.items()} == {
            "coefficients": (count, 24, 24),
            "deviation": (count, 24, 24),
            "filtered": (count, 24, 24),
            "striped": (24,),
            "target": (count, 24, 24),
        }
        assert all(value.isfinite().all() for value in example.values())
        assert (example["deviation"] > 0).all()
        # the target is what the filter is to find: it comes nearer to it
        error = {name: (example[name] - example["target"]).square().mean() for name in ("coefficients", "filtered")}
        assert error["filtered"] < error["coefficients"]
    again = make_examples(cubes, noise=parse_noise(noise), seed=("e", 0), **many)
    other = make_examples(cubes, noise=parse_noise(noise), seed=("e", 1), **many)
    assert all(torch.equal(first[name], same[name]) for first, same in zip(made, again, strict=True) for name in first)
    assert not torch.equal(made[0]["target"], other[0]["target"])


def test_targets_are_the_truth_in_the_pass_own_axes():
    """Restored, they are the clean crop's projection: far nearer to it than what the filter made."""
    crop = random_crop([mixture()], side=24, seed=("e", 0, "example", 0))
    found = []
    denoise(
        corrupted(crop), effort="fast", learned=Learned(None, lambda images: found.append(images) or images.filtered)
    )
    for images in found:
        target = project(crop, images.centre, images.level, images.axes)
        back, made = (restore(value, images.centre, images.level, images.axes) for value in (target, images.filtered))
        assert (back - crop).square().mean() < 0.5 * (made - crop).square().mean()


def test_examples_with_constant_bands():
    cube = mixture()
    cube[3] = 0.4
    cube[7] = 0.0
    # the second leaves them as they are, and so out of what is found
    for noise in ("hyspecnet", {"type": "poisson-gaussian", "peak": 30.0}):
        many = {"count": 1, "side": 24, "effort": "fast", "basis": None, "seed": ("e",)}
        made = make_examples([cube], noise=parse_noise(noise), **many)
        assert len(made) == 1
        for value in made[0].values():
            assert value.isfinite().all()
        assert (made[0]["filtered"] - made[0]["target"]).square().mean() < made[0]["target"].square().mean()


# Batches


def test_windows_keep_what_belongs_together():
    generator = torch.Generator().manual_seed(0)
    rows, cols, count = 9, 10, 3
    place = torch.arange(rows * cols, dtype=torch.float32).view(1, rows, cols) + 1
    example = {
        "coefficients": place + 1000 * torch.arange(1, count + 1)[:, None, None],
        "deviation": place.expand(count, -1, -1).clone(),
        "striped": (torch.rand(cols, generator=generator) < 0.5).float(),
    }
    example["target"] = 2 * example["coefficients"]
    example["filtered"] = 3 * example["coefficients"]
    striped = {float(number): bool(flag) for number, flag in enumerate(example["striped"])}
    seen = set()
    for number in range(40):
        window = eigenfilter._window(example, 6, np.random.default_rng(number))
        assert {tuple(value.shape) for value in window.values()} == {(count, 6, 6), (6,)}
        assert torch.equal(window["target"], 2 * window["coefficients"])
        assert torch.equal(window["filtered"], 3 * window["coefficients"])
        signs = window["coefficients"].sign()
        assert (signs == signs[:, :1, :1]).all(), "one sign to an eigenimage"
        assert torch.equal(window["deviation"][0], window["coefficients"][0].abs() - 1000), "the same places"
        column = (window["deviation"][0, 0] - 1) % cols
        assert [striped[float(value)] for value in column] == window["striped"].bool().tolist()
        corner = window["deviation"][0]
        flips = (bool(corner[0, 0] > corner[-1, 0]), bool(corner[0, 0] > corner[0, -1]))
        seen.add((flips, tuple(signs[:, 0, 0].tolist())))
    assert len({flips for flips, _ in seen}) == 4
    assert len({signs for _, signs in seen}) > 4


def test_windows_larger_than_the_example_repeat_its_border():
    example = {name: value[0] for name, value in eigenimages(2, 5, 4).items()}
    example["target"] = example["filtered"].clone()
    window = eigenfilter._window(example, 8, np.random.default_rng(0))
    assert all(value.shape == (2, 8, 8) for name, value in window.items() if name != "striped")
    assert torch.equal(window["filtered"], window["target"])
    assert (window["filtered"][:, :, 4:] == window["filtered"][:, :, 3:4]).all()
    assert (window["filtered"][:, 5:] == window["filtered"][:, 4:5]).all()
    assert not window["striped"][4:].any()


def test_batches_are_functions_of_their_number():
    first, second = prepared(build()), prepared(build())
    cpu = torch.device("cpu")
    for number in (0, 5):
        one, same, next_ = first(number, cpu, 2), second(number, cpu, 2), first(number + 1, cpu, 2)
        assert all(torch.equal(one[name], same[name]) for name in one)
        assert one["target"].shape[0] == 2
        assert one["target"].shape[2:] == (12, 12)
        assert one["striped"].shape == (2, 12)
        assert one["target"].shape != next_["target"].shape or not torch.equal(one["target"], next_["target"])


def test_preparing_gives_the_basis_and_depends_on_the_seed():
    networks = [build(), build(), build()]
    for network, seed in zip(networks, (("c", 0), ("c", 0), ("c", 1)), strict=True):
        prepared(network, seed=seed)
    assert torch.equal(networks[0].basis, networks[1].basis)
    assert not torch.equal(networks[0].basis, networks[2].basis)
    torch.testing.assert_close(networks[0].basis.T @ networks[0].basis, torch.eye(4), atol=1e-5, rtol=0)


def test_nothing_but_a_basis():
    network = build(channels=0)
    batch = prepared(network)(0, torch.device("cpu"), 2)
    loss = eigenfilter.loss(network, batch)
    loss.backward()
    assert float(loss.detach()) == 0
    noisy = corrupted(mixture())
    blind = denoise(noisy, effort="fast")
    assert not torch.equal(network(noisy), blind), "axes are sought in the basis"
    assert torch.equal(network(noisy), denoise(noisy, effort="fast", learned=Learned(network.basis)))


def test_a_case_without_noise_gives_no_examples():
    with pytest.raises(UserError, match="nothing to denoise"):
        prepared(build(), noise="gaussian:sigma=0.0001")


@pytest.mark.parametrize("noise", NOISES)
def test_a_few_steps_lower_the_loss(noise):
    network = build(channels=8)
    draw = prepared(network, noise)
    batch = draw(0, torch.device("cpu"), 4)
    optimizer = torch.optim.AdamW(network.parameters(), 5e-3)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = eigenfilter.loss(network, batch)
        loss.backward()
        assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
        optimizer.step()
        losses.append(float(loss.detach()))
    before = (batch["filtered"] - batch["target"]).square().mean((1, 2, 3))
    assert losses[0] == pytest.approx(float((before / (before + eigenfilter.FLOOR)).mean()), rel=1e-5)
    assert losses[-1] < 0.9 * losses[0]


# Other sensors


NM = torch.linspace(420, 1000, 12, dtype=torch.float64)


def with_basis(bands=12, **settings):
    network = build(bands=bands, **settings)
    network.basis.copy_(torch.linalg.qr(torch.randn(bands, network.basis.shape[1]))[0])
    return network


def test_the_same_wavelengths_change_nothing():
    network = with_basis()
    assert network.for_wavelengths(NM, NM + 0.5) is network
    assert network.for_wavelengths(None, None) is network


def test_other_wavelengths_resample_the_basis():
    network = with_basis()
    before = network.basis.clone()
    wanted = torch.linspace(450, 980, 7, dtype=torch.float64)
    other = network.for_wavelengths(NM, wanted)
    for column in range(4):
        expected = np.interp(wanted, NM, before[:, column])
        np.testing.assert_allclose(other.basis[:, column], expected, atol=1e-6)
    assert torch.equal(network.basis, before), "the network itself stays"
    assert other.filter is network.filter
    assert other.learned(7).basis is not None
    noisy = corrupted(mixture(bands=7))
    with torch.no_grad():
        expected = denoise(noisy, effort="fast", learned=other.learned(7))
    assert torch.equal(other(noisy), expected)


def test_the_order_of_the_bands_does_not_matter():
    network, order = with_basis(), torch.randperm(12, generator=torch.Generator().manual_seed(2))
    shuffled = with_basis()
    shuffled.basis.copy_(network.basis[order])
    wanted = torch.linspace(450, 980, 7, dtype=torch.float64).flip(0)
    first = network.for_wavelengths(NM, wanted).basis
    torch.testing.assert_close(first, shuffled.for_wavelengths(NM[order], wanted).basis)
    same_bands = network.for_wavelengths(NM, NM[order]).basis
    torch.testing.assert_close(same_bands, network.basis[order])


@pytest.mark.parametrize(
    "wanted",
    [torch.linspace(420, 1100, 12, dtype=torch.float64), torch.linspace(8000, 12000, 12, dtype=torch.float64), None],
)
def test_a_basis_that_does_not_cover_the_bands_is_left_out(wanted):
    network = with_basis()
    other = network.for_wavelengths(NM, wanted)
    noisy = corrupted(mixture())
    assert network.basis.any()
    assert other.learned(12).basis is None
    assert torch.equal(other(noisy), denoise(noisy, effort="fast"))
    assert not torch.equal(network(noisy), other(noisy))


def test_a_basis_without_wavelengths_serves_its_own_number_of_bands_only():
    network = with_basis()
    assert network.for_wavelengths(None, None).learned(12).basis is not None
    assert network.for_wavelengths(None, NM).learned(12).basis is None
    noisy = corrupted(mixture(bands=5))
    assert torch.equal(network.for_wavelengths(None, None)(noisy), denoise(noisy, effort="fast"))


@pytest.mark.parametrize("shape", [(1, 9, 9), (2, 1, 1), (3, 17, 1), (5, 13, 22), (30, 7, 8)])
@pytest.mark.parametrize("clip", [False, True])
def test_any_shape_is_finite(shape, clip):
    generator = torch.Generator().manual_seed(1)
    noisy = torch.rand(1, *shape, generator=generator) + 0.3 * torch.randn(1, *shape, generator=generator)
    noisy = noisy.clamp(0, 1) if clip else noisy
    wanted = torch.linspace(450, 980, shape[0], dtype=torch.float64)
    network = disturbed(with_basis()).for_wavelengths(NM, wanted)
    restored = network(noisy)
    assert restored.shape == noisy.shape
    assert restored.isfinite().all()
    assert not restored.requires_grad


def test_constant_bands_and_missing_values():
    noisy = corrupted(mixture())
    noisy[0, 4], noisy[0, 2] = 0.5, float("nan")
    noisy[0, 9, 3, 3] = float("nan")
    restored = disturbed(with_basis())(noisy)
    assert restored.isfinite().all()
    assert (restored[0, 4] == 0.5).all()


def test_more_directions_than_bands():
    assert build(bands=3, components=20).basis.shape == (3, 3)
    network = with_basis()
    noisy = corrupted(mixture(bands=2))
    other = network.for_wavelengths(NM, NM[[3, 8]])
    assert other.basis.shape == (2, 4)
    assert other(noisy).isfinite().all()


# What training can add to the blind method


def test_learned_by_itself_is_nothing():
    noisy = corrupted(mixture())
    assert NOTHING_LEARNED.basis is None
    assert NOTHING_LEARNED.of_bands(torch.ones(12, dtype=torch.bool)) is NOTHING_LEARNED
    assert NOTHING_LEARNED.whitened(torch.ones(12)) is None
    assert torch.equal(denoise(noisy, learned=Learned(None, lambda found: found.filtered)), denoise(noisy))


def test_a_basis_goes_with_its_bands():
    generator = torch.Generator().manual_seed(4)
    basis, level = torch.rand(6, 3, generator=generator), 0.1 + torch.rand(6, generator=generator)
    chosen = torch.tensor([True, False, True, True, True, False])
    part = Learned(basis).of_bands(chosen)
    assert torch.equal(part.basis, basis[chosen])
    whitened = Learned(basis).whitened(level)
    torch.testing.assert_close(whitened.T @ whitened, torch.eye(3), atol=1e-5, rtol=0)
    # the same space as that of the basis in units of the noise
    scaled = basis / level[:, None]
    torch.testing.assert_close(whitened @ (whitened.T @ scaled), scaled, atol=1e-4, rtol=1e-4)


def test_eigenimages_hold_what_projects_and_restores():
    noisy = corrupted(mixture())
    found: list[Eigenimages] = []
    denoise(noisy, effort="slow", learned=Learned(None, lambda images: found.append(images) or images.filtered))
    assert len(found) == 2, "of three passes, the first is a pilot"
    for images in found:
        count = images.axes.shape[1]
        assert images.coefficients.shape == images.filtered.shape == (count, 28, 26)
        assert images.striped.shape == (26,)
        assert images.striped.dtype == torch.bool
        back = restore(images.filtered, images.centre, images.level, images.axes)
        torch.testing.assert_close(
            project(back, images.centre, images.level, images.axes), images.filtered, atol=2e-3, rtol=1e-3
        )


def test_a_perfect_filter_comes_near_the_truth():
    """With the truth for a filter, all that is left is what lies outside the subspace: what `refine` says is used."""
    clean = mixture()
    noisy = corrupted(clean, "gaussian:sigma=0.15")
    told = denoise(noisy, effort="fast", learned=Learned(None, lambda f: project(clean, f.centre, f.level, f.axes)))
    assert (told[0] - clean).square().mean() < 0.5 * (denoise(noisy, effort="fast")[0] - clean).square().mean()


# Saved and loaded


def test_a_saved_model_does_the_same(tmp_path):
    method = find_method("denoising", "eigenfilter")
    settings = method.complete(SMALL)
    network = disturbed(with_basis())
    save_model(
        tmp_path / "model.pt",
        model_state=network.state_dict(),
        architecture="eigenfilter",
        settings=settings,
        normaliser=None,
        wavelength_nm=NM.numpy(),
        key="k",
        bands=12,
        training={},
    )
    loaded = load_denoiser(tmp_path / "model.pt")
    noisy = corrupted(mixture(rows=33, cols=19))
    assert torch.equal(loaded(noisy, wavelength_nm=NM), network(noisy))
    without = network.for_wavelengths(NM, None)
    assert torch.equal(loaded(noisy), without(noisy))
    wanted = torch.linspace(450, 980, 7)
    other = corrupted(mixture(bands=7))
    torch.testing.assert_close(
        loaded(other, wavelength_nm=wanted), network.for_wavelengths(NM, wanted)(other), atol=1e-5, rtol=1e-5
    )
    # larger than the tiles of other networks: noise, stripes and rank are those of the whole image
    large = corrupted(mixture(rows=20, cols=140))
    assert torch.equal(loaded(large, wavelength_nm=NM), network(large))
