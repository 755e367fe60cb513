import pytest
import torch
from torch import nn

from hsipipe.errors import UserError
from hsipipe.training.state import Progress, StateFolder


def opened(folder):
    return StateFolder(folder, {"key": "k"})


def adam(model):
    return torch.optim.Adam(model.parameters())


def test_weights_of_another_architecture_are_told(tmp_path):
    small, wide = nn.Linear(3, 2), nn.Linear(3, 4)
    opened(tmp_path).save(small, adam(small), Progress(step=3))
    with pytest.raises(
        UserError, match=r"last.ckpt: .*another architecture \(found size mismatch for weight"
    ) as raised:
        opened(tmp_path).load(wide, adam(wide))
    assert f"remove the folder {tmp_path}" in str(raised.value)
    opened(tmp_path).finish(small, Progress(step=3))
    with pytest.raises(UserError, match=r"finished.pt: .*another architecture"):
        opened(tmp_path).finished(wide)
    with pytest.raises(UserError, match="Missing key"):
        opened(tmp_path).finished(nn.Sequential(nn.Linear(3, 2)))


def test_an_optimiser_of_other_groups_is_told(tmp_path):
    model = nn.Linear(3, 2)
    opened(tmp_path).save(model, adam(model), Progress(step=3))
    groups = torch.optim.Adam([{"params": [model.weight]}, {"params": [model.bias]}])
    with pytest.raises(UserError, match="different number of parameter groups"):
        opened(tmp_path).load(model, groups)


def test_a_file_that_lacks_parts_is_told(tmp_path):
    model = nn.Linear(3, 2)
    opened(tmp_path)
    torch.save({"format": "hsipipe-training-1", "model": model.state_dict()}, tmp_path / "last.ckpt")
    with pytest.raises(UserError, match="found 'optimizer'"):
        opened(tmp_path).load(model, adam(model))
