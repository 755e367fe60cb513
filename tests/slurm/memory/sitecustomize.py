"""Python imports this at its start, where the test has put this folder on PYTHONPATH: a training takes memory without
end once the file exists that MEMORY_TRIGGER and the number of its SLURM job name."""

import os
import threading
import time
from pathlib import Path


def take_memory_when_told(trigger: Path) -> None:
    while not trigger.exists():
        time.sleep(0.2)
    if b"train_method.py" not in Path("/proc/self/cmdline").read_bytes():
        return  # the Snakemake processes of the job
    taken = []
    while True:
        taken.append(bytearray(os.urandom(1) * 2**26))
        time.sleep(0.05)


if os.environ.get("MEMORY_TRIGGER") and os.environ.get("SLURM_JOB_ID"):
    trigger = Path(f"{os.environ['MEMORY_TRIGGER']}.{os.environ['SLURM_JOB_ID']}")
    threading.Thread(target=take_memory_when_told, args=[trigger], daemon=True).start()
