"""Segmentation of files and arrays: segment, encode, decode, reconstruct, classify, score. The verbs call these."""
