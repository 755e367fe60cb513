"""Figures `classification-maps` and `confusion`: what classifiers make of a unit, and which classes they mix."""

from __future__ import annotations

from typing import Any

import numpy as np

from hsipipe.cases.pixels import TEST, TRAIN
from hsipipe.errors import UserError
from hsipipe.metrics.classification import confusion
from hsipipe.report.style import start_figure
from hsipipe.tasks.segmentation.figures.colours import balanced, class_legend, gap_entries, legend_entries
from hsipipe.tasks.segmentation.figures.headings import write_heading
from hsipipe.tasks.segmentation.figures.maps import Map, draw_maps
from hsipipe.tasks.segmentation.figures.material import Material
from hsipipe.tasks.segmentation.figures.training_pixels import picture
from hsipipe.tasks.segmentation.label_maps import Legend, coloured

JUDGED = Legend(
    (1, 2, 3, 4),
    ("test pixel, right", "test pixel, wrong", "training pixel", "other labelled pixel"),
    ("#a3a3a3", "#d7191c", "#1f4fa3", "#e4e4e4"),
)
COLUMNS = 3  # of matrices in a line
BOTH_FIT = 9  # classes up to which a cell has room for share and count


def draw_classification_maps(material: Material) -> Any:
    """The image and its labels; of each classifier its map, and below it which test pixels are wrong."""
    image, maps = material.image, material.class_maps()
    legend = class_legend(image, maps)
    roles = material.roles[1]
    tested = (roles == TEST) & (image.labels > 0)
    labelled = bool((image.labels > 0).any())
    stacks = [[Map(picture(image), "image")]]
    if labelled:
        stacks[0].append(Map(coloured(image.labels, legend), "labels"))
    for variant, codes in maps.items():
        stack = [Map(coloured(codes, legend), variant, _accuracies(image.labels, codes, tested))]
        if labelled:
            wrong = tested & (codes != image.labels)
            judged = np.select([wrong, tested, roles == TRAIN, image.labels > 0], [2, 1, 3, 4], 0)
            stack.append(Map(coloured(judged, JUDGED), "errors", f"{int(wrong.sum()):,} of {int(tested.sum()):,}"))
        stacks.append(stack)
    entries = [*legend_entries(legend), *gap_entries(image)]
    if labelled:
        neither = (image.labels > 0) & (roles != TEST) & (roles != TRAIN)
        present = [tested.any(), tested.any(), (roles == TRAIN).any(), neither.any()]
        entries += [entry for entry, there in zip(legend_entries(JUDGED), present, strict=True) if there]
    return draw_maps(stacks, image.valid, title=f"{material.heading}: {image.name}", entries=entries)


def draw_confusion(material: Material) -> Any:
    """The confusion matrix of each classifier at the test pixels of the shown unit, each row a class in percent.

    Raises:
        UserError: the unit has no labelled test pixel.
    """
    image, maps = material.image, material.class_maps()
    tested = (material.roles[1] == TEST) & (image.labels > 0)
    if not tested.any():
        raise UserError(
            "a figure of kind 'confusion' needs labelled test pixels, and the shown unit has none",
            key="figure_unit",
            found=image.name,
            remedy="choose another unit",
        )
    tables = {variant: confusion(image.labels, codes, tested) for variant, codes in maps.items()}
    codes = sorted({int(code) for table in tables.values() for code in table.classes})
    missing = any(table.missed.any() for table in tables.values())
    names = dict(zip((legend := class_legend(image, maps)).codes, legend.names, strict=True))
    lines, columns = balanced(len(maps), COLUMNS)
    size = len(codes)
    cell = 0.48 if size <= BOTH_FIT else 0.36 if size <= 20 else 0.27
    side = max(cell * size, 1.8)
    figure, axes = start_figure(
        columns * (side + 0.25) + 2.6, lines * (side + 0.5) + 1.6, nrows=lines, ncols=columns, squeeze=False
    )
    sizes = {code: int((image.labels[tested] == code).sum()) for code in codes}
    type_size = 8 if size <= 20 else 6.5
    shown = None
    for axis in axes.ravel()[len(maps) :]:
        axis.set_axis_off()
    for number, (variant, table) in enumerate(tables.items()):
        axis = axes[number // columns, number % columns]
        counts = _spread(table.classes, table.counts, table.missed, codes, missing=missing)
        shares = 100 * counts / np.maximum(np.array(list(sizes.values())), 1)[:, None]
        shown = axis.imshow(shares, vmin=0, vmax=100, cmap="Blues", aspect="auto")
        axis.grid(visible=False)
        _write_cells(axis, counts, shares, both=size <= BOTH_FIT, type_size=type_size - 1)
        ticks = [*(names[code] for code in codes), *(["none"] if missing else [])]
        axis.set_xticks(range(len(ticks)), ticks, rotation=90, fontsize=type_size)
        axis.set_yticks(range(size), [f"{names[code]} ({sizes[code]:,})" for code in codes], fontsize=type_size)
        axis.set_title(f"{variant}\n{_accuracies(image.labels, maps[variant], tested)}", fontsize=9.5)
        if number % columns:
            axis.set_yticklabels([])
        else:
            axis.set_ylabel("true class (test pixels)", fontsize=9)
        if number // columns == lines - 1:
            axis.set_xlabel("predicted class", fontsize=9)
        else:
            axis.set_xticklabels([])
        if number // columns < lines - 1 and number + columns >= len(maps):
            _name_columns(axis, ticks, size, type_size)
    figure.colorbar(shown, ax=axes, shrink=0.6, label="share of the class's test pixels [%]", pad=0.01)
    write_heading(figure, f"{material.heading}: {image.name}")
    return figure


def _accuracies(truth: np.ndarray, codes: np.ndarray, tested: np.ndarray) -> str:
    """OA and AA of this picture and not their mean over seeds; nothing without test pixels."""
    if not tested.any():
        return ""
    table = confusion(truth, codes, tested)
    return f"OA {100 * table.overall_accuracy:.2f} %, AA {100 * table.average_accuracy:.2f} %"


def _spread(
    classes: np.ndarray, counts: np.ndarray, missed: np.ndarray, codes: list[int], *, missing: bool
) -> np.ndarray:
    """Counts of the classes at their places among all codes; with a last column of those given none, if there are."""
    places = np.searchsorted(codes, classes)
    full = np.zeros((len(codes), len(codes) + missing), int)
    full[np.ix_(places, places)] = counts
    if missing:
        full[places, -1] = missed
    return full


def _name_columns(axis: Any, names: list[str], size: int, type_size: float) -> None:
    """Names below a matrix that has none under it: they take no room, which would part it from the line below."""
    for place, name in enumerate(names):
        style: dict[str, Any] = {"rotation": 90, "ha": "center", "va": "top", "fontsize": type_size}
        axis.text(place, size - 0.5 + 0.03 * size, name, **style).set_in_layout(False)


def _write_cells(axis: Any, counts: np.ndarray, shares: np.ndarray, *, both: bool, type_size: float) -> None:
    """The share in percent in each cell that has a pixel, and below it the count where there is room."""
    for row, col in np.argwhere(counts > 0):
        share = shares[row, col]
        percent = "<1" if 0 < share < 0.5 else f"{share:.0f}"
        text = f"{percent}\n({counts[row, col]:,})" if both else percent
        colour = "white" if share > 60 else "#1b2430"
        axis.text(col, row, text, ha="center", va="center", color=colour, fontsize=type_size, linespacing=1.1)
