"""The fusion methods, a folder each; see docs/methods.md."""
