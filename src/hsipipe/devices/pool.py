"""Which GPUs this process may use, what to call them, and how much memory they have.

One device has many names (its number, the start of its UUID, a number that SLURM gave), and of a divided GPU only the
instances can be used; locks need one name for each. This module imports neither torch nor CUDA.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field

from hsipipe.devices.driver import has_driver
from hsipipe.errors import UserError

FAKE_GPUS = "HSIPIPE_FAKE_GPUS"
FAKE_VRAM_MB = "HSIPIPE_FAKE_VRAM_MB"
VISIBLE = "CUDA_VISIBLE_DEVICES"
ANSWER_S = 60  # nvidia-smi wakes sleeping devices, which takes seconds each


@dataclass(frozen=True)
class Pool:
    """GPUs that may be claimed.

    Attributes:
        names: entry of CUDA_VISIBLE_DEVICES -> name of its locks, the same however a process calls that device.
        origin: where they are from, for messages.
        is_fake: whether they are those of HSIPIPE_FAKE_GPUS.
        slurm_job: the job of SLURM that they were given to, or None.
    """

    names: dict[str, str]
    origin: str
    is_fake: bool = False
    slurm_job: str | None = None

    def memory_mb(self) -> dict[str, int]:
        """Memory of each device, MiB, by its entry.

        Raises:
            UserError: nobody can tell.
        """
        if self.is_fake:
            return dict.fromkeys(self.names, _whole_number(FAKE_VRAM_MB, "24000"))
        answer, problem = _ask("--query-gpu=index,memory.total", "--format=csv,noheader,nounits")
        totals = dict(line.split(", ") for line in (answer or "").splitlines() if line.count(", ") == 1)
        sizes: dict[str, str] = {}
        for gpu in list_devices()[0]:
            sizes[gpu.uuid] = totals.get(gpu.number, "").strip()
            sizes |= gpu.instances
        unknown = [entry for entry, name in self.names.items() if not sizes.get(name, "").isdigit()]
        if unknown:
            raise UserError(
                f"nvidia-smi does not tell how much memory GPU {', '.join(unknown)} has",
                key="vram_mb",
                found=problem or None,
                remedy="leave vram_mb out: each job then has a device of its own",
            )
        return {entry: int(sizes[name]) for entry, name in self.names.items()}


@dataclass(frozen=True)
class ListedGpu:
    """A line of `nvidia-smi -L`: number, UUID, and the MIG instances that it is divided into (UUID -> MiB)."""

    number: str
    uuid: str
    instances: dict[str, str] = field(default_factory=dict)


def find_pool() -> Pool:
    """The devices that this process may use: what SLURM gave, else CUDA_VISIBLE_DEVICES, else all there are."""
    if fakes := os.environ.get(FAKE_GPUS):
        count = _whole_number(FAKE_GPUS, fakes)
        return Pool({str(index): f"fake{index}" for index in range(count)}, f"{FAKE_GPUS}={fakes}", is_fake=True)
    visible, job = os.environ.get(VISIBLE), os.environ.get("SLURM_JOB_ID")
    if job:
        # SLURM may number the devices of each job from 0, so a lock holds within its job only. It is needed there:
        # one allocation of several GPUs can run several jobs of the workflow side by side.
        entries = _valid_entries(visible or "")
        told = f"{VISIBLE}={visible} of SLURM job {job}" if visible else f"SLURM job {job} was given no GPU"
        if entries and not has_driver():
            told, entries = f"{told} is no device that can be computed on: the node has no driver for it", []
        return Pool({entry: f"slurm{job}-gpu{entry}" for entry in entries}, told, slurm_job=job)
    listed, origin = list_devices() if visible is None or _valid_entries(visible) else ([], "")
    # CUDA numbers devices by speed unless told otherwise; nvidia-smi, and with it its readers, by bus.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    if visible is None:
        return Pool(_named([gpu.number for gpu in listed], listed), origin)
    return Pool(_named(_valid_entries(visible), listed), f"{VISIBLE}={visible}")


def _valid_entries(visible: str) -> list[str]:
    """The entries up to the first that is none: CUDA ignores the rest; "-1" and "NoDevFiles" are ways to say "none"."""
    entries = [entry.strip() for entry in visible.split(",")]
    stop = next((index for index, entry in enumerate(entries) if not re.match(r"\d+$|GPU-|MIG-", entry)), len(entries))
    return entries[:stop]


def _named(entries: list[str], listed: list[ListedGpu]) -> dict[str, str]:
    """The entries with the names of their devices, each device once, up to the first that does not exist."""
    found: dict[str, str] = {}
    for entry in entries:
        new = _devices_of(entry, listed)
        if not new:
            break
        found |= {key: name for key, name in new.items() if name not in found.values()}
    return found


def _devices_of(entry: str, listed: list[ListedGpu]) -> dict[str, str]:
    """What an entry stands for, with its name; for a GPU that is divided, its instances, which alone can be used."""
    if not listed:
        return {entry: f"gpu{entry}"}  # without nvidia-smi nobody knows other names for it
    if entry.startswith("MIG-"):
        return {entry: entry}
    for gpu in listed:
        if entry == gpu.number or gpu.uuid.startswith(entry):
            return {uuid: uuid for uuid in gpu.instances} or {entry: gpu.uuid}
    return {}


def list_devices() -> tuple[list[ListedGpu], str]:
    """The GPUs that `nvidia-smi -L` lists, and where that is from or why there are none."""
    answer, problem = _ask("-L")
    found: list[ListedGpu] = []
    for line in (answer or "").splitlines():
        if gpu := re.match(r"GPU (\d+):(?:.*UUID: (GPU-[^)\s]+))?", line):
            found.append(ListedGpu(gpu[1], gpu[2] or f"gpu{gpu[1]}"))
        elif found and (instance := re.search(r"UUID: (MIG-[^)\s]+)", line)):
            # The profile's name rounds up: an instance of 20gb has 19,968 MiB, one of 5gb 4,864 MiB.
            size = re.search(r"(\d+)gb", line)
            found[-1].instances[instance[1]] = str(int(size[1]) * 1024 * 95 // 100) if size else ""
    return found, problem or "nvidia-smi -L"


def _ask(*arguments: str) -> tuple[str | None, str]:
    """What nvidia-smi answers, or None and why it does not."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", *arguments], capture_output=True, text=True, timeout=ANSWER_S, check=False
        )
    except FileNotFoundError:
        return None, "nvidia-smi is not installed"
    except subprocess.TimeoutExpired:
        return None, "nvidia-smi does not answer"
    if answer.returncode != 0:
        return None, f"nvidia-smi failed: {(answer.stdout + answer.stderr).strip()[:200]}"
    return answer.stdout, ""


def _whole_number(name: str, default: str) -> int:
    value = os.environ.get(name, default)
    if not value.isdigit():
        raise UserError("must be a whole number", key=name, found=value)
    return int(value)
