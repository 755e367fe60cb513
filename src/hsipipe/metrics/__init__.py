"""Metrics: pure functions of arrays, one value per unit, no averaging.

What enters are a truth and a prediction as arrays; what leaves are rows (metric, value, unit). Begin with `registry`,
which has each metric's name in print, unit and direction; a file per kind of prediction calls what it needs of
`spatial`, `spectral`, `structure` and the `embedding_*` files. Nothing here knows of cases, files or methods.
"""
