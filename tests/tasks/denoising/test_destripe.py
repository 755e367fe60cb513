"""Column stripes: found where they are, harmless where there are none."""

import pytest
import torch

from hsipipe.tasks.denoising.methods.destripe.model import denoise
from hsipipe.tasks.denoising.shared.destripe import destripe, learn, offsets_inside, sparse_offsets
from hsipipe.tasks.denoising.shared.noise_level import noise_model, stripe_proof_model


def scene(bands: int = 60, rows: int = 64, cols: int = 56) -> torch.Tensor:
    """A smooth mixture of three spectra, (bands, rows, cols) in [0, 1]."""
    generator = torch.Generator().manual_seed(7)
    spectra = torch.nn.functional.avg_pool1d(torch.rand(1, 3, bands + 10, generator=generator), 11, stride=1)[0].T
    spectra = (spectra - spectra.amin()) / (spectra.amax() - spectra.amin())
    field = torch.nn.functional.interpolate(
        torch.randn(1, 3, 8, 7, generator=generator), (rows, cols), mode="bicubic", align_corners=True
    )[0]
    return torch.einsum("ck,khw->chw", spectra, (2 * field).softmax(0))


def striped(share: float, height: float, sigma: float = 0.1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    clean = scene()
    noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
    columns = torch.zeros(clean.shape[2], dtype=torch.bool)
    columns[torch.randperm(len(columns), generator=generator)[: int(share * len(columns))]] = True
    offsets = height * (2 * torch.rand(clean.shape[0], len(columns), generator=generator) - 1) * columns
    return clean, noisy + offsets[:, None], offsets


@pytest.mark.parametrize(("share", "height"), [(0.4, 0.5), (0.1, 0.3), (0.8, 0.5), (0.4, 0.1)])
def test_stripes_are_found_and_taken_off(share: float, height: float) -> None:
    _, noisy, offsets = striped(share, height)
    cleaned, columns, found = destripe(noisy)
    assert torch.equal(columns, (offsets != 0).any(0))
    assert (found - offsets).square().mean() < 0.1 * offsets.square().mean()
    assert torch.allclose(cleaned, noisy - found[:, None])


def test_without_stripes_the_image_comes_back() -> None:
    _, noisy, _ = striped(0.0, 0.5)
    cleaned, columns, offsets = destripe(noisy)
    assert not columns.any()
    assert not offsets.any()
    assert torch.equal(cleaned, noisy)


def test_stripes_in_some_bands_of_a_column() -> None:
    clean, noisy, _ = striped(0.0, 0.5)
    generator = torch.Generator().manual_seed(5)
    entries = torch.rand(clean.shape[0], clean.shape[2], generator=generator) < 0.05
    offsets = 0.3 * entries * (1 + torch.rand(entries.shape, generator=generator))
    noisy = noisy + offsets[:, None]
    found = sparse_offsets(noisy, stripe_proof_model(noisy))
    assert not ((found != 0) & ~entries).any()
    assert ((found != 0) & entries).sum() > 0.9 * entries.sum()
    assert (found - offsets)[found != 0].square().mean() < 0.01 * offsets[entries].square().mean()
    assert (destripe(noisy)[2] - offsets).square().mean() < 0.1 * offsets.square().mean()


def test_an_object_in_a_column_is_no_stripe() -> None:
    clean, noisy, _ = striped(0.0, 0.5)
    spectrum = torch.rand(clean.shape[0], generator=torch.Generator().manual_seed(9))
    noisy[:, 5:17, 20] += 3 * spectrum[:, None]  # bright, of a spectrum of its own, a fifth of the column
    assert not destripe(noisy)[1].any()


def test_chain_agrees_with_a_dense_solve() -> None:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 40, 12, generator=generator).cumsum(2)
    power = torch.zeros(12)
    power[[0, 4, 5, 11]] = torch.tensor([1.0, 2.0, 0.5, 1.0])
    images[:, :, power > 0] += 1.5
    found = offsets_inside(images, power)
    from hsipipe.tasks.denoising.shared.destripe import robust_location

    step = robust_location(images[:, :, 1:] - images[:, :, :-1]).double()
    plain = (power[1:] == 0) & (power[:-1] == 0)
    variance = step[:, plain].square().mean(1)
    difference = torch.eye(12, dtype=torch.float64)[1:] - torch.eye(12, dtype=torch.float64)[:-1]
    free = power > 0
    for k in range(2):
        matrix = (difference.T @ difference / variance[k])[free][:, free] + torch.diag(1 / power[free].double())
        expected = torch.linalg.solve(matrix, (difference.T @ step[k] / variance[k])[free])
        assert torch.allclose(found[k, free].double(), expected, atol=1e-4)
    assert not found[:, ~free].any()


def test_noise_and_rank_are_estimated_despite_stripes() -> None:
    _, noisy, offsets = striped(0.4, 0.5)
    model, stripes, _ = learn(noisy)
    assert torch.allclose(model.level, torch.full_like(model.level, 0.1), rtol=0.12)
    assert model.axes.shape[1] in (2, 3)  # abundances sum to one: two directions about the mean
    assert torch.equal(stripes.columns, (offsets != 0).any(0))


def test_noise_alone_has_rank_one_and_its_level() -> None:
    noise = 0.2 * torch.randn(50, 60, 60, generator=torch.Generator().manual_seed(0))
    model = noise_model(noise)
    assert model.axes.shape == (50, 1)
    assert torch.allclose(model.level, torch.full((50,), 0.2), rtol=0.08)


def test_batches_single_cubes_and_the_method_agree() -> None:
    _, noisy, _ = striped(0.4, 0.5)
    plain = striped(0.0, 0.5)[1]
    cleaned, columns, offsets = destripe(torch.stack([noisy, plain]))
    assert cleaned.shape == (2, *noisy.shape)
    assert columns.shape == (2, 56)
    assert offsets.shape == (2, 60, 56)
    assert torch.equal(cleaned[0], destripe(noisy)[0])
    assert torch.equal(cleaned[1], plain)
    assert torch.equal(denoise(torch.stack([noisy, plain])), cleaned)


@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 30, 30), (60, 2, 2), (60, 9, 1), (60, 1, 40)])
def test_small_images_pass_through(shape: tuple[int, int, int]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(2))
    cleaned, columns, offsets = destripe(image)
    assert torch.equal(cleaned, image)
    assert not columns.any()
    assert not offsets.any()


def test_constant_and_nan_bands() -> None:
    _, noisy, _ = striped(0.4, 0.5)
    noisy[3] = 0.25
    assert (destripe(noisy)[0][3] == 0.25).all()
    noisy[5, 0, 0] = float("nan")
    assert denoise(noisy[None]).isfinite().all()
