"""Claim a device for this process before torch is imported, so that two jobs never compute on the same one.

Snakemake counts GPUs but assigns none. Each job therefore locks one file per device for as long as it lives; the
kernel frees the lock when the process ends, however it ends. This module imports neither torch nor Lightning.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Literal

from hsipipe.devices.locks import Lock, lock_folder, lock_share, lock_whole
from hsipipe.devices.pool import VISIBLE, Pool, find_pool
from hsipipe.errors import UserError

RETRY_S = (0.1, 0.5)  # bounds of the pause between tries; random, so that waiting jobs do not try in step

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Device:
    """What a process computes on.

    Attributes:
        kind: cpu, cuda, or fake (devices of HSIPIPE_FAKE_GPUS: locked like GPUs, computed on the CPU).
        ids: entries of CUDA_VISIBLE_DEVICES that this process holds; empty for the CPU.
        note: how it came to be, for the log and run.json.
        memory_share: the part of the device's memory that is this process's; 1 for a device of its own.
    """

    kind: Literal["cpu", "cuda", "fake"]
    ids: tuple[str, ...] = ()
    note: str = ""
    memory_share: float = 1.0

    @property
    def torch_name(self) -> str:
        """The device's name for torch: `cuda` (the first of those held) or `cpu`."""
        return "cuda" if self.kind == "cuda" else "cpu"


_held: Device | None = None
_lock_files: list[IO[str]] = []  # open for the life of the process: closing one frees its device
_current: Device | None = None


def claim(count: int, *, vram_mb: int = 0, timeout_s: float | None = None) -> Device:
    """Claim `count` GPUs for the life of this process, waiting until they are free; call it before importing torch.

    Sets CUDA_VISIBLE_DEVICES to the claimed devices. With count 0, the CPU. A machine without any GPU: the CPU, with a
    warning. The pool is what SLURM gave, else CUDA_VISIBLE_DEVICES, else what `nvidia-smi -L` lists. A second call
    returns what the first one claimed if that suffices.

    Args:
        count: GPUs wanted; all are claimed or none, so that two jobs wanting two each never hold one each for ever.
        vram_mb: memory of the one GPU wanted that this process will use at most, MiB; other processes that say so too
            share the device as long as all fit in. 0: no other process uses the device. SLURM, which has its own ways
            to share, gives the device whole.
        timeout_s: seconds to wait at most; None waits for as long as it takes.

    Raises:
        UserError: a negative count, more than the pool has, more memory than any device has, a share of several
            devices, or none free in time.
        RuntimeError: torch already uses CUDA, so that the choice would come too late.
    """
    global _current, _held
    if count < 0 or vram_mb < 0:
        wrong, found = ("gpu", count) if count < 0 else ("vram_mb", vram_mb)
        raise UserError(f"the number of {'GPUs' if count < 0 else 'MiB'} cannot be negative", key=wrong, found=found)
    if count == 0:
        _current = Device("cpu", note="no GPU asked for")
        return _current
    if vram_mb and count > 1:
        raise UserError("a share is of one GPU", key="vram_mb", found=f"gpu {count}", remedy="leave one of them out")
    if _held is not None and len(_held.ids) >= count:
        _current = _held
        return _held
    if _held is not None:
        raise UserError(f"this process already holds {len(_held.ids)} GPU(s)", key="gpu", found=count)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        raise RuntimeError("claim the device before torch uses CUDA")
    pool = find_pool()
    if not pool.names:
        log.warning("no GPU on this machine (%s); computing on the CPU", pool.origin)
        _current = Device("cpu", note=f"asked for {count} GPU(s), but {pool.origin}")
        return _current
    if len(pool.names) < count:
        raise UserError(
            f"{count} GPUs asked for, but there are {len(pool.names)}",
            key="gpu",
            found=f"{', '.join(pool.names)} ({pool.origin})",
            remedy="ask for fewer, or make more visible with CUDA_VISIBLE_DEVICES",
        )
    if vram_mb and pool.slurm_job:
        log.info("vram_mb is ignored: within SLURM, whether jobs share a GPU is the site's business")
        vram_mb = 0
    _held = _take_share(pool, vram_mb, timeout_s) if vram_mb else _take_whole(pool, count, timeout_s)
    _current = _held
    os.environ[VISIBLE] = ",".join(_held.ids)
    log.info("%s", _held.note)
    return _held


