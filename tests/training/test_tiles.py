import pytest
import torch

from hsipipe.training.tiles import apply_network, apply_tiled


@pytest.mark.parametrize("size", [(128, 128), (1, 1), (5, 300), (129, 97), (64, 200)])
@pytest.mark.parametrize("whole_tiles", [False, True])
@pytest.mark.parametrize(("tile", "overlap"), [(64, 16), (32, 0), (16, 8)])
def test_identity_comes_back(size, whole_tiles, tile, overlap):
    cube = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    same = apply_tiled(lambda part: part.clone(), cube, tile=tile, overlap=overlap, whole_tiles=whole_tiles)
    assert same.dtype == torch.float32
    torch.testing.assert_close(same, cube, rtol=0, atol=5e-7)


def test_pointwise_function_and_tile_sizes():
    seen = []

    def square(part):
        seen.append(tuple(part.shape[-2:]))
        return part**2

    cube = torch.rand(1, 2, 40, 100)
    torch.testing.assert_close(apply_tiled(square, cube, tile=48, overlap=8), cube**2)
    assert set(seen) == {(40, 48)}
    assert len(seen) == 3
    seen.clear()
    torch.testing.assert_close(apply_tiled(square, cube, tile=48, overlap=8, whole_tiles=True), cube**2)
    assert set(seen) == {(48, 48)}


def test_an_image_of_one_tile_is_one_call():
    calls = []
    cube = torch.rand(1, 1, 128, 128)
    apply_tiled(lambda part: calls.append(part) or part, cube)
    assert len(calls) == 1
    assert torch.equal(calls[0], cube)


def test_local_filter_has_no_seams():
    """A filter that reaches less than half the overlap gives the same as on the whole image, away from its border."""

    def blur(part):
        return torch.nn.functional.avg_pool2d(part, 5, stride=1, padding=2, count_include_pad=False)

    cube = torch.rand(1, 2, 150, 170, generator=torch.Generator().manual_seed(1))
    tiled, whole = apply_tiled(blur, cube, tile=64, overlap=32), blur(cube)
    # Each tile is wrong within 2 pixels of its own border, where its weight is below sin(pi/2 * 1.5/32)^2 = 0.0055.
    assert (tiled - whole).abs().max() < 0.0055 * 2
    flat = apply_tiled(lambda part: part + part.new_tensor(float(part[0, 0, 0, 0])), torch.ones(1, 1, 99, 99), tile=40)
    torch.testing.assert_close(flat, torch.full_like(flat, 2.0))


def test_blending_is_gradual():
    """Tiles that disagree by 1 pass into each other over the overlap, with no step larger than the steepest ramp."""
    values = iter([0.0, 1.0])
    result = apply_tiled(lambda part: torch.full_like(part, next(values)), torch.zeros(1, 1, 64, 96), tile=64)
    row = result[0, 0, 0]
    assert torch.equal(row[:32], torch.zeros(32))
    assert torch.equal(row[64:], torch.ones(32))
    assert row.diff().min() >= 0
    assert row.diff().max() < 0.06


def test_reflection():
    seen = []
    cube = torch.arange(3.0).reshape(1, 1, 1, 3)
    apply_tiled(lambda part: seen.append(part) or part, cube, tile=9, overlap=2, whole_tiles=True)
    assert seen[0][0, 0, 4].tolist() == [1, 2, 1, 0, 1, 2, 1, 0, 1]


def test_errors():
    with pytest.raises(ValueError, match="no tiling"):
        apply_tiled(lambda part: part, torch.zeros(1, 1, 4, 4), tile=8, overlap=8)
    with pytest.raises(ValueError, match="expected"):
        apply_tiled(lambda part: part, torch.zeros(1, 4, 4))
    with pytest.raises(ValueError, match="made"):
        apply_tiled(lambda part: part[..., 1:], torch.zeros(1, 1, 4, 4))


class Network:
    """Adds 1, and remembers the sizes that it was given."""

    def __init__(self, **attributes):
        self.sizes = []
        for name, value in attributes.items():
            setattr(self, name, value)

    def __call__(self, cube):
        self.sizes.append(tuple(cube.shape[-2:]))
        return cube + 1


@pytest.mark.parametrize(
    ("attributes", "sizes"),
    [
        ({}, {(128, 90)}),
        ({"tile": None}, {(128, 90)}),
        ({"tile": 32}, {(32, 32)}),
        ({"whole_image": True}, {(150, 90)}),
        ({"whole_image": False, "tile": 64}, {(64, 64)}),
        ({"whole_image": True, "tile": 64}, {(150, 90)}),
    ],
)
def test_a_network_gets_the_images_that_it_takes(attributes, sizes):
    network = Network(**attributes)
    cube = torch.rand(2, 3, 150, 90, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(apply_network(network, cube), cube + 1)
    assert set(network.sizes) == sizes


def test_an_image_smaller_than_the_only_side_that_a_network_takes():
    network = Network(tile=16)
    cube = torch.rand(1, 2, 5, 9)
    torch.testing.assert_close(apply_network(network, cube), cube + 1)
    assert network.sizes == [(16, 16)]


def test_neighbouring_tiles_of_a_network_overlap_by_a_quarter():
    network = Network(tile=16)
    apply_network(network, torch.zeros(1, 1, 16, 28))
    assert len(network.sizes) == 2
    apply_network(network, torch.zeros(1, 1, 16, 29))
    assert len(network.sizes) == 5


def test_a_network_of_tiles_of_one_pixel():
    network = Network(tile=1)
    assert torch.equal(apply_network(network, torch.zeros(1, 1, 3, 2)), torch.ones(1, 1, 3, 2))
