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


@pytest.mark.parametrize("name", ["last.ckpt", "finished.pt"])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 0.999])
@pytest.mark.parametrize("cut_off", [True, False])
def test_a_damaged_state_is_never_continued_from(tmp_path, name, share, cut_off):
    torch.manual_seed(0)
    model = nn.Linear(64, 64)
    state = opened(tmp_path)
    if name == "finished.pt":
        state.finish(model, Progress(step=3))
    else:
        state.save(model, adam(model), Progress(step=3))
    path = tmp_path / name
    content = bytearray(path.read_bytes())
    place = int(share * len(content))
    content[place] ^= 1
    path.write_bytes(content[:place] if cut_off else content)
    other = nn.Linear(64, 64)
    found = opened(tmp_path).finished(other) if name == "finished.pt" else opened(tmp_path).load(other, adam(other))
    if found is None or found.step == 0:
        assert not path.exists()
    else:  # the bit that changed was none that counts
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_a_damaged_key_begins_anew(tmp_path):
    model = nn.Linear(3, 2)
    opened(tmp_path).save(model, adam(model), Progress(step=3))
    (tmp_path / "key.json").write_bytes(b'{"key": "\xff')
    assert opened(tmp_path).load(model, adam(model)).step == 0
