"""The profile for SLURM: what it promises of itself."""

from pathlib import Path

import yaml

from hsipipe.slurm.partitions import read_partitions

ROOT = Path(__file__).parent.parent.parent
PROFILE = ROOT / "profiles/slurm/profile.yaml"


def test_it_offers_gpus_in_one_partition_and_none_in_another():
    cpu, gpu = read_partitions(PROFILE)
    assert cpu.gpu == 0
    assert gpu.gpu > 0


def test_what_it_shares_with_the_default_profile_is_the_same():
    here = yaml.safe_load(PROFILE.read_text())
    default = yaml.safe_load((ROOT / "profiles/default/profile.yaml").read_text())
    shared = ["rerun-incomplete", "keep-going", "nolock", "rerun-triggers", "show-failed-logs", "quiet"]
    assert {key: here[key] for key in shared} == {key: default[key] for key in shared}


def test_every_setting_is_explained():
    """Each setting of SLURM has a comment above it, or stands under one that covers it."""
    lines = PROFILE.read_text().split("# ---- SLURM")[1].split("# ---- As in")[0].splitlines()[1:]
    settings = [index for index, line in enumerate(lines) if line and not line.startswith(("#", " "))]
    assert settings
    assert [lines[index] for index in settings if not lines[index - 1].startswith("#")] == []


def test_needs_grow_in_the_rules_and_retries_stand_in_the_profile():
    """Retries in a rule would also be applied within its job, in its allocation; those of downloads are local."""
    rules = {path.name: path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")}
    for name, text in rules.items():
        for rule in text.split("\nrule ")[1:]:
            assert "retries:" not in rule or "localrule: True" in rule, f"{name}: {rule.splitlines()[0]}"
    assert yaml.safe_load(PROFILE.read_text())["retries"] > 0
