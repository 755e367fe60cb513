"""Loaded by every Python that starts with this folder on PYTHONPATH: it records what that process spent on importing.

Not imported by the project: `benchmarks/startup.py` puts it before a workflow. The record of a process is one line of
JSON, written when it ends: CPU seconds before this file was run, in import statements (the outermost ones, so that
nothing counts twice), of its threads and of its children.
"""

import atexit
import builtins
import importlib
import json
import os
import resource
import sys
import threading
import time

BEFORE = time.process_time()
STARTED = time.time()
FOLDER = os.environ.get("HSIPIPE_STARTUP_RECORDS", "")
OURS = os.getpid()
importing = threading.local()
spent: dict[str, float] = {}
plain_import, plain_import_module = builtins.__import__, importlib.import_module


def timed(function):
    """`function`, an import, with the CPU time of its outermost calls added up under the name of what it imports."""

    def call(name, *arguments, **keywords):
        if getattr(importing, "now", False):
            return function(name, *arguments, **keywords)
        importing.now, before = True, time.thread_time()
        try:
            return function(name, *arguments, **keywords)
        finally:
            importing.now = False
            spent[name] = spent.get(name, 0.0) + time.thread_time() - before

    return call


def write() -> None:
    """Write the record of this process; a forked child has none of its own."""
    if os.getpid() != OURS:
        return
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    record = {
        "arguments": sys.argv,
        "started": STARTED,
        "ended": time.time(),
        "before_s": BEFORE,
        "imports_s": sum(spent.values()),
        "slowest": dict(sorted(spent.items(), key=lambda item: -item[1])[:12]),
        "cpu_s": time.process_time(),
        "children_s": children.ru_utime + children.ru_stime,
        "torch": "torch" in sys.modules,
        "lightning": "pytorch_lightning" in sys.modules or "lightning" in sys.modules,
    }
    with open(os.path.join(FOLDER, f"{OURS}-{time.time_ns()}.json"), "w", encoding="utf-8") as file:
        json.dump(record, file)


if FOLDER:
    builtins.__import__ = timed(plain_import)
    importlib.import_module = timed(plain_import_module)
    atexit.register(write)
