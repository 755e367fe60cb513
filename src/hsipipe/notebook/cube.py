"""`Cube`: a hyperspectral image in memory, with what can be done to it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.scenes.scene import Item

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

    from hsipipe.notebook.label_map import LabelMap


@dataclass(frozen=True)
class Cube:
    """A hyperspectral (or multispectral) image. Every verb returns a new one; nothing is changed in place.

    Attributes:
        item: the data, as every part of the package takes them.
    """

    item: Item

    @property
    def values(self) -> np.ndarray:
        """(bands, rows, cols) in the units of the file."""
        return self.item.cube

    @property
    def shape(self) -> tuple[int, int, int]:
        """Bands, rows, columns."""
        bands, rows, cols = self.item.cube.shape
        return bands, rows, cols

    @property
    def wavelength_nm(self) -> np.ndarray | None:
        """(bands,) centres, or None if the file does not tell."""
        return self.item.wavelength_nm

    @property
    def valid(self) -> np.ndarray:
        """(rows, cols) bool: where something was measured."""
        return self.item.valid

    @property
    def labels(self) -> np.ndarray | None:
        """(rows, cols) integers, 0 = unlabelled, or None."""
        return self.item.labels

    def __repr__(self) -> str:
        bands, rows, cols = self.shape
        nm = self.wavelength_nm
        span = "wavelengths unknown" if nm is None else f"{min(nm):.0f} to {max(nm):.0f} nm"
        valid = "" if self.valid.all() else f", {self.valid.mean():.1%} of the pixels valid"
        return f"<Cube {self.item.name!r}: {rows} x {cols} pixels, {bands} bands, {span}, {self.values.dtype}{valid}>"

    def save(self, path: str | Path) -> Path:
        """Write it in the format of the extension (.tif .hdr .bil .bsq .bip .npy .mat .h5), as `hsipipe convert` does.

        Returns:
            The path.
        """
        from hsipipe.scenes.writers import write_image

        write_image(path, self.item)
        return Path(path)

    def to_xarray(self) -> xarray.DataArray:
        """As `xarray.DataArray` (band, y, x) with wavelengths, map coordinates and a mask; see `to_xarray`."""
        from hsipipe.notebook.arrays import to_xarray

        return to_xarray(self.item)

    def select_bands(self, strategy: str = "uniform", count: int | None = None, **settings: Any) -> Cube:
        """Only some bands, chosen by a strategy of `hsipipe bands`."""
        from hsipipe.bands.sample import SPECTRA, sample_spectra
        from hsipipe.bands.selection import fit_bands

        given = {"strategy": strategy, **({} if count is None else {"count": count}), **settings}
        item = self.item
        spectra = sample_spectra(item.cube, item.valid, SPECTRA, "spectra", given.get("seed", 0), item.name)
        chosen = fit_bands(given, wavelength_nm=item.wavelength_nm, good_bands=item.good_bands, spectra=spectra)
        return Cube(item.with_bands(chosen.indices))

    def degrade(self, noise: str, *, seed: int = 0) -> Cube:
        """With synthetic noise: a preset, or such as `gaussian:sigma=0.1+stripe:fraction=0.2,intensity=0.3`."""
        from hsipipe.degrade.item import degrade_item
        from hsipipe.degrade.noise import parse_noise

        return Cube(degrade_item(self.item, parse_noise(noise), seed=seed))

    def denoise(
        self,
        method: str | None = None,
        *,
        model: str | Path | None = None,
        tile: int | None = None,
        device: str = "cpu",
        **settings: Any,
    ) -> Cube:
        """Denoised, in the same units; invalid pixels and dead bands pass through.

        Args:
            method: an untrained method (`hsipipe methods --task denoising`); None: `blind`.
                destripe+NAME destripes first.
            model: a trained model (model.pt), in place of `method`.
            tile: side of overlapped tiles, for less working memory; None: whole.
            device: cpu or cuda.
            settings: of the method.

        Raises:
            UserError: no such method or setting, or nothing to denoise.
        """
        from hsipipe.tasks.denoising.apply import choose_denoiser, denoise_item, make_denoiser

        chosen, complete = choose_denoiser(method, model, settings)
        denoiser = make_denoiser(chosen, complete, model=model, device=device)
        return Cube(denoise_item(self.item, denoiser, tile=tile))

    def fuse(self, msi: Cube, method: str | None = None, *, psf: Any = None, srf: Any = None, **settings: Any) -> Cube:
        """Sharpened by a multispectral image of the same place, as `hsipipe fuse` does.

        Args:
            msi: the finer image; its sides are whole multiples of this one's, or georeferenced alike.
            method: of fusion; None: `subspace_map`.
            psf: a name or specification; None: estimated from the pair.
            srf: a named response, a table or a file; None: by the wavelengths of `msi`, or estimated.
            settings: of the method.

        Raises:
            UserError: images that are no pair, or a method or setting that does not exist.
        """
        from hsipipe.methods import find_method
        from hsipipe.scenes.readers import read_image
        from hsipipe.tasks.defaults import DEFAULT_METHODS
        from hsipipe.tasks.fusion.files.fuse_files import FuseOptions, fuse_files

        chosen = find_method("fusion", method or DEFAULT_METHODS["fusion"])
        if psf is not None and "psf_source" in chosen.settings:
            settings = {"psf_source": "known", **settings}
        # Files are what the matching of a pair works on: they need not fit into memory there.
        with tempfile.TemporaryDirectory(prefix="hsipipe-") as folder:
            paths = [Path(folder) / name for name in ("hsi.h5", "msi.h5", "fused.h5")]
            self.save(paths[0])
            msi.save(paths[1])
            options = FuseOptions(psf=psf, srf=srf, quiet=True)
            fuse_files(*paths, method=chosen, settings=chosen.complete(settings), options=options)
            fused = read_image(paths[2])
        source = {**fused.source, "path": None, "format": "array"}
        return Cube(replace(fused, name=self.item.name, source=source))

    def segment(self, clusters: int | None = None, method: str | None = None, **options: Any) -> LabelMap:
        """A map of clusters of pixels with like spectra, as `hsipipe segment` makes it.

        Args:
            clusters: how many; None: by the BIC of a Gaussian mixture.
            method: kmeans, gmm or superpixels; None: kmeans.
            options: of `SegmentOptions`: encoder, model, latent, settings, encoder_settings, seed, device.
        """
        from hsipipe.notebook.label_map import LabelMap
        from hsipipe.tasks.defaults import DEFAULT_METHODS
        from hsipipe.tasks.segmentation.files.segment_files import SegmentOptions, segment_item
        from hsipipe.tasks.segmentation.label_maps import make_legend

        made = segment_item(
            self.item, SegmentOptions(method=method or DEFAULT_METHODS["segmentation"], clusters=clusters, **options)
        )
        legend = make_legend(range(1, made.clusters.count + 1), word="cluster")
        return LabelMap(made.labels, legend, self.item, spectra=made.spectra.get("member"))

    def classify(self, model: str | Path) -> LabelMap:
        """A map of classes by a trained classifier (model.pt), as `hsipipe classify` makes it."""
        from hsipipe.notebook.label_map import LabelMap
        from hsipipe.tasks.segmentation.classifier import load_classifier
        from hsipipe.tasks.segmentation.files.classify_files import classify_item

        made = classify_item(self.item, load_classifier(model))
        return LabelMap(made.codes, made.legend, self.item, confidence=made.confidence)

    def encode(self, model: str | Path, *, device: str = "cpu") -> Cube:
        """The latents of a trained autoencoder (model.pt), one a band."""
        from hsipipe.tasks.segmentation.autoencoder import load_autoencoder
        from hsipipe.tasks.segmentation.files.latents import encode_item

        return Cube(encode_item(self.item, load_autoencoder(model, device=device)))

    def score(self, truth: Cube) -> dict[str, float]:
        """How near it is to the truth by the scores of denoising, each band scaled to [0, 1] by the truth's range.

        Raises:
            UserError: images of different size.
        """
        from hsipipe.tasks.denoising.score import score_items

        if self.shape != truth.shape:
            raise UserError(f"has {self.shape} (bands, rows, cols), the truth has {truth.shape}", key="truth")
        return {name: value for name, value, _ in score_items(truth.item, self.item)}

    def plot(self, bands: Sequence[int] | None = None) -> Figure:
        """A picture of three bands (true colour where there is any), its axes in metres of the map or in pixels."""
        from hsipipe.notebook.pictures import draw_cube

        return draw_cube(self.item, bands)

    def plot_spectra(self, pixels: Sequence[tuple[int, int]] = ()) -> Figure:
        """Spectra of pixels (row, column) over wavelength; without pixels the mean, and where the middle 90 % lie."""
        from hsipipe.notebook.pictures import draw_spectra

        return draw_spectra(self.item, pixels)
