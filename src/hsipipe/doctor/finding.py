"""One thing that was looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Literal

PROBE_WITHIN_S = 120  # torch takes that long from a cold network disk


@dataclass(frozen=True)
class Finding:
    """What was looked at, and what was found.

    Attributes:
        what: a word or two.
        found: half a line.
        state: ok; note: works, with less than there could be, or slower; problem: the default run needs it.
        remedy: what to do; empty where nothing need be done.
    """

    what: str
    found: str
    state: Literal["ok", "note", "problem"] = "ok"
    remedy: str = ""


def probe(code: str) -> tuple[Any, str]:
    """Run Python code in a process of its own, so that a broken library is told and not raised.

    Args:
        code: prints one JSON value.

    Returns:
        The value, or None; and why there is none.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=PROBE_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        return None, f"does not answer within {PROBE_WITHIN_S} s"
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1]), ""
    said = [line for line in done.stderr.strip().splitlines() if line.strip()]
    ended = f"ended by signal {-done.returncode}" if done.returncode < 0 else "failed"
    return None, said[-1][:200] if said else ended
