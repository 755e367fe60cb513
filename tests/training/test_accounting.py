import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from hsipipe.training import accounting
from hsipipe.training.accounting import count_parameters, environment, measure


def test_time():
    with measure() as cost:
        time.sleep(0.1)
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
    assert cost.wall_s >= 0.15
    assert cost.cpu_s >= 0.05
    assert cost.as_dict()["wall_s"] == cost.wall_s


def test_children_count():
    with measure() as cost:
        subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    assert cost.cpu_s >= 0.3


def test_peak_memory_is_of_the_block():
    with measure() as large:
        held = np.ones(25_000_000)  # 200 MB
        del held
    with measure() as small:
        pass
    assert large.peak_memory_bytes - large.start_memory_bytes > 190e6
    if not small.peak_is_of_process:
        assert small.peak_memory_bytes - small.start_memory_bytes < 50e6


def test_filled_in_after_an_error():
    with pytest.raises(KeyError), measure() as cost:
        raise KeyError
    assert cost.wall_s > 0


def test_parameter_count():
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2), torch.nn.Linear(3, 2, bias=False))
    model[2].weight = model[0].weight  # shared: counts once
    model[1].requires_grad_(False)
    count = count_parameters(model)
    assert (count.total, count.trainable) == (8 + 4, 8)
    assert count.stored_bits == 32 * (8 + 4) + 32 * 4 + 64  # statistics, and a 64-bit counter of batches
    assert count_parameters(model.half()).stored_bits == 16 * (8 + 4) + 16 * 4 + 64


def test_environment():
    found = environment()
    assert found["libraries"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert found["threads"] == torch.get_num_threads()
    assert found["cores"] >= 1


def test_commit_is_only_of_this_repository(monkeypatch, tmp_path):
    def git(*arguments):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    copy = tmp_path / "accounting.py"
    copy.write_text("one")
    monkeypatch.setattr(accounting, "__file__", str(copy))
    assert accounting.git_commit.__wrapped__() is None
    git("init")
    assert accounting.git_commit.__wrapped__() is None  # there is a repository, but this file is not part of it
    git("add", "accounting.py")
    git("-c", "user.name=n", "-c", "user.email=e", "commit", "-m", "m")
    commit = accounting.git_commit.__wrapped__()
    assert len(commit) == 40
    copy.write_text("two")
    assert accounting.git_commit.__wrapped__() == f"{commit}+"


def test_asking_needs_no_torch():
    code = "import sys; from hsipipe.training.accounting import *; environment(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_packed_weights_count_one_by_one():
    class Packed(torch.nn.Module):
        """3 x 4 weights, two in a byte."""

        quantised_parameters = 12

        def __init__(self):
            super().__init__()
            self.register_buffer("packed", torch.zeros(6, dtype=torch.uint8))

    count = count_parameters(torch.nn.Sequential(Packed(), torch.nn.Linear(3, 2)))
    assert (count.total, count.trainable, count.stored_bits) == (12 + 8, 8, 8 * 6 + 32 * 8)
