"""One training over several processes: two CPU processes that talk by gloo stand for two GPUs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from hsipipe.training.ranks import own_slice

HERE = Path(__file__).parent
SETTINGS = {"epochs": 4, "steps_per_epoch": 5, "batch_size": 8, "accumulate": 2, "learning_rate": 0.01}
RUN = """
import json, logging, sys
from hsipipe.errors import UserError
logging.basicConfig(level=logging.INFO)
from hsipipe.training.launch import train
from toy_training import Method
try:
    train("toy_training", threads=2, method=Method(), **json.loads(sys.argv[1]))
except UserError as error:
    sys.exit(f"user error: {error}")
"""


def start(folder, gpus, **given):
    """A training in a process of its own, as a job of the workflow is."""
    folder.mkdir(exist_ok=True)
    asked = {"gpus": gpus, "state": str(folder / "state"), "output": str(folder / "model.pt"), "settings": SETTINGS}
    environment = {**os.environ, "HSIPIPE_FAKE_GPUS": "2", "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), environment.get("PYTHONPATH", "")])
    environment.pop("SLURM_JOB_NUM_NODES", None)
    with open(folder / "log", "w") as log:
        command = [sys.executable, "-c", RUN, json.dumps({**asked, **given})]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)


def finish(folder, process):
    """Its exit status and what it wrote."""
    return process.wait(timeout=120), (folder / "log").read_text()


def outcome(folder):
    return torch.load(folder / "model.pt", weights_only=True), json.loads((folder / "model.json").read_text())


def close(first, second):
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name].float(), second[name].float(), rtol=1e-5, atol=1e-5, msg=name)


def same_course(first, second):
    assert [row["step"] for row in first] == [row["step"] for row in second]
    for mine, other in zip(first, second, strict=True):
        assert mine == pytest.approx(other, rel=1e-4)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The training on one device."""
    folder = tmp_path_factory.mktemp("alone")
    status, text = finish(folder, start(folder, 1))
    assert status == 0, text
    return outcome(folder)


def wait_for(condition, process):
    patience = time.monotonic() + 90
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < patience
        time.sleep(0.02)


def is_alive(pid):
    """Whether a process runs (one that ended and was not yet collected does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_two_processes_end_with_the_weights_of_one(tmp_path, alone):
    status, text = finish(tmp_path, start(tmp_path, 2))
    assert status == 0, text
    weights, told = outcome(tmp_path)
    assert (told["ranks"], alone[1]["ranks"]) == (2, 1)
    close(weights, alone[0])
    assert int(weights["body.1.num_batches_tracked"]) == int(alone[0]["body.1.num_batches_tracked"]) == 40
    same_course(told["history"], alone[1]["history"])
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == [
        "finished.pt",
        "history.csv",
        "key.json",
        "lock",
        "pids",
    ]
    assert (tmp_path / "log").read_text().count("epoch 4 of 4") == 1


@pytest.mark.parametrize(("victim", "number"), [(1, signal.SIGKILL), (None, signal.SIGKILL), (None, signal.SIGTERM)])
def test_a_killed_training_ends_and_goes_on_with_another_number_of_devices(tmp_path, alone, victim, number):
    settings = {**SETTINGS, "checkpoint_every_s": 0.0}
    process = start(tmp_path, 2, settings=settings, slow_s=0.05)
    wait_for((tmp_path / "state/last.ckpt").exists, process)
    pids = [int((tmp_path / f"state/pids/{rank}-of-2").read_text()) for rank in (0, 1)]
    os.kill(process.pid if victim is None else pids[victim], number)
    status, text = finish(tmp_path, process)
    if victim is None:
        assert status == (-signal.SIGKILL if number == signal.SIGKILL else 143), text
    else:
        assert status == 1
        assert "process 1 of 2 of this training was killed by signal 9" in text
    patience = time.monotonic() + 30
    while any(map(is_alive, pids)):
        assert time.monotonic() < patience, "a process outlives the training"
        time.sleep(0.02)
    assert not (tmp_path / "model.pt").exists()
    status, text = finish(tmp_path, start(tmp_path, 1 if victim is None else 2, settings=settings))
    assert status == 0, text
    weights, told = outcome(tmp_path)
    assert 0 < told["resumed_from"] < 20
    close(weights, alone[0])
    same_course(told["history"], alone[1]["history"])


def test_mistakes_are_told_in_one_line(tmp_path):
    status, text = finish(tmp_path, start(tmp_path, 2, fail_at=3))
    assert status == 1
    assert text.rstrip().splitlines()[-1] == "user error: toy: a mistake of the user (found 3)"
    status, text = finish(tmp_path, start(tmp_path, 2, settings={**SETTINGS, "batch_size": 7}))
    assert "user error: batch_size: must be a multiple (found 7)" in text


def test_a_process_alone_keeps_its_batch():
    batch = {"input": torch.zeros(4, 2)}
    assert own_slice(batch, 4) is batch
