"""The verb score: a prediction against the truth, by the scores of a task."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from hsipipe.cli.output import print_json
from hsipipe.cli.verbs import Verbs

if TYPE_CHECKING:
    import numpy as np

    from hsipipe.scenes.scene import Item

    Rows = list[tuple[str, float, str]]

log = logging.getLogger(__name__)

DEFAULT_RATIO = 4


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module to the parser."""
    score = verbs.add(
        "score",
        score_files,
        group="files",
        summary="compare a prediction with the truth",
        description="Compare a prediction with the truth, after scaling both by the truth's range over its valid "
        "pixels. For denoising, each band is scaled to [0, 1]. For fusion, the whole cube is divided by its highest "
        "value, one factor that leaves spectral angles as they are. A prediction of a pair made by `degrade` may lack "
        "the truth's bad bands and its last rows and columns that fill no block of --ratio, and values "
        "in blocks that have no data in their greater part. With --peer the truth is "
        "scaled as `degrade --peer` scales it, and the prediction is taken as it is. For segmentation, both are label "
        "maps of the same size (or lists of labels of a table), compared wherever the truth is above 0: set pixels "
        "that a classifier was trained on to 0 there. With --clusters the prediction's codes are clusters.",
        examples=[
            "hsipipe score denoising --truth scene.tif --prediction noisy.tif",
            "hsipipe score fusion --truth scene.tif --prediction fine_hsi.tif --ratio 4 --csv scores.csv",
            "hsipipe score segmentation --truth labels.tif --prediction clusters.tif --clusters --json",
        ],
        arrays=True,
        json="one object: metric and value",
    )
    score.add_argument("task", metavar="TASK", choices=["denoising", "fusion", "segmentation"], help="%(choices)s")
    score.add_argument("--truth", required=True, metavar="FILE[:KEY]", help="what is right")
    score.add_argument("--prediction", required=True, metavar="FILE[:KEY]", help="what is scored")
    score.add_argument("--csv", metavar="CSV", help="write the scores as a table, one a row")
    score.add_argument(
        "--ratio",
        type=int,
        metavar="N",
        help=f"fusion: fine pixels in a coarse one and axis, for ERGAS and whole blocks (default {DEFAULT_RATIO})",
    )
    score.add_argument(
        "--border",
        type=int,
        metavar="PIXELS",
        help="fusion: pixels left out at each edge for the inner scores (default: the ratio)",
    )
    score.add_argument(
        "--peer",
        action="store_true",
        help="fusion: the scores of the paper SpectraMorph too, by its own definitions. For predictions of pairs that "
        "`degrade --peer` made: the truth is clipped to its 1st to 99th percentile and scaled to [0, 1], a prediction "
        "is taken as it is, and all scores are in these units",
    )
    score.add_argument(
        "--clusters",
        action="store_true",
        help="segmentation: the codes of the prediction are clusters, which are matched to classes",
    )


def score_files(options: argparse.Namespace) -> None:
    """Score one file against another; print the scores, and write them if asked to."""
    from hsipipe.cli.score_matching import without_lost_blocks
    from hsipipe.errors import UserError

    _check_options(options)
    if options.task == "segmentation":
        _score_segmentation(options)
        return
    truth, prediction = _read_scored(options.truth, options), _read_scored(options.prediction, options)
    if options.task == "fusion":
        matched = _truth_of_pair(truth, prediction, options)
        remedy = "score files of the same size and bands, or name the --ratio that the truth was degraded by"
    else:
        matched = truth if truth.cube.shape == prediction.cube.shape else None
        remedy = "score files of the same size and bands"
    if matched is None:
        raise UserError(
            f"has {prediction.cube.shape} (bands, rows, cols), the truth has {truth.cube.shape}",
            file=options.prediction,
            remedy=remedy,
        )
    truth = matched
    lacking = _without_value(prediction, truth, zero_is_value=options.peer)
    if options.task == "fusion":
        truth = without_lost_blocks(truth, lacking, ratio=_ratio(options))
    missing = int((truth.valid & lacking).sum())
    if missing:
        raise UserError(
            f"has no value (nodata, NaN, infinite or all zero) at {missing:,} of the truth's {truth.valid.sum():,} "
            "valid pixels",
            file=options.prediction,
            remedy="predict every pixel, or mark these in the truth as nodata",
        )
    scores = {"denoising": _score_denoising, "fusion": _score_fusion}[options.task](truth, prediction, options)
    if options.csv:
        _write_csv(options, truth, scores)
    if options.json:
        print_json({metric: value for metric, value, _ in scores})
        return
    _print_scores(scores)


