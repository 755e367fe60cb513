"""The figures that tasks share, drawn from `Results` or from plain arrays.

Begin with `results`: what a figure of scores is drawn from. `bars` and `against` are whole figures; `panels`, `spectra`
and `labels` are parts that the tasks' own figures (`tasks/<task>/figures`) put together.
"""
