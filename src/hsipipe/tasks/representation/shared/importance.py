"""Which wavelengths an encoder looks at: windows are filled with what their neighbours foretell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hsipipe.errors import UserError, unknown
from hsipipe.metrics.embedding_neighbours import unit_rows
from hsipipe.metrics.embedding_probe import Probe

FILLS = ("interpolation", "mean")
Encode = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Windows:
    """Windows over wavelength.

    Attributes: centres_nm (W,), rising; width_nm; bands: for each window the indices of its bands, rising.
    """

    centres_nm: np.ndarray
    width_nm: float
    bands: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Importance:
    """What filling each window does to N specimens.

    Attributes: windows; effects (N, W): cosine distance of the embedding from that of the whole spectrum, 0 to 2;
    scale: mean cosine distance between the embeddings of two specimens' whole spectra, the unit in which effects of
    different encoders compare; margin_drops (N, W): what the probe's margin (logit of the true class less the largest
    other) loses, or None; accuracy_drop (W,): what its balanced accuracy loses, in percentage points, or None.
    """

    windows: Windows
    effects: np.ndarray
    scale: float
    margin_drops: np.ndarray | None = None
    accuracy_drop: np.ndarray | None = None

    @property
    def centres_nm(self) -> np.ndarray:
        """Centres of the windows (W,), nm, rising."""
        return self.windows.centres_nm

    @property
    def mean(self) -> np.ndarray:
        """Mean effect over the specimens, (W,)."""
        return self.effects.mean(0)

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation of the effect over the specimens (n - 1; 0 for one), (W,)."""
        return self.effects.std(0, ddof=1) if len(self.effects) > 1 else np.zeros(self.effects.shape[1])

    @property
    def relative(self) -> np.ndarray:
        """Mean effect over `scale`, (W,); NaN where all specimens have one embedding."""
        return self.mean / self.scale if self.scale > 0 else np.full(self.effects.shape[1], np.nan)

    def order(self, by: Literal["effect", "margin", "accuracy"] = "effect") -> np.ndarray:
        """Numbers of the windows, the most important first; ties: the shorter wavelength first.

        Raises:
            UserError: `margin` or `accuracy` where no probe was given, or another name.
        """
        values = {
            "effect": self.mean,
            "margin": None if self.margin_drops is None else self.margin_drops.mean(0),
            "accuracy": self.accuracy_drop,
        }
        if by not in values:
            raise unknown("ranking", by, values)
        chosen = values[by]
        if chosen is None:
            raise UserError(
                f"windows cannot be ranked by {by} without a probe", key="by", remedy="give probe and labels"
            )
        return np.argsort(-chosen, kind="stable")


def spectral_windows(wavelength_nm: np.ndarray, *, width_nm: float = 20.0, step_nm: float = 10.0) -> Windows:
    """Windows of `width_nm` every `step_nm` from the shortest to the longest wavelength, but for those without a band.

    A window holds the bands from centre - width / 2 to centre + width / 2, both included. The first begins at the
    shortest wavelength; no band is left out of all windows unless the step is larger than the width.

    Args:
        wavelength_nm: (C,), in any order.
        width_nm, step_nm: above 0; the width leaves bands outside.

    Raises:
        UserError: a width or step that is not above 0, or a window that holds all bands.
    """
    wavelengths = np.asarray(wavelength_nm, np.float64)
    if not (width_nm > 0 and step_nm > 0):
        raise UserError("must be above 0 nm", key="width_nm, step_nm", found=f"{width_nm}, {step_nm}")
    low, high = wavelengths.min(), wavelengths.max()
    steps = int(np.ceil(max(high - low - width_nm, 0) / step_nm - 1e-9))
    # A thousandth of a nanometre: the bands at the edges must not depend on rounding.
    half = width_nm / 2 + 1e-3
    centres = low + width_nm / 2 + step_nm * np.arange(steps + 1)
    bands = [np.flatnonzero(np.abs(wavelengths - centre) <= half) for centre in centres]
    if any(len(one) == len(wavelengths) for one in bands):
        raise UserError(
            f"a window of {width_nm:g} nm holds all bands",
            key="width_nm",
            found=f"bands from {low:g} to {high:g} nm",
            remedy="take a smaller width",
        )
    kept = [number for number, one in enumerate(bands) if len(one)]
    return Windows(centres[kept], float(width_nm), tuple(bands[number] for number in kept))


