"""Results of another version of the code: which ones are made again for it, and how to keep them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from hsipipe.provenance.steps import Step

ELSEWHERE = ("case", "seed")  # the code of a step is the same for all of these


def told_of_other_code(steps: Iterable[Step], code_of: Callable[[str, tuple[tuple[str, str], ...]], str | None]) -> str:
    """One line on the results that other code made; empty if there are none.

    Args:
        steps: records of steps.
        code_of: gives the hash of the code that a step uses now, by its name and its wildcards (but for case and seed);
            None where the study no longer has such a step.
    """
    known: dict[tuple[str, tuple[tuple[str, str], ...]], str | None] = {}
    others = []
    for step in steps:
        what = step.step, tuple(sorted(item for item in step.wildcards.items() if item[0] not in ELSEWHERE))
        if what not in known:
            known[what] = code_of(*what)
        if step.code is not None and known[what] not in (None, step.code):
            others.append(step)
    if not others:
        return ""
    (commit, _), *_ = Counter(step.environment.get("commit") or "" for step in others).most_common()
    version = others[0].environment.get("hsipipe", "unknown")
    made = f"commit {commit}" if commit else f"version {version}"
    remedy = f"git checkout {commit.rstrip('+')}" if commit else f"install hsipipe {version}"
    return (
        f"{others[0].outputs[0]['path']}: made by other code ({made}; {len(others)} such steps), and made again where "
        f"it is needed; to keep it, go on with that code: {remedy}"
    )
