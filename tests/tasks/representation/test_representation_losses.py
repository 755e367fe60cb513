import logging
import math
import subprocess
import sys

import pytest
import torch

from hsipipe.errors import UserError
from hsipipe.settings import describe, settings_from
from hsipipe.tasks.representation.shared.combined import LossSettings, RepresentationLoss
from hsipipe.tasks.representation.shared.contrastive import LOSSES, check_batch, dcl, make_loss, nt_xent, vicreg
from hsipipe.tasks.representation.shared.local_loss import local_loss, locations, match
from hsipipe.tasks.representation.shared.projection import choose_norm, expander, local_head, projection_head


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def slow_contrastive(first, second, temperature, *, decoupled):
    """Both losses by their definitions, one view at a time, in Python's floats."""

    def cosine(x, y):
        return sum(a * b for a, b in zip(x, y, strict=True)) / math.sqrt(sum(a * a for a in x) * sum(b * b for b in y))

    views, count = [*first.tolist(), *second.tolist()], len(first)
    total = 0.0
    for i, view in enumerate(views):
        partner = (i + count) % (2 * count)
        exponentials = {j: math.exp(cosine(view, views[j]) / temperature) for j in range(2 * count) if j != i}
        denominator = sum(value for j, value in exponentials.items() if not (decoupled and j == partner))
        total -= math.log(exponentials[partner] / denominator)
    return total / (2 * count)


# --- NT-Xent, DCL


def test_two_samples_by_hand():
    # Both views of a sample are equal, the samples at a right angle: cosines 1 (positive), 0, 0.
    views = torch.eye(2, dtype=torch.float64)
    assert nt_xent(views, 3 * views, temperature=0.5).item() == pytest.approx(math.log1p(2 * math.exp(-2)))
    assert dcl(views, 3 * views, temperature=0.5).item() == pytest.approx(math.log(2) - 2)


def test_three_samples_by_hand():
    # The first view of sample i is e_i, its second e_(i + 1): each view equals a view of another sample.
    first = torch.eye(3, dtype=torch.float64)
    second = first.roll(-1, 0)
    # every view: positive 0, one negative of cosine 1, three others of 0
    assert nt_xent(first, second, temperature=1.0).item() == pytest.approx(math.log(4 + math.e))
    assert dcl(first, second, temperature=1.0).item() == pytest.approx(math.log(3 + math.e))


@pytest.mark.parametrize("count", [2, 5, 16])
def test_equal_embeddings(count):
    same = torch.ones(count, 7)
    assert nt_xent(same, same, temperature=0.07).item() == pytest.approx(math.log(2 * count - 1), rel=1e-6)
    assert dcl(same, same, temperature=0.07).item() == pytest.approx(math.log(2 * count - 2), rel=1e-6)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.2, 0.5])
def test_equals_the_slow_formula(temperature):
    first, second = drawn(9, 5), drawn(9, 5, seed=1)
    for function, decoupled in ((nt_xent, False), (dcl, True)):
        expected = slow_contrastive(first, second, temperature, decoupled=decoupled)
        assert function(first, second, temperature=temperature).item() == pytest.approx(expected, rel=1e-10)


def test_gradients_by_finite_differences():
    first, second = drawn(3, 4).requires_grad_(), drawn(3, 4, seed=1).requires_grad_()
    for entry in LOSSES.values():
        assert torch.autograd.gradcheck(lambda a, b, entry=entry: entry.function(a, b), (first, second))


def test_decoupling_saves_the_gradient_of_small_batches():
    """Yeh et al.: the gradient of NT-Xent is that of DCL times 1 - the positive's share, near 0 for easy samples."""
    norms = {}
    for function in (nt_xent, dcl):
        first = (torch.eye(2, 6) + 0.01 * drawn(2, 6, dtype=torch.float32)).requires_grad_()
        function(first, torch.eye(2, 6), temperature=0.1).backward()
        norms[function] = first.grad.norm().item()
    assert norms[nt_xent] < 1e-2 * norms[dcl]


