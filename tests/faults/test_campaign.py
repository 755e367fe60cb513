"""The fault campaign on a study without a training: two faults. `make fault-test` has them all."""

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "run.py"


def campaign(*arguments):
    return subprocess.run([sys.executable, RUN, *arguments], capture_output=True, text=True, timeout=900, check=False)


@pytest.mark.workflow
def test_faults_are_survived(tmp_path):
    done = campaign("--quick", "--folder", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 faults survived, 0 results lost or silently wrong" in done.stdout


def test_the_campaign_has_thirty_faults_of_every_kind():
    listed = campaign("--list").stdout.splitlines()
    kinds = {line[5:].rpartition(" at ")[0] for line in listed}
    assert len(listed) == 30
    assert {"full disk", "read-only results", "two runs in one folder", "stale locks", "clock jump"} <= kinds
    assert len(kinds) == 14
