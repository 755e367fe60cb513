"""`draw`: denoising's figures: bars, visual comparison, spectra, quality against time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hsipipe.hdf5 import open_checked
from hsipipe.metrics.registry import METRICS
from hsipipe.report.scores import mean_of, mean_scores, read_scores
from hsipipe.report.style import KIND_COLOURS, composite, rgb_bands, save_figure, start_figure, stretch
from hsipipe.tasks.denoising.case import PREDICTION_FORMAT, CaseFile
from hsipipe.tasks.denoising.settings import FIGURES

CONTROLS = ("noisy", "constant")


@dataclass(frozen=True)
class Material:
    """All that a figure can be drawn from."""

    figure: dict[str, Any]
    case: str | Path
    scenes: Sequence[str | Path]
    scores: pd.DataFrame
    kept: dict[str, str]
    records: dict[str, dict[str, Any]]

    @property
    def heading(self) -> str:
        """The figure's title; it says when the scene is simulated."""
        title = str(self.figure["title"] or self.figure["case"])
        with CaseFile(self.case, self.scenes) as opened:
            return f"{title} (simulated)" if opened.simulated else title

    def colour(self, variant: str) -> str:
        """The colour of a variant's kind."""
        record = self.records[variant]
        return KIND_COLOURS["control" if record["method"] in CONTROLS else record["kind"]]


def draw(
    figure: dict[str, Any],
    *,
    case: str | Path,
    scenes: Sequence[str | Path],
    scores: str | Path,
    kept: dict[str, str],
    records: dict[str, str],
    outputs: Sequence[str | Path],
) -> None:
    """Draw one figure to files.

    Args:
        figure: a `FigureSettings` as a dictionary; `kind` is bars, visual, spectra or time.
        case, scenes: the case file and its scenes.
        scores: tidy scores of the paper.
        kept: variant -> the prediction kept for pictures.
        records: variant -> run.json.
        outputs: PNG and SVG paths.
    """
    loaded = {name: json.loads(Path(path).read_text(encoding="utf-8")) for name, path in records.items()}
    frame = read_scores(scores)
    frame = frame[(frame.task == "denoising") & (frame.case == figure["case"])]
    save_figure(KINDS[figure["kind"]](Material(figure, case, scenes, frame, kept, loaded)), outputs)


def draw_bars(material: Material) -> Any:
    """Mean score of each variant, with the spread over test units."""
    name = material.figure["metric"]
    metric = METRICS[name]
    means = mean_scores(material.scores)
    rows = []
    for variant in material.kept:
        row = mean_of(means, "denoising", material.figure["case"], variant, name)
        if row is not None:
            rows.append((variant, row["mean"], row["spread"] if row["units"] > 1 else 0.0, row["units"]))
    rows.sort(key=lambda row: row[1], reverse=not metric.higher_is_better)
    figure, axis = start_figure(7.5, 0.32 * len(rows) + 1.3)
    places = np.arange(len(rows))
    axis.barh(
        places,
        [row[1] for row in rows],
        xerr=[row[2] for row in rows],
        color=[material.colour(row[0]) for row in rows],
        error_kw={"ecolor": "#1b2430", "elinewidth": 1, "capsize": 2},
        height=0.72,
    )
    limit = max(row[1] + row[2] for row in rows)
    for place, bar in zip(places, rows, strict=True):
        axis.text(bar[1] + bar[2] + 0.01 * limit, place, f"{bar[1]:.{metric.decimals}f}", va="center", fontsize=8)
    axis.set_yticks(places, [row[0] for row in rows])
    axis.set_xlim(right=1.1 * limit)
    axis.grid(axis="y", visible=False)
    units = int(max(row[3] for row in rows))
    spread = f"; bar ends ± sd over {units} test units" if units > 1 else "; one test unit"
    axis.set_xlabel(f"{metric.heading}{spread}")
    axis.set_title(material.heading)
    used = {("control" if r["method"] in CONTROLS else r["kind"]) for r in material.records.values()}
    from matplotlib.patches import Patch

    axis.legend(
        handles=[Patch(color=colour, label=kind) for kind, colour in KIND_COLOURS.items() if kind in used],
        loc="lower right",
        fontsize=8,
    )
    return figure


