import importlib.util
import json

import pytest
import torch

from hsipipe.errors import UserError
from hsipipe.methods import find_method
from hsipipe.tasks.denoising import export
from hsipipe.tasks.denoising.export import describe, export_model, open_exported
from hsipipe.tasks.denoising.fit import sort_settings
from hsipipe.tasks.denoising.trained import load_denoiser
from hsipipe.training.model_file import save_model

NEEDS_ONNX = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in export.ONNX_PACKAGES), reason="needs the extra `export`"
)


def write_model(path, name, *, bands, **given):
    """A model file of a random network, adapters and all."""
    method = find_method("denoising", name)
    settings = method.complete(given)
    torch.manual_seed(0)
    network = method.load().build(bands=bands, **sort_settings(settings)[0])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    save_model(
        path,
        model_state=network.state_dict(),
        architecture=name,
        settings=settings,
        normaliser={"name": "band-minmax", "scope": "item"},
        wavelength_nm=[500.0 + 10 * band for band in range(bands)],
        key="abc",
        bands=bands,
        training={},
    )
    return path


@pytest.fixture
def qrnn3d(tmp_path):
    return write_model(tmp_path / "model.pt", "qrnn3d", bands=3, channels=2, depth=2)


@pytest.fixture
def vit(tmp_path):
    return write_model(tmp_path / "vit.pt", "vit", bands=5, preset="tiny", image_size=16, adapt="lora", head="conv")


