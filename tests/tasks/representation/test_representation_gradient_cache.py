import copy
import doctest
import weakref
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from hsipipe.tasks.representation.shared import gradient_cache
from hsipipe.tasks.representation.shared.combined import LossSettings, RepresentationLoss
from hsipipe.tasks.representation.shared.contrastive import dcl, nt_xent, vicreg
from hsipipe.tasks.representation.shared.gradient_cache import cached_loss, micro_batches

COUNT, BANDS, SIZE = 12, 5, 6
PARTS = micro_batches(COUNT, 4)


class Network(nn.Module):
    """A small encoder with its head; `norm` and dropout between the convolutions."""

    def __init__(self, norm, dropout=0.0):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(BANDS, 8, 3, padding=1), norm(), nn.ReLU(), nn.Dropout(dropout), nn.Conv2d(8, 8, 3, stride=2)
        )
        self.head = nn.Linear(8, 4)

    def forward(self, images):
        return self.head(self.features(images).mean((2, 3)))


def network(norm=lambda: nn.GroupNorm(4, 8), dropout=0.0, seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    return Network(norm, dropout).to(dtype)


def views(seed=0, dtype=torch.float64):
    return torch.randn(2, COUNT, BANDS, SIZE, SIZE, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def encoder(model, images):
    """Both views of the samples of a slice, in one pass, as training does it."""

    def encode(part):
        both = images[:, part]
        return tuple(model(both.flatten(0, 1)).unflatten(0, both.shape[:2]))

    return encode


def gradients(model):
    return [parameter.grad for parameter in model.parameters()]


def with_graph(model, images, loss, parts=PARTS, seed=7):
    """The reference: all micro-batches kept with their graphs, in the order and with the random state of the cache."""
    model.zero_grad()
    torch.manual_seed(seed)
    encode = encoder(model, images)
    joined = [torch.cat(each) for each in zip(*[encode(part) for part in parts], strict=True)]
    value = loss(*joined)
    value.backward()
    return value.detach(), gradients(model)


def cached_backward(encode, parts, loss, *, model, scale=1.0, **settings):
    """Gradients of `scale` times the cached loss, as a training step asks for them; the loss without a graph."""
    value = cached_loss(encode, parts, loss, model=model, **settings)
    (value * scale).backward()
    return value.detach()


def cached(model, images, loss, parts=PARTS, seed=7, **settings):
    model.zero_grad()
    torch.manual_seed(seed)
    value = cached_backward(encoder(model, images), parts, loss, model=model, **settings)
    return value, gradients(model)


def assert_equal(found, expected, tolerance=1e-6):
    assert found[0].item() == pytest.approx(expected[0].item(), rel=tolerance)
    for one, other in zip(found[1], expected[1], strict=True):
        assert (one - other).norm() <= tolerance * other.norm() + 1e-12
    assert sum(other.norm() for other in expected[1]) > 1e-3


@pytest.mark.parametrize("loss", [nt_xent, dcl, vicreg])
def test_equals_the_whole_batch_in_one_pass(loss):
    model, images = network(), views()
    for micro_batch in (1, 5, 12):
        found = cached(model, images, loss, micro_batches(COUNT, micro_batch))
        assert_equal(found, with_graph(model, images, loss, [slice(0, COUNT)]))


def test_float32_equals_the_whole_batch():
    model, images = network(dtype=torch.float32), views(dtype=torch.float32)
    expected = with_graph(network(), views(dtype=torch.float32).double(), nt_xent, [slice(0, COUNT)])
    found = cached(model, images, nt_xent)
    # parameters were rounded to float32 too
    assert_equal(found, expected, tolerance=1e-4)


def test_accumulating_is_not_the_whole_batch():
    """What gradient caching is for: the sum of the gradients of small batches is that of another loss."""
    model, images = network(), views()
    exact = torch.cat([each.flatten() for each in cached(model, images, nt_xent)[1]])
    model.zero_grad()
    for part in PARTS:
        (nt_xent(*encoder(model, images)(part)) / len(PARTS)).backward()
    added = torch.cat([each.flatten() for each in gradients(model)])
    assert torch.cosine_similarity(exact, added, 0) < 0.98


@pytest.mark.parametrize("dropout", [0.2, 0.6])
def test_dropout_is_repeated(dropout):
    model, images = network(dropout=dropout), views()
    assert_equal(cached(model, images, nt_xent), with_graph(model, images, nt_xent))


def test_random_state_afterwards_is_that_of_one_pass():
    model, images = network(dropout=0.5), views()
    with_graph(model, images, nt_xent)
    expected = torch.rand(3)
    cached(model, images, nt_xent)
    assert torch.equal(torch.rand(3), expected)


def test_own_generators_are_repeated():
    model, images = network(), views()

    def noisy(generator):
        clean = encoder(model, images)

        def encode(part):
            return tuple(
                each + 0.5 * torch.randn(each.shape, generator=generator, dtype=each.dtype) for each in clean(part)
            )

        return encode

    generator = torch.Generator().manual_seed(3)
    encode = noisy(generator)
    value = nt_xent(*[torch.cat(each) for each in zip(*[encode(part) for part in PARTS], strict=True)])
    value.backward()
    expected = value.detach(), [each.clone() for each in gradients(model)]
    after = torch.rand(3, generator=generator)

    model.zero_grad()
    generator.manual_seed(3)
    found = cached_backward(encode, PARTS, nt_xent, model=model, generators=[generator])
    assert_equal((found, gradients(model)), expected)
    assert torch.equal(torch.rand(3, generator=generator), after)
    with pytest.raises(RuntimeError, match="did not repeat"):
        cached_backward(encode, PARTS, nt_xent, model=model)


def test_batch_norm_is_that_of_micro_batches_and_counted_once():
    model, images = network(lambda: nn.BatchNorm2d(8)), views()
    twin = copy.deepcopy(model)
    expected = with_graph(twin, images, nt_xent)
    found = cached(model, images, nt_xent)
    # exact for embeddings that each micro-batch normalised by its own statistics ...
    assert_equal(found, expected)
    # ... whose running statistics are those of one pass, and go on being kept
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, dict(twin.named_buffers())[name]), name
    assert model.features[1].num_batches_tracked.item() == len(PARTS)
    assert model.features[1].track_running_stats
    # ... which is not the whole batch normalised by its statistics.
    whole = with_graph(twin, images, nt_xent, [slice(0, COUNT)])
    assert abs(whole[0].item() - found[0].item()) > 1e-3


def test_frozen_batch_norm_equals_the_whole_batch():
    model, images = network(lambda: nn.BatchNorm2d(8)), views()
    model.features[1].eval()
    assert_equal(cached(model, images, nt_xent), with_graph(model, images, nt_xent, [slice(0, COUNT)]))


def test_as_the_value_of_a_training_loop():
    """A multiple of the value, added to what the gradients were: accumulation and scaling."""
    model, images = network(), views()
    expected = with_graph(model, images, nt_xent)
    before = [3 * each.clone() for each in expected[1]]
    reference = [0.25 * each + old for each, old in zip(expected[1], before, strict=True)]
    for parameter, old in zip(model.parameters(), before, strict=True):
        parameter.grad = old.clone()
    value = cached_loss(encoder(model, images), PARTS, nt_xent, model=model)
    assert value.ndim == 0
    assert value.requires_grad
    (value / 4).backward()
    assert_equal((value.detach(), gradients(model)), (expected[0], reference))


def test_gradients_can_be_asked_for_without_being_stored():
    model, images = network(), views()
    expected = with_graph(model, images, nt_xent)
    expected = expected[0], [each.clone() for each in expected[1]]
    model.zero_grad()
    value = cached_loss(encoder(model, images), PARTS, nt_xent, model=model)
    found = torch.autograd.grad(value, list(model.parameters()))
    assert_equal((value, found), expected)
    assert all(each is None for each in gradients(model))


def test_frozen_and_unused_parameters():
    model, images = network(), views()
    model.unused = nn.Linear(2, 2)
    model.head.requires_grad_(False)
    value = cached_backward(encoder(model, images), PARTS, nt_xent, model=model)
    assert model.head.weight.grad is None
    assert model.unused.weight.grad is None
    assert model.features[0].weight.grad.norm() > 0
    assert not value.requires_grad
    with torch.no_grad():
        assert cached_loss(encoder(model, images), PARTS, nt_xent, model=model).item() == value.item()


def test_parameters_of_the_loss_itself():
    """A learned temperature, and a head that the loss applies to the joined features."""
    model, images = network(), views()
    model.logarithm = nn.Parameter(torch.tensor(-1.0, dtype=torch.float64))
    model.last = nn.Linear(4, 3).double()

    def loss(first, second):
        first, second = model.last(first), model.last(second)
        return nt_xent(first, second, temperature=0.5) * model.logarithm.exp()

    expected = with_graph(model, images, loss)
    expected = expected[0], [0.5 * each for each in expected[1]]
    assert_equal(cached(model, images, loss, scale=0.5), expected)
    assert model.logarithm.grad.abs() > 1e-3


def test_maps_and_embeddings_with_the_combined_loss():
    model, images = network(), views()
    grid = torch.randn(2, COUNT, SIZE, SIZE, 2, generator=torch.Generator().manual_seed(5)).clamp(-1, 1)
    loss = RepresentationLoss(LossSettings(loss_type="combined", distance=0.3))

    def encode(part):
        maps = model.features(images[:, part].flatten(0, 1))
        first, second = model.head(maps.mean((2, 3))).chunk(2)
        return first, second, *maps.chunk(2)

    def total(first, second, maps_1, maps_2):
        found = loss(embeddings=(first, second), maps=(maps_1, maps_2), grids=(grid[0], grid[1]))
        assert found.parts["pairs"] > 0
        return found.total

    value = total(*encode(slice(0, COUNT)))
    value.backward()
    expected = value.detach(), [each.clone() for each in gradients(model)]
    model.zero_grad()
    # 4 samples at a time, too few for NT-Xent without the cache
    assert_equal((cached_backward(encode, PARTS, total, model=model), gradients(model)), expected)


def test_autocast_of_the_call_holds_in_backward():
    model, images = network(dtype=torch.float32), views(dtype=torch.float32)
    seen = []

    def encode(part):
        outputs = encoder(model, images)(part)
        seen.append(outputs[0].dtype)
        return outputs

    with torch.autocast("cpu", torch.bfloat16):
        outputs = [torch.cat(each) for each in zip(*[encode(part) for part in PARTS], strict=True)]
        expected = nt_xent(*outputs)
    expected.backward()
    reference = expected.detach(), [each.clone() for each in gradients(model)]
    # Backward outside of autocast, and within the same block as the first pass, as Lightning has it.
    for inside in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            value = cached_loss(encode, PARTS, nt_xent, model=model)
            if inside:
                value.backward()
        if not inside:
            value.backward()
        assert_equal((value.detach(), gradients(model)), reference, tolerance=2e-2)
    assert set(seen) == {torch.bfloat16}


@contextmanager
def saved_bytes():
    """Counts the bytes of tensors kept for backward; the list holds those alive now and the most there were."""
    alive = [0, 0]

    class Kept:
        def __init__(self, tensor):
            self.tensor = tensor

    def release(size):
        alive[0] -= size

    def pack(tensor):
        kept, size = Kept(tensor), tensor.numel() * tensor.element_size()
        alive[0] += size
        alive[1] = max(alive)
        weakref.finalize(kept, release, size)
        return kept

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept.tensor):
        yield alive