def test_zero_embeddings_have_a_finite_loss_and_no_gradient():
    first = drawn(4, 3, dtype=torch.float32)
    first[1] = 0
    first.requires_grad_()
    loss = nt_xent(first, drawn(4, 3, seed=1, dtype=torch.float32), temperature=0.05)
    loss.backward()
    assert loss.isfinite()
    assert first.grad.isfinite().all()
    assert first.grad[1].eq(0).all()
    assert first.grad[0].ne(0).any()


@pytest.mark.parametrize("name", LOSSES)
def test_full_precision_under_autocast(name):
    first, second = drawn(8, 16, dtype=torch.float32), drawn(8, 16, seed=1, dtype=torch.float32)
    expected = LOSSES[name].function(first, second)
    with torch.autocast("cpu", torch.bfloat16):
        assert LOSSES[name].function(first, second).item() == expected.item()
        halves = LOSSES[name].function(first.bfloat16(), second.bfloat16())
    assert halves.dtype == torch.float32
    assert halves.item() == pytest.approx(expected.item(), rel=2e-2)


# --- VICReg


def test_vicreg_by_hand():
    # Two dimensions, two samples. First views (0, 0), (2, 1): variances 2 and 1/2, covariance 1. Second views (0, 0),
    # (0, 0): variances 0, no covariance. Squared differences: 0, 0, 4, 1.
    first = torch.tensor([[0.0, 0.0], [2.0, 1.0]], dtype=torch.float64)
    second = torch.zeros(2, 2, dtype=torch.float64)
    zero = {"invariance_weight": 0.0, "variance_weight": 0.0, "covariance_weight": 0.0}
    assert vicreg(first, second, **{**zero, "invariance_weight": 1.0}).item() == pytest.approx(5 / 4)
    hinges = (0 + 1 - math.sqrt(0.5 + 1e-4)) / 2 + (1 - 1e-2)
    assert vicreg(first, second, **{**zero, "variance_weight": 1.0}).item() == pytest.approx(hinges)
    assert vicreg(first, second, **{**zero, "covariance_weight": 1.0}).item() == pytest.approx(2 * 1 / 2)
    assert vicreg(first, second).item() == pytest.approx(25 * 5 / 4 + 25 * hinges + 1)


def test_vicreg_against_torch_statistics():
    first, second = 0.3 * drawn(12, 5), 0.3 * drawn(12, 5, seed=1)
    expected = 25 * torch.nn.functional.mse_loss(first, second)
    for view in (first, second):
        expected += 25 * torch.relu(1 - torch.sqrt(view.var(0) + 1e-4)).mean()
        covariance = torch.cov(view.T)
        expected += (covariance.square().sum() - covariance.diagonal().square().sum()) / 5
    assert vicreg(first, second).item() == pytest.approx(expected.item(), rel=1e-10)


# --- batches that are too small


@pytest.mark.parametrize("name", LOSSES)
def test_one_sample_is_refused_by_all(name):
    one = torch.ones(1, 4)
    with pytest.raises(UserError, match=r"batch_size: .*at least [28].*\(found 1\).*gradient caching"):
        LOSSES[name].function(one, one)
    with pytest.raises(UserError, match="found 1"):
        make_loss(name)(one, one)


def test_small_batches_of_nt_xent_are_refused_with_a_reason():
    with pytest.raises(UserError, match=r"identically 0") as caught:
        check_batch("nt_xent", 1)
    assert "dcl or vicreg" not in str(caught.value)  # they have nothing to work on either
    with pytest.raises(
        UserError, match=r"here 12; .*identically 0.*adds no negatives.*gradient caching.*dcl or vicreg"
    ):
        check_batch("nt_xent", 7, accumulate=4)
    check_batch("nt_xent", 8)
    check_batch("nt_xent", 2, micro_batches=4)
    with pytest.raises(UserError, match="found 6"):
        check_batch("nt_xent", 2, micro_batches=3)
    with pytest.raises(UserError, match="at least 8"):
        make_loss("nt_xent", temperature=0.1)(torch.ones(7, 2), torch.ones(7, 2))


