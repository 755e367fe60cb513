"""Figures `latents` and `latent-scatter`: latents as images, and as points in the colours of the classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from hsipipe.randomness import generator_for
from hsipipe.report.figures.panels import GAP_COLOUR
from hsipipe.report.style import start_figure
from hsipipe.tasks.segmentation.figures.colours import balanced, class_legend, legend_entries, patches
from hsipipe.tasks.segmentation.figures.headings import write_heading
from hsipipe.tasks.segmentation.figures.material import Material

SHOWN = 6  # latents of a variant
COLUMNS = 4  # panels of points in a line
POINTS = 4000
UNLABELLED = "#c9ced6"


def draw_latents(material: Material) -> Any:
    """The first latents of each variant as images, a variant a row, each latent stretched by itself."""
    image, latents = material.image, _distinct(material)
    columns = min(SHOWN, max(len(values) for values in latents.values()))
    shape = image.valid.shape[0] / image.valid.shape[1]
    width = min(1.9, 4.0 / shape)
    figure, axes = start_figure(
        max(width, 1.2) * columns + 0.6,
        len(latents) * (width * shape + 0.45) + 0.7,
        nrows=len(latents),
        ncols=columns,
        squeeze=False,
    )
    import matplotlib

    colours = matplotlib.colormaps["viridis"].with_extremes(bad=GAP_COLOUR)
    for line, (variant, values) in zip(axes, latents.items(), strict=True):
        for number, axis in enumerate(line):
            axis.set(xticks=[], yticks=[])
            axis.grid(visible=False)
            if number >= len(values):
                axis.set_axis_off()
                continue
            low, high = np.percentile(values[number][image.valid], (2, 98))
            told = f"{low:.3g} to {high:.3g}" if high > low else f"constant {low:.3g}"
            shown = np.where(image.valid, values[number], np.nan)
            axis.imshow(shown, vmin=low, vmax=high if high > low else low + 1, cmap=colours, interpolation="nearest")
            axis.set_title(f"latent {number + 1} of {len(values)}\n{told}", fontsize=8)
        # Beside a low image a name that stands upright would reach into the next line.
        line[0].set_ylabel(
            variant, fontsize=9, **({} if shape > 0.6 else {"rotation": 0, "ha": "right", "va": "center"})
        )
    gaps = "" if image.valid.all() else "; pale blue: no valid data"
    write_heading(
        figure, f"{material.heading}: {image.name}\ndark to bright: 2nd to 98th percentile of each latent{gaps}"
    )
    return figure


def draw_latent_scatter(material: Material) -> Any:
    """Latents of at most `POINTS` pixels along their first two principal axes, in the colours of the classes."""
    image, latents = material.image, _distinct(material)
    legend = class_legend(image)
    chosen = _chosen_pixels(image.valid, image.labels)
    codes = image.labels[image.valid][chosen]
    lines, columns = balanced(len(latents), COLUMNS)
    legend_columns = -(-len(legend.codes) // 28)
    figure, axes = start_figure(
        3.5 * columns + 2.0 * legend_columns, 3.4 * lines + 0.4, nrows=lines, ncols=columns, squeeze=False
    )
    for axis in axes.ravel()[len(latents) :]:
        axis.set_axis_off()
    colour_of = dict(zip(legend.codes, legend.colours, strict=True))
    colours = [colour_of.get(int(code), UNLABELLED) for code in codes]
    for axis, (variant, values) in zip(axes.ravel(), latents.items(), strict=False):
        places, names = principal_axes(values[:, image.valid].T)
        if places.shape[1] == 1:
            places = np.column_stack([places, image.cube[:, image.valid].mean(axis=0)])
            names.append("mean of the spectrum, the scene's units")
        axis.scatter(*places[chosen].T, s=5, c=colours if legend.codes else "#3b7dd8", alpha=0.7, linewidths=0)
        axis.set_xlabel(names[0])
        axis.set_ylabel(names[1])
        axis.set_title(variant)
    if legend.codes:
        entries = legend_entries(legend) + ([("no label", UNLABELLED)] if (codes == 0).any() else [])
        figure.legend(handles=patches(entries), loc="outside right center", fontsize=8, ncols=legend_columns)
    pixels = f"{len(chosen):,} of {int(image.valid.sum()):,} pixels"
    write_heading(figure, f"{material.heading}: {image.name}, {pixels}")
    return figure


def principal_axes(vectors: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Vectors (N, z) along their first two principal axes (N, 2), and what to write at each axis; (N, 1) for z = 1.

    The sign of an axis is that which makes its largest component positive.
    """
    centred = vectors - vectors.mean(axis=0, dtype=float)
    variances, axes = np.linalg.eigh(centred.T @ centred / max(len(centred), 1))
    axes, variances = axes[:, ::-1][:, :2], variances[::-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    total = float(variances.sum()) or 1.0
    names = [
        f"axis {number} ({100 * max(float(v), 0) / total:.1f} % of variance)"
        for number, v in enumerate(variances[:2], 1)
    ]
    return centred @ axes, names


def _chosen_pixels(valid: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """At most `POINTS` of the valid pixels (their numbers) in random order: those without a label first, below."""
    generator = generator_for("latent-scatter")
    codes = labels[valid]
    order = generator.permutation(len(codes))
    labelled = order[codes[order] > 0][:POINTS]
    others = order[codes[order] <= 0][: POINTS - len(labelled)]
    return np.concatenate([others, labelled])


def _distinct(material: Material) -> dict[str, np.ndarray]:
    """The latents by variant, those of autoencoders first, and each once: a clustering may see those of another."""
    found = material.latents()
    names = sorted(found, key=lambda variant: "cluster_means" in material.arrays[variant])
    kept: dict[str, np.ndarray] = {}
    for name in names:
        if not any(np.array_equal(found[name], other) for other in kept.values()):
            kept[name] = found[name]
    return kept
