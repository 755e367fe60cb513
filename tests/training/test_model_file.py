import os
import pickle

import numpy as np
import pytest
import torch

from hsipipe.errors import UserError
from hsipipe.training.model_file import load_model, save_model


def write(path, **changes):
    torch.manual_seed(0)
    given = {
        "model_state": torch.nn.Linear(3, 2).state_dict(),
        "architecture": "qrnn3d",
        "settings": {"channels": 8, "step_epochs": (40, 45), "clip": None},
        "normaliser": {"low": np.zeros(3, np.float32), "name": "min-max"},
        "wavelength_nm": [400.0, 500.0, 450.0],
        "key": "abc",
        "history": [{"epoch": 1, "loss": np.float32(0.5)}],
        "seed": 3,
    }
    save_model(path, **{**given, **changes})


def test_round_trip(tmp_path):
    path = tmp_path / "deep" / "model.pt"
    write(path)
    content = load_model(path, architecture="qrnn3d")
    torch.manual_seed(0)
    for name, value in torch.nn.Linear(3, 2).state_dict().items():
        assert torch.equal(content["model_state"][name], value)
    assert content["settings"] == {"channels": 8, "step_epochs": [40, 45], "clip": None}
    assert isinstance(content["normaliser"]["low"], np.ndarray)
    assert content["normaliser"]["low"].dtype == np.float32
    np.testing.assert_array_equal(content["wavelength_nm"], [400.0, 500.0, 450.0])
    assert content["wavelength_nm"].dtype == np.float64
    assert content["history"] == [{"epoch": 1, "loss": 0.5}]
    assert (content["key"], content["seed"], content["architecture"]) == ("abc", 3, "qrnn3d")
    write(path, wavelength_nm=None, normaliser=None)
    assert load_model(path)["wavelength_nm"] is None


def test_equal_models_are_equal_files(tmp_path):
    write(tmp_path / "a.pt")
    write(tmp_path / "b.pt")
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_a_view_does_not_store_its_base(tmp_path):
    write(tmp_path / "view.pt", model_state={"w": torch.zeros(1000, 1000)[0]})
    assert (tmp_path / "view.pt").stat().st_size < 20_000


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_other_files_are_refused_and_nothing_is_run(tmp_path):
    path = tmp_path / "model.pt"
    with pytest.raises(UserError, match="no such file"):
        load_model(path)
    path.write_text("not a model")
    with pytest.raises(UserError, match="is not a model file"):
        load_model(path)
    torch.save({"evil": Evil(tmp_path / "run")}, path)
    with pytest.raises(UserError, match="holds Python objects"):
        load_model(path)
    path.write_bytes(pickle.dumps(Evil(tmp_path / "run")))
    with pytest.raises(UserError, match="is not a model file"):
        load_model(path)
    assert not (tmp_path / "run").exists()
    torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(UserError, match="no format entry"):
        load_model(path)
    torch.save(torch.zeros(2), path)
    with pytest.raises(UserError, match="found Tensor"):
        load_model(path)
    np.savez(tmp_path / "array.npz", a=np.zeros(3))
    with pytest.raises(UserError, match="is not a model file"):
        load_model(tmp_path / "array.npz")
    write(path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(UserError, match="cut off"):
        load_model(path)
    torch.save({"format": "hsipipe-model-1", "model_state": {}}, path)
    with pytest.raises(UserError, match="not complete"):
        load_model(path)


def test_another_architecture(tmp_path):
    write(tmp_path / "model.pt")
    with pytest.raises(UserError, match="qrnn3d"):
        load_model(tmp_path / "model.pt", architecture="hsdt")


def test_unstorable_values_leave_nothing(tmp_path):
    with pytest.raises(TypeError, match=r"settings\.thing"):
        write(tmp_path / "model.pt", settings={"thing": object()})
    assert list(tmp_path.iterdir()) == []
