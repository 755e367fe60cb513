"""Partitions of profiles and sites, and jobs that fit none."""

import math

import pytest

from hsipipe.errors import UserError
from hsipipe.slurm.needs import Need, check_array, check_needs, grown, need_of
from hsipipe.slurm.partitions import Partition, minutes, narrow, parse_sinfo, read_partitions
from hsipipe.slurm.site import ask, check_status_command

SINFO = """\
cpu|1-00:00:00|190000|64|(null)
cpu|1-00:00:00|380000+|32|(null)
gpu|2-00:00:00|515000|48|gpu:a100:4(S:0-1),nvme:1
gpu|2-00:00:00|515000|48|gpu:h100:2,gpu:mig:7
long|infinite|190000|64|gpu:8
"""


@pytest.fixture
def site():
    return parse_sinfo(SINFO.splitlines())


def test_what_sinfo_lists(site):
    assert site["cpu"] == Partition("cpu", 1440, 380000, 64, 0)
    assert site["gpu"] == Partition("gpu", 2880, 515000, 48, 9, frozenset({"a100", "h100", "mig"}))
    assert site["long"] == Partition("long", math.inf, 190000, 64, 8)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("infinite", math.inf),
        (90, 90),
        ("2-00:00:00", 2880),
        ("1:30:00", 90),
        ("30:00", 30),
        ("12h", 720),
        ("2d", 2880),
    ],
)
def test_time_limits(written, meant):
    assert minutes(written) == meant


def test_no_time_limit():
    with pytest.raises(UserError, match=r"is no time limit.*soon"):
        minutes("soon")


def profile(tmp_path, text):
    path = tmp_path / "profile.yaml"
    path.write_text(text)
    return path


def test_a_profile_is_narrowed_by_the_site(tmp_path, site):
    file = profile(tmp_path, "partitions: {gpu: {max_runtime: 1-00:00:00, max_gpu: 16}, cpu: }")
    gpu, cpu = narrow(read_partitions(file), site, file=file)
    assert (gpu.runtime, gpu.mem_mb, gpu.gpu) == (1440, 515000, 9)
    assert gpu.gpu_models == {"a100", "h100", "mig"}
    assert cpu == Partition("cpu", 1440, 380000, 64, 0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("partitions: {gpus: {}}", "partitions: unknown partition 'gpus'; did you mean 'gpu'.*cpu, gpu, long"),
        ("partitions: {gpu: {max_gpus: 4}}", "unknown limit of partition gpu 'max_gpus'; did you mean 'max_gpu'"),
        ("partitions: {}", "partitions: names no partition"),
        ("executor: slurm", "partitions: names no partition"),
    ],
)
def test_mistakes_in_a_profile(tmp_path, site, text, told):
    file = profile(tmp_path, text)
    with pytest.raises(UserError, match=told) as caught:
        narrow(read_partitions(file), site, file=file)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


PARTITIONS = [Partition("cpu", 1440, 100_000, 64), Partition("gpu", 2880, 200_000, 32, 4, frozenset({"a100"}))]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"gpu": 8}, r"train_method \(denoising/x\) asks for 8 GPU\(s\), and no partition has more than 4"),
        ({"gpu": 1, "runtime": 5000}, "asks for 5000 minutes, and no partition has more than 2880"),
        ({"gpu": 1, "threads": 64}, "64 cores, and no partition has more than 32.*set-threads: {train_method: 32}"),
        ({"mem_mb": 300_000}, "asks for 300000 MB.*more than 200000.*set-resources: {train_method: {mem_mb: 200000}}"),
        ({"gpu": 1, "gpu_model": "a10"}, "unknown gpu_model 'a10'; did you mean 'a100'"),
        ({"partition": "gpuu"}, "slurm_partition of train_method: unknown partition 'gpuu'; did you mean 'gpu'"),
        ({"partition": "cpu", "gpu": 1}, "asks for 1 GPU.*more than 0"),
    ],
)
def test_jobs_that_fit_nowhere(asked, told):
    site = {each.name: each for each in PARTITIONS}
    with pytest.raises(UserError, match=told) as caught:
        check_needs([Need("train_method", "denoising/x", **asked)], PARTITIONS, site, file="profile.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "asked",
    [
        {"gpu": 4, "runtime": 2880, "mem_mb": 200_000},
        {"gpu": 8, "nodes": 2},
        {"gpu": 1, "gpu_model": "a100"},
        {"gpu": 0, "gpu_model": "none-of-these", "threads": 64},
        {"partition": "cpu"},
    ],
)
def test_jobs_that_fit(asked):
    site = {each.name: each for each in PARTITIONS}
    check_needs([Need("train_method", "x", **asked)], PARTITIONS, site, file="profile.yaml")


