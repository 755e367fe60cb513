"""The verbs of segmentation: segment, encode, decode, reconstruct, classify."""

from __future__ import annotations

import argparse
from typing import Any

from hsipipe.cli.output import print_json
from hsipipe.cli.scenes import add_device, add_settings
from hsipipe.cli.verbs import Verbs
from hsipipe.tasks.defaults import DEFAULT_METHODS

DEFAULT_METHOD = DEFAULT_METHODS["segmentation"]
DEFAULT_ENCODER = "pca"
# What says how clusters are found, which `--clusters-from` answers already; option -> its value if it is not given.
OF_FINDING: dict[str, Any] = {
    "method": None,
    "clusters": None,
    "encoder": None,
    "model": None,
    "latent": None,
    "set": [],
    "encoder_set": [],
    "seed": None,
}


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module to the parser."""
    segment = verbs.add(
        "segment",
        segment_command,
        group="files",
        summary="cluster the pixels of a file by their spectra",
        description="Write a map of clusters of pixels with like spectra. Their number is found by the BIC of a "
        "Gaussian mixture where it is not given.",
        examples=[
            "hsipipe segment scene.tif clusters.tif --figure clusters.png",
            "hsipipe segment scene.tif clusters.tif --clusters 6 --encoder none --spectra spectra.csv --json",
        ],
        arrays=True,
        json="one object: the map, clusters, sizes, method, encoder",
    )
    segment.add_argument("input", metavar="IN", help="an image, or a table of spectra (.csv, or --table)")
    segment.add_argument("output", metavar="OUT", help="the map: .tif, .png, .npy, .mat; of a table .npy, .csv, .mat")
    segment.add_argument(
        "--method", metavar="NAME", help=f"a clustering: kmeans, gmm, superpixels (default {DEFAULT_METHOD})"
    )
    segment.add_argument("--clusters", type=int, metavar="N", help="how many (default: chosen by BIC)")
    which = segment.add_mutually_exclusive_group()
    which.add_argument(
        "--encoder",
        metavar="NAME",
        help="an autoencoder, fitted to the scene, whose latents are clustered: pca, residual, mlp, cnn, conv; or "
        f"none, for the spectra themselves (default {DEFAULT_ENCODER})",
    )
    which.add_argument(
        "--model", metavar="MODEL", help="a trained autoencoder (model.pt) in place of one fitted to the scene"
    )
    segment.add_argument("--latent", type=int, metavar="N", help="length of the latents (default: the encoder's)")
    add_settings(segment, "the clustering")
    add_settings(segment, "the encoder", option="--encoder-set")
    segment.add_argument("--seed", type=int, metavar="N", help="of encoder and clustering (default 0)")
    segment.add_argument("--spectra", metavar="CSV", help="write the clusters' spectra: mean, medoid, decoded")
    segment.add_argument("--figure", metavar="PICTURE", help="draw scene, map and spectra (.png, .svg, .pdf)")
    segment.add_argument("--save-clusters", metavar="H5", help="write all that labels another image the same way")
    segment.add_argument("--clusters-from", metavar="H5", help="label by clusters that --save-clusters wrote")
    add_device(segment)

    pca = "results/segmentation/simulated-land/pca/seed0/model.pt"
    for verb, summary, given, more, examples in (
        (
            "encode",
            "spectra to the latents of a trained autoencoder",
            "an image, or a table of spectra",
            "A latent is a band of the output.",
            [f"hsipipe encode scene.tif latents.tif --model {pca}"],
        ),
        (
            "decode",
            "latents that encode wrote back to spectra",
            "what `hsipipe encode` wrote",
            "The bands are those of the file that was encoded.",
            [
                f"hsipipe encode scene.tif latents.tif --model {pca}",
                f"hsipipe decode latents.tif decoded.tif --model {pca}",
            ],
        ),
        (
            "reconstruct",
            "spectra as they come out of the latents of a trained autoencoder",
            "an image, or a table of spectra",
            "What the latents cannot hold is lost.",
            [f"hsipipe reconstruct scene.tif reconstructed.tif --model {pca}"],
        ),
    ):
        parser = verbs.add(
            verb,
            apply_autoencoder,
            group="files",
            summary=summary,
            description=f"{summary[0].upper()}{summary[1:]}. {more}",
            examples=examples,
            arrays=True,
        )
        parser.add_argument("input", metavar="IN", help=given)
        parser.add_argument("output", metavar="OUT", help=".h5 .tif .hdr .bil .bsq .bip .npy .mat, or .csv of a table")
        parser.add_argument("--model", required=True, metavar="MODEL", help="a trained autoencoder (model.pt)")
        add_device(parser)

    svm = "results/segmentation/simulated-land/svm/seed0/model.pt"
    classify = verbs.add(
        "classify",
        classify_command,
        group="files",
        summary="label the pixels of a file, or of several, by a trained classifier",
        description="Write a map of classes, with their names and colours, for each image.",
        examples=[
            f"hsipipe classify scene.tif classes.tif --model {svm} --confidence confidence.tif",
            f"hsipipe classify scene.tif noisy.tif maps/ --model {svm} --json",
        ],
        arrays=True,
        json="a list: input, output and the share of each class in percent",
    )
    classify.add_argument("input", nargs="+", metavar="IN", help="images, or tables of spectra")
    classify.add_argument(
        "output", metavar="OUT", help="the map: .tif, .png, .npy, .mat; of a table .npy, .csv, .mat; or a folder/"
    )
    classify.add_argument("--model", required=True, metavar="MODEL", help="a trained classifier (model.pt)")
    classify.add_argument(
        "--confidence", metavar="FILE", help="write the probability of the chosen class; a folder/ where OUT is one"
    )


def segment_command(options: argparse.Namespace) -> None:
    """Cluster a file and tell what was found."""
    from hsipipe.cli.scenes import parse_assignments
    from hsipipe.errors import UserError
    from hsipipe.tasks.segmentation.files.segment_files import SegmentOptions, segment_file

    chosen = None
    device = _device(options)
    if options.clusters_from is None:
        chosen = SegmentOptions(
            method=options.method or DEFAULT_METHOD,
            settings=parse_assignments(options.set),
            clusters=options.clusters,
            encoder=options.encoder or DEFAULT_ENCODER,
            model=options.model,
            latent=options.latent,
            encoder_settings=parse_assignments(options.encoder_set),
            seed=options.seed or 0,
            device=device,
        )
    else:
        given = [name for name, absent in OF_FINDING.items() if getattr(options, name) != absent]
        if given:
            key = f"--{given[0].replace('_', '-')}"
            raise UserError("says how clusters are found, and --clusters-from has them", key=key, remedy="leave it out")
    made = segment_file(
        options.input,
        options.output,
        chosen,
        clusters_from=options.clusters_from,
        spectra=options.spectra,
        save=options.save_clusters,
        figure=options.figure,
        device=device,
        **_how(options),
    )
    report = {"output": options.output, **made.report()}
    if options.json:
        print_json(report)
        return
    by = {"bic": " (chosen by BIC)"}.get(report["chosen_by"], "")
    latents = "the spectra" if report["encoder"] is None else f"{report['latent']} latents of {report['encoder']}"
    found = "labelled by" if options.clusters_from else "in"
    print(
        f"{options.output}: {report['pixels']:,} spectra {found} {report['clusters']} clusters{by}; "
        f"{report['method']} on {latents}, {report['seconds']:.1f} s"
    )


def apply_autoencoder(options: argparse.Namespace) -> None:
    """Encode, decode or reconstruct a file."""
    device = _device(options)
    from hsipipe.tasks.segmentation.files import latents

    function = getattr(latents, f"{options.verb}_file")
    function(options.input, options.output, options.model, device=device, **_how(options))


def classify_command(options: argparse.Namespace) -> None:
    """Classify files and tell the share of each class."""
    from hsipipe.progress import progress
    from hsipipe.tasks.segmentation.files.classify_files import classify_file
    from hsipipe.tasks.segmentation.files.inputs import check_distinct
    from hsipipe.tasks.segmentation.files.maps import pair_maps

    pairs = pair_maps(options.input, options.output)
    into_folder = str(pairs[0][1]) != options.output
    confidences: list[Any] = [None] * len(pairs)
    if options.confidence is not None and into_folder:
        folder = options.confidence.rstrip("/") + "/"
        confidences = [target for _, target in pair_maps(options.input, folder)]
    elif options.confidence is not None:
        confidences = [options.confidence]
    check_distinct([source for source, _ in pairs], [*(target for _, target in pairs), *confidences])
    from hsipipe.tasks.segmentation.classifier import load_classifier

    trained = load_classifier(options.model)
    told = []
    for (source, target), confidence in zip(
        progress(pairs, trained.method.name, unit="file", disable=len(pairs) == 1), confidences, strict=True
    ):
        made = classify_file(source, target, trained, confidence=confidence, **_how(options))
        shares = made.shares()
        told.append({"input": str(source), "output": str(target), "shares": shares})
        if not options.json:
            listed = ", ".join(f"{name} {share:.1f} %" for name, share in shares.items())
            print(f"{target}: {listed}")
    if options.json:
        print_json(told)


def _device(options: argparse.Namespace) -> str:
    """The device of torch, claimed before anything imports torch, which would count the devices itself."""
    if options.device != "cuda":
        return "cpu"
    from hsipipe.cli.gpu import claim_gpu

    return claim_gpu()


def _how(options: argparse.Namespace) -> dict[str, Any]:
    """How the input is read."""
    return {"key": options.key, "layout": options.layout, "table": options.table}