def fill_weights(wavelength_nm: np.ndarray, bands: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How the bands of a window follow from the nearest bands on either side.

    Args:
        wavelength_nm: (C,), in any order; bands: indices of the window.

    Returns:
        For each band of the window: index of the nearest outer band below, index of that above, and the weight of the
        latter in [0, 1], linear in wavelength. At an end of the spectrum both are the one outer band there is.
    """
    wavelengths = np.asarray(wavelength_nm, np.float64)
    outer = np.setdiff1d(np.arange(len(wavelengths)), bands)
    outer = outer[np.argsort(wavelengths[outer], kind="stable")]
    places = np.searchsorted(wavelengths[outer], wavelengths[bands])
    below, above = outer[np.maximum(places - 1, 0)], outer[np.minimum(places, len(outer) - 1)]
    below = np.where(places == 0, above, below)
    gap = wavelengths[above] - wavelengths[below]
    weight = np.divide(wavelengths[bands] - wavelengths[below], gap, out=np.zeros(len(bands)), where=gap > 0)
    return below, above, weight


def window_importance(
    encode: Encode,
    images: np.ndarray,
    masks: np.ndarray,
    wavelength_nm: np.ndarray,
    *,
    width_nm: float = 20.0,
    step_nm: float = 10.0,
    fill: str = "interpolation",
    mean_spectrum: np.ndarray | None = None,
    probe: Probe | None = None,
    labels: np.ndarray | None = None,
    batch: int = 32,
) -> Importance:
    """Effect of each window of wavelengths on the embeddings of specimens, and on a probe's verdict.

    `interpolation` replaces the bands of a window by a straight line over wavelength between the nearest outer bands,
    in each pixel: smooth spectra stay what they were, a feature inside the window goes. `mean` replaces them by the
    mean spectrum, the same for all. Pixels outside the mask are left alone. An untrained encoder given as `encode` is
    the control: what it responds to is the signal's size in the window, not what was learnt.

    Args:
        encode: (B, C, H, W) float32 -> (B, D), in evaluation mode and without randomness.
        images: (N, C, H, W), the encoder's input, or a memory map of it; is not changed.
        masks: (N, H, W) or (N, 1, H, W), above 0 inside.
        wavelength_nm: (C,), in any order.
        width_nm, step_nm: of the windows.
        fill: `interpolation` or `mean`.
        mean_spectrum: (C,) for `mean`; None: the mean of the specimens' masked means.
        probe, labels: a probe fitted to embeddings of other specimens, and the (N,) true classes of these.
        batch: specimens embedded together; one batch is held in memory.

    Raises:
        UserError: shapes that do not fit, a specimen without a pixel in its mask, an unknown fill, labels without a
            probe or the reverse, or an encoder whose output is not finite.
    """
    wavelengths = np.asarray(wavelength_nm, np.float64)
    inside = _as_masks(images, masks, wavelengths)
    if fill not in FILLS:
        raise unknown("fill", fill, FILLS)
    if (probe is None) != (labels is None):
        raise UserError("`probe` and `labels` go together", key="probe")
    windows = spectral_windows(wavelengths, width_nm=width_nm, step_nm=step_nm)
    if fill == "mean" and mean_spectrum is None:
        mean_spectrum = np.mean([one[:, mask].mean(1) for one, mask in zip(images, inside, strict=True)], axis=0)
    weights = [fill_weights(wavelengths, bands) for bands in windows.bands]
    whole, effects, margins, predicted = [], [], [], []
    for start in range(0, len(images), batch):
        part = slice(start, start + batch)
        cubes = np.array(images[part], np.float32)
        mask = inside[part][:, None]
        base = _embed(encode, cubes)
        whole.append(base)
        found = []
        for bands, (below, above, weight) in zip(windows.bands, weights, strict=True):
            kept = cubes[:, bands]
            if fill == "interpolation":
                share = weight.astype(np.float32)[:, None, None]
                filled = cubes[:, below] * (1 - share) + cubes[:, above] * share
            else:
                filled = np.asarray(mean_spectrum, np.float32)[bands][:, None, None]
            cubes[:, bands] = np.where(mask, filled, kept)
            found.append(_embed(encode, cubes))
            cubes[:, bands] = kept
        effects.append(np.stack([_cosine_distance(base, one) for one in found], axis=1))
        if probe is not None and labels is not None:
            true = np.asarray(labels)[part]
            margins.append(np.stack([probe.margins(one, true) for one in [base, *found]], axis=1))
            predicted.append(np.stack([probe.predict(one) for one in [base, *found]], axis=1))
    scale = _mean_distance(np.concatenate(whole))
    all_effects = np.concatenate(effects)
    if probe is None or labels is None:
        return Importance(windows, all_effects, scale)
    margin, verdicts = np.concatenate(margins), np.concatenate(predicted)
    accuracy = _balanced(verdicts, np.asarray(labels))
    return Importance(windows, all_effects, scale, margin[:, :1] - margin[:, 1:], accuracy[0] - accuracy[1:])


def _as_masks(images: np.ndarray, masks: np.ndarray, wavelengths: np.ndarray) -> np.ndarray:
    """Masks (N, H, W) as bool."""
    inside = np.asarray(masks) > 0
    if inside.ndim == 4 and inside.shape[1] == 1:
        inside = inside[:, 0]
    if images.ndim != 4 or inside.shape != (images.shape[0], *images.shape[2:]):
        raise UserError(f"masks of {np.shape(masks)} do not fit images of {images.shape}", key="masks")
    if images.shape[1] != len(wavelengths):
        raise UserError(f"{len(wavelengths)} wavelengths do not fit {images.shape[1]} bands", key="wavelength_nm")
    empty = ~inside.any((1, 2))
    if empty.any():
        raise UserError(f"specimen {int(empty.argmax())} has no pixel in its mask", key="masks")
    return inside


def _embed(encode: Encode, cubes: np.ndarray) -> np.ndarray:
    embeddings = np.asarray(encode(cubes), np.float64)
    if embeddings.ndim != 2 or len(embeddings) != len(cubes) or not np.isfinite(embeddings).all():
        raise UserError(f"an encoder must give {len(cubes)} finite embeddings (B, D)", found=embeddings.shape)
    return embeddings


def _cosine_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    # Half the squared chord: the difference of 1 and a cosine near 1 would lose all digits of a small effect.
    return 0.5 * ((unit_rows(first) - unit_rows(second)) ** 2).sum(1)


def _mean_distance(embeddings: np.ndarray) -> float:
    count = len(embeddings)
    if count < 2:
        return float("nan")
    units = unit_rows(embeddings)
    norms = (units**2).sum()
    return float((count * norms - (units.sum(0) ** 2).sum()) / (count * (count - 1)))


def _balanced(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean recall of each column of (N, W), percent."""
    right = predicted == labels[:, None]
    return 100 * np.mean([right[labels == one].mean(0) for one in np.unique(labels)], axis=0)
