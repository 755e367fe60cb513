import json

import pytest
import torch

from hsipipe.cli import main
from hsipipe.methods import find_method
from hsipipe.tasks.denoising.fit import sort_settings
from hsipipe.training.model_file import save_model


@pytest.fixture
def model(tmp_path):
    method = find_method("denoising", "qrnn3d")
    settings = method.complete({"channels": 2, "depth": 1})
    torch.manual_seed(0)
    network = method.load().build(bands=3, **sort_settings(settings)[0])
    save_model(
        tmp_path / "model.pt",
        model_state=network.state_dict(),
        architecture="qrnn3d",
        settings=settings,
        normaliser={"name": "band-minmax", "scope": "item"},
        wavelength_nm=None,
        key="abc",
        bands=3,
        training={},
    )
    return tmp_path / "model.pt"


def test_export_tells_what_it_wrote(model, tmp_path, capsys):
    output = tmp_path / "network.pt"
    assert main(["export", str(model), str(output), "--size", "8"]) == 0
    told = capsys.readouterr().out
    assert f"{output}: TorchScript" in told
    assert "free sizes: batch, rows, cols; fixed: bands = 3" in told
    assert "largest difference from the trained model: " in told
    assert torch.jit.load(output)(torch.rand(1, 3, 9, 7)).shape == (1, 3, 9, 7)


def test_export_as_json(model, tmp_path, capsys):
    assert main(["export", str(model), str(tmp_path / "network.torchscript"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] == (tmp_path / "network.torchscript").stat().st_size
    assert told["largest_difference"] <= 1e-6
    assert (told["wavelength_nm"], told["fixed"]) == (None, {"bands": 3})


def test_mistakes_are_told_in_one_line(model, capsys):
    assert main(["export", str(model), str(model)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "is the trained model itself" in error
    assert error.count("\n") == 1
