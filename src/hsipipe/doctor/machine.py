"""Cores, memory, GPUs, and the cluster."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from hsipipe.devices.driver import has_driver
from hsipipe.doctor.finding import Finding, probe
from hsipipe.errors import UserError

FEW_CORES = 2
LITTLE_MEMORY_GB = 6.0
TORCH = """
import json, torch
told = {"torch": torch.__version__, "cuda": torch.version.cuda or torch.version.hip, "gpus": [], "torchvision": ""}
try:
    import torchvision
except Exception as error:
    told["torchvision"] = f"{type(error).__name__}: {error}".splitlines()[0][:150]
for number in range(torch.cuda.device_count()):
    about = torch.cuda.get_device_properties(number)
    with torch.cuda.device(number):
        told["gpus"].append([about.name, round(about.total_memory / 2**30, 1), torch.cuda.is_bf16_supported()])
print(json.dumps(told))
"""


def check_machine() -> list[Finding]:
    """Cores, memory, torch and GPUs, SLURM."""
    return [_cores(), _memory(), *_torch(), *_slurm()]


def _cores() -> Finding:
    usable, there = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    found = f"{usable}" if usable == there else f"{usable} of {there} usable"
    if usable < FEW_CORES:
        return Finding("cores", found, "note", "the demo takes about twice as long as on two cores")
    return Finding("cores", found)


def _memory() -> Finding:
    told = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    total, free = (int(told[name].split()[0]) / 2**20 for name in ("MemTotal", "MemAvailable"))
    limit = _limit_gb()
    total = total if limit is None else min(total, limit)
    found = f"{total:.1f} GB, {min(total, free):.1f} GB free"
    if total < LITTLE_MEMORY_GB:
        remedy = "run few jobs at a time: `snakemake --cores 1`, or `--resources mem_mb=MB`; `--tile` for large files"
        return Finding("memory", found, "note", remedy)
    return Finding("memory", found)


def _limit_gb() -> float | None:
    """The limit of the control group, where a container or a scheduler has set one."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        file = Path(path)
        if file.is_file() and (text := file.read_text(encoding="ascii").strip()).isdigit():
            return int(text) / 2**30
    return None


def _torch() -> list[Finding]:
    answer, problem = probe(TORCH)
    if answer is None:
        return [Finding("torch", problem, "problem", "install torch anew; see https://pytorch.org/get-started")]
    cuda = f"for CUDA {answer['cuda']}" if answer["cuda"] else "for the CPU only"
    found = [Finding("torch", f"{answer['torch']}, built {cuda}")]
    if answer["torchvision"]:
        remedy = "install the torchvision that belongs to this torch; see https://pytorch.org/get-started"
        found.append(Finding("torchvision", answer["torchvision"], "problem", remedy))
    for name, memory_gb, bf16 in answer["gpus"]:
        precision = "bfloat16" if bf16 else "no bfloat16: `precision: auto` takes float16 or float32"
        found.append(Finding("GPU", f"{name}, {memory_gb:g} GB, {precision}"))
    if not answer["gpus"] and has_driver():
        why = "torch is built without CUDA" if not answer["cuda"] else "torch does not see one"
        remedy = "install torch with CUDA; see `nvidia-smi`, CUDA_VISIBLE_DEVICES and docs/guides/gpus.md"
        found.append(Finding("GPU", f"a driver is there, but {why}", "note", remedy))
    elif not answer["gpus"]:
        found.append(Finding("GPU", "none: trainings run on the CPU", "note", _slow_without_gpu()))
    return found


def _slow_without_gpu() -> str:
    """Which studies have variants that are made for a GPU, and how many of them."""
    from hsipipe.config.definitions import load_papers
    from hsipipe.workflow_files import workflow_root

    counts: dict[str, int] = {}
    for where, paper in load_papers(workflow_root() / "config"):
        if "papers/" not in where:  # the demo is made for the CPU
            continue
        variants = [variant for by_name in paper.variants.values() for variant in by_name.values()]
        counts[paper.name] = sum(variant.resources.get("train", {}).get("gpu", 0) > 0 for variant in variants)
    told = ", ".join(f"{name} ({count} variants)" for name, count in counts.items() if count)
    return f"slow here, at the size of their papers: {told}; run `snakemake --resources gpu=0`"


def _slurm() -> list[Finding]:
    if shutil.which("sinfo") is None:
        return [Finding("SLURM", "not on this machine")]
    from hsipipe.slurm.site import site_partitions

    try:
        partitions = site_partitions()
    except UserError as error:
        return [Finding("SLURM", str(error), "note", "run this on a login node")]
    told = ", ".join(f"{p.name} ({p.threads:g} cores, {p.mem_mb:g} MB, {p.gpu:g} GPUs)" for p in partitions.values())
    return [Finding("SLURM", f"partitions {told}")]
