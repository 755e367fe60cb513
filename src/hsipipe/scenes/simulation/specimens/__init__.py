"""Simulated specimens with planted, known differences, written as the files of a line scanner."""
