"""The tasks: each answers five questions (prepare, fit, predict, score, draw); all run through the same rules."""

import importlib
from typing import Any


def load_task(task: str, question: str) -> Any:
    """The function of a task that answers one of the five questions, without importing the others."""
    return getattr(importlib.import_module(f"hsipipe.tasks.{task}.{question}"), question)