@pytest.mark.parametrize(
    ("first", "attempt", "name", "gpu", "asked"),
    [
        (600, 1, "runtime", 0, 600),
        (600, 2, "runtime", 0, 1200),
        (600, 3, "runtime", 1, 1800),
        (1440, 3, "runtime", 1, 2880),  # no partition has more
        (64_000, 2, "mem_mb", 0, 128_000),
        (3000, 2, "runtime", 1, 3000),  # refused before anything is submitted; growth makes it no smaller
        (600, 9, "runtime", 5, 5400),  # no partition has five GPUs; that is told elsewhere
    ],
)
def test_needs_grow_to_what_partitions_have(first, attempt, name, gpu, asked):
    found = grown(first, attempt, name, gpu, PARTITIONS)
    assert (found, type(found)) == (asked, int)


def test_needs_grow_without_end_where_there_are_no_partitions():
    assert grown(600, 9, "runtime", 1, []) == 5400


def test_a_need_is_read_from_the_resources_of_a_job():
    resources = {"mem_mb": 500, "runtime": 20, "gpu": 1, "tmpdir": "/tmp", "disk_mb": "<TBD>", "slurm_partition": "gpu"}
    need = need_of("run_method", ["denoising", "a", 0], 2, resources)
    assert need == Need("run_method", "denoising/a/0", 2, 500, 20, 1, partition="gpu")
    assert need_of("run_method", [], 1, {"mem_mb": "<TBD>"}).mem_mb == 0


def test_an_array_needs_equal_tasks():
    needs = [Need("train_method", "a", mem_mb=100), Need("train_method", "b", mem_mb=200), Need("run_method", "c")]
    with pytest.raises(UserError, match=r"slurm-array-jobs: jobs of train_method differ.*mem_mb 200 for b, 100 for a"):
        check_array(needs, "train_method", 9, file="profile.yaml")
    with pytest.raises(UserError, match="differ"):
        check_array(needs, "all", 9, file="profile.yaml")
    with pytest.raises(UserError, match=r"jobs: job arrays need all jobs.*found 2.*set jobs to 3 or more"):
        check_array(needs, "run_method", 2, file="profile.yaml")
    check_array(needs, "run_method", 9, file="profile.yaml")
    check_array([needs[0], needs[0]], "run_method, train_method", 2, file="profile.yaml")


NO_ACCOUNTS = {"AccountingStorageType": "accounting_storage/none", "MinJobAge": "300 sec"}
ACCOUNTS = {"AccountingStorageType": "accounting_storage/slurmdbd", "MinJobAge": "300 sec"}


@pytest.mark.parametrize(
    ("settings", "command", "first_look_s", "told"),
    [
        (NO_ACCOUNTS, "sacct", 30, "keeps no accounts.*write squeue"),
        (ACCOUNTS | {"MinJobAge": "60 sec"}, "squeue", 30, "forgets a job 60 s after its end.*180 s later.*sacct"),
        (ACCOUNTS, "squeue", 120, "300 s.*360 s later.*set slurm-init-seconds-before-status-checks to 60"),
    ],
)
def test_ways_to_wait_for_ever(settings, command, first_look_s, told):
    with pytest.raises(UserError, match=told):
        check_status_command(settings, command, first_look_s, file="profile.yaml")


@pytest.mark.parametrize(("settings", "command"), [(NO_ACCOUNTS, "squeue"), (ACCOUNTS, "sacct"), ({}, "squeue")])
def test_ways_to_watch_the_queue(settings, command):
    check_status_command(settings, command, 30, file="profile.yaml")


def test_no_slurm_here():
    with pytest.raises(UserError, match=r"no-such-command: SLURM is not on this machine.*login node"):
        ask("no-such-command")
    with pytest.raises(UserError, match="SLURM does not answer"):
        ask("false")
