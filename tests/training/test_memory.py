import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from hsipipe.nets.heads import build_head
from hsipipe.nets.vit import build_encoder
from hsipipe.training.memory import MemoryAccount, optimizer_bytes, training_memory
from hsipipe.training.settings import TrainingSettings

MIB = 2**20


def summed(network, batch):
    return network(batch["input"]).sum()


def mlp():
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_by_hand(device):
    """The first layer saves its input (which is the batch), tanh its output, which is what the second layer saves."""
    network = mlp().to(device)
    count = 6 * 16 + 16 + 16 * 3 + 3
    account = training_memory(network, summed, {"input": torch.zeros(5, 6, device=device)})
    assert account == MemoryAccount(
        parameters=count,
        trainable=count,
        weights_bytes=4 * count,
        gradients_bytes=4 * count,
        optimizer_bytes=8 * count + 4 * 4,  # a counter of steps for each tensor
        batch_bytes=4 * 5 * 6,
        activations_bytes=4 * 5 * 16,
    )
    assert account.total_bytes == account.as_dict()["total_bytes"] == 16 * count + 16 + 4 * 5 * 6 + 4 * 5 * 16


def test_frozen_parts_save_nothing():
    network = mlp()
    network[2].requires_grad_(False)
    account = training_memory(network, summed, {"input": torch.zeros(5, 6)})
    assert account.trainable == 6 * 16 + 16
    assert account.gradients_bytes == 4 * account.trainable
    assert account.activations_bytes == 4 * 5 * 16  # tanh's output, for the layer before it
    frozen = training_memory(network.requires_grad_(False), summed, {"input": torch.zeros(5, 6)})
    assert (frozen.activations_bytes, frozen.gradients_bytes, frozen.optimizer_bytes) == (0, 0, 0)
    assert frozen.parameters == account.parameters


def test_a_storage_counts_once_and_a_batch_is_no_activation():
    def squares(network, batch):
        image = network(batch["input"])
        return (image * image.view(-1, 1).view(image.shape)).sum() + (image * batch["target"]).sum()

    account = training_memory(nn.Linear(6, 3), squares, {"input": torch.zeros(5, 6), "target": torch.ones(5, 3)})
    assert account.activations_bytes == 4 * 5 * 3
    assert account.batch_bytes == 4 * 5 * 9


def test_checkpointing_saves_less():
    class Deep(nn.Module):
        def __init__(self, checkpointing):
            super().__init__()
            self.layers = nn.ModuleList(mlp_square() for _ in range(4))
            self.checkpointing = checkpointing

        def forward(self, inputs):
            for layer in self.layers:
                inputs = checkpoint(layer, inputs, use_reentrant=False) if self.checkpointing else layer(inputs)
            return inputs

    def mlp_square():
        return nn.Sequential(nn.Linear(6, 60), nn.Tanh(), nn.Linear(60, 6))

    stored, recomputed = (
        training_memory(Deep(on), summed, {"input": torch.zeros(5, 6)}).activations_bytes for on in (False, True)
    )
    assert stored == 4 * 5 * (4 * 60 + 3 * 6)
    assert recomputed == 4 * 5 * 3 * 6  # the inputs of all blocks but the first, whose input is the batch


def test_network_and_generators_are_left_alone():
    network = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).eval()
    network[0].weight.grad = torch.ones(4, 6)
    before, batch = copy.deepcopy(network.state_dict()), {"input": torch.rand(5, 6)}
    state = torch.get_rng_state()
    training_memory(network, summed, batch)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(network[0].weight.grad, torch.ones(4, 6))
    assert network[0].bias.grad is None
    assert not any(module.training for module in network.modules())


def test_eight_bit_state():
    """Two bytes a weight and two scales for each 256, but eight bytes a weight in tensors below 4,096 values."""
    pytest.importorskip("bitsandbytes")
    parameters = [nn.Parameter(torch.zeros(*shape, device="meta")) for shape in ((64, 80), (64, 80), (80,))]
    found = optimizer_bytes(parameters, TrainingSettings(optimizer="adamw8bit"))
    assert found == 2 * (2 * 5120 + 2 * 4 * 20) + 8 * 80 + 2 * 4 * 256  # the levels of both moments, once
    assert optimizer_bytes(parameters, TrainingSettings(optimizer="adamw")) == 8 * 10320 + 3 * 4


def test_the_account_needs_no_memory_and_holds_on_the_cpu():
    network = build_encoder(bands=8, image_size=32, preset="tiny")
    here = training_memory(network, summed, {"input": torch.rand(2, 8, 32, 32)})
    shapes = copy.deepcopy(network).to("meta")
    assert training_memory(shapes, summed, {"input": torch.rand(2, 8, 32, 32, device="meta")}) == here