def same(path, model, shape):
    noisy = torch.rand(shape, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = load_denoiser(model).network(noisy)
        assert (expected - noisy).abs().max() > 1e-3
        torch.testing.assert_close(open_exported(path)(noisy), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("ending", [".pt", ".torchscript"])
def test_a_network_of_any_size(qrnn3d, tmp_path, ending):
    output = tmp_path / "deep" / f"network{ending}"
    exported = export_model(qrnn3d, output, size=8)
    assert exported.difference <= 1e-6
    assert exported.size_bytes == output.stat().st_size
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    told = describe(output)
    assert told == exported.description
    # The sweep along the bands is unrolled; image and batch stay free.
    assert told["fixed"] == {"bands": 3}
    assert told["free"] == {"batch": 1, "rows": 1, "cols": 1}
    assert (told["architecture"], told["bands"], told["tile"]) == ("qrnn3d", 3, None)
    assert told["wavelength_nm"] == [500.0, 510.0, 520.0]
    assert told["range"] == [0.0, 1.0]
    assert "to [0, 1]" in told["normalisation"]
    for shape in ((1, 3, 8, 8), (2, 3, 13, 21)):
        same(output, qrnn3d, shape)


@pytest.mark.parametrize("ending", [".pt", ".pt2", pytest.param(".onnx", marks=NEEDS_ONNX)])
def test_a_convolutional_network_takes_any_number_of_bands(tmp_path, ending):
    model = write_model(tmp_path / "model.pt", "denet3d", bands=4, channels=2)
    output = tmp_path / f"network{ending}"
    exported = export_model(model, output, size=8)
    assert exported.difference <= 1e-6
    assert describe(output) == exported.description
    assert exported.description["free"] == {"batch": 1, "bands": 1, "rows": 1, "cols": 1}
    assert exported.description["fixed"] == {}
    same(output, model, (3, 7, 9, 14))


@NEEDS_ONNX
def test_onnx_of_a_recurrent_network(tmp_path):
    model = write_model(tmp_path / "model.pt", "qrnn3d", bands=2, channels=1, depth=1)
    exported = export_model(model, tmp_path / "network.onnx", size=8)
    assert exported.difference <= 1e-6
    same(tmp_path / "network.onnx", model, (1, 2, 11, 9))


def test_sizes_that_must_be_multiples_are_found():
    def exported(noisy):
        assert noisy.shape[2] % 4 == 0, "a guard"
        return noisy if noisy.shape[0] == 2 else noisy + 1

    example = torch.rand(2, 3, 8, 8)
    free = export._free_axes(exported, torch.nn.Identity(), example, ["batch", "rows", "cols"])
    assert free == {"rows": 4, "cols": 1}


def test_torchscript_runs_with_torch_alone(qrnn3d, tmp_path):
    export_model(qrnn3d, tmp_path / "network.pt", size=8)
    entries = {"hsipipe.json": ""}
    network = torch.jit.load(tmp_path / "network.pt", _extra_files=entries)
    assert json.loads(entries["hsipipe.json"])["bands"] == 3
    # Also where gradients are recorded, as they are unless someone says otherwise.
    assert network(torch.rand(1, 3, 12, 10)).shape == (1, 3, 12, 10)


@NEEDS_ONNX
def test_onnx_of_a_transformer_with_adapters(vit, tmp_path):
    output = tmp_path / "network.onnx"
    exported = export_model(vit, output)
    assert exported.difference <= 1e-5
    told = describe(output)
    assert told == exported.description
    assert (told["tile"], told["bands"]) == (16, 5)
    assert {"bands": 5, "rows": 16, "cols": 16}.items() <= told["fixed"].items()
    same(output, vit, (1, 5, 16, 16))
    import onnx

    onnx.checker.check_model(output)
    assert not [name for name in (tensor.name for tensor in onnx.load(output).graph.initializer) if "lora" in name]


def test_torchscript_of_a_transformer_on_four_bits(tmp_path):
    pytest.importorskip("bitsandbytes")
    model = write_model(tmp_path / "model.pt", "vit", bands=5, preset="tiny", image_size=16, adapt="qlora", head="skip")
    exported = export_model(model, tmp_path / "network.pt")
    assert exported.difference <= 1e-5
    names = list(torch.jit.load(tmp_path / "network.pt").state_dict())
    assert not [name for name in names if "lora" in name or "packed" in name]
    same(tmp_path / "network.pt", model, (1, 5, 16, 16))


def test_an_export_that_differs_is_not_kept(qrnn3d, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(RuntimeError, match="differs from the trained one"):
        export_model(qrnn3d, tmp_path / "network.pt", size=8)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pt"]


def test_a_network_that_torch_cannot_export(qrnn3d, tmp_path, monkeypatch):
    def refuse(*_):
        raise ValueError("no such operator\nand a long story")

    monkeypatch.setitem(export._WRITERS, export.TORCHSCRIPT, refuse)
    with pytest.raises(RuntimeError, match=r"cannot export qrnn3d to TorchScript: no such operator$"):
        export_model(qrnn3d, tmp_path / "network.pt")
    assert not (tmp_path / "network.pt").exists()


def test_a_network_that_fits_itself_to_each_image(tmp_path):
    """A trace would hold the noise level, rank and axes of the example for constants."""
    given = {"components": 2, "channels": 2, "blocks": 1, "effort": "fast"}
    model = write_model(tmp_path / "model.pt", "eigenfilter", bands=4, **given)
    with pytest.raises(UserError, match="eigenfilter fits what it computes to each image"):
        export_model(model, tmp_path / "network.pt")
    assert not (tmp_path / "network.pt").exists()


def test_what_depends_on_the_image_is_no_constant(qrnn3d, tmp_path, monkeypatch):
    """Of a network whose graph holds the example's own mean: right for the example, wrong for all others."""

    class Centred(torch.nn.Module):
        bands, tile = 3, 8

        def forward(self, noisy):
            return noisy - float(noisy.mean())

    loaded = load_denoiser(qrnn3d)
    loaded.network = Centred()
    monkeypatch.setattr("hsipipe.tasks.denoising.trained.load_denoiser", lambda *_: loaded)
    monkeypatch.setattr(export, "_candidates", lambda _: [])
    with pytest.raises(RuntimeError, match="differs from the trained one"):
        export_model(qrnn3d, tmp_path / "network.pt")
    assert not (tmp_path / "network.pt").exists()


def test_mistakes(qrnn3d, vit, tmp_path, monkeypatch):
    before = qrnn3d.read_bytes()
    with pytest.raises(UserError, match="is the trained model itself"):
        export_model(qrnn3d, tmp_path / ".." / tmp_path.name / "model.pt")
    assert qrnn3d.read_bytes() == before
    with pytest.raises(UserError, match=r"unknown format of exports '.onx'; did you mean '.onnx'"):
        export_model(qrnn3d, tmp_path / "network.onx")
    with pytest.raises(UserError, match="size: must be at least 1"):
        export_model(qrnn3d, tmp_path / "network.pt", size=0)
    with pytest.raises(UserError, match="size: must be 16, the side"):
        export_model(vit, tmp_path / "network.pt", size=32)
    with pytest.raises(UserError, match="no such file"):
        export_model(tmp_path / "other.pt", tmp_path / "network.pt")
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else found(name))
    with pytest.raises(UserError, match=r"ONNX needs onnxscript; pip install \"hsipipe\[export\]\""):
        export_model(qrnn3d, tmp_path / "network.onnx")
