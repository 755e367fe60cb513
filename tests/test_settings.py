from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from hsipipe.errors import UserError
from hsipipe.settings import as_plain, check, describe, settings_from, split


@dataclass(frozen=True)
class Window:
    width: int = field(default=3, metadata={"meaning": "side of the window, pixels", "minimum": 1, "maximum": 99})
    shape: Literal["flat", "hann"] = "flat"


@dataclass(frozen=True)
class Everything:
    name: str
    rate: float = field(default=0.5, metadata={"above": 0, "below": 1})
    count: int | None = None
    flag: bool = False
    folder: Path = Path("results")
    window: Window = field(default_factory=Window)
    other: Window | None = None
    windows: list[Window] = field(default_factory=list)
    named: dict[str, Window] = field(default_factory=dict)
    sizes: tuple[int, int] = (1, 2)
    epochs: tuple[int, ...] = field(default=(), metadata={"minimum": 1})
    kind: str = field(default="a", metadata={"choices": ["a", "b"]})
    level: float | Literal["auto"] = "auto"
    split: str | Window = "none"
    free: Any = None
    inner: int = field(default=0, init=False)


def test_everything_is_converted():
    given = {
        "name": "x",
        "rate": "1e-3",
        "count": 4,
        "folder": "out",
        "window": {"width": 5, "shape": "hann"},
        "other": None,
        "windows": [{"width": 1}, {}],
        "named": {"first": {"width": 2}},
        "sizes": [3, 4],
        "epochs": [1, 2],
        "level": 2,
        "split": {"width": 7},
        "free": {"any": [1]},
    }
    made = settings_from(Everything, given, "file.yaml")
    assert made == Everything(
        name="x",
        rate=0.001,
        count=4,
        folder=Path("out"),
        window=Window(5, "hann"),
        windows=[Window(1), Window()],
        named={"first": Window(2)},
        sizes=(3, 4),
        epochs=(1, 2),
        level=2.0,
        split=Window(7),
        free={"any": [1]},
    )
    assert isinstance(made.level, float)
    plain = as_plain(made)
    assert plain["window"] == {"width": 5, "shape": "hann"}
    assert plain["folder"] == "out"
    assert "inner" not in plain
    assert settings_from(Everything, plain) == made


def test_empty_sections_mean_defaults():
    assert settings_from(Window, None) == settings_from(Window, {}) == Window()
    assert settings_from(Everything, {"name": "x", "window": None}).window == Window()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "file.yaml: name: is missing; give a text"),
        ({"name": "x", "rat": 1}, "file.yaml: unknown key 'rat'; did you mean 'rate'"),
        ({"name": "x", "window": {"widht": 1}}, "unknown key of 'window' 'widht'; did you mean 'width'"),
        ({"name": 3}, "file.yaml: name: must be a text (found int 3)"),
        ({"name": "x", "rate": 1}, "rate: must be below 1 (found 1)"),
        ({"name": "x", "rate": 0.0}, "rate: must be above 0"),
        ({"name": "x", "rate": True}, "rate: must be a number (found bool True)"),
        ({"name": "x", "rate": "fast"}, "rate: must be a number (found str 'fast')"),
        ({"name": "x", "rate": float("nan")}, "rate: must be a number"),
        ({"name": "x", "count": 2.5}, "count: must be a whole number"),
        ({"name": "x", "count": "4"}, "count: must be a whole number"),
        ({"name": "x", "flag": 1}, "flag: must be true or false"),
        ({"name": "x", "window": 3}, "window: must be keys with values"),
        ({"name": "x", "window": {"width": 0}}, "window.width: must be at least 1 (found 0)"),
        ({"name": "x", "window": {"width": 100}}, "window.width: must be at most 99"),
        ({"name": "x", "window": {"shape": "han"}}, "window.shape: unknown choice 'han'; did you mean 'hann'"),
        ({"name": "x", "windows": [{}, {"width": "a"}]}, "windows[1].width: must be a whole number"),
        ({"name": "x", "windows": {"width": 1}}, "windows: must be a list"),
        ({"name": "x", "named": {"first": {"width": 0}}}, "named.first.width: must be at least 1"),
        ({"name": "x", "named": []}, "named: must be names with values"),
        ({"name": "x", "sizes": [1]}, "sizes: must have 2 entries (found 1)"),
        ({"name": "x", "epochs": [1, 0]}, "epochs[1]: must be at least 1"),
        ({"name": "x", "kind": "c"}, "kind: unknown choice 'c'"),
        ({"name": "x", "level": "atuo"}, "level: unknown choice 'atuo'; did you mean 'auto'"),
        ({"name": "x", "split": {"width": 0}}, "split.width: must be at least 1"),
        ({"name": "x", "inner": 1}, "unknown key 'inner'"),
        ([1], "file.yaml: must be keys with values"),
    ],
)
def test_errors_name_file_and_key(given, text):
    with pytest.raises(UserError) as caught:
        settings_from(Everything, given, "file.yaml")
    assert text in str(caught.value)


def test_section_prefix():
    with pytest.raises(UserError, match=r"^config\.yaml: tasks\.window\.width: must be at least 1"):
        settings_from(Window, {"width": 0}, "config.yaml", key="tasks.window")


def test_errors_of_post_init_get_the_place():
    @dataclass(frozen=True)
    class Pair:
        low: int = 0
        high: int = 1

        def __post_init__(self):
            if self.low > self.high:
                raise UserError("is above high", key="low")

    with pytest.raises(UserError, match=r"^config\.yaml: range: low: is above high"):
        settings_from(Pair, {"low": 2}, "config.yaml", key="range")


def test_check_of_direct_construction():
    check(Window(5))
    with pytest.raises(UserError, match="width: must be at least 1"):
        check(Window(0))
    with pytest.raises(UserError, match="shape"):
        check(Window(shape="round"))


def test_split():
    assert split(Window, {"width": 1, "else": 2}) == ({"width": 1}, {"else": 2})


def test_describe():
    entries = {entry.key: entry for entry in describe(Everything)}
    assert entries["name"].required
    assert entries["window.width"].type == "a whole number at least 1 and at most 99"
    assert entries["window.width"].meaning == "side of the window, pixels"
    assert entries["window.width"].default == 3
    assert entries["kind"].type == "a text of a, b"
    assert entries["level"].type == "a number or one of auto"
    assert entries["other.shape"].type == "one of flat, hann"
    assert "inner" not in entries


@dataclass(frozen=True)
class Lists:
    names: list[str] | None = field(default=None, metadata={"nonempty": True, "distinct": True})


@pytest.mark.parametrize(("names", "message"), [([], "must not be empty"), (["a", "b", "a"], r"twice \(found a\)")])
def test_lists_may_have_to_name_something_and_once(names, message):
    with pytest.raises(UserError, match=f"file.yaml: names: .*{message}"):
        settings_from(Lists, {"names": names}, "file.yaml")
    assert settings_from(Lists, {"names": ["a", "b"]}).names == ["a", "b"]
    assert settings_from(Lists, {"names": None}).names is None
