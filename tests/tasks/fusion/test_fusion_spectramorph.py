"""SpectraMorph: the network's size, its training, its settings, and scenes whose answer is known."""

import io
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch

from hsipipe.errors import UserError
from hsipipe.methods import find_method
from hsipipe.settings import as_plain, settings_from
from hsipipe.tasks.fusion.methods.spectramorph import model as spectramorph
from hsipipe.tasks.fusion.methods.spectramorph.network import LatentNetwork
from hsipipe.tasks.fusion.methods.spectramorph.pixels import coarse_prior, prior_pixels, training_pixels
from hsipipe.tasks.fusion.methods.spectramorph.settings import FAST, SpectraMorphSettings
from hsipipe.tasks.fusion.methods.spectramorph.training import Objective, learning_rate, train
from hsipipe.tasks.fusion.methods.spectramorph_oracle import model as oracle

BANDS, CHANNELS, RATIO, COUNT = 12, 3, 2, 3
QUICK: dict[str, Any] = {"num_endmembers": COUNT, "hidden_size": 32, "epochs": 60, "extraction": "vca"}


def scene(seed: int = 0, side: int = 16) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """LR-HSI, HR-MSI, SRF and truth of a smooth mixture of three spectra, which three MSI bands determine."""
    generator = np.random.default_rng(seed)
    pure = generator.uniform(0.1, 0.3, (COUNT, BANDS))
    for number in range(COUNT):
        pure[number, 4 * number : 4 * number + 4] += 0.6
    blocks = generator.dirichlet(np.ones(COUNT), (side // 4, side // 4)).transpose(2, 0, 1)
    maps = blocks.repeat(4, 1).repeat(4, 2) * np.linspace(0.7, 1.0, side)
    truth = np.tensordot(pure.T, maps, 1).astype(np.float32)
    srf = np.zeros((CHANNELS, BANDS))
    for channel in range(CHANNELS):
        srf[channel, 4 * channel : 4 * channel + 4] = 0.25
    msi = np.tensordot(srf, truth, 1).astype(np.float32)
    low = truth.reshape(BANDS, side // RATIO, RATIO, side // RATIO, RATIO).mean((2, 4))
    return low, msi, srf, truth


@pytest.mark.parametrize(
    ("inputs", "latents", "expected"),
    [
        (1 + 102, 9, 115_721),  # (c + C + 1) 1024 + 1025 K: one MSI band and the prior on Pavia Centre
        (4, 9, 14_345),  # (c + 1) 1024 + 1025 K
        (4, 7, 12_295),
    ],
)
def test_parameters_of_the_paper(inputs: int, latents: int, expected: int) -> None:
    assert sum(weights.numel() for weights in LatentNetwork(inputs, latents).parameters()) == expected


@pytest.mark.parametrize(("layers", "expected"), [(0, 5 * 3), (1, 5 * 8 + 9 * 3), (3, 5 * 8 + 2 * 9 * 8 + 9 * 3)])
def test_parameters_by_depth(layers: int, expected: int) -> None:
    network = LatentNetwork(4, 3, hidden_size=8, hidden_layers=layers)
    assert sum(weights.numel() for weights in network.parameters()) == expected


def test_learning_rate_climbs_to_30_percent_and_falls() -> None:
    settings = SpectraMorphSettings()
    assert learning_rate(0.0, settings) == pytest.approx(1e-3)
    assert learning_rate(0.15, settings) == pytest.approx(5.5e-3)
    assert learning_rate(0.3, settings) == pytest.approx(1e-2)
    assert learning_rate(0.65, settings) == pytest.approx((1e-2 + 1e-6) / 2)
    assert learning_rate(1.0, settings) == pytest.approx(1e-6)
    assert {learning_rate(at, SpectraMorphSettings(schedule="flat")) for at in (0.0, 0.3, 0.99)} == {1e-3}


@pytest.mark.parametrize("loss", ["mae", "mse", "huber", "spectral_norm"])
def test_losses_against_their_definitions(loss: str) -> None:
    generator = np.random.default_rng(0)
    endmembers, targets, latents = (generator.uniform(0, 1, size) for size in ((3, 7), (20, 7), (20, 3)))
    error = latents @ endmembers - targets
    huber = np.where(np.abs(error) < 0.01, error**2 / 2, 0.01 * (np.abs(error) - 0.005))
    expected = {
        "mae": np.abs(error).mean(1).sum(),
        "mse": (error**2).mean(1).sum(),
        "huber": huber.mean(1).sum(),
        "spectral_norm": np.sqrt((error**2).mean(1)).sum(),
    }[loss]
    tensors = [torch.tensor(part, dtype=torch.float32) for part in (endmembers, targets, latents)]
    assert float(Objective(loss, tensors[0], tensors[1])(tensors[2], slice(None))) == pytest.approx(expected, rel=1e-5)


def test_a_linear_head_finds_the_least_squares_fit() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs, endmembers = torch.rand(200, 2, generator=generator), torch.rand(2, 5, generator=generator)
    targets = (inputs @ torch.tensor([[0.5, -1.0], [0.3, 2.0]]) + torch.tensor([0.1, -0.2])) @ endmembers
    network = LatentNetwork(2, 2, hidden_layers=0, generator=generator)
    settings = SpectraMorphSettings(hidden_layers=0, loss="mse", epochs=1500, max_lr=0.05)
    assert train(network, inputs, targets, endmembers, settings, generator=generator) < 1e-8
    torch.testing.assert_close(network.head.bias, torch.tensor([0.1, -0.2]), atol=2e-3, rtol=0)


def test_the_linear_start_is_the_closed_form_fit() -> None:
    low, msi, srf, _ = scene()
    inputs, targets = training_pixels(low, msi, psf=None, srf=srf, edge="reflect", prior_downsample=None)
    targets = targets + 0.01 * np.random.default_rng(0).standard_normal(targets.shape).astype(np.float32)
    endmembers = torch.rand(COUNT, BANDS, generator=torch.Generator().manual_seed(0))
    network = LatentNetwork(CHANNELS, COUNT, hidden_size=8, skip=True)
    network.start_linear(torch.from_numpy(inputs), torch.from_numpy(targets), endmembers)
    design = np.column_stack([inputs, np.ones(len(inputs))]).astype(np.float64)
    wanted = targets @ np.linalg.pinv(endmembers.numpy().astype(np.float64))
    expected = design @ np.linalg.lstsq(design, wanted, rcond=None)[0]
    np.testing.assert_allclose(network(torch.from_numpy(inputs)).detach().numpy(), expected, atol=1e-3)


def test_change_of_coordinates_keeps_the_mixture() -> None:
    generator = torch.Generator().manual_seed(0)
    network = LatentNetwork(4, 3, hidden_size=8, skip=True, generator=generator)
    pixels, transform = torch.rand(10, 4, generator=generator), torch.rand(3, 3, generator=generator)
    expected = network(pixels) @ transform
    network.change_coordinates(transform)
    torch.testing.assert_close(network(pixels), expected)


@pytest.mark.parametrize("size", [1, 32])
def test_chunks_of_a_full_batch_give_the_same_training(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    low, msi, srf, _ = scene(side=64)
    whole = spectramorph.fuse(low, msi, srf=srf, **{**QUICK, "epochs": 5}).cube
    monkeypatch.setattr("hsipipe.tasks.fusion.methods.spectramorph.training.CACHED_VALUES", size)
    np.testing.assert_allclose(spectramorph.fuse(low, msi, srf=srf, **{**QUICK, "epochs": 5}).cube, whole, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 800},
        {"epochs": 250, "training_batch_size": 20},
        {"start": "linear", "coordinates": "orthonormal", "training_steps": 200, "training_batch_size": 20},
        {"epochs": 800, "extraction": "nmf", "loss": "spectral_norm"},
    ],
)
def test_recovers_a_scene_of_three_spectra(settings: dict[str, Any]) -> None:
    low, msi, srf, truth = scene()
    fused = spectramorph.fuse(low, msi, srf=srf, **{**QUICK, **settings})
    assert np.sqrt(((fused.cube - truth) ** 2).mean()) < 0.01
    assert fused.cube.shape == truth.shape
    assert fused.cube.dtype == np.float32
    assert fused.endmembers is not None
    assert fused.latents is not None
    assert fused.endmembers.shape == (COUNT, BANDS)
    assert fused.latents.shape == (COUNT, 16, 16)
    mixed = np.clip(np.tensordot(fused.endmembers.T, fused.latents, 1), 0, 1)
    np.testing.assert_allclose(mixed, fused.cube, atol=1e-4)


@pytest.mark.parametrize(("head", "most"), [("nonnegative", np.inf), ("simplex", 1.0)])
def test_heads_bound_the_latents(head: str, most: float) -> None:
    low, msi, srf, _ = scene()
    latents = spectramorph.fuse(low, msi, srf=srf, head=head, **QUICK).latents
    assert latents is not None
    assert latents.min() >= 0
    assert latents.max() <= most
    if head == "simplex":
        np.testing.assert_allclose(latents.sum(0), 1.0, atol=1e-5)


@pytest.mark.parametrize("activation", ["leaky_relu", "gelu", "tanh"])
def test_activations_train(activation: str) -> None:
    low, msi, srf, _ = scene()
    facts = [
        spectramorph.fuse(low, msi, srf=srf, **{**QUICK, "activation": activation, "epochs": epochs}).found
        for epochs in (1, 60)
    ]
    assert facts[1]["final_loss"] < 0.7 * facts[0]["final_loss"]


def test_training_steps_set_the_length_of_the_training() -> None:
    low, msi, srf, _ = scene()
    by_steps = spectramorph.fuse(low, msi, srf=srf, **QUICK, training_steps=8, training_batch_size=16)
    by_epochs = spectramorph.fuse(low, msi, srf=srf, **{**QUICK, "epochs": 2}, training_batch_size=16)
    np.testing.assert_array_equal(by_steps.cube, by_epochs.cube)
    assert by_steps.found["steps"] == 8
    assert by_epochs.found["epochs"] == 2


def test_one_band_needs_the_prior() -> None:
    low, msi, srf, truth = scene(side=32)
    errors = []
    for prior in (False, True):
        chosen = {**QUICK, "epochs": 400, "spectral_prior": prior, "prior_downsample": RATIO}
        fused = spectramorph.fuse(low, msi.mean(0, keepdims=True), srf=srf.mean(0, keepdims=True), **chosen)
        errors.append(float(np.abs(fused.cube - truth).mean()))
    assert fused.found["parameters"] == (1 + BANDS + 1) * 32 + 33 * COUNT
    assert errors[1] < 0.6 * errors[0]


def test_coarse_prior_by_hand() -> None:
    image = np.arange(15, dtype=np.float32).reshape(1, 3, 5)
    expected = [[3, 3, 5, 5, 6.5], [3, 3, 5, 5, 6.5], [10.5, 10.5, 12.5, 12.5, 14]]
    np.testing.assert_allclose(coarse_prior(image, 2)[0], expected)


def test_prior_pixels_are_those_of_the_enlarged_image() -> None:
    low = np.random.default_rng(0).uniform(size=(4, 3, 5)).astype(np.float32)
    enlarged = low.repeat(3, 1).repeat(3, 2).reshape(4, -1).T
    np.testing.assert_array_equal(prior_pixels(low, (9, 15), np.arange(135)), enlarged)
    with pytest.raises(UserError, match="whole multiple"):
        prior_pixels(low, (9, 14), np.arange(2))


def test_without_an_srf_the_msi_is_averaged() -> None:
    low, msi, srf, _ = scene()
    given, averaged = (
        training_pixels(low, msi, psf=None, srf=matrix, edge="reflect", prior_downsample=None)[0]
        for matrix in (srf, None)
    )
    np.testing.assert_allclose(given, averaged, atol=1e-6)


@pytest.mark.parametrize("prior", [False, True])
def test_blocks_join_without_seams(prior: bool) -> None:
    low, msi, srf, _ = scene(side=32)
    model = spectramorph.fit([(low, msi)], srf=srf, **{**QUICK, "epochs": 5, "spectral_prior": prior})
    whole = spectramorph.apply(model, low, msi)
    half = 16 // RATIO
    left = spectramorph.apply(model, low[:, :, :half], msi[:, :, :16])
    right = spectramorph.apply(model, low[:, :, half:], msi[:, :, 16:])
    assert spectramorph.halo(model) == 0
    np.testing.assert_allclose(np.concatenate([left, right], 2), whole, atol=1e-6)


def test_windows_of_a_scene_train_as_the_scene_does() -> None:
    low, msi, srf, _ = scene(side=32)
    windows = [(low[:, :, :8], msi[:, :, :16]), (low[:, :, 8:], msi[:, :, 16:])]
    model = spectramorph.fit(windows, srf=srf, start="linear", **{**QUICK, "hidden_layers": 0, "epochs": 1})
    whole = spectramorph.fuse(low, msi, srf=srf, start="linear", **{**QUICK, "hidden_layers": 0, "epochs": 1})
    assert model.found["training_pixels"] == whole.found["training_pixels"] == 256
    np.testing.assert_allclose(spectramorph.apply(model, low, msi), whole.cube, atol=0.02)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_inference_batch_does_not_change_the_result(size: int) -> None:
    low, msi, srf, _ = scene()
    quick = {**QUICK, "epochs": 3, "spectral_prior": True}
    expected = spectramorph.fuse(low, msi, srf=srf, **quick).cube
    batched = spectramorph.fuse(low, msi, srf=srf, **quick, inference_batch_size=size).cube
    np.testing.assert_allclose(batched, expected, atol=1e-6)


def test_saved_and_loaded_as_plain_values() -> None:
    low, msi, srf, _ = scene()
    model = spectramorph.fit([(low, msi)], srf=srf, start="linear", **QUICK)
    file = io.BytesIO()
    torch.save(model.to_arrays(), file)
    file.seek(0)
    loaded = spectramorph.FittedSpectraMorph.from_arrays(torch.load(file, weights_only=True))
    np.testing.assert_array_equal(spectramorph.apply(loaded, low, msi), spectramorph.apply(model, low, msi))
    assert loaded.settings == model.settings
    assert loaded.found == model.found


@pytest.mark.parametrize("batch", [None, 16])
def test_deterministic_for_a_seed(batch: int | None) -> None:
    low, msi, srf, _ = scene()
    first, again, other = (
        spectramorph.fuse(low, msi, srf=srf, seed=seed, training_batch_size=batch, **QUICK).cube for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-6


def test_clip_can_be_switched_off() -> None:
    low, msi, srf, _ = scene()
    fused = spectramorph.fuse(low * 3, msi * 3, srf=srf, clip=False, **{**QUICK, "epochs": 300}).cube
    assert fused.max() > 1.2
    assert spectramorph.fuse(low * 3, msi * 3, srf=srf, **QUICK).cube.max() <= 1.0


def test_the_number_of_endmembers_is_estimated() -> None:
    low, msi, srf, _ = scene(side=64)
    low = low + 0.002 * np.random.default_rng(0).standard_normal(low.shape).astype(np.float32)
    fused = spectramorph.fuse(low, msi, srf=srf, **{**QUICK, "num_endmembers": None, "epochs": 2})
    # Three spectra in shares that shading varies: two differences, and the brightness.
    assert fused.found["num_endmembers"] in (3, 4)


def test_the_oracle_learns_the_truth_itself() -> None:
    low, msi, srf, truth = scene()
    quick = {**QUICK, "epochs": 400, "training_batch_size": 32}
    fused = oracle.fuse(np.zeros_like(low), msi, truth=truth, srf=srf, pixels=64, **quick)
    assert np.sqrt(((fused.cube - truth) ** 2).mean()) < 0.01
    assert fused.found["training_pixels"] == 256


def test_the_oracle_refuses_what_does_not_fit() -> None:
    low, msi, srf, truth = scene()
    with pytest.raises(UserError, match="truth"):
        oracle.fuse(low, msi, truth=truth[:, :8], srf=srf, **QUICK)
    with pytest.raises(UserError, match="pixels"):
        oracle.fuse(low, msi, truth=truth, srf=srf, pixels=0, **QUICK)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hiden_size": 3}, "hidden_size"),
        ({"epochs": 0}, "epochs"),
        ({"start": "linear", "head": "simplex"}, "linear head"),
        ({"coordinates": "orthonormal", "head": "simplex"}, "linear head"),
        ({"max_lr": 1e-4}, "max_lr"),
        ({"num_endmembers": 13}, "num_endmembers"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    low, msi, srf, _ = scene()
    with pytest.raises(UserError, match=message):
        spectramorph.fuse(low, msi, srf=srf, **settings)


def test_the_fast_variant_fits_better_than_a_linear_map_on_a_bent_scene() -> None:
    low, msi, srf, _ = scene(side=32)
    # Spectra that depend on brightness: what a linear map cannot follow, and a network can.
    bent = np.where(low > 0.4, low, 0.8 * low**2 / 0.4 + 0.2 * low).astype(np.float32)
    losses = [
        spectramorph.fit([(bent, msi)], srf=srf, **{**FAST, **changes}).found["final_loss"]
        for changes in ({"num_endmembers": 6}, {"num_endmembers": 6, "hidden_layers": 0, "training_steps": 300})
    ]
    assert losses[0] < 0.7 * losses[1]


def test_wrong_arrays_are_refused() -> None:
    low, msi, srf, _ = scene()
    with pytest.raises(UserError, match="whole multiple"):
        spectramorph.fuse(low, msi[:, :15], srf=srf, **QUICK)
    with pytest.raises(UserError, match="srf"):
        spectramorph.fuse(low, msi, srf=srf[:, :5], **QUICK)
    model = spectramorph.fit([(low, msi)], srf=srf, **{**QUICK, "epochs": 1})
    with pytest.raises(UserError, match="trained with"):
        spectramorph.apply(model, low, msi[:2])


@pytest.mark.parametrize(("method", "more"), [("spectramorph", set()), ("spectramorph_oracle", {"pixels"})])
def test_the_method_file_has_the_settings_of_the_code(method: str, more: set[str]) -> None:
    file = find_method("fusion", method).complete({})
    code = as_plain(SpectraMorphSettings())
    assert set(file) == set(code) | more
    assert {name: file[name] for name in code} == code
    assert settings_from(SpectraMorphSettings, {name: file[name] for name in code}) == SpectraMorphSettings()
    assert all(item.metadata["meaning"] for item in fields(SpectraMorphSettings))
