"""The blind denoiser on synthetic scenes, on real ones where present, and on odd input."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hsipipe.errors import UserError
from hsipipe.tasks.denoising.methods.blind.model import denoise


def scene(bands: int = 60, rows: int = 48, cols: int = 56) -> torch.Tensor:
    """Mixtures of four spectra in patches with sharp borders, each band scaled to [0, 1]; (bands, rows, cols)."""
    generator = torch.Generator().manual_seed(11)
    spectra = torch.nn.functional.avg_pool1d(torch.rand(1, 4, bands + 6, generator=generator), 7, stride=1)[0].T
    field = torch.nn.functional.interpolate(
        torch.randn(1, 4, 7, 8, generator=generator), (rows, cols), mode="bicubic", align_corners=True
    )[0]
    cube = torch.einsum("ck,khw->chw", spectra, (6 * field).softmax(0))
    low, high = cube.amin((1, 2), keepdim=True), cube.amax((1, 2), keepdim=True)
    return (cube - low) / (high - low)


def corrupt(clean: torch.Tensor, *, sigma: float, stripes: float = 0.0, clip: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
    columns = torch.rand(clean.shape[2], generator=generator) < 0.4
    noisy += stripes * (2 * torch.rand(clean.shape[0], 1, clean.shape[2], generator=generator) - 1) * columns
    return noisy.clamp(0, 1) if clip else noisy


def psnr(truth: torch.Tensor, estimate: torch.Tensor) -> float:
    return float(-10 * torch.log10((truth - estimate).square().mean((1, 2)).clamp_min(1e-12)).mean())


@pytest.mark.parametrize("effort", ["fast", "slow"])
@pytest.mark.parametrize(
    ("case", "least_gain"),
    [
        ({"sigma": 0.27, "stripes": 0.5, "clip": True}, 15.0),
        ({"sigma": 0.27, "stripes": 0.5}, 15.0),
        ({"sigma": 0.1}, 14.0),
        ({"sigma": 0.05, "clip": True}, 12.0),
    ],
)
def test_gain_on_known_noise(case: dict, least_gain: float, effort: str) -> None:
    clean = scene()
    noisy = corrupt(clean, **case)
    assert psnr(clean, denoise(noisy[None], effort=effort)[0]) > psnr(clean, noisy) + least_gain


def test_blind_is_nearly_as_good_as_told() -> None:
    clean = scene()
    noisy = corrupt(clean, sigma=0.27, stripes=0.5, clip=True)[None]
    told = psnr(clean, denoise(noisy, sigma=0.27, clip=[0.0, 1.0])[0])
    assert psnr(clean, denoise(noisy)[0]) > told - 0.5


def test_each_step_matters() -> None:
    clean = scene()
    noisy = corrupt(clean, sigma=0.27, stripes=0.5, clip=True)[None]
    whole = psnr(clean, denoise(noisy)[0])
    assert psnr(clean, denoise(noisy, clip="none")[0]) < whole - 1.0
    assert psnr(clean, denoise(noisy, stripes="none")[0]) < whole - 3.0


def test_noise_that_differs_between_bands() -> None:
    clean = scene()
    generator = torch.Generator().manual_seed(8)
    level = 0.02 + 0.18 * torch.rand(len(clean), 1, 1, generator=generator)
    noisy = clean + level * torch.randn(clean.shape, generator=generator)
    assert psnr(clean, denoise(noisy[None])[0]) > psnr(clean, noisy) + 14.0


def test_clean_input_comes_back() -> None:
    clean = scene()[None]
    assert torch.equal(denoise(clean), clean)


def test_result_does_not_depend_on_units_or_on_the_batch() -> None:
    noisy = corrupt(scene(), sigma=0.2, stripes=0.3, clip=True)
    alone = denoise(noisy[None])[0]
    scaled = (denoise(4000 * noisy[None] + 500)[0] - 500) / 4000
    assert torch.allclose(alone, scaled, atol=2e-3)
    other = corrupt(scene(), sigma=0.1)
    assert torch.equal(denoise(torch.stack([other, noisy]))[1], alone)


def test_result_lies_within_the_bounds_of_clipping() -> None:
    noisy = corrupt(scene(), sigma=0.27, clip=True)
    restored = denoise(noisy[None])
    assert restored.min() >= 0
    assert restored.max() <= 1


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 16, 16), (2, 9, 7), (4, 40, 24), (3, 1, 50), (5, 50, 1), (80, 4, 4), (30, 5, 64)]
)
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("effort", ["fast", "slow"])
def test_any_shape_is_finite(shape: tuple[int, int, int], clip: bool, effort: str) -> None:
    generator = torch.Generator().manual_seed(1)
    noisy = torch.rand(shape, generator=generator) + 0.3 * torch.randn(shape, generator=generator)
    noisy = noisy.clamp(0, 1) if clip else noisy
    restored = denoise(noisy[None], effort=effort)
    assert restored.shape == (1, *shape)
    assert restored.dtype == torch.float32
    assert restored.isfinite().all()


def test_missing_values_and_constant_bands() -> None:
    noisy = corrupt(scene(), sigma=0.1)
    noisy[2], noisy[4] = float("nan"), 0.5
    noisy[7, 3, 3], noisy[8, 0, 0] = float("nan"), float("inf")
    restored = denoise(noisy[None])[0]
    assert restored.isfinite().all()
    assert (restored[4] == 0.5).all()
    assert torch.equal(denoise(torch.full((1, 20, 8, 8), 0.3)), torch.full((1, 20, 8, 8), 0.3))


@pytest.mark.parametrize(
    "settings", [{"effort": "fastt"}, {"stripes": "yes"}, {"clip": "both"}, {"clip": [1.0, 0.0]}, {"sigma": 0.0}]
)
def test_wrong_settings_are_refused(settings: dict) -> None:
    with pytest.raises(UserError):
        denoise(torch.rand(1, 4, 8, 8), **settings)


@pytest.mark.parametrize(("name", "fast", "slow"), [("abu-airport-1", 30.5, 31.0), ("abu-urban-4", 35.0, 35.5)])
def test_real_scenes(real_data: Path, name: str, fast: float, slow: float) -> None:
    from scipy.io import loadmat

    cube = loadmat(real_data / "abu" / f"{name}.mat")["data"].astype(np.float32).transpose(2, 0, 1)
    low, high = cube.min((1, 2), keepdims=True), cube.max((1, 2), keepdims=True)
    clean = torch.from_numpy((cube - low) / (high - low))
    noisy = corrupt(clean, sigma=0.27, stripes=0.5, clip=True)[None]
    assert psnr(clean, denoise(noisy)[0]) > fast
    assert psnr(clean, denoise(noisy, effort="slow")[0]) > slow
