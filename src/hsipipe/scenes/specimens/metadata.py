"""Who each specimen is: from metadata.csv, or from the names of its folder and file."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from hsipipe.errors import UserError, unknown

COLUMNS = ("specimen", "species", "side", "session", "split")
_REQUIRED = ("specimen", "species")
_PARTS = ("train", "val", "test")
# `Genus species_1D_040917`: name, number and side, session (the date of recording).
_NAME = re.compile(r"^(?P<species>.+)_(?P<number>[A-Za-z]*\d+)(?P<side>[DVLR])_(?P<session>\d{4,8})$", re.IGNORECASE)
_SIDES = {"d": "dorsal", "v": "ventral", "l": "left", "r": "right"}


def parse_name(stem: str) -> dict[str, str] | None:
    """Specimen, species, side and session of a file name such as `Genus species_1D_040917`, or None.

    >>> parse_name("Pieris rapae_12V_040917")["specimen"], parse_name("corn-kernel")
    ('Pieris rapae_12', None)
    """
    match = _NAME.match(stem)
    if match is None:
        return None
    return {
        "specimen": f"{match['species']}_{match['number']}",
        "species": match["species"],
        "side": _SIDES[match["side"].lower()],
        "session": match["session"],
        "split": "",
    }


def from_names(data: Path, root: Path) -> dict[str, str]:
    """Metadata of a data file without a table: species from its folder, the rest from its name.

    Directly in the root, the species is that of the name, or the root's name. A name that does not follow the pattern
    is the specimen's, with no side and no session.
    """
    parsed = parse_name(data.stem)
    about = parsed or {"specimen": data.stem, "species": "", "side": "", "session": "", "split": ""}
    inside = data.parent != root
    species = data.parent.name if inside else about["species"] or root.resolve().name
    return about | {"species": species}


def read_table(path: str | Path) -> list[dict[str, str]]:
    """The rows of metadata.csv.

    Columns: specimen and species; side, session, split (train, val, test or empty) and file (relative to the folder)
    where known, others are kept as they are.

    Raises:
        UserError: unreadable, without a needed column, an empty cell in one, or an unknown split.
    """
    file = Path(path)
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            names = [name.strip().lower() for name in reader.fieldnames or []]
            lacking = [name for name in _REQUIRED if name not in names]
            if lacking:
                raise UserError(
                    f"has no column {lacking[0]!r}",
                    file=file,
                    found=", ".join(names) or "an empty file",
                    remedy=f"columns are {', '.join(COLUMNS)}",
                )
            reader.fieldnames = names
            rows = [{k: (v or "").strip() for k, v in row.items() if isinstance(k, str)} for row in reader]
    except FileNotFoundError as error:
        raise UserError("does not exist", file=file) from error
    except (UnicodeDecodeError, csv.Error, IsADirectoryError) as error:
        raise UserError("is no CSV table", file=file, found=str(error)) from error
    if not rows:
        raise UserError("has no rows", file=file)
    for number, row in enumerate(rows, 2):
        for name in _REQUIRED:
            if not row[name]:
                raise UserError("is empty", file=file, key=f"line {number}: {name}")
        row |= {name: row.get(name, "") for name in COLUMNS}
        if row["split"] not in ("", *_PARTS):
            raise unknown("split", row["split"], _PARTS, file=f"{file}: line {number}")
    return rows


def match_table(
    rows: Sequence[dict[str, str]], files: Iterable[Path], root: Path, table: Path
) -> tuple[dict[Path, dict[str, str]], list[str]]:
    """Assign the rows of a table to data files.

    A row belongs to the file of its column `file`, or else to that called `SPECIMEN_SIDE` (or SPECIMENSIDE, with the
    side's first letter too, or SPECIMEN where no row of the specimen has a side), in the folder of its species where
    several are called so.

    Returns:
        Data file -> row, in the order of `files`; and the specimens of the table without a file.

    Raises:
        UserError: two rows for one file, or a row that fits several files.
    """
    by_stem: dict[str, list[Path]] = defaultdict(list)
    order = list(files)
    for path in order:
        by_stem[path.stem].append(path)
    rows_of: dict[Path, dict[str, str]] = {}
    absent = []
    for row in rows:
        fitting = _fitting(row, by_stem, root)
        if not fitting:
            absent.append("_".join(filter(None, (row["specimen"], row["side"]))))
            continue
        if len(fitting) > 1:
            raise UserError(
                "fits several files",
                file=table,
                key=row["specimen"],
                found=", ".join(str(path.relative_to(root)) for path in fitting[:3]),
                remedy="add a column `file`",
            )
        if fitting[0] in rows_of:
            raise UserError("has two rows for one file", file=table, key=fitting[0].name)
        rows_of[fitting[0]] = row
    return {path: rows_of[path] for path in order if path in rows_of}, absent


def _fitting(row: dict[str, str], by_stem: dict[str, list[Path]], root: Path) -> list[Path]:
    if row.get("file"):
        path = root / row["file"]
        return [path] if path in by_stem.get(path.stem, []) else []
    specimen, side = row["specimen"], row["side"]
    names = [specimen] if not side else [f"{specimen}{gap}{s}" for gap in ("_", "") for s in (side, side[0].upper())]
    if side and row["session"]:
        names += [f"{name}_{row['session']}" for name in names]
    for name in dict.fromkeys([*names, specimen]):
        paths = by_stem.get(name, [])
        near = [path for path in paths if path.parent.name == row["species"]]
        if paths:
            return near or paths
    return []


def check_metadata(rows_of: dict[Path, dict[str, str]], *, least_specimens: int, where: Path) -> None:
    """Refuse what would make every later comparison wrong.

    Raises:
        UserError: a specimen in two splits or two species, two files of one specimen, side and session, or a species
            with fewer than `least_specimens` specimens.
    """
    seen: dict[str, tuple[dict[str, str], Path]] = {}
    images: dict[tuple[str, ...], Path] = {}
    for path, row in rows_of.items():
        first, first_path = seen.setdefault(row["specimen"], (row, path))
        for name, what in (("split", "two splits"), ("species", "two species")):
            if row[name] != first[name]:
                raise UserError(
                    f"specimen {row['specimen']!r} is in {what}",
                    file=where,
                    key=name,
                    found=f"{first[name] or 'none'} ({first_path.name}) and {row[name] or 'none'} ({path.name})",
                    remedy="all images of a specimen belong together",
                )
        image = (row["specimen"], row["side"], row["session"])
        other = images.setdefault(image, path)
        if other != path:
            raise UserError(
                f"two files are specimen {row['specimen']!r}, side {row['side'] or 'none'}",
                file=where,
                found=f"{other.name} and {path.name}",
                remedy="give them sides or sessions in metadata.csv",
            )
    members: dict[str, set[str]] = defaultdict(set)
    for row in rows_of.values():
        members[row["species"]].add(row["specimen"])
    for species, specimens in members.items():
        if len(specimens) < least_specimens:
            raise UserError(
                f"species {species!r} has {len(specimens)} specimen{'s' if len(specimens) != 1 else ''}",
                file=where,
                key="species",
                found=", ".join(sorted(specimens)),
                remedy=f"a class needs at least {least_specimens}; add some or leave it out",
            )
