"""Cluster one image, and tell the spectra of its clusters; the workflow and the command line both come through here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hsipipe.methods import Method
from hsipipe.tasks.segmentation.case import Image
from hsipipe.tasks.segmentation.shared.clusters import Clusters
from hsipipe.tasks.segmentation.shared.spectra import member_means, member_medoids

if TYPE_CHECKING:
    from hsipipe.tasks.segmentation.autoencoder import TrainedAutoencoder


@dataclass(frozen=True)
class Segmented:
    """Attributes: clusters; latents (z, rows, cols) that were clustered; member_spectra and medoid_spectra (K, bands):
    the mean and the most central spectrum of each cluster's pixels, NaN without any; decoded_spectra (K, bands): what
    the autoencoder makes of each cluster's mean latent, or None where it decodes no latents alone or there is none.
    """

    clusters: Clusters
    latents: np.ndarray
    member_spectra: np.ndarray
    medoid_spectra: np.ndarray
    decoded_spectra: np.ndarray | None


def segment_image(
    image: Image,
    method: Method,
    settings: Mapping[str, Any],
    *,
    encoder: TrainedAutoencoder | None,
    seed: int,
    clusters: int | None = None,
) -> Segmented:
    """Encode an image, cluster its latents, and gather the spectra of the clusters.

    Args:
        image: what to cluster.
        method, settings: a clustering and its complete settings; `encoder` among them is not read.
        encoder: whose latents are clustered; None: the spectra themselves.
        seed: of the clustering.
        clusters: how many, where the settings do not say; None: the method chooses.

    Raises:
        UserError: fewer pixels than clusters, or bands that the encoder cannot serve.
    """
    parameters = np.zeros((int(image.valid.sum()), 0), np.float32)
    latents = image.cube
    if encoder is not None:
        encoder = encoder.for_bands(len(image.cube), image.wavelength_nm)
        latents, parameters = encoder.encode_image(image.cube, image.valid)
    given = {name: value for name, value in settings.items() if name not in ("encoder", "clusters")}
    count = settings.get("clusters") or clusters
    found = method.load().cluster(latents, valid=image.valid, clusters=count, seed=seed, **given)
    decoded = None
    if encoder is not None and not getattr(encoder.network, "skip_connections", False):
        decoded = _decode(encoder, found.means, parameters, found.labels[image.valid])
    medoids, _ = member_medoids(image.cube, found.labels)
    return Segmented(found, latents, member_means(image.cube, found.labels), medoids, decoded)


def _decode(encoder: TrainedAutoencoder, means: np.ndarray, parameters: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The spectra (K, bands) of mean latents (K, z), with the mean parameters of each cluster's pixels."""
    count = len(means)
    sizes = np.maximum(np.bincount(labels - 1, minlength=count), 1)
    own = [np.bincount(labels - 1, column, count) / sizes for column in parameters.T]
    mean_parameters = np.stack(own, axis=1) if own else np.zeros((count, 0))
    spectra = encoder.decode(np.nan_to_num(means), mean_parameters.astype(np.float32))
    return np.where(np.isfinite(means).all(axis=1, keepdims=True), spectra, np.nan).astype(np.float32)
