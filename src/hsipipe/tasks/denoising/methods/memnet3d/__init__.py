"""MemNet3D: a chain of memory blocks, each of which weighs all that the blocks before it remember."""
