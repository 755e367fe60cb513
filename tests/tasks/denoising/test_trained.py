"""Trained denoisers applied to the cubes of other sensors: by way of wavelengths, or not at all."""

import logging
import sys

import numpy as np
import pytest
import torch
from torch import nn

from hsipipe.bands.resample import interpolation
from hsipipe.errors import UserError
from hsipipe.methods import find_method
from hsipipe.tasks.denoising.fit import sort_settings
from hsipipe.tasks.denoising.trained import TrainedDenoiser, load_denoiser, read_method, trained_costs
from hsipipe.training.model_file import save_model

TRAINED_NM = np.linspace(450, 900, 10)


class Network(nn.Module):
    """Doubles its input; made for ten bands unless told otherwise."""

    def __init__(self, bands=10, **attributes):
        super().__init__()
        self.seen = []
        if bands is not None:
            self.bands = bands
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, noisy):
        self.seen.append(noisy)
        return 2 * noisy


def denoiser(network, wavelength_nm=TRAINED_NM):
    return TrainedDenoiser(network, {"wavelength_nm": wavelength_nm}, "m.pt")


def cube(nm, rows=6, cols=5):
    """A spectrum linear in wavelength at each pixel, which resampling keeps: (1, bands, rows, cols)."""
    slopes = torch.rand(1, 1, rows, cols, generator=torch.Generator().manual_seed(0))
    return slopes * torch.as_tensor(nm, dtype=torch.float32).view(1, -1, 1, 1) / 1000


def test_the_same_bands_go_straight_through(caplog):
    network = Network()
    given = torch.from_numpy(TRAINED_NM + 0.9)
    result = denoiser(network)(cube(TRAINED_NM), wavelength_nm=given)
    assert torch.equal(result, 2 * cube(TRAINED_NM))
    assert torch.equal(network.seen[0], cube(TRAINED_NM))
    assert not caplog.records


@pytest.mark.parametrize("nm", [np.linspace(460, 890, 7), np.linspace(450, 900, 31), TRAINED_NM + 3])
def test_other_bands_are_resampled_and_told(nm, caplog):
    network = Network()
    result = denoiser(network)(cube(nm), wavelength_nm=torch.from_numpy(nm))
    assert network.seen[0].shape == (1, 10, 6, 5)
    inside = torch.from_numpy(TRAINED_NM.clip(nm.min(), nm.max()))
    torch.testing.assert_close(network.seen[0], cube(inside))
    back = torch.from_numpy(nm.clip(TRAINED_NM.min(), TRAINED_NM.max()).clip(nm.min(), nm.max()))
    there = torch.from_numpy(interpolation(TRAINED_NM, nm) @ inside.numpy())
    torch.testing.assert_close(result, 2 * cube(there))
    assert torch.allclose(result[:, 1:-1], 2 * cube(back)[:, 1:-1], atol=0.01)
    assert result.dtype == torch.float32
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"made for 10 bands of 450 to 900 nm; the {len(nm)} bands of" in record.getMessage()


def test_bands_in_any_order():
    """As EnMAP's: its two spectrometers alternate where they overlap."""
    generator = np.random.default_rng(0)
    nm, order = np.linspace(460, 890, 7), generator.permutation(7)
    trained_order = generator.permutation(10)
    straight = denoiser(Network())(cube(nm), wavelength_nm=torch.from_numpy(nm))
    network = Network()
    mixed = denoiser(network, TRAINED_NM[trained_order])
    result = mixed(cube(nm)[:, order], wavelength_nm=torch.from_numpy(nm[order]))
    torch.testing.assert_close(result, straight[:, order])
    # the same wavelengths in another order are other bands
    same = mixed(cube(TRAINED_NM), wavelength_nm=torch.from_numpy(TRAINED_NM))
    torch.testing.assert_close(network.seen[-1], cube(TRAINED_NM[trained_order]))
    torch.testing.assert_close(same, 2 * cube(TRAINED_NM))


