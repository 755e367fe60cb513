"""hsipipe from Python: `hsipipe.open("scene.tif").denoise().save("clean.tif")`.

What the command line does file by file, on images in memory, with pictures and xarray. The work is done by the same
functions; nothing here computes.
"""
