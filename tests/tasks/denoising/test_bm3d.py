"""Block matching and collaborative filtering."""

import pytest
import torch

from hsipipe.tasks.denoising.shared.bm3d import Profile, bm3d, collaborate, cosine_basis, haar_basis, match


def edges(height: int = 48, width: int = 40) -> torch.Tensor:
    rows, cols = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((rows // 12 + cols // 10) % 2).float() * 4 + (rows > cols).float()


@pytest.mark.parametrize("size", [1, 2, 8, 32])
def test_bases_are_orthonormal(size: int) -> None:
    like = torch.zeros(1)
    for basis in (cosine_basis(size, like), haar_basis(size, like)):
        assert torch.allclose(basis @ basis.T, torch.eye(size), atol=1e-5)


def test_bases_agree_with_scipy_and_the_definition() -> None:
    from scipy.fft import dct

    expected = torch.from_numpy(dct(torch.eye(6).numpy(), type=2, norm="ortho", axis=0))
    assert torch.allclose(cosine_basis(6, torch.zeros(1)), expected, atol=1e-6)
    half = 0.5**0.5
    expected = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, -0.5, -0.5], [half, -half, 0, 0], [0, 0, half, -half]])
    assert torch.allclose(haar_basis(4, torch.zeros(1)), expected, atol=1e-6)


def test_match_finds_the_copies_by_brute_force() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 14, 17, generator=generator)
    profile = Profile(patch=4, step=3, radius=5, group=8)
    found = match(image, profile)
    patches = image.unfold(1, 4, 1).unfold(2, 4, 1)  # (2, 11, 14, 4, 4)
    for row in found:
        first_row, first_col = divmod(int(row[0]), 17)
        best = []
        for i in range(max(0, first_row - 5), min(10, first_row + 5) + 1):
            for j in range(max(0, first_col - 5), min(13, first_col + 5) + 1):
                distance = (patches[:, i, j] - patches[:, first_row, first_col]).square().sum()
                best.append((float(distance), i * 17 + j))
        assert {index for _, index in sorted(best)[:8]} == set(row.tolist())


def test_nothing_is_lost_without_noise() -> None:
    image = edges()[None]
    profile = Profile(patch=6, step=3, radius=6, group=8)
    restored = collaborate(image, torch.full_like(image, 1e-10), match(image, profile), profile)
    assert torch.allclose(restored, image, atol=1e-4)


def test_noise_falls_and_joint_matching_helps() -> None:
    generator = torch.Generator().manual_seed(1)
    clean = torch.stack([edges(), 0.4 * edges().flip(1), 0.3 * edges()])
    noisy = clean + torch.randn(clean.shape, generator=generator)
    alone = bm3d(noisy, torch.ones(3))
    joint = bm3d(noisy, torch.ones(3), joint=True)
    error = (noisy - clean).square().mean()
    assert (alone - clean).square().mean() < 0.3 * error
    assert (joint - clean).square().mean() < 0.8 * (alone - clean).square().mean()


def test_sigma_map_equals_constant_and_follows_the_noise() -> None:
    generator = torch.Generator().manual_seed(2)
    clean = edges()[None]
    assert torch.allclose(bm3d(clean, torch.ones(1)), bm3d(clean, torch.ones_like(clean)), atol=1e-5)
    level = torch.full_like(clean, 0.3)
    level[..., 20:] = 1.5
    noisy = clean + level * torch.randn(clean.shape, generator=generator)
    known = (bm3d(noisy, level) - clean).square().mean()
    flat = (bm3d(noisy, level.square().mean((1, 2)).sqrt()) - clean).square().mean()
    assert known < 0.9 * flat


def test_scaling_the_image_and_its_noise_scales_the_result() -> None:
    generator = torch.Generator().manual_seed(3)
    noisy = edges()[None] + torch.randn(1, 48, 40, generator=generator)
    assert torch.allclose(bm3d(noisy * 100, torch.tensor([100.0])) / 100, bm3d(noisy, torch.ones(1)), atol=1e-3)


def test_strips_of_references_do_not_change_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    import hsipipe.tasks.denoising.shared.bm3d as module

    image = torch.randn(1, 40, 30, generator=torch.Generator().manual_seed(4))
    profile = Profile(patch=4, step=2, radius=4, group=4)
    whole = match(image, profile)
    monkeypatch.setattr(module, "DISTANCES_AT_ONCE", 1000)
    assert torch.equal(match(image, profile).sort(1).values, whole.sort(1).values)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 50), (2, 3, 3), (1, 9, 70), (3, 70, 5)])
def test_any_size(shape: tuple[int, int, int]) -> None:
    noisy = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    for joint in (False, True):
        restored = bm3d(noisy, torch.ones(len(noisy)), joint=joint)
        assert restored.shape == shape
        assert restored.isfinite().all()
