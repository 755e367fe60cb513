"""What a computation cost, and what it ran on. Nothing here imports torch; it is asked only if it is there already."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsipipe import __version__

if TYPE_CHECKING:
    from torch import nn

LIBRARIES = (
    "numpy",
    "scipy",
    "torch",
    "pytorch-lightning",
    "timm",
    "bitsandbytes",
    "scikit-learn",
    "h5py",
    "rasterio",
    "snakemake",
)


@dataclass
class Cost:
    """What a block of code used, filled in when the block ends.

    Attributes:
        wall_s, cpu_s: elapsed seconds; seconds of all cores, with those of child processes that ended meanwhile.
        start_memory_bytes, peak_memory_bytes: resident memory of the process at the start of the block, and its peak.
        peak_gpu_memory_bytes: largest memory that torch held in tensors on the GPU, or None without one.
        peak_is_of_process: True where the system cannot reset its peak, which is then that of the process so far.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    start_memory_bytes: int = 0
    peak_memory_bytes: int = 0
    peak_gpu_memory_bytes: int | None = None
    peak_is_of_process: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The figures for run.json."""
        return asdict(self)


@contextmanager
def measure() -> Iterator[Cost]:
    """Measure a block: `with measure() as cost: ...`, then read `cost`. Not to be nested: the peaks are reset."""
    cost = Cost(start_memory_bytes=_memory("VmRSS"), peak_is_of_process=not _reset_peak())
    cuda = _cuda()
    if cuda is not None:
        cuda.synchronize()
        cuda.reset_peak_memory_stats()
    wall, cpu = time.perf_counter(), _cpu_seconds()
    try:
        yield cost
    finally:
        cuda = _cuda()  # torch may have been imported within the block
        if cuda is not None:
            cuda.synchronize()
            cost.peak_gpu_memory_bytes = int(cuda.max_memory_allocated())
        cost.wall_s = time.perf_counter() - wall
        cost.cpu_s = _cpu_seconds() - cpu
        cost.peak_memory_bytes = _memory("VmHWM")


@dataclass(frozen=True)
class ParameterCount:
    """Sizes of a model: all parameters, those that are trained, and the bits that its state takes as stored."""

    total: int
    trainable: int
    stored_bits: int


def count_parameters(model: nn.Module) -> ParameterCount:
    """Count a model's parameters; one that is shared counts once, `stored_bits` includes buffers (statistics).

    Quantised weights count as the parameters that they are, however many of them share a byte: a module tells their
    number as `quantised_parameters`, and keeps them in buffers.
    """
    parameters = list(model.parameters())
    quantised = sum(getattr(module, "quantised_parameters", 0) for module in model.modules())
    tensors = {id(tensor): tensor for tensor in [*parameters, *model.buffers()]}
    return ParameterCount(
        total=sum(parameter.numel() for parameter in parameters) + quantised,
        trainable=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        stored_bits=sum(8 * tensor.numel() * tensor.element_size() for tensor in tensors.values()),
    )


def environment() -> dict[str, Any]:
    """Versions of this program and its libraries, system, processor, threads, GPU (if torch uses one), git commit."""
    cuda = _cuda()
    return {
        "hsipipe": __version__,
        "commit": git_commit(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None,
        "gpu": cuda.get_device_name() if cuda is not None else None,
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
    }


@cache
def git_commit() -> str | None:
    """The commit of the checkout that this code runs from, `+` if files differ from it; None without a checkout."""

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        except (FileNotFoundError, subprocess.TimeoutExpired):
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    # Installed into an environment that lies inside someone else's repository, this file is not tracked by it.
    if git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    commit = git("rev-parse", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no")
    return f"{commit}+" if commit and changed else commit


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cuda() -> Any:
    """torch.cuda if torch is imported and uses a GPU; asking must not create a CUDA context."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized() else None


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _reset_peak() -> bool:
    """Set the kernel's peak of this process's memory to its present value; False where that is not possible."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def resident_memory() -> int:
    """Memory of this process that is resident now, bytes."""
    return _memory("VmRSS")


def _memory(name: str) -> int:
    """VmRSS (resident now) or VmHWM (its peak), bytes."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else []:
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    for line in information.read_text().splitlines() if information.exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
