"""Verbs on files: info, convert, bands, degrade."""

from __future__ import annotations

import argparse
from typing import Any

from hsipipe.cli import fusion_degrade
from hsipipe.cli.output import check_figure, print_json
from hsipipe.cli.verbs import Verbs

# As `hsipipe.bands.selection.STRATEGIES`, whose modules take too long to load for a help text; a test compares them.
STRATEGY_NAMES = (
    *("all", "uniform", "region", "rgb", "list", "pca", "variance", "issc", "opbs", "random"),
    *("peer-every-nth", "peer-pca"),
)


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module to the parser."""
    info = verbs.add(
        "info",
        show_info,
        group="files",
        summary="what a file holds, and what is wrong with it",
        description="Tell the size, type, wavelengths, scale, nodata, georeference, bad bands and labels of an image, "
        "or the images of a scene file. What is found to be wrong is told as a warning.",
        examples=["hsipipe info scene.tif", "hsipipe info cube.mat --key data --json"],
        arrays=True,
        json="one object with all that is known",
    )
    info.add_argument("file", metavar="FILE", help="an image of any format, or a scene file")

    convert = verbs.add(
        "convert",
        convert_files,
        group="files",
        summary="from any format to any other",
        description="Convert an image; or several, or a folder of them, to one scene file. Georeference, wavelengths, "
        "mask, type and scale are kept as far as the format can hold them.",
        examples=[
            "hsipipe convert cube.mat cube.tif --key data",
            "hsipipe convert scene.tif scene.hdr",
            "hsipipe convert scene.tif scene.h5 --labels labels.tif",
        ],
        arrays=True,
    )
    convert.add_argument("input", metavar="IN", nargs="+", help="a file, several, or a folder (then OUT must be .h5)")
    convert.add_argument(
        "output", metavar="OUT", help="its extension tells the format: .h5 .tif .hdr .bil .bsq .bip .npy .mat"
    )
    convert.add_argument("--labels", metavar="FILE[:KEY]", help="label map to go with the cube")

    bands = verbs.add(
        "bands",
        select_bands,
        group="files",
        summary="select bands of a file",
        description="Select bands by a strategy and print their numbers, from 0, with their wavelengths in nm. "
        f"Strategies: {', '.join(STRATEGY_NAMES)}.",
        examples=[
            "hsipipe bands scene.tif --strategy uniform --count 20",
            "hsipipe bands scene.tif --strategy issc --count 10 --output bands.csv --figure bands.png",
        ],
        arrays=True,
        json="one object: strategy, indices, wavelength_nm",
    )
    bands.add_argument("file", metavar="FILE", help="an image")
    bands.add_argument("--strategy", required=True, metavar="NAME", help="see above")
    bands.add_argument("--count", type=int, metavar="N", help="how many bands")
    add_settings(bands, "the strategy")
    bands.add_argument("--output", metavar="CSV", help="write the selection")
    bands.add_argument("--figure", metavar="PICTURE", help="draw where the bands fall (.png, .svg, .pdf)")

    degrade = verbs.add(
        "degrade",
        degrade_file,
        group="files",
        summary="add synthetic noise to a file, or make a fusion pair of it",
        description="With --noise: add synthetic noise, in units of each band's range. With MSI_OUT: make a "
        "low-resolution HSI and a high-resolution MSI of the image, as fusion takes them.",
        examples=[
            "hsipipe degrade scene.tif noisy.tif --noise gaussian:sigma=0.1+stripe:fraction=0.2,intensity=0.3 --seed 1",
            "hsipipe degrade scene.tif coarse_hsi.tif fine_msi.tif --psf gaussian:sigma=2,size=9 --srf 4 --ratio 4",
        ],
        arrays=True,
    )
    degrade.add_argument("input", metavar="IN", help="an image, or a scene file")
    degrade.add_argument("output", metavar="OUT", help="the noisy file, or the pair's low-resolution HSI")
    degrade.add_argument("msi_output", metavar="MSI_OUT", nargs="?", help="the pair's high-resolution MSI")
    degrade.add_argument("--noise", metavar="SPEC", help="a preset, or such as gaussian:sigma=0.1+clip")
    degrade.add_argument("--seed", type=int, default=0, metavar="N", help="of the noise (default 0)")
    degrade.add_argument("--normalised", action="store_true", help="write noisy values scaled to [0, 1] by band")
    fusion_degrade.add_options(degrade)


def add_settings(parser: argparse.ArgumentParser, of: str, *, option: str = "--set") -> None:
    """Add `--set KEY=VALUE`, which may be given several times."""
    text = f"a setting of {of}; may be repeated"
    parser.add_argument(option, action="append", default=[], metavar="KEY=VALUE", help=text)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add `--device`."""
    text = "what to compute on (default cpu); cuda waits for a free GPU"
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help=text)


