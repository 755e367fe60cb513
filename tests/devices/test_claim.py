import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hsipipe.devices import claim as claiming
from hsipipe.devices import locks, pool
from hsipipe.devices.claim import claim, current_device, set_threads
from hsipipe.devices.driver import has_driver
from hsipipe.devices.pool import FAKE_GPUS, FAKE_VRAM_MB, VISIBLE, find_pool
from hsipipe.errors import UserError

# Claims, tells what it holds and when, holds it for a while, tells when it ends.
HOLDER = """
import json, sys, time
from hsipipe.devices.claim import claim
held = claim(int(sys.argv[1]), vram_mb=int(sys.argv[3]), timeout_s=60)
start = time.monotonic()
print(json.dumps([held.kind, list(held.ids)]), flush=True)
time.sleep(float(sys.argv[2]))
print(json.dumps([start, time.monotonic()]), flush=True)
assert "torch" not in sys.modules
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """No device held, a lock folder of the test's own, none of the machine's devices."""
    for name in ("SLURM_JOB_ID", VISIBLE, FAKE_GPUS, FAKE_VRAM_MB, "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(locks.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(claiming, "_held", None)
    monkeypatch.setattr(claiming, "_current", None)
    files: list = []
    monkeypatch.setattr(claiming, "_lock_files", files)
    monkeypatch.setenv(VISIBLE, "")  # so that monkeypatch takes away what `claim` writes there
    monkeypatch.delenv(VISIBLE)
    yield
    for file in files:
        file.close()


def hold(count, seconds, fakes=2, vram_mb=0):
    environment = {**os.environ, FAKE_GPUS: str(fakes)}
    command = [sys.executable, "-c", HOLDER, str(count), str(seconds), str(vram_mb)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_processes_never_share_a_device():
    workers = [hold(1, 0.4) for _ in range(5)] + [hold(2, 0.4)]
    spans = []
    for worker in workers:
        first, second = worker.communicate(timeout=90)[0].splitlines()
        assert worker.returncode == 0
        kind, ids = json.loads(first)
        assert kind == "fake"
        spans += [(identifier, *json.loads(second)) for identifier in ids]
    assert len(spans) == 7
    assert {identifier for identifier, _, _ in spans} == {"0", "1"}
    for identifier in ("0", "1"):
        own = sorted(span[1:] for span in spans if span[0] == identifier)
        for (_, end), (start, _) in itertools.pairwise(own):
            assert start >= end


def test_a_killed_process_frees_its_device(monkeypatch):
    monkeypatch.setenv(FAKE_GPUS, "1")
    holder = hold(1, 60, fakes=1)
    assert json.loads(holder.stdout.readline()) == ["fake", ["0"]]
    with pytest.raises(UserError, match="did not become free"):
        claim(1, timeout_s=0.2)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    assert claim(1, timeout_s=10).ids == ("0",)
    assert os.environ[VISIBLE] == "0"


def test_all_or_none(monkeypatch):
    monkeypatch.setenv(FAKE_GPUS, "2")
    holder = hold(1, 60)
    holder.stdout.readline()
    try:
        with pytest.raises(UserError, match="2 of 2 GPUs did not become free"):
            claim(2, timeout_s=0.2)
        other = hold(1, 0)  # the one that is left was not kept
        assert json.loads(other.communicate(timeout=60)[0].splitlines()[0]) == ["fake", ["1"]]
    finally:
        holder.kill()
        holder.communicate()


def test_cpu_modes(monkeypatch, caplog):
    assert claim(0).kind == "cpu"
    assert current_device().kind == "cpu"
    for hidden in ("", "-1", "NoDevFiles"):
        monkeypatch.setenv(VISIBLE, hidden)
        caplog.clear()
        claimed = claim(1)
        assert (claimed.kind, claimed.ids, claimed.torch_name) == ("cpu", (), "cpu")
        assert "no GPU on this machine" in caplog.text


def test_errors(monkeypatch):
    with pytest.raises(UserError, match="negative"):
        claim(-1)
    monkeypatch.setenv(VISIBLE, "0,1")
    with pytest.raises(UserError, match="3 GPUs asked for, but there are 2"):
        claim(3)
    monkeypatch.setenv(FAKE_GPUS, "two")
    with pytest.raises(UserError, match=FAKE_GPUS):
        claim(1)
    with pytest.raises(UserError, match="threads"):
        set_threads(0)


def test_slurm_devices_are_locked_within_their_job(monkeypatch, tmp_path):
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv(VISIBLE, "0,1")
    monkeypatch.setattr(pool, "has_driver", lambda: True)
    claimed = claim(1)
    assert (claimed.kind, claimed.ids) == ("cuda", ("0",))
    assert "SLURM job 77" in claimed.note
    locks = [path.name for path in Path(tmp_path).glob("hsipipe-*/*.lock")]
    assert locks == ["slurm77-gpu0.lock"]
    assert claim(1) is claimed
    with pytest.raises(UserError, match="already holds 1"):
        claim(2)


def test_a_device_of_slurm_without_a_driver_is_told_and_not_computed_on(monkeypatch, caplog):
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv(VISIBLE, "1")
    monkeypatch.setattr(pool, "has_driver", lambda: False)
    claimed = claim(1)
    assert (claimed.kind, claimed.ids, claimed.torch_name) == ("cpu", (), "cpu")
    assert "CUDA_VISIBLE_DEVICES=1 of SLURM job 77 is no device" in caplog.text
    assert "computing on the CPU" in caplog.text


def test_a_driver_is_told_by_its_device_files(tmp_path):
    (tmp_path / "nvidiactl").touch()  # the control file alone is no device
    assert not has_driver(tmp_path)
    (tmp_path / "nvidia0").touch()
    assert has_driver(tmp_path)


def test_shares_fill_a_device_and_no_more(monkeypatch):
    monkeypatch.setenv(FAKE_GPUS, "1")
    monkeypatch.setenv(FAKE_VRAM_MB, "10000")
    holders = [hold(1, 60, fakes=1, vram_mb=4000) for _ in range(2)]
    try:
        assert {holder.stdout.readline() for holder in holders} == {'["fake", ["0"]]\n'}
        with pytest.raises(UserError, match="4000 MiB on one of 1 GPUs did not become free"):
            claim(1, vram_mb=4000, timeout_s=0.2)
        with pytest.raises(UserError, match="1 of 1 GPUs did not become free"):
            claim(1, timeout_s=0.2)
        claimed = claim(1, vram_mb=2000, timeout_s=10)
        assert (claimed.ids, claimed.memory_share) == (("0",), 0.2)
        assert "a share of 2000 MiB of GPU 0" in claimed.note
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()


def test_a_killed_process_frees_its_share(monkeypatch, tmp_path):
    monkeypatch.setenv(FAKE_GPUS, "1")
    monkeypatch.setenv(FAKE_VRAM_MB, "10000")
    holder = hold(1, 60, fakes=1, vram_mb=9000)
    holder.stdout.readline()
    holder.kill()
    holder.communicate()
    assert claim(1, vram_mb=9000, timeout_s=10).memory_share == 0.9
    assert len(list(Path(tmp_path).glob("hsipipe-*/*.share-*"))) == 1


def test_a_device_is_not_shared_with_one_that_wants_it_whole(monkeypatch):
    monkeypatch.setenv(FAKE_GPUS, "2")
    holder = hold(1, 60)
    held = json.loads(holder.stdout.readline())[1]
    try:
        assert set(claim(1, vram_mb=1, timeout_s=10).ids) == {"0", "1"} - set(held)
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.parametrize(
    ("count", "vram_mb", "problem"),
    [(1, -1, "cannot be negative"), (2, 100, "a share is of one GPU"), (1, 30000, "more than any GPU here has")],
)
def test_wrong_shares(monkeypatch, count, vram_mb, problem):
    monkeypatch.setenv(FAKE_GPUS, "2")
    with pytest.raises(UserError, match=problem):
        claim(count, vram_mb=vram_mb)


LISTING = """GPU 0: NVIDIA A100 (UUID: GPU-aaaa)
  MIG 3g.20gb Device  0: (UUID: MIG-bbbb)
  MIG 3g.20gb Device  1: (UUID: MIG-cccc)
