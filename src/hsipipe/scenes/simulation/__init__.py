"""The parts of the simulated scene: material spectra from physics, fractal texture, the lay-out of the land."""