def adopt(device: Device) -> None:
    """Take what another process claimed for this one; the lock is that process's."""
    global _current
    _current = device


def lock_handles() -> list[int]:
    """The handles of this process's locks; a child that inherits them holds the devices too, until it ends."""
    return [file.fileno() for file in _lock_files]


def current_device() -> Device:
    """The device that this process claimed last; without a claim, a GPU if torch has one, else the CPU."""
    if _current is not None:
        return _current
    import torch

    if torch.cuda.is_available():
        return Device("cuda", (os.environ.get(VISIBLE, "0").split(",")[0],), "not claimed; torch's first GPU")
    return Device("cpu", note="not claimed; torch sees no GPU")


def device_note() -> str:
    """How this process came to the device that it computes on, for its record; without importing torch."""
    return _current.note if _current is not None else "not claimed"


def set_threads(count: int) -> None:
    """Give torch `count` CPU threads (this imports torch)."""
    if count < 1:
        raise UserError("the number of threads must be at least 1", key="threads", found=count)
    import torch

    torch.set_num_threads(count)


def limit_memory() -> None:
    """Keep torch to this process's share of the device's memory; beyond it, torch says that memory is out."""
    device = current_device()
    if device.kind == "cuda" and device.memory_share < 1:
        import torch

        torch.cuda.set_per_process_memory_fraction(device.memory_share)


def _take_whole(pool: Pool, count: int, timeout_s: float | None) -> Device:
    """Lock `count` devices of the pool, or none, and try again until it works."""
    folder = lock_folder()
    lock = _wait(lambda: lock_whole(folder, pool.names, count), f"{count} of {len(pool.names)} GPUs", pool, timeout_s)
    return _device(pool, lock, "")


def _take_share(pool: Pool, vram_mb: int, timeout_s: float | None) -> Device:
    """Lock a share of a device, and try again until one has room."""
    folder = lock_folder()
    memory_mb = pool.memory_mb()
    if vram_mb > max(memory_mb.values()):
        raise UserError(
            "is more than any GPU here has",
            key="vram_mb",
            found=f"{vram_mb}; {', '.join(f'GPU {entry}: {size} MiB' for entry, size in memory_mb.items())}",
            remedy="ask for less, or leave it out for a device of its own",
        )
    wanted = f"{vram_mb} MiB on one of {len(pool.names)} GPUs"
    lock = _wait(lambda: lock_share(folder, pool.names, memory_mb, vram_mb), wanted, pool, timeout_s)
    share = vram_mb / memory_mb[lock.entries[0]]
    return _device(pool, lock, f"a share of {vram_mb} MiB of ", share)


def _device(pool: Pool, lock: Lock, share: str, memory_share: float = 1.0) -> Device:
    _lock_files.extend(lock.files)
    note = f"{share}GPU {', '.join(lock.entries)} of {len(pool.names)}; {pool.origin}"
    return Device("fake" if pool.is_fake else "cuda", lock.entries, note, memory_share)


def _wait(attempt: Callable[[], Lock | None], wanted: str, pool: Pool, timeout_s: float | None) -> Lock:
    """Try until it works."""
    started = time.monotonic()
    waiting = False
    while (lock := attempt()) is None:
        if timeout_s is not None and time.monotonic() - started >= timeout_s:
            raise UserError(
                f"{wanted} did not become free within {timeout_s:g} s",
                file=lock_folder(),
                remedy="the lock files there name the processes that hold them",
            )
        if not waiting:
            log.info("waiting for %s: %s (locks in %s)", wanted, ", ".join(pool.names), lock_folder())
            waiting = True
        time.sleep(random.uniform(*RETRY_S))
    return lock
