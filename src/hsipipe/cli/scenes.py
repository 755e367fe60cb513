"""Verbs on files: info, convert, bands, degrade."""

from __future__ import annotations

import argparse
from typing import Any

from hsipipe.cli import fusion_degrade
from hsipipe.cli.output import print_json

FIGURE_SUFFIXES = (".png", ".svg", ".pdf")


def add_verbs(verbs: Any, common: argparse.ArgumentParser, arrays: argparse.ArgumentParser) -> None:
    """Add the verbs of this module to the parser."""
    info = verbs.add_parser("info", parents=[common, arrays], help="what a file holds")
    info.add_argument("file")
    info.add_argument("--json", action="store_true", help="one JSON object")
    info.set_defaults(function=show_info)

    convert = verbs.add_parser("convert", parents=[common, arrays], help="from any format to any other")
    convert.add_argument("input", nargs="+", help="a file, several, or a folder (then OUT must be .h5)")
    convert.add_argument("output", help="the extension tells the format: .h5 .tif .hdr .bil .bsq .bip .npy .mat")
    convert.add_argument("--labels", metavar="FILE[:KEY]", help="label map to go with the cube")
    convert.set_defaults(function=convert_files)

    bands = verbs.add_parser("bands", parents=[common, arrays], help="select bands of a file")
    bands.add_argument("file")
    bands.add_argument("--strategy", required=True, help="all, uniform, region, rgb, list, pca, variance, issc, ...")
    bands.add_argument("--count", type=int, help="how many")
    bands.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the strategy")
    bands.add_argument("--output", metavar="CSV", help="write the selection")
    bands.add_argument("--figure", metavar="FILE", help="draw where the bands fall (.png, .svg, .pdf)")
    bands.add_argument("--json", action="store_true", help="one JSON object")
    bands.set_defaults(function=select_bands)

    degrade = verbs.add_parser(
        "degrade", parents=[common, arrays], help="add synthetic noise to a file, or make a fusion pair of it"
    )
    degrade.add_argument("input")
    degrade.add_argument("output", metavar="OUT", help="the noisy file, or the pair's low-resolution HSI")
    degrade.add_argument("msi_output", metavar="MSI_OUT", nargs="?", help="the pair's high-resolution MSI")
    degrade.add_argument("--noise", help="a preset, or such as gaussian:sigma=0.1+clip")
    degrade.add_argument("--seed", type=int, default=0)
    degrade.add_argument("--normalised", action="store_true", help="write noisy values scaled to [0, 1] by band")
    fusion_degrade.add_options(degrade)
    degrade.set_defaults(function=degrade_file)


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
    for path in (options.output, options.figure):
        if path:
            check_place(path)
    if options.figure:
        _check_figure(options.figure)
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


def _check_figure(path: str) -> None:
    from pathlib import Path

    from hsipipe.errors import unknown

    if Path(path).suffix.lower() not in FIGURE_SUFFIXES:
        raise unknown("figure format", Path(path).suffix, FIGURE_SUFFIXES, file=path)


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
