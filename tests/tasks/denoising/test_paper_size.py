"""The paper's networks at their full size: ViT-S with patches of 4 pixels, 202 bands, U-Net head, on a CPU.

LoRA goes through the training loop; the others take a step or two of the optimiser, and those that train no more than
LoRA does take it on a quarter of the image. All recompute their blocks in the backward pass: about 2 GB are enough.
"""

import importlib.util
import math

import pytest
import torch
from torch.nn import functional

from hsipipe.degrade.noise import parse_noise
from hsipipe.metrics.spatial import psnr
from hsipipe.tasks.denoising.fit import squared_error
from hsipipe.tasks.denoising.methods.vit.model import build
from hsipipe.tasks.denoising.training_data import draw_patches
from hsipipe.training.accounting import count_parameters
from hsipipe.training.loop import run_training
from hsipipe.training.settings import TrainingSettings
from hsipipe.training.tiles import apply_network

BANDS, SIDE = 202, 128
FULL, LORA, TRAINED_BY_LORA, HEAD = 35_031_370, 35_326_282, 12_396_490, 12_101_578

needs_four_bits = pytest.mark.skipif(not importlib.util.find_spec("bitsandbytes"), reason="4 bits need bitsandbytes")


def network(adapt):
    torch.manual_seed(0)
    return build(bands=BANDS, image_size=SIDE, preset="small", head="unet", adapt=adapt, checkpointing=True)


def scene():
    """A mixture of three smooth spectra with smooth abundances, (202, 128, 128) in [0, 1]."""
    torch.manual_seed(1)
    abundances = functional.interpolate(torch.rand(1, 3, 8, 8), size=(SIDE, SIDE), mode="bicubic")[0].softmax(0)
    spectra = functional.interpolate(torch.rand(1, 3, 7), size=BANDS, mode="linear", align_corners=True)[0]
    return torch.einsum("eb,ehw->bhw", spectra, abundances)


def noisy_batch(step, side):
    return draw_patches(
        [scene()], step=step, seed=("paper size",), patch=side, bands_per_patch=None, batch_size=1, noise="hyspecnet"
    )


def values(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def moved(model, before):
    return {name for name, value in model.named_parameters() if not torch.equal(value.detach().cpu(), before[name])}


def test_lora_through_the_training_loop(tmp_path):
    model = network("lora")
    counted = count_parameters(model)
    assert (counted.total, counted.trainable) == (LORA, TRAINED_BY_LORA)
    before, losses = values(model), []
    clean = scene()
    noisy = parse_noise("hyspecnet").apply(clean[None], torch.Generator().manual_seed(0))

    def draw_batch(number, device):  # noqa: ARG001  (the same batch at each step, so that losses can be compared)
        return {name: value.to(device) for name, value in noisy_batch(0, SIDE).items()}

    def loss(trained, batch):
        value = squared_error(trained, batch)
        losses.append(float(value.detach()))
        return value

    def validate(trained):
        denoised = apply_network(trained, noisy.to(next(trained.parameters()).device))[0].cpu()
        error = float((denoised - clean).square().mean())
        return {"loss": error, "psnr": psnr(clean.numpy(), denoised.numpy())}

    result = run_training(
        model,
        draw_batch=draw_batch,
        validate=validate,
        loss=loss,
        settings=TrainingSettings(
            epochs=1, steps_per_epoch=2, batch_size=1, optimizer="adamw", learning_rate=1e-4, weight_decay=1e-4
        ),
        state_dir=tmp_path,
        key="paper size",
        seed=0,
        monitor="psnr",
        mode="max",
        rate_factor=model.rate_factor,
        progress=False,
    )
    assert len(losses) == result.steps == 2
    assert losses[1] < losses[0]
    scored = result.history[0]
    assert scored["train_loss"] == pytest.approx(sum(losses) / 2)
    assert result.best_value == scored["psnr"] == pytest.approx(-10 * math.log10(scored["loss"]))
    trained = {name for name, value in result.model.named_parameters() if value.requires_grad}
    assert moved(result.model, before) == trained
    assert sum(name.startswith("head.") for name in trained) == len(list(model.head.parameters()))
    assert {name for name in trained if not name.startswith("head.")} == {
        f"encoder.vit.blocks.{block}.attn.{layer}.lora_{matrix}"
        for block in range(12)
        for layer in ("qkv", "proj")
        for matrix in "ab"
    }


@pytest.mark.parametrize(
    ("adapt", "side", "steps", "total", "trainable"),
    [
        ("full", SIDE, 1, FULL, FULL),
        ("frozen", SIDE // 2, 1, FULL, HEAD),
        # Adapters need two steps: A has no gradient as long as B is zero.
        pytest.param("qlora", SIDE // 2, 2, LORA, TRAINED_BY_LORA, marks=needs_four_bits),
    ],
)
def test_steps_of_the_others(adapt, side, steps, total, trainable):
    model = network(adapt).train()
    counted = count_parameters(model)
    assert (counted.total, counted.trainable) == (total, trainable)
    before = values(model)
    learning = {name: value for name, value in model.named_parameters() if value.requires_grad}
    optimizer = torch.optim.AdamW(learning.values(), 1e-4, weight_decay=1e-4)
    for step in range(steps):
        optimizer.zero_grad()
        loss = squared_error(model, noisy_batch(step, side))
        loss.backward()
        optimizer.step()
        assert torch.isfinite(loss)
    assert all(torch.isfinite(value.grad).all() for value in learning.values())
    assert moved(model, before) == set(learning)
    assert all(value.grad is None for name, value in model.named_parameters() if name not in learning)