def test_small_batches_of_dcl_warn_once(caplog):
    loss = make_loss("dcl", temperature=0.2)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            loss(drawn(4, 3), drawn(4, 3, seed=1))
        loss(drawn(8, 3), drawn(8, 3, seed=1))
    assert [record.getMessage() for record in caplog.records] == ["dcl with a batch of 4 has 6 negatives only"]
    caplog.clear()
    make_loss("vicreg")(drawn(4, 3), drawn(4, 3, seed=1))
    assert not caplog.records


def test_wrong_names_and_values():
    with pytest.raises(UserError, match="did you mean 'nt_xent'"):
        make_loss("ntxent")
    with pytest.raises(UserError, match="did you mean 'temperature'"):
        make_loss("dcl", temperatur=0.1)
    with pytest.raises(UserError, match="temperature: must be above 0"):
        nt_xent(torch.ones(4, 2), torch.ones(4, 2), temperature=0.0)
    with pytest.raises(UserError, match="variance_weight"):
        vicreg(torch.ones(4, 2), torch.ones(4, 2), variance_weight=-1)
    with pytest.raises(ValueError, match=r"\(4, 2\) and \(3, 2\)"):
        nt_xent(torch.ones(4, 2), torch.ones(3, 2), temperature=0.1)


# --- local loss


def identity_grid(count, size):
    """Where the pixels of an untouched image lie."""
    centres = (torch.arange(size, dtype=torch.float32) * 2 + 1) / size - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x, y], -1).expand(count, -1, -1, -1)


def slow_local(maps_1, maps_2, grids_1, grids_2, masks_1, masks_2, temperature, distance, coverage):
    """The definition in loops, with all locations as negatives; maps whose side divides that of the grids."""
    vectors, places, counted = [], [], []
    for b in range(len(maps_1)):
        for maps, grids, masks in ((maps_1, grids_1, masks_1), (maps_2, grids_2, masks_2)):
            h, w = maps.shape[2:]
            step_y, step_x = grids.shape[1] // h, grids.shape[2] // w
            for i in range(h):
                for j in range(w):
                    cell = (slice(i * step_y, (i + 1) * step_y), slice(j * step_x, (j + 1) * step_x))
                    place = ((grids[b][cell].reshape(-1, 2).double().mean(0) + 1) / 2).tolist()
                    on_it = masks[b, 0][cell].double().mean().item() >= coverage
                    places.append((b, maps is maps_2, *place))
                    counted.append(on_it and all(0 <= value <= 1 for value in place))
                    vector = maps[b, :, i, j]
                    vectors.append(vector / vector.norm())
    losses = []
    for a, (sample, view, x, y) in enumerate(places):
        if not counted[a]:
            continue
        candidates = [
            (math.dist((x, y), place[2:]), c)
            for c, place in enumerate(places)
            if counted[c] and place[0] == sample and place[1] != view
        ]
        if not candidates or min(candidates)[0] > distance:
            continue
        positive = math.exp(float(vectors[a] @ vectors[min(candidates)[1]]) / temperature)
        negative = sum(
            math.exp(float(vectors[a] @ vectors[c]) / temperature)
            for c, place in enumerate(places)
            if counted[c] and (place[0] != sample or math.dist((x, y), place[2:]) > distance)
        )
        losses.append(-math.log(positive / (positive + negative)))
    return sum(losses) / len(losses), len(losses)


