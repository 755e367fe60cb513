"""The segmentation methods, a folder each; see docs/guides/methods.md."""
