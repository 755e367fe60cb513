import hashlib

import numpy as np

from hsipipe.randomness import generator_for, seed_for


def test_seed_is_the_hash_of_its_parts():
    digest = hashlib.sha256(b"case\x1f0\x1ftile").digest()
    assert seed_for("case", 0, "tile") == int.from_bytes(digest[:8], "little") // 2


def test_seeds_differ_by_part_and_fit_63_bits():
    seeds = {seed_for("case", number) for number in range(500)}
    assert len(seeds) == 500
    assert max(seeds) < 2**63
    assert seed_for("ab", "c") != seed_for("a", "bc")


def test_generator_repeats():
    assert np.array_equal(generator_for("a", 1).normal(size=5), generator_for("a", 1).normal(size=5))