@pytest.mark.parametrize(
    ("nm", "found"),
    [
        (np.linspace(460, 1300, 12), "bands given lie outside"),
        (np.linspace(600, 700, 10), "bands trained on lie outside"),
        (np.linspace(8000, 12000, 10), "100% of the bands trained on lie outside"),
    ],
)
def test_too_much_outside_is_refused(nm, found):
    network = Network()
    with pytest.raises(UserError, match=found) as error:
        denoiser(network)(cube(nm), wavelength_nm=torch.from_numpy(nm))
    assert "m.pt: was trained on 450 to 900 nm" in str(error.value)
    assert not network.seen


def test_a_little_outside_is_not():
    nm = np.linspace(410, 940, 12)
    assert denoiser(Network())(cube(nm), wavelength_nm=torch.from_numpy(nm)).shape == (1, 12, 6, 5)


@pytest.mark.parametrize(("trained", "given"), [(TRAINED_NM, False), (None, True), (None, False)])
def test_without_wavelengths_the_number_must_be_the_same(trained, given):
    nm = torch.from_numpy(TRAINED_NM) if given else None
    apply = denoiser(Network(), trained)
    assert torch.equal(apply(cube(TRAINED_NM), wavelength_nm=nm), 2 * cube(TRAINED_NM))
    with pytest.raises(UserError, match=r"was trained for 10 bands \(found 9 bands, and wavelengths .* not known\)"):
        apply(cube(TRAINED_NM[:9]), wavelength_nm=None if nm is None else nm[:9])


def test_a_network_of_any_bands(caplog):
    network = Network(bands=None)
    apply = denoiser(network)
    nm = np.linspace(600, 1200, 4)
    with caplog.at_level(logging.INFO):
        assert torch.equal(apply(cube(nm), wavelength_nm=torch.from_numpy(nm)), 2 * cube(nm))
    assert "trained on 450 to 900 nm, applied to 600 to 1200 nm" in caplog.text
    assert torch.equal(apply(cube(nm)), 2 * cube(nm))
    far = np.linspace(8000, 9000, 4)
    with pytest.raises(UserError, match=r"trained on 450 to 900 nm \(found 8000 to 9000 nm\)"):
        apply(cube(far), wavelength_nm=torch.from_numpy(far))


def test_a_network_is_told_the_wavelengths_if_it_asks():
    class Asking(Network):
        def for_wavelengths(self, trained, given):
            self.asked = (trained, given)
            return Network(bands=None, whole_image=True)

    network = Asking(bands=None)
    nm = torch.from_numpy(np.linspace(460, 890, 7))
    assert torch.equal(denoiser(network)(cube(nm), wavelength_nm=nm), 2 * cube(nm))
    assert not network.seen
    np.testing.assert_array_equal(network.asked[0], TRAINED_NM)
    np.testing.assert_allclose(network.asked[1], nm)
    denoiser(network, None)(cube(nm))
    assert network.asked == (None, None)


def test_resampled_images_of_any_size_go_by_tiles():
    network = Network(tile=8)
    nm = np.linspace(460, 890, 7)
    result = denoiser(network)(cube(nm, 21, 5), wavelength_nm=torch.from_numpy(nm))
    assert {tuple(seen.shape) for seen in network.seen} == {(1, 10, 8, 8)}
    assert result.shape == (1, 7, 21, 5)


def write(path, name, given, *, bands=5, **changes):
    """A model file of a random network."""
    method = find_method("denoising", name)
    settings = method.complete(given)
    torch.manual_seed(0)
    network = method.load().build(bands=bands, **sort_settings(settings)[0])
    content = {
        "model_state": network.state_dict(),
        "architecture": name,
        "settings": settings,
        "normaliser": None,
        "wavelength_nm": TRAINED_NM[:bands],
        "key": "k",
        "bands": bands,
        "training": {"steps": 3, "started_from": "mae.pt"},
    }
    save_model(path, **{**content, **changes})
    return network.eval()


def test_a_file_gives_the_network_back(tmp_path):
    network = write(tmp_path / "m.pt", "qrnn3d", {"channels": 2, "depth": 1})
    loaded = load_denoiser(tmp_path / "m.pt")
    assert not loaded.network.training
    noisy = torch.rand(1, 5, 9, 7)
    with torch.no_grad():
        torch.testing.assert_close(loaded(noisy), network(noisy))
    method, settings = read_method(tmp_path / "m.pt")
    assert (method.name, settings["channels"]) == ("qrnn3d", 2)
    assert trained_costs(tmp_path / "m.pt") == {"steps": 3, "started_from": "mae.pt"}
    assert trained_costs(None) == {}


