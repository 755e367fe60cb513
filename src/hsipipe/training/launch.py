"""Start a training in one process for each of its devices, and end them all when one of them dies.

Lightning's own launcher starts the running script again, which a script of Snakemake does not survive, and leaves its
processes behind when it is killed. Here the processes run a module (`hsipipe.training.worker`) and read from a pipe,
whose end tells them that this process is gone; under SLURM, srun starts the same module on every node.
"""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hsipipe.devices.claim import Device, claim, limit_memory, lock_handles, set_threads
from hsipipe.devices.pool import VISIBLE
from hsipipe.errors import UserError

WORKER = "hsipipe.training.worker"
# Begin the line on which a worker tells why it ends: a mistake of the user, or anything else.
MISTAKE, FAILURE = "hsipipe-mistake: ", "hsipipe-failure: "
LOOK_S = 0.05  # pause between looks at the processes
GRACE_S = 60.0  # to save and end after SIGTERM

log = logging.getLogger(__name__)


def train(module: str, *, gpus: int, vram_mb: int = 0, threads: int | None = None, **arguments: Any) -> None:
    """Claim the devices and run the `fit` of a module: here for one device, else in a process for each of them.

    Args:
        module: its name, such as hsipipe.tasks.denoising.fit.
        gpus, vram_mb: what `hsipipe.devices.claim.claim` takes; in an allocation of SLURM over several nodes, `gpus`
            is what all of them have together.
        threads: CPU threads of all processes together, over several nodes of each; None: as many as torch finds right.
        arguments: of `fit`, by name; values that can be pickled.

    Raises:
        UserError: a mistake of the user, wherever it was found.
        RuntimeError: a process was killed or failed; the last state that was saved stays.
        SystemExit: with 143, after SIGTERM; the state is saved first.
    """
    nodes = int(os.environ.get("SLURM_JOB_NUM_NODES", "1"))
    if gpus > 1 and nodes > 1:
        arguments["method"].check_gpus(gpus, arguments["settings"])
        _run([_over_nodes(gpus, nodes)], {"module": module, "threads": threads}, arguments)
        return
    device = claim(gpus, vram_mb=vram_mb)
    if len(device.ids) < 2:
        if threads is not None:
            set_threads(threads)
        limit_memory()
        importlib.import_module(module).fit(**arguments)
        return
    if any(entry.startswith("MIG-") for entry in device.ids):
        raise UserError(
            "NCCL does not connect MIG instances",
            key="gpu",
            found=", ".join(device.ids),
            remedy="train on one instance (gpu: 1), or on whole GPUs",
        )
    # Again, because a limit of the scheduler can have made the number smaller than the config says.
    arguments["method"].check_gpus(len(device.ids), arguments["settings"])
    commands = [_on_device(device, rank) for rank in range(len(device.ids))]
    _run(commands, {"module": module, "threads": threads and max(1, threads // len(commands))}, arguments)


def _on_device(device: Device, rank: int) -> tuple[list[str], dict[str, str]]:
    """Command and environment of the process of one of this machine's devices."""
    environment = {
        "HSIPIPE_RANK": f"{rank} {len(device.ids)}",
        VISIBLE: device.ids[rank],  # its own and no other, so that it is `cuda` in every process
        "MASTER_ADDR": "127.0.0.1",
    }
    if sys.platform == "linux":
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    return [sys.executable, "-m", WORKER], environment


def _over_nodes(gpus: int, nodes: int) -> tuple[list[str], dict[str, str]]:
    """The command that starts a process for each GPU of an allocation over several nodes."""
    if gpus % nodes:
        raise UserError(f"{gpus} GPUs cannot be shared evenly by {nodes} nodes", key="gpu", found=gpus)
    # --overlap: the step that runs this script holds the allocation already. srun hands its input to all tasks.
    command = ["srun", "--overlap", f"--nodes={nodes}", f"--ntasks={gpus}", f"--ntasks-per-node={gpus // nodes}"]
    command += ["--kill-on-bad-exit=1", "--cpu-bind=none"]
    if cores := os.environ.get("SLURM_CPUS_PER_TASK"):  # srun does not take it over from the allocation
        command.append(f"--cpus-per-task={cores}")
    # Rank 0 is on the first node of the allocation: that of this process.
    return [*command, sys.executable, "-m", WORKER], {"MASTER_ADDR": socket.gethostname()}


def _run(commands: list[tuple[list[str], dict[str, str]]], about: dict[str, Any], arguments: dict[str, Any]) -> None:
    """Run the commands until all have ended well or one has not, which ends the others."""
    request = pickle.dumps({**about, "arguments": arguments})
    port = str(_free_port())
    log.info("training in %d process(es) started by %s", len(commands), commands[0][0][0])
    workers: list[subprocess.Popen[bytes]] = []
    told: list[str] = []
    with _ending_all(workers), _told_to_end() as terminated:
        listeners = []
        for command, environment in commands:
            worker = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sys.stderr,
                env={**os.environ, **environment, "MASTER_PORT": port},
                # The lock of a device is free when the last process that holds it has ended, this one or a worker.
                pass_fds=lock_handles(),
            )
            workers.append(worker)
            listeners.append(threading.Thread(target=_listen, args=(worker, told), daemon=True))
            listeners[-1].start()
        for worker in workers:
            _send(worker, len(request).to_bytes(8, "big") + request)
        failed = _wait(workers, terminated)
    for listener in listeners:
        listener.join()
    if failed is None:
        return
    if terminated.is_set():
        raise SystemExit(143)
    rank, status = failed
    # Which one failed first, its own line tells; the others fail for want of it. A killed one tells nothing.
    if status > 0 and told:
        if told[0].startswith(MISTAKE):
            raise UserError(told[0].removeprefix(MISTAKE))
        how = told[0].removeprefix(FAILURE)
    else:
        ended = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        how = f"process {rank} of {len(workers)} of this training {ended}"
    raise RuntimeError(f"{how}; the others were ended; started again, it goes on from its last checkpoint")


def _wait(workers: list[subprocess.Popen[bytes]], terminated: threading.Event) -> tuple[int, int] | None:
    """Wait until all have ended well (None), or one has not: its number and its status."""
    asked = 0.0
    while True:
        states = [worker.poll() for worker in workers]
        if failed := sorted((status, rank) for rank, status in enumerate(states) if status):
            return failed[0][1], failed[0][0]  # a signal, which is negative, before a status
        if not any(status is None for status in states):
            return None
        if terminated.is_set() and not asked:
            asked = time.monotonic()
            for worker in workers:
                _send(worker, b"stop\n")  # rank 0 saves and ends; the others do not heed it
        if asked and time.monotonic() - asked > GRACE_S:
            return 0, 143
        time.sleep(LOOK_S)


def _listen(worker: subprocess.Popen[bytes], told: list[str]) -> None:
    """Pass on what a worker prints, and keep why it ends."""
    assert worker.stdout is not None
    for line in worker.stdout:
        text = line.decode(errors="replace").rstrip("\n")
        if text.startswith((MISTAKE, FAILURE)):
            told.append(text)
        else:
            print(text, flush=True)


def _send(worker: subprocess.Popen[bytes], data: bytes) -> None:
    """Write to a worker; one that has just ended is noticed by its status."""
    assert worker.stdin is not None
    try:
        worker.stdin.write(data)
        worker.stdin.flush()
    except BrokenPipeError:
        log.debug("process %d has ended", worker.pid)


@contextmanager
def _ending_all(workers: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """End every worker at the end of the block, however it ends."""
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.wait()


@contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    """An event that SIGTERM sets within the block."""
    told = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: told.set())
    try:
        yield told
    finally:
        signal.signal(signal.SIGTERM, before)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("", 0))
        return int(found.getsockname()[1])
