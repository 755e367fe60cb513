"""Typed settings: frozen dataclasses built from mappings (YAML, the command line), with errors that name the key.

A setting is a dataclass field. Its annotation is its type, its metadata says the rest:

    @dataclass(frozen=True)
    class Smoothing:
        width: int = field(default=3, metadata={"meaning": "side of the window, pixels", "minimum": 1})

Metadata: `meaning` (one line), `minimum` and `maximum` (inclusive), `above` and `below` (exclusive), `choices`. Limits
and choices hold for each element of a list; `nonempty` and `distinct` (True) hold for the list itself. Types: bool,
int, float, str, Path, Any, Literal, Optional and unions, list, tuple, dict with text keys, and nested dataclasses.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from hsipipe.errors import UserError, unknown

Settings = TypeVar("Settings")

LIMITS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "minimum": (lambda value, limit: value >= limit, "at least"),
    "maximum": (lambda value, limit: value <= limit, "at most"),
    "above": (lambda value, limit: value > limit, "above"),
    "below": (lambda value, limit: value < limit, "below"),
}
WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    type(None): "null",
}


def settings_from(
    cls: type[Settings], mapping: Mapping[str, Any] | None, where: str | Path | None = None, *, key: str = ""
) -> Settings:
    """Build settings of class `cls` from a mapping, checking every key and value.

    Whole numbers serve as float; 1e-3 serves as float although YAML 1.1 reads it as text. Nothing else is converted.

    Args:
        mapping: names and values; None (an empty section of a YAML file) means all defaults.
        where: what the errors name first: a file, or "file: section".
        key: the name of the section within `where`, for errors: `training` makes `training.epochs`.

    Raises:
        UserError: a key that `cls` does not have, a missing one, a value of a wrong type, out of range or not a choice.
    """
    if mapping is None:
        mapping = {}
    if not isinstance(mapping, Mapping):
        raise _wrong("keys with values", mapping, where, key)
    fields = {item.name: item for item in dataclasses.fields(cls) if item.init}  # type: ignore[arg-type]
    for name in mapping:
        if name not in fields:
            raise unknown(f"key of {key!r}" if key else "key", str(name), fields, file=where)
    hints = get_type_hints(cls)
    values = {}
    for name, item in fields.items():
        path = _join(key, name)
        if name in mapping:
            values[name] = convert(mapping[name], hints[name], item.metadata, where, path)
        elif _is_required(item):
            raise UserError("is missing", file=where, key=path, remedy=_advice(hints[name], item.metadata))
    try:
        return cls(**values)
    except UserError as error:
        # `__post_init__` knows the keys that do not fit together, but not in which file they stand.
        place = ": ".join(str(part) for part in (where, key) if part)
        raise UserError(str(error), file=place or None) from error


def check(settings: Any) -> None:
    """Check the fields of settings as `settings_from` does; for `__post_init__`, so that direct calls are checked too.

    Raises:
        UserError: a value of a wrong type, out of range or not among the choices.
    """
    hints = get_type_hints(type(settings))
    for item in dataclasses.fields(settings):
        convert(getattr(settings, item.name), hints[item.name], item.metadata, None, item.name)


def split(cls: type, mapping: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide a flat mapping into the keys that are fields of `cls` and the rest."""
    names = {item.name for item in dataclasses.fields(cls) if item.init}
    return (
        {name: value for name, value in mapping.items() if name in names},
        {name: value for name, value in mapping.items() if name not in names},
    )


def as_plain(settings: Any) -> Any:
    """Settings as dictionaries, lists, texts and numbers: what `settings_from` reads back and JSON can hold."""
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        return {item.name: as_plain(getattr(settings, item.name)) for item in dataclasses.fields(settings) if item.init}
    if isinstance(settings, Mapping):
        return {str(name): as_plain(value) for name, value in settings.items()}
    if isinstance(settings, (list, tuple)):
        return [as_plain(value) for value in settings]
    return str(settings) if isinstance(settings, Path) else settings


