"""Folders of specimens: ENVI images of individuals with metadata, references and masks.

Begin with `reader`, which yields one specimen at a time as an `Item` in reflectance. It asks `files` which files there
are, `metadata` who they are of, `calibration` for reflectance and `mask` for the pixels of the specimen.
"""
