import os
import signal
import subprocess
import sys

import pytest

from hsipipe.errors import UserError
from hsipipe.locks import held

HOLDER = """
import sys, time
from hsipipe.locks import held
with held(sys.argv[1], wait=False, busy="busy"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_holder_at_a_time_and_a_killed_one_is_none(tmp_path):
    path = tmp_path / "deep" / "lock"
    other = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="somebody works here"), held(path, wait=False, busy="somebody works here"):
        pass
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    with held(path, wait=False, busy="somebody works here"):
        assert path.exists()


def test_released_at_the_end_of_the_block(tmp_path):
    for _ in range(2):
        with held(tmp_path / "lock", wait=False, busy="busy"):
            pass
