"""One process of a training over several devices: `python -m hsipipe.training.worker`, started by the launcher.

On standard input come the length of the request (8 bytes), the request (a pickle), and later perhaps the line `stop`.
The end of the input means that the launcher is dead.
"""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import signal
import sys
import threading
from typing import Any

from hsipipe import device as devices
from hsipipe.device import Device
from hsipipe.errors import UserError
from hsipipe.logs import FORMAT
from hsipipe.training.launch import ERROR

log = logging.getLogger(__name__)


def main() -> None:
    """Read the request and take part in its training."""
    # Schedulers send SIGTERM to all processes of a job. Here the launcher alone heeds it, and asks rank 0 to save; one
    # rank that ends by itself would leave the others waiting for it. Blocked before there are threads that inherit it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    request = pickle.loads(_read(int.from_bytes(_read(8), "big")))
    rank, count = _place()
    threading.Thread(target=_heed_launcher, args=(rank,), daemon=True).start()
    level, shown = (logging.INFO, FORMAT) if rank == 0 else (logging.WARNING, f"rank {rank}: {FORMAT}")
    logging.basicConfig(stream=sys.stderr, level=level, format=shown)
    try:
        _train(request, rank, count)
    except UserError as error:
        print(f"{ERROR}{error}", flush=True)
        raise SystemExit(2) from None


def _train(request: dict[str, Any], rank: int, count: int) -> None:
    device = _device()
    if request["threads"] is not None:
        devices.set_threads(request["threads"])

    from hsipipe.training import ranks

    # Lightning counts each process as a node with one device: it sees no other.
    os.environ.update(LOCAL_RANK="0", NODE_RANK=str(rank))
    ranks.join(rank, count, cuda=device.kind == "cuda")
    if device.kind == "cuda":
        import torch

        torch.cuda.set_device(0)
    importlib.import_module(request["module"]).fit(**request["arguments"])
    ranks.leave()


def _place() -> tuple[int, int]:
    """The rank of this process and the number of ranks, as the launcher or srun tells them."""
    told = os.environ.get("HSIPIPE_RANK") or f"{os.environ['SLURM_PROCID']} {os.environ['SLURM_NTASKS']}"
    rank, count = told.split()
    return int(rank), int(count)


def _device() -> Device:
    """What this process computes on: what the launcher chose, or its task's part of what SLURM gave its node."""
    kind = os.environ.get("HSIPIPE_DEVICE_KIND")
    visible = os.environ.get(devices.VISIBLE, "")
    if kind is None:
        given = [entry for entry in visible.split(",") if entry]
        place = int(os.environ["SLURM_LOCALID"])
        # A site that binds GPUs to tasks shows each task its own.
        if len(given) > 1:
            if place >= len(given):
                raise UserError(f"this node has {len(given)} GPUs for task {place + 1} of it", key="gpu", found=visible)
            visible = os.environ[devices.VISIBLE] = given[place]
        kind = "cuda" if given else "cpu"
    device = Device("fake" if kind == "fake" else "cuda" if kind == "cuda" else "cpu", (visible,), "of one rank")
    devices.adopt(device)
    return device


def _read(size: int) -> bytes:
    """So many bytes of the input, unbuffered: a thread reads the rest."""
    found = b""
    while len(found) < size:
        piece = os.read(0, size - len(found))
        if not piece:
            raise SystemExit("no request came")
        found += piece
    return found


def _heed_launcher(rank: int) -> None:
    """Wait for `stop`; without a launcher, end at once: nobody would notice if another rank died."""
    while told := os.read(0, 64):
        if b"stop" in told and rank == 0:
            from hsipipe.training import ranks

            ranks.stop()
    log.error("the process that started this training is gone")
    os._exit(1)


if __name__ == "__main__":
    main()
