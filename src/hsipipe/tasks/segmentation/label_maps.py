"""Label maps as files that other programs open: GeoTIFF with colours and names, picture with legend, bare arrays."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from hsipipe.errors import UserError
from hsipipe.files import atomic_path, write_text

SUFFIXES = (".tif", ".tiff", ".png", ".npy", ".mat")
# The first seven are M. Okabe and K. Ito's (Color universal design, 2008). The others were chosen one by one, each the
# farthest in OKLab from white and from all before it, by the least distance that normal, protanopic and deuteranopic
# eyes see (G. M. Machado, M. M. Oliveira and L. A. F. Fernandes, IEEE TVCG 15(6), 2009, doi:10.1109/TVCG.2009.113).
PALETTE = (
    "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#2d0f00", "#000087", "#693c2d",
    "#0000ff", "#c3d2b4", "#5a87ff", "#2d4b78", "#0f0f3c", "#5a6969", "#2d2db4", "#b4d2ff", "#2d2d4b", "#a5b487",
)  # fmt: skip
BACKGROUND = "#ffffff"


@dataclass(frozen=True)
class Legend:
    """What the codes of a map mean. Attributes: codes, above 0; names; colours (#rrggbb), one for each code."""

    codes: tuple[int, ...]
    names: tuple[str, ...]
    colours: tuple[str, ...]


def make_legend(codes: Sequence[int], names: Sequence[str] | Mapping[int, str] = (), *, word: str = "class") -> Legend:
    """Names and colours for codes.

    Args:
        codes: above 0, without repetition.
        names: of the codes 1, 2, ... in order, or by code; codes without one are called `word` and their number.
        word: class or cluster.

    Returns:
        with the colours of `PALETTE` in the order of the codes; from the 21st on they repeat.

    Raises:
        UserError: a code of 0 or below, or one that repeats.
    """
    if any(code <= 0 for code in codes) or len(set(codes)) != len(codes):
        raise UserError("codes of a legend must be above 0 and differ", found=list(codes))
    by_code = dict(names) if isinstance(names, Mapping) else dict(enumerate(names, start=1))
    ordered = sorted(int(code) for code in codes)
    return Legend(
        tuple(ordered),
        tuple(by_code.get(code, f"{word} {code}") for code in ordered),
        tuple(PALETTE[number % len(PALETTE)] for number in range(len(ordered))),
    )


def check_label_map(path: str | Path) -> Path:
    """The path, if its extension is one that label maps can be written to.

    Raises:
        UserError: it is not.
    """
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        remedy = f"choose one of {', '.join(SUFFIXES)}"
        raise UserError("label maps are not written in this format", file=target, found=target.suffix, remedy=remedy)
    return target


def write_label_map(
    path: str | Path,
    labels: np.ndarray,
    legend: Legend,
    *,
    source: Mapping[str, Any] | None = None,
    title: str = "",
) -> None:
    """Write a label map, atomically, in the format of the extension.

    .tif: 8 bits where the codes allow, with a colour table, the names as tags of the band (`CLASS_1`, ...) and, for
    programs that look for them there, as categories in `path`.aux.xml; 0 is nodata. .png: a picture with a legend.
    .npy: the codes. .mat: `labels`, `codes`, `class_names`.

    Args:
        path: where.
        labels: (rows, cols) integers; 0 and below is background.
        legend: with all codes that the map has.
        source: for `crs` and `transform`, as an item has them; None: no georeference.
        title: of the picture.

    Raises:
        UserError: an unknown extension, a map of another form, or codes without a legend.
    """
    target = check_label_map(path)
    codes = _checked(labels, legend, target)
    suffix = target.suffix.lower()
    if suffix == ".npy":
        with atomic_path(target) as temporary:
            np.save(temporary, codes, allow_pickle=False)
    elif suffix == ".mat":
        from scipy.io import savemat

        content = {
            "labels": codes,
            "codes": np.array(legend.codes, np.int32),
            "class_names": np.array(legend.names, object),
        }
        with atomic_path(target) as temporary:
            savemat(temporary, content, do_compression=True)
    elif suffix == ".png":
        from hsipipe.report.style import save_figure

        save_figure(draw_label_map(codes, legend, title=title), [target])
    else:
        _write_geotiff(target, codes, legend, source or {})


def coloured(labels: np.ndarray, legend: Legend) -> np.ndarray:
    """The map as a picture (rows, cols, 3) uint8; background and codes without a colour are white."""
    picture = np.empty((*labels.shape, 3), np.uint8)
    picture[:] = _rgb(BACKGROUND)
    for code, colour in zip(legend.codes, legend.colours, strict=True):
        picture[labels == code] = _rgb(colour)
    return picture


def _checked(labels: np.ndarray, legend: Legend, path: Path) -> np.ndarray:
    """The codes as the smallest unsigned type that holds those of the legend, background as 0."""
    if labels.ndim != 2 or labels.dtype.kind not in "iub":
        raise UserError("a label map has rows and columns of whole numbers", found=f"{labels.dtype} of {labels.shape}")
    strange = np.setdiff1d(labels[labels > 0], legend.codes)
    if len(strange):
        raise UserError("codes are missing in the legend", file=path, found=", ".join(map(str, strange[:5])))
    largest = max(legend.codes, default=0)
    if largest > 65535:
        raise UserError("codes are too large for a label map", file=path, found=largest, remedy="number them anew")
    return np.maximum(labels, 0).astype(np.uint8 if largest < 256 else np.uint16)


def _write_geotiff(path: Path, codes: np.ndarray, legend: Legend, source: Mapping[str, Any]) -> None:
    import rasterio
    from rasterio.crs import CRS
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    rows, cols = codes.shape
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": 1,
        "height": rows,
        "width": cols,
        "dtype": str(codes.dtype),
        "nodata": 0,
        "compress": "deflate",
        "photometric": "palette",
    }
    crs, transform = source.get("crs"), source.get("transform")
    if crs:
        profile["crs"] = CRS.from_wkt(crs, morph_from_esri_dialect="AUTHORITY" not in crs)
    if transform is not None:
        profile["transform"] = rasterio.Affine(*transform)
    colours = {0: (*_rgb(BACKGROUND), 0)}
    colours |= {code: (*_rgb(colour), 255) for code, colour in zip(legend.codes, legend.colours, strict=True)}
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(temporary, "w", **profile) as dataset:
                dataset.write(codes, 1)
                dataset.write_colormap(1, colours)
                dataset.update_tags(
                    1, **{f"CLASS_{code}": name for code, name in zip(legend.codes, legend.names, strict=True)}
                )
        except RasterioError as error:
            raise UserError("cannot be written as GeoTIFF", file=path, found=error) from error
    write_text(path.with_name(path.name + ".aux.xml"), _categories(legend))


