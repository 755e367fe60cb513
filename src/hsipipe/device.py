"""Claim a device for this process before torch is imported, so that two jobs never compute on the same one.

Snakemake counts GPUs but assigns none. Each job therefore locks one file per device for as long as it lives; the
kernel frees the lock when the process ends, however it ends. This module imports neither torch nor Lightning.
"""

from __future__ import annotations

import fcntl
import logging
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from hsipipe.device_driver import has_driver
from hsipipe.errors import UserError

FAKE_GPUS = "HSIPIPE_FAKE_GPUS"
VISIBLE = "CUDA_VISIBLE_DEVICES"
RETRY_S = (0.1, 0.5)  # bounds of the pause between tries; random, so that waiting jobs do not try in step

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Device:
    """What a process computes on.

    Attributes:
        kind: cpu, cuda, or fake (devices of HSIPIPE_FAKE_GPUS: locked like GPUs, computed on the CPU).
        ids: entries of CUDA_VISIBLE_DEVICES that this process holds; empty for the CPU.
        note: how it came to be, for the log and run.json.
    """

    kind: Literal["cpu", "cuda", "fake"]
    ids: tuple[str, ...] = ()
    note: str = ""

    @property
    def torch_name(self) -> str:
        """The device's name for torch: `cuda` (the first of those held) or `cpu`."""
        return "cuda" if self.kind == "cuda" else "cpu"


_held: Device | None = None
_lock_files: list[IO[str]] = []  # open for the life of the process: closing one frees its device
_current: Device | None = None


def claim(count: int, *, timeout_s: float | None = None) -> Device:
    """Claim `count` GPUs for the life of this process, waiting until they are free; call it before importing torch.

    Sets CUDA_VISIBLE_DEVICES to the claimed devices. With count 0, the CPU. A machine without any GPU: the CPU, with a
    warning. The pool is what SLURM gave, else CUDA_VISIBLE_DEVICES, else what `nvidia-smi -L` lists. A second call
    returns what the first one claimed if that suffices.

    Args:
        count: GPUs wanted; all are claimed or none, so that two jobs wanting two each never hold one each for ever.
        timeout_s: seconds to wait at most; None waits for as long as it takes.

    Raises:
        UserError: a negative count, more than the pool has, or none free in time.
        RuntimeError: torch already uses CUDA, so that the choice would come too late.
    """
    global _current, _held
    if count < 0:
        raise UserError("the number of GPUs cannot be negative", key="gpu", found=count)
    if count == 0:
        _current = Device("cpu", note="no GPU asked for")
        return _current
    if _held is not None and len(_held.ids) >= count:
        _current = _held
        return _held
    if _held is not None:
        raise UserError(f"this process already holds {len(_held.ids)} GPU(s)", key="gpu", found=count)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        raise RuntimeError("claim the device before torch uses CUDA")
    pool, prefix, origin = _pool()
    if not pool:
        log.warning("no GPU on this machine (%s); computing on the CPU", origin)
        _current = Device("cpu", note=f"asked for {count} GPU(s), but {origin}")
        return _current
    if len(pool) < count:
        raise UserError(
            f"{count} GPUs asked for, but there are {len(pool)}",
            key="gpu",
            found=f"{', '.join(pool)} ({origin})",
            remedy="ask for fewer, or make more visible with CUDA_VISIBLE_DEVICES",
        )
    ids = _lock(pool, prefix, count, timeout_s)
    os.environ[VISIBLE] = ",".join(ids)
    _held = Device("fake" if prefix == "fake" else "cuda", ids, f"GPU {', '.join(ids)} of {len(pool)}; {origin}")
    _current = _held
    log.info("%s", _held.note)
    return _held


def current() -> Device:
    """The device that this process claimed last; without a claim, a GPU if torch has one, else the CPU."""
    if _current is not None:
        return _current
    import torch

    if torch.cuda.is_available():
        return Device("cuda", (os.environ.get(VISIBLE, "0").split(",")[0],), "not claimed; torch's first GPU")
    return Device("cpu", note="not claimed; torch sees no GPU")


def set_threads(count: int) -> None:
    """Give torch `count` CPU threads (this imports torch)."""
    if count < 1:
        raise UserError("the number of threads must be at least 1", key="threads", found=count)
    import torch

    torch.set_num_threads(count)


