"""What the keys of code stand for: kept with the results, so that a result tells which modules changed since."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from hsipipe.files import write_json
from hsipipe.keys import code_key, code_of, keys_given_out

FOLDER = Path("results/.code")


@dataclass(frozen=True)
class Since:
    """How the code of this program compares with that of a key.

    Attributes:
        known: whether the key is explained in the results; if not, nothing else is said.
        changed, removed, added: modules whose syntax tree is another one, that are gone, that are imported by now.
    """

    known: bool
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether the code is known to be the same."""
        return self.known and not (self.changed or self.removed or self.added)

    def __str__(self) -> str:
        kinds = (("changed", self.changed), ("removed", self.removed), ("added", self.added))
        return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds if names)


def code_path(key: str, root: str | Path = ".") -> Path:
    """Where a key is explained."""
    return Path(root) / FOLDER / f"{key}.json"


def keep_code(root: str | Path = ".") -> None:
    """Write what the keys that this process has made stand for: one file per key, which never changes."""
    for key, names in keys_given_out().items():
        path = code_path(key, root)
        if not path.exists():
            write_json(path, {"modules": list(names), "code": code_of(names)})


def code_since(key: str, root: str | Path = ".") -> Since:
    """Compare the code that made a result with that of this program.

    Args:
        key: of the step's code, as `hsipipe.keys.code_key` gave it.
        root: the folder that holds `results`.
    """
    try:
        content = json.loads(code_path(key, root).read_text(encoding="utf-8"))
        names, before = list(content["modules"]), dict(content["code"])
    except (OSError, ValueError, KeyError, TypeError):
        return Since(known=False)
    try:
        if code_key(*names) == key:
            return Since(known=True)
        now = code_of(names)
    except ModuleNotFoundError as error:
        return Since(known=True, removed=(str(error),))
    both = before.keys() & now.keys()
    return Since(
        known=True,
        changed=tuple(sorted(name for name in both if before[name] != now[name])),
        removed=tuple(sorted(before.keys() - now.keys())),
        added=tuple(sorted(now.keys() - before.keys())),
    )
