"""How SLURM ended jobs, from what SLURM 22.05 and 23.11 write."""

import os

import pytest

from hsipipe.slurm.endings import cause_of, describe, log_times, read_endings

MEMORY = """\
slurmstepd-node: error: StepId=5.0 exceeded memory limit (416538624 > 314572800), being killed
srun: Job step aborted: Waiting up to 7 seconds for job step to finish.
slurmstepd-node: error: Exceeded job memory limit
slurmstepd-node: error: *** STEP 5.0 ON node CANCELLED AT 2026-11-21T16:25:08 ***
srun: error: node: task 0: Killed
"""
CANCELLED = """\
srun: Job step aborted: Waiting up to 7 seconds for job step to finish.
slurmstepd-node: error: *** STEP 6.0 ON node CANCELLED AT 2026-11-21T16:25:16 ***
slurmstepd-node: error: *** JOB 6 ON node CANCELLED AT 2026-11-21T16:25:16 ***
srun: forcing job termination
"""
TIME = "slurmstepd-node: error: *** JOB 7 ON node CANCELLED AT 2026-11-21T16:26:40 DUE TO TIME LIMIT ***\n"
FAILED = "Traceback (most recent call last):\nRuleException:\nValueError: the memory limit of nothing was CANCELLED\n"


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (MEMORY, "memory"),
        ("error: Detected 1 oom_kill event in StepId=12.batch. Some of the step tasks have been OOM Killed.", "memory"),
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=12.0 cgroup.", "memory"),
        (CANCELLED, "cancelled"),
        (TIME, "time"),
        (CANCELLED.replace("16 ***", "16 DUE TO PREEMPTION ***"), "preemption"),
        (CANCELLED.replace("16 ***", "16 DUE TO JOB REQUEUE ***"), "requeue"),
        (CANCELLED.replace("16 ***", "16 DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***"), "node"),
        (FAILED, None),
        ("", None),
    ],
)
def test_causes(log, cause):
    assert cause_of(log) == cause


def write(folder, path, text, age_s):
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    os.utime(file, (1_000_000 - age_s, 1_000_000 - age_s))


def test_what_a_run_says_at_its_end(tmp_path):
    write(tmp_path, "rule_train_method/denoising_a_0/2.log", MEMORY, 100)
    write(tmp_path, "rule_train_method/denoising_a_0/5.log", CANCELLED, 95)  # a number that SLURM gives once more
    earlier = log_times(tmp_path)
    write(tmp_path, "rule_train_method/denoising_a_0/5.log", MEMORY, 90)
    write(tmp_path, "rule_train_method/denoising_a_0/6.log", CANCELLED, 80)
    write(tmp_path, "rule_train_method/denoising_a_0/8.log", CANCELLED, 70)
    write(tmp_path, "rule_train_method/9_2.log", TIME, 60)  # a task of an array
    write(tmp_path, "rule_run_method/denoising_a_0/10.log", FAILED, 50)
    memory, cancelled, late = describe(read_endings(tmp_path, but=earlier), profile="profile.yaml")
    assert memory.startswith("train_method (denoising_a_0) was ended because it used more memory than it had asked for")
    assert "once (SLURM job 5); 397 MB of 300; ask for more" in memory
    assert "`set-resources: {train_method: {mem_mb: 600}}` in profile.yaml" in memory
    assert cancelled.startswith("train_method (denoising_a_0) was cancelled, 2 times (SLURM job 6, 8); ")
    assert late.startswith("train_method was ended because its time was over, once (SLURM job 9_2); ")


def test_nothing_to_tell(tmp_path):
    write(tmp_path, "rule_run_method/denoising_a_0/10.log", FAILED, 50)
    assert read_endings(tmp_path) == []
    assert read_endings(tmp_path / "no-such-folder") == []
