"""The components of a noise: what each does to a batch of images, with what settings.

Every component takes `bands`, the fraction of the bands that it touches (drawn per image; 1 = all). All values are in
the units of the image, which is scaled to [0, 1] in every preset. A column runs along the flight direction; images are
(B, C, H, W), columns on the last axis.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from hsipipe.degrade import draws
from hsipipe.errors import UserError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Component(ABC):
    """One step of a noise.

    Attributes:
        bands: fraction of the bands that it touches, in (0, 1]; floor(bands * C) of them, at least one.
    """

    type: ClassVar[str] = ""
    bands: float = 1.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            numbers = value if isinstance(value, tuple) else (value,)
            for number in numbers:
                if number is not None and isinstance(number, float) and not math.isfinite(number):
                    raise self.error(item.name, "must be finite")
        self.check("bands", 0.0, 1.0, open_low=True)

    def error(self, name: str, message: str) -> UserError:
        """The error for a setting of this component."""
        return UserError(message, key=f"noise {self.type}.{name}", found=repr(getattr(self, name)))

    def check(self, name: str, low: float, high: float = math.inf, *, open_low: bool = False) -> None:
        """Raise UserError unless the setting (every value of a tuple; None passes) lies in [low, high]."""
        value = getattr(self, name)
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None and not ((low < number if open_low else low <= number) and number <= high):
                bound = f"above {low:g}" if open_low else f"at least {low:g}"
                raise self.error(name, f"must be {bound}" + ("" if high == math.inf else f" and at most {high:g}"))

    def check_order(self, low: str, high: str) -> None:
        """Raise UserError if the setting `high` is given and below the setting `low`."""
        value = getattr(self, high)
        if value is not None and value < getattr(self, low):
            raise self.error(high, f"must not be below {low} ({getattr(self, low):g})")

    def describe(self) -> dict[str, Any]:
        """Type and settings, those that are None left out; `parse_noise` reads it back."""
        settings = {item.name: getattr(self, item.name) for item in fields(self)}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
        return {"type": self.type, **{name: value for name, value in plain.items() if value is not None}}

    @abstractmethod
    def corrupt(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Corrupt (B, k, H, W), the bands that this component touches; may work in place."""


