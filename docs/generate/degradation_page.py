"""Noises, point-spread functions, responses and band selections: what a config may name."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields

from pieces import prose, table, value

from hsipipe.bands.selection import NEEDS_SPECTRA, STRATEGIES
from hsipipe.degrade.noise import parse_noise
from hsipipe.degrade.noise_components import COMPONENTS
from hsipipe.degrade.noise_presets import PRESETS
from hsipipe.degrade.psf import PSFS, SIGMA, SIZE
from hsipipe.degrade.response import BY_COUNT, sensors


def page() -> str:
    """The page on all that degrades a scene."""
    return "\n".join(
        [
            "# Degradation and bands\n",
            "What `noise`, `psfs`, `srf` and `bands` of a config may name, and `--noise`, `--psf`, `--srf`,",
            "`--strategy` of the",
            "command line. Why these noises: [noise](../explanation/noise.md).\n",
            *_noises(),
            *_psfs(),
            *_responses(),
            *_strategies(),
        ]
    )


def _noises() -> list[str]:
    presets = [
        (f"`{name}`", " + ".join(f"`{_spec(part.describe())}`" for part in parse_noise(name).components) or "nothing")
        for name in PRESETS
    ]
    lines = ["## Noise presets\n", table(("preset", "components, one after the other"), presets)]
    lines += [
        "## Noise components\n",
        "A text names them with their settings and joins them with `+`:",
        "`gaussian:sigma=0.1+stripe:fraction=0.4,intensity=0.5+clip`.",
        "Presets are in units of images scaled to [0, 1]. `bands` below 1 touches that share of the bands.\n",
    ]
    for kind, cls in COMPONENTS.items():
        rows = [
            (f"`{item.name}`", "**required**" if item.default is MISSING else value(item.default))
            for item in fields(cls)
        ]
        lines += [
            f"### {kind}\n",
            prose(cls.__doc__) + "\n",
            _attributes(cls.__doc__),
            table(("setting", "default"), rows),
        ]
    return lines


def _spec(described: dict) -> str:
    settings = {name: given for name, given in described.items() if name != "type" and (name, given) != ("bands", 1.0)}
    text = ",".join(f"{name}={_short(given)}" for name, given in settings.items())
    return f"{described['type']}:{text}" if text else described["type"]


def _short(given: object) -> str:
    if isinstance(given, list):
        return ":".join(_short(part) for part in given)
    return f"{given:.4g}" if isinstance(given, float) else str(given).lower()


def _attributes(docstring: str | None) -> str:
    """The section `Attributes` of a docstring as a list."""
    body = (docstring or "").partition("Attributes:")[2].rstrip()
    if not body:
        return ""
    lines = [line for line in body.splitlines() if line.strip()]
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    entries: list[str] = []
    for line in lines:
        if len(line) - len(line.lstrip()) == margin:
            names, _, text = line.strip().partition(":")
            entries.append(f"- {', '.join(f'`{name.strip()}`' for name in names.split(','))}:{text}")
        else:
            entries[-1] += f" {line.strip()}"
    return "\n".join(entries) + "\n"


def _psfs() -> list[str]:
    rows = []
    for name, function in PSFS.items():
        own = {
            key: parameter.default
            for key, parameter in inspect.signature(function).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        }
        settings = ", ".join(f"`{key}`" if default is None else f"`{key}={default:g}`" for key, default in own.items())
        rows.append((f"`{name}`", prose(function.__doc__).split("\n\n")[0], settings))
    return [
        "## Point-spread functions\n",
        f"All have `sigma` ({SIGMA:g}), a scale in pixels of the fine image, and `size` ({SIZE}), the side of",
        "the kernel; all are divided by",
        "their sum. A file works too: a 2-D matrix in `.mat`, `.csv` or `.npy`. Names that end with `_peer`",
        "are the forms of the paper",
        "SpectraMorph, errors included.\n",
        table(("name", "form", "settings of its own"), rows),
        "![The point-spread functions](../images/psfs.png)\n",
    ]


def _responses() -> list[str]:
    counts = {sensor: count for count, sensor in BY_COUNT.items()}
    rows = [
        (
            f"`{name}`",
            len(edges),
            f"`{counts[name]}`" if name in counts else "",
            ", ".join(f"{low:g}-{high:g}" for _, low, high in edges),
        )
        for name, edges in sensors().items()
    ]
    return [
        "## Spectral responses\n",
        "By a sensor's name, or by its number of bands. Edges are half-power points; a band is a Gaussian",
        "between them. A matrix",
        "(MSI bands, HSI bands), or curves over wavelength, can be given as a file, any other sensor as",
        "`{centres_nm: [...], fwhm_nm: [...]}`.\n",
        table(("sensor", "bands", "short", "lower and upper edges, nm"), rows),
    ]


def _strategies() -> list[str]:
    rows = []
    for name, function in STRATEGIES.items():
        parameters = [
            part for part in inspect.signature(function).parameters.values() if part.kind is part.KEYWORD_ONLY
        ]
        settings = ", ".join(
            f"`{part.name}`" + ("" if part.default is part.empty else f" ({value(part.default)})")
            for part in parameters
        )
        rows.append(
            (f"`{name}`", prose(function.__doc__).split("\n\n")[0], settings, "yes" if name in NEEDS_SPECTRA else "")
        )
    return [
        "## Band selection\n",
        "`bands: {strategy: NAME, ...}` of a case, `--strategy` of `hsipipe bands`. What is fitted is fitted on",
        "the training part.\n",
        table(("strategy", "what it takes", "settings", "fitted"), rows),
    ]
