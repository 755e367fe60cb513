"""Run the public denoising package (HyDe, distribution hyde-images 0.4.3) on cubes, in a Python of its own.

As a module: `run_package(python, cubes, methods)` starts that Python once, with one thread, and returns what came back.
As a script it is the other end: it reads cubes from a file, runs the package and writes the results. It imports nothing
of hsipipe, since that Python need not have it. `measure` is what both sides are timed with.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PACKAGE_METHODS = ("hyres", "forpdn", "wsrrr", "otvca", "fasthyde")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Measured:
    """The estimate (C, H, W), or None with the error that came instead; CPU seconds; peak MiB above the start."""

    estimate: np.ndarray | None
    cpu_s: float = float("nan")
    extra_mib: float = float("nan")
    error: str = ""


def measure(function: Callable[[np.ndarray], np.ndarray], cube: np.ndarray, *, quick_s: float = 2.0) -> Measured:
    """Call `function(cube)` in a fork of this process, so that its peak memory is its own.

    Functions faster than `quick_s` run twice and the faster counts. Import and make a small call before.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "result.npz"
        child = os.fork()
        if child == 0:
            _child(function, cube, target, quick_s)
        _, status = os.waitpid(child, 0)
        if not target.exists():
            return Measured(None, error=f"ended with status {status}")
        with np.load(target) as result:
            if result["error"].item():
                return Measured(None, error=result["error"].item())
            return Measured(result["estimate"], float(result["cpu_s"]), float(result["extra_mib"]))


def _child(function: Callable[[np.ndarray], np.ndarray], cube: np.ndarray, target: Path, quick_s: float) -> None:
    """Run, write the result, and leave without the parent's clean-up."""
    try:
        # Free memory that the parent has touched would hide what the method takes: give it back first, and let the
        # peak start from there.
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = _memory_mib("RssAnon")
        started = time.process_time()
        estimate = function(cube)
        cpu_s = time.process_time() - started
        # A fork touches its libraries' pages anew; these are no memory of the method and only ever grow.
        extra_mib = _memory_mib("VmHWM") - _memory_mib("RssFile") - _memory_mib("RssShmem") - before
        for _ in range(1 if cpu_s < quick_s else 0):
            started = time.process_time()
            function(cube)
            cpu_s = min(cpu_s, time.process_time() - started)
        np.savez(target, estimate=estimate, cpu_s=cpu_s, extra_mib=extra_mib, error="")
    except Exception as error:  # whatever the other side does wrong is a result here
        np.savez(target, error=f"{type(error).__name__}: {error}"[:300])
    finally:
        os._exit(0)


def _memory_mib(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field} in /proc/self/status")


def run_package(
    python: str | Path, cubes: dict[str, np.ndarray], methods: tuple[str, ...] = PACKAGE_METHODS
) -> dict[tuple[str, str], Measured]:
    """Denoise each of `cubes` (name: (C, H, W) float32 about in [0, 1]) with each of `methods`, by (name, method).

    Args:
        python: an interpreter that has the package (`pip install '.[bench]'`).
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "cubes.npz", Path(folder) / "results"
        target.mkdir()
        np.savez(source, allow_pickle=False, **cubes)
        command = [str(python), "-W", "ignore", __file__, str(source), str(target), *methods]
        done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the public package failed:\n{done.stderr[-2000:]}")
        results = {}
        for name in cubes:
            for method in methods:
                with np.load(target / f"{name}.{method}.npz") as saved:
                    estimate = saved["estimate"] if saved["estimate"].ndim == 3 else None
                    results[name, method] = Measured(
                        estimate, float(saved["cpu_s"]), float(saved["extra_mib"]), saved["error"].item()
                    )
        return results


def package_functions() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """The package's denoisers as functions of a cube (C, H, W), called as its documentation does."""
    import hyde
    import torch

    torch.set_num_threads(1)
    calls = {
        "hyres": lambda image: hyde.HyRes()(image),
        "forpdn": lambda image: hyde.FORPDN_SURE()(image),
        "wsrrr": lambda image: hyde.WSRRR()(image, rank=5)[0],
        "otvca": lambda image: hyde.OTVCA()(image, features=6, num_itt=10, lam=0.01)[0],
        "fasthyde": lambda image: hyde.FastHyDe()(image, iid=True, k_subspace=10, normalize=True),
    }

    def function(call: Callable) -> Callable[[np.ndarray], np.ndarray]:
        # The package takes (rows, cols, bands); its memory includes that copy, one cube.
        return lambda cube: call(torch.from_numpy(cube).permute(1, 2, 0).contiguous()).permute(2, 0, 1).numpy()

    return {name: function(call) for name, call in calls.items()}


def main(source: str, target: str, *methods: str) -> None:
    functions = package_functions()
    with np.load(source) as cubes:
        for index, name in enumerate(cubes.files):
            cube = cubes[name]
            for method in methods:
                if index == 0:
                    functions[method](cube[:20, :64, :64])
                result = measure(functions[method], cube)
                estimate = np.zeros(0) if result.estimate is None else result.estimate
                np.savez(
                    Path(target) / f"{name}.{method}.npz",
                    estimate=estimate,
                    cpu_s=result.cpu_s,
                    extra_mib=result.extra_mib,
                    error=result.error,
                )


if __name__ == "__main__":
    main(*sys.argv[1:])
