"""Python, this package, and the libraries that it asks for."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING

from hsipipe import __version__
from hsipipe.doctor.finding import Finding, probe

if TYPE_CHECKING:
    from packaging.requirements import Requirement

NEEDED = ("workflow", "simulate")  # extras of the default run: Snakemake, and the simulator of its scenes
EXTRAS = {
    "gpu": "4-bit weights and 8-bit optimisers (QLoRA)",
    "export": "`hsipipe export` to ONNX",
    "slurm": "a SLURM cluster",
}
TOLD = ("torch", "pytorch-lightning", "timm", "numpy", "rasterio", "h5py", "snakemake")
COMPILED_S = 10  # that a job takes longer where Lightning is compiled anew
DRIVERS = """
import json, rasterio, h5py
from rasterio.env import Env
with Env() as env:
    drivers = env.drivers()
print(json.dumps([rasterio.__gdal_version__, h5py.version.hdf5_version, [d for d in ("GTiff",) if d not in drivers]]))
"""


def check_software() -> list[Finding]:
    """Python, this package, its libraries, GDAL and HDF5, compiled bytecode."""
    return [_python(), _package(), *_libraries(), _formats(), _bytecode()]


def _python() -> Finding:
    return Finding("Python", f"{platform.python_version()}, {sys.executable}")


def _package() -> Finding:
    return Finding("hsipipe", f"{__version__}, {Path(__file__).parents[1]}")


def _libraries() -> list[Finding]:
    """What the package asks for, by its own metadata: missing, or of another version than it was made for."""
    try:
        required = metadata.requires("hsipipe") or []
    except metadata.PackageNotFoundError:
        return [Finding("libraries", "hsipipe is not installed", "note", "install it: `pip install .` in its folder")]
    from packaging.requirements import Requirement

    wanted = [Requirement(text) for text in required]
    faults, count = [], 0
    for extra in ("", *NEEDED):
        for requirement in wanted:
            if _extra_of(requirement) == extra:
                count += 1
                fault = _fault(requirement, extra)
                faults += [fault] if fault else []
    told = ", ".join(f"{name} {version}" for name in TOLD if (version := _version(name)))
    found = [Finding("libraries", f"{count - len(faults)} of {count} as needed: {told}"), *faults]
    for extra, what in EXTRAS.items():
        names = [requirement for requirement in wanted if _extra_of(requirement) == extra]
        missing = [requirement.name for requirement in names if _fault(requirement, extra)]
        if not names:
            found.append(Finding(f"extra {extra}", "unknown to the installed metadata", "note", "install hsipipe anew"))
        elif missing:
            remedy = f'for {what}: pip install "hsipipe[{extra}]"'
            found.append(Finding(f"extra {extra}", f"without {', '.join(missing)}", "note", remedy))
        else:
            versions = ", ".join(f"{requirement.name} {_version(requirement.name)}" for requirement in names)
            found.append(Finding(f"extra {extra}", versions))
    return found


def _extra_of(requirement: Requirement) -> str:
    """The extra that a requirement belongs to; empty for those of the package itself."""
    if requirement.marker is None:
        return ""
    names = (*NEEDED, *EXTRAS)
    return next((name for name in names if requirement.marker.evaluate({"extra": name})), "other")


def _fault(requirement: Requirement, extra: str) -> Finding | None:
    version = _version(requirement.name)
    remedy = f'pip install "hsipipe[{extra}]"' if extra else f'pip install "{requirement.name}{requirement.specifier}"'
    if version is None:
        return Finding(requirement.name, "is not installed", "problem", remedy)
    if not requirement.specifier.contains(version, prereleases=True):
        found = f"{version}, where {requirement.specifier} is asked for"
        return Finding(requirement.name, found, "problem", remedy)
    return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _formats() -> Finding:
    answer, problem = probe(DRIVERS)
    if answer is None:
        return Finding("GDAL, HDF5", problem, "problem", 'pip install --force-reinstall "rasterio" "h5py"')
    gdal, hdf5, missing = answer
    if missing:
        remedy = 'pip install --force-reinstall "rasterio": its wheels have all drivers'
        return Finding("GDAL, HDF5", f"GDAL {gdal} without {', '.join(missing)}", "problem", remedy)
    return Finding("GDAL, HDF5", f"GDAL {gdal} with GeoTIFF, HDF5 {hdf5}")


def _bytecode() -> Finding:
    """Whether each job must compile what it imports: seconds each, of a study of a hundred jobs."""
    forbidden = os.environ.get("PYTHONDONTWRITEBYTECODE")
    spec = util.find_spec("pytorch_lightning")
    if spec is None or spec.origin is None:
        return Finding("bytecode", "Lightning is not installed", "note")
    folder = Path(spec.origin).parent
    if any((folder / "__pycache__").glob(f"*.{sys.implementation.cache_tag}.pyc")):
        return Finding("bytecode", "compiled" + (" (PYTHONDONTWRITEBYTECODE is set)" if forbidden else ""))
    if forbidden:
        remedy = f"unset PYTHONDONTWRITEBYTECODE, or compile once: {sys.executable} -m compileall -q {folder.parent}"
        found = f"not compiled, and PYTHONDONTWRITEBYTECODE is set: about {COMPILED_S} s more for each job"
        return Finding("bytecode", found, "note", remedy)
    return Finding("bytecode", "not compiled yet; the first job does it")
