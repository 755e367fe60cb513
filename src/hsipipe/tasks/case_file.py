"""What the case files of all tasks have in common; each task's `case` adds what its methods get to see."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np

from hsipipe.hdf5 import open_checked
from hsipipe.scenes.scene import Scene


class OpenedCase:
    """A case file, opened for reading, with the scenes that its units come from; close it, or use `with`.

    Attributes: path, name, scenes (by name), wavelength_nm ((bands,) or None), band_index (the case's bands among those
    of its scenes), content (digest of all that a method can see).
    """

    def __init__(self, path: str | Path, file_format: str, scenes: Iterable[str | Path] = ()) -> None:
        """Raises UserError if the file is not of the format."""
        self.path = Path(path)
        self._file = open_checked(self.path, file_format, "make it with the rule degrade_case")
        self.scenes = {scene.name: scene for scene in (Scene(one) for one in scenes)}
        self.wavelength_nm = self._optional("wavelength_nm")
        self.band_index: np.ndarray = self._file["band_index"][()]
        self.name, self.content = str(self._file.attrs["case"]), str(self._file.attrs["content"])

    def _optional(self, name: str) -> np.ndarray | None:
        """An array of the file, or None."""
        return self._file[name][()] if name in self._file else None

    def close(self) -> None:
        """Close the file and its scenes."""
        self._file.close()
        for scene in self.scenes.values():
            scene.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
