"""Simulated specimens with planted, known differences, as items or as the files of a line scanner.

Begin with `design`, which says what is planted; `simulate` draws the specimens (`wings` their shape, `pigments` their
spectra), `files` writes them as a scanner would have.
"""
