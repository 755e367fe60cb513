"""DeNet3D: a plain stack of 3-D convolutions."""
