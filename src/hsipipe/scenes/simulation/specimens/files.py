"""Simulated specimens as the files of a line scanner: .bil with .bil.hdr, metadata.csv, references, checksums."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from hsipipe.files import atomic_path, sha256_of, write_json, write_text
from hsipipe.randomness import generator_for
from hsipipe.scenes.scene import Item
from hsipipe.scenes.simulation.specimens.design import Design
from hsipipe.scenes.simulation.specimens.pigments import BANDS, band_centres, camera_response, lamp, session_light
from hsipipe.scenes.simulation.specimens.simulate import (
    SCALE,
    Portrait,
    add_noise,
    check_settings,
    portraits,
    record,
)
from hsipipe.scenes.writers.envi import header_text

COLUMNS = ("specimen", "species", "side", "session", "split")
CHECKSUMS = "SHA256SUMS"
WHITE_REFLECTANCE = 0.99  # of the white panel
FULL_SCALE = 50000.0  # counts of a perfect reflector where lamp and camera are at their best
DARK = 300.0  # counts without light
REFERENCE_LINES = 20


def simulate_specimens(
    folder: str | Path,
    *,
    species: int = 8,
    individuals: int = 12,
    sides: int = 2,
    sessions: int = 3,
    size: int = 48,
    bands: int = BANDS,
    seed: int = 0,
    references: bool = False,
    masks: bool = False,
) -> None:
    """Write simulated specimens as `read_specimens` reads them, one at a time.

    Files: SPECIES/SPECIMEN_SIDE.bil and .bil.hdr (uint16, little-endian, lines of the scanner are rows), metadata.csv
    (specimen, species, side, session, split), SHA256SUMS (of all .bil files, as `sha256sum -c` takes it) and
    design.json (what was planted). The specimens are those of `specimen_items` with the same settings.

    Args:
        folder: made if it does not exist.
        species, individuals, sides, sessions, size, bands, seed: as in `specimen_items`.
        references: write raw counts of the camera (lamp, response, dark current, the session's light), and for every
            session references/SESSION_white.bil and SESSION_dark.bil, in place of reflectance x 10000.
        masks: write SPECIMEN_SIDE_mask.npy, 1 on the specimen.

    Raises:
        UserError: a number out of its range.
    """
    root = Path(folder)
    design = check_settings(
        species=species, individuals=individuals, sides=sides, sessions=sessions, size=size, bands=bands
    )
    wavelength_nm = band_centres(bands)
    rows: list[dict[str, str]] = []
    sums: dict[str, str] = {}
    for portrait in portraits(design, individuals=individuals, sides=sides, size=size, bands=bands, seed=seed):
        path = root / portrait.metadata["species"] / f"{portrait.name}.bil"
        if references:
            counts = _raw(portrait, design, wavelength_nm, seed)
        else:
            counts = record(portrait, design, wavelength_nm, seed=seed)
        _write(path, counts, wavelength_nm, None if references else SCALE)
        if masks:
            with atomic_path(path.with_name(f"{portrait.name}_mask.npy")) as temporary:
                np.save(temporary, portrait.inside.astype(np.uint8))
        rows.append(portrait.metadata)
        sums[path.relative_to(root).as_posix()] = sha256_of(path)
    if references:
        for path in _write_references(root / "references", design, wavelength_nm, size, seed):
            sums[path.relative_to(root).as_posix()] = sha256_of(path)
    write_text(root / CHECKSUMS, "".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    write_json(root / "design.json", design.as_dict() | {"simulated": True, "seed": seed})
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(root / "metadata.csv", table.getvalue())


def _write(path: Path, counts: np.ndarray, wavelength_nm: np.ndarray, scale: float | None) -> None:
    item = Item(cube=counts, name=f"simulated {path.stem}", wavelength_nm=wavelength_nm)
    text = header_text(counts, "12", "bil", item, {"scale": scale}, None) + "simulated = 1\n"
    with atomic_path(path.with_name(path.name + ".hdr")) as header, atomic_path(path) as data:
        header.write_text(text, encoding="utf-8")
        np.ascontiguousarray(counts.transpose(1, 0, 2), "<u2").tofile(data)


def _counts_per_reflectance(design: Design, session: str, wavelength_nm: np.ndarray) -> np.ndarray:
    """(bands,) counts of a perfect reflector above dark in one session."""
    index = design.sessions.index(session)
    light = session_light(wavelength_nm, design.gains[index], design.tilts[index])
    both = lamp(wavelength_nm) * camera_response(wavelength_nm)
    return FULL_SCALE * light * both / both.max()


def _dark(design: Design, session: str, bands: int, size: int, seed: int) -> np.ndarray:
    """(bands, cols) mean counts without light: every detector element has its own."""
    own = generator_for("specimen", seed, "dark").standard_normal((bands, size))
    return DARK + 20 * design.sessions.index(session) + 10 * own


def _raw(portrait: Portrait, design: Design, wavelength_nm: np.ndarray, seed: int) -> np.ndarray:
    """Counts as they leave the camera: (bands, rows, cols) uint16; a lost line is 0, below the dark current."""
    session = portrait.metadata["session"]
    seen = add_noise(portrait.reflectance, portrait, wavelength_nm, seed=seed)
    counts = seen * _counts_per_reflectance(design, session, wavelength_nm)[:, None, None]
    counts += _dark(design, session, len(wavelength_nm), counts.shape[2], seed)[:, None, :]
    stored = np.clip(np.rint(counts), 1, 65535).astype(np.uint16)
    if portrait.dead_line is not None:
        stored[:, portrait.dead_line] = 0
    return stored


def _write_references(folder: Path, design: Design, wavelength_nm: np.ndarray, size: int, seed: int) -> list[Path]:
    """White and dark references of each session, `REFERENCE_LINES` lines each; their data files."""
    written = []
    for session in design.sessions:
        dark = _dark(design, session, len(wavelength_nm), size, seed)
        white = dark + WHITE_REFLECTANCE * _counts_per_reflectance(design, session, wavelength_nm)[:, None]
        for name, level in (("white", white), ("dark", dark)):
            generator = generator_for("specimen", seed, session, name)
            noise = generator.standard_normal((len(wavelength_nm), REFERENCE_LINES, size))
            counts = level[:, None, :] + 0.2 * np.sqrt(level[:, None, :]) * noise
            path = folder / f"{session}_{name}.bil"
            _write(path, np.clip(np.rint(counts), 0, 65535).astype(np.uint16), wavelength_nm, None)
            written.append(path)
    return written
