"""Mathematics that several denoisers share: wavelets, subspaces, noise levels, destriping.

Batches (B, C, H, W) in, batches out; no files, no settings of a config. A method's model.py says which it uses.
"""
