"""Which GPUs this process may use, what to call them, and how much memory they have. Imports neither torch nor CUDA."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field

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

    def memory_mb(self, entry: str) -> int:
        """Memory of a device, MiB.

        Raises:
            UserError: nobody can tell.
        """
        if self.is_fake:
            return _whole_number(FAKE_VRAM_MB, "24000")
        listed, _ = list_devices()
        for gpu in listed:
            if entry in (gpu.number, gpu.uuid) or (entry.startswith("GPU-") and gpu.uuid.startswith(entry)):
                found = _ask("--query-gpu=memory.total", "--format=csv,noheader,nounits", f"--id={gpu.number}")
                if found[0] is not None and found[0].strip().isdigit():
                    return int(found[0])
            if profile := gpu.instances.get(entry):
                # The name rounds up: an instance of 20gb has 19,968 MiB, one of 5gb 4,864 MiB.
                size = re.search(r"(\d+)gb", profile)
                if size is not None:
                    return int(size[1]) * 1024 * 95 // 100
        raise UserError(
            f"nvidia-smi does not tell how much memory GPU {entry} has",
            key="vram_mb",
            remedy="leave vram_mb out: each job then has a device of its own",
        )


@dataclass(frozen=True)
class ListedGpu:
    """A line of `nvidia-smi -L`: number, UUID, and the MIG instances (UUID -> line) that it is divided into."""

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
        return Pool({entry: f"slurm{job}-gpu{entry}" for entry in entries}, told, slurm_job=job)
    listed, origin = list_devices() if visible is None or _valid_entries(visible) else ([], "")
    # CUDA numbers devices by speed unless told otherwise; nvidia-smi, and with it its readers, by bus.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    if visible is None:
        return Pool(dict(_entries_of(listed)), origin)
    return Pool(_named(_valid_entries(visible), listed), f"{VISIBLE}={visible}")


def _valid_entries(visible: str) -> list[str]:
    """The entries up to the first that is none: CUDA ignores the rest; "-1" and "NoDevFiles" are ways to say "none"."""
    entries = [entry.strip() for entry in visible.split(",")]
    stop = next((index for index, entry in enumerate(entries) if not re.match(r"\d+$|GPU-|MIG-", entry)), len(entries))
    return entries[:stop]


def _entries_of(listed: Iterable[ListedGpu]) -> list[tuple[str, str]]:
    """Entry and name of each device; of one that is divided, those of its instances, which alone can be used."""
    found = []
    for gpu in listed:
        found += [(uuid, uuid) for uuid in gpu.instances] or [(gpu.number, gpu.uuid)]
    return found


def _named(entries: list[str], listed: list[ListedGpu]) -> dict[str, str]:
    """The entries with the names of their devices, each device once, up to the first that does not exist."""
    found: dict[str, str] = {}
    for entry in entries:
        if not listed:
            found[entry] = f"gpu{entry}"  # without nvidia-smi nobody knows other names for it
            continue
        gpus = [gpu for gpu in listed if entry == gpu.number or (entry[:4] == "GPU-" and gpu.uuid.startswith(entry))]
        new = _entries_of(gpus[:1]) if gpus else [(entry, entry)] if entry.startswith("MIG-") else []
        if not new:
            break
        if not gpus or gpus[0].instances:
            found |= {key: name for key, name in new if name not in found.values()}
        elif new[0][1] not in found.values():
            found[entry] = new[0][1]
    return found


def list_devices() -> tuple[list[ListedGpu], str]:
    """The GPUs that `nvidia-smi -L` lists, and where that is from or why there are none."""
    answer, problem = _ask("-L")
    found: list[ListedGpu] = []
    for line in (answer or "").splitlines():
        if gpu := re.match(r"GPU (\d+):(?:.*UUID: (GPU-[^)\s]+))?", line):
            found.append(ListedGpu(gpu[1], gpu[2] or f"gpu{gpu[1]}"))
        elif found and (instance := re.search(r"UUID: (MIG-[^)\s]+)", line)):
            found[-1].instances[instance[1]] = line
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
