"""Autoencoders of single spectra as denoisers: what they start as, what they learn, and what they cannot see."""

import copy

import numpy as np
import pytest
import torch

from hsipipe.degrade.noise import parse_noise
from hsipipe.errors import UserError
from hsipipe.methods import find_method
from hsipipe.tasks.denoising.export import export_model
from hsipipe.tasks.denoising.fit import sort_settings
from hsipipe.tasks.denoising.methods.conv_autoencoder import model as conv
from hsipipe.tasks.denoising.methods.residual_autoencoder import model as residual
from hsipipe.tasks.denoising.shared.spectral_denoiser import SAMPLE, TARGETS, spectra_of
from hsipipe.tasks.denoising.trained import load_denoiser
from hsipipe.training.model_file import save_model

MODULES = {"conv_autoencoder": conv, "residual_autoencoder": residual}
SMALL = {"conv_autoencoder": {"latent": 6}, "residual_autoencoder": {"latent": 3, "hidden": 16}}
NAMES = sorted(MODULES)
NOISE = parse_noise("gaussian:sigma=0.2")
CPU = torch.device("cpu")
both = pytest.mark.parametrize("name", NAMES)


def mixtures(bands=20, rows=24, cols=22, rank=3, seed=0):
    """Random mixtures of a few smooth spectra, pixel by pixel without any order in space: (bands, rows, cols)."""
    generator = torch.Generator().manual_seed(seed)
    spectra = torch.sin(torch.linspace(0, 3, bands) * torch.arange(1, rank + 1)[:, None]) / 2 + 0.5
    shares = torch.rand(rank, rows, cols, generator=generator)
    return torch.einsum("kc,khw->chw", spectra, shares / shares.sum(0))


def build(name, bands=20, **settings):
    torch.manual_seed(0)
    method = find_method("denoising", name)
    return MODULES[name].build(bands=bands, **sort_settings(method.complete({**SMALL[name], **settings}))[0])


def prepared(name, cubes=None, noise=NOISE, **settings):
    network = build(name, **settings)
    cubes = [mixtures()] if cubes is None else cubes
    return network, MODULES[name].prepare(network, cubes, noise=noise, seed=("case", 0))


def trained(name, steps=150, rate=0.003, **settings):
    network, draw = prepared(name, **settings)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    for number in range(steps):
        optimizer.zero_grad()
        MODULES[name].loss(network, draw(number, CPU, 4)).backward()
        optimizer.step()
    return network.eval()


def corrupted(clean, seed=1):
    return NOISE.apply(clean[None], torch.Generator().manual_seed(seed))


def error(estimate, truth):
    return float((estimate[0] - truth).square().mean())


# What they are


@both
def test_settings_are_those_that_build_takes(name):
    method = find_method("denoising", name)
    defaults = sort_settings(method.complete({}))[0]
    taken = {key: value for key, value in MODULES[name].build.__kwdefaults__.items() if key != "loss"}
    assert {
        key: tuple(value) if key == "channels" else value for key, value in defaults.items() if key != "loss"
    } == taken
    assert all(entry["meaning"] for entry in method.settings.values())
    assert method.citation
    assert any("neighbour" in line for line in method.deviations) or "single spectra" in method.title


@both
@pytest.mark.parametrize("shape", [(1, 20, 1, 1), (2, 20, 5, 7)])
def test_images_of_any_size_keep_their_shape(name, shape):
    network = build(name).eval()
    assert network.bands == 20
    assert network(torch.rand(shape)).shape == shape


@both
def test_each_pixel_is_denoised_by_itself(name):
    network = trained(name, steps=3)
    noisy = torch.rand(2, 20, 6, 5)
    with torch.no_grad():
        whole = network(noisy)
        order = torch.randperm(30)
        moved = network(noisy.flatten(2)[..., order].unflatten(2, (6, 5)))
        torch.testing.assert_close(moved.flatten(2), whole.flatten(2)[..., order])
        torch.testing.assert_close(network(noisy[1:, :, 4:5, 2:3]), whole[1:, :, 4:5, 2:3])


