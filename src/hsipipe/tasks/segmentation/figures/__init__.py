"""The figures of segmentation, one kind a function."""
