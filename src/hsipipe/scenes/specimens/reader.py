"""Reading a folder of specimens, one at a time."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hsipipe.errors import UserError, unknown
from hsipipe.scenes.readers import read_labels
from hsipipe.scenes.readers.envi_header import EnviHeader, is_envi_header, read_envi_header
from hsipipe.scenes.scene import Item
from hsipipe.scenes.specimens.calibration import (
    Reference,
    check_wavelengths,
    read_reference,
    scaling_of,
    to_reflectance,
)
from hsipipe.scenes.specimens.files import FolderFiles, find_mask, list_files, open_specimen
from hsipipe.scenes.specimens.mask import dead_lines, separate_specimen
from hsipipe.scenes.specimens.metadata import check_metadata, from_names, match_table, parse_name, read_table

log = logging.getLogger(__name__)

TABLE = "metadata.csv"
DECLARED_SHARE = 0.01  # of an image; fewer zeros or ignored values are flaws of it, not its background
_CHOICES = {"references": ("auto", "use", "ignore"), "mask": ("auto", "none"), "unpaired": ("refuse", "skip")}


def is_specimen_folder(folder: str | Path) -> bool:
    """Whether a folder holds specimens: a metadata.csv of specimens, or ENVI files all called as specimens are.

    The names are such as `Genus species_1D_040917`; any other image beside them makes it an ordinary folder.
    """
    root = Path(folder)
    table = root / TABLE
    if table.is_file():
        with open(table, encoding="utf-8-sig", errors="replace") as stream:
            columns = {name.strip().strip('"').lower() for name in stream.readline().split(",")}
        return {"specimen", "species"} <= columns
    headers = [path for path in root.rglob("*.hdr") if not path.name.startswith(".")]
    stems = [Path(path.stem).stem if path.stem.lower().endswith((".bil", ".raw")) else path.stem for path in headers]
    return bool(stems) and all(parse_name(stem) is not None for stem in stems)


def is_simulated_folder(folder: str | Path) -> bool:
    """Whether the header of any specimen of a folder says that it is simulated (`simulated = 1`)."""
    return any(
        is_envi_header(path) and _is_simulated(read_envi_header(path))
        for path in sorted(Path(folder).rglob("*.hdr"))
        if not path.name.startswith(".")
    )


def _is_simulated(header: EnviHeader) -> bool:
    return str(header.fields.get("simulated", "0")).strip() not in ("0", "")


def read_specimens(
    folder: str | Path,
    *,
    metadata: str | Path | None = None,
    gain: bool = True,
    references: str = "auto",
    white_reflectance: float = 0.99,
    mask: str = "auto",
    unpaired: str = "refuse",
    least_specimens: int = 2,
) -> Iterator[Item]:
    """Read the specimens of a folder and the folders in it, one by one: ENVI images with who they are.

    All files are paired, named and checked before the first is yielded; sizes, hashes and wavelengths as each is read.
    What was found, used and passed over is told in one line of the log at the end.

    Args:
        folder: of x.bil with x.bil.hdr or x.hdr (also .bsq, .bip, .raw), with metadata.csv in it where there is one.
        metadata: the table, if it lies elsewhere; see `read_table`. Without any, the species is the folder's name and
            the rest comes from names such as `Genus species_1D_040917`.
        gain: whether a header's own field `gain` multiplies the counts.
        references: `auto` divides by the session's white and dark reference where the header gives no reflectance scale
            and the folder holds both; `use` always, and refuses a session without; `ignore` never.
        white_reflectance: of the white panel.
        mask: `auto`: the specimen's mask file, else the header's `data ignore value` if it marks pixels, else the
            contrast to the background (Otsu), else the whole image; `none`: the whole image.
        unpaired: `refuse` data files without a header and headers without data, or `skip` them.
        least_specimens: of each species; 1 for images that are only to be embedded.

    Yields:
        Items named by their files. The cube keeps its integers where one factor makes them reflectance
        (`source["scale"]`), else it is float32 reflectance. `valid` is the specimen without dead lines;
        `source["metadata"]` {specimen, species, side, session, split, ...}, `source["sha256"]`, `source["mask"]` and
        `source["calibration"]` (how they were made), `source["dead_lines"]`.

    Raises:
        UserError: naming the file: no specimens, an unpaired file, another size than the header says, another hash than
            SHA256SUMS, wavelengths missing, uneven or other than the first's, the same data twice, a specimen in two
            splits, fewer than `least_specimens` specimens of a species.
    """
    for name, value in (("references", references), ("mask", mask), ("unpaired", unpaired)):
        if value not in _CHOICES[name]:
            raise unknown(name, value, _CHOICES[name])
    root = Path(folder)
    table = Path(metadata) if metadata is not None else root / TABLE
    rows = read_table(table) if metadata is not None or table.is_file() else None
    files = list_files(root, specimens={row["specimen"] for row in rows or ()})
    if unpaired == "refuse":
        _refuse_unpaired(files)
    if not files.specimens:
        raise UserError("holds no specimen", file=root, remedy="expected x.bil with x.bil.hdr or x.hdr")
    summary = _Summary(root, files)
    if rows is None:
        rows_of = {data: from_names(data, root) for data in files.specimens}
        summary.who = "names of folders and files (no metadata.csv)"
    else:
        rows_of, summary.absent = match_table(rows, files.specimens, root, table)
        summary.who = table.name
        summary.unlisted = [path.name for path in files.specimens if path not in rows_of]
        if not rows_of:
            raise UserError(
                "fits no file of the folder",
                file=table,
                found=f"{summary.absent[0]!r} and {next(iter(files.specimens)).stem!r}",
                remedy="files are called SPECIMEN_SIDE, or add a column `file`",
            )
    check_metadata(rows_of, least_specimens=least_specimens, where=table if rows is not None else root)
    return _Reader(files, rows_of, summary, gain, references, white_reflectance, mask).items()


def _refuse_unpaired(files: FolderFiles) -> None:
    for alone, what, remedy in (
        (files.data_alone, "has no ENVI header", "expected {0}.hdr beside it"),
        (files.headers_alone, "has no data file", "expected {1} or {1}.bil beside it"),
    ):
        if alone:
            path = alone[0]
            raise UserError(
                what,
                file=path,
                found=f"{len(alone)} such files" if len(alone) > 1 else None,
                remedy=remedy.format(path.name, path.stem),
            )


@dataclass
class _Summary:
    """What is told when all is read."""

    root: Path
    files: FolderFiles
    who: str = ""
    unlisted: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    specimens: set[str] = field(default_factory=set)
    species: Counter[str] = field(default_factory=Counter)
    masks: Counter[str] = field(default_factory=Counter)
    calibrations: Counter[str] = field(default_factory=Counter)
    dead: int = 0
    bands: str = ""

    def add(self, item: Item) -> None:
        about = item.source["metadata"]
        self.specimens.add(about["specimen"])
        self.species[about["species"]] += 1
        self.masks[item.source["mask"]] += 1
        self.calibrations[item.source["calibration"]] += 1
        self.dead += bool(item.source["dead_lines"])

    def tell(self) -> None:
        parts = [
            f"{sum(self.species.values())} images of {len(self.specimens)} specimens, {len(self.species)} species",
            f"named by {self.who}",
            self.bands,
            f"mask from {_counts(self.masks)}",
            f"scale from {_counts(self.calibrations)}",
            f"checksums of {len(self.files.checksums)} files" if self.files.checksums else "no checksums to compare",
        ]
        for what, which in (
            ("without a header", [path.name for path in self.files.data_alone]),
            ("without data", [path.name for path in self.files.headers_alone]),
            ("not in the table", self.unlisted),
            ("in the table without a file", self.absent),
        ):
            if which:
                parts.append(f"{len(which)} {what}: {', '.join(which[:3])}{', ...' if len(which) > 3 else ''}")
        if self.dead:
            parts.append(f"{self.dead} images with dead lines")
        alone = self.files.data_alone or self.files.headers_alone or self.unlisted or self.absent
        log.log(logging.WARNING if alone else logging.INFO, "%s: %s", self.root, "; ".join(parts))


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" if len(counter) > 1 else name for name, count in counter.items())


@dataclass
class _Reader:
    files: FolderFiles
    rows_of: dict[Path, dict[str, str]]
    summary: _Summary
    gain: bool
    use_references: str
    white_reflectance: float
    mask: str
    first_nm: np.ndarray | None = None
    first_file: Path | None = None
    cache: tuple[tuple[Path, Path, tuple[int, ...]], Reference] | None = None

    def items(self) -> Iterator[Item]:
        stems = Counter(path.stem for path in self.rows_of)
        seen: dict[str, Path] = {}
        for data, row in self.rows_of.items():
            item = self.read(data, row)
            if stems[data.stem] > 1:
                item.name = "_".join((*data.relative_to(self.files.root).parent.parts, data.stem))
            other = seen.setdefault(item.source["sha256"], data)
            if other != data:
                raise UserError("holds the same data as another specimen", file=data, found=other, remedy="remove one")
            self.summary.add(item)
            yield item
        self.summary.tell()

    def read(self, data: Path, row: dict[str, str]) -> Item:
        header_path = self.files.specimens[data]
        header = read_envi_header(header_path)
        wavelength_nm = check_wavelengths(
            header.wavelength_nm, file=header_path, reference=self.first_nm, reference_file=self.first_file
        )
        if self.first_nm is None:
            self.first_nm, self.first_file = wavelength_nm, header_path
            step = np.median(np.diff(wavelength_nm)) if len(wavelength_nm) > 1 else 0.0
            self.summary.bands = (
                f"{len(wavelength_nm)} bands from {wavelength_nm[0]:.2f} to {wavelength_nm[-1]:.2f} nm, "
                f"{step:.3f} nm apart"
            )
        relative = data.relative_to(self.files.root).as_posix()
        image, digest = open_specimen(header_path, data, checksum=self.files.checksums.get(relative))
        item = image.read()
        item.name = data.stem
        dead_rows, dead_cols = dead_lines(item.cube, item.valid)
        alive = ~(dead_rows[:, None] | dead_cols[None, :])
        declared = item.valid | ~alive
        item.source |= {
            "sha256": digest,
            "metadata": dict(row),
            "simulated": _is_simulated(header),
            "dead_lines": {"rows": np.flatnonzero(dead_rows).tolist(), "cols": np.flatnonzero(dead_cols).tolist()}
            if not alive.all()
            else {},
        }
        item.valid &= alive
        self.calibrate(item, header)
        self.find_specimen(item, data, declared)
        return item

    def calibrate(self, item: Item, header: EnviHeader) -> None:
        """Turn counts into reflectance, or say by what factor they are."""
        scaling = scaling_of(header, gain=self.gain)
        reference = None
        if self.use_references == "use" or (self.use_references == "auto" and scaling.how in ("none", "gain")):
            reference = self.reference_for(item)
        if reference is not None:
            # Both were recorded with the same gain, which cancels.
            item.cube, good = to_reflectance(item.cube, reference, white_reflectance=self.white_reflectance)
            item.good_bands &= good
            item.source |= {"scale": 1.0, "nodata": None, "calibration": "white and dark reference"}
            item.source["references"] = list(reference.files)
            return
        item.source["calibration"] = scaling.how if scaling.how != "none" else "nothing (counts)"
        if scaling.plain:
            item.source["scale"] = float(scaling.gain)
            return
        cube = item.cube.astype(np.float32)
        cube *= np.broadcast_to(np.asarray(scaling.gain, np.float32), (len(cube),))[:, None, None]
        cube += np.broadcast_to(np.asarray(scaling.offset, np.float32), (len(cube),))[:, None, None]
        item.cube = cube
        item.source |= {"scale": 1.0, "nodata": None}

    def reference_for(self, item: Item) -> Reference | None:
        """The session's references, or those without a session; kept until another session comes."""
        session, found = item.source["metadata"]["session"], self.files.references
        for name in dict.fromkeys((session, "")):
            if (name, "white") in found and (name, "dark") in found:
                key = (found[name, "white"], found[name, "dark"], item.cube.shape)
                if self.cache is None or self.cache[0] != key:
                    self.cache = key, read_reference(key[0], key[1], item.cube.shape)
                return self.cache[1]
        some = bool(found) and all(kind in {which for _, which in found} for kind in ("white", "dark"))
        if self.use_references == "use" or (some and self.use_references == "auto"):
            raise UserError(
                f"has no white and dark reference of session {session or 'none'!r}",
                file=item.source["path"],
                found=", ".join(path.name for path in found.values()) or "no references",
                remedy=f"add {session or 'x'}_white and {session or 'x'}_dark, or read with references `ignore`",
            )
        return None

    def find_specimen(self, item: Item, data: Path, declared: np.ndarray) -> None:
        """Narrow `valid` to the specimen; `declared` is False where the file itself says that nothing is."""
        if self.mask == "none":
            item.source["mask"] = "none asked for"
            return
        if (path := find_mask(data)) is not None:
            inside = read_labels(path, item.valid.shape) > 0
            item.source |= {"mask": "mask file", "mask_file": str(path)}
        elif 1 - declared.mean() > DECLARED_SHARE:
            header = read_envi_header(self.files.specimens[data])
            inside = declared
            item.source["mask"] = "zeros of the file" if header.nodata is None else "data ignore value"
        elif (found := separate_specimen(item.cube[item.good_bands], item.valid)) is not None:
            inside, item.source["mask"] = found, "Otsu on contrast to background"
        else:
            inside, item.source["mask"] = np.ones_like(item.valid), "nothing (no specimen stands out)"
        item.valid &= inside
        if not item.valid.any():
            raise UserError("has no pixel of a specimen", file=path or data, remedy="check the mask")
