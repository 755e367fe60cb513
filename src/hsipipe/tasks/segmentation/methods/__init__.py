"""The segmentation methods, a folder each; see docs/methods.md."""
