"""Tables of typed settings: what a config may say, from the metadata that also checks it."""

from __future__ import annotations

import dataclasses
import importlib
import re
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pieces import cell, table, value

from hsipipe.metrics.registry import METRICS
from hsipipe.report.costs import COSTS
from hsipipe.settings import LIMITS, WORDS, as_plain

MARK = re.compile(
    r"^<!-- settings: (?P<module>[\w.]+):(?P<name>\w+)(?: without (?P<without>[\w, ]+))? -->$", re.MULTILINE
)
NULL = ", or null"


def fill(text: str) -> str:
    """A page with the table of a class in place of each mark `<!-- settings: MODULE:CLASS [without KEY, KEY] -->`."""
    return MARK.sub(lambda found: _of(found["module"], found["name"], found["without"] or ""), text)


def _of(module: str, name: str, without: str) -> str:
    cls = getattr(importlib.import_module(module), name)
    return settings_table(cls, leave_out=[key.strip() for key in without.split(",")])


def settings_table(cls: type, *, leave_out: list[str] | tuple[str, ...] = ()) -> str:
    """Key, meaning, type with limits, and default of each field of a settings class."""
    hints = get_type_hints(cls)
    rows = []
    for item in dataclasses.fields(cls):
        if not item.init or item.name in leave_out:
            continue
        rows.append((f"`{item.name}`", _meaning(item.metadata), _type(hints[item.name], item.metadata), _default(item)))
    return table(("key", "meaning", "type", "default"), rows)


def _meaning(metadata: Any) -> str:
    # Braces and brackets of examples would be read as Markdown.
    return (
        re.sub(r"(\{[^}]*\})", r"`\1`", metadata.get("meaning", ""))
        if "`" not in metadata.get("meaning", "")
        else metadata["meaning"]
    )


def _default(item: dataclasses.Field) -> str:
    if item.default is not dataclasses.MISSING:
        return value(as_plain(item.default))
    if item.default_factory is not dataclasses.MISSING:
        made = item.default_factory()
        return "its defaults" if dataclasses.is_dataclass(made) and made == type(made)() else value(_given(made))
    return "**required**"


def _given(made: Any) -> Any:
    """Settings as a mapping of what differs from their defaults."""
    if not dataclasses.is_dataclass(made):
        return as_plain(made)
    plain, usual = as_plain(made), as_plain(type(made)())
    return {key: part for key, part in plain.items() if part != usual[key]}


def _type(annotation: Any, metadata: Any) -> str:
    text, null = _words(annotation), ""
    if text.endswith(NULL):
        text, null = text.removesuffix(NULL), NULL
    if (choices := metadata.get("choices")) is not None:
        if tuple(choices) == tuple(METRICS):
            text += ": names of [metrics](metrics.md)"
        elif tuple(choices) == tuple(COSTS):
            text += ": names of [costs](costs.md)"
        else:
            text += ": " + ", ".join(f"`{choice}`" for choice in choices)
    limits = [f"{words} {metadata[name]:g}" for name, (_, words) in LIMITS.items() if name in metadata]
    limits += [
        words for name, words in (("nonempty", "not empty"), ("distinct", "all different")) if metadata.get(name)
    ]
    return ", ".join([text, *limits]) + null


def _words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in WORDS:
        return {bool: "true or false", int: "whole number", float: "number", str: "text"}.get(
            annotation, WORDS[annotation]
        )
    if annotation is Any:
        return "any"
    if origin is Literal:
        return ", ".join(f"`{option}`" for option in arguments)
    if dataclasses.is_dataclass(annotation):
        return "keys, see below"
    if origin in (list, tuple) and (origin is list or arguments[-1] is Ellipsis):
        return f"list of {_plural(_words(arguments[0]))}"
    if origin is tuple:
        return f"list of {len(arguments)} {_plural(_words(arguments[0]))}"
    if origin is dict:
        return f"names with {_plural(_words(arguments[1]))}" if arguments[1] is not Any else "names with values"
    options = [option for option in arguments if option is not type(None)]
    words = " or ".join(_words(option) for option in options) if options else "value"
    return words + NULL if len(options) < len(arguments) else words


def _plural(word: str) -> str:
    return f"{word}s" if word in ("whole number", "number", "text", "path") else word


def method_settings_table(settings: dict[str, dict[str, Any]]) -> str:
    """Setting, meaning, type with limits, and default of the settings that a method.yaml describes."""
    rows = []
    for name, entry in settings.items():
        kind = entry.get("type", type(entry.get("default")).__name__)
        words = {"int": "whole number", "float": "number", "str": "text", "bool": "true or false", "dict": "keys"}
        text = words.get(kind, kind)
        if "choices" in entry:
            text = ", ".join(f"`{choice}`" for choice in entry["choices"])
        limits = [f"{word} {entry[key]:g}" for key, (_, word) in LIMITS.items() if key in entry]
        if entry.get("null") or entry.get("default") is None:
            limits.append("or null")
        rows.append(
            (f"`{name}`", cell(entry.get("meaning", "")), ", ".join([text, *limits]), value(entry.get("default")))
        )
    return table(("setting", "meaning", "type", "default"), rows)
