"""Mathematics that several fusion methods share: moments and regressions, subspaces, endmembers, PSFs, noise.

Arrays of a pair (C, h, w) and (m, H, W) in, arrays out; no files. A method's model.py says which it uses.
"""
