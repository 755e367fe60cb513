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
import toy_training

from hsipipe.devices import claim
from hsipipe.training.launch import train
from hsipipe.training.ranks import own_slice
from hsipipe.training.state import LAST

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
# What srun does with a command: a task per GPU, all of them reading its input, each told its number; the first that
# fails ends the others.
SRUN = """#!{python}
import os, subprocess, sys, threading
options = [text for text in sys.argv[1:] if text.startswith("--")]
assert "--nodes=2" in options and "--ntasks=2" in options and "--ntasks-per-node=1" in options
command = sys.argv[1 + len(options):]
tasks = [
    subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        env={{**os.environ, "SLURM_PROCID": str(n), "SLURM_NTASKS": "2", "SLURM_LOCALID": "0"}},
    )
    for n in range(2)
]
def copy():
    while piece := os.read(0, 65536):
        for task in tasks:
            task.stdin.write(piece)
            task.stdin.flush()
threading.Thread(target=copy, daemon=True).start()
states = [task.wait() for task in tasks]
sys.stdout.flush()
os._exit(max(states))
"""


started = []


def start(folder, gpus, environment=None, **given):
    """A training in a process of its own, as a job of the workflow is."""
    asked = {"gpus": gpus, "state": str(folder / "state"), "output": str(folder / "model.pt"), "settings": SETTINGS}
    environment = {**os.environ, "HSIPIPE_FAKE_GPUS": "2", "TMPDIR": str(folder), **(environment or {})}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), environment.get("PYTHONPATH", "")])
    with open(folder / "log", "w") as log:
        command = [sys.executable, "-c", RUN, json.dumps({**asked, **given})]
        started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))
    return started[-1]


def finish(folder, process):
    """Its exit status and what it wrote."""
    return process.wait(timeout=900), (folder / "log").read_text()


def train_alone(folder, **given):
    """The training in this process, on the CPU."""
    paths = {"state": str(folder / "state"), "output": str(folder / "model.pt")}
    train("toy_training", gpus=0, method=toy_training.Method(), settings=SETTINGS, **paths, **given)
    return outcome(folder)


def outcome(folder):
    return torch.load(folder / "model.pt", weights_only=True), json.loads((folder / "model.json").read_text())


def same(first, second):
    """Weights, and the course of the training, to within the rounding of sums."""
    assert first[0].keys() == second[0].keys()
    for name in first[0]:
        torch.testing.assert_close(first[0][name].float(), second[0][name].float(), rtol=1e-5, atol=1e-5, msg=name)
    assert len(first[1]["history"]) == len(second[1]["history"]) == SETTINGS["epochs"]
    for mine, other in zip(first[1]["history"], second[1]["history"], strict=True):
        assert mine == pytest.approx(other, rel=1e-4)


@pytest.fixture(scope="module", autouse=True)
def nothing_claimed():
    """What these tests claim in this process concerns no others."""
    before = claim._current
    yield
    claim._current = before


