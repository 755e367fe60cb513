import pytest
import torch
from test_loop import draw_batch, make_model, train
from torch import nn

from hsipipe.errors import UserError
from hsipipe.training.out_of_memory import is_out_of_memory


class Full(nn.Module):
    """A network for which memory ends at its `last`-th pass."""

    def __init__(self, error, last):
        super().__init__()
        self.inner, self.error, self.left = make_model(), error, last

    def forward(self, inputs):
        self.left -= 1
        if self.left < 0:
            self.error()
        return self.inner(inputs)


def cuda_is_full():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore about it.")


def python_is_full():
    raise MemoryError


def allocate_too_much():
    torch.empty(2**55)  # no machine has it: the real error of the CPU's allocator


@pytest.mark.parametrize("error", [cuda_is_full, python_is_full, allocate_too_much])
def test_names_the_step_and_what_to_change(tmp_path, error):
    # two batches a step: memory ends within the third step
    with pytest.raises(UserError, match=r"out of memory on cpu during step 2") as raised:
        train(tmp_path, model=Full(error, 5), check=None, checkpoint_every_s=0)
    text = str(raised.value)
    for part in ("lower batch_size (now 8) and raise accumulate (now 2)", "checkpointing: true", "adapt: lora"):
        assert part in text
    assert str(tmp_path / "last.ckpt") in text
    assert "More about it" not in text
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert kept["progress"]["step"] == 2
    resumed = train(tmp_path, model=Full(error, 100), check=None)
    assert resumed.resumed_from == 2


def test_validation_counts_as_well(tmp_path):
    with pytest.raises(UserError, match="during validation of epoch 1"):
        train(tmp_path, check=lambda _: cuda_is_full())


def test_a_single_sample_cannot_be_fewer(tmp_path):
    with pytest.raises(UserError, match="image_size") as raised:
        train(tmp_path, model=Full(cuda_is_full, 0), batch_size=1)
    assert "lower batch_size" not in str(raised.value)
    assert "last.ckpt" not in str(raised.value)  # there is none


def test_other_errors_pass(tmp_path):
    def broken(number, device):
        if number == 3:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        return draw_batch(number, device)

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        train(tmp_path, draw=broken)
    assert not is_out_of_memory(ValueError("DefaultCPUAllocator: can't allocate memory"))
