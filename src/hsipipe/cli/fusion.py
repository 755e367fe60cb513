"""The verb of fusion: fuse."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hsipipe.cli.output import print_json
from hsipipe.cli.scenes import add_device, add_settings
from hsipipe.cli.verbs import Verbs
from hsipipe.tasks.defaults import DEFAULT_METHODS

DEFAULT_METHOD = DEFAULT_METHODS["fusion"]


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module to the parser."""
    fuse = verbs.add(
        "fuse",
        fuse_command,
        group="files",
        summary="sharpen a low-resolution HSI by a high-resolution MSI",
        description="Fuse an HSI with an MSI of the same place that has finer pixels. Shift, scaling, PSF, response "
        "and noise are estimated from the pair where they are not given, and told with scores that need no truth.",
        examples=[
            "hsipipe fuse coarse_hsi.tif fine_msi.tif fine_hsi.tif",
            "hsipipe fuse coarse_hsi.tif fine_msi.tif fine_hsi.tif --method gsa --details fusion/ --json",
        ],
        json="one object: sizes, shift, radiometry, srf, psf, what the method found, scores",
    )
    fuse.add_argument("lr_hsi", metavar="LR_HSI", help="the low-resolution HSI")
    fuse.add_argument("hr_msi", metavar="HR_MSI", help="the high-resolution MSI")
    fuse.add_argument("output", metavar="OUT", help="its extension tells the format: .tif, .h5, .npy, .mat, ENVI")
    fuse.add_argument("--method", metavar="NAME", default=DEFAULT_METHOD, help=f"default {DEFAULT_METHOD}")
    add_settings(fuse, "the method")
    fuse.add_argument(
        "--psf",
        metavar="SPEC",
        default="estimate",
        help="such as gaussian:sigma=3.4,size=15, a FILE, or estimate (default)",
    )
    fuse.add_argument(
        "--srf",
        metavar="SPEC",
        help="a sensor, a number of bands, a FILE (MSI bands, HSI bands), or estimate, from the pair (default: by the "
        "wavelengths, where both files tell them)",
    )
    fuse.add_argument(
        "--axis",
        choices=["measured", "stretched"],
        default="measured",
        help="wavelengths of the SRF (measured)",
    )
    fuse.add_argument(
        "--edge", choices=["reflect", "zero"], default="reflect", help="beyond the edges of the image (default reflect)"
    )
    for name, title in (("hsi", "LR_HSI"), ("msi", "HR_MSI")):
        fuse.add_argument(f"--{name}-key", metavar="NAME", help=f"name of the array in {title}")
        fuse.add_argument(f"--{name}-layout", metavar="AXES", help=f"order of axes of {title}, such as rows-cols-bands")
    fuse.add_argument("--block", type=int, metavar="PIXELS", help="work in blocks of this side: for large scenes")
    fuse.add_argument("--details", type=Path, metavar="FOLDER", help="write endmembers, maps, PSF and figures there")
    fuse.add_argument(
        "--figure-format",
        choices=["png", "jpg", "svg"],
        default="png",
        help="of figures in --details (default png)",
    )
    fuse.add_argument(
        "--orient",
        choices=["auto", "as-is"],
        default="as-is",
        help="auto turns LR_HSI if it lies otherwise than HR_MSI (default as-is)",
    )
    add_device(fuse)


def fuse_command(options: argparse.Namespace) -> None:
    """Fuse two files and print what was found."""
    from hsipipe.cli.scenes import parse_assignments
    from hsipipe.errors import UserError
    from hsipipe.methods import find_method
    from hsipipe.scenes.writers import check_outputs

    for source in (options.lr_hsi, options.hr_msi):
        check_outputs([(source, options.output)])
    if options.block is not None and options.block < 1:
        raise UserError("must be at least 1 pixel", key="--block", found=options.block)
    if options.details is not None and options.details.exists() and not options.details.is_dir():
        raise UserError("is a file", file=options.details, key="--details", remedy="name a folder")
    method = find_method("fusion", options.method)
    if method.kind == "oracle":
        raise UserError(f"method {method.name!r} needs the truth", key="--method", remedy="choose another")
    given = parse_assignments(options.set)
    psf = None if options.psf == "estimate" else options.psf
    if psf is not None and "psf_source" in method.settings:
        given = {"psf_source": "known", **given}
    settings = method.complete(given)
    device = "cpu"
    if options.device == "cuda":
        # Before anything imports torch, which would count the devices itself.
        from hsipipe.cli.gpu import claim_gpu

        device = claim_gpu()
    from hsipipe.tasks.fusion.files.fuse_files import FuseOptions, fuse_files

    chosen = FuseOptions(
        psf=psf,
        srf=options.srf,
        axis=options.axis,
        edge=options.edge,
        hsi_key=options.hsi_key,
        msi_key=options.msi_key,
        hsi_layout=options.hsi_layout,
        msi_layout=options.msi_layout,
        block=options.block,
        orient=options.orient,
        details=options.details,
        figure_format=options.figure_format,
        device=device,
        quiet=options.quiet,
    )
    report = fuse_files(
        options.lr_hsi, options.hr_msi, options.output, method=method, settings=settings, options=chosen
    )
    if options.json:
        print_json(report)
    else:
        _print_report(report)


def _print_report(report: dict[str, Any]) -> None:
    """Print the report in lines of a name and what was found."""

    def line(name: str, text: object) -> None:
        print(f"{name:>12}  {text}")

    sizes = {name: " x ".join(map(str, size)) for name, size in report["sizes"].items()}
    line(
        "sizes", f"LR HSI {sizes['lr_hsi']}, HR MSI {sizes['hr_msi']}, fused {sizes['output']}; ratio {report['ratio']}"
    )
    for note in report["cropped"]:
        line("", note)
    for name, bands in report["bands_left_out"].items():
        if bands:
            line("left out", f"{len(bands)} bands of {name}")
    line("orientation", report["orientation"]["applied"])
    shift = report["shift"]
    if shift:
        line(
            "shift",
            f"{shift['rows_hr_pixels']:+.2f} rows, {shift['cols_hr_pixels']:+.2f} columns of HR pixels "
            f"(± {shift['error_hr_pixels']:.2f})",
        )
    radiometry = report["radiometry"]
    scaled = "MSI brought into the HSI's units" if radiometry["changed"] else "one scaling already"
    line("radiometry", f"{scaled}; r2 of the bands {', '.join(f'{value:.3f}' for value in radiometry['r2'])}")
    line("srf", f"{report['srf']['name']} ({report['srf']['origin']})")
    psf = report["psf"]
    width = f", rms {psf['rms_rows']:.2f} x {psf['rms_cols']:.2f} HR pixels" if "size" in psf else ""
    line("psf", psf["origin"] + width)
    for text in report["coverage"]["lines"]:
        line("coverage", text)
    if report["invalid_pixels"]:
        line("no data", f"{report['invalid_pixels']:,} pixels of the output")
    line("method", report["method"] + (f" in {report['blocks']} blocks" if report["blocks"] else ""))
    for name, value in report["found"].items():
        if isinstance(value, (int, float, str)):
            line("", f"{name} = {value:.6g}" if isinstance(value, float) else f"{name} = {value}")
    if report["scores"]:
        kernel = report["scored_with"]
        width = f", rms {kernel['rms_rows']:.2f} x {kernel['rms_cols']:.2f} HR pixels" if "size" in kernel else ""
        line("scores", f"with {kernel['psf']}{width}; the same for every method")
    for name, value in report["scores"].items():
        line(name, f"{value:.5g}")
    line("output", f"{report['output']}, {report['seconds']:.1f} s")