@dataclass(frozen=True, kw_only=True)
class Gaussian(Component):
    """Additive white Gaussian noise, equal in all bands.

    Attributes:
        sigma: standard deviation.
        sigma_high: if given, the standard deviation is drawn per image, uniform in [sigma, sigma_high] ("blind").
    """

    type: ClassVar[str] = "gaussian"
    sigma: float
    sigma_high: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("sigma", 0)
        self.check_order("sigma", "sigma_high")

    def corrupt(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Add the noise in place."""
        if self.sigma_high is None:
            return image.add_(draws.normal(image.shape, generator, image.device), alpha=self.sigma)
        sigma = draws.uniform((len(image), 1, 1, 1), generator, image.device, self.sigma, self.sigma_high)
        return image.addcmul_(draws.normal(image.shape, generator, image.device), sigma)


@dataclass(frozen=True, kw_only=True)
class NoniidGaussian(Component):
    """Additive Gaussian noise whose standard deviation differs between bands.

    Attributes:
        sigma_low, sigma_high: every band's standard deviation is drawn uniform in [sigma_low, sigma_high].
        levels: if given, it is drawn from these values instead, with equal chances.
    """

    type: ClassVar[str] = "noniid-gaussian"
    sigma_low: float | None = None
    sigma_high: float | None = None
    levels: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.levels is None) == (self.sigma_low is None) or (self.sigma_low is None) != (self.sigma_high is None):
            raise UserError("give either sigma_low and sigma_high, or levels", key=f"noise {self.type}")
        self.check("sigma_low", 0)
        self.check("levels", 0)
        if self.sigma_low is not None:
            self.check_order("sigma_low", "sigma_high")

    def corrupt(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Add the noise in place."""
        shape = (*image.shape[:2], 1, 1)
        if self.levels is not None:
            sigma = draws.choices(self.levels, shape, generator, image.device)
        else:
            assert self.sigma_low is not None
            assert self.sigma_high is not None
            sigma = draws.uniform(shape, generator, image.device, self.sigma_low, self.sigma_high)
        return image.addcmul_(draws.normal(image.shape, generator, image.device), sigma)


@dataclass(frozen=True, kw_only=True)
class Stripe(Component):
    """Vertical stripes: a constant offset per column and band, uniform in [-intensity, intensity].

    Attributes:
        fraction: fraction of the columns that are striped; floor(fraction * W) of them.
        fraction_high: if given, the number is drawn in [floor(fraction * W), floor(fraction_high * W)).
        intensity: largest offset.
        per_band_columns: False: the same columns in all bands (a pushbroom detector's faulty columns), the offsets
            differ. True: every band draws its own columns and their number.
    """

    type: ClassVar[str] = "stripe"
    fraction: float
    intensity: float
    fraction_high: float | None = None
    per_band_columns: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("fraction", 0, 1)
        self.check("fraction_high", 0, 1)
        self.check_order("fraction", "fraction_high")
        self.check("intensity", 0)

    def corrupt(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Add the offsets in place."""
        batch, bands, _, width = image.shape
        groups = bands if self.per_band_columns else 1
        low = math.floor(self.fraction * width + 1e-6)
        high = low + 1 if self.fraction_high is None else math.floor(self.fraction_high * width + 1e-6)
        most = max(low, high - 1)
        if most == 0:
            return image
        count = draws.integers((batch, groups, 1), generator, image.device, low, high)
        columns = draws.subsets((batch, groups), width, most, generator, image.device)
        offsets = draws.uniform((batch, bands, most), generator, image.device, -self.intensity, self.intensity)
        if most > low:  # lines beyond the number drawn get no offset
            offsets = offsets * (columns.new_tensor(range(most)) < count)
        stripes = image.new_zeros(batch, bands, width)
        stripes.scatter_(2, columns.expand(batch, bands, most), offsets.to(image.dtype))
        return image.add_(stripes[:, :, None])


@dataclass(frozen=True, kw_only=True)
class Impulse(Component):
    """Salt-and-pepper noise: pixels of a band replaced by `high` or `low`.

    Attributes:
        fraction: chance of a sample to be replaced.
        levels: if given instead, every band's chance is drawn from these values.
        salt: share of the replaced samples that become `high`.
        low, high: the two values.
    """

    type: ClassVar[str] = "impulse"
    fraction: float | None = None
    levels: tuple[float, ...] | None = None
    salt: float = 0.5
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.fraction is None) == (self.levels is None):
            raise UserError("give either fraction or levels", key=f"noise {self.type}")
        for name in ("fraction", "levels", "salt"):
            self.check(name, 0, 1)

    def corrupt(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Replace samples in place; one uniform value per sample decides both whether and by what."""
        if self.levels is not None:
            chance = draws.choices(self.levels, (*image.shape[:2], 1, 1), generator, image.device)
        else:
            assert self.fraction is not None
            chance = draws.choices((self.fraction,), (1, 1, 1, 1), generator, image.device)
        value = draws.uniform(image.shape, generator, image.device)
        image.masked_fill_(value < chance, self.low)
        return image.masked_fill_(value < chance * self.salt, self.high)


@dataclass(frozen=True, kw_only=True)
class Deadline(Component):
    """Dead lines: whole columns of a band replaced by one value; every band draws its own columns.

    Attributes:
        fraction: number of lines as a fraction of the columns; ceil(fraction * W) of them.
        fraction_high: if given, the number is drawn in [ceil(fraction * W), ceil(fraction_high * W)).
        width, width_high: each line covers `width` columns, or a number drawn in [width, width_high].
        value: what the dead columns hold.
    """

    type: ClassVar[str] = "deadline"
    fraction: float
    fraction_high: float | None = None
    width: int = 1
    width_high: int | None = None
    value: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("fraction", 0, 1)
        self.check("fraction_high", 0, 1)
        self.check_order("fraction", "fraction_high")
        self.check("width", 1)
        self.check_order("width", "width_high")

    def corrupt(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Overwrite the columns in place."""
        batch, bands, _, columns = image.shape
        low = math.ceil(self.fraction * columns - 1e-6)
        high = low + 1 if self.fraction_high is None else math.ceil(self.fraction_high * columns - 1e-6)
        most, widest = max(low, high - 1), self.width_high or self.width
        if most == 0:
            return image
        count = draws.integers((batch, bands, 1), generator, image.device, low, high)
        first = draws.subsets((batch, bands), columns, most, generator, image.device)
        width = draws.integers((batch, bands, most), generator, image.device, self.width, widest + 1)
        width = width * (first.new_tensor(range(most)) < count)  # lines beyond the number drawn have no width
        step = first.new_tensor(range(widest))
        covered = first[..., None] + step
        # Columns that a line does not reach go to one spare column behind the image, cut off again below.
        covered = covered.where((step < width[..., None]) & (covered < columns), columns).flatten(2)
        dead = image.new_zeros(batch, bands, columns + 1).scatter_(2, covered, 1.0)[:, :, None, :columns]
        return image.masked_fill_(dead > 0, self.value)


@dataclass(frozen=True, kw_only=True)
class PoissonGaussian(Component):
    """Photon noise and read-out noise: Poisson(peak * x) / peak + sigma * normal; negative x counts as 0.

    Attributes:
        peak: counts at the value 1 (the detector's gain is 1 / peak).
        sigma: standard deviation of the read-out noise.
    """

    type: ClassVar[str] = "poisson-gaussian"
    peak: float
    sigma: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("peak", 0, open_low=True)
        self.check("sigma", 0)

    def corrupt(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Replace the values by noisy counts."""
        noisy = draws.poisson(image.float().clamp(min=0).mul_(self.peak), generator).div_(self.peak)
        if self.sigma > 0:
            noisy.add_(draws.normal(image.shape, generator, image.device), alpha=self.sigma)
        return noisy.to(image.dtype)


@dataclass(frozen=True, kw_only=True)
class Clip(Component):
    """Values outside [low, high] are set to the nearer end."""

    type: ClassVar[str] = "clip"
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.high <= self.low:
            raise self.error("high", f"must be above low ({self.low:g})")

    def corrupt(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG002
        """Clip in place; draws nothing."""
        return image.clamp_(self.low, self.high)


COMPONENTS: dict[str, type[Component]] = {
    kind.type: kind for kind in (Gaussian, NoniidGaussian, Stripe, Impulse, Deadline, PoissonGaussian, Clip)
}
