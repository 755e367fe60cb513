"""Reproducible hyperspectral imaging: from scenes to a paper's tables.

    import hsipipe as hs
    hs.open("scene.tif").denoise().save("clean.tif")

The verbs are in `hsipipe.notebook.cube`; what the command line and the workflow use, in the other folders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import xarray

    from hsipipe.notebook.cube import Cube

__version__ = "0.1.0"


def open(path: str | Path, **how: Any) -> Cube:
    """Open an image of any supported format (ENVI, GeoTIFF, MATLAB, NumPy, ERDAS, HDF5, a scene file of a study).

    Args:
        path: the file.
        how: `key`, `layout`, `labels`, `bands`, `table`, as in `hsipipe.scenes.readers.read_image`.

    Raises:
        UserError: whatever is wrong with the file, in one line.
    """
    from hsipipe.notebook.cube import Cube
    from hsipipe.scenes.readers import read_image

    return Cube(read_image(path, **how))


def from_array(values: Any, *, wavelength_nm: Any = None, valid: Any = None, name: str = "array") -> Cube:
    """A cube of an array (bands, rows, cols); see `hsipipe.notebook.arrays.item_of_array`."""
    from hsipipe.notebook.arrays import item_of_array
    from hsipipe.notebook.cube import Cube

    return Cube(item_of_array(values, wavelength_nm=wavelength_nm, valid=valid, name=name))


def from_xarray(array: xarray.DataArray) -> Cube:
    """A cube of a DataArray with wavelengths and map, where it has them; see `hsipipe.notebook.arrays`."""
    from hsipipe.notebook.arrays import item_of_xarray
    from hsipipe.notebook.cube import Cube

    return Cube(item_of_xarray(array))
