"""What SLURM says of its site. The commands of SLURM are asked; nothing is submitted."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from hsipipe.errors import UserError
from hsipipe.slurm.partitions import Partition, parse_sinfo

ANSWER_WITHIN_S = 60
LONGEST_PAUSE_S = 180  # of the executor plugin, between two looks at the queue


def ask(*command: str) -> str:
    """What a command of SLURM prints.

    Raises:
        UserError: it is not there, or does not work.
    """
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_WITHIN_S, check=False)
    except FileNotFoundError:
        remedy = "run this on a login node, where SLURM is; or without the profile"
        raise UserError("SLURM is not on this machine", key=command[0], remedy=remedy) from None
    except subprocess.TimeoutExpired:
        remedy = "try again later"
        raise UserError(f"SLURM does not answer within {ANSWER_WITHIN_S} s", key=command[0], remedy=remedy) from None
    if answer.returncode != 0:
        said = next(iter(answer.stderr.strip().splitlines()), f"exit status {answer.returncode}")
        raise UserError("SLURM does not answer", key=command[0], found=said[:200], remedy="run this on a login node")
    return answer.stdout


def site_partitions() -> dict[str, Partition]:
    """All partitions of the site, by name."""
    return parse_sinfo(ask("sinfo", "--exact", "--noheader", "--format", "%R|%l|%m|%c|%G").splitlines())


def site_settings() -> dict[str, str]:
    """SLURM's own settings, by name."""
    pairs = (line.partition("=") for line in ask("scontrol", "show", "config").splitlines())
    return {name.strip(): value.strip() for name, mark, value in pairs if mark}


def check_status_command(settings: Mapping[str, str], command: str, first_look_s: int, *, file: str | Path) -> None:
    """Refuse a way to watch the queue by which a run would wait for ever.

    Args:
        settings: of SLURM, by name.
        command: the profile's slurm-status-command, squeue or sacct.
        first_look_s: its slurm-init-seconds-before-status-checks.
        file: the profile, for the message.

    Raises:
        UserError: `sacct` without accounting, or `squeue` where jobs are forgotten before they are looked at.
    """
    key = "slurm-status-command"
    if command == "sacct":
        if settings.get("AccountingStorageType", "").endswith("/none"):
            raise UserError("this site keeps no accounts", file=file, key=key, found=command, remedy="write squeue")
        return
    kept_s = _seconds(settings.get("MinJobAge", ""))
    needed_s = max(LONGEST_PAUSE_S, 3 * first_look_s)
    if kept_s is not None and kept_s < needed_s:
        remedy = "write sacct"
        if 3 * first_look_s > max(LONGEST_PAUSE_S, kept_s):
            remedy = f"set slurm-init-seconds-before-status-checks to {LONGEST_PAUSE_S // 3}, or write sacct"
        message = f"squeue forgets a job {kept_s} s after its end, and is asked up to {needed_s} s later"
        raise UserError(message, file=file, key=key, found=command, remedy=remedy)


def _seconds(value: str) -> int | None:
    """`300 sec`, in seconds; None for what is no time."""
    number = value.split()[0] if value else ""
    return int(number) if number.isdigit() else None
