"""Simulated specimens with planted, known differences, as items or as the files of a line scanner."""

from hsipipe.scenes.simulation.specimens.design import Design, Pair, planted
from hsipipe.scenes.simulation.specimens.files import simulate_specimens
from hsipipe.scenes.simulation.specimens.simulate import specimen_items

__all__ = ["Design", "Pair", "planted", "simulate_specimens", "specimen_items"]
