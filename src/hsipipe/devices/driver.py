"""Whether this machine can compute on GPUs at all, told from its device files: without torch, and without a program."""

from __future__ import annotations

from pathlib import Path

# What the drivers of NVIDIA, of NVIDIA on Tegra, of AMD, and of Windows' Linux make.
DEVICE_FILES = ("nvidia[0-9]*", "nvhost-gpu", "kfd", "dxg")


def has_driver(folder: Path = Path("/dev")) -> bool:
    """Whether a driver of GPUs has made its device files.

    A scheduler may give a GPU that is none: on a site set up for tests, on a node whose driver did not load, or in a
    container that was started without it.
    """
    return any(True for pattern in DEVICE_FILES for _ in folder.glob(pattern))
