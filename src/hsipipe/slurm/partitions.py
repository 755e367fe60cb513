"""The partitions that a profile names, narrowed by what the site has."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hsipipe.errors import UserError, unknown

# All that the executor plugin knows; those that are not attributes of `Partition` are left to it.
LIMITS = (
    *("max_runtime", "max_mem_mb", "max_mem_mb_per_cpu", "max_cpus_per_task", "max_threads", "max_nodes", "max_tasks"),
    *("max_tasks_per_node", "max_gpu", "available_gpu_models", "max_cpus_per_gpu", "supports_mpi", "max_mpi_tasks"),
    *("available_constraints", "slurm_cluster", "cluster", "clusters"),
)


@dataclass(frozen=True)
class Partition:
    """What a job in a partition can get on one node.

    Attributes:
        name: as `sinfo` calls it.
        runtime: minutes.
        mem_mb: memory, MB.
        threads: cores.
        gpu: GPUs.
        gpu_models: their names; empty where they were not told.
    """

    name: str
    runtime: float = math.inf
    mem_mb: float = math.inf
    threads: float = math.inf
    gpu: float = 0
    gpu_models: frozenset[str] = frozenset()


def read_partitions(file: str | Path) -> list[Partition]:
    """The section `partitions` of a profile.

    Raises:
        UserError: there is no such section, or it holds what the executor plugin does not know.
    """
    content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    named = content.get("partitions") if isinstance(content, Mapping) else None
    if not isinstance(named, Mapping) or not named:
        raise UserError("names no partition", file=file, key="partitions", remedy="list those of `sinfo`")
    return [_partition(str(name), limits or {}, file) for name, limits in named.items()]


def _partition(name: str, limits: Mapping[str, Any], file: str | Path) -> Partition:
    for key in limits:
        if key not in LIMITS:
            raise unknown(f"limit of partition {name}", key, LIMITS, file=file)
    runtime = limits.get("max_runtime")
    return Partition(
        name,
        runtime=math.inf if runtime is None else minutes(runtime),
        mem_mb=limits.get("max_mem_mb", math.inf),
        threads=limits.get("max_threads", math.inf),
        gpu=limits.get("max_gpu", 0),
        gpu_models=frozenset(limits.get("available_gpu_models") or ()),
    )


def minutes(time: str | float) -> float:
    """A time limit in minutes, from minutes or from what SLURM writes: [days-]hours:minutes:seconds, or infinite.

    >>> minutes("2-12:00:00"), minutes("30:00"), minutes("infinite"), minutes("12h"), minutes(90)
    (3600.0, 30.0, inf, 720.0, 90.0)
    """
    text = str(time).strip().lower()
    if text in ("infinite", "unlimited"):
        return math.inf
    if re.fullmatch(r"[\d.]+", text):
        return float(text)
    if suffixed := re.fullmatch(r"([\d.]+)([dhms])", text):
        return float(suffixed[1]) * {"d": 1440, "h": 60, "m": 1, "s": 1 / 60}[suffixed[2]]
    if stated := re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text):
        days, hours, whole, seconds = (int(part or 0) for part in stated.groups())
        return days * 1440 + hours * 60 + whole + seconds / 60
    raise UserError("is no time limit", key="max_runtime", found=time, remedy="write minutes, or 2-00:00:00")


def parse_sinfo(lines: Iterable[str]) -> dict[str, Partition]:
    """The partitions of a site, each with the best of its nodes, from the lines of
    `sinfo --exact --noheader --format "%R|%l|%m|%c|%G"`."""
    found: dict[str, Partition] = {}
    for line in filter(None, map(str.strip, lines)):
        name, runtime, mem_mb, threads, resources = line.split("|", 4)
        gpu, models = _gpus(resources)
        known = found.get(name, Partition(name, 0, 0, 0))
        found[name] = Partition(
            name,
            runtime=max(known.runtime, minutes(runtime)),
            mem_mb=max(known.mem_mb, int(mem_mb.rstrip("+"))),
            threads=max(known.threads, int(threads.rstrip("+"))),
            gpu=max(known.gpu, gpu),
            gpu_models=known.gpu_models | models,
        )
    return found


def _gpus(resources: str) -> tuple[int, frozenset[str]]:
    """Number and models of the GPUs of a node, from SLURM's list of generic resources: `gpu:a100:4(S:0-1),nvme:1`."""
    count, models = 0, set()
    for entry in re.sub(r"\([^)]*\)", "", resources).split(","):
        if match := re.fullmatch(r"gpu(?::([^:]+))?:(\d+)", entry.strip()):
            count += int(match[2])
            models |= {match[1]} - {None}
    return count, frozenset(models)


def narrow(named: Iterable[Partition], site: Mapping[str, Partition], *, file: str | Path) -> list[Partition]:
    """The partitions of a profile, with no limit above what the site has.

    Raises:
        UserError: the site has no partition of that name.
    """
    narrowed = []
    for given in named:
        real = site.get(given.name)
        if real is None:
            raise unknown("partition", given.name, site, file=f"{file}: partitions")
        narrowed.append(
            Partition(
                given.name,
                runtime=min(given.runtime, real.runtime),
                mem_mb=min(given.mem_mb, real.mem_mb),
                threads=min(given.threads, real.threads),
                gpu=min(given.gpu, real.gpu),
                gpu_models=given.gpu_models or real.gpu_models,
            )
        )
    return narrowed