def _categories(legend: Legend) -> str:
    """GDAL's side file with the name of each code from 0 on; rasterio cannot write category names itself."""
    root = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    names = dict(zip(legend.codes, legend.names, strict=True))
    listed = ElementTree.SubElement(band, "CategoryNames")
    for code in range(max(legend.codes, default=0) + 1):
        ElementTree.SubElement(listed, "Category").text = names.get(code, "")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def draw_label_map(codes: np.ndarray, legend: Legend, *, title: str = "") -> Any:
    """The map (rows, cols) as a matplotlib figure with its legend beside it."""
    from matplotlib.patches import Patch

    from hsipipe.report.style import start_figure

    rows, cols = codes.shape
    height = float(np.clip(6 * rows / cols, 2.5, 9))
    columns = -(-len(legend.codes) // 25)
    figure, axes = start_figure(6 + 1.9 * columns, height)
    axes.imshow(coloured(codes, legend), interpolation="nearest")
    axes.set_axis_off()
    if title:
        axes.set_title(title)
    handles = [
        Patch(facecolor=colour, edgecolor="#444444", linewidth=0.5, label=name)
        for name, colour in zip(legend.names, legend.colours, strict=True)
    ]
    if (codes == 0).any():
        handles.append(Patch(facecolor=BACKGROUND, edgecolor="#444444", linewidth=0.5, label="no label"))
    # A legend outside the picture: inside it would hide pixels.
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, ncols=columns)
    return figure


def _rgb(colour: str) -> tuple[int, int, int]:
    return (int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16))
