"""What a config says of a fusion case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from hsipipe.cases.settings import CommonCaseSettings
from hsipipe.cases.split import SplitSettings
from hsipipe.degrade.psf import make_psf
from hsipipe.degrade.response import FWHM_FACTOR, PEER_FWHM_FACTOR
from hsipipe.errors import UserError

# The kinds of figure that `draw` knows.
FIGURES = ("bars", "visual", "spectra", "time", "by-psf", "psfs", "response", "endmembers", "latents")

# Which settings of a case each step reads: a change of the others does not make it run again.
USED_BY = {
    "split": ("split", "crop", "items"),
    "bands": ("bands",),
    "prepare": (
        "ratio",
        "psfs",
        "srf",
        "axis",
        "fwhm_factor",
        "edge",
        "scaling",
        "snr_hsi_db",
        "snr_msi_db",
        "peer",
        "seed",
    ),
    "predict": ("figure_unit", "figure_psf"),
    "score": ("border", "peer"),
    "draw": (),
}


@dataclass(frozen=True, kw_only=True)
class CaseSettings(CommonCaseSettings):
    """A fusion case: scenes, and how the low-resolution HSI and the high-resolution MSI are made of them.

    Every unit is degraded by each of `psfs`, so that one job sees a whole row of a study's grid. `peer: true` is the
    degradation of the paper SpectraMorph, errors included; what is given besides replaces its parts.
    """

    ratio: int = field(metadata={"meaning": "high-resolution pixels along a low-resolution one", "minimum": 2})
    psfs: list[str] = field(
        default_factory=lambda: ["gaussian"],
        metadata={
            "meaning": "point-spread functions: names with settings, such as `gaussian:sigma=2,size=9`, or files",
            "nonempty": True,
            "distinct": True,
        },
    )
    srf: Any = field(
        default=4,
        metadata={
            "meaning": "spectral response of the MSI: 1, 3, 4, 8, 16 bands, a sensor's name, `centres_nm` and "
            "`fwhm_nm`, or a file"
        },
    )
    snr_hsi_db: float | None = field(default=35.0, metadata={"meaning": "noise of the HSI; null: none"})
    snr_msi_db: float | None = field(default=40.0, metadata={"meaning": "noise of the MSI; null: none"})
    peer: bool = field(
        default=False,
        metadata={"meaning": "degrade, and score too, as the paper SpectraMorph does, errors included"},
    )
    axis: Literal["measured", "stretched"] | None = field(
        default=None,
        metadata={
            "meaning": "where the HSI's bands lie on the response: at their wavelengths, or spread evenly over it as "
            "in the paper; stretched if absent and `peer`"
        },
    )
    fwhm_factor: float | None = field(
        default=None,
        metadata={
            "meaning": "standard deviations between the edges of an MSI band; 4.2 if absent and `peer`, else 2.3548 "
            "(edges at half of the maximum)",
            "above": 0,
        },
    )
    edge: Literal["reflect", "zero"] | None = field(
        default=None,
        metadata={"meaning": "what the blur meets beyond the image; zero if absent and `peer`, else reflect"},
    )
    scaling: Literal["factor", "percentiles"] | None = field(
        default=None,
        metadata={
            "meaning": "of the truth: by one factor, or clipped to its 1st to 99th percentile and scaled to [0, 1]; "
            "percentiles if absent and `peer`, else factor"
        },
    )
    split: SplitSettings = field(
        default_factory=lambda: SplitSettings(by="test"), metadata={"meaning": "how units are shared out"}
    )
    border: int | None = field(
        default=None,
        metadata={"meaning": "pixels at each edge that the inner scores leave out; `ratio` if absent", "minimum": 0},
    )
    figure_psf: int = field(
        default=0, metadata={"meaning": "which of `psfs` (by its number) the pictures show", "minimum": 0}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, plain, peer in (
            ("axis", "measured", "stretched"),
            ("fwhm_factor", FWHM_FACTOR, PEER_FWHM_FACTOR),
            ("edge", "reflect", "zero"),
            ("scaling", "factor", "percentiles"),
            ("border", self.ratio, self.ratio),
        ):
            if getattr(self, name) is None:
                object.__setattr__(self, name, peer if self.peer else plain)
        for psf in self.psfs:
            make_psf(psf)
        if self.figure_psf >= len(self.psfs):
            raise UserError(
                f"the case has {len(self.psfs)} PSFs",
                key="figure_psf",
                found=self.figure_psf,
                remedy=f"choose one from 0 to {len(self.psfs) - 1}",
            )
