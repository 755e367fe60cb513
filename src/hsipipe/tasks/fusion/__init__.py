"""Fusion: a high-resolution hyperspectral cube from a low-resolution one and a high-resolution multispectral image.

The six questions are in the files of their names, but for `fit`: each method is fitted on the pair that it fuses.
`apply` is where the workflow and the command line meet before a method, `result` what a method returns. `files` takes
two files of a user's to a fused one; mathematics that several methods share is in `shared`.
"""
