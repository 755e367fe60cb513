"""The verb plot: a picture of an image with the spectra of some of its pixels."""

from __future__ import annotations

import argparse
import re

from hsipipe.cli.output import check_figure, print_json
from hsipipe.cli.verbs import Verbs

COLOURS = ("true", "infrared", "shortwave")


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module to the parser."""
    plot = verbs.add(
        "plot",
        plot_file,
        group="files",
        summary="draw an image in true or false colours, with spectra of pixels",
        description="Draw three bands of an image as colours, or one in greys, each from its 1st to its 99th "
        "percentile over valid pixels; and beside it the spectra of some pixels over wavelength in nm. Without --bands "
        "or --colours: true colours where there are any, otherwise three bands spread evenly.",
        examples=[
            "hsipipe plot scene.tif scene.png",
            "hsipipe plot scene.tif infrared.png --colours infrared --pixel 10,12 --pixel 30,20",
            "hsipipe plot scene.tif band.svg --bands 20",
        ],
        arrays=True,
        json="one object: the picture, the bands shown, their wavelengths, the pixels",
    )
    plot.add_argument("file", metavar="FILE", help="an image, or a scene file with --key ITEM")
    plot.add_argument("output", metavar="PICTURE", help=".png, .svg or .pdf")
    which = plot.add_mutually_exclusive_group()
    which.add_argument(
        "--colours",
        choices=COLOURS,
        help="true: 640, 550, 460 nm as red, green, blue; infrared: 860, 650, 550 nm; shortwave: 2200, 1650, 860 nm",
    )
    which.add_argument("--bands", metavar="R,G,B", help="numbers of three bands, from 0; or of one")
    plot.add_argument(
        "--pixel",
        action="append",
        default=[],
        metavar="ROW,COLUMN",
        help="show the spectrum of this pixel, counted from 0; may be repeated (default: three that differ most)",
    )


def plot_file(options: argparse.Namespace) -> None:
    """Draw a file."""
    from hsipipe.notebook.pictures import PIXELS, check_bands, colour_bands, draw_overview, unlike_pixels
    from hsipipe.report.style import save_figure
    from hsipipe.scenes.readers import read_image

    check_figure(options.output)
    wanted = None if options.bands is None else _numbers(options.bands, "--bands")
    pixels = [_pixel(text) for text in options.pixel]
    item = read_image(options.file, key=options.key, layout=options.layout, table=options.table)
    bands = check_bands(item, colour_bands(item, options.colours) if options.colours else wanted)
    pixels = pixels or unlike_pixels(item, PIXELS)
    save_figure(draw_overview(item, bands, pixels), [options.output])
    if options.json:
        shown = None if item.wavelength_nm is None else [float(item.wavelength_nm[band]) for band in bands]
        print_json({"output": options.output, "bands": bands, "wavelength_nm": shown, "pixels": pixels})


def _numbers(text: str, key: str) -> list[int]:
    from hsipipe.errors import UserError

    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise UserError(
            "must be whole numbers from 0 with commas between", key=key, found=text, remedy="such as 40,20,5"
        )
    return [int(number) for number in text.split(",")]


def _pixel(text: str) -> tuple[int, int]:
    from hsipipe.errors import UserError

    numbers = _numbers(text, "--pixel")
    if len(numbers) != 2:
        raise UserError("must be a row and a column", key="--pixel", found=text, remedy="such as 10,20")
    return numbers[0], numbers[1]
