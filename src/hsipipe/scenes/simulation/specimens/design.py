"""What is planted in simulated specimens: species in pairs, each pair with one known difference."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from hsipipe.errors import UserError

ULTRAVIOLET_NM = (355.0, 397.0)
FAR_RED_NM = (712.0, 792.0)
GAIN_SPREAD = 0.10  # of the brightest and darkest session about 1
TILT_SPREAD = 0.15  # of the reddest and bluest: relative change at the ends of the range
PARTS = ("train", "val", "test")
# In the order in which pairs are added; pattern "any": stripes or spots by chance, the same chance in both species.
KINDS: dict[str, dict[str, Any]] = {
    "ultraviolet": {"states": ("absent", "present"), "window_nm": ULTRAVIOLET_NM, "pattern": "any"},
    "far-red": {"states": ("absent", "present"), "window_nm": FAR_RED_NM, "pattern": "spots"},
    "albedo": {"states": ("dark", "bright"), "window_nm": None, "pattern": "stripes"},
    "arrangement": {"states": ("centre", "ring"), "window_nm": ULTRAVIOLET_NM, "pattern": "any"},
}


@dataclass(frozen=True)
class Pair:
    """Two species that differ in one planted respect only.

    Attributes:
        kind: `ultraviolet` and `far-red` (a reflectance bump on the pattern in one species, none in the other),
            `albedo` (the same shape of spectrum, another brightness), `arrangement` (the same ultraviolet bump, the
            same mean spectrum; on the pattern in one species, in a ring of equal area round it in the other).
        species: their names.
        window_nm: the first and last wavelength where the two can differ; None: all wavelengths (albedo).
        pattern: `stripes` or `spots` in every individual, or `any`: by chance.
        number: counts the pairs; it sets the pigments that both species share.
    """

    kind: str
    species: tuple[str, str]
    window_nm: tuple[float, float] | None
    pattern: str
    number: int


@dataclass(frozen=True)
class Design:
    """The known factors of a set of simulated specimens, by which analyses of it are judged.

    Attributes:
        pairs: of species.
        sessions: names of the recording sessions, crossed with species, each with a gain and a spectral tilt.
        gains: (sessions,) factor of brightness of each session.
        tilts: (sessions,) relative change of brightness from the middle of the range to its end.
    """

    pairs: tuple[Pair, ...]
    sessions: tuple[str, ...]
    gains: tuple[float, ...]
    tilts: tuple[float, ...]

    @property
    def species(self) -> tuple[str, ...]:
        """All names, pair by pair."""
        return tuple(name for pair in self.pairs for name in pair.species)

    @property
    def windows_nm(self) -> dict[str, tuple[float, float]]:
        """The planted window of each pair that has one, by the pair's name (`ultraviolet`, `far-red-2`, ...)."""
        return {pair_name(pair): pair.window_nm for pair in self.pairs if pair.window_nm is not None}

    def as_dict(self) -> dict[str, Any]:
        """The same in plain values, for JSON."""
        return asdict(self) | {"species": list(self.species), "windows_nm": self.windows_nm}


def planted(*, species: int = 8, sessions: int = 3) -> Design:
    """The design of a set of simulated specimens.

    Args:
        species: an even number, 2 to 26; pairs of the four kinds in turn (`KINDS`), from the second round with other
            pigments and "-2", "-3" in their names.
        sessions: 1 to 9.

    Raises:
        UserError: another number.
    """
    if species % 2 or not 2 <= species <= 26:
        raise UserError("simulated species come in pairs", key="species", found=species, remedy="give 2, 4, ... 26")
    if not 1 <= sessions <= 9:
        raise UserError("a number of sessions from 1 to 9 is needed", key="sessions", found=sessions)
    pairs = []
    for number in range(species // 2):
        kind = list(KINDS)[number % len(KINDS)]
        about, turn = KINDS[kind], number // len(KINDS)
        suffix = f"-{turn + 1}" if turn else ""
        first, second = (f"{kind}-{state}{suffix}" for state in about["states"])
        pairs.append(Pair(kind, (first, second), about["window_nm"], str(about["pattern"]), number))
    # Evenly spread, so that sessions are told apart whatever the seed; gain and tilt go in different orders.
    spread = [2 * k / (sessions - 1) - 1 if sessions > 1 else 0.0 for k in range(sessions)]
    turned = spread[1:] + spread[:1]
    return Design(
        pairs=tuple(pairs),
        sessions=tuple(f"session-{k + 1}" for k in range(sessions)),
        gains=tuple(1 + GAIN_SPREAD * value for value in spread),
        tilts=tuple(TILT_SPREAD * value for value in turned),
    )


def pair_name(pair: Pair) -> str:
    """`ultraviolet` for the first of its kind, then `ultraviolet-2`, ..."""
    turn = pair.number // len(KINDS)
    return pair.kind + (f"-{turn + 1}" if turn else "")


def part_of(individual: int, individuals: int) -> str:
    """The split of an individual: 60 % train, 20 % val, the rest test; the first trains, the last is tested."""
    share = (individual + 0.5) / individuals
    if individual == 0 or (share < 0.6 and individual < individuals - 1):
        return PARTS[0]
    return PARTS[1] if share < 0.8 and individual < individuals - 1 else PARTS[2]
