"""`--device cuda`."""

from __future__ import annotations

import logging


def claim_gpu() -> str:
    """Claim a GPU; the name that torch gives it.

    Raises:
        UserError: there is none.
    """
    from hsipipe.devices.claim import claim, log
    from hsipipe.errors import UserError

    def is_no_warning(record: logging.LogRecord) -> bool:
        return record.levelno != logging.WARNING

    # Without a GPU `claim` warns and falls back to the CPU; here that is an error, told once.
    log.addFilter(is_no_warning)
    try:
        claimed = claim(1)
    finally:
        log.removeFilter(is_no_warning)
    if claimed.kind == "cpu":
        raise UserError("no GPU to compute on", key="--device cuda", found=claimed.note, remedy="leave it out")
    return claimed.torch_name
