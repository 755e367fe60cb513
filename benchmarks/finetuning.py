"""Fine-tuning at the paper's size: work and memory of a training step, and on a GPU its time and measured memory.

python benchmarks/finetuning.py [--device cuda|cpu] [--adaptations full lora ...] [--parts account memory speed]

Writes benchmarks/finetuning.csv and benchmarks/finetuning.md. The part `account` is the same on every device; `memory`
and `speed` need a GPU, which is claimed as the workflow's jobs claim theirs. Of the package's requirements numpy,
PyYAML, timm, torch and tqdm are enough, with src/ in PYTHONPATH; without bitsandbytes QLoRA is left out. With --update
a run keeps what the files hold and adds to it, or renews it, so that a long run can be done in pieces.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import io
import logging
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from finetuning_tables import as_markdown

from hsipipe import __version__
from hsipipe.devices import claim as claiming
from hsipipe.errors import UserError
from hsipipe.files import write_text

ADAPTATIONS = ("full", "frozen", "lora", "qlora", "dora")
PARTS = ("account", "memory", "speed")
GROUP = ("part", "device", "adaptation")
WHERE = (*GROUP, "network", "precision", "batch", "checkpointing", "compile", "channels_last", "limit_gb")
COLUMNS = (*WHERE, "quantity", "value", "unit", "note")
LIBRARIES = ("torch", "timm", "bitsandbytes", "numpy")

Row = dict[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 2 after a mistake of the user."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = make_parser().parse_args(given)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        check(options)
        old = read_rows(options.output.with_suffix(".csv"), network_of(options)) if options.update else []
        on_gpu = claim(options)
        rows = [as_text(row) for row in measure(options, on_gpu, command_of(given))]
        rows = merge(old, rows)
        write_rows(options.output.with_suffix(".csv"), rows)
        write_text(options.output.with_suffix(".md"), as_markdown(rows))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], help="by default a GPU if there is one")
    parser.add_argument("--adaptations", nargs="+", choices=ADAPTATIONS, default=list(ADAPTATIONS))
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="by default all that the device can do")
    parser.add_argument("--repeats", type=int, default=20, help="steps timed for each median")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "finetuning", help="without extension")
    parser.add_argument("--update", action="store_true", help="keep rows of the output that this run does not renew")
    sizes = parser.add_argument_group("another network than the paper's")
    sizes.add_argument("--preset", default="small", help="tiny, small, base or large")
    sizes.add_argument("--head", default="unet")
    sizes.add_argument("--bands", type=int, default=202)
    sizes.add_argument("--image-size", type=int, default=128)
    sizes.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8, 32], help="the largest is timed")
    return parser


def check(options: argparse.Namespace) -> None:
    """Refuse what would fail after minutes.

    Raises:
        UserError: numbers below 1, or an output that cannot be written.
    """
    for name, value in (("repeats", options.repeats), ("batch-sizes", min(options.batch_sizes))):
        if value < 1:
            raise UserError("must be at least 1", key=f"--{name}", found=value)
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError("cannot be written", key="--output", found=error) from error


def claim(options: argparse.Namespace) -> bool:
    """Claim a GPU unless the CPU is asked for; whether there is one.

    Raises:
        UserError: a GPU is asked for, or needed by a part, and there is none.
    """
    found = options.device != "cpu" and claiming.claim(1).kind == "cuda"
    if found:
        import torch

        found = torch.cuda.is_available()
    needing = [part for part in options.parts or () if part != "account"]
    if not found and (options.device == "cuda" or needing):
        what = "--device" if options.device == "cuda" else "--parts"
        raise UserError(
            "needs a GPU that torch can use",
            key=what,
            found=f"{' '.join(needing) or 'cuda'}, and no GPU",
            remedy="run it where there is one, or take --device cpu --parts account",
        )
    return found


def network_of(options: argparse.Namespace) -> str:
    """The network in words."""
    size = f"{options.image_size} x {options.image_size}"
    return f"preset {options.preset}, {options.bands} bands, {size} pixels, head {options.head}"


def measure(options: argparse.Namespace, on_gpu: bool, command: str) -> Iterator[dict[str, Any]]:
    """All rows of the run, in no lasting order."""
    import torch
    from finetuning_measures import Study, account_rows, head_rows, matrix_peak, peak_rows, speed_of
    from tqdm import tqdm

    study = Study(
        bands=options.bands,
        image_size=options.image_size,
        preset=options.preset,
        head=options.head,
        batch_sizes=tuple(sorted(set(options.batch_sizes))),
    )
    parts = [part for part in PARTS if part in (options.parts or (PARTS if on_gpu else ["account"]))]
    network = {"network": network_of(options)}
    adaptations = [name for name in ADAPTATIONS if name in options.adaptations]
    peak = 0.0
    for part in parts:
        device = "any" if part == "account" else torch.cuda.get_device_name()
        where = {"part": part, "device": device, **network}
        environment = {"quantity": "environment", "note": f"`{command}`; {versions()}"}
        if part == "account":
            yield from (network | row for row in head_rows(study))
        if part == "speed":
            peak = matrix_peak("cuda")
            rate = {"adaptation": "none", "quantity": "matrix peak", "value": peak / 1e12, "unit": "TFLOP/s"}
            yield where | {"precision": "bfloat16"} | rate
        fastest = None
        for adaptation in tqdm(adaptations, desc=part, unit="adaptation"):
            here = where | {"adaptation": adaptation}
            lacking = lacks(adaptation)
            if lacking:
                tqdm.write(f"{adaptation} is left out: {lacking}", file=sys.stderr)
                yield here | {"quantity": "left out", "note": lacking}
                continue
            yield here | environment
            if part == "speed":
                rows = list(speed_of(study, adaptation, "cuda", options.repeats, peak, fastest))
                fastest = fastest or fastest_of(rows)
            elif part == "memory":
                rows = list(peak_rows(study, adaptation, "cuda"))
            else:
                rows = list(account_rows(study, adaptation))
            yield from (here | row for row in rows)


def fastest_of(rows: list[dict[str, Any]]) -> tuple[bool, bool] | None:
    """The variant whose step takes the least time."""
    steps = [row for row in rows if row["quantity"] == "step"]
    best = min(steps, key=lambda row: row["value"], default=None)
    return None if best is None else (best["compile"], best["channels_last"])


def lacks(adaptation: str) -> str:
    """What an adaptation needs and this machine does not have, or nothing."""
    if adaptation != "qlora":
        return ""
    from hsipipe.nets.quantised import load_bitsandbytes

    try:
        load_bitsandbytes()
    except UserError as error:
        return str(error)
    return ""


def versions() -> str:
    """Versions of what computes."""
    found = [f"hsipipe {__version__}", f"Python {platform.python_version()}"]
    for name in LIBRARIES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def command_of(given: list[str]) -> str:
    """The command line, without where it writes to."""
    kept = list(given)
    while "--output" in kept:
        place = kept.index("--output")
        del kept[place : place + 2]
    return " ".join(["python benchmarks/finetuning.py", *(word for word in kept if not word.startswith("--output="))])


def as_text(row: dict[str, Any]) -> Row:
    """A row as the file holds it."""

    def text(value: Any) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        return f"{value:.6g}" if isinstance(value, float) else str(value)

    return {column: text(row.get(column, "")) for column in COLUMNS}


def merge(old: list[Row], new: list[Row]) -> list[Row]:
    """Old rows, with every group (part, device, adaptation) that the new ones measured in place of the old one."""

    def group(row: Row) -> tuple[str, ...]:
        return tuple(row[column] for column in GROUP)

    measured = {group(row) for row in new if row["quantity"] != "left out"}
    kept = [row for row in old if group(row) not in measured]
    known = {group(row) for row in kept}
    rows = kept + [row for row in new if group(row) in measured or group(row) not in known]
    return sorted(rows, key=lambda row: (PARTS.index(row["part"]), row["device"], _place(row["adaptation"])))


def _place(adaptation: str) -> int:
    return ADAPTATIONS.index(adaptation) if adaptation in ADAPTATIONS else len(ADAPTATIONS)


def read_rows(path: Path, network: str) -> list[Row]:
    """Rows of an earlier run, none if there is no file.

    Raises:
        UserError: another table, or that of another network.
    """
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as table:
        reader = csv.DictReader(table)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise UserError("is not a table of this benchmark", file=path, remedy="leave --update out")
        rows = list(reader)
    for row in rows:
        if row["network"] != network:
            raise UserError(
                f"holds the figures of another network than {network}",
                file=path,
                key="--update",
                found=row["network"],
                remedy="give another --output",
            )
    return rows


def write_rows(path: Path, rows: list[Row]) -> None:
    """Write the table."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


if __name__ == "__main__":
    sys.exit(main())
