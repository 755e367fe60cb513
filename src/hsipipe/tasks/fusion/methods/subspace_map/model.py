"""Subspace MAP: a regression on the MSI that knows the blur, then the most probable deviation from it.

The project's own method; docs/explanation/methods/subspace_map.md tells model, steps, figures and constants. It
builds on Wei, Dobigeon and Tourneret, "Bayesian fusion of multi-band images", IEEE JSTSP 9(6), 2015,
doi:10.1109/JSTSP.2015.2407855 (subspace and Gaussian prior), and on Gaussian-process regression (Rasmussen and
Williams, MIT Press 2006). Noise levels, rank, PSF, regression and prior all come from the pair; nothing is taken from
a truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hsipipe.degrade.blur import Blur, block_mean
from hsipipe.degrade.psf import check_kernel, psf_width
from hsipipe.errors import UserError, unknown
from hsipipe.tasks.fusion.methods.subspace_map.windows import learning_windows
from hsipipe.tasks.fusion.result import Fused
from hsipipe.tasks.fusion.shared.estimate_psf import PsfEstimate, estimate_psf
from hsipipe.tasks.fusion.shared.estimate_srf import estimate_srf
from hsipipe.tasks.fusion.shared.kernel_candidates import Sample
from hsipipe.tasks.fusion.shared.kernel_regression import Regression, fit_regression
from hsipipe.tasks.fusion.shared.map_refinement import Prior, Refined, fit_prior, trusted
from hsipipe.tasks.fusion.shared.map_refinement import refine as find_deviation
from hsipipe.tasks.fusion.shared.noise import band_noise, image_noise, local_wiener
from hsipipe.tasks.fusion.shared.pair import ratio_of, respond
from hsipipe.tasks.fusion.shared.subspace import Subspace, find_subspace

SOURCES = ("known", "estimated", "none")
PIXELS_FOR_MOMENTS = 40_000  # LR pixels that noise, subspace and response are taken from
CHUNK = 1 << 15  # pixels at a time on the way from coefficients to bands
FILTER_REACH = 7  # HR pixels that the Wiener filter's two window means reach, one step more
CLEANEST = 1e-3  # noise of the MSI over its root mean square, at least
HALO_LENGTHS = 2.0  # of the prior's correlation, that a block needs around it
SIGNIFICANT = 5.0  # noise levels below 0 at which a value counts as negative


@dataclass(frozen=True)
class Model:
    """What was learnt of a pair, for use on the whole of it or on blocks.

    Attributes:
        subspace: spectra and their coefficients.
        regression: from an MSI pixel to coefficients.
        prior: of the deviation, or None: no refinement.
        psf: (n, n) or None, that the refinement uses; edge: its continuation; ratio: HR per LR pixel.
        srf: (m, C).
        msi_noise: (m,) level; msi_trust: (m,) the same with what the response does not explain of the MSI.
        non_negative: whether the HSI has no value significantly below 0, so that the cube gets none.
        found: facts to be told.
    """

    subspace: Subspace
    regression: Regression
    prior: Prior | None
    psf: np.ndarray | None
    edge: str
    ratio: int
    srf: np.ndarray
    msi_noise: np.ndarray
    msi_trust: np.ndarray
    non_negative: bool
    found: dict[str, Any] = field(default_factory=dict)


def fit(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    psf: np.ndarray | None = None,
    srf: np.ndarray | None = None,
    edge: str = "reflect",
    wavelength_nm: np.ndarray | None = None,  # noqa: ARG001
    psf_source: str = "estimated",
    rank: int | None = None,
    centres: int = 300,
    refine: bool = True,
) -> Model:
    """Learn everything from one or several windows of a pair.

    Args:
        pairs: (lr_hsi (C, h, w), hr_msi (m, H, W)) of each window. One is taken for the whole scene; beside the
            borders of several the blur is not what `edge` says, and those pixels are not learnt from.
        psf: (n, n); used with psf_source "known" only.
        srf: (m, C); None estimates it.
        edge: "reflect" or "zero".
        wavelength_nm: not used.
        psf_source: "known", "estimated" or "none" (each pixel by itself).
        rank: of the subspace; None counts the eigenvalues above the noise.
        centres: kernels of the regression, at most.
        refine: whether `apply` refines; never with psf_source "none".

    Raises:
        UserError: as `ratio_of`; psf_source "known" without a psf; a rank above the number of bands; an unknown source.
    """
    if psf_source not in SOURCES:
        raise unknown("psf_source", psf_source, SOURCES)
    if psf_source == "known" and psf is None:
        raise UserError(
            "the PSF is to be known, but none is given", key="psf", remedy="give it, or set psf_source: estimated"
        )
    ratio = max(ratio_of(lr_hsi, hr_msi, srf=srf) for lr_hsi, hr_msi in pairs)
    whole = len(pairs) == 1
    spectra = _spectra(pairs)
    response, response_origin = _response(pairs, srf, ratio)
    noise = band_noise(spectra)
    msi_noise = _msi_noise(pairs)
    subspace = find_subspace(spectra, noise, rank=rank)
    windows, whole_windows = learning_windows(pairs, ratio)
    guides = [local_wiener(hr_msi, msi_noise) for _, hr_msi in windows]
    views = [respond(response, lr_hsi) for lr_hsi, _ in windows]
    estimate = None
    kernel = None
    if psf_source == "known" and psf is not None:
        kernel = _fitting(check_kernel(psf), windows)
    elif psf_source == "estimated":
        shown = [(view, hr_msi) for view, (_, hr_msi) in zip(views, windows, strict=True)]
        estimate = estimate_psf(shown, ratio=ratio, edge=edge, whole=whole and whole_windows)
        kernel = estimate.kernel
    if psf_source == "none":
        samples = [Sample(subspace.coefficients(lr), view, None) for (lr, _), view in zip(windows, views, strict=True)]
    else:
        cut = 0 if whole and whole_windows else _reach(kernel, ratio)
        samples = [
            _sample(subspace, lr, guide, kernel, edge, ratio, cut)
            for (lr, _), guide in zip(windows, guides, strict=True)
        ]
    gains = np.linalg.norm(subspace.basis, axis=0)
    regression = fit_regression(samples, gains, bands=len(spectra), whiten=psf_source != "none", centres=centres)
    prior, msi_trust = None, msi_noise
    if refine and psf_source != "none":
        prior = fit_prior(regression.residuals, kernel, ratio)
        prior = prior if len(prior.variance) else None
        msi_trust = _trust(samples, views, msi_noise, np.sqrt(response**2 @ noise**2))
    found = _facts(
        subspace, regression, prior, noise, msi_noise, msi_trust, psf_source, kernel, estimate, response_origin
    )
    return Model(
        subspace=subspace,
        regression=regression,
        prior=prior,
        psf=kernel,
        edge=edge,
        ratio=ratio,
        srf=response,
        msi_noise=msi_noise,
        msi_trust=msi_trust,
        non_negative=bool((spectra >= -SIGNIFICANT * noise[:, None]).all()),
        found=found,
    )


def apply(model: Model, lr_hsi: np.ndarray, hr_msi: np.ndarray) -> np.ndarray:
    """The fused cube of a pair or a block of it: (C, H, W) float32."""
    return _applied(model, lr_hsi, hr_msi)[0]


def halo(model: Model) -> int:
    """Coarse pixels of context that a block needs: the Wiener filter's, the kernel's and the prior's reach."""
    filtering = -(-FILTER_REACH // model.ratio)
    if model.prior is None:
        return filtering
    smooth = int(np.ceil(HALO_LENGTHS * model.prior.length / model.ratio)) + 2
    # Not below two reaches: the kernel must fit into the narrowest block, one pixel and one halo.
    return filtering + _reach(model.psf, model.ratio) + max(smooth, _reach(model.psf, model.ratio))


def fuse(
    lr_hsi: np.ndarray,
    hr_msi: np.ndarray,
    *,
    psf: np.ndarray | None = None,
    srf: np.ndarray | None = None,
    edge: str = "reflect",
    wavelength_nm: np.ndarray | None = None,
    psf_source: str = "estimated",
    rank: int | None = None,
    centres: int = 300,
    refine: bool = True,
) -> Fused:
    """Regression on the denoised MSI through the blur, then the MAP deviation in the residual's components.

    Args:
        lr_hsi: (C, h, w) float32, finite.
        hr_msi: (m, H, W) float32, finite, in the same scaling.
        psf: (n, n) kernel; used with psf_source "known" only.
        srf: (m, C) rows of sum 1, or None: estimated.
        edge: how the scene goes on beyond the image, "reflect" or "zero".
        wavelength_nm: not used.
        psf_source: "known", "estimated" or "none".
        rank: of the subspace; None counts the eigenvalues above the noise.
        centres: kernels of the regression, at most.
        refine: whether to refine.

    Returns:
        The cube, the PSF that was used, and what was found. Values are not clipped above; they are clipped at 0 if the
        HSI has none significantly below.

    Raises:
        UserError: as `fit`.
    """
    model = fit(
        [(lr_hsi, hr_msi)],
        psf=psf,
        srf=srf,
        edge=edge,
        wavelength_nm=wavelength_nm,
        psf_source=psf_source,
        rank=rank,
        centres=centres,
        refine=refine,
    )
    cube, refined = _applied(model, lr_hsi, hr_msi)
    found = dict(model.found)
    if refined is not None:
        found |= {"iterations": refined.iterations, "relative_residual": round(refined.residual, 5)}
    return Fused(cube, psf=model.psf, found=found)


def _applied(model: Model, lr_hsi: np.ndarray, hr_msi: np.ndarray) -> tuple[np.ndarray, Refined | None]:
    guide = local_wiener(hr_msi, model.msi_noise)
    coefficients = model.regression(guide)
    refined = None
    if model.prior is not None:
        blur = _blur(model.psf, model.ratio, hr_msi.shape[1:], model.edge)
        rotation = model.prior.rotation.astype(np.float32)
        misfit = model.subspace.coefficients(lr_hsi, constant=_constant(blur)) - blur.forward(coefficients)
        scaled = 1 / model.msi_trust[:, None]
        response = scaled * (model.srf @ model.subspace.basis)
        mean = (scaled[:, 0] * (model.srf @ model.subspace.mean)).astype(np.float32)
        unseen = guide * scaled.astype(np.float32)[..., None] - mean[:, None, None] - _times(response, coefficients)
        misfit = _times(rotation.T, misfit)
        refined = find_deviation(
            misfit,
            blur,
            model.prior,
            used=trusted(misfit, _reach(model.psf, model.ratio)),
            response=response @ model.prior.rotation,
            msi_misfit=unseen,
        )
        coefficients += _times(rotation, refined.deviation)
    return _cube(model, coefficients), refined


def _times(matrix: np.ndarray, images: np.ndarray) -> np.ndarray:
    flat = np.ascontiguousarray(matrix, np.float32) @ images.reshape(len(images), -1)
    return flat.reshape(-1, *images.shape[1:])


def _cube(model: Model, coefficients: np.ndarray) -> np.ndarray:
    basis, mean = model.subspace.basis.astype(np.float32), model.subspace.mean.astype(np.float32)[:, None]
    flat = coefficients.reshape(len(coefficients), -1)
    cube = np.empty((len(basis), flat.shape[1]), np.float32)
    for start in range(0, flat.shape[1], CHUNK):
        part = basis @ flat[:, start : start + CHUNK]
        part += mean
        if model.non_negative:
            np.maximum(part, 0, out=part)
        cube[:, start : start + CHUNK] = part
    return cube.reshape(-1, *coefficients.shape[1:])


def _spectra(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Evenly thinned spectra (C, n) of all windows."""
    total = sum(lr_hsi[0].size for lr_hsi, _ in pairs)
    step = max(1, -(-total // PIXELS_FOR_MOMENTS))
    return np.concatenate([lr_hsi.reshape(len(lr_hsi), -1)[:, ::step] for lr_hsi, _ in pairs], axis=1)


def _response(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], srf: np.ndarray | None, ratio: int
) -> tuple[np.ndarray, str]:
    if srf is not None:
        return np.asarray(srf, np.float64), "given"
    hsi = np.concatenate([lr_hsi.reshape(len(lr_hsi), -1) for lr_hsi, _ in pairs], axis=1)
    # Deviation from the forward model: the block mean stands for the blur, which is estimated with the response only.
    msi = np.concatenate([block_mean(hr_msi, ratio).reshape(len(hr_msi), -1) for _, hr_msi in pairs], axis=1)
    return estimate_srf(hsi[..., None], msi[..., None]), "estimated"


def _msi_noise(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The median of the windows' levels, at least that of 60 dB: float32 sums bear no more."""
    level = np.median([image_noise(_cut_out(hr_msi, 1024)) for _, hr_msi in pairs], axis=0)
    power = np.mean([np.mean(hr_msi, dtype=np.float64) ** 2 + np.var(hr_msi, dtype=np.float64) for _, hr_msi in pairs])
    return np.maximum(level, max(CLEANEST * float(np.sqrt(power)), 1e-12))


def _trust(
    samples: Sequence[Sample], views: Sequence[np.ndarray], msi_noise: np.ndarray, view_noise: np.ndarray
) -> np.ndarray:
    """The MSI's noise, and what of the HSI's view through the response the blurred MSI does not show: (m,).

    A response that is only about right, or an MSI that is no linear image of the radiance, must not be taken at its
    word to within the noise.
    """
    missed = [
        (view[(slice(None), *sample.inner)] - sample.lowered(sample.guide)).reshape(len(view), -1)
        for sample, view in zip(samples, views, strict=True)
    ]
    error = np.mean(np.concatenate(missed, axis=1).astype(np.float64) ** 2, axis=1)
    return np.sqrt(msi_noise**2 + np.maximum(error - view_noise**2, 0))


def _cut_out(image: np.ndarray, side: int) -> np.ndarray:
    top, left = (max(0, (size - side) // 2) for size in image.shape[1:])
    return image[:, top : top + side, left : left + side]


def _fitting(kernel: np.ndarray, windows: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The kernel, refused if it is larger than an image."""
    smallest = min(min(hr_msi.shape[1:]) for _, hr_msi in windows)
    if len(kernel) > smallest:
        raise UserError(
            f"a kernel of {len(kernel)} x {len(kernel)} is larger than the image",
            key="psf",
            found=f"{smallest} pixels",
            remedy="choose a smaller kernel",
        )
    return kernel


def _reach(kernel: np.ndarray | None, ratio: int) -> int:
    """LR pixels that a kernel reaches."""
    return 0 if kernel is None else -(-(len(kernel) // 2) // ratio)


def _blur(kernel: np.ndarray | None, ratio: int, shape: tuple[int, ...], edge: str) -> Blur:
    return Blur(kernel, ratio, (shape[0], shape[1]), edge=edge)


def _constant(blur: Blur) -> np.ndarray:
    """What a constant image of 1 becomes."""
    return blur.forward(np.ones((1, *blur.shape), np.float32))[0]


def _sample(
    subspace: Subspace,
    lr_hsi: np.ndarray,
    guide: np.ndarray,
    kernel: np.ndarray | None,
    edge: str,
    ratio: int,
    cut: int,
) -> Sample:
    blur = _blur(kernel, ratio, guide.shape[1:], edge)
    inner = tuple(slice(cut, size - cut) if size > 2 * cut + 2 else slice(None) for size in lr_hsi.shape[1:])
    return Sample(subspace.coefficients(lr_hsi, constant=_constant(blur)), guide, blur, (inner[0], inner[1]))


def _facts(
    subspace: Subspace,
    regression: Regression,
    prior: Prior | None,
    noise: np.ndarray,
    msi_noise: np.ndarray,
    msi_trust: np.ndarray,
    source: str,
    kernel: np.ndarray | None,
    estimate: PsfEstimate | None,
    response_origin: str,
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "rank": subspace.rank,
        "start": regression.name,
        "hold_out_rmse": {name: round(error, 7) for name, error in regression.errors.items()},
        "hsi_noise_median": float(np.median(noise)),
        "msi_noise": [float(level) for level in msi_noise],
        "msi_noise_and_mismatch": [float(level) for level in msi_trust],
        "psf_source": source,
        "srf": response_origin,
    }
    if kernel is not None:
        width = psf_width(kernel)
        facts["psf_rms"] = [_number(width.rms_rows), _number(width.rms_cols)]
        facts["psf_size"] = len(kernel)
    if estimate is not None:
        facts["psf_kind"] = estimate.kind
        facts["psf_shift"] = [round(value, 3) for value in estimate.shift]
    if prior is not None:
        facts["refined_components"] = len(prior.variance)
        facts["prior_length"] = prior.length
    return facts


def _number(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
