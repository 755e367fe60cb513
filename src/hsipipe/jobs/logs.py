"""Logging: one format for scripts and the command line."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from hsipipe.errors import UserError

FORMAT = "%(levelname)s %(message)s"


@contextmanager
def job_log(path: str) -> Iterator[None]:
    """Send all that a script prints to its log file; a `UserError` also goes to the terminal and exits 2."""
    terminal = sys.stderr
    with open(path, "w", encoding="utf-8", buffering=1) as file:
        sys.stdout = sys.stderr = file
        logging.basicConfig(stream=file, level=logging.INFO, format=FORMAT, force=True)
        try:
            yield
        except UserError as error:
            print(f"error: {error}", file=file)
            print(f"error: {error}", file=terminal)
            raise SystemExit(2) from None
        except Exception:
            traceback.print_exc(file=file)
            raise
        finally:
            sys.stdout, sys.stderr = sys.__stdout__, terminal
