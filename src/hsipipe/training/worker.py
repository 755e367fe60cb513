"""One process of a training over several devices: `python -m hsipipe.training.worker`, started by the launcher.

It runs the `fit` of a task as a job with one device does; this module is for what such a job has not: others beside it,
and a pipe to the launcher. On standard input come the length of the request (8 bytes), the request (a pickle), and
perhaps, later, `stop`; its end means that the launcher is dead. Why it ends badly, it tells in one line of its output.
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

from hsipipe.devices.claim import Device, adopt, set_threads
from hsipipe.devices.pool import FAKE_GPUS, VISIBLE
from hsipipe.errors import UserError
from hsipipe.jobs.logs import FORMAT
from hsipipe.training.launch import FAILURE, MISTAKE

MOST_TOLD = 500  # characters of a failure in the line for the launcher; all of it is in the log

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
        print(f"{MISTAKE}{error}", flush=True)
        raise SystemExit(2) from None
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())[:MOST_TOLD]
        lost = ", perhaps because another one was killed" if "gloo" in told or "NCCL" in told else ""
        print(f"{FAILURE}process {rank} of {count} of this training failed{lost}: {told}", flush=True)
        raise


def _train(request: dict[str, Any], rank: int, count: int) -> None:
    # DDP warns that it looked for unused parameters in vain; which network has some, nobody knows beforehand.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    device = _device()
    if request["threads"] is not None:
        set_threads(request["threads"])

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
    given = [entry for entry in os.environ.get(VISIBLE, "").split(",") if entry]
    is_fake = FAKE_GPUS in os.environ
    if len(given) > 1:  # a site that binds GPUs to tasks shows each task its own alone
        place = int(os.environ["SLURM_LOCALID"])
        if place >= len(given):
            raise UserError(f"this node has {len(given)} GPUs for task {place + 1} of it", key="gpu", found=given)
        given = [given[place]]
        os.environ[VISIBLE] = given[0]
    device = Device("fake" if is_fake else "cuda" if given else "cpu", tuple(given), "of one process of a training")
    adopt(device)
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
