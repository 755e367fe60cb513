"""Segmentation: spectra compressed, clustered and classified, pixel by pixel.

The six questions are in the files of their names. A method is one of three things: an autoencoder (`autoencoder`,
`fit_autoencoder`), a clustering of its latents (`segment`), or a classifier (`classifier`, `fit_classifier`). `case`
says what each pixel is for; `files` is what the verbs call; mathematics that several methods share is in `shared`.
"""
