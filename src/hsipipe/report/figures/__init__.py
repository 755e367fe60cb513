"""The figures that tasks share, drawn from `Results` or from plain arrays."""
