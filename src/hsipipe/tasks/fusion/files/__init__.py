"""From two files to a fused one: pairing, orientation, registration, radiometry, blocks, report.

Begin with `fuse_files`, which calls the rest in this order: `pairing` and `relations` tell how the two images lie to
each other, `alignment` turns and shifts, `radiometry` brings them to one scale, `fuse_job` works through blocks,
`details` tells what was found.
"""