# What they learn


def test_the_residual_one_starts_as_the_best_linear_denoiser():
    # Of Gaussian spectra and white noise the best estimate is the Wiener filter, E[x | y] in closed form.
    bands, sigma = 8, 0.3
    generator = torch.Generator().manual_seed(2)
    factors = torch.randn(bands, 2, generator=generator) / 3
    mean = torch.rand(bands, generator=generator)
    clean = (mean[:, None] + factors @ torch.randn(2, 40000, generator=generator)).view(bands, 200, 200)
    network, _ = prepared(
        "residual_autoencoder", [clean], parse_noise(f"gaussian:sigma={sigma}"), bands=bands, latent=2
    )
    covariance = factors @ factors.T
    wiener = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(bands))
    noisy = torch.rand(1, bands, 4, 4, generator=generator)
    expected = torch.einsum("cb,nbhw->nchw", wiener, noisy - mean.view(-1, 1, 1)) + mean.view(-1, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(network(noisy), expected, atol=0.02, rtol=0)


def test_with_noisy_targets_it_starts_as_principal_components_of_what_it_sees():
    network, draw = prepared("residual_autoencoder", target="noisy")
    spectra = spectra_of(draw(-1, CPU, -(-SAMPLE // 64))["input"]).double().numpy()
    centre = spectra.mean(0)
    _, axes = np.linalg.eigh(np.cov(spectra.T))
    axes = axes[:, -3:]
    noisy = torch.rand(1, 20, 3, 3)
    expected = (spectra_of(noisy).numpy() - centre) @ axes @ axes.T + centre
    with torch.no_grad():
        np.testing.assert_allclose(spectra_of(network(noisy)).numpy(), expected, atol=1e-4)


@both
def test_noise_is_removed_from_an_image_not_trained_on(name):
    truth = mixtures(seed=9)
    noisy = corrupted(truth)
    clean, own = (error(trained(name, target=target, steps=150)(noisy).detach(), truth) for target in TARGETS)
    assert own < 0.7 * error(noisy, truth)  # the latent alone denoises
    assert clean < 0.6 * own  # and more does what is learned of clean spectra


def test_training_betters_the_linear_start_where_spectra_lie_on_a_curve():
    def bumps(seed):
        centres = torch.rand(24, 22, generator=torch.Generator().manual_seed(seed)) * 20
        return (-((torch.arange(20.0).view(-1, 1, 1) - centres) ** 2) / 8).exp()

    cubes, truth = [bumps(seed) for seed in range(3)], bumps(9)
    noisy = corrupted(truth)
    before = error(prepared("residual_autoencoder", cubes)[0].eval()(noisy).detach(), truth)
    after = error(trained("residual_autoencoder", 300, cubes=cubes)(noisy).detach(), truth)
    assert after < 0.7 * before


# Losses and batches


@both
def test_the_loss_is_of_what_the_network_makes(name):
    network, draw = prepared(name, loss={"mse": 2.0, "gradient": 0.5}, normaliser="none")
    network.train()
    batch = draw(0, CPU, 2)
    made = copy.deepcopy(network)(batch["input"])
    for target, wanted in (("clean", batch["target"]), ("noisy", batch["input"])):
        network.target = target
        slopes = (made.diff(dim=1) - wanted.diff(dim=1)).abs().mean()
        expected = 2 * (made - wanted).square().mean() + 0.5 * slopes
        torch.testing.assert_close(MODULES[name].loss(copy.deepcopy(network), batch), expected)


def test_angles_are_taken_of_spectra_as_they_are_given():
    network, draw = prepared("residual_autoencoder", loss={"sa": 1.0}, normaliser="zscore")
    batch = draw(0, CPU, 2)
    with torch.no_grad():
        made, wanted = (spectra_of(image).double() for image in (network(batch["input"]), batch["target"]))
        cosine = torch.nn.functional.cosine_similarity(made, wanted)
        assert float(residual.loss(network, batch)) == pytest.approx(
            float(cosine.clamp(-1, 1).arccos().mean()), rel=1e-4
        )


@both
def test_equal_numbers_give_equal_batches(name):
    _, draw = prepared(name)
    _, again = prepared(name)
    assert all(torch.equal(draw(4, CPU, 3)[key], again(4, CPU, 3)[key]) for key in ("input", "target"))
    assert not torch.equal(draw(4, CPU, 3)["input"], draw(5, CPU, 3)["input"])
    assert draw(0, CPU, 3)["input"].shape == (3, 20, 8, 8)


@both
def test_the_normaliser_is_fitted_to_what_is_to_come_out(name):
    cube = mixtures()
    for target, spread in (("clean", float(cube[3].std())), ("noisy", float((cube[3].var() + 0.2**2).sqrt()))):
        network, _ = prepared(name, [cube], normaliser="zscore", target=target)
        assert float(network.offset[3]) == pytest.approx(float(cube[3].mean()), abs=0.01)
        assert float(network.span[3]) == pytest.approx(spread, rel=0.05)
    spectra = torch.rand(7, 20)
    torch.testing.assert_close(network.restore(network.normalise(spectra)), spectra)


# Odd data, and what is refused


@both
def test_constant_and_copied_bands_are_borne(name):
    cube = mixtures()
    cube[4], cube[7] = 0.0, cube[6]
    network = trained(name, cubes=[cube], steps=5)
    with torch.no_grad():
        assert network(corrupted(cube)).isfinite().all()


def test_a_case_with_fewer_bands_than_latents_and_one_dark_throughout():
    network, _ = prepared("residual_autoencoder", [torch.zeros(2, 8, 8)], bands=2, latent=10)
    assert network.autoencoder.latent == 2
    with torch.no_grad():
        torch.testing.assert_close(network(torch.zeros(1, 2, 3, 3)), torch.zeros(1, 2, 3, 3), atol=1e-2, rtol=0)


@both
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"normaliser": "l2"}, "noise"),
        ({"target": "nosy"}, "did you mean 'noisy'"),
        ({"loss": {"mea": 1.0}}, "did you mean 'mse'"),
        ({"loss": {"mse": 0.0}}, "weight above 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(name, given, message):
    with pytest.raises(UserError, match=message):
        MODULES[name].build(bands=20, **given)


def test_the_convolutions_need_sixteen_bands():
    with pytest.raises(UserError, match="at least 16 bands"):
        conv.build(bands=15)
    assert conv.build(bands=16).eval()(torch.rand(1, 16, 2, 2)).shape == (1, 16, 2, 2)


# As model files


def write_model(path, name, network, wavelength_nm):
    save_model(
        path,
        model_state=network.state_dict(),
        architecture=name,
        settings=find_method("denoising", name).complete(SMALL[name]),
        normaliser={"name": "band-minmax", "scope": "item"},
        wavelength_nm=wavelength_nm,
        key="abc",
        bands=20,
        training={},
    )
    return path


@both
def test_a_model_file_holds_all_there_is(name, tmp_path):
    centres = np.linspace(450, 900, 20)
    network = trained(name, steps=5)
    denoiser = load_denoiser(write_model(tmp_path / "model.pt", name, network, centres))
    noisy = torch.rand(1, 20, 6, 5)
    with torch.no_grad():
        expected = network(noisy)
        torch.testing.assert_close(denoiser(noisy, wavelength_nm=torch.from_numpy(centres)), expected)
        # Another sensor's bands are resampled to the network's own, and what it makes back to them.
        other = torch.linspace(450, 900, 33)
        assert denoiser(torch.rand(1, 33, 6, 5), wavelength_nm=other).shape == (1, 33, 6, 5)
    exported = export_model(denoiser.path, tmp_path / "network.pt", size=8)
    assert exported.difference < 1e-5
    assert (exported.description["fixed"], sorted(exported.description["free"])) == (
        {"bands": 20},
        ["batch", "cols", "rows"],
    )
    with pytest.raises(UserError, match="was trained for 20 bands"):
        denoiser(torch.rand(1, 33, 6, 5))
