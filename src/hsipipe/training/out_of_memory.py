"""Tell an error of memory from others, and say which settings need less of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from hsipipe.errors import UserError
from hsipipe.training.settings import TrainingSettings

# What allocators outside torch's CUDA cache say; they raise a plain RuntimeError.
TEXTS = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory (of the GPU or of the machine) was not enough."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in TEXTS)


@contextmanager
def memory_told(during: str, settings: TrainingSettings, device: torch.device, checkpoint: Path) -> Iterator[None]:
    """Turn an error of memory within the block into one that says what to change; other errors pass.

    Args:
        during: what ran, for the message: "step 12".
        settings: those of the training, whose values the message names.
        device: where it ran.
        checkpoint: the file of the last checkpoint, which is named if it is there.

    Raises:
        UserError: memory was not enough.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        size, lines = settings.batch_size, str(error).strip().splitlines()
        fewer = "" if size == 1 else f"lower batch_size (now {size}) and raise accumulate (now {settings.accumulate}); "
        # Contrastive losses compare the samples of a batch: theirs must stay, and is computed in parts instead.
        kept = ""
        if checkpoint.exists():
            kept = f"; the same settings with more memory go on from the last checkpoint, {checkpoint}"
        raise UserError(
            f"out of memory on {device} during {during}",
            key="batch_size",
            found=lines[0] if lines else type(error).__name__,
            remedy=f"{fewer}where the method has them, micro_batch (it leaves the batch whole), checkpointing: true, "
            f"adapt: lora, a smaller patch or image_size; on a GPU precision: bfloat16 or float16{kept}",
        ) from error
