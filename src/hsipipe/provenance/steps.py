"""The record of a step: what it read, what it wrote, by which code, settings and key. One JSON file per job.

It lies in `.steps` in the folder of the step's first output, so that it moves with what it tells of. Paths in it are
those that the workflow uses: relative to the folder that holds `results`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hsipipe.errors import UserError
from hsipipe.files import sha256_of, write_json
from hsipipe.keys import step_key
from hsipipe.provenance.digests import entry_of, is_untouched
from hsipipe.training.accounting import environment

FOLDER = ".steps"
FORMAT = "hsipipe-step-1"
# Smaller files are read anew rather than looked up in the record of the step that made them.
LOOKED_UP_BYTES = 1 << 20

Named = Sequence[tuple[str, str]]  # (name in the rule, path)


@dataclass
class Step:
    """What a step did.

    Attributes:
        step: name of the rule.
        key: a hash of settings, code and contents of the inputs; steps of equal keys make equal outputs.
        code: the hash of the code that the step uses (`hsipipe.keys.code_key`), where it has one.
        params: settings, as the rule gives them.
        wildcards: what the step is of: task, case, variant, seed, scene, table, figure.
        inputs, outputs: each with name, path, sha256, bytes; outputs and files that no step made with times (ns).
        started: UTC, to the second. seconds: it took.
        threads: that it had.
        environment: versions, commit, system, processor, GPU.
    """

    step: str
    key: str
    code: str | None
    params: dict[str, Any]
    wildcards: dict[str, str]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    started: str
    seconds: float
    threads: int | None = None
    environment: dict[str, Any] = field(default_factory=dict)
    format: str = FORMAT

    def output(self, path: str) -> dict[str, Any] | None:
        """The entry of an output."""
        return next((entry for entry in self.outputs if entry["path"] == path), None)


def record_path(step: str, first_output: str | Path) -> Path:
    """Where the record of a step lies, by the first of its outputs."""
    path = Path(first_output)
    return path.parent / FOLDER / f"{step}-{path.stem}.json"


def write_step(step: Step, root: str | Path = ".") -> None:
    """Write a record to its place."""
    write_json(Path(root) / record_path(step.step, step.outputs[0]["path"]), asdict(step))


def read_step(path: str | Path) -> Step:
    """Read a record.

    Raises:
        UserError: it is damaged, or of another version.
    """
    remedy = "remove it; what it tells of counts as made before records were kept"
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        step = Step(**content) if found == FORMAT else None
    except (ValueError, TypeError) as error:
        raise UserError("is not a whole record of a step", file=path, found=str(error), remedy=remedy) from error
    if step is None:
        raise UserError(f"is not a record of format {FORMAT}", file=path, found=found, remedy=remedy)
    return step


def steps_in(folder: str | Path) -> list[Step]:
    """The records of the steps whose first output is in a folder, by name."""
    return [read_step(path) for path in sorted((Path(folder) / FOLDER).glob("*.json"))]


class Steps:
    """Finds the step that made a file. Each folder is read once.

    Args:
        root: the folder that holds `results`.
    """

    def __init__(self, root: str | Path = ".") -> None:
        self.root = Path(root)
        self._folders: dict[Path, dict[str, Step]] = {}

    def making(self, path: str) -> Step | None:
        """The step that made the file at `path` (relative to the root), or None where there is no record."""
        folder = Path(path).parent
        if folder not in self._folders:
            steps = steps_in(self.root / folder)
            self._folders[folder] = {entry["path"]: step for step in steps for entry in step.outputs}
        return self._folders[folder].get(path)


@contextmanager
def recorded(
    step: str,
    *,
    inputs: Named,
    outputs: Named,
    params: Mapping[str, Any],
    wildcards: Mapping[str, str],
    threads: int | None = None,
) -> Iterator[None]:
    """Record a step that runs in the block: nothing is left of an earlier record while it runs or if it fails.

    An input that another step made is not read for its digest if its size and times are still those of the record.
    """
    place = record_path(step, outputs[0][1])
    place.unlink(missing_ok=True)
    steps = Steps()
    read = [{"name": name, "path": path, **_input_entry(path, steps)} for name, path in inputs]
    started, clock = datetime.now(UTC), time.monotonic()
    yield
    seconds = time.monotonic() - clock
    plain = json.loads(json.dumps(dict(params), default=str))
    contents = sorted((entry["name"], entry["path"], entry["sha256"]) for entry in read)
    write_step(
        Step(
            step=step,
            key=step_key(step, plain, contents),
            code=plain.get("key"),
            params=plain,
            wildcards=dict(wildcards),
            inputs=read,
            outputs=[{"name": name, "path": path, **entry_of(path)} for name, path in outputs],
            started=started.isoformat(timespec="seconds"),
            seconds=seconds,
            threads=threads,
            environment=environment(),
        )
    )


def recorded_job(job: Any) -> Any:
    """Record the job of a workflow's script. `job`: Snakemake's object, of which only plain attributes are read."""
    return recorded(
        job.rule,
        inputs=_named(job.input),
        outputs=_named(job.output),
        params=dict(job.params.items()),
        wildcards=dict(job.wildcards.items()),
        threads=job.threads,
    )


def _named(files: Any) -> list[tuple[str, str]]:
    """Each file once, with its name in the rule, or none."""
    names: dict[str, str] = {}
    for name, value in files.items():
        for path in [value] if isinstance(value, str) else value:
            names.setdefault(str(path), name)
    return [(names.get(path, ""), path) for path in dict.fromkeys(map(str, files))]


def _input_entry(path: str, steps: Steps) -> dict[str, Any]:
    """The digest of an input: from the record of the step that made it if it is untouched, else read."""
    made = steps.making(path)
    if made is None:
        return entry_of(path)
    entry = made.output(path)
    assert entry is not None
    if os.stat(path).st_size > LOOKED_UP_BYTES and is_untouched(path, entry):
        return {"sha256": entry["sha256"], "bytes": entry["bytes"]}
    return {"sha256": sha256_of(path), "bytes": os.stat(path).st_size}