def test_flipped_views_match_exactly():
    grid = identity_grid(2, 12)
    here, there = locations(grid, (4, 4)), locations(grid.flip(2), (4, 4))
    index, is_pair = match(here, there, distance=1e-3)
    assert is_pair.all()
    mirrored = torch.arange(16).reshape(4, 4).flip(1).flatten()
    assert torch.equal(index, mirrored.expand(2, -1))

    # Features that say where they were taken: the same place, so the positives are perfect.
    features = torch.nn.functional.one_hot(torch.arange(32)).double().reshape(2, 4, 4, 32).permute(0, 3, 1, 2)
    value, pairs = local_loss(features, features.flip(3), grid, grid.flip(2), distance=1e-3, temperature=0.1)
    assert pairs.item() == 2 * 2 * 16
    # 31 other places in each of two views, all orthogonal
    assert value.item() == pytest.approx(math.log1p(62 * math.exp(-10)), rel=1e-6)
    peer, _ = local_loss(features, features.flip(3), grid, grid.flip(2), matching="peer", temperature=0.1)
    # by index nothing fits: of 3 other views none is alike
    assert peer.item() == pytest.approx(math.log(3), rel=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_equals_a_slow_loop(masked):
    maps_1, maps_2 = drawn(3, 5, 4, 4), drawn(3, 5, 2, 3, seed=1)
    # A crop, and another with a turn and a part outside the source.
    grid = identity_grid(3, 12)
    turn = torch.tensor([[0.8, 0.3], [-0.3, 0.8]])
    grids_1, grids_2 = 0.6 * grid + 0.2, grid @ turn + torch.tensor([0.4, -0.1])
    ones = torch.ones(3, 1, 12, 12)
    masks_1 = (drawn(3, 1, 12, 12, seed=2) > -0.3).float() if masked else ones
    masks_2 = (drawn(3, 1, 12, 12, seed=3) > -0.3).float() if masked else ones
    settings = {"temperature": 0.2, "distance": 0.14, "coverage": 0.6}
    given = {"masks_1": masks_1, "masks_2": masks_2} if masked else {}
    value, pairs = local_loss(maps_1, maps_2, grids_1, grids_2, **given, **settings)
    expected, count = slow_local(maps_1, maps_2, grids_1, grids_2, masks_1, masks_2, **settings)
    assert 5 < count < 60
    assert pairs.item() == count
    assert value.item() == pytest.approx(expected, rel=1e-9)


def test_views_that_share_nothing_give_zero_with_a_graph():
    maps_1, maps_2 = drawn(2, 3, 4, 4).requires_grad_(), drawn(2, 3, 4, 4, seed=1).requires_grad_()
    grid = identity_grid(2, 8)
    value, pairs = local_loss(maps_1, maps_2, 0.2 * grid - 0.7, 0.2 * grid + 0.7)
    assert (value.item(), pairs.item()) == (0, 0)
    value.backward()
    assert maps_1.grad.eq(0).all()
    assert maps_2.grad.eq(0).all()


def test_places_off_the_specimen_or_the_source_do_not_count():
    grid = identity_grid(1, 8)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    found = locations(grid, (4, 4), mask=mask)
    assert found.counted.reshape(4, 4).tolist() == [[True, True, False, False]] * 4
    assert locations(grid + 1.0, (4, 4)).counted.reshape(4, 4)[:2, :2].all()
    assert locations(grid + 1.0, (4, 4)).counted.sum() == 4
    assert not locations(grid, (4, 4), mask=0 * mask, coverage=0.0).counted.any()
    assert found.positions[0, 0].tolist() == pytest.approx([1 / 8, 1 / 8])
    maps = drawn(1, 3, 4, 4)
    pairs = local_loss(maps, maps, grid, grid, masks_1=mask, masks_2=1 - mask, distance=0.1).pairs
    assert pairs.item() == 0
    assert local_loss(maps, maps, grid, grid, masks_1=mask, masks_2=mask, distance=0.1).pairs.item() == 16


def test_the_peer_form_is_nt_xent_at_each_place():
    maps_1, maps_2 = drawn(4, 5, 2, 3), drawn(4, 5, 2, 3, seed=1)
    grid = identity_grid(4, 6)
    value, pairs = local_loss(maps_1, maps_2, grid, grid, matching="peer", temperature=0.3)
    each = [nt_xent(maps_1[..., i, j], maps_2[..., i, j], temperature=0.3) for i in range(2) for j in range(3)]
    assert value.item() == pytest.approx(torch.stack(each).mean().item(), rel=1e-10)
    assert pairs.item() == 2 * 4 * 6
    with pytest.raises(UserError, match="one only"):
        local_loss(maps_1[:1], maps_2[:1], grid[:1], grid[:1], matching="peer")


def test_gradient_of_the_local_loss():
    grid = identity_grid(2, 4)
    maps = drawn(2, 3, 2, 2).requires_grad_(), drawn(2, 3, 2, 2, seed=1).requires_grad_()
    for matching in ("position", "peer"):
        assert torch.autograd.gradcheck(
            lambda a, b, m=matching: local_loss(a, b, grid, grid.flip(1), matching=m, temperature=0.5)[0], maps
        )


def test_draws_of_places_repeat_and_are_bounded():
    grid = identity_grid(4, 16)
    maps_1, maps_2 = drawn(4, 6, 8, 8), drawn(4, 6, 8, 8, seed=1)

    def value(seed, **settings):
        generator = torch.Generator().manual_seed(seed)
        return local_loss(maps_1, maps_2, grid, grid, generator=generator, **settings)

    few = value(1, anchors=50, negatives=20)
    assert few.pairs.item() == 50
    assert few.value.item() == value(1, anchors=50, negatives=20).value.item()
    assert few.value.item() != value(2, anchors=50, negatives=20).value.item()
    assert value(1).value.item() == value(2).value.item()  # 512 places: all are taken
    assert few.value < value(1).value  # fewer to be told from


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distance": 0.0}, "distance"),
        ({"coverage": 1.5}, "coverage"),
        ({"negatives": 0}, "negatives"),
        ({"temperature": -1.0}, "temperature"),
        ({"matching": "positions"}, "did you mean 'position'"),
    ],
)
def test_wrong_settings_of_the_local_loss(settings, message):
    maps, grid = drawn(2, 3, 2, 2), identity_grid(2, 4)
    with pytest.raises(UserError, match=message):
        local_loss(maps, maps, grid, grid, **settings)


