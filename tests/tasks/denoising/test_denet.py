import pytest
import torch

from hsipipe.tasks.denoising.methods.denet.model import build, window_bands


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_parameter_count():
    """The count that public implementations have with these widths: 2,743,488."""
    assert sum(parameter.numel() for parameter in build().parameters()) == 2_743_488
    # a band more: 9 weights more per channel of the first and of the last convolution
    assert sum(parameter.numel() for parameter in build(window=11).parameters()) == 2_743_488 + 2 * 9 * 64


def test_windows_by_hand():
    assert window_bands(10, 4, 2).tolist() == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [6, 7, 8, 9]]
    assert window_bands(11, 4, 0).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [7, 8, 9, 10]]
    assert window_bands(4, 4, 2).tolist() == [[0, 1, 2, 3]]
    assert window_bands(3, 7, 2).tolist() == [[0, 1, 2, 1, 0, 1, 2]]
    assert window_bands(1, 3, 2).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(("bands", "window", "overlap"), [(202, 10, 2), (11, 10, 2), (31, 7, 6), (50, 8, 0)])
def test_windows_cover_all_and_overlap_enough(bands, window, overlap):
    index = window_bands(bands, window, overlap)
    assert sorted(set(index.flatten().tolist())) == list(range(bands))
    assert (index.diff(dim=1) == 1).all()
    assert index[:, 0].diff().max() <= window - overlap


@pytest.mark.parametrize("chunk", [1, 10**6])
def test_overlapping_windows_are_averaged(chunk, monkeypatch):
    """Windows of 3 over 5 bands start at 0, 1 and 2: band 2 is predicted thrice, bands 1 and 3 twice."""
    monkeypatch.setattr("hsipipe.tasks.denoising.methods.denet.model.CHUNK_PIXELS", chunk)
    network = build(window=3, channels=2, overlap=2).eval()
    noisy = torch.rand(2, 5, 4, 6)
    one, two, three = (network._predict(noisy[:, start : start + 3]) for start in range(3))
    expected = torch.stack(
        [
            one[:, 0],
            (one[:, 1] + two[:, 0]) / 2,
            (one[:, 2] + two[:, 1] + three[:, 0]) / 3,
            (two[:, 2] + three[:, 1]) / 2,
            three[:, 2],
        ],
        dim=1,
    )
    torch.testing.assert_close(network(noisy), expected)


def test_few_bands_are_reflected():
    network = build(window=4, channels=2).eval()
    noisy = torch.rand(1, 3, 4, 4)
    torch.testing.assert_close(network(noisy), network(noisy[:, [0, 1, 2, 1]])[:, :3])


def test_predicts_the_image_not_the_noise():
    network = build(channels=1).eval()
    torch.nn.init.zeros_(network.last.weight)
    assert not network(torch.rand(1, 12, 4, 4)).any()
