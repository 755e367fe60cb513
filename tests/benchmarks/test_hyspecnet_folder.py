"""The folder of simulated patches is one that the reader takes for HySpecNet-11k."""

import hyspecnet_folder
import numpy as np
import pytest

from hsipipe.scenes.hyspecnet import hyspecnet_split, is_hyspecnet, read_hyspecnet, tile_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("prosail")
    out = tmp_path_factory.mktemp("hyspecnet") / "h"
    hyspecnet_folder.write_folder(out, patches=20, side=12, data=False)
    return out


def test_it_is_read_as_the_data_set(folder):
    assert is_hyspecnet(folder)
    items = list(read_hyspecnet(folder))
    assert len(items) == len({item.name for item in items}) == 20
    assert items[0].cube.shape == (202, 12, 12)
    assert items[0].cube.dtype.kind == "i"
    assert 300 < np.median(items[0].cube) < 6000
    assert len({item.cube.tobytes() for item in items}) == 20


def test_lists_share_out_all_patches_and_the_hard_ones_whole_tiles(folder):
    easy, hard = (hyspecnet_split(folder, which) for which in ("easy", "hard"))
    assert len(easy) == len(hard) == 20
    assert [list(easy.values()).count(part) for part in ("train", "val", "test")] == [14, 4, 2]
    parts = {}
    for name, part in hard.items():
        parts.setdefault(tile_of(name), set()).add(part)
    assert all(len(found) == 1 for found in parts.values())
    assert set(hard.values()) == {"train", "val", "test"}


def test_the_same_seed_gives_the_same_patches(folder, tmp_path):
    hyspecnet_folder.write_folder(tmp_path / "h", patches=6, side=12)
    again = next(read_hyspecnet(tmp_path / "h"))
    first = next(read_hyspecnet(folder))
    assert again.name == first.name
    np.testing.assert_array_equal(again.cube, first.cube)