def show_info(options: argparse.Namespace) -> None:
    """Print what a file holds."""
    from hsipipe.scenes.readers import open_image

    described = open_image(options.file, key=options.key, layout=options.layout, table=options.table).describe()
    if options.json:
        print_json(described)
        return
    for name, value in described.items():
        if name == "wavelength_nm" and value:
            value = f"{min(value):g} to {max(value):g} nm, {len(value)} bands"
        elif isinstance(value, list) and len(value) > 12:
            value = f"{', '.join(map(str, value[:12]))} ... ({len(value)})"
        elif isinstance(value, str) and len(value) > 100:
            value = f"{value[:100]} ..."
        if value not in (None, [], ""):
            print(f"{name:>16}  {value}")


def convert_files(options: argparse.Namespace) -> None:
    """Convert files."""
    from hsipipe.scenes.convert import convert

    convert(
        options.input,
        options.output,
        labels=options.labels,
        key=options.key,
        layout=options.layout,
        table=options.table,
    )


def parse_assignments(pairs: list[str]) -> dict[str, Any]:
    """`key=value` texts as a dictionary; values are read as YAML."""
    import yaml

    from hsipipe.errors import UserError

    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UserError("must be KEY=VALUE", key="--set", found=repr(pair))
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError("is not a YAML value", key=f"--set {key}", found=repr(value)) from error
    return values


def select_bands(options: argparse.Namespace) -> None:
    """Select bands of a file and print them."""
    import numpy as np

    from hsipipe.bands.sample import SPECTRA, sample_spectra
    from hsipipe.bands.selection import fit_bands, write_bands_csv
    from hsipipe.scenes.readers import read_image
    from hsipipe.scenes.writers import check_place

    settings = {"strategy": options.strategy, **parse_assignments(options.set)}
    if options.count is not None:
        settings["count"] = options.count
    if options.output:
        check_place(options.output)
    if options.figure:
        check_figure(options.figure)
    item = read_image(options.file, key=options.key, layout=options.layout, table=options.table)
    spectra = sample_spectra(item.cube, item.valid, SPECTRA, "spectra", settings.get("seed", 0), item.name)
    chosen = fit_bands(settings, wavelength_nm=item.wavelength_nm, good_bands=item.good_bands, spectra=spectra)
    if options.output:
        write_bands_csv(options.output, chosen)
    if options.figure:
        from hsipipe.bands.figure import draw_bands

        mean, deviation = np.nanmean(spectra, axis=0), np.nanstd(spectra, axis=0)
        draw_bands(chosen, item.wavelength_nm, mean, deviation, options.figure, good_bands=item.good_bands)
    indices = [int(index) for index in chosen.indices]
    centres = None if chosen.wavelength_nm is None else [float(value) for value in chosen.wavelength_nm]
    if options.json:
        print_json({"strategy": chosen.strategy, "indices": indices, "wavelength_nm": centres})
        return
    for position, index in enumerate(indices):
        print(index if centres is None else f"{index}\t{centres[position]:g}")


def degrade_file(options: argparse.Namespace) -> None:
    """Add noise to a file (`--noise`), or make a low-resolution HSI and a high-resolution MSI of it (`MSI_OUT`)."""
    if fusion_degrade.wants_pair(options):
        fusion_degrade.degrade_pair_files(options)
    else:
        _add_noise(options)


def _add_noise(options: argparse.Namespace) -> None:
    """Add noise to a file."""
    from hsipipe.degrade.item import degrade_item
    from hsipipe.degrade.noise import parse_noise
    from hsipipe.scenes.transform import transform_file

    noise = parse_noise(options.noise)
    transform_file(
        options.input,
        options.output,
        lambda item: degrade_item(item, noise, seed=options.seed, normalised=options.normalised),
        key=options.key,
        layout=options.layout,
        table=options.table,
    )