def test_memory_is_that_of_one_micro_batch():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.GELU(), nn.Conv2d(16, 4, 3))
    images = torch.randn(2, 32, 3, 16, 16)

    def encode(part):
        both = images[:, part]
        return tuple(model(both.flatten(0, 1)).mean((2, 3)).unflatten(0, both.shape[:2]))

    most = {}
    for size in (32, 16, 4):
        with saved_bytes() as alive:
            cached_loss(encode, micro_batches(32, size), nt_xent, model=model).backward()
        most[size] = alive[1]
        assert alive[0] == 0
    with saved_bytes() as alive:
        nt_xent(*encode(slice(0, 32))).backward()
    assert most[32] == pytest.approx(alive[1], rel=0.1)
    assert most[16] == pytest.approx(alive[1] / 2, rel=0.1)
    assert most[4] == pytest.approx(alive[1] / 8, rel=0.1)


def test_backward_is_all_that_holds_the_batch():
    """After backward nothing of the batch is kept."""
    model, images = network(), views()
    held = weakref.ref(images)
    value = cached_loss(encoder(model, images), PARTS, nt_xent, model=model)
    del images
    assert held() is not None
    value.backward()
    del value
    assert held() is None


def test_what_cannot_be_cached():
    model, images = network(), views()
    with pytest.raises(ValueError, match="no micro-batches"):
        cached_loss(encoder(model, images), [], nt_xent, model=model)
    with pytest.raises(ValueError, match="differing numbers"):
        cached_loss(lambda part: (torch.ones(4, 2),) * (1 + (part.start > 0)), PARTS, nt_xent, model=model)
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter"):
        cached_loss(encoder(model, images), PARTS, nt_xent, model=model)


