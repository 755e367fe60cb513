"""Over wavelength: what embeddings rest on, and what the classes look like."""

from __future__ import annotations

from typing import Any

import numpy as np

from hsipipe.errors import UserError
from hsipipe.report.style import start_figure
from hsipipe.tasks.representation.figures.material import Material, class_colours, shade_windows
from hsipipe.tasks.representation.shared.signatures import class_signatures


def draw_importance(material: Material) -> Any:
    """How far embeddings move, and what a probe's margin loses, when a window of wavelengths is interpolated away."""
    variants = material.having("window_nm")
    with_probe = any("margin_drop" in made.more for made in variants.values())
    figure, axes = start_figure(8, 2.9 * (1 + with_probe) + 0.4, nrows=1 + with_probe, sharex=True, squeeze=False)
    for axis in axes[:, 0]:
        shade_windows(axis, material.windows_nm)
    for variant, made in variants.items():
        centres, effect = made.more["window_nm"], made.more["effect"]
        total = effect.max() or 1.0
        (line,) = axes[0, 0].plot(centres, effect / total, label=variant)
        deviation = made.more["effect_sd"] / total
        axes[0, 0].fill_between(
            centres,
            effect / total - deviation,
            effect / total + deviation,
            alpha=0.12,
            color=line.get_color(),
            linewidth=0,
        )
        if "margin_drop" in made.more:
            axes[1, 0].plot(centres, made.more["margin_drop"], color=line.get_color())
    axes[0, 0].set_ylabel("shift of the embedding\n(of the largest)")
    axes[0, 0].set_ylim(bottom=0)
    if with_probe:
        axes[1, 0].set_ylabel("loss of the probe's margin\n(logits)")
    axes[-1, 0].set_xlabel("centre of the window [nm]")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", fontsize=8)
    figure.suptitle(material.heading, fontsize=10)
    return figure


def draw_signatures(material: Material) -> Any:
    """Mean reflectance of each class over its individuals, with the 10th to 90th percentile between them.

    Raises:
        UserError: a case without wavelengths.
    """
    with material.open() as case:
        if case.wavelength_nm is None:
            raise UserError("signatures need wavelengths", file=case.path)
        images, masks = case.read(np.arange(len(case)))
        names = [identity.species for identity in case.identities]
        table = class_signatures(images, masks, names, case.wavelength_nm)
        species = case.species
    table = table[table["over"] == "specimens"]
    columns = min(4, len(species))
    lines = -(-len(species) // columns)
    figure, axes = start_figure(
        2.9 * columns, 2.2 * lines + 0.6, nrows=lines, ncols=columns, sharex=True, sharey=True, squeeze=False
    )
    for axis in axes.ravel()[len(species) :]:
        axis.set_axis_off()
    for axis, name, colour in zip(axes.ravel(), species, class_colours(len(species)), strict=False):
        rows = table[table["class"] == name]
        shade_windows(axis, material.windows_nm)
        axis.fill_between(rows.wavelength_nm, rows.q10, rows.q90, color=colour, alpha=0.25, linewidth=0)
        axis.plot(rows.wavelength_nm, rows["mean"], color=colour)
        axis.set_title(f"{name} ({int(rows.specimens.iloc[0])})", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("wavelength [nm]")
    for axis in axes[:, 0]:
        axis.set_ylabel("reflectance")
    figure.suptitle(f"{material.heading}: mean, and 10th to 90th percentile of individuals", fontsize=10)
    return figure
