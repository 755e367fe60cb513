"""The verb `degrade` for fusion: a low-resolution HSI and a high-resolution MSI of one image."""

from __future__ import annotations

import argparse

# Signal-to-noise ratio of the low-resolution HSI in SpectraMorph's experiments, by ratio; the MSI's is 40 dB.
PEER_SNR_HSI_DB = {4: 35.0, 8: 30.0, 16: 25.0, 32: 20.0}
PEER_SNR_MSI_DB = 40.0
PAIR_OPTIONS = ("psf", "srf", "ratio", "snr_hsi", "snr_msi", "edge", "axis", "fwhm_factor", "figure", "peer")
FORMS = "degrade IN OUT --noise NOISE, or degrade IN LR_OUT MSI_OUT --psf PSF --srf SRF --ratio R"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a fusion pair to the verb's parser."""
    pair = parser.add_argument_group("a fusion pair (with MSI_OUT)")
    pair.add_argument(
        "--psf", metavar="SPEC", help="such as gaussian or moffat:sigma=3.4,size=15,beta=2.5, or FILE[:KEY]"
    )
    pair.add_argument(
        "--srf",
        metavar="SPEC",
        help="1, 3, 4, 8 or 16 bands (IKONOS, WorldView), a sensor's name, or FILE[:KEY]: curves or a matrix",
    )
    pair.add_argument("--ratio", type=int, metavar="N", help="high-resolution pixels per low-resolution pixel and axis")
    pair.add_argument("--snr-hsi", type=float, metavar="DB", help="noise of the HSI; without it, or with inf, none")
    pair.add_argument("--snr-msi", type=float, metavar="DB", help="noise of the MSI; without it, or with inf, none")
    pair.add_argument("--edge", choices=["reflect", "zero"], help="beyond the image (default reflect)")
    pair.add_argument(
        "--axis",
        choices=["measured", "stretched"],
        help="wavelengths as measured (default), or spread over the sensor; MSI_OUT then tells none",
    )
    pair.add_argument("--fwhm-factor", type=float, metavar="F", help="bands' edges are F deviations apart (2.3548)")
    pair.add_argument(
        "--peer",
        action="store_true",
        help="SpectraMorph's own degradation: its scaling, PSF, stretched axis, edges and noise; the rest may be left "
        "out (gaussian, 4 bands, ratio 4)",
    )
    pair.add_argument("--figure", metavar="PICTURE", help="draw the PSF, the response and the pair (.png, .svg, .pdf)")


def wants_pair(options: argparse.Namespace) -> bool:
    """Whether a pair is asked for, rather than noise.

    Raises:
        UserError: options of both, or of neither.
    """
    from hsipipe.errors import UserError

    given = [f"--{name.replace('_', '-')}" for name in PAIR_OPTIONS if getattr(options, name) not in (None, False)]
    if options.noise is not None:
        if options.msi_output is not None or given:
            other = "MSI_OUT" if options.msi_output is not None else given[0]
            raise UserError(f"does not go with {other}", key="--noise", remedy=f"say {FORMS}")
        return False
    if options.msi_output is None:
        text = f"{given[0]} needs two outputs" if given else "neither --noise nor a second output is given"
        raise UserError(text, remedy=f"say {FORMS}")
    if options.normalised:
        raise UserError("goes with --noise only", key="--normalised", remedy="leave it out")
    return True


def degrade_pair_files(options: argparse.Namespace) -> None:
    """Make a pair of an image and write both files, and a figure if asked for."""
    from hsipipe.cli.output import check_figure
    from hsipipe.degrade.files import PairSettings, degrade_file
    from hsipipe.degrade.psf import peer_spec
    from hsipipe.degrade.response import FWHM_FACTOR, PEER_FWHM_FACTOR
    from hsipipe.errors import UserError

    peer = options.peer
    psf, srf, ratio = options.psf, options.srf, options.ratio
    if peer:
        psf, srf, ratio = peer_spec(psf or "gaussian"), srf or "4", 4 if ratio is None else ratio
    missing = [name for name, value in (("--psf", psf), ("--srf", srf), ("--ratio", ratio)) if value is None]
    if missing:
        raise UserError(f"a fusion pair needs {' and '.join(missing)}", remedy=f"say {FORMS}")
    if options.figure:
        check_figure(options.figure)
    snr_hsi_db, snr_msi_db = options.snr_hsi, options.snr_msi
    if peer and snr_hsi_db is None:
        snr_hsi_db = PEER_SNR_HSI_DB.get(ratio, PEER_SNR_HSI_DB[4])
    if peer and snr_msi_db is None:
        snr_msi_db = PEER_SNR_MSI_DB
    factor = options.fwhm_factor
    if factor is None:
        factor = PEER_FWHM_FACTOR if peer else FWHM_FACTOR
    settings = PairSettings(
        psf=psf,
        srf=srf,
        ratio=ratio,
        snr_hsi_db=snr_hsi_db,
        snr_msi_db=snr_msi_db,
        edge=options.edge or ("zero" if peer else "reflect"),
        axis=options.axis or ("stretched" if peer else "measured"),
        fwhm_factor=factor,
        peer=peer,
        seed=options.seed,
    )
    how = {"key": options.key, "layout": options.layout, "table": options.table}
    pair = degrade_file(options.input, options.output, options.msi_output, settings, **how)
    if options.figure:
        from hsipipe.degrade.figures import draw_pair
        from hsipipe.report.style import save_figure

        save_figure(draw_pair(pair.lr_hsi, pair.hr_msi, pair.psf, pair.response), [options.figure])
