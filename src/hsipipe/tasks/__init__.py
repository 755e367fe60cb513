"""The tasks: each answers six questions (prepare, fit, predict, score, draw, explore); the rules are the same for all.

A folder for each. In it: `settings` (what a config says of a case, and which step reads which key), a file for each
question, `methods` with a folder for each method, `shared` mathematics, `figures`. Begin with `denoising`, the
simplest; `case_file` and `predictions` here are what cases and runs of all tasks have in common.
"""

import importlib
from typing import Any


def load_task(task: str, question: str) -> Any:
    """The function of a task that answers one of the six questions, without importing the others."""
    return getattr(importlib.import_module(f"hsipipe.tasks.{task}.{question}"), question)
