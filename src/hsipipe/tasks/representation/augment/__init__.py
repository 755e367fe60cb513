"""Views of a batch: one warp, and changes along the spectrum.

What enters are images with masks and wavelengths, what leaves are two views of each. Begin with `views`; `settings` has
every operation and its limits, `geometry` and `warp` move pixels, `spectral` changes spectra, `refused` says what is
not offered, and why.
"""