def test_a_state_that_changes_with_each_pass_is_noticed():
    model, images = network(), views()
    model.passes = 0

    def encode(part):
        model.passes += 1
        return tuple(each + model.passes for each in encoder(model, images)(part))

    with pytest.raises(RuntimeError, match="keeps a state"):
        cached_backward(encode, PARTS, nt_xent, model=model)


def test_micro_batches_cover_the_batch_evenly():
    assert doctest.testmod(gradient_cache).failed == 0
    for count in range(1, 40):
        for size in range(1, 12):
            parts = micro_batches(count, size)
            assert [index for part in parts for index in range(count)[part]] == list(range(count))
            lengths = [part.stop - part.start for part in parts]
            assert max(lengths) <= size
            assert max(lengths) - min(lengths) <= 1
            assert len(parts) == -(-count // size)
    with pytest.raises(ValueError, match="at least 1"):
        micro_batches(4, 0)


def test_with_gradient_checkpointing_within_the_encoder():
    model, images = network(lambda: nn.BatchNorm2d(8), dropout=0.3), views()
    twin = copy.deepcopy(model)
    expected = with_graph(twin, images, nt_xent)
    plain = model.features.forward
    model.features.forward = lambda inputs: checkpoint(plain, inputs, use_reentrant=False)
    assert_equal(cached(model, images, nt_xent), expected)
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, dict(twin.named_buffers())[name]), name


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_on_a_gpu_with_dropout_and_autocast(dtype):
    model = network(dropout=0.4, dtype=torch.float32).cuda()
    images = views(dtype=torch.float32).cuda()
    encode = encoder(model, images)
    enabled = dtype != torch.float32
    torch.manual_seed(7)
    with torch.autocast("cuda", dtype, enabled=enabled):
        value = nt_xent(*[torch.cat(each) for each in zip(*[encode(part) for part in PARTS], strict=True)])
    (value * 64).backward()
    expected = value.detach(), [each.clone() for each in gradients(model)]
    after = torch.rand(3, device="cuda")
    model.zero_grad()
    torch.manual_seed(7)
    with torch.autocast("cuda", dtype, enabled=enabled):
        found = cached_backward(encode, PARTS, nt_xent, model=model, scale=64)
    assert torch.equal(torch.rand(3, device="cuda"), after)
    # where gradients of values of 16 bits are added up in another order
    assert_equal((found, gradients(model)), expected, tolerance=5e-2 if enabled else 1e-4)
