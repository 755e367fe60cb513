"""Jobs that need GPUs under Snakemake, which counts GPUs only where somebody tells it how many there are."""

import itertools
import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.workflow

SNAKEFILE = """
rule all:
    input:
        expand("{needs}-{number}.json", needs=["whole", "share"], number=range(4)),


rule compute:
    output:
        "{needs}-{number}.json",
    resources:
        gpu=1,
        vram_mb=lambda wildcards: 10000 if wildcards.needs == "share" else 0,
    script:
        "compute.py"
"""
SCRIPT = """
import json, time
from hsipipe.devices.claim import claim
held = claim(snakemake.resources.gpu, vram_mb=snakemake.resources.vram_mb)
start = time.monotonic()
time.sleep(0.3)
with open(snakemake.output[0], "w") as file:
    json.dump([held.kind, held.ids, start, time.monotonic(), snakemake.resources.vram_mb], file)
"""


def run(folder, *arguments):
    """All jobs at once, as far as Snakemake knows; what each of them held."""
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "compute.py").write_text(SCRIPT)
    environment = {**os.environ, "HSIPIPE_FAKE_GPUS": "2", "HSIPIPE_FAKE_VRAM_MB": "24000", "TMPDIR": str(folder)}
    command = [sys.executable, "-m", "snakemake", "--cores", "8", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(path.read_text()) for path in folder.glob("*.json")]


def test_who_forgets_to_tell_how_many_gpus_there_are_is_safe(tmp_path):
    told = run(tmp_path)
    assert len(told) == 8
    assert {kind for kind, *_ in told} == {"fake"}
    for (_, *first), (_, *second) in itertools.combinations(told, 2):
        at_once = first[1] < second[2] and second[1] < first[2]
        if first[0] == second[0] and at_once:
            assert min(first[3], second[3]) > 0, "a job that wants a device to itself met another one"


def test_no_gpu_by_choice(tmp_path):
    assert {(kind, *ids) for kind, ids, *_ in run(tmp_path, "--resources", "gpu=0")} == {("cpu",)}
