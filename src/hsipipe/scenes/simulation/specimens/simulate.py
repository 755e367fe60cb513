"""Simulated specimens as items: cubes of 16-bit counts, with everything that made them known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hsipipe.errors import UserError
from hsipipe.randomness import generator_for
from hsipipe.scenes.scene import Item
from hsipipe.scenes.simulation.specimens.design import (
    FAR_RED_NM,
    ULTRAVIOLET_NM,
    Design,
    Pair,
    part_of,
    planted,
)
from hsipipe.scenes.simulation.specimens.pigments import (
    BANDS,
    CARD,
    band_centres,
    bump,
    camera_response,
    draw_traits,
    ground,
    pattern,
    session_light,
)
from hsipipe.scenes.simulation.specimens.wings import draw_outline, draw_pattern
from hsipipe.scenes.simulation.texture import fractal_field

SCALE = 1e-4  # reflectance per count
PLANTED_MEAN = 0.042  # what a planted bump adds to the mean reflectance of the wing at its maximum
ALBEDO = (0.82, 1.22)  # factors of the dark and the bright species of an albedo pair
VENTRAL = 0.9  # the undersides are paler
SIGNAL_TO_NOISE = 60.0  # at reflectance 0.5 and full response
READ_NOISE = 0.002  # reflectance at full response
DEAD_LINE_SHARE = 0.1  # of images that lost one line
REGIONS = ("ground", "pattern", "ring")
SIDES = ("dorsal", "ventral")


@dataclass(frozen=True)
class Portrait:
    """One image before it is recorded.

    Attributes:
        reflectance: (bands, rows, cols) float32, as a perfect camera under even light would see it.
        inside: (rows, cols) bool, the specimen.
        regions: (rows, cols) int32: 0 card, 1 ground, 2 pattern, 3 ring round it.
        dead_line: row that the camera lost, or None.
        metadata: specimen, species, side, session, split.
    """

    reflectance: np.ndarray
    inside: np.ndarray
    regions: np.ndarray
    dead_line: int | None
    metadata: dict[str, str]

    @property
    def name(self) -> str:
        """`<specimen>_<side>`."""
        return f"{self.metadata['specimen']}_{self.metadata['side']}"


def specimen_items(
    *,
    species: int = 8,
    individuals: int = 12,
    sides: int = 1,
    sessions: int = 3,
    size: int = 48,
    bands: int = BANDS,
    seed: int = 0,
    regions: bool = False,
) -> Iterator[Item]:
    """Simulated specimens, one by one: wings of known pigments on a black card, recorded in several sessions.

    Species come in pairs that differ in one planted respect (`planted`). Individuals differ in shape, pigments and
    brightness, images in pose, pattern and texture; each session multiplies all by a gain and a spectral tilt, which
    say nothing of the species. Noise grows with the root of the signal, and some images lost a line.

    Args:
        species: even number of species.
        individuals: of each species, at least 2; they are dealt to the sessions in turn.
        sides: 1 (dorsal) or 2 (dorsal and ventral images of each individual).
        sessions: recording sessions.
        size: rows and columns, at least 16.
        bands: 408: the camera's own, from 348.39 nm in steps of 1.1332 nm; fewer: equal bins of that range.
        seed: determines everything.
        regions: give each item `labels`: 1 ground, 2 pattern, 3 ring round it, 0 card.

    Yields:
        Items whose cube is uint16, reflectance x 10000 (`source["scale"]` = 1e-4), `valid` the specimen without lost
        lines, `source["metadata"]` {specimen, species, side, session, split}, `source["simulated"]` True.

    Raises:
        UserError: a number out of its range.
    """
    design = check_settings(
        species=species, individuals=individuals, sides=sides, sessions=sessions, size=size, bands=bands
    )
    return _items(design, individuals, sides, size, bands, seed, regions)


def _items(
    design: Design, individuals: int, sides: int, size: int, bands: int, seed: int, regions: bool
) -> Iterator[Item]:
    wavelength_nm = band_centres(bands)
    for portrait in portraits(design, individuals=individuals, sides=sides, size=size, bands=bands, seed=seed):
        valid = portrait.inside.copy()
        if portrait.dead_line is not None:
            valid[portrait.dead_line] = False
        yield Item(
            cube=record(portrait, design, wavelength_nm, seed=seed),
            name=portrait.name,
            valid=valid,
            wavelength_nm=wavelength_nm,
            labels=portrait.regions if regions else None,
            class_names=list(REGIONS) if regions else [],
            source={
                "simulated": True,
                "format": "simulated",
                "scale": SCALE,
                "dtype": "uint16",
                "seed": seed,
                "mask": "known",
                "metadata": portrait.metadata,
            },
        )


def check_settings(*, species: int, individuals: int, sides: int, sessions: int, size: int, bands: int) -> Design:
    """The design of these settings.

    Raises:
        UserError: a number out of its range.
    """
    for name, value, low, high in (
        ("individuals", individuals, 2, 9999),
        ("sides", sides, 1, len(SIDES)),
        ("size", size, 16, 4096),
        ("bands", bands, 8, BANDS),
    ):
        if not low <= value <= high:
            raise UserError(f"simulated specimens need {name} from {low} to {high}", key=name, found=value)
    return planted(species=species, sessions=sessions)


def portraits(design: Design, *, individuals: int, sides: int, size: int, bands: int, seed: int) -> Iterator[Portrait]:
    """Every image of a design before it is recorded, species by species; each depends on its own name and seed only."""
    wavelength_nm = band_centres(bands)
    for pair in design.pairs:
        for which, name in enumerate(pair.species):
            for individual in range(individuals):
                for side in SIDES[:sides]:
                    yield portray(
                        pair,
                        which,
                        {
                            "specimen": f"{name}-{individual + 1:02d}",
                            "species": name,
                            "side": side,
                            # Species start at different sessions, so that odd ones out do not favour the first.
                            "session": design.sessions[(individual + pair.number) % len(design.sessions)],
                            "split": part_of(individual, individuals),
                        },
                        wavelength_nm,
                        size,
                        seed,
                    )


def portray(
    pair: Pair, which: int, metadata: dict[str, str], wavelength_nm: np.ndarray, size: int, seed: int
) -> Portrait:
    """One image of a specimen; with the same metadata, the two species of a pair differ in what is planted only.

    Args:
        pair: of the species.
        which: of its two species, 0 or 1.
        metadata: specimen, species, side, session, split; specimen and side seed what is drawn.
        wavelength_nm: (bands,).
        size: rows and columns.
        seed: of the whole set.
    """
    specimen, side = metadata["specimen"], metadata["side"]
    traits = draw_traits(pair.number, generator_for("specimen", seed, specimen, "traits"))
    wing = draw_outline(
        size,
        size,
        generator_for("specimen", seed, specimen, "outline"),
        generator_for("specimen", seed, specimen, side, "pose"),
    )
    draw = generator_for("specimen", seed, specimen, side, "pattern")
    kind = pair.pattern if pair.pattern != "any" else ("stripes", "spots")[int(draw.integers(2))]
    core, ring = draw_pattern(wing, kind, draw)
    brightness = traits.brightness * (VENTRAL if side == "ventral" else 1.0)
    if pair.kind == "albedo":
        brightness *= ALBEDO[which]
    texture = 1 + 0.06 * fractal_field((size, size), draw, exponent=2.2, outer_scale=size / 6)
    pigmented = (wing.cover * texture * brightness).astype(np.float32)
    spectra = np.stack(
        [
            ground(wavelength_nm, traits, pair.number),
            pattern(wavelength_nm, traits),
            bump(wavelength_nm, ULTRAVIOLET_NM),
            bump(wavelength_nm, FAR_RED_NM),
            np.full(len(wavelength_nm), CARD),
        ]
    ).astype(np.float32)
    planted_on = {("ultraviolet", 1): core, ("far-red", 1): core, ("arrangement", 0): core, ("arrangement", 1): ring}
    heights = [level * brightness * wing.cover for level in traits.diffuse]
    if (where := planted_on.get((pair.kind, which))) is not None:
        patch = where * wing.cover
        # Scaled so that the sum over the wing depends neither on place nor on the cover of rim pixels.
        heights[pair.kind == "far-red"] += PLANTED_MEAN * brightness * patch * (wing.inside.sum() / patch.sum())
    card = (1 - wing.cover) * (1 + 0.03 * draw.standard_normal((size, size)))
    amounts = np.stack([np.where(core, 0, pigmented), np.where(core, pigmented, 0), *heights, card])
    reflectance = spectra.T @ amounts.reshape(len(spectra), -1).astype(np.float32)
    lost = generator_for("specimen", seed, specimen, side, "line")
    dead_line = int(lost.integers(size // 4, 3 * size // 4)) if lost.random() < DEAD_LINE_SHARE else None
    regions = np.where(core, 2, np.where(ring, 3, 1)).astype(np.int32)
    return Portrait(
        reflectance=reflectance.reshape(-1, size, size),
        inside=wing.inside,
        regions=np.where(wing.inside, regions, 0).astype(np.int32),
        dead_line=dead_line,
        metadata=metadata,
    )


def record(portrait: Portrait, design: Design, wavelength_nm: np.ndarray, *, seed: int) -> np.ndarray:
    """What the camera delivers after an imperfect calibration: (bands, rows, cols) uint16, reflectance / `SCALE`.

    The session's gain and tilt stay in; a lost line is 0.
    """
    session = design.sessions.index(portrait.metadata["session"])
    light = session_light(wavelength_nm, design.gains[session], design.tilts[session])
    seen = add_noise(portrait.reflectance * light[:, None, None].astype(np.float32), portrait, wavelength_nm, seed=seed)
    counts = np.clip(np.rint(seen / SCALE), 1, 65535).astype(np.uint16)
    if portrait.dead_line is not None:
        counts[:, portrait.dead_line] = 0
    return counts


def add_noise(seen: np.ndarray, portrait: Portrait, wavelength_nm: np.ndarray, *, seed: int) -> np.ndarray:
    """Photon noise, of variance in proportion to the light, and read noise; both grow where the camera sees little.

    Args:
        seen: (bands, rows, cols) float32 reflectance under the session's light.

    Returns:
        The same with noise, of any sign.
    """
    generator = generator_for("specimen", seed, portrait.name, "noise")
    response = camera_response(wavelength_nm).astype(np.float32)[:, None, None]
    variance = 0.5 / SIGNAL_TO_NOISE**2 * np.maximum(seen, 0) / response + (READ_NOISE / response) ** 2
    noise = generator.standard_normal(seen.shape, dtype=np.float32)
    return np.add(seen, np.sqrt(variance, out=variance) * noise)