@pytest.fixture(autouse=True)
def nothing_left():
    """A test that fails leaves no training behind."""
    yield
    while started:
        process = started.pop()
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The training on one device."""
    return train_alone(tmp_path_factory.mktemp("alone"))


def wait_for(condition, process):
    patience = time.monotonic() + 600
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < patience
        time.sleep(0.02)


def pids(folder):
    """Process numbers of the ranks of the running training, once they are known."""
    return [int((folder / f"state/pid-{rank}-of-2").read_text()) for rank in (0, 1)]


def assert_ended(numbers):
    """Every process is gone; one that ended and was not yet collected counts as gone."""
    patience = time.monotonic() + 60
    for number in numbers:
        stat = Path(f"/proc/{number}/stat")
        while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < patience, "a process outlives the training"
            time.sleep(0.02)


def test_two_processes_end_with_the_weights_of_one(tmp_path, alone):
    status, text = finish(tmp_path, start(tmp_path, 2))
    assert status == 0, text
    found = outcome(tmp_path)
    assert (found[1]["ranks"], alone[1]["ranks"]) == (2, 1)
    same(found, alone)
    assert int(found[0]["body.1.num_batches_tracked"]) == int(alone[0]["body.1.num_batches_tracked"]) == 40
    assert text.count("epoch 4 of 4") == 1
    assert not (tmp_path / "state" / LAST).exists()


def test_tasks_of_srun_end_with_the_weights_of_one(tmp_path):
    """Here with a network that has no batch normalisation."""
    srun = tmp_path / "srun"
    srun.write_text(SRUN.format(python=sys.executable))
    srun.chmod(0o755)
    environment = {
        "SLURM_JOB_ID": "1",
        "SLURM_JOB_NUM_NODES": "2",
        "GLOO_SOCKET_IFNAME": "lo",
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "CUDA_VISIBLE_DEVICES": "",
    }
    status, text = finish(tmp_path, start(tmp_path, 2, environment, normalised=False))
    assert status == 0, text
    assert outcome(tmp_path)[1]["ranks"] == 2
    same(outcome(tmp_path), train_alone(tmp_path / "alone", normalised=False))


def test_a_training_goes_on_whatever_ended_it(tmp_path, alone):
    checkpoint = tmp_path / "state" / LAST
    often = {**SETTINGS, "checkpoint_every_s": 0.0}

    # One of the processes is killed.
    process = start(tmp_path, 2, settings=often, slow_s=0.02)
    wait_for(checkpoint.exists, process)
    running = pids(tmp_path)
    os.kill(running[1], signal.SIGKILL)
    status, text = finish(tmp_path, process)
    assert status == 1
    assert "process 1 of 2 of this training was killed by signal 9; the others were ended" in text.splitlines()[-1]
    assert_ended(running)
    steps = [torch.load(checkpoint, weights_only=True)["progress"]["step"]]

    # The job is told to end: nothing but that makes it save.
    (tmp_path / "state/drawn").unlink()
    process = start(tmp_path, 2, slow_s=0.2)
    wait_for((tmp_path / "state/drawn").exists, process)
    running = pids(tmp_path)
    for number in (process.pid, *running):  # schedulers tell every process of a job
        os.kill(number, signal.SIGTERM)
    status, text = finish(tmp_path, process)
    assert status == 143, text
    assert text.count("the state is saved") == 1
    assert_ended(running)
    steps.append(torch.load(checkpoint, weights_only=True)["progress"]["step"])
    assert f"terminated at step {steps[1]}" in text

    # The job is killed, its processes are not.
    before = checkpoint.stat().st_mtime_ns
    process = start(tmp_path, 2, settings=often, slow_s=0.02)
    wait_for(lambda: checkpoint.stat().st_mtime_ns > before, process)
    running = pids(tmp_path)
    process.kill()
    assert finish(tmp_path, process)[0] == -signal.SIGKILL
    assert_ended(running)
    steps.append(torch.load(checkpoint, weights_only=True)["progress"]["step"])
    assert 0 < steps[0] < steps[1] < steps[2] < 20

    assert not (tmp_path / "model.pt").exists()
    found = train_alone(tmp_path)
    assert found[1]["resumed_from"] == steps[2]
    same(found, alone)


@pytest.mark.parametrize(
    ("given", "last_line"),
    [
        ({"fault": "mistake"}, "user error: toy: a mistake of the user (found 3)"),
        (
            {"fault": "failure"},
            "RuntimeError: process 1 of 2 of this training failed: ValueError: something broke; the others were ended; "
            "started again, it goes on from its last checkpoint",
        ),
        ({"settings": {**SETTINGS, "batch_size": 7}}, "user error: batch_size: must be a multiple (found 7)"),
    ],
)
def test_an_error_of_one_is_the_error_of_all_in_one_line(tmp_path, given, last_line):
    status, text = finish(tmp_path, start(tmp_path, 2, **given))
    assert status == 1
    assert text.rstrip().splitlines()[-1] == last_line


def test_a_process_alone_keeps_its_batch():
    batch = {"input": torch.zeros(4, 2)}
    assert own_slice(batch, 4) is batch