# --- combined


def inputs_of_all(count=8, seed=0):
    grid = identity_grid(count, 8)
    return {
        "embeddings": (drawn(count, 5, seed=seed), drawn(count, 5, seed=seed + 1)),
        "maps": (drawn(count, 4, 4, 4, seed=seed + 2), drawn(count, 4, 4, 4, seed=seed + 3)),
        "grids": (grid, grid.flip(2)),
    }


@pytest.mark.parametrize("loss", LOSSES)
def test_combined_is_the_weighted_sum(loss):
    given = inputs_of_all()
    alone = RepresentationLoss(LossSettings(loss=loss))(embeddings=given["embeddings"])
    local = RepresentationLoss(LossSettings(loss_type="local"))(maps=given["maps"], grids=given["grids"])
    both = RepresentationLoss(LossSettings(loss_type="combined", loss=loss))(**given)
    assert alone.total.item() == LOSSES[loss].function(*given["embeddings"]).item()
    assert local.total.item() == local.parts["local"].item()
    assert local.parts["pairs"].item() == 2 * 8 * 16
    assert both.total.item() == pytest.approx(0.6 * alone.total.item() + 0.4 * local.total.item(), rel=1e-12)
    assert both.parts["global"].item() == alone.total.item()
    assert set(alone.parts) == {"global"}


def test_a_weight_of_zero_needs_no_input():
    given = inputs_of_all()
    settings = LossSettings(loss_type="combined", global_weight=1.0, local_weight=0.0)
    found = RepresentationLoss(settings)(embeddings=given["embeddings"])
    assert found.total.item() == nt_xent(*given["embeddings"]).item()
    with pytest.raises(UserError, match="both 0"):
        LossSettings(loss_type="combined", global_weight=0.0, local_weight=0.0)
    with pytest.raises(ValueError, match="needs feature maps"):
        RepresentationLoss(LossSettings(loss_type="local"))(embeddings=given["embeddings"])
    with pytest.raises(ValueError, match="needs embeddings"):
        RepresentationLoss(LossSettings())(maps=given["maps"], grids=given["grids"])


def test_masks_reach_the_local_loss():
    given = inputs_of_all()
    mask = torch.zeros(8, 1, 8, 8)
    mask[:, :, :4] = 1
    found = RepresentationLoss(LossSettings(loss_type="combined"))(**given, masks=(mask, mask))
    assert found.parts["pairs"].item() == 8 * 16


