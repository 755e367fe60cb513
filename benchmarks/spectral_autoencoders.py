"""Spectral autoencoders: spectra per CPU second against deepHSI's network, and errors against PCA's.

python benchmarks/spectral_autoencoders.py [--data FOLDER]

Writes benchmarks/spectral_autoencoders.md. Speed needs no data: random spectra, one thread, CPU time; the networks take
turns, so that a busy machine is busy for all, and the medians of the turns are compared. With --data, the folder of the
shared scenes, ours and PCA are fitted to 70 % of the Indian Pines subset's pixels and scored on the others, with the
defaults of method.yaml.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")})

import itertools

import numpy as np
import torch
from scipy.io import loadmat
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from hsipipe.files import write_text
from hsipipe.methods import find_method
from hsipipe.metrics.spectral import sam_degrees
from hsipipe.settings import settings_from, split
from hsipipe.tasks.segmentation.shared.losses import spectral_loss
from hsipipe.tasks.segmentation.shared.normalisers import fit_normaliser
from hsipipe.training.settings import TrainingSettings

REPORT = Path(__file__).with_suffix(".md")
BANDS, PEER_BANDS = 103, 500  # of the ROSIS sensor; what deepHSI resamples to
TRAIN_BATCH, INFER_BATCH = 1024, 2048
TURNS = 7
SECONDS = 0.4  # CPU time of a network's turn
LATENTS, SEEDS, BLOCK = (3, 5, 10, 32), (0, 1, 2), 10
# Measured earlier on one thread: deepHSI's own network at 500 bands, and deephyp's shapes in torch at 103.
PEERS = """| | train | infer |
|---|---:|---:|
| deepHSI, 500 bands, batch 256 to 4096 / 2048 | 7,200 | 28,000 |
| deephyp's cnn, in torch | 12,900 | 20,100 |
| deephyp's mlp 50-30-10, in torch | 420,000 | 2,460,000 |
| deephyp itself (TensorFlow 2.21, wall time, busy machine), mlp | 47,000 to 153,000 | up to 390,000 |
| deephyp itself, cnn | 3,200 | |"""
PEER_ERRORS = """| scene | method | z | SAM, degrees | CPU s to train |
|---|---|---:|---:|---:|
| Indian Pines subset | deepHSI, 100 epochs | 32 | 6.15 | 51 |
| Indian Pines subset | deephyp's mlp, CSA, 500 epochs | 10 | 2.37 | 32 (wall) |"""


