"""From a noise's specification (text, dictionary, list) to its components, with every setting checked."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any

from hsipipe.degrade.noise_components import COMPONENTS, Component
from hsipipe.degrade.noise_presets import PRESETS
from hsipipe.errors import UserError, unknown


def components_of(spec: object) -> list[Component]:
    """The components of a specification; see `hsipipe.degrade.noise.parse_noise` for what it may be."""
    if isinstance(spec, str):
        return [component for part in spec.split("+") for component in _from_text(part.strip())]
    if isinstance(spec, dict):
        return [_component(spec)]
    if isinstance(spec, Sequence):
        return [component for part in spec for component in components_of(part)]
    raise UserError(
        "a noise is a preset's name, a component, or a list of components",
        key="noise",
        found=repr(spec),
        remedy=f"the presets are: {', '.join(sorted(PRESETS))}",
    )


def _from_text(text: str) -> list[Component]:
    kind, _, settings = text.partition(":")
    if kind in PRESETS and not settings:
        return [_component(part) for part in PRESETS[kind]]
    if kind not in COMPONENTS:
        raise unknown("noise", kind, [*PRESETS, *COMPONENTS])
    values: dict[str, Any] = {"type": kind}
    for pair in filter(None, (part.strip() for part in settings.split(","))):
        name, equals, value = pair.partition("=")
        if not equals or not value:
            raise UserError(
                "expected setting=value", key=f"noise {kind}", found=repr(pair), remedy="as in gaussian:sigma=0.1"
            )
        values[name.strip()] = [part.strip() for part in value.split(":")] if ":" in value else value.strip()
    return [_component(values)]


def _component(spec: dict[str, Any]) -> Component:
    kind = spec.get("type")
    if kind is None:
        raise UserError(
            "a noise component needs a type", key="noise", found=repr(spec), remedy=f"one of {', '.join(COMPONENTS)}"
        )
    if kind not in COMPONENTS:
        raise unknown("noise type", str(kind), COMPONENTS)
    cls = COMPONENTS[kind]
    hints = typing.get_type_hints(cls)
    settings: dict[str, Any] = {}
    for name, value in spec.items():
        if name == "type":
            continue
        if name not in {item.name for item in fields(cls)}:
            raise unknown(f"setting of the noise {kind!r}", str(name), [item.name for item in fields(cls)])
        settings[name] = _convert(value, hints[name], f"noise {kind}.{name}")
    missing = [item.name for item in fields(cls) if item.default is MISSING and item.name not in settings]
    if missing:
        raise UserError(f"needs {' and '.join(missing)}", key=f"noise {kind}", remedy=f"as in {kind}:{missing[0]}=0.1")
    return cls(**settings)


def _convert(value: Any, hint: Any, key: str) -> Any:
    """`value` as the type of the setting: float, int, bool, tuple of floats, or one of these or None."""
    if isinstance(hint, types.UnionType):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        return None if value is None else _convert(value, options[0], key)
    if typing.get_origin(hint) is tuple:
        parts = value if isinstance(value, (list, tuple)) else [value]
        if not parts:
            raise UserError("needs at least one value", key=key)
        return tuple(_convert(part, float, key) for part in parts)
    if hint is bool:
        word = str(value).lower()
        if word not in ("true", "false"):
            raise UserError("must be true or false", key=key, found=repr(value))
        return word == "true"
    number = _number(value, key)
    if hint is int:
        if number != int(number):
            raise UserError("must be a whole number", key=key, found=repr(value))
        return int(number)
    return number


def _number(value: Any, key: str) -> float:
    """A number, or a text such as "0.1" or "30/255"."""
    try:
        if isinstance(value, bool):
            raise ValueError
        if isinstance(value, str) and "/" in value:
            numerator, denominator = value.split("/")
            return float(numerator) / float(denominator)
        return float(value)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise UserError("must be a number", key=key, found=repr(value)) from error
