"""Facts about the EnMAP sensor: its 224 band centres and widths, and which of them HySpecNet-11k keeps."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hsipipe.errors import UserError


class EnmapBands(NamedTuple):
    """The bands of EnMAP's Level-2A product, in the sensor's order (which is not monotonic at the detectors' overlap).

    Attributes:
        wavelength_nm: (224,) band centres; band 92 lies below band 91, where VNIR and SWIR detectors overlap.
        fwhm_nm: (224,) full widths at half maximum.
        hyspecnet: (224,) bool; True for the 202 bands of HySpecNet-11k's `-DATA.npy` files.
    """

    wavelength_nm: np.ndarray
    fwhm_nm: np.ndarray
    hyspecnet: np.ndarray


@cache
def enmap_bands() -> EnmapBands:
    """Band centres and widths (nm) from the band metadata of a Level-2A product, and HySpecNet-11k's choice.

    HySpecNet-11k drops the bands 127-141 and 161-167 (1-based): strong water-vapour absorption (Fuchs and Demir,
    "HySpecNet-11k: a large-scale hyperspectral dataset for benchmarking learning-based hyperspectral image
    compression methods", IGARSS 2023, section 2). Centres shift by fractions of a nanometre between acquisitions.
    """
    table = np.loadtxt(Path(__file__).with_name("enmap_bands.csv"), delimiter=",", skiprows=1)
    return EnmapBands(table[:, 1], table[:, 2], table[:, 3].astype(bool))


def enmap_product_bands(path: str | Path, bands: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Band centres and widths (nm) of an EnMAP product's X-SPECTRAL_IMAGE.TIF, which carries none itself.

    They come from X-METADATA.XML beside it, or else from `enmap_bands`.

    Args:
        path: the image.
        bands: it has.

    Returns:
        (bands,) float64 each, or None if the file is not such an image.

    Raises:
        UserError: unreadable metadata.
    """
    file = Path(path)
    named = re.fullmatch(r"(.*)-SPECTRAL_IMAGE(?:_COG)?\.TIFF?", file.name, re.IGNORECASE)
    if named is None or bands != len(enmap_bands().wavelength_nm):
        return None
    metadata = file.with_name(f"{named.group(1)}-METADATA.XML")
    if not metadata.is_file():
        return enmap_bands().wavelength_nm, enmap_bands().fwhm_nm
    try:
        nodes = list(ElementTree.parse(metadata).iterfind(".//bandCharacterisation/bandID"))
        pairs = [
            (float(node.findtext("wavelengthCenterOfBand", "")), float(node.findtext("FWHMOfBand", "")))
            for node in nodes
        ]
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError("is not readable EnMAP metadata", file=metadata, found=error) from error
    if len(pairs) != bands:
        raise UserError("describes other bands than its image has", file=metadata, found=f"{len(pairs)} for {bands}")
    table = np.array(pairs)
    return table[:, 0], table[:, 1]