@dataclass(frozen=True)
class Description:
    """A setting as documentation shows it: dotted key, type in words, default (None if required), meaning."""

    key: str
    type: str
    required: bool
    default: Any
    meaning: str


def describe(cls: type, key: str = "") -> Iterator[Description]:
    """The settings of a class in their order, nested ones after their parent, for tables in the documentation."""
    hints = get_type_hints(cls)
    for item in dataclasses.fields(cls):
        if not item.init:
            continue
        path, required = _join(key, item.name), _is_required(item)
        default = None
        if item.default is not dataclasses.MISSING:
            default = item.default
        elif item.default_factory is not dataclasses.MISSING:
            default = item.default_factory()
        text = _advice(hints[item.name], item.metadata).removeprefix("give ")
        yield Description(path, text, required, as_plain(default), item.metadata.get("meaning", ""))
        for nested in _classes_in(hints[item.name]):
            yield from describe(nested, path)


def _join(*parts: object) -> str:
    return ".".join(str(part) for part in parts if part != "")


def _is_required(item: dataclasses.Field) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _classes_in(annotation: Any) -> list[type]:
    """The dataclasses that an annotation names directly or as an alternative (not inside containers)."""
    options = get_args(annotation) if _is_union(annotation) else (annotation,)
    return [option for option in options if dataclasses.is_dataclass(option)]  # type: ignore[misc]


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _words(annotation: Any) -> str:
    """A type in words, for errors and documentation."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in WORDS:
        return WORDS[annotation]
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if _is_union(annotation):
        return " or ".join(_words(option) for option in arguments)
    if origin in (list, Sequence) or (origin is tuple and arguments[-1] is Ellipsis):
        return f"a list, each {_words(arguments[0])}"
    if origin is tuple:
        return f"a list of {len(arguments)}: " + ", ".join(_words(argument) for argument in arguments)
    if origin in (dict, Mapping):
        return f"names with values, each {_words(arguments[1])}"
    if dataclasses.is_dataclass(annotation):
        return "keys with values: " + ", ".join(item.name for item in dataclasses.fields(annotation) if item.init)
    return {list: "a list", tuple: "a list", dict: "keys with values"}.get(annotation, "a value")


def _advice(annotation: Any, metadata: Mapping[str, Any]) -> str:
    text = f"give {_words(annotation)}"
    if "choices" in metadata:
        text += " of " + ", ".join(map(str, metadata["choices"]))
    limits = [f"{words} {metadata[name]}" for name, (_, words) in LIMITS.items() if name in metadata]
    return f"{text} {' and '.join(limits)}" if limits else text


def _wrong(expected: str, value: Any, where: str | Path | None, key: str) -> UserError:
    return UserError(f"must be {expected}", file=where, key=key or None, found=f"{type(value).__name__} {value!r}")


def convert(value: Any, annotation: Any, metadata: Mapping[str, Any], where: str | Path | None, key: str) -> Any:
    """`value` as the type of `annotation` within the limits of `metadata`, or a UserError naming `where` and `key`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return value
    if _is_union(annotation):
        return _convert_union(value, arguments, metadata, where, key)
    if annotation is type(None):
        if value is None:
            return None
        raise _wrong(WORDS[annotation], value, where, key)
    if origin is Literal:
        if any(value == option and type(value) is type(option) for option in arguments):
            return value
        raise _not_a_choice(value, arguments, where, key)
    if annotation in WORDS:
        return _convert_scalar(value, annotation, metadata, where, key)
    if dataclasses.is_dataclass(annotation):
        if isinstance(value, annotation):  # type: ignore[arg-type]
            return value
        return settings_from(annotation, value if value is not None else {}, where, key=key)  # type: ignore[arg-type]
    container = origin or annotation
    if container in (list, tuple, Sequence):
        return _convert_sequence(value, container, arguments, metadata, where, key)
    if container in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise _wrong(_words(annotation), value, where, key)
        inner = arguments[1] if arguments else Any
        return {str(name): convert(item, inner, metadata, where, _join(key, name)) for name, item in value.items()}
    raise TypeError(f"settings cannot hold {annotation!r} ({key})")


