"""Whether the jobs of a run fit the partitions of a site, told before the first of them is submitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsipipe.errors import UserError, unknown
from hsipipe.slurm.partitions import Partition

# What a job asks for, in words, in the order in which it is looked at.
ASKED = {"gpu": "GPU(s)", "mem_mb": "MB of memory", "runtime": "minutes", "threads": "cores"}


@dataclass(frozen=True)
class Need:
    """What one job asks for; units as in `Partition`.

    Attributes:
        rule: its rule.
        job: what tells it from the rule's other jobs.
        partition: the one that it must go to; empty: the one that fits best.
        gpu_model: the model of GPU that it must have; empty: any.
        nodes: over how many nodes its GPUs may be spread.
    """

    rule: str
    job: str
    threads: int = 1
    mem_mb: float = 0
    runtime: float = 0
    gpu: int = 0
    gpu_model: str = ""
    partition: str = ""
    nodes: int = 1

    def fits(self, partition: Partition) -> bool:
        """Whether a partition offers all of it."""
        offers_model = not (self.gpu and self.gpu_model) or self.gpu_model in partition.gpu_models
        return offers_model and all(self.asks(name) <= self.offer(partition, name) for name in ASKED)

    def asks(self, name: str) -> float:
        """How much of a resource it asks for."""
        return getattr(self, name)

    def offer(self, partition: Partition, name: str) -> float:
        """How much of a resource it could have in a partition."""
        return getattr(partition, name) * (self.nodes if name == "gpu" else 1)


def need_of(rule: str, wildcards: Iterable[Any], threads: int, resources: Mapping[str, Any]) -> Need:
    """What a job asks for, from its resources by name; a resource of unknown amount is none."""

    def number(name: str) -> Any:
        value = resources.get(name)
        return value if isinstance(value, int | float) else 0

    return Need(
        rule,
        "/".join(map(str, wildcards)),
        threads=threads,
        mem_mb=number("mem_mb"),
        runtime=number("runtime"),
        gpu=number("gpu"),
        gpu_model=str(resources.get("gpu_model") or ""),
        partition=str(resources.get("slurm_partition") or ""),
        nodes=number("nodes") or 1,
    )


def grown(first: int, attempt: int, name: str, gpu: int, partitions: Iterable[Partition]) -> int:
    """What an attempt asks for: its number times what the first one does, up to what the partitions have.

    Args:
        first: what the first attempt asks for.
        attempt: from 1.
        name: of the resource, as in `Partition`.
        gpu: GPUs that the job asks for; only partitions that have as many count.
        partitions: none without SLURM: then nothing ends the growth.

    >>> grown(600, 2, "runtime", 0, [Partition("cpu", runtime=1000)])
    1000
    """
    offers = [getattr(partition, name) for partition in partitions if partition.gpu >= gpu]
    # Snakemake and sbatch take whole numbers only, and a limit may be none.
    return int(min(attempt * first, max([first, *offers]))) if offers else attempt * first


def check_needs(
    needs: Iterable[Need], partitions: Sequence[Partition], site: Mapping[str, Partition], *, file: str | Path
) -> None:
    """Refuse a run with a job that would never start.

    Args:
        needs: of each job.
        partitions: those of the profile, narrowed.
        site: all partitions of the site, for jobs that are sent to one by name.
        file: the profile, for the message.

    Raises:
        UserError: an unknown partition, or a job that asks for more than any partition has.
    """
    for need in needs:
        if need.partition and need.partition not in site:
            raise unknown("partition", need.partition, site, file=f"{file}: slurm_partition of {need.rule}")
        candidates = [site[need.partition]] if need.partition else partitions
        if not any(need.fits(partition) for partition in candidates):
            raise _misfit(need, candidates, file)


def _misfit(need: Need, candidates: Sequence[Partition], file: str | Path) -> UserError:
    who = f"{need.rule} ({need.job})" if need.job else need.rule
    where = f"{file}: partitions"
    remedy = f"ask for less with `set-resources: {{{need.rule}: {{%s}}}}` there, or name a partition that has it"
    left = list(candidates)
    for name, words in ASKED.items():
        most = max(need.offer(partition, name) for partition in left)
        left = [partition for partition in left if need.offer(partition, name) >= need.asks(name)]
        if not left:
            message = f"{who} asks for {need.asks(name):g} {words}, and no partition has more than {most:g}"
            setting = f"`set-threads: {{{need.rule}: {most:g}}}`" if name == "threads" else f"{name}: {most:g}"
            told = remedy % setting if name != "threads" else f"ask for less with {setting} there"
            return UserError(message, file=where, remedy=told)
        if name == "gpu" and need.gpu and need.gpu_model:
            models = sorted({model for partition in left for model in partition.gpu_models})
            left = [partition for partition in left if need.gpu_model in partition.gpu_models]
            if not left:
                return unknown("gpu_model", need.gpu_model, models, file=f"{file}: set-resources of {need.rule}")
    raise AssertionError("a job fits no partition, but nothing that it asks for is too much")


def check_array(needs: Sequence[Need], rules: str, jobs: int, *, file: str | Path) -> None:
    """Refuse a job array whose tasks ask for different things: SLURM gives each what the first one asks for.

    Nor may a limit hold some of them back: the executor plugin (2.8.0) forgets tasks that it gets in several portions.

    Args:
        needs: of each job.
        rules: names of the rules that are submitted as arrays, separated by commas; or `all`.
        jobs: how many may be in the queue at once.
        file: the profile, for the message.

    Raises:
        UserError: two jobs of such a rule differ in what they ask for, or not all jobs may be in the queue at once.
    """
    if len(needs) > jobs:
        remedy = f"set jobs to {len(needs)} or more, or take out slurm-array-jobs"
        raise UserError(
            "job arrays need all jobs of a run in the queue at once", file=file, key="jobs", found=jobs, remedy=remedy
        )
    named = {name.strip() for name in rules.replace(";", ",").split(",")}
    first: dict[str, Need] = {}
    for need in needs:
        if need.rule not in named and "all" not in named:
            continue
        other = first.setdefault(need.rule, need)
        for name in (*ASKED, "gpu_model", "partition"):
            here, there = getattr(need, name), getattr(other, name)
            if here != there:
                raise UserError(
                    f"jobs of {need.rule} differ, so that they cannot be one array",
                    file=file,
                    key="slurm-array-jobs",
                    found=f"{name} {here} for {need.job}, {there} for {other.job}",
                    remedy="take this line out, or give them the same with `set-resources` and `set-threads`",
                )
