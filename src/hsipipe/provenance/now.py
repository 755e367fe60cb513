"""What of this program and its surroundings is no longer what steps ran with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hsipipe.provenance.code import Since, code_since
from hsipipe.provenance.steps import Step
from hsipipe.provenance.tree import Node
from hsipipe.training.accounting import environment

SHORT = 12  # digits of a commit
MACHINE = ("system", "processor", "cores", "gpu")


class Now:
    """Compares steps with the code and the libraries of now. Each key of code is compared once.

    Args:
        root: the folder that holds `results`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._versions = versions_of(environment())
        self._code: dict[str, Since] = {}
        self._steps: dict[str, Step] = {}

    def code(self, step: Step) -> str:
        """A step's code in words: its key, the version of the program, and whether it is still the same."""
        self._steps[f"{step.step} {step.outputs[0]['path']}"] = step
        around = step.environment
        commit = around.get("commit") or ""
        version = f"hsipipe {around.get('hsipipe')}"
        if commit:
            version += f", commit {commit[:SHORT]}" + (" with changes" if commit.endswith("+") else "")
        if step.code is None:
            return version
        since = self._since(step.code)
        if not since.known:
            return f"{step.code}, {version}"
        return f"{step.code}, {version}; " + ("the same now" if since.same else f"since then {since}")

    def lines(self) -> list[str]:
        """What changed since the steps ran, a line for each change: code, Python, libraries."""
        return [*self._code_lines(), *self._version_lines()]

    def _since(self, key: str) -> Since:
        if key not in self._code:
            self._code[key] = code_since(key, self.root)
        return self._code[key]

    def _code_lines(self) -> list[str]:
        changes: dict[str, dict[str, None]] = {}
        for step in self._steps.values():
            if step.code is not None and str(since := self._since(step.code)):
                changes.setdefault(str(since), {})[step.step] = None
        return [f"code of {', '.join(names)}: {change}" for change, names in changes.items()]

    def _version_lines(self) -> list[str]:
        changes: dict[str, int] = {}
        for step in self._steps.values():
            for name, version in versions_of(step.environment).items():
                now = self._versions.get(name, "not there")
                if now != version:
                    line = f"{name}: {version} then, {now} now"
                    changes[line] = changes.get(line, 0) + 1
        return [f"{line} ({count} of {len(self._steps)} steps)" for line, count in changes.items()]

    def environments(self) -> list[Node]:
        """The surroundings that the steps ran in, each once, with the steps of each where they are several."""
        found: dict[str, tuple[dict[str, Any], list[str]]] = {}
        for name, step in self._steps.items():
            around = step.environment
            facts = {key: around[key] for key in MACHINE if around.get(key) is not None}
            facts["versions"] = versions_of(around)
            found.setdefault(json.dumps(facts, sort_keys=True), (facts, []))[1].append(name)
        if len(found) == 1:
            return [Node("environment", facts=facts) for facts, _ in found.values()]
        return [
            Node(f"environment of {len(names)} steps", "", {**facts, "steps": names}) for facts, names in found.values()
        ]


def versions_of(around: Mapping[str, Any]) -> dict[str, str]:
    """Versions of Python, of this program and of libraries in what `environment()` gave."""
    own = {name: str(around[name]) for name in ("python", "hsipipe") if around.get(name)}
    return {**own, **around.get("libraries", {})}
