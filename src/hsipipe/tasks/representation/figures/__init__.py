"""The figures of representation, one kind a function."""
