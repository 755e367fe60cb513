import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import h5py
import pytest

from hsipipe.errors import UserError
from hsipipe.jobs.job import disk_error, disk_told, job, job_lock
from hsipipe.provenance.steps import Steps

SCORES = "results/denoising/c/svd/seed0/scores.csv"


class Named(list):
    """Files as Snakemake hands them to a script: a list, with names."""

    def __init__(self, **files):
        super().__init__(files.values())
        self.items = files.items


def given(**inputs):
    return SimpleNamespace(
        rule="run_method",
        log=["log.txt"],
        input=Named(**inputs),
        output=Named(scores=SCORES),
        params={"key": "k"},
        wildcards={},
        threads=1,
    )


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(SCORES).parent.mkdir(parents=True)


def test_a_job_prints_to_its_log_and_is_recorded(capsys):
    with job(given()):
        print("at work")
        Path(SCORES).write_text("1")
    assert Path("log.txt").read_text() == "at work\n"
    assert capsys.readouterr().out == ""
    assert Steps().making(SCORES).step == "run_method"


def test_what_killed_processes_left_is_removed_and_nothing_else():
    run = Path(SCORES).parent
    (run / ".steps").mkdir()
    left = [run / ".scores.0123abcd.csv", run / ".steps/.run_method-scores.0123abcd.json"]
    kept = [run / ".other.0123abcd.csv", run / ".scores.csv"]
    for path in (*left, *kept):
        path.write_text("half")
    with job(given()):
        Path(SCORES).write_text("1")
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)


def test_a_full_disk_is_one_line_with_what_to_do(capsys):
    with pytest.raises(SystemExit) as ended, job(given()):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), SCORES)
    assert ended.value.code == 2
    line = f"error: {SCORES}: writing failed: no space left on device; make room on the disk, then start again"
    assert capsys.readouterr().err.startswith(line)
    assert Path("log.txt").read_text().startswith(line)
    assert Steps().making(SCORES) is None


def test_an_error_of_the_disk_is_found_behind_others():
    wrapped = RuntimeError("the archive cannot be written")
    wrapped.__cause__ = OSError(errno.EROFS, "read-only")
    assert disk_error(wrapped) == errno.EROFS
    told = "unable to extend file (file write failed: errno = 28, error message = 'No space left on device')"
    assert disk_error(RuntimeError(told)) == errno.ENOSPC
    assert disk_error(RuntimeError("errno = 2, error message = 'No such file or directory'")) is None
    assert disk_error(FileNotFoundError(errno.ENOENT, "gone")) is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_told_whichever_library_writes():
    with pytest.raises(UserError, match="no space left"), disk_told(), open("/dev/full", "wb", buffering=0) as file:
        file.write(b"1")
    limited = """
import resource, signal, h5py, numpy
from hsipipe.jobs.job import disk_error
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    with h5py.File("big.h5", "w") as file:
        file["x"] = numpy.zeros(100000)
except Exception as error:
    print(disk_error(error))
"""
    answer = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, check=False)
    assert answer.stdout.split()[:1] == [str(errno.EFBIG)], answer.stderr


def test_other_errors_are_left_as_they_are():
    with pytest.raises(ValueError, match="a mistake of ours"), job(given()):
        raise ValueError("a mistake of ours")
    assert "Traceback" in Path("log.txt").read_text()


def test_an_input_that_was_changed_stops_the_job(capsys):
    with job(given()):
        Path(SCORES).write_text("1")
    Path(SCORES).write_text("2")
    later = given(scores=SCORES)
    later.output = Named(table="results/papers/p/tables/t.csv")
    with pytest.raises(SystemExit), job(later):
        raise AssertionError
    assert f"rm {SCORES}" in capsys.readouterr().err


WORKER = """
import sys, time
from pathlib import Path
from tests_job import given
from hsipipe.jobs.job import job
with job(given()):
    print("began", file=sys.__stdout__, flush=True)
    time.sleep(float(sys.argv[1]))
    Path(given().output[0]).write_text(sys.argv[1])
"""


def test_two_processes_never_do_the_same_job_at_once(monkeypatch):
    Path("tests_job.py").write_text(Path(__file__).read_text())
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.getcwd(), *sys.path]))

    def start(seconds):
        return subprocess.Popen([sys.executable, "-c", WORKER, seconds], stdout=subprocess.PIPE, text=True)

    left_over = start("1000")
    assert left_over.stdout.readline() == "began\n"
    second = start("0")
    assert job_lock([SCORES]).exists()
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(1)
    os.kill(left_over.pid, signal.SIGKILL)
    left_over.wait()
    assert second.wait(60) == 0
    assert Path(SCORES).read_text() == "0"


def test_hdf5_tells_a_file_that_is_not_there_as_such():
    with pytest.raises(FileNotFoundError), disk_told():
        h5py.File("gone.h5")
