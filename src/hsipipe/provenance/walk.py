"""The walk from a file back through the steps that made it to sources, settings and code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hsipipe.errors import UserError
from hsipipe.files import sha256_of
from hsipipe.provenance.digests import is_untouched
from hsipipe.provenance.facts import facts_of
from hsipipe.provenance.now import Now
from hsipipe.provenance.places import MANIFEST
from hsipipe.provenance.steps import Step, Steps
from hsipipe.provenance.tree import Node

SAME, CHANGED, MISSING, UNKNOWN = "as recorded", "CHANGED since", "MISSING", "no record of how it was made"
NOT_BUNDLED = "not in this bundle"
ABOVE = "told above"
# Params that are no settings: where a step keeps things, and the hash of its code, which is told by itself.
NO_SETTINGS = ("key", "script", "state", "folder")
LONGEST_LIST = 5


class Walk:
    """Goes back from files to what they were made from; each file is read and told once.

    Attributes:
        root: the folder that holds `results`.
        now: compares the steps on the way with this program.
        problems: what is not as it was recorded, in words.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.steps = Steps(root)
        self.now = Now(root)
        self.problems: list[str] = []
        self._bundled = _files_of_bundle(root)
        self._told: set[str] = set()
        self._digests: dict[str, str] = {}

    def file(self, path: str, read: Mapping[str, Any] | None = None, *, deep: bool = True) -> Node:
        """A file with what made it, and all that came before.

        Args:
            path: relative to the root.
            read: the entry of the input in the record of the step that read it.
            deep: whether to go on to the inputs of the step that made it.
        """
        step = self.steps.making(path)
        state = self._state(path, step, read)
        node = Node(path, state)
        if path in self._told:
            node.state = f"{state}; {ABOVE}" if state else ABOVE
            return node
        if deep:
            self._told.add(path)
        known = read if step is None else step.output(path)
        if known is not None:
            node.facts |= {"sha256": known["sha256"], "bytes": known["bytes"]}
        place = self.root / path
        if place.exists():
            node.facts |= self._facts(place, path)
        if step is not None:
            node.facts |= self._told_of(step)
            if deep:
                node.children += [self.file(entry["path"], entry) for entry in step.inputs]
        if path.startswith("downloads/") and path.endswith(".json") and place.exists():
            node.children += self._downloaded(place)
        return node

    def _told_of(self, step: Step) -> dict[str, Any]:
        """A step in facts: what ran, by which code, with which settings, at what cost."""
        facts: dict[str, Any] = {"step": f"{step.step}, key {step.key}", "code": self.now.code(step)}
        for name, value in step.params.items():
            if name not in NO_SETTINGS and value not in ({}, [], None):
                facts[name.replace("_", " ")] = _shortened(value)
        facts["run"] = f"{step.started}, {step.seconds:.3g} s, {step.threads} thread(s)"
        return facts

    def _facts(self, place: Path, path: str) -> dict[str, Any]:
        try:
            return facts_of(place)
        except (OSError, ValueError, KeyError) as error:
            self.problems.append(f"{path}: cannot be read ({str(error).splitlines()[0]})")
            return {}

    def _downloaded(self, manifest: Path) -> list[Node]:
        """The files of a download, each compared with the manifest; those that nobody touched since it was written are
        not read again."""
        nodes, written_ns = [], manifest.stat().st_mtime_ns
        for name, sha256 in json.loads(manifest.read_text(encoding="utf-8")).items():
            place = self.root / name
            if place.is_file() and place.stat().st_ctime_ns <= written_ns:
                self._digests[name] = sha256
            nodes.append(Node(name, self._compare(name, sha256), {"sha256": sha256}))
        return nodes

    def _state(self, path: str, step: Step | None, read: Mapping[str, Any] | None) -> str:
        """How a file compares with what is recorded of it by the step that made it and by the one that read it."""
        made = None if step is None else step.output(path)
        recorded = made or read
        if recorded is None:
            if not (self.root / path).exists():
                raise UserError("does not exist", file=self.root / path)
            self._problem(f"{path}: has no record of how it was made")
            return UNKNOWN
        if read is not None and made is not None and made["sha256"] != read["sha256"]:
            self._problem(f"{path}: was made again after it was read")
            return "made again, with another content, after it was read"
        if made is None and not _has_times(recorded):  # a result that a step read
            self._problem(f"{path}: has no record of how it was made")
            return UNKNOWN
        place = self.root / path
        if _has_times(recorded) and place.is_file() and is_untouched(place, recorded):
            self._digests[path] = recorded["sha256"]
        return self._compare(path, recorded["sha256"], done="read" if made is None else "made")

    def _compare(self, path: str, sha256: str, *, done: str = "fetched") -> str:
        if path not in self._digests:
            place = self.root / path
            self._digests[path] = sha256_of(place) if place.is_file() else ""
        if not self._digests[path]:
            return self._gone(path)
        if self._digests[path] == sha256:
            return SAME
        self._problem(f"{path}: was changed after it was {done}")
        return CHANGED

    def _gone(self, path: str) -> str:
        """Why a file is not there."""
        if self._bundled is not None and path not in self._bundled:
            return NOT_BUNDLED
        self._problem(f"{path}: is missing")
        return MISSING

    def _problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)


def _has_times(entry: Mapping[str, Any]) -> bool:
    """Whether an entry is of what a step wrote or of a file that no step made; of results that were read there is only
    the hash."""
    return "mtime_ns" in entry


def _files_of_bundle(root: Path) -> set[str] | None:
    """What a bundle holds, if it was unpacked to this folder."""
    try:
        return set(json.loads((root / MANIFEST).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _shortened(value: Any) -> Any:
    """Long lists by their first entries and their length: a scene can be of thousands of files."""
    if isinstance(value, list) and len(value) > LONGEST_LIST:
        return [*map(_shortened, value[:LONGEST_LIST]), f"... {len(value)} in all"]
    if isinstance(value, dict):
        return {name: _shortened(inner) for name, inner in value.items()}
    return value
