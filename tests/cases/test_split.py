import numpy as np
import pytest

from hsipipe.cases.split import SplitSettings, Unit, read_split, share_out, split_scenes, write_split
from hsipipe.errors import UserError
from hsipipe.scenes.scene import Item, Scene, write_scene


@pytest.fixture
def scene(tmp_path):
    items = [Item(np.ones((2, 20, 30), np.float32), name=f"tile{n // 2}_patch{n}") for n in range(10)]
    write_scene(tmp_path / "s.h5", items, name="s")
    with Scene(tmp_path / "s.h5") as opened:
        yield opened


def parts_of(units):
    return {part: {unit.item for unit in units if unit.part == part} for part in ("train", "val", "test")}


def test_fractions_are_met_and_parts_are_disjoint(scene):
    parts = parts_of(split_scenes([scene], SplitSettings(fractions=(0.6, 0.2, 0.2))))
    assert {part: len(items) for part, items in parts.items()} == {"train": 6, "val": 2, "test": 2}
    assert not parts["train"] & parts["test"]


def test_seed_changes_the_split_and_nothing_else_does(scene):
    first = split_scenes([scene], SplitSettings(seed=0))
    assert first == split_scenes([scene], SplitSettings(seed=0))
    assert any(parts_of(split_scenes([scene], SplitSettings(seed=n))) != parts_of(first) for n in range(1, 5))


def test_tiles_stay_together(scene):
    units = split_scenes([scene], SplitSettings(by="tile", fractions=(0.6, 0.2, 0.2)), tile_of=lambda n: n[:5])
    parts = parts_of(units)
    tiles = {part: {name[:5] for name in names} for part, names in parts.items()}
    assert not tiles["train"] & tiles["test"]
    assert not tiles["train"] & tiles["val"]


def test_blocks_keep_a_buffer(scene):
    settings = SplitSettings(by="block", block=10, buffer=4, fractions=(0.5, 0.25, 0.25))
    units = split_scenes([scene], settings, items=1)
    owner = np.zeros((20, 30), int)
    for number, unit in enumerate(units, 1):
        owner[unit.row_start : unit.row_end, unit.col_start : unit.col_end] = number
    assert len(units) == 6
    for axis in (0, 1):
        for step in range(1, 4):
            here, there = (owner[step:], owner[:-step]) if axis == 0 else (owner[:, step:], owner[:, :-step])
            assert not ((here > 0) & (there > 0) & (here != there)).any(), "units closer than the buffer"


def test_patterns_name_the_parts(scene):
    settings = SplitSettings(by="parts", parts={"train": ["tile0_*", "tile1_*"], "test": ["tile4_*"]})
    assert parts_of(split_scenes([scene], settings)) == {
        "train": {"tile0_patch0", "tile0_patch1", "tile1_patch2", "tile1_patch3"},
        "val": set(),
        "test": {"tile4_patch8", "tile4_patch9"},
    }


def test_pattern_that_matches_nothing_is_an_error(scene):
    with pytest.raises(UserError, match=r"split.parts.test.*no item matches"):
        split_scenes([scene], SplitSettings(by="parts", parts={"train": ["tile0_*"], "test": ["nothing*"]}))


def test_pattern_in_two_parts_is_an_error(scene):
    with pytest.raises(UserError, match="two parts"):
        split_scenes([scene], SplitSettings(by="parts", parts={"train": ["tile0_*"], "test": ["*"]}))


def test_crop_is_central(scene):
    unit = split_scenes([scene], SplitSettings(by="test"), crop=(10, 50), items=1)[0]
    assert unit.window == (5, 15, 0, 30)


def test_too_few_items_are_an_error(scene):
    with pytest.raises(UserError, match="by: block"):
        split_scenes([scene], SplitSettings(), items=2)


def test_too_few_blocks_ask_for_smaller_ones(scene):
    with pytest.raises(UserError, match=r"s/tile\d_patch\d has 20 x 30 pixels: take a smaller block than 16") as raised:
        split_scenes([scene], SplitSettings(by="block", block=16, buffer=2), items=1)
    assert "by: block" not in str(raised.value)


@pytest.mark.parametrize("block", [8, 9, 15, 16])
def test_the_largest_buffer_leaves_something_of_every_block(scene, block):
    largest = (block - 1) // 2
    settings = SplitSettings(by="block", block=block, buffer=largest, fractions=(0.5, 0, 0.5))
    units = split_scenes([scene], settings)
    assert min(min(unit.row_end - unit.row_start, unit.col_end - unit.col_start) for unit in units) > 0
    with pytest.raises(UserError, match=f"buffer: must be below half a block of {block} pixels"):
        SplitSettings(by="block", block=block, buffer=largest + 1)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, True),
        ({"fractions": (0.0, 0.5, 0.5)}, False),
        ({"by": "test"}, False),
        ({"by": "official"}, True),
        ({"by": "parts", "parts": {"test": ["*"]}}, False),
        ({"by": "parts", "parts": {"train": ["a"], "test": ["b"]}}, True),
    ],
)
def test_whether_there_is_a_training_part(settings, expected):
    assert SplitSettings(**settings).has_training is expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"by": "parts"}, "go together"),
        ({"by": "parts", "parts": {}}, "go together"),
        ({"by": "parts", "parts": {"test": []}}, "must not be empty"),
        ({"by": "item", "parts": {"test": ["*"]}}, "go together"),
        ({"by": "parts", "parts": {"tests": ["*"]}}, "did you mean 'test'"),
        ({"fractions": (2.0, 0.0, 0.0)}, "at most 1"),
        ({"fractions": (0.5, 0.1, 0.1)}, "sum to 1"),
        ({"buffer": -1}, "at least 0"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(UserError, match=message):
        SplitSettings(**settings)


def test_fractions_must_sum_to_one():
    with pytest.raises(UserError, match="sum to 1"):
        share_out(["a", "b", "c"], (0.5, 0.1, 0.1), 0)


def test_official_needs_the_lists(scene):
    with pytest.raises(UserError, match="no official list"):
        split_scenes([scene], SplitSettings(by="official"))


def test_file_round_trip(tmp_path):
    units = [Unit("s", "a", "train", 0, 5, 0, 7), Unit("s", "b", "test", 1, 6, 2, 9)]
    write_split(tmp_path / "split.csv", units)
    assert read_split(tmp_path / "split.csv") == units