@pytest.mark.parametrize("adapt", ["full", "lora"])
def test_a_transformer_is_loaded_without_the_weights_that_it_started_from(tmp_path, adapt):
    given = {"preset": "tiny", "image_size": 8, "head": "fc", "adapt": adapt, "weights": "gone.pt"}
    network = write(tmp_path / "m.pt", "vit", given)
    loaded = load_denoiser(tmp_path / "m.pt")
    noisy = torch.rand(1, 5, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(loaded(noisy, wavelength_nm=torch.from_numpy(TRAINED_NM[:5])), network(noisy))
        assert loaded(torch.rand(1, 5, 11, 30)).shape == (1, 5, 11, 30)


def test_four_bits_need_their_package(tmp_path, monkeypatch):
    given = {"preset": "tiny", "image_size": 8, "head": "fc"}
    write(tmp_path / "m.pt", "vit", given)
    settings = find_method("denoising", "vit").complete({**given, "adapt": "qlora"})
    write(tmp_path / "q.pt", "vit", given, settings=settings)
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UserError, match="4-bit weights need the package bitsandbytes"):
        load_denoiser(tmp_path / "q.pt")


def test_files_that_are_no_models(tmp_path):
    network = write(tmp_path / "m.pt", "qrnn3d", {"channels": 2, "depth": 1}, architecture="qrnn4d")
    with pytest.raises(UserError, match="unknown denoising method 'qrnn4d'; did you mean 'qrnn3d'"):
        load_denoiser(tmp_path / "m.pt")
    torch.save(network, tmp_path / "pickled.pt")
    with pytest.raises(UserError, match="holds Python objects, which are never executed"):
        load_denoiser(tmp_path / "pickled.pt")
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(UserError, match="is not a model file of this program"):
        load_denoiser(tmp_path / "weights.pt")


def test_an_encoder_denoises_nothing(tmp_path):
    given = {"preset": "tiny", "image_size": 8, "decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
    write(tmp_path / "m.pt", "mae", given)
    with pytest.raises(UserError, match=r"m\.pt: is an encoder, which denoises nothing"):
        load_denoiser(tmp_path / "m.pt")


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"settings": {"channels": 3, "depth": 1}}, "size mismatch"),
        ({"settings": {"channels": 2, "depth": 1, "older": 1}}, "older"),
        ({"model_state": {}}, "Missing key"),
    ],
)
def test_weights_that_are_not_of_their_settings(tmp_path, changes, found):
    """Such as those of another version of the method."""
    if "settings" in changes:
        complete = find_method("denoising", "qrnn3d").complete({})
        changes = {"settings": {**complete, **changes["settings"]}}
    write(tmp_path / "m.pt", "qrnn3d", {"channels": 2, "depth": 1}, **changes)
    with pytest.raises(UserError, match=f"not of the qrnn3d that its settings make .*{found}") as error:
        load_denoiser(tmp_path / "m.pt")
    assert "\n" not in str(error.value)


def test_a_network_that_asks_for_wavelengths_is_not_refused():
    class Asking(Network):
        def for_wavelengths(self, trained, given):  # noqa: ARG002
            return self

    far = np.linspace(8000, 9000, 4)
    apply = denoiser(Asking(bands=None, whole_image=True))
    assert torch.equal(apply(cube(far), wavelength_nm=torch.from_numpy(far)), 2 * cube(far))


@pytest.mark.parametrize(("name", "verb"), [("svm", "classify"), ("simclr", "embed")])
def test_a_model_of_another_task_is_told_with_its_verb(monkeypatch, name, verb):
    monkeypatch.setattr("hsipipe.training.model_file.load_model", lambda _: {"architecture": name, "settings": {}})
    with pytest.raises(UserError, match=f"is a model of .*hsipipe .*{verb}"):
        read_method("model.pt")
