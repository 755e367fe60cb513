import copy
import io
import logging
import sys

import numpy as np
import pytest
import torch
from torch import nn

from hsipipe.errors import UserError
from hsipipe.nets.quantised import QuantisedLinear, load_bitsandbytes
from hsipipe.training.accounting import count_parameters

# The levels of NormalFloat as printed in appendix E of arXiv 2305.14314.
NF4 = [
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635),
    *(-0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725),
    *(0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
]
CHOICES = [(name, double) for name in ("nf4", "fp4") for double in (False, True)]


def linear(inputs=96, outputs=64, bias=True, seed=0):
    torch.manual_seed(seed)
    return nn.Linear(inputs, outputs, bias=bias)


def test_weights_are_the_nearest_levels_of_each_block():
    layer = linear()
    blocks = layer.weight.detach().numpy().astype(np.float64).reshape(-1, 64)
    scale = np.abs(blocks).max(axis=1, keepdims=True)
    levels = np.array(NF4)
    nearest = levels[np.abs((blocks / scale)[..., None] - levels).argmin(-1)] * scale
    quantised = QuantisedLinear.from_linear(layer, quantisation="nf4", double_quantisation=False)
    np.testing.assert_allclose(quantised.weight().numpy().reshape(-1, 64), nearest, atol=1e-6)


def test_normal_float_suits_normal_weights():
    torch.manual_seed(0)
    layer = nn.Linear(512, 512, bias=False)
    nn.init.normal_(layer.weight)
    error = {
        key: QuantisedLinear.from_linear(layer, quantisation=key[0], double_quantisation=key[1]).weight()
        - layer.weight.detach()
        for key in CHOICES
    }
    # What the package's own tests expect of standard normal values in blocks of 64.
    assert error["nf4", False].abs().mean() == pytest.approx(0.0728, abs=0.001)
    assert error["fp4", False].abs().mean() == pytest.approx(0.0965, abs=0.001)
    root_mean_square = {key: float(value.square().mean().sqrt()) for key, value in error.items()}
    assert root_mean_square["nf4", True] < root_mean_square["fp4", True]
    # Eight bits for the scales cost next to nothing beside four for the weights.
    for name in ("nf4", "fp4"):
        assert root_mean_square[name, True] == pytest.approx(root_mean_square[name, False], rel=0.01)


@pytest.mark.parametrize(("name", "double"), CHOICES)
@pytest.mark.parametrize("shape", [(96, 64), (9, 7), (33, 5)])
def test_forward_and_gradient_are_those_of_the_dequantised_layer(name, double, shape):
    layer = QuantisedLinear.from_linear(linear(*shape), quantisation=name, double_quantisation=double)
    plain = layer.dequantised()
    assert type(plain) is nn.Linear
    assert not any(parameter.requires_grad for parameter in (*plain.parameters(), *layer.parameters()))
    inputs = torch.randn(2, 3, shape[0], requires_grad=True)
    again = inputs.detach().clone().requires_grad_()
    layer(inputs).square().sum().backward()
    plain(again).square().sum().backward()
    torch.testing.assert_close(layer(inputs), plain(again))
    torch.testing.assert_close(inputs.grad, again.grad)
    assert layer.bias.grad is None


def test_no_dequantised_copy_is_kept_for_the_gradient():
    layer = QuantisedLinear.from_linear(linear(256, 256))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda t: t):
        layer(torch.randn(2, 256, requires_grad=True))
    assert sum(kept) < 256 * 256


@pytest.mark.parametrize(("name", "double"), CHOICES)
def test_state_round_trip_copy_and_safe_file(name, double):
    options = {"quantisation": name, "double_quantisation": double}
    layer = QuantisedLinear.from_linear(linear(seed=1), **options)
    other = QuantisedLinear.from_linear(linear(seed=2), **options)
    empty = QuantisedLinear(inputs=96, outputs=64, **options)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    inputs = torch.randn(4, 96)
    for target in (other, empty):
        assert not torch.equal(target(inputs), layer(inputs))
        target.load_state_dict(state, strict=True)
        assert torch.equal(target(inputs), layer(inputs))
    assert torch.equal(copy.deepcopy(layer)(inputs), layer(inputs))


def test_stored_bits():
    counted = count_parameters(QuantisedLinear.from_linear(linear(96, 64, bias=False), double_quantisation=False))
    weights = 96 * 64
    assert (counted.trainable, counted.stored_bits) == (0, 4 * weights + 32 * weights // 64)
    layer = QuantisedLinear.from_linear(linear(384, 1152))
    assert layer.quantised_parameters == 384 * 1152
    stored = sum(8 * tensor.numel() * tensor.element_size() for tensor in layer.state_dict().values())
    # 4 bits, 8 per block of 64, 32 per block of 64 * 256, the offset and the bias.
    assert stored == 4 * 384 * 1152 + 8 * 6912 + 32 * 27 + 32 + 32 * 1152


def test_bfloat16_autocast():
    layer = QuantisedLinear.from_linear(linear())
    inputs = torch.randn(8, 96, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = layer(inputs)
    assert outputs.dtype == torch.bfloat16
    outputs.float().sum().backward()
    torch.testing.assert_close(outputs.float(), layer(inputs), atol=0.05, rtol=0.05)
    assert inputs.grad.dtype == torch.float32
    assert torch.isfinite(inputs.grad).all()


def test_a_cast_does_not_round_the_weights():
    layer = QuantisedLinear.from_linear(linear())
    before = layer.weight()
    layer.to(torch.bfloat16)
    assert torch.equal(layer.weight(), before)
    assert layer(torch.randn(2, 96, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_errors(monkeypatch):
    with pytest.raises(UserError, match="did you mean 'nf4'"):
        QuantisedLinear.from_linear(linear(), quantisation="nf5")
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UserError, match=r"pip install \"hsipipe\[gpu\]\""):
        QuantisedLinear.from_linear(linear())


def test_the_logger_of_the_package_is_left_as_it_was():
    log = logging.getLogger("bitsandbytes.backends.cpu.ops")
    before = list(log.filters)
    load_bitsandbytes()
    assert log.filters == before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["nf4", "fp4"])
def test_on_a_gpu_as_on_the_cpu(name):
    layer = QuantisedLinear.from_linear(linear(), quantisation=name)
    inputs = torch.randn(4096, 96)
    expected = layer(inputs)
    there = inputs.cuda().requires_grad_()
    result = layer.cuda()(there)
    result.sum().backward()
    torch.testing.assert_close(result.cpu(), expected, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(there.grad[0].cpu(), layer.weight().sum(0).cpu(), atol=1e-3, rtol=1e-3)
