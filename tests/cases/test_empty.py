import numpy as np
import pytest

from hsipipe.cases.empty import drop_empty
from hsipipe.cases.split import SplitSettings, split_scenes
from hsipipe.errors import UserError
from hsipipe.scenes.scene import Item, Scene, write_scene


def test_blocks_without_measurements_are_left_out(tmp_path, caplog):
    valid = np.ones((40, 40), bool)
    valid[:20, :20] = False
    write_scene(tmp_path / "s.h5", [Item(np.ones((2, 40, 40), np.float32), valid=valid)], name="s")
    with Scene(tmp_path / "s.h5") as scene:
        units = split_scenes([scene], SplitSettings(by="block", block=20, buffer=2, fractions=(0.5, 0.25, 0.25)))
        kept = drop_empty([scene], units)
        assert len(units) == 4
        assert len(kept) == 3
        assert all(unit.row_start or unit.col_start for unit in kept)
        assert "left out" in caplog.text
        with pytest.raises(UserError, match="enough valid pixels"):
            drop_empty([scene], [unit for unit in units if unit not in kept])
