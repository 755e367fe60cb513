"""The record of a step: what it read, what it wrote, by which code, settings and key. One JSON file per job.

It lies in `.steps` in the folder of the step's first output, so that it moves with what it tells of. Paths in it are
those that the workflow uses: relative to the folder that holds `results`.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hsipipe.errors import UserError
from hsipipe.files import write_text
from hsipipe.keys import step_key
from hsipipe.provenance.digests import altered, entry_of, is_same, is_untouched, times_of
from hsipipe.provenance.home import read_home
from hsipipe.training.accounting import environment

FOLDER = ".steps"
FORMAT = "hsipipe-step-1"
# Of what steps make; other files in their folders are the user's.
RESULTS = (".h5", ".csv", ".json", ".pt", ".png", ".svg", ".md", ".tex", ".html", ".yaml")

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
        home: the name of the study folder that it ran in (`hsipipe.provenance.home`).
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
    home: str = ""
    format: str = FORMAT

    def output(self, path: str) -> dict[str, Any] | None:
        """The entry of an output."""
        return next((entry for entry in self.outputs if entry["path"] == path), None)


def record_path(step: str, first_output: str | Path) -> Path:
    """Where the record of a step lies, by the first of its outputs."""
    path = Path(first_output)
    return path.parent / FOLDER / f"{step}-{path.stem}.json"


def write_step(step: Step, root: str | Path = ".") -> None:
    """Write a record to its place. Its entries keep their order, which is that of a table's rows."""
    text = json.dumps(asdict(step), indent=1) + "\n"
    write_text(Path(root) / record_path(step.step, step.outputs[0]["path"]), text)


def read_step(path: str | Path) -> Step:
    """Read a record.

    Raises:
        UserError: it is damaged, or of another version.
    """
    try:
        return _parse(Path(path))
    except (ValueError, TypeError) as error:
        files = " ".join(shlex.quote(str(file)) for file in [path, *_untold_files(Path(path))])
        raise UserError(
            "is not the whole record of a step, so that nothing is known of its results",
            file=path,
            found=str(error),
            remedy=f"delete it with them to have them made again: rm {files}",
        ) from error


def _parse(path: Path) -> Step:
    """Read a record; ValueError or TypeError if it is not whole."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"no record of format {FORMAT}")
    step = Step(**content)
    if not all(map(_is_whole, step.inputs)) or not all(map(_is_whole, step.outputs)):
        raise ValueError("a file without path, hash or size")
    return step


def _is_whole(entry: Any) -> bool:
    kinds = {"path": str, "sha256": str, "bytes": int}
    return isinstance(entry, dict) and all(isinstance(entry.get(name), kind) for name, kind in kinds.items())


def _untold_files(damaged: Path) -> list[Path]:
    """The results in the folder of a damaged record that no whole record tells of: its own are among them."""
    told = set()
    for other in record_files(damaged.parents[1]):
        with suppress(ValueError, TypeError):
            told |= {Path(entry["path"]).name for entry in _parse(other).outputs}
    beside = (path for path in damaged.parents[1].iterdir() if path.is_file() and path.suffix in RESULTS)
    return sorted(path for path in beside if path.name not in told and not path.name.startswith("."))


def record_files(folder: str | Path) -> list[Path]:
    """The records of the steps whose first output is in a folder, by name; not those that are being written."""
    return sorted(path for path in (Path(folder) / FOLDER).glob("*.json") if not path.name.startswith("."))


def steps_in(folder: str | Path) -> list[Step]:
    """The steps whose first output is in a folder, by name."""
    steps = []
    for path in record_files(folder):
        with suppress(FileNotFoundError):  # another step that starts now forgets its own
            steps.append(read_step(path))
    return steps


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

    def checked(self, path: str) -> dict[str, Any]:
        """What is recorded of a file that is about to be read.

        A file that no step made is read for it; a result only if its times are not those of its record, which are then
        brought up to date (Snakemake touches every result once).

        Raises:
            UserError: a result that was changed after its step had written it.
        """
        made = self.making(path)
        entry = None if made is None else made.output(path)
        if made is None or entry is None:
            return entry_of(path)
        if not is_untouched(path, entry):
            found = times_of(path)
            if not is_same(path, entry):
                raise altered(path, entry)
            entry.update(found)
            with suppress(PermissionError):  # results that may only be read are found right again each time
                write_step(made, self.root)
        return {"sha256": entry["sha256"], "bytes": entry["bytes"]}


def forget(outputs: Sequence[str]) -> None:
    """Remove every record that tells of one of these files, whichever step made them before."""
    names = set(outputs)
    for folder in {Path(path).parent for path in outputs}:
        for step in steps_in(folder):
            if not names.isdisjoint(entry["path"] for entry in step.outputs):
                record_path(step.step, step.outputs[0]["path"]).unlink(missing_ok=True)


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

    Raises:
        UserError: an input is a result that was changed after its step had written it.
    """
    forget([path for _, path in outputs])
    steps = Steps()
    read = [{"name": name, "path": path, **steps.checked(path)} for name, path in inputs]
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
            home=read_home(),
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