def _pool() -> tuple[list[str], str, str]:
    """Identifiers of the devices this process may use, the prefix of their lock files, and where they are from."""
    if fakes := os.environ.get(FAKE_GPUS):
        if not fakes.isdigit():
            raise UserError("must be a whole number", key=FAKE_GPUS, found=fakes)
        return [str(index) for index in range(int(fakes))], "fake", f"{FAKE_GPUS}={fakes}"
    visible = os.environ.get(VISIBLE)
    if visible is None:
        listed, origin = _list_devices()
        if listed:
            # CUDA numbers devices by speed unless told otherwise; nvidia-smi numbers them by bus.
            os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        return listed, "gpu", origin
    entries = [entry.strip() for entry in visible.split(",")]
    # CUDA itself ignores everything from the first invalid entry on; "-1" and "NoDevFiles" are ways to say "none".
    stop = next((index for index, entry in enumerate(entries) if not re.match(r"\d+$|GPU-|MIG-", entry)), len(entries))
    job = os.environ.get("SLURM_JOB_ID")
    if job:
        # SLURM may number the devices of each job from 0, so a lock holds within its job only. It is needed there:
        # one allocation of several GPUs can run several jobs of the workflow side by side.
        given = f"{VISIBLE}={visible} of SLURM job {job}"
        if entries[:stop] and not has_driver():
            return [], "", f"{given} is no device that can be computed on: the node has no driver for it"
        return entries[:stop], f"slurm{job}-gpu", given
    return entries[:stop], "gpu", f"{VISIBLE}={visible}"


def _list_devices() -> tuple[list[str], str]:
    """Device numbers from `nvidia-smi -L`, or the identifiers of MIG instances where a GPU is divided into them."""
    try:
        answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        return [], "nvidia-smi is not installed"
    except subprocess.TimeoutExpired:
        return [], "nvidia-smi does not answer"
    if answer.returncode != 0:
        return [], f"nvidia-smi failed: {(answer.stdout + answer.stderr).strip()[:200]}"
    whole: dict[str, list[str]] = {}
    for line in answer.stdout.splitlines():
        if found := re.match(r"GPU (\d+):", line):
            whole[found[1]] = []
        elif whole and (found := re.search(r"UUID: (MIG-[^)\s]+)", line)):
            whole[next(reversed(whole))].append(found[1])
    return [entry for number, instances in whole.items() for entry in (instances or [number])], "nvidia-smi -L"


def _lock_folder() -> Path:
    """The folder of lock files: per user and per host (flock is not reliable on network file systems)."""
    folder = Path(tempfile.gettempdir()) / f"hsipipe-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise UserError("belongs to another user", file=folder, remedy="set TMPDIR to a folder of your own")
    return folder


def _lock(pool: list[str], prefix: str, count: int, timeout_s: float | None) -> tuple[str, ...]:
    """Lock `count` devices of the pool, or none, and try again until it works."""
    folder = _lock_folder()
    started = time.monotonic()
    waiting = False
    while True:
        taken: list[tuple[str, IO[str]]] = []
        for device in pool:
            # Append mode: opening must not erase the holder's number before the lock is ours.
            name = f"{prefix}{re.sub(r'[^A-Za-z0-9-]', '_', device)}.lock"
            file: IO[str] = open(folder / name, "a+")  # noqa: SIM115
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            taken.append((device, file))
            if len(taken) == count:
                break
        if len(taken) == count:
            for _, own in taken:
                own.truncate(0)
                own.write(f"{os.getpid()}\n")  # for people who look; the lock, not the number, is what counts
                own.flush()
                _lock_files.append(own)
            return tuple(device for device, _ in taken)
        for _, own in taken:
            own.close()
        waited_s = time.monotonic() - started
        if timeout_s is not None and waited_s >= timeout_s:
            raise UserError(
                f"{count} of {len(pool)} GPUs did not become free within {timeout_s:g} s",
                file=folder,
                remedy="the lock files there name the processes that hold them",
            )
        if not waiting:
            log.info("waiting for %d of the GPUs %s (locks in %s)", count, ", ".join(pool), folder)
            waiting = True
        time.sleep(random.uniform(*RETRY_S))
