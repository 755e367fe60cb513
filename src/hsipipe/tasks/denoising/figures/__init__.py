"""The kinds of figure that `draw` knows, each a function of a `Material`.

Begin with `material`: what a figure is drawn from. A new kind is a function here, named in `FIGURES` of the task's
settings and in `KINDS` of its `draw`.
"""
