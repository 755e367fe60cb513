"""Sample pictures: what a network makes of an image, beside what it was given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hsipipe.files import atomic_path
from hsipipe.report.style import composite, rgb_bands, stretch

REFERENCES = ("clean", "truth", "target")


def draw_samples(
    images: Mapping[str, np.ndarray],
    wavelength_nm: np.ndarray | None,
    path: str | Path,
    *,
    title: str = "",
) -> None:
    """Draw images in a row, in the bands nearest to red, green and blue or three others, all in one contrast.

    The contrast is that of the image named clean, truth or target, if there is one, otherwise of all images together.

    Args:
        images: name to image (C, H, W), all with the same bands; what is not finite is drawn black.
        wavelength_nm: (C,) or None.
        path: PNG file, written atomically; equal images make equal files.
        title: stands above the row.

    Raises:
        ValueError: no images, or images with different numbers of bands.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if len({len(image) for image in images.values()}) != 1:
        raise ValueError(f"images of {sorted({len(image) for image in images.values()})} bands make no row of pictures")
    bands = len(next(iter(images.values())))
    chosen = rgb_bands(bands, None if wavelength_nm is None else np.asarray(wavelength_nm))
    shown = {
        name: np.nan_to_num(np.asarray(image, np.float32)[chosen], nan=0.0, posinf=0.0, neginf=0.0)
        for name, image in images.items()
    }
    named = [shown[name] for name in REFERENCES if name in shown][:1] or list(shown.values())
    limits = stretch(np.concatenate([image.reshape(3, 1, -1) for image in named], axis=2))
    height = max(image.shape[1] / image.shape[2] for image in shown.values())
    figure = Figure(figsize=(2.4 * len(shown), min(2.4 * height, 7.0) + 0.6), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for axis, (name, image) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown.items(), strict=True):
        axis.imshow(composite(image, limits), interpolation="nearest")
        axis.set_title(name, fontsize=10)
        axis.set_axis_off()
    figure.suptitle(title, fontsize=10)
    with atomic_path(path) as temporary:
        canvas.print_png(str(temporary), metadata={"Software": None})
