"""DeNet: a plain stack of 2-D convolutions over windows of neighbouring bands."""
