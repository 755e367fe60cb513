import numpy as np
import pytest

from hsipipe.cases.pixels import (
    TEST,
    TRAIN,
    VAL,
    PixelSplitSettings,
    roles_of_part,
    split_pixels,
    touching_share,
)
from hsipipe.errors import UserError


@pytest.fixture
def labels():
    """Fields of 20 x 20 pixels of classes 1, 10 and 14, with background between."""
    rows, cols = np.mgrid[:60, :80]
    codes = np.array([1, 10, 14])[(rows // 20 + cols // 20) % 3]
    return np.where((rows % 20 < 18) & (cols % 20 < 18), codes, 0)


def counts(labels, roles, role):
    return {int(code): int(((labels == code) & (roles == role)).sum()) for code in np.unique(labels[labels > 0])}


def test_random_takes_a_number_of_each_class(labels):
    roles = split_pixels(labels, PixelSplitSettings(by="random", count=50, validation=5))
    assert set(counts(labels, roles, TRAIN).values()) == {50}
    assert set(counts(labels, roles, VAL).values()) == {5}
    assert ((roles > 0) == (labels > 0)).all()
    assert roles.dtype == np.uint8


def test_random_takes_a_share_of_each_class(labels):
    roles = split_pixels(labels, PixelSplitSettings(by="random", fraction=0.25, validation_fraction=0.5))
    for code, number in counts(labels, roles, TRAIN).items():
        total = (labels == code).sum()
        assert number == round(0.25 * total)
        assert counts(labels, roles, VAL)[code] == round(0.5 * total)


def test_random_depends_on_seed_and_parts_only_and_classes_not_on_each_other(labels):
    settings = PixelSplitSettings(by="random", count=30)
    first = split_pixels(labels, settings, seed_parts=("case", 0))
    assert (first == split_pixels(labels.copy(), settings, seed_parts=("case", 0))).all()
    assert (first != split_pixels(labels, settings, seed_parts=("case", 1))).any()
    assert (
        first != split_pixels(labels, PixelSplitSettings(by="random", count=30, seed=1), seed_parts=("case", 0))
    ).any()
    alone = split_pixels(np.where(labels == 10, 10, 0), settings, seed_parts=("case", 0))
    assert (alone[labels == 10] == first[labels == 10]).all()


def test_raster_takes_the_first_pixels_row_by_row():
    labels = np.array([[2, 1, 1, 0], [1, 2, 2, 1], [2, 1, 2, 2]])
    roles = split_pixels(labels, PixelSplitSettings(by="raster", count=2, validation=1))
    assert roles.tolist() == [[1, 1, 1, 0], [2, 1, 2, 3], [3, 3, 3, 3]]
    defaults = split_pixels(np.repeat([[1], [2]], 100, 1), PixelSplitSettings(by="raster"))
    assert (defaults[0] == np.repeat([TRAIN, VAL, TEST], [50, 15, 35])).all()


def test_blocks_are_whole_and_apart(labels):
    settings = PixelSplitSettings(by="blocks", block=10, buffer=3)
    roles = split_pixels(labels, settings)
    kinds = [
        set(np.unique(roles[row : row + 10, col : col + 10])) - {0}
        for row in range(0, 60, 10)
        for col in range(0, 80, 10)
    ]
    assert all(len(kind) <= 1 for kind in kinds)
    train, test = np.argwhere(roles == TRAIN), np.argwhere(roles == TEST)
    distance = np.abs(train[:, None] - test[None]).max(-1).min(0)
    assert distance.min() == 4
    assert touching_share(roles, distance=3) == 0
    assert touching_share(roles, distance=4) > 0


def test_blocks_give_each_class_its_share(labels):
    roles = split_pixels(
        labels, PixelSplitSettings(by="blocks", block=5, buffer=0, fraction=0.4, validation_fraction=0.2)
    )
    for role, share in ((TRAIN, 0.4), (VAL, 0.2), (TEST, 0.4)):
        for code, number in counts(labels, roles, role).items():
            assert number / (labels == code).sum() == pytest.approx(share, abs=0.06)


def test_validation_blocks_are_apart_too(labels):
    roles = split_pixels(labels, PixelSplitSettings(by="blocks", block=10, buffer=2, validation_fraction=0.2))
    places = {role: np.argwhere(roles == role) for role in (TRAIN, VAL, TEST)}
    for first, second in ((TRAIN, VAL), (TRAIN, TEST), (VAL, TEST)):
        assert np.abs(places[first][:, None] - places[second][None]).max(-1).min() > 2


def test_each_pixel_is_tested_in_one_fold(labels):
    tested = np.zeros(labels.shape, int)
    for fold in range(5):
        roles = split_pixels(labels, PixelSplitSettings(by="blocks", folds=5, fold=fold, buffer=2))
        tested += roles == TEST
        assert touching_share(roles, distance=2) == 0
    assert (tested == (labels > 0)).all()


def test_maps_that_are_given(labels):
    train, test = np.zeros((2, *labels.shape), int)
    train[:30], test[40:] = 5, 1
    roles = split_pixels(labels, PixelSplitSettings(by="maps"), train_map=train, test_map=test)
    assert ((roles == TRAIN) == ((labels > 0) & (train > 0))).all()
    assert ((roles == TEST) == ((labels > 0) & (test > 0))).all()
    with pytest.raises(UserError, match="share pixels"):
        split_pixels(labels, PixelSplitSettings(by="maps"), train_map=train, test_map=train)
    with pytest.raises(UserError, match="needs a training and a test map"):
        split_pixels(labels, PixelSplitSettings(by="maps"))


def test_all_is_tested_and_parts_of_tiles(labels):
    assert ((split_pixels(labels, PixelSplitSettings(by="all")) == TEST) == (labels > 0)).all()
    assert (roles_of_part(labels, "train") == np.where(labels > 0, TRAIN, 0)).all()
    assert np.isnan(touching_share(roles_of_part(labels, "train")))


def test_pixels_that_are_not_valid_are_not_used(labels):
    valid = np.ones(labels.shape, bool)
    valid[:, :40] = False
    for by in ("random", "raster", "blocks", "all"):
        roles = split_pixels(labels, PixelSplitSettings(by=by), valid=valid)
        assert not roles[:, :40].any()


def test_a_class_with_too_few_pixels():
    labels = np.repeat([1, 7], [100, 6])[None]
    with pytest.raises(UserError, match=r"class 7 has too few pixels \(found 6, where 10 train"):
        split_pixels(labels, PixelSplitSettings(by="random", count=10))
    kept = split_pixels(labels, PixelSplitSettings(by="random", count=10, validation=5, rare="keep"))
    assert [counts(labels, kept, role)[7] for role in (TRAIN, VAL, TEST)] == [3, 1, 2]
    left_out = split_pixels(labels, PixelSplitSettings(by="raster", count=10, rare="leave-out"))
    assert not left_out[labels == 7].any()


@pytest.mark.parametrize("rare", ["error", "keep"])
def test_a_class_of_one_pixel_is_named(rare):
    labels = np.repeat([1, 7], [100, 1])[None]
    with pytest.raises(UserError, match="class 7 has too few pixels"):
        split_pixels(labels, PixelSplitSettings(by="random", fraction=0.5, rare=rare))


def test_a_class_that_lies_in_one_block_cannot_be_trained_and_tested():
    labels = np.ones((40, 40), int)
    labels[:4, :4] = 9
    parts = set()
    for fold in range(4):
        settings = {"by": "blocks", "block": 10, "folds": 4, "fold": fold, "buffer": 0}
        kept = split_pixels(labels, PixelSplitSettings(**settings, rare="keep"))
        parts.add(frozenset(np.unique(kept[labels == 9]).tolist()))
        if (kept[labels == 9] == TEST).any():
            with pytest.raises(UserError, match="class 9 without training pixels"):
                split_pixels(labels, PixelSplitSettings(**settings))
            assert not split_pixels(labels, PixelSplitSettings(**settings, rare="leave-out"))[labels == 9].any()
    assert parts == {frozenset([TRAIN]), frozenset([TEST])}


def test_maps_of_another_size_are_refused(labels):
    with pytest.raises(UserError, match="labels do not fit the image of 10 x 10"):
        split_pixels(labels, PixelSplitSettings(), shape=(10, 10))
    with pytest.raises(UserError, match="train map do not fit"):
        split_pixels(labels, PixelSplitSettings(by="maps"), train_map=labels[1:], test_map=labels)
    with pytest.raises(UserError, match="no class"):
        split_pixels(labels * 0, PixelSplitSettings())
    with pytest.raises(UserError, match="whole numbers"):
        split_pixels(labels / 2, PixelSplitSettings())


def test_what_leaks_says_so():
    leaky = {by: PixelSplitSettings(by=by).leaky for by in ("random", "raster", "blocks", "maps", "all")}
    assert leaky == {"random": True, "raster": True, "blocks": False, "maps": False, "all": False}
    assert PixelSplitSettings(by="blocks", buffer=0).leaky
    assert "at least 4 pixels apart" in PixelSplitSettings(by="blocks", buffer=3).leak
    assert "neighbours" in PixelSplitSettings(by="random").leak


@pytest.mark.parametrize(
    "wrong",
    [
        {"by": "blocks", "count": 5},
        {"by": "raster", "fraction": 0.1},
        {"by": "random", "count": 5, "fraction": 0.1},
        {"by": "random", "fraction": 0.1, "validation": 3},
        {"by": "blocks", "folds": 3, "fold": 3},
        {"by": "blocks", "fraction": 0.6, "validation_fraction": 0.4},
        {"by": "random", "folds": 3},
    ],
)
def test_settings_that_do_not_fit_together(wrong):
    with pytest.raises(UserError):
        PixelSplitSettings(**wrong)
