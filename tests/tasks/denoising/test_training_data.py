import pytest
import torch

from hsipipe.errors import UserError
from hsipipe.tasks.denoising.training_data import draw_patches

SIZES = {"patch": 8, "bands_per_patch": 4, "batch_size": 3, "noise": "gaussian:sigma=0.1", "seed": ("case", 0)}


def coded_cube(bands, rows, cols, base=0):
    """Each value tells where it stands: base + band * 10000 + row * 100 + col."""
    band, row, col = torch.meshgrid(torch.arange(bands), torch.arange(rows), torch.arange(cols), indexing="ij")
    return (base + band * 10_000 + row * 100 + col).float()


@pytest.fixture
def cubes():
    return [coded_cube(6, 20, 30), coded_cube(9, 12, 15, base=1_000_000)]


def test_shapes_noise_and_determinism(cubes):
    first = draw_patches(cubes, step=5, **SIZES)
    again = draw_patches(cubes, step=5, **SIZES)
    assert first["input"].shape == first["target"].shape == (3, 4, 8, 8)
    assert all(torch.equal(first[name], again[name]) for name in first)
    for change in ({"step": 6}, {"seed": ("case", 1)}):
        other = draw_patches(cubes, **{"step": 5, **SIZES, **change})
        assert not torch.equal(first["target"], other["target"])
        assert not torch.equal(first["input"] - first["target"], other["input"] - other["target"])


def test_noise_is_that_of_the_specification():
    batch = draw_patches([torch.zeros(10, 64, 64)], step=0, **{**SIZES, "patch": 64, "bands_per_patch": 10})
    assert batch["input"].std().item() == pytest.approx(0.1, rel=0.02)
    assert not batch["target"].any()


def test_patches_are_pieces_of_the_cubes(cubes):
    seen = set()
    for step in range(150):
        for piece in draw_patches(cubes, step=step, **SIZES)["target"]:
            base = 1_000_000 * (piece[0, 0, 0] >= 1_000_000)
            place = (piece - base).long()
            band, row, col = place // 10_000, place % 10_000 // 100, place % 100
            assert (band == band[:, :1, :1]).all()
            assert (band[1:] - band[:-1] == 1).all()
            assert (row == row[0]).all()
            assert (col == col[0]).all()
            assert (row.max() - row.min(), col.max() - col.min()) == (7, 7)
            corners = (row[0, 0, 0] < row[0, -1, -1], col[0, 0, 0] < col[0, -1, -1], row[0, 0, 0] == row[0, 0, -1])
            seen.add((int(base), *map(bool, corners)))
    assert len(seen) == 16  # two cubes, eight rotations and reflections


def test_large_cubes_are_drawn_more_often(cubes):
    batch = draw_patches(cubes, step=0, **{**SIZES, "batch_size": 1000})
    share = (batch["target"].amax((1, 2, 3)) < 1_000_000).float().mean().item()
    assert share == pytest.approx(600 / 780, abs=0.04)


def test_sizes_are_cut_to_the_smallest_cube(cubes):
    batch = draw_patches(cubes, step=0, **{**SIZES, "patch": 64, "bands_per_patch": 100})
    assert batch["target"].shape == (3, 6, 12, 12)
    assert draw_patches(cubes, step=0, **{**SIZES, "bands_per_patch": None})["target"].shape[1] == 6


def test_noise_follows_the_rotation():
    """Stripes run along rows (constant per column) in every patch, however it was rotated."""
    noise = {"type": "stripe", "fraction": 0.5, "intensity": 0.5}
    for step in range(6):
        batch = draw_patches([torch.rand(4, 20, 20)], step=step, **{**SIZES, "noise": [noise]})
        added = batch["input"] - batch["target"]
        torch.testing.assert_close(added, added[..., :1, :].expand_as(added), rtol=0, atol=1e-6)
        assert added.abs().max() > 0.01


@pytest.mark.parametrize("change", [{"patch": 0}, {"bands_per_patch": 0}, {"batch_size": 0}])
def test_sizes_are_checked(cubes, change):
    with pytest.raises(UserError, match=next(iter(change))):
        draw_patches(cubes, step=0, **{**SIZES, **change})


def test_nothing_to_train_on():
    with pytest.raises(UserError, match="nothing to train on"):
        draw_patches([], step=0, **SIZES)
