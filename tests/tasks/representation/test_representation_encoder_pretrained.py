"""Weights from files and from timm, and how a first layer of three channels is spread over bands."""

import logging
import subprocess
import sys

import numpy as np
import pytest
import torch

from hsipipe.errors import UserError
from hsipipe.tasks.representation.shared.backbones import build_backbone
from hsipipe.tasks.representation.shared.encoder import build_encoder
from hsipipe.tasks.representation.shared.response import by_wavelength, tiled

BIL_NM = 348.3931 + 1.1332 * np.arange(408)


@pytest.mark.parametrize("bands", [1, 2, 4, 9, 50, 408])
def test_tiling_is_the_rule_of_timm(bands):
    from timm.models._manipulate import adapt_input_conv

    weight = torch.rand(5, 3, 2, 2)
    ours = torch.einsum("oihw,ci->ochw", weight, torch.from_numpy(tiled(bands)).float())
    torch.testing.assert_close(ours, adapt_input_conv(bands, weight))


@pytest.mark.parametrize(
    "wavelength_nm", [BIL_NM, BIL_NM[::45], [550.0], [900.0, 1600.0], [460.0, 450.0, 440.0, 2200.0], BIL_NM[::-1]]
)
def test_weights_by_wavelength_keep_grey(wavelength_nm):
    matrix = by_wavelength(np.asarray(wavelength_nm))
    np.testing.assert_allclose(matrix.sum(axis=0), 1, rtol=1e-12)
    assert (matrix >= 0).all()


def test_weights_by_wavelength_know_the_colours():
    matrix = by_wavelength(np.array([460.0, 540.0, 610.0, 950.0, 1650.0]))
    assert matrix[:3].argmax(axis=1).tolist() == [2, 1, 0]
    # Outside the visible the share of each colour is that of its sum over all bands, the same for both bands.
    np.testing.assert_allclose(matrix[3], matrix[4], rtol=1e-12)
    shares = matrix * (1 / matrix[3])
    assert (shares[:3].max(axis=1) > 2.5).all()


@pytest.fixture(scope="module")
def photograph_network(tmp_path_factory):
    """A ResNet-18 for photographs, with its classifier, as a file."""
    import timm

    torch.manual_seed(5)
    network = timm.create_model("resnet18").eval()
    path = tmp_path_factory.mktemp("weights") / "resnet18.pt"
    torch.save(network.state_dict(), path)
    return network, path


@pytest.mark.parametrize("stem", ["tiled", "interpolated", "reduce"])
def test_a_grey_image_is_embedded_as_a_grey_photograph(photograph_network, stem):
    network, path = photograph_network
    encoder = build_encoder(wavelength_nm=BIL_NM[::8], backbone="resnet18", stem=stem, pretrained=str(path)).eval()
    grey = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(grey.expand(-1, 3, -1, -1)), pre_logits=True)
        found = encoder(grey.expand(-1, 51, -1, -1))  # 51 is a multiple of three, as tiling needs it
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_safetensors_and_states_of_encoders_are_read(photograph_network, tmp_path):
    from safetensors.torch import save_file

    network, path = photograph_network
    state = {f"module.{name}": value.contiguous() for name, value in network.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    settings = {"wavelength_nm": BIL_NM[:7], "backbone": "resnet18", "stem": "interpolated"}
    first = build_encoder(**settings, pretrained=str(path))
    second = build_encoder(**settings, pretrained=str(tmp_path / "w.safetensors"))
    for name, value in first.backbone.state_dict().items():
        assert torch.equal(value, second.backbone.state_dict()[name]), name
    # The state of a whole encoder, whose first layer has as many channels as there are bands already.
    torch.save(first.state_dict(), tmp_path / "encoder.pt")
    third = build_encoder(**settings, pretrained=str(tmp_path / "encoder.pt"))
    assert torch.equal(third.backbone.network.conv1.weight, first.backbone.network.conv1.weight)


def test_positions_of_a_transformer_of_another_size_are_resampled(tmp_path):
    import timm

    torch.save(timm.create_model("vit_tiny_patch16_224", img_size=64).state_dict(), tmp_path / "vit.pt")
    encoder = build_encoder(
        wavelength_nm=BIL_NM[:5], backbone="vit_tiny_patch16_224", stem="reduce", pretrained=str(tmp_path / "vit.pt")
    )
    assert encoder.backbone.network.pos_embed.shape == (1, 1 + 14 * 14, 192)
    assert encoder(torch.rand(1, 5, 32, 32)).shape == (1, 192)


def test_weights_of_another_backbone_are_refused(photograph_network, tmp_path):
    with pytest.raises(UserError, match=r"resnet18\.pt: the weights are not of this backbone .found stages"):
        build_encoder(wavelength_nm=BIL_NM[:5], backbone="tiny", pretrained=str(photograph_network[1]))
    torch.save(build_backbone("tiny", channels=5, pretrained=False, matrix=None).state_dict(), tmp_path / "five.pt")
    with pytest.raises(UserError, match=r"is to take 3 channels .found 5"):
        build_encoder(wavelength_nm=BIL_NM[:9], backbone="tiny", pretrained=str(tmp_path / "five.pt"))


def test_random_weights_are_said_to_be_random(caplog, monkeypatch):
    import timm

    with caplog.at_level(logging.INFO, logger="hsipipe"):
        build_encoder(wavelength_nm=BIL_NM[:5])
    assert [r.getMessage() for r in caplog.records] == ["backbone tiny: its weights are random"]
    caplog.clear()

    # No weights to be had: timm's error is told, and an encoder comes all the same.
    create = timm.create_model

    def offline(name, *, pretrained, **settings):
        if pretrained:
            raise FileNotFoundError("cannot find the requested files")
        return create(name, pretrained=False, **settings)

    monkeypatch.setattr(timm, "create_model", offline)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    with caplog.at_level(logging.INFO, logger="hsipipe"):
        encoder = build_encoder(wavelength_nm=BIL_NM[:5], backbone="resnet18", pretrained=True)
    assert encoder.stem.mix.weight.shape[0] == 3
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "its weights are random (cannot find the requested files)" in caplog.text


# Millions of parameters without classifier, with 3 and with 408 channels. ResNet-18: 11.69 as published, less a
# classifier of 0.51; and 405 channels more of 64 filters of 7 x 7 are 1.27.
@pytest.mark.parametrize(
    ("backbone", "few", "many"),
    [("resnet18", 11.18, 12.45), ("mobilenetv3_small_100", 1.52, 1.58), ("vit_tiny_patch16_224", 5.5, 25.4)],
)
def test_patch_stems_explode_and_reduced_ones_do_not(backbone, few, many):
    def millions(**settings):
        encoder = build_encoder(wavelength_nm=BIL_NM, backbone=backbone, **settings)
        return sum(value.numel() for value in encoder.parameters()) / 1e6

    assert millions(stem="interpolated") == pytest.approx(many, rel=5e-3)
    assert millions(stem="reduce", maps=3) == pytest.approx(few, rel=5e-3)


def test_our_own_backbones_do_not_wait_for_timm():
    code = (
        "import sys, torch; from hsipipe.tasks.representation.shared.encoder import build_encoder; "
        "build_encoder(wavelength_nm=[400.0, 500.0], stem='adapter')(torch.rand(1, 2, 8, 8)); "
        "sys.exit('timm' in sys.modules or 'scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
