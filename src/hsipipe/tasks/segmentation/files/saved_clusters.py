"""A clustering as a file: labels, spectra, and all that labels another image the same way."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from hsipipe import __version__
from hsipipe.bands.matching import match_bands
from hsipipe.files import atomic_path
from hsipipe.hdf5 import attach_axes, open_checked
from hsipipe.methods import Method, find_method
from hsipipe.tasks.segmentation.case import Image

if TYPE_CHECKING:
    from hsipipe.tasks.segmentation.autoencoder import TrainedAutoencoder

FORMAT = "hsipipe-clusters-1"
KINDS = ("member", "medoid", "decoded")  # of a cluster's spectrum
AXES = {
    "labels": ("row", "col"),
    "means": ("cluster", "latent"),
    **{f"{kind}_spectra": ("cluster", "band") for kind in KINDS},
    "wavelength_nm": ("band",),
}


@dataclass(frozen=True)
class SavedClusters:
    """Attributes: method; settings; encoder (None: the spectra themselves were clustered); state (arrays, see
    `Clusters`); labels (rows, cols) int32 of the image that the clusters were found in; means (K, z); spectra (kind ->
    (K, bands)); bands and wavelength_nm ((bands,) or None) of that image; found (facts); path: of the file, for
    messages.
    """

    method: Method
    settings: dict[str, Any]
    encoder: TrainedAutoencoder | None
    state: dict[str, np.ndarray]
    labels: np.ndarray
    means: np.ndarray
    spectra: dict[str, np.ndarray]
    bands: int
    wavelength_nm: np.ndarray | None
    found: dict[str, Any]
    path: str | Path = ""

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return len(self.means)

    def assign(self, image: Image) -> np.ndarray:
        """The clusters of another image: (rows, cols) int32, 1 to K, 0 where not valid.

        Raises:
            UserError: bands that cannot be brought to those that the clusters were found in.
        """
        if self.encoder is not None:
            encoder = self.encoder.for_bands(len(image.cube), image.wavelength_nm)
            latents = encoder.encode_image(image.cube, image.valid)[0]
        else:
            latents = image.cube
            matching = match_bands(
                self.wavelength_nm, image.wavelength_nm, needed=self.bands, given=len(image.cube), path=self.path
            )
            if matching is not None:
                latents = np.tensordot(matching.there, latents, axes=1)
        labels: np.ndarray = self.method.load().assign(self.state, latents, image.valid)
        return labels


def save_clusters(path: str | Path, saved: SavedClusters, *, source: dict[str, Any], seed: int) -> None:
    """Write the file (HDF5, opens in xarray): `labels`, `means`, spectra, `state/...`, and the encoder's model file.

    Args:
        path: where.
        saved: what to write.
        source: of the image, for provenance.
        seed: of the clustering.
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        told = {"settings": saved.settings, "found": saved.found, "source": source}
        file.attrs.update({"format": FORMAT, "code_version": __version__, "method": saved.method.name, "seed": seed})
        file.attrs.update({name: json.dumps(value, default=str) for name, value in told.items()})
        file.attrs["bands"] = saved.bands
        file["labels"] = saved.labels
        file["means"] = saved.means
        for kind, values in saved.spectra.items():
            file[f"{kind}_spectra"] = values
        if saved.wavelength_nm is not None:
            file["wavelength_nm"] = np.asarray(saved.wavelength_nm, np.float64)
            file["wavelength_nm"].attrs["units"] = "nm"
        for name, values in saved.state.items():
            file[f"state/{name}"] = values
        if saved.encoder is not None:
            file["encoder"] = np.frombuffer(_model_file(saved.encoder), np.uint8)
        attach_axes(file, AXES)


def load_clusters(path: str | Path, *, device: str = "cpu") -> SavedClusters:
    """Read a file that `save_clusters` wrote.

    Raises:
        UserError: another kind of file.
    """
    remedy = "give a file that `hsipipe segment --save-clusters` wrote"
    with open_checked(path, FORMAT, remedy) as file:
        encoder = None
        if "encoder" in file:
            encoder = _read_model(file["encoder"][()].tobytes(), path, device)
        return SavedClusters(
            method=find_method("segmentation", str(file.attrs["method"]), file=path),
            settings=json.loads(file.attrs["settings"]),
            encoder=encoder,
            state={name: values[()] for name, values in file["state"].items()},
            labels=file["labels"][()],
            means=file["means"][()],
            spectra={kind: file[f"{kind}_spectra"][()] for kind in KINDS if f"{kind}_spectra" in file},
            bands=int(file.attrs["bands"]),
            wavelength_nm=file["wavelength_nm"][()] if "wavelength_nm" in file else None,
            found=json.loads(file.attrs["found"]),
            path=path,
        )


def _model_file(encoder: TrainedAutoencoder) -> bytes:
    """The bytes of the model file of an autoencoder."""
    from hsipipe.tasks.segmentation.autoencoder import save_autoencoder

    with tempfile.TemporaryDirectory(prefix="hsipipe-") as folder:
        path = Path(folder) / "model.pt"
        save_autoencoder(path, encoder, key="")
        return path.read_bytes()


def _read_model(content: bytes, path: str | Path, device: str) -> TrainedAutoencoder:
    from dataclasses import replace

    from hsipipe.tasks.segmentation.autoencoder import load_autoencoder

    with tempfile.TemporaryDirectory(prefix="hsipipe-") as folder:
        file = Path(folder) / "model.pt"
        file.write_bytes(content)
        return replace(load_autoencoder(file, device=device), path=path)
