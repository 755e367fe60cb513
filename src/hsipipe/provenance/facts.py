"""What a file of the results tells about itself."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

SHOWN_SOURCES = 3  # of a scene's items


def facts_of(path: Path) -> dict[str, Any]:
    """What a file tells of itself, by its kind: record of a run, scene, case, split, bands, manifest of a download."""
    if path.name == "run.json":
        return _of_run(path)
    if path.suffix == ".h5":
        return _of_hdf5(path)
    if path.name == "split.csv":
        with open(path, encoding="utf-8", newline="") as file:
            return {"units": dict(Counter(row["part"] for row in csv.DictReader(file)))}
    if path.name == "bands.csv":
        with open(path, encoding="utf-8", newline="") as file:
            return {"bands": sum(1 for _ in csv.DictReader(file))}
    return {}


def _of_run(path: Path) -> dict[str, Any]:
    record = json.loads(path.read_text(encoding="utf-8"))
    names = ("method", "seed", "device", "state", "units", "seconds_to_train", "steps", "best_epoch", "stopped_early")
    facts = {
        name: record[name]
        for name in (*names, "seconds_per_item", "peak_memory_mb", "started_from")
        if record.get(name) is not None
    }
    around = record.get("environment", {})
    versions = {name: around[name] for name in ("hsipipe", "python") if around.get(name)}
    facts["versions"] = {**versions, **around.get("libraries", {})}
    facts["machine"] = {
        name: around[name]
        for name in ("system", "processor", "cores", "threads", "gpu")
        if around.get(name) is not None
    }
    return facts


def _of_hdf5(path: Path) -> dict[str, Any]:
    import h5py

    with h5py.File(path) as file:
        facts = {name: _plain(value) for name, value in file.attrs.items() if name not in ("class_names", "key")}
        if "source" in file and "digest" in file:
            facts["items"] = len(file["item"])
            facts["digest"] = _digest_of_items(file)
            sources = [json.loads(text) for text in file["source"][:SHOWN_SOURCES]]
            told = [{name: source[name] for name in ("path", "sha256") if source.get(name)} for source in sources]
            if any(told):
                facts["sources"] = [source for source in told if source]
    return facts


def _digest_of_items(file: Any) -> str:
    """One digest over those of a scene's items."""
    import numpy as np

    from hsipipe.hdf5 import digest_of, read_strings

    return digest_of(np.array(read_strings(file, "digest"), dtype="S"))


def _plain(value: Any) -> Any:
    """An attribute as a plain value; text that is JSON is read."""
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str) and value[:1] in "{[":
        return json.loads(value)
    return value
