"""The figures of fusion, one kind a function."""
