"""Folders of specimens: ENVI images of individuals with metadata, references and masks."""

from hsipipe.scenes.specimens.reader import is_simulated_folder, is_specimen_folder, read_specimens

__all__ = ["is_simulated_folder", "is_specimen_folder", "read_specimens"]
