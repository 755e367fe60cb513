"""Band selection: which bands of a sensor a case uses.

What enters are the settings of a strategy, the sensor's wavelengths and a sample of training spectra; what leaves is a
`BandSelection` (`table`), as bands.csv. Begin with `selection`, which knows every strategy by its name; the strategies
are in `spectrum` (wavelengths alone), `ranking`, `issc` and `opbs`. `matching` and `resample` take a model to the bands
of another sensor.
"""
