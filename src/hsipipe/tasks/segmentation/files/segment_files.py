"""Cluster a file or an array of spectra, and write the map, its spectra and what labels other images."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.methods import Method, find_method, methods_of
from hsipipe.scenes.scene import Item
from hsipipe.tasks.defaults import DEFAULT_METHODS
from hsipipe.tasks.segmentation.case import Image
from hsipipe.tasks.segmentation.files.encoders import DEFAULT_ENCODER, NO_ENCODER, fit_encoder
from hsipipe.tasks.segmentation.files.inputs import check_distinct, image_of, read_spectra
from hsipipe.tasks.segmentation.files.maps import check_form, check_map_output, write_labels
from hsipipe.tasks.segmentation.files.saved_clusters import KINDS, SavedClusters, load_clusters, save_clusters
from hsipipe.tasks.segmentation.files.tables import is_table, item_of_spectra, write_columns
from hsipipe.tasks.segmentation.label_maps import make_legend
from hsipipe.tasks.segmentation.segment import segment_image
from hsipipe.tasks.segmentation.shared.preparation import Preparation
from hsipipe.tasks.segmentation.shared.spectra import member_means, member_medoids

if TYPE_CHECKING:
    from hsipipe.tasks.segmentation.autoencoder import TrainedAutoencoder

OF_NEIGHBOURS = "superpixels"  # the clustering that a table of spectra, whose rows are no neighbours, cannot have


@dataclass(frozen=True)
class SegmentOptions:
    """How to cluster.

    Attributes: method (a clustering); settings (of it, those that differ from its defaults); clusters (None: chosen by
    the BIC of a Gaussian mixture); encoder (a name of `encoder_names`, fitted to the scene itself, or `none` for the
    spectra themselves); model (the file of a trained autoencoder, in place of `encoder`); latent and encoder_settings
    (of the encoder); seed; device (of torch, for the encoder).
    """

    method: str = DEFAULT_METHODS["segmentation"]
    settings: Mapping[str, Any] = field(default_factory=dict)
    clusters: int | None = None
    encoder: str = DEFAULT_ENCODER
    model: str | Path | None = None
    latent: int | None = None
    encoder_settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    device: str = "cpu"

    def complete(self, *, table: bool = False) -> tuple[Method, dict[str, Any]]:
        """The method and all its settings; of a `table` nothing is smoothed.

        Raises:
            UserError: no clustering of this name, a setting that it does not have, or one that a table cannot have.
        """
        clusterings = [name for name, method in methods_of("segmentation").items() if method.kind == "per-scene"]
        method = find_method("segmentation", self.method)
        if method.name not in clusterings:
            found, remedy = f"{method.name}, which is {method.kind}", f"choose one of {', '.join(clusterings)}"
            raise UserError("is no clustering", key="method", found=found, remedy=remedy)
        given = dict(self.settings)
        if "encoder" in given:
            raise UserError("is no setting of the clustering here", key="encoder", remedy="say --encoder or --model")
        if self.clusters is not None:
            if given.get("clusters", self.clusters) != self.clusters:
                raise UserError("is given twice", key="clusters", found=f"{self.clusters} and {given['clusters']}")
            given["clusters"] = self.clusters
        if table:
            given = _without_places(method, given)
        if self.model is not None and (self.latent is not None or self.encoder_settings):
            raise UserError("a trained model has its settings", key="latent", remedy="leave it out")
        if self.encoder == NO_ENCODER and self.model is None and (self.latent is not None or self.encoder_settings):
            raise UserError("there is no encoder to set", key="latent", remedy="leave it out, or choose an encoder")
        return method, method.complete(given)


@dataclass(frozen=True)
class Segmentation:
    """A clustered image.

    Attributes:
        labels: (rows, cols) int32, 1 to K, 0 without a measurement.
        clusters: what labels other images, see `SavedClusters`.
        spectra: kind -> (K, bands), of this image: `member`, the mean of the members; `medoid`, the member nearest to
            it; `decoded`, what the autoencoder makes of the mean latent, where it can.
        seconds: of encoding and clustering, without reading and writing.
        image: what was clustered.
    """

    labels: np.ndarray
    clusters: SavedClusters
    spectra: dict[str, np.ndarray]
    seconds: float
    image: Image

    @property
    def sizes(self) -> list[int]:
        """How many pixels each cluster has, from the first to the K-th."""
        return np.bincount(self.labels.ravel(), minlength=self.clusters.count + 1)[1:].tolist()

    def report(self) -> dict[str, Any]:
        """What was found, as plain values."""
        saved = self.clusters
        encoder = saved.encoder
        return {
            "clusters": saved.count,
            "chosen_by": saved.found.get("chosen_by", "user"),
            "pixels": int(self.image.valid.sum()),
            "sizes": self.sizes,
            "method": saved.method.name,
            "encoder": None if encoder is None else encoder.method.name,
            "latent": None if encoder is None else int(encoder.network.latent),
            "seconds": round(self.seconds, 3),
        }


def segment_spectra(
    spectra: np.ndarray, *, wavelength_nm: np.ndarray | None = None, options: SegmentOptions | None = None
) -> Segmentation:
    """Cluster an array: a table of spectra (N, bands), whose labels are (N, 1), or a cube (bands, rows, cols).

    Args:
        spectra: in any unit; spectra with NaN, and those that are zero throughout, get the label 0.
        wavelength_nm: (bands,), or None if not known.
        options: None for the defaults.

    Raises:
        UserError: fewer spectra than clusters, nothing valid, or options that cannot be.
    """
    return segment_item(item_of_spectra(spectra, wavelength_nm=wavelength_nm), options or SegmentOptions())


def segment_item(item: Item, options: SegmentOptions) -> Segmentation:
    """Cluster an item, see `segment_spectra`."""
    method, settings = options.complete(table=is_table(item))
    image = image_of(item)
    if options.model is not None or options.encoder != NO_ENCODER:
        import hsipipe.tasks.segmentation.autoencoder  # noqa: F401 -- imports torch, before the clock runs
    started = time.perf_counter()
    encoder = _encoder(image, options)
    made = segment_image(image, method, settings, encoder=encoder, seed=options.seed)
    count = len(made.clusters.means)
    spectra = {"member": made.member_spectra, "medoid": made.medoid_spectra, "decoded": made.decoded_spectra}
    kept = {kind: _padded(values, count) for kind, values in spectra.items() if values is not None}
    saved = SavedClusters(
        method=method,
        settings=settings,
        encoder=encoder,
        state=made.clusters.state,
        labels=made.clusters.labels,
        means=made.clusters.means,
        spectra=kept,
        bands=len(image.cube),
        wavelength_nm=image.wavelength_nm,
        found=made.clusters.found,
    )
    return Segmentation(made.clusters.labels, saved, kept, time.perf_counter() - started, image)


def label_item(item: Item, saved: SavedClusters) -> Segmentation:
    """Label an item by clusters that were found before, in another image; see `SavedClusters.assign`."""
    image = image_of(item)
    started = time.perf_counter()
    labels = (_without_smoothing(saved) if is_table(item) else saved).assign(image)
    spectra = {"member": member_means(image.cube, labels), "medoid": member_medoids(image.cube, labels)[0]}
    kept = {kind: _padded(values, saved.count) for kind, values in spectra.items()}
    return Segmentation(labels, saved, kept, time.perf_counter() - started, image)


def segment_file(
    source: str | Path,
    target: str | Path,
    options: SegmentOptions | None = None,
    *,
    clusters_from: str | Path | None = None,
    spectra: str | Path | None = None,
    save: str | Path | None = None,
    figure: str | Path | None = None,
    device: str = "cpu",
    key: str | None = None,
    layout: str | None = None,
    table: bool = False,
) -> Segmentation:
    """Cluster a file and write its label map, in the format of the extension.

    Args:
        source, key, layout, table: as in `read_spectra`.
        target: .tif (georeferenced, colour table, names), .png (with a legend), .npy, .mat; of a table .npy, .csv or
            .mat.
        options: None for the defaults; not with `clusters_from`.
        clusters_from: a file of `save_clusters`, whose clusters are taken.
        spectra: where the spectra of the clusters go, .csv: a row a band.
        save: where all that labels another image goes, .h5.
        figure: where a picture of map, scene and spectra goes: .png, .svg, .pdf.
        device: of torch, for the encoder of `clusters_from`; otherwise `options` says it.

    Raises:
        UserError: files that cannot be read or written, fewer pixels than clusters, or options that cannot be.
    """
    check_map_output(target)
    suffixes = (("spectra", spectra, (".csv",)), ("save", save, (".h5",)), ("figure", figure, (".png", ".svg", ".pdf")))
    for what, path, allowed in suffixes:
        if path is not None and Path(path).suffix.lower() not in allowed:
            raise UserError(f"is no format for {what}", file=path, remedy=f"choose {' or '.join(allowed)}")
    model = None if options is None else options.model
    check_distinct((source, model, clusters_from), (target, spectra, save, figure))
    if clusters_from is None:
        made_by = options or SegmentOptions()
        made_by.complete()  # before anything large is read
    elif options is not None:
        raise UserError("the clusters are given", file=clusters_from, remedy="leave out what says how to find them")
    saved = None if clusters_from is None else load_clusters(clusters_from, device=device)
    item = read_spectra(source, key=key, layout=layout, table=table)
    check_form(item, target)
    made = segment_item(item, made_by) if saved is None else label_item(item, saved)
    legend = make_legend(range(1, made.clusters.count + 1), word="cluster")
    title = f"{item.name}: {made.clusters.count} clusters"
    write_labels(target, made.labels, legend, item=item, title=title)
    if spectra is not None:
        write_cluster_spectra(spectra, made.spectra, wavelength_nm=made.image.wavelength_nm)
    if save is not None:
        own = replace(made.clusters, labels=made.labels)
        save_clusters(save, own, source=item.source, seed=0 if saved is not None else made_by.seed)
    if figure is not None:
        from hsipipe.tasks.segmentation.files.figure import draw_segmentation

        draw_segmentation(figure, made, legend=legend, title=title, table=is_table(item))
    return made


def write_cluster_spectra(
    path: str | Path, spectra: Mapping[str, np.ndarray], *, wavelength_nm: np.ndarray | None
) -> None:
    """Write spectra of clusters (kind -> (K, bands)) as CSV: `wavelength_nm` (or `band`, from 0), then a column for
    each cluster and kind, such as `member_1`; cells of clusters without members are empty."""
    bands = next(iter(spectra.values())).shape[1]
    centres = np.arange(bands) if wavelength_nm is None else wavelength_nm
    columns = {"band" if wavelength_nm is None else "wavelength_nm": centres}
    for kind in KINDS:
        for number, values in enumerate(spectra.get(kind, ()), start=1):
            columns[f"{kind}_{number}"] = values
    write_columns(path, columns)


def _encoder(image: Image, options: SegmentOptions) -> TrainedAutoencoder | None:
    if options.model is not None:
        from hsipipe.tasks.segmentation.autoencoder import load_autoencoder

        return load_autoencoder(options.model, device=options.device)
    if options.encoder == NO_ENCODER:
        return None
    return fit_encoder(
        image,
        options.encoder,
        latent=options.latent,
        settings=options.encoder_settings,
        seed=options.seed,
        device=options.device,
    )


def _without_places(method: Method, given: dict[str, Any]) -> dict[str, Any]:
    """Settings for a table of spectra, whose rows are no neighbours: nothing is smoothed."""
    if method.name == OF_NEIGHBOURS:
        remedy = "choose kmeans or gmm"
        raise UserError("a table of spectra has no neighbours to group", key="method", found=method.name, remedy=remedy)
    for name, nothing in (("smoothing", "none"), ("coordinate_weight", 0)):
        if given.get(name, nothing) != nothing:
            raise UserError("a table of spectra has no places", key=name, found=given[name], remedy="leave it out")
    return {**given, "smoothing": "none"}


def _without_smoothing(saved: SavedClusters) -> SavedClusters:
    """The same clusters for a table of spectra."""
    plain = replace(Preparation.from_state(saved.state), smoothing="none")
    return replace(saved, state={**saved.state, **plain.to_state()})


def _padded(spectra: np.ndarray, count: int) -> np.ndarray:
    """Spectra (K, bands) of `count` clusters, of which the last may have no members."""
    missing = np.full((count - len(spectra), spectra.shape[1]), np.nan, np.float32)
    return np.concatenate([spectra, missing])