def _convert_scalar(value: Any, kind: Any, metadata: Mapping[str, Any], where: str | Path | None, key: str) -> Any:
    result = value
    if kind is float and isinstance(value, str):
        # YAML 1.1 asks for a dot in floats, so that 1e-3 arrives as text; a user means the number.
        try:
            result = float(value)
        except ValueError:
            raise _wrong(WORDS[kind], value, where, key) from None
    elif kind is float and isinstance(value, int) and not isinstance(value, bool):
        result = float(value)
    elif kind is Path and isinstance(value, str):
        result = Path(value)
    # bool is a subclass of int: `epochs: yes` must not pass as 1.
    if not isinstance(result, kind) or (isinstance(result, bool) and kind is not bool):
        raise _wrong(WORDS[kind], value, where, key)
    if kind is float and math.isnan(result):
        raise _wrong(WORDS[kind], value, where, key)
    if "choices" in metadata and result not in metadata["choices"]:
        raise _not_a_choice(value, metadata["choices"], where, key)
    for name, (holds, words) in LIMITS.items():
        if name in metadata and kind in (int, float) and not holds(result, metadata[name]):
            raise UserError(f"must be {words} {metadata[name]}", file=where, key=key, found=value)
    return result


def _not_a_choice(value: Any, choices: Sequence[Any], where: str | Path | None, key: str) -> UserError:
    place = ": ".join(str(part) for part in (where, key) if part)
    return unknown("choice", str(value), [str(choice) for choice in choices], file=place)


def _convert_union(
    value: Any, options: Sequence[Any], metadata: Mapping[str, Any], where: str | Path | None, key: str
) -> Any:
    if value is None and type(None) in options:
        return None
    rest = [option for option in options if option is not type(None)]
    if len(rest) == 1:
        return convert(value, rest[0], metadata, where, key)
    # An exact type first: 3 stays a whole number in `float | int`, and "1e-3" a text in `float | str`.
    exact = [option for option in rest if isinstance(option, type) and type(value) is option]
    failures = []
    for option in exact or rest:
        try:
            return convert(value, option, metadata, where, key)
        except UserError as error:
            failures.append((option, error))
    shaped = [error for option, error in failures if _has_shape_of(value, option)]
    if len(shaped) == 1 or len(failures) == 1:
        raise (shaped or [error for _, error in failures])[0]
    raise _wrong(" or ".join(_words(option) for option in options), value, where, key)


def _has_shape_of(value: Any, option: Any) -> bool:
    """Whether a value was meant as this alternative, so that its error is the one worth showing."""
    container = get_origin(option) or option
    if isinstance(value, Mapping):
        return dataclasses.is_dataclass(option) or container in (dict, Mapping)
    if isinstance(value, (list, tuple)):
        return container in (list, tuple, Sequence)
    return isinstance(value, str) and get_origin(option) is Literal


def _convert_sequence(
    value: Any,
    container: Any,
    arguments: Sequence[Any],
    metadata: Mapping[str, Any],
    where: str | Path | None,
    key: str,
) -> Any:
    if not isinstance(value, (list, tuple)):
        raise _wrong("a list", value, where, key)
    if container is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            raise UserError(f"must have {len(arguments)} entries", file=where, key=key, found=len(value))
        kinds = list(arguments)
    else:
        kinds = [arguments[0] if arguments else Any] * len(value)
    items = [
        convert(item, kind, metadata, where, f"{key}[{index}]")
        for index, (item, kind) in enumerate(zip(value, kinds, strict=True))
    ]
    if metadata.get("nonempty") and not items:
        raise UserError("must not be empty", file=where, key=key, remedy="leave the key out, or name at least one")
    if metadata.get("distinct"):
        for index, item in enumerate(items):
            if item in items[:index]:
                raise UserError("names the same twice", file=where, key=key, found=item)
    return tuple(items) if container is tuple else items
