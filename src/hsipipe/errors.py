"""The user's mistakes, told in one line: file, key, what was found, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class UserError(Exception):
    """A mistake that the user can mend; the command line prints it in one line and exits with 2.

    `file`, `key`, `found` and `remedy` are optional parts of the message; `str()` joins those that are given.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | Path | None = None,
        key: str | None = None,
        found: object = None,
        remedy: str | None = None,
    ) -> None:
        where = ": ".join(str(part) for part in (file, key) if part is not None)
        text = f"{where}: {message}" if where else message
        if found is not None:
            text += f" (found {found})"
        if remedy:
            text += f"; {remedy}"
        super().__init__(" ".join(text.split()))


def unknown(kind: str, name: str, choices: Iterable[str], *, file: str | Path | None = None) -> UserError:
    """The error for a name that does not exist, with the nearest that does.

    >>> str(unknown("noise", "hyspecnett", ["hyspecnet", "gaussian-30"]))
    "unknown noise 'hyspecnett'; did you mean 'hyspecnet'? There are: gaussian-30, hyspecnet"
    """
    names = sorted(choices)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UserError(f"unknown {kind} {name!r}", file=file, remedy=f"{hint}There are: {', '.join(names) or 'none'}")
