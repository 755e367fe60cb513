"""Where a classifier was trained: the image, and its training pixels in the colours of their classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from hsipipe.report.style import composite, rgb_bands, start_figure, stretch
from hsipipe.tasks.segmentation.case import Image
from hsipipe.tasks.segmentation.label_maps import coloured, make_legend


def draw_training_pixels(image: Image, labels: np.ndarray, *, title: str) -> Any:
    """The image in three bands and, beside it, its training pixels.

    Args:
        image: an image of the training part.
        labels: (rows, cols) codes at training pixels, 0 elsewhere.
        title: heading.
    """
    from matplotlib.patches import Patch

    legend = make_legend(sorted({int(code) for code in np.unique(labels) if code > 0}), image.class_names)
    rows, cols = labels.shape
    figure, axes = start_figure(9, float(np.clip(3.6 * rows / cols, 2.2, 7)) + 0.5, ncols=2)
    axes[0].imshow(picture(image), interpolation="nearest")
    axes[1].imshow(coloured(labels, legend), interpolation="nearest")
    for axis, name in zip(axes, (image.name, "training pixels"), strict=True):
        axis.set_axis_off()
        axis.set_title(name)
    handles = [
        Patch(facecolor=colour, edgecolor="#444444", linewidth=0.5, label=name)
        for name, colour in zip(legend.names, legend.colours, strict=True)
    ]
    figure.legend(handles=handles, loc="outside right center", fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def picture(image: Image) -> np.ndarray:
    """The image in three bands, (rows, cols, 3) in [0, 1], invalid pixels white."""
    bands = image.cube[rgb_bands(len(image.cube), image.wavelength_nm)]
    limits = stretch(bands[:, image.valid][:, None, :])
    return np.where(image.valid[..., None], composite(bands, limits), 1.0)
