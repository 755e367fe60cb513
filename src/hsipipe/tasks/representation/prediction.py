"""The embeddings of a run, and what was found of the encoder that made them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from hsipipe import __version__
from hsipipe.files import atomic_path
from hsipipe.hdf5 import attach_axes, open_checked, read_strings, write_strings

FORMAT = "hsipipe-embeddings-1"
AXES = {
    "embeddings": ("item", "dimension"),
    "first_bands": ("item", "dimension"),
    "second_bands": ("item", "dimension"),
    "bands": ("band",),
    "window_nm": ("window",),
    "effect": ("window",),
    "effect_sd": ("window",),
    "accuracy_drop": ("window",),
    "margin_drop": ("window",),
}
ARRAYS = tuple(name for name in AXES if name != "embeddings")


@dataclass(frozen=True)
class Embeddings:
    """Attributes: names of the images; values (N, D) float32; seed of the run, which says what was left out; more:
    further arrays, of the names in `ARRAYS`: first_bands and second_bands (N, D), embeddings that see every other band
    and the others; bands, places among the case's; window_nm (W,), centres of windows of wavelength, effect and
    effect_sd (W,), how far embeddings move without the window (cosine distance), accuracy_drop and margin_drop (W,),
    what a probe loses.
    """

    names: list[str]
    values: np.ndarray
    seed: int
    more: dict[str, np.ndarray] = field(default_factory=dict)


def write_embeddings(path: str | Path, made: Embeddings) -> None:
    """Write a file of embeddings, atomically."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({"format": FORMAT, "code_version": __version__, "seed": made.seed})
        write_strings(file, "item", made.names)
        file["embeddings"] = np.asarray(made.values, np.float32)
        for name, values in made.more.items():
            file[name] = values
        attach_axes(file, {name: axes for name, axes in AXES.items() if name in file})


def read_embeddings(path: str | Path) -> Embeddings:
    """Read what `write_embeddings` wrote."""
    with open_checked(path, FORMAT, "run the method again") as file:
        more = {name: file[name][()] for name in ARRAYS if name in file}
        return Embeddings(read_strings(file, "item"), file["embeddings"][()], int(file.attrs["seed"]), more)
