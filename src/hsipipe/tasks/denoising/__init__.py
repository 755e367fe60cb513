"""Denoising: recover a cube from a noisy observation of it.

The six questions are in the files of their names. `apply` is where the workflow and the command line meet before a
method; `case` holds what the methods get to see, `trained` turns a model file into a denoiser. Mathematics that several
methods share is in `shared`.
"""
