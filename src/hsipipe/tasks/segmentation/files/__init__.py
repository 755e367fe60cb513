"""Segmentation of files and arrays: segment, encode, decode, reconstruct, classify, score.

The verbs and `hsipipe.notebook` call these. Begin with `segment_files`; `inputs` reads spectra of any form, `maps` and
`tables` write what was made of them, `saved_clusters` is a clustering that labels other images.
"""