def _print_scores(scores: Rows) -> None:
    width = max(14, *(len(metric) for metric, _, _ in scores))
    for metric, value, unit in scores:
        print(f"{metric:>{width}}  {value:.6g} {unit}".rstrip())


def _score_segmentation(options: argparse.Namespace) -> None:
    """Score one label map against another; print the scores, those of each class too, and write them if asked to."""
    from hsipipe.errors import UserError
    from hsipipe.scenes.readers import split_key
    from hsipipe.tasks.segmentation.files.scores import score_label_files, write_label_scores

    for key, absent in (("key", None), ("layout", None), ("table", False)):
        if getattr(options, key) is not absent:
            remedy = "name the array as FILE:KEY"
            raise UserError("is for images, and these are label maps", key=f"--{key}", remedy=remedy)
    scores, more = score_label_files(options.truth, options.prediction, clusters=options.clusters)
    if options.csv:
        scene, variant = (Path(split_key(address)[0]).stem for address in (options.truth, options.prediction))
        write_label_scores(options.csv, scores, more, truth=scene, prediction=variant)
    if options.json:
        print_json({**{metric: value for metric, value, _ in scores}, **more})
        return
    _print_scores(scores)
    for code, values in more.get("classes", {}).items():
        recall, precision = (f"{values[name]:.2f} %" for name in ("recall", "precision"))
        print(f"{'class ' + code:>14}  recall {recall}, precision {precision}, {values['pixels']:,} pixels")


def _check_options(options: argparse.Namespace) -> None:
    """Refuse what cannot be, before anything is read."""
    from hsipipe.errors import UserError
    from hsipipe.scenes.readers import split_key
    from hsipipe.scenes.writers import check_place

    if options.task != "fusion":
        for key, absent in (("ratio", None), ("border", None), ("peer", False)):
            if getattr(options, key) is not absent:
                raise UserError("is for fusion only", key=f"--{key}", remedy="leave it out")
    if options.task != "segmentation" and options.clusters:
        raise UserError("is for segmentation only", key="--clusters", remedy="leave it out")
    for key, least in (("ratio", 1), ("border", 0)):
        value = getattr(options, key)
        if value is not None and value < least:
            raise UserError(f"must be at least {least}", key=f"--{key}", found=value)
    if options.csv:
        target = check_place(options.csv).resolve()
        if target in [Path(split_key(address)[0]).resolve() for address in (options.truth, options.prediction)]:
            raise UserError("would overwrite its own input", file=options.csv, remedy="choose another --csv")


def _read_scored(address: str, options: argparse.Namespace) -> Item:
    from hsipipe.scenes.readers import read_image, split_key

    path, key = split_key(address)
    return read_image(path, key=key or options.key, layout=options.layout, table=options.table)


def _truth_of_pair(truth: Item, prediction: Item, options: argparse.Namespace) -> Item | None:
    """See `hsipipe.cli.score_matching.truth_of_pair`."""
    from hsipipe.cli.score_matching import truth_of_pair
    from hsipipe.errors import UserError

    if not truth.valid.any() or not truth.good_bands.any():
        raise UserError("has no valid pixel in any band", file=options.truth)
    return truth_of_pair(truth, prediction, ratio=_ratio(options), peer=options.peer)