GPU 1: NVIDIA A100 (UUID: GPU-dddd)
"""


@pytest.fixture
def smi(monkeypatch, tmp_path):
    """A machine with a GPU that is divided in two and a whole one of 40,536 MiB."""
    (tmp_path / "listing").write_text(LISTING)
    program = tmp_path / "nvidia-smi"
    (tmp_path / "memory").write_text("0, 40536\n1, 40536\n")
    program.write_text(f'#!/bin/sh\nif [ "$1" = -L ]; then cat {tmp_path}/listing; else cat {tmp_path}/memory; fi\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, {"MIG-bbbb": "MIG-bbbb", "MIG-cccc": "MIG-cccc", "1": "GPU-dddd"}),
        ("1", {"1": "GPU-dddd"}),
        ("GPU-d", {"GPU-d": "GPU-dddd"}),
        ("1,GPU-dddd", {"1": "GPU-dddd"}),
        ("0", {"MIG-bbbb": "MIG-bbbb", "MIG-cccc": "MIG-cccc"}),
        ("MIG-cccc,1", {"MIG-cccc": "MIG-cccc", "1": "GPU-dddd"}),
        ("1,7,MIG-cccc", {"1": "GPU-dddd"}),
        ("", {}),
        ("-1", {}),
    ],
)
@pytest.mark.usefixtures("smi")
def test_a_device_has_one_name_however_it_is_called(monkeypatch, visible, names):
    if visible is not None:
        monkeypatch.setenv(VISIBLE, visible)
    assert find_pool().names == names


@pytest.mark.usefixtures("smi")
def test_memory_of_devices():
    pool = find_pool()
    assert pool.memory_mb() == {"MIG-bbbb": 19456, "MIG-cccc": 19456, "1": 40536}
    assert claim(1, vram_mb=15000).ids == ("1",)  # that which has most left


def test_memory_that_nobody_knows(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv(VISIBLE, "0")
    with pytest.raises(UserError, match=r"how much memory GPU 0 has \(found nvidia-smi is not installed\)"):
        claim(1, vram_mb=100)


@pytest.mark.usefixtures("smi")
def test_all_devices_can_be_claimed_together():
    assert claim(3).ids == ("MIG-bbbb", "MIG-cccc", "1")
    assert os.environ[VISIBLE] == "MIG-bbbb,MIG-cccc,1"


def test_failing_nvidia_smi_means_no_device(monkeypatch, tmp_path):
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'no driver' >&2\nexit 9\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    claimed = claim(1)
    assert claimed.kind == "cpu"
    assert "no driver" in claimed.note


def test_import_is_light():
    code = "import sys, hsipipe.devices.claim; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