def _predictions(material: Material) -> dict[str, np.ndarray]:
    found = {}
    for variant, path in material.kept.items():
        with open_checked(path, PREDICTION_FORMAT, "run the method again") as file:
            found[variant] = file["prediction"][()]
    return found


def _shown_unit(material: Material) -> str:
    with open_checked(next(iter(material.kept.values())), PREDICTION_FORMAT, "run the method again") as file:
        return str(file.attrs["unit"])


def draw_visual(material: Material) -> Any:
    """Noisy, truth and each method as RGB composites in one contrast, with the error of each below it."""
    unit = _shown_unit(material)
    with CaseFile(material.case, material.scenes) as opened:
        truth, noisy = opened.truth(unit), opened.noisy(unit)
    chosen = rgb_bands(len(truth.cube), truth.wavelength_nm)
    limits = stretch(truth.cube[chosen])
    panels = {"truth": truth.cube, **_predictions(material)}
    panels.setdefault("noisy", noisy)
    lines = -(-len(panels) // 7)
    columns = -(-len(panels) // lines)
    shape = truth.cube.shape[1] / truth.cube.shape[2]
    figure, axes = start_figure(
        2.1 * columns + 0.8, lines * (2 * 2.0 * shape + 0.75), nrows=2 * lines, ncols=columns, squeeze=False
    )
    scores = material.scores[(material.scores.item == unit) & (material.scores.metric == "mpsnr")]
    values = scores.groupby("variant").value.mean()
    errors = {
        name: np.sqrt(((cube - truth.cube) ** 2).mean(axis=0)) for name, cube in panels.items() if name != "truth"
    }
    ceiling = float(np.percentile(np.concatenate([error.ravel() for error in errors.values()]), 90))
    image = None
    for axis in axes.ravel():
        axis.set_axis_off()
    for index, (name, cube) in enumerate(panels.items()):
        top = axes[2 * (index // columns), index % columns]
        top.imshow(composite(cube[chosen], limits), interpolation="nearest")
        top.set_title(f"{name}\n{values[name]:.2f} dB" if name in values else f"{name}\n")
        if name in errors:
            below = axes[2 * (index // columns) + 1, index % columns]
            image = below.imshow(errors[name], vmin=0, vmax=ceiling, cmap="magma", interpolation="nearest")
    if image is not None:
        figure.colorbar(image, ax=axes, shrink=0.5, label="RMS error over bands", pad=0.01)
    figure.suptitle(f"{material.heading}: {unit}", fontsize=10)
    return figure


def spread_pixels(cube: np.ndarray, valid: np.ndarray, count: int) -> list[tuple[int, int]]:
    """Pixels whose spectra differ most: the one nearest to the mean, then each time the farthest from those taken."""
    where = np.argwhere(valid)
    spectra = cube[:, valid].T
    taken = [int(((spectra - spectra.mean(axis=0)) ** 2).sum(axis=1).argmin())]
    # The 98th percentile of the distances, not their maximum, so that a single outlier is not what is shown.
    distance = ((spectra - spectra[taken[0]]) ** 2).sum(axis=1)
    while len(taken) < min(count, len(where)):
        taken.append(int(np.abs(distance - np.percentile(distance, 98)).argmin()))
        distance = np.minimum(distance, ((spectra - spectra[taken[-1]]) ** 2).sum(axis=1))
    return [(int(where[index][0]), int(where[index][1])) for index in taken]


def _gaps(centres: np.ndarray) -> np.ndarray:
    """Where bands are missing: positions before which the step is over five times the usual one."""
    steps = np.diff(centres.astype(float))
    return np.flatnonzero(steps > 5 * np.median(steps)) + 1 if len(steps) else np.zeros(0, int)


def _with_gaps(values: np.ndarray, breaks: np.ndarray) -> np.ndarray:
    """A spectrum with NaN at its gaps, so that no line is drawn across them."""
    return np.insert(values.astype(float), breaks, np.nan)


def draw_spectra(material: Material) -> Any:
    """Spectra of four pixels that differ most: truth, noisy input and each method."""
    unit = _shown_unit(material)
    with CaseFile(material.case, material.scenes) as opened:
        truth, noisy = opened.truth(unit), opened.noisy(unit)
    predictions = {name: cube for name, cube in _predictions(material).items() if name not in CONTROLS}
    order = (
        np.arange(len(truth.cube)) if truth.wavelength_nm is None else np.argsort(truth.wavelength_nm, kind="stable")
    )
    centres = order if truth.wavelength_nm is None else truth.wavelength_nm[order]
    bare, breaks = centres, _gaps(centres)
    centres = np.insert(centres.astype(float), breaks, np.nan)
    pixels = spread_pixels(truth.cube, truth.valid, 4)
    figure, axes = start_figure(10, 6.4, nrows=2, ncols=2, sharex=True)
    for axis, (row, col) in zip(axes.ravel(), pixels, strict=False):
        axis.plot(bare, noisy[order, row, col], ".", color="#b8c1cc", markersize=2.5, label="noisy")
        for name, cube in predictions.items():
            axis.plot(centres, _with_gaps(cube[order, row, col], breaks), linewidth=1.0, label=name)
        axis.plot(centres, _with_gaps(truth.cube[order, row, col], breaks), color="black", linewidth=1.4, label="truth")
        axis.set_title(f"row {row}, column {col}")
    for axis in axes[-1]:
        axis.set_xlabel("band" if truth.wavelength_nm is None else "wavelength [nm]")
    for axis in axes[:, 0]:
        axis.set_ylabel("value, band scaled to [0, 1]")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8)
    figure.suptitle(f"{material.heading}: {unit}", fontsize=10)
    return figure


def draw_time(material: Material) -> Any:
    """Quality against seconds per unit, one point a variant."""
    name = material.figure["metric"]
    metric = METRICS[name]
    means = mean_scores(material.scores)
    figure, axis = start_figure(7.5, 4.6)
    points = []
    for variant, record in material.records.items():
        row = mean_of(means, "denoising", material.figure["case"], variant, name)
        if row is not None:
            points.append((max(record["seconds_per_item"], 1e-4), row["mean"], variant))
    for seconds, value, variant in points:
        axis.scatter(seconds, value, s=42, color=material.colour(variant), zorder=3)
    axis.set_xscale("log")
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.06 * (high - low))
    axis.set_xlim(right=4 * axis.get_xlim()[1])  # room for the names
    _label_points(axis, points)
    device = "/".join(sorted({str(record.get("device", "cpu")) for record in material.records.values()}))
    axis.set_xlabel(f"seconds per unit ({device})")
    axis.set_ylabel(metric.heading)
    axis.set_title(material.heading)
    return figure


def _label_points(axis: Any, points: list[tuple[float, float, str]]) -> None:
    """Write each name beside its point, moved up or down where names would lie on one another."""
    low, high = axis.get_ylim()
    step = 0.045 * (high - low)
    placed: list[tuple[float, float]] = []
    for seconds, value, variant in sorted(points, key=lambda point: point[1]):
        height = value
        while any(abs(np.log10(seconds / other)) < 0.75 and abs(height - at) < step for other, at in placed):
            height += step / 3
        placed.append((seconds, height))
        axis.annotate(
            variant,
            (seconds, value),
            (1.12 * seconds, height),
            textcoords="data",
            fontsize=8,
            va="center",
            arrowprops={"arrowstyle": "-", "color": "#9aa5b1", "linewidth": 0.6} if height != value else None,
        )


KINDS: dict[str, Callable[[Material], Any]] = dict(
    zip(FIGURES, (draw_bars, draw_visual, draw_spectra, draw_time), strict=True)
)
