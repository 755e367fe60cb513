"""The parts of the simulated scene: material spectra from physics, fractal texture, the lay-out of the land.

`hsipipe.scenes.simulate` puts them together and is where to begin. `materials` and `optics` give spectra, `texture` and
`landscape` say where they lie; the folder `specimens` simulates butterflies instead.
"""
