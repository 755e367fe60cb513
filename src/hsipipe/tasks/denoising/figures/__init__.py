"""The kinds of figure that `draw` knows, each a function of a `Material`."""