def _ratio(options: argparse.Namespace) -> int:
    return DEFAULT_RATIO if options.ratio is None else options.ratio


def _without_value(prediction: Item, truth: Item, *, zero_is_value: bool) -> np.ndarray:
    """(rows, cols) bool: pixels at which the prediction lacks a value in any band that the truth has.

    Readers take a pixel that is 0 in all bands for one without data; with `zero_is_value` it is not, as values that
    were clipped to [0, 1] may be 0 throughout.
    """
    import numpy as np

    from hsipipe.scenes.validity import representable

    nodata = representable(prediction.source.get("nodata"), prediction.cube.dtype)
    lacking = ~prediction.valid
    if zero_is_value and nodata != 0:
        lacking &= (prediction.cube != 0).any(axis=0)
    for band in np.flatnonzero(truth.good_bands):
        samples = prediction.cube[band]
        lacking |= ~np.isfinite(samples)
        if nodata is not None and not prediction.good_bands[band]:
            lacking |= samples == nodata
    return lacking


def _score_denoising(truth: Item, prediction: Item, options: argparse.Namespace) -> Rows:
    """Bands scaled to [0, 1] by the truth's range."""
    from hsipipe.tasks.denoising.score import score_items

    del options
    return score_items(truth, prediction)


def _score_fusion(truth: Item, prediction: Item, options: argparse.Namespace) -> Rows:
    """Both cubes divided by the highest value of the truth's good bands and valid pixels, unless it is scaled."""
    from hsipipe.errors import UserError
    from hsipipe.metrics.fusion import score_fusion

    ratio = _ratio(options)
    if options.ratio is None:
        log.info("ERGAS is for ratio %d; say --ratio if it is another", ratio)
    border = ratio if options.border is None else options.border
    # Bands that the scene marks as bad count in no score.
    expected = truth.cube[truth.good_bands].astype("float32")
    found = prediction.cube[truth.good_bands].astype("float32")
    if options.peer:
        _warn_of_other_units(found[:, truth.valid], options)
        scores = score_fusion(expected, found, ratio=ratio, border=border, valid=truth.valid)
        return scores + _score_as_published(truth, expected, found, ratio, options)
    high = max(float(band[truth.valid].max()) for band in expected)
    if high <= 0:
        raise UserError("has no positive value to scale by", file=options.truth, found=f"at most {high:g}")
    expected /= high
    found /= high
    return score_fusion(expected, found, ratio=ratio, border=border, valid=truth.valid)


def _warn_of_other_units(found: np.ndarray, options: argparse.Namespace) -> None:
    mean = float(abs(found).mean())
    if mean > 2:
        log.warning(
            "%s: its values (mean %.4g) are not in the [0, 1] of a pair made by `degrade --peer`; --peer takes them as "
            "they are",
            *(options.prediction, mean),
        )


def _score_as_published(
    truth: Item, expected: np.ndarray, found: np.ndarray, ratio: int, options: argparse.Namespace
) -> Rows:
    from hsipipe.errors import UserError
    from hsipipe.metrics.spectramorph import score_as_published

    if not truth.valid.all():
        raise UserError(
            "the paper's scores cannot leave pixels out",
            file=options.truth,
            key="--peer",
            found=f"{int((~truth.valid).sum()):,} pixels without data",
            remedy="score a part that has data everywhere, or leave --peer out",
        )
    return score_as_published(expected, found, ratio=ratio)


def _write_csv(options: argparse.Namespace, truth: Item, scores: Rows) -> None:
    """The tidy table: scene and item are the truth's file and item, the variant is the prediction's file."""
    from hsipipe.scenes.readers import split_key
    from hsipipe.scores import Score, write_scores

    scene, variant = (Path(split_key(address)[0]).stem for address in (options.truth, options.prediction))
    rows = [Score(scene, truth.name, metric, value, unit) for metric, value, unit in scores]
    write_scores(options.csv, rows, task=options.task, case="files", variant=variant, seed=0)