class DeepHSI(nn.Module):
    """The arrangement of deepHSI: each convolution, batch normalisation and tanh a pass of its own."""

    def __init__(self, *, bands: int, latent: int = 32) -> None:
        super().__init__()
        sizes = [1, 4, 8, 12, 16]
        self.lengths = [bands // 2**halvings for halvings in range(5)]
        self.down = nn.ModuleList(nn.Conv1d(*pair, 4, 2, 1) for pair in itertools.pairwise(sizes))
        self.down_norms = nn.ModuleList(nn.BatchNorm1d(size) for size in sizes[1:])
        self.up = nn.ModuleList(
            nn.ConvTranspose1d(*pair, 4, 2, 1) for pair in zip(sizes[:0:-1], sizes[-2::-1], strict=True)
        )
        self.up_norms = nn.ModuleList(nn.BatchNorm1d(size) for size in sizes[3:0:-1])
        flat = 16 * self.lengths[-1]
        self.to_latent, self.from_latent = nn.Linear(flat, latent), nn.Linear(latent, flat)

    def forward(self, spectra: Tensor) -> Tensor:
        """(N, bands) to the same."""
        values = spectra[:, None]
        for layer, norm in zip(self.down, self.down_norms, strict=True):
            values = torch.tanh(norm(layer(values)))
        values = self.from_latent(self.to_latent(values.flatten(1))).unflatten(1, (16, -1))
        for index, layer in enumerate(self.up):
            values = layer(values, output_size=[self.lengths[3 - index]])
            values = torch.tanh(self.up_norms[index](values) if index < 3 else values)
        return values[:, 0]


def own(name: str, **settings: object) -> tuple[nn.Module, dict[str, float]]:
    """A method's network at native bands with its default settings, and the weights of its loss."""
    method = find_method("segmentation", name)
    model, complete = method.load(), method.complete(settings)
    outside = {"normaliser", "loss", "resample"}
    given = {key: value for key, value in split(TrainingSettings, complete)[1].items() if key not in outside}
    network = model.build(bands=BANDS, **given)
    if hasattr(model, "initialise"):
        model.initialise(network, torch.rand(2000, BANDS))
    return network, complete["loss"]


def networks() -> dict[str, tuple[nn.Module, int, dict[str, float]]]:
    """Name to network, number of bands and weights of the loss."""
    made: dict[str, tuple[nn.Module, int, dict[str, float]]] = {
        f"deepHSI's arrangement, {PEER_BANDS} bands, z = 32": (
            DeepHSI(bands=PEER_BANDS),
            PEER_BANDS,
            {"mse": 1.0, "gradient_peer": 0.5},
        )
    }
    for title, name, settings in (
        ("conv, z = 32", "conv", {}),
        ("cnn (deephyp's), z = 5", "cnn", {}),
        ("mlp (deephyp's 50-30-10)", "mlp", {}),
        ("residual (ours), z = 10", "residual", {}),
        ("residual (ours), z = 32", "residual", {"latent": 32}),
        ("pca, z = 32", "pca", {"latent": 32}),
    ):
        network, weights = own(name, **settings)
        made[f"{title}, {BANDS} bands"] = (network, BANDS, weights)
    return made


def rate(step: Callable[[], object], count: int) -> float:
    """Spectra per CPU second of a step that handles `count`."""
    step()
    repeats, start = 0, time.process_time()
    while time.process_time() - start < SECONDS:
        step()
        repeats += 1
    return count * repeats / (time.process_time() - start)


def training_rate(network: nn.Module, bands: int, weights: dict[str, float]) -> float:
    loss, spectra = spectral_loss(weights), torch.rand(TRAIN_BATCH, bands)
    optimizer = torch.optim.Adam(network.train().parameters())

    def step() -> None:
        optimizer.zero_grad()
        loss(network(spectra), spectra).backward()
        optimizer.step()

    return rate(step, TRAIN_BATCH)


def inference_rate(network: nn.Module, bands: int) -> float:
    spectra = torch.rand(INFER_BATCH, bands)
    network.eval()
    with torch.inference_mode():
        return rate(lambda: network(spectra), INFER_BATCH)


def speeds() -> str:
    made = networks()
    train: dict[str, list[float]] = {name: [] for name in made}
    infer: dict[str, list[float]] = {name: [] for name in made}
    for _ in tqdm(range(TURNS), desc="speed", unit="turn"):
        for name, (network, bands, weights) in made.items():
            if any(parameter.requires_grad for parameter in network.parameters()):
                train[name].append(training_rate(network, bands, weights))
            infer[name].append(inference_rate(network, bands))
    reference = next(iter(made))
    rows = ["| network | train | ratio | infer | ratio |", "|---|---:|---:|---:|---:|"]
    for name in made:
        cells = [name]
        for measured in (train, infer):
            if measured[name]:
                # ratios within a turn, where the machine was equally busy for both
                ratio = statistics.median(a / b for a, b in zip(measured[name], measured[reference], strict=True))
                cells += [f"{statistics.median(measured[name]):,.0f}", f"{ratio:.1f}"]
            else:
                cells += ["", ""]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def fitted(name: str, latent: int, spectra: np.ndarray, unseen: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """A method's reconstruction of unseen spectra, and the CPU seconds of its fit."""
    start = time.process_time()
    method = find_method("segmentation", name)
    model, settings = method.load(), method.complete({"latent": latent})
    training = settings_from(TrainingSettings, split(TrainingSettings, settings)[0])
    normaliser = fit_normaliser(settings["normaliser"], spectra)
    inputs = torch.from_numpy(normaliser.apply(spectra)[0])
    torch.manual_seed(seed)
    network = model.build(bands=inputs.shape[1], latent=latent)
    model.initialise(network, inputs)
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if weights:
        loss, optimizer = spectral_loss(settings["loss"]), torch.optim.Adam(weights)
        for step in range(training.total_steps):
            optimizer.param_groups[0]["lr"] = training.learning_rate_at(step)
            batch = inputs[torch.randint(len(inputs), (training.batch_size,))]
            optimizer.zero_grad()
            loss(network(batch), batch).backward()
            optimizer.step()
    seconds = time.process_time() - start
    normalised, parameters = normaliser.apply(unseen)
    with torch.inference_mode():
        back = network.eval()(torch.from_numpy(normalised)).numpy()
    return normaliser.invert(back, parameters), seconds


def training_pixels(rows: int, cols: int, kind: str, seed: int) -> np.ndarray:
    """(rows, cols) bool, 70 %: random pixels, or random blocks."""
    generator = np.random.default_rng(seed)
    if kind == "pixels":
        return generator.random((rows, cols)) < 0.7
    blocks = generator.permutation(-(-rows // BLOCK) * -(-cols // BLOCK)).reshape(-(-rows // BLOCK), -1)
    return np.kron(blocks < 0.7 * blocks.size, np.ones((BLOCK, BLOCK), bool))[:rows, :cols]


def errors(folder: Path) -> str:
    cube = loadmat(folder / "indian_pines" / "Indian_subset.mat")["Indian_subset"].astype(np.float32)
    rows = [
        "| split | z | SAM of PCA | SAM of ours | ± | MSE of ours / PCA | largest | CPU s of ours |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for kind, latent in tqdm([(kind, z) for kind in ("pixels", "blocks") for z in LATENTS], desc="errors"):
        angles: dict[str, list[float]] = {"pca": [], "residual": []}
        ratios, seconds = [], []
        for seed in SEEDS:
            train = training_pixels(*cube.shape[:2], kind, seed)
            spectra, unseen = cube[train], cube[~train]
            squares = {}
            for name in angles:
                back, spent = fitted(name, latent, spectra, unseen, seed)
                angles[name].append(sam_degrees(unseen.T[:, None], back.T[:, None]))
                squares[name] = float(np.mean((back - unseen) ** 2))
            ratios.append(squares["residual"] / squares["pca"])
            seconds.append(spent)
        cells = [kind, str(latent), f"{np.mean(angles['pca']):.3f}", f"{np.mean(angles['residual']):.3f}"]
        cells += [f"{np.std(angles['residual'], ddof=1):.3f}", f"{np.mean(ratios):.2f}", f"{max(ratios):.2f}"]
        rows.append("| " + " | ".join([*cells, f"{np.mean(seconds):.1f}"]) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the shared scenes; without it only speed is measured")
    data = parser.parse_args().data
    torch.set_num_threads(1)
    functional.gelu(torch.zeros(1))  # what is loaded lazily is loaded now
    parts = [
        "# Spectral autoencoders side by side",
        f"Written by `python benchmarks/spectral_autoencoders.py`; one thread, {platform.machine()}, torch "
        f"{torch.__version__}.",
        "## Speed",
        f"Spectra per CPU second, medians of {TURNS} turns: training (batch {TRAIN_BATCH}, Adam, each method's default "
        f"loss) and reconstruction (batch {INFER_BATCH}). Ratios to the first row, of the same turns.",
        speeds(),
        "Measured earlier with the peers' own programs and shapes, for comparison of magnitudes only:",
        PEERS,
    ]
    if data is not None:
        parts += [
            "## Errors on unseen pixels",
            "Indian Pines subset (70 x 70 pixels, 200 bands), in the scene's own units. SAM in degrees, mean and "
            f"standard deviation over {len(SEEDS)} splits with a seed each; 70 % of pixels, or of blocks of "
            f"{BLOCK} x {BLOCK} pixels, for training. Random pixels have neighbours among those trained on: *leaky*.",
            errors(data),
            "The peers, measured earlier with their own programs, normalisations and splits:",
            PEER_ERRORS,
        ]
    text = "\n\n".join(parts) + "\n"
    print(text)
    write_text(REPORT, text)


if __name__ == "__main__":
    main()
