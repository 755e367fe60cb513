import pytest
import torch
from torch import nn

from hsipipe.tasks.denoising.shared.band_slabs import apply_in_slabs


def stack(layers):
    convs = nn.Sequential(*(nn.Conv3d(1, 1, 3, padding=1) for _ in range(layers))).double().requires_grad_(False)
    return lambda cube: convs(cube.unsqueeze(1)).squeeze(1)


@pytest.mark.parametrize("bands", [1, 15, 40, 101])
def test_equals_one_pass(bands):
    torch.manual_seed(0)
    network = stack(3)
    cube = torch.rand(2, bands, 4, 5, dtype=torch.double)
    with torch.no_grad():
        torch.testing.assert_close(apply_in_slabs(network, cube, halo=3, slab_voxels=1), network(cube))


def test_too_small_a_halo_would_show():
    """The case above can fail: with a band less, what comes out differs."""
    torch.manual_seed(0)
    network = stack(3)
    cube = torch.rand(1, 101, 4, 5, dtype=torch.double)
    with torch.no_grad():
        whole = network(cube)
        assert (apply_in_slabs(network, cube, halo=2, slab_voxels=1) - whole).abs().max() > 1e-6


def test_slabs_are_small():
    sizes = []

    def network(cube):
        sizes.append(cube.shape[1])
        return cube

    cube = torch.rand(1, 200, 8, 8)
    assert torch.equal(apply_in_slabs(network, cube, halo=4, slab_voxels=20 * 64), cube)
    assert len(sizes) == 10
    assert max(sizes) == 28


def test_a_record_fits_other_sizes():
    """Slabs of one size must not be frozen into an exported network."""
    torch.manual_seed(0)
    network = stack(2)

    def in_slabs(cube):
        return apply_in_slabs(network, cube, halo=2, slab_voxels=1)

    with torch.no_grad():
        recorded = torch.jit.trace(in_slabs, torch.rand(1, 40, 3, 3, dtype=torch.double), check_trace=False)
        cube = torch.rand(2, 61, 4, 5, dtype=torch.double)
        torch.testing.assert_close(recorded(cube), network(cube))
