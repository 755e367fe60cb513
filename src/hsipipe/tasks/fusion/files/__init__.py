"""From two files to a fused one: pairing, orientation, registration, radiometry, blocks, report."""
