"""Mathematics that several segmentation methods share, for autoencoders, clusterings and classifiers.

Autoencoders begin with `autoencoder`, `normalisers` and `losses`; clusterings with `preparation` and `clusters`;
classifiers with `labelled` and `training_pixels`. Arrays and modules in and out; no files.
"""