def test_without_memory_networks_may_do_what_they_do_on_a_cpu():
    """Autocast, constants with values, generators: none of them is there on `meta`."""

    class Varied(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, inputs):
            with torch.autocast(inputs.device.type, torch.bfloat16):
                image = self.layer(inputs)
            order = torch.tensor([5, 4, 3, 2, 1, 0])
            image = image.float()[:, order] * int(torch.bincount(order).sum())
            return image * torch.rand(image.shape, generator=torch.Generator(image.device)).tanh()

    account = training_memory(Varied(), summed, {"input": torch.rand(5, 6)})
    shapes = copy.deepcopy(Varied()).to("meta")
    assert training_memory(shapes, summed, {"input": torch.rand(5, 6, device="meta")}) == account
    assert all(parameter.is_meta for parameter in shapes.parameters())
    # the input in bfloat16 for the weights' gradient, the order, the random factors
    assert account.activations_bytes == 2 * 5 * 6 + 8 * 6 + 4 * 5 * 6


def test_values_cannot_be_looked_at_without_memory():
    class Looking(nn.Linear):
        def forward(self, inputs):
            return super().forward(inputs if inputs.sum() > 0 else -inputs)

    here = training_memory(Looking(6, 3), summed, {"input": torch.ones(5, 6)})
    account = training_memory(Looking(6, 3).to("meta"), summed, {"input": torch.ones(5, 6, device="meta")})
    assert (account.activations_bytes, account.total_bytes) == (None, None)
    assert account.optimizer_bytes == here.optimizer_bytes
    assert here.activations_bytes == 0


def test_the_papers_networks_at_batch_32():
    """ViT-S/4 on 202 x 128 x 128 pixels: what its blocks save, counted by hand."""
    encoders = {}
    for checkpointing in (False, True):
        with torch.device("meta"):
            encoder = build_encoder(bands=202, image_size=128, checkpointing=checkpointing)
        batch = {"input": torch.zeros(32, 202, 128, 128, device="meta")}
        encoders[checkpointing] = training_memory(encoder, summed, batch)
    full, light = encoders[False], encoders[True]
    assert full.parameters == full.trainable == 22_929_792
    assert full.gradients_bytes == full.weights_bytes == 4 * 22_929_792
    assert full.batch_bytes == 4 * 32 * 202 * 128**2
    # A token has 384 values. Results of norm 1, q, k, v, attention, norm 2, and 4 + 4 within the perceptron; the inputs
    # of both norms; mean and deviation of each norm, and a number per head of the attention.
    tokens = 32 * 1025
    block = tokens * (4 * 384 * (1 + 3 + 1 + 1 + 4 + 4 + 2) + 4 * (2 * 2 + 6))
    assert full.activations_bytes == 12 * block + tokens * (4 * 384 + 2 * 4)  # and the last norm
    assert light.activations_bytes == 12 * tokens * 4 * 384 + tokens * (4 * 384 + 2 * 4)
    frozen = training_memory(encoder.requires_grad_(False), summed, batch)
    assert frozen.activations_bytes == 0  # although checkpointing looks at the inputs of blocks
    with torch.device("meta"):
        head = build_head("unet", bands=202, patch=4, width=384)
    features = {"input": torch.zeros(1, 384, 32, 32, device="meta"), "noisy": batch["input"][:1]}
    account = training_memory(head, lambda net, b: net(b["input"], b["noisy"]).sum(), features)
    assert account.parameters == 12_101_578
    assert account.activations_bytes == 150 * MIB


def test_packed_weights_count_as_weights():
    pytest.importorskip("bitsandbytes")
    from hsipipe.nets.lora import adapt

    network = build_encoder(bands=8, image_size=32, preset="tiny")
    plain = training_memory(network, summed, {"input": torch.rand(1, 8, 32, 32)})
    adapt(network, rank=2, quantisation="nf4", double_quantisation=False)
    packed = training_memory(network, summed, {"input": torch.rand(1, 8, 32, 32)})
    assert packed.parameters == plain.parameters + packed.trainable
    shapes = {"input": torch.rand(1, 8, 32, 32, device="meta")}
    assert training_memory(copy.deepcopy(network).to("meta"), summed, shapes) == packed
    # four blocks of 4 x 96 x 96 weights: half a byte each, and a scale of four bytes for each 64
    saved = 4 * 4 * 96 * 96 * (4 - 0.5 - 4 / 64)
    assert plain.weights_bytes - packed.weights_bytes == pytest.approx(saved - 4 * packed.trainable, rel=0.01)