def test_small_batches_of_the_combined_loss():
    with pytest.raises(UserError, match="nt_xent needs a batch of at least 8"):
        RepresentationLoss(LossSettings(loss_type="combined"))(**inputs_of_all(4))
    with pytest.raises(UserError, match="nt_xent needs a batch of at least 8"):
        LossSettings(loss_type="local", matching="peer").check_batch(4)
    with pytest.raises(UserError, match="the local loss contrasts"):
        LossSettings(loss_type="local").check_batch(1)
    LossSettings(loss_type="local").check_batch(2)
    LossSettings(loss_type="combined").check_batch(2, micro_batches=4)


def test_settings_are_checked_and_described():
    assert settings_from(LossSettings, {"loss_type": "combined", "temperature": 0.05}).global_weight == 0.6
    with pytest.raises(UserError, match="did you mean 'vicreg'"):
        settings_from(LossSettings, {"loss": "vicregg"})
    with pytest.raises(UserError, match="temperature"):
        LossSettings(temperature=0.0)
    assert all(item.meaning for item in describe(LossSettings))
    # Every setting of every loss is a setting here, with the same default.
    for entry in LOSSES.values():
        for name, (default, meaning) in entry.settings.items():
            assert getattr(LossSettings(), name) == default
            assert meaning


def test_settings_do_not_import_torch():
    code = "import sys, hsipipe.tasks.representation.shared.combined; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- heads


@pytest.mark.parametrize("norm", ["auto", "batch", "layer", "group", "none"])
def test_heads_have_the_widths_asked_for(norm):
    features = drawn(4, 24, dtype=torch.float32)
    for layers in (1, 2, 3):
        head = projection_head(inputs=24, hidden=16, outputs=6, layers=layers, norm=norm)
        assert head(features).shape == (4, 6)
        assert sum(isinstance(part, torch.nn.Linear) for part in head) == layers
    wide = expander(inputs=24, outputs=32, norm=norm)
    assert [part.out_features for part in wide if isinstance(part, torch.nn.Linear)] == [32, 32, 32]
    assert wide(features).shape == (4, 32)
    assert local_head(inputs=24, outputs=6, norm=norm)(drawn(4, 24, 3, 5, dtype=torch.float32)).shape == (4, 6, 3, 5)


def test_norms_of_small_batches():
    assert [choose_norm("auto", batch_size=size) for size in (1, 15, 16, None)] == ["layer", "layer", "batch", "batch"]
    assert choose_norm("batch", batch_size=2) == "batch"
    with pytest.raises(UserError, match="norm: layer"):
        choose_norm("batch", batch_size=1)
    with pytest.raises(UserError, match="did you mean 'layer'"):
        choose_norm("layers")
    small = projection_head(inputs=8, batch_size=1)
    assert small(torch.randn(1, 8)).isfinite().all()
    with pytest.raises(UserError, match="at least 1 layer"):
        projection_head(inputs=8, layers=0)


def test_each_place_has_the_same_head():
    torch.manual_seed(0)
    for norm in ("none", "layer"):
        head = local_head(inputs=6, outputs=4, norm=norm)
        maps = torch.randn(2, 6, 3, 3)
        assert torch.allclose(head(maps)[:, :, 1, 2], head(maps[:, :, 1:2, 2:3])[:, :, 0, 0], atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("matching", ["position", "peer"])
def test_local_loss_on_a_gpu_as_on_the_cpu(matching):
    grid, maps = identity_grid(4, 16), (drawn(4, 6, 8, 8), drawn(4, 6, 8, 8, seed=1))
    settings = {"matching": matching, "anchors": 50, "negatives": 20}
    expected = local_loss(*maps, grid, grid.flip(1), generator=torch.Generator().manual_seed(1), **settings)
    found = local_loss(
        *[each.cuda() for each in (*maps, grid, grid.flip(1))],
        generator=torch.Generator().manual_seed(1),
        **settings,
    )
    assert found.pairs.item() == expected.pairs.item()
    assert found.value.item() == pytest.approx(expected.value.item(), rel=1e-6)
