"""Trainings of a small case from end to end: what they start from, how they go on, and what they leave."""

from types import SimpleNamespace

import matplotlib.image
import numpy as np
import pytest
import torch
from torch import nn

from hsipipe.cases.bands import select_case_bands
from hsipipe.cases.split import SplitSettings, split_scenes
from hsipipe.errors import UserError
from hsipipe.files import sha256_of
from hsipipe.keys import step_key
from hsipipe.methods import find_method
from hsipipe.scenes.scene import Item, Scene, write_scene
from hsipipe.tasks import load_task
from hsipipe.tasks.denoising import fit as fitting
from hsipipe.tasks.denoising.apply import make_denoiser
from hsipipe.tasks.denoising.case import CaseFile
from hsipipe.tasks.denoising.fit import sort_settings
from hsipipe.training.accounting import count_parameters
from hsipipe.training.model_file import load_model
from hsipipe.training.settings import NEUTRAL_SETTINGS

NOISE = "gaussian:sigma=0.2+clip"
SHORT = {"epochs": 2, "steps_per_epoch": 2, "batch_size": 2, "precision": "float32"}
ENCODER = {"preset": "tiny", "image_size": 8, "decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2, **SHORT}
TRANSFORMER = {"preset": "tiny", "image_size": 8, "head": "skip", **SHORT}
FILTER = {
    **SHORT,
    **{"components": 2, "channels": 4, "blocks": 1, "effort": "fast", "examples": 2, "side": 16, "window": 8},
}


def write_case(folder, fractions=(0.5, 0.25, 0.25)):
    """A scene of four items of three mixed spectra, its split, and its case with noise."""
    generator = np.random.default_rng(0)
    spectra = generator.random((3, 6))
    items = []
    for number in range(4):
        row, col = np.mgrid[:18, :20]
        maps = np.stack([np.sin(row / 4 + phase) * np.cos(col / 5 - phase) for phase in generator.uniform(0, 3, 3)])
        cube = np.einsum("krc,kb->brc", maps, spectra).astype(np.float32)
        items.append(Item(cube, name=f"i{number}", wavelength_nm=np.linspace(450, 950, 6)))
    write_scene(folder / "s.h5", items, name="s")
    with Scene(folder / "s.h5") as scene:
        units = split_scenes([scene], SplitSettings(fractions=fractions))
        selection = select_case_bands([scene], units, {"strategy": "all"})
    settings = {"noise": NOISE, "seed": 0}
    load_task("denoising", "prepare")(
        [folder / "s.h5"], units, selection, settings, name="c", output=folder / "case.h5"
    )
    return SimpleNamespace(folder=folder, units=units)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return write_case(tmp_path_factory.mktemp("case"))


def train(case, folder, name, given, *, start=None, seed=0, key="code", state=None, drawn=False):
    """Fit a method, without its pictures unless they are asked for; the path of the model file."""
    method = find_method("denoising", name)
    with pytest.MonkeyPatch.context() as patch:
        if not drawn:
            patch.setattr("hsipipe.training.history.draw_history", lambda *_: None)
            patch.setattr("hsipipe.training.pictures.draw_samples", lambda *_, **__: None)
        _fit(case, folder, method, given, start, seed, key, state or folder / "state")
    return folder / "model.pt"


def _fit(case, folder, method, given, start, seed, key, state):
    fitting.fit(
        case.folder / "case.h5",
        [case.folder / "s.h5"],
        case.units,
        method,
        method.complete(given),
        case_settings={"noise": NOISE},
        seed=seed,
        key=key,
        state=state,
        output=folder / "model.pt",
        curves=folder / "curves.png",
        samples=folder / "samples.png",
        start=start,
    )


@pytest.fixture(scope="module")
def encoder(case, tmp_path_factory):
    return train(case, tmp_path_factory.mktemp("mae"), "mae", ENCODER, drawn=True)


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class Stop(Exception):
    """Stands for whatever ends a process in the middle of a training."""


# Settings


def test_settings_are_sorted():
    network, patches, training = sort_settings(
        {"width": 3, "patch": 16, "bands_per_patch": 4, "epochs": 2, "encoder": "mae", "weights": None}
    )
    assert network == {"width": 3}
    assert patches == {"patch": 16, "bands_per_patch": 4}
    assert training == {"epochs": 2}
    assert sort_settings({"image_size": 64})[1] == {"patch": 64, "bands_per_patch": None}
    assert sort_settings({"image_size": 64, "patch": 32})[1]["patch"] == 32
    assert sort_settings({})[1] == {"patch": None, "bands_per_patch": None}


# What a training leaves


def test_an_encoder_and_what_it_leaves(encoder):
    content = load_model(encoder)
    assert content["architecture"] == "mae"
    assert content["bands"] == 6
    np.testing.assert_allclose(content["wavelength_nm"], np.linspace(450, 950, 6))
    training = content["training"]
    assert (training["steps"], training["started_from"]) == (4, None)
    network, _, _ = sort_settings(content["settings"])
    counted = count_parameters(find_method("denoising", "mae").load().build(bands=6, **network))
    assert training["memory"]["trainable"] == counted.trainable
    assert [row["epoch"] for row in content["history"]] == [1, 2]
    assert all(0 < row["loss"] < 10 for row in content["history"]), "its own validation"
    for name in ("curves.png", "samples.png"):
        assert matplotlib.image.imread(encoder.with_name(name)).std() > 0.01
    assert not (encoder.parent / "samples").exists()


def test_pictures_of_epochs_do_not_change_the_training(case, tmp_path):
    plain = train(case, tmp_path / "plain", "qrnn3d", {"channels": 2, "depth": 1, "patch": 8, **SHORT, "epochs": 3})
    drawn = train(
        case,
        tmp_path / "drawn",
        "qrnn3d",
        {"channels": 2, "depth": 1, "patch": 8, **SHORT, "epochs": 3, "pictures_every": 2},
        drawn=True,
    )
    assert [path.name for path in (tmp_path / "drawn" / "samples").iterdir()] == ["epoch-0002.png"]
    assert matplotlib.image.imread(tmp_path / "drawn" / "samples" / "epoch-0002.png").std() > 0.01
    first, second = load_model(plain), load_model(drawn)
    assert equal(first["model_state"], second["model_state"])
    assert first["key"] == second["key"], "pictures are no part of what is trained"


# What a training starts from


def test_a_transformer_starts_from_its_encoder(case, encoder, tmp_path):
    given = {**TRANSFORMER, "adapt": "frozen"}
    model = load_model(train(case, tmp_path / "with", "vit", given, start=encoder))
    source = load_model(encoder)["model_state"]
    taken = {name: value for name, value in model["model_state"].items() if name.startswith("encoder.")}
    assert taken
    assert all(torch.equal(value, source[name]) for name, value in taken.items())
    assert model["training"]["started_from"] == str(encoder)
    assert model["training"]["memory"]["trainable"] == sum(
        value.numel() for name, value in model["model_state"].items() if name.startswith("head.")
    )
    without = load_model(train(case, tmp_path / "without", "vit", {**given, "encoder": "none"}))
    assert without["training"]["started_from"] is None
    assert without["key"] != model["key"]
    assert not equal(without["model_state"], model["model_state"])


def test_other_weights_are_another_training_and_another_name_is_not(case, encoder, tmp_path):
    copied = tmp_path / "copied.pt"
    copied.write_bytes(encoder.read_bytes())
    content = torch.load(encoder, weights_only=True)
    content["model_state"]["encoder.vit.norm.bias"] += 0.1
    torch.save(content, tmp_path / "changed.pt")
    models = {}
    for name, given, start in (
        ("same", TRANSFORMER, encoder),
        ("copied", {**TRANSFORMER, "encoder": "other"}, copied),
        ("file", {**TRANSFORMER, "weights": str(copied)}, copied),
        ("changed", TRANSFORMER, tmp_path / "changed.pt"),
    ):
        models[name] = load_model(train(case, tmp_path / name, "vit", given, start=start))
    assert models["same"]["key"] == models["copied"]["key"] == models["file"]["key"]
    assert equal(models["same"]["model_state"], models["copied"]["model_state"])
    assert models["changed"]["key"] != models["same"]["key"]
    assert not equal(models["same"]["model_state"], models["changed"]["model_state"])


def test_changed_weights_do_not_go_on_with_an_interrupted_training(case, encoder, tmp_path, monkeypatch):
    content = torch.load(encoder, weights_only=True)
    content["model_state"]["encoder.vit.norm.bias"] += 0.1
    torch.save(content, tmp_path / "changed.pt")
    state = tmp_path / "state"
    interrupt(monkeypatch, at=3)
    with pytest.raises(Stop):
        train(case, tmp_path / "a", "vit", {**TRANSFORMER, "checkpoint_every_s": 0}, start=encoder, state=state)
    monkeypatch.undo()
    mixed = train(case, tmp_path / "b", "vit", TRANSFORMER, start=tmp_path / "changed.pt", state=state)
    fresh = train(case, tmp_path / "c", "vit", TRANSFORMER, start=tmp_path / "changed.pt")
    assert equal(load_model(mixed)["model_state"], load_model(fresh)["model_state"])


def interrupt(monkeypatch, *, at):
    """End the process, so to speak, when batch `at` is drawn."""
    from hsipipe.tasks.denoising import training_data

    draw = training_data.draw_patches

    def stopping(*arguments, step, **settings):
        if step == at:
            raise Stop
        return draw(*arguments, step=step, **settings)

    monkeypatch.setattr(training_data, "draw_patches", stopping)


@pytest.mark.parametrize("adapt", ["full", "lora"])
def test_an_interrupted_training_goes_on_from_its_state(case, encoder, tmp_path, monkeypatch, adapt):
    given = {**TRANSFORMER, "adapt": adapt}
    whole = load_model(train(case, tmp_path / "whole", "vit", given, start=encoder))
    interrupt(monkeypatch, at=3)
    with pytest.raises(Stop):
        train(case, tmp_path / "parts", "vit", {**given, "checkpoint_every_s": 0}, start=encoder)
    assert not (tmp_path / "parts" / "model.pt").exists()
    interrupted = tmp_path / "parts" / "state" / "last.ckpt"
    assert torch.load(interrupted, weights_only=True)["progress"]["step"] == 3
    monkeypatch.undo()
    interrupt(monkeypatch, at=2)  # of the past: only batch 0 is drawn again, to measure memory
    parts = load_model(train(case, tmp_path / "parts", "vit", given, start=encoder))
    assert equal(parts["model_state"], whole["model_state"])
    assert parts["key"] == whole["key"]
    for first, second in zip(parts["history"], whole["history"], strict=True):
        assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_a_finished_training_is_not_repeated(case, encoder, tmp_path, monkeypatch):
    first = load_model(train(case, tmp_path, "vit", TRANSFORMER, start=encoder))
    (tmp_path / "model.pt").unlink()
    interrupt(monkeypatch, at=1)
    again = load_model(train(case, tmp_path, "vit", TRANSFORMER, start=encoder))
    assert equal(first["model_state"], again["model_state"])
    assert again["training"]["seconds_to_train"] == first["training"]["seconds_to_train"]


@pytest.mark.parametrize(
    "change", [{"learning_rate": 0.01}, {"head": "fc"}, {"adapt": "lora"}, {"image_size": 16}, {"batch_size": 1}]
)
def test_changed_settings_are_another_key(change):
    def key(given):
        settings = find_method("denoising", "vit").complete(given)
        effective = {name: settings[name] for name in settings if name not in ("encoder", "weights")}
        return step_key(effective)

    assert key({**TRANSFORMER, **change}) != key(TRANSFORMER)


def test_weights_of_another_architecture(case, tmp_path):
    other = train(case, tmp_path / "other", "qrnn3d", {"channels": 2, "depth": 1, "patch": 8, **SHORT, "epochs": 1})
    with pytest.raises(UserError, match="the weights are not of a vision transformer"):
        train(case, tmp_path / "vit", "vit", TRANSFORMER, start=other)
    source = train(case, tmp_path / "mae", "mae", {**ENCODER, "epochs": 1, "steps_per_epoch": 1})
    with pytest.raises(UserError, match=r"a transformer of width 96 .* choose the preset of the weights"):
        train(case, tmp_path / "vit", "vit", {**TRANSFORMER, "preset": "small"}, start=source)
    assert not (tmp_path / "vit").exists()


class Trap:
    """Says so if it is ever unpickled."""

    def __reduce__(self):
        return (open, ("unpickled", "w"))


def test_files_that_are_no_weights(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Trap()}, "trap.pt")
    with pytest.raises(UserError, match=r"trap\.pt: holds Python objects"):
        train(case, tmp_path, "vit", TRANSFORMER, start="trap.pt")
    assert not (tmp_path / "unpickled").exists()
    np.save("cube.npy", np.zeros((3, 4)))
    with pytest.raises(UserError, match=r"cube\.npy: "):
        train(case, tmp_path, "vit", TRANSFORMER, start="cube.npy")
    with pytest.raises(UserError, match=r"gone\.pt: no such file"):
        train(case, tmp_path, "vit", TRANSFORMER, start="gone.pt")
    torch.save([1, 2], "list.pt")
    with pytest.raises(UserError, match=r"list.pt: holds no tensors by name \(found list\)"):
        train(case, tmp_path, "vit", TRANSFORMER, start="list.pt")


# Refusals


def test_images_larger_than_the_training_units(case, tmp_path):
    with pytest.raises(UserError, match=r"training units of 18 pixels.*found 20.*set image_size to 18 or less"):
        train(case, tmp_path, "vit", {**TRANSFORMER, "image_size": 20})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image_size": 10}, "image_size: must be a multiple of the token's patch of 4 pixels"),
        ({"adapt": "lora", "rank": 97}, "rank: must be a whole number from 1 to .* 96"),
        ({"adapt": "lora", "targets": ["q", "qq"]}, "unknown target"),
    ],
)
def test_settings_that_make_no_network(case, tmp_path, given, message):
    with pytest.raises(UserError, match=message):
        train(case, tmp_path, "vit", {**TRANSFORMER, **given})
    assert not list(tmp_path.iterdir())


def test_a_case_without_training_part(tmp_path):
    case = write_case(tmp_path)
    case.units = [unit for unit in case.units if unit.part != "train"]
    with pytest.raises(UserError, match="the case has no training part"):
        train(case, tmp_path, "vit", TRANSFORMER)


def test_a_loss_that_is_not_finite(case, tmp_path, monkeypatch):
    module = find_method("denoising", "qrnn3d").load()
    calls = []

    def loss(network, batch):
        calls.append(1)  # the first, without values, measures memory
        value = fitting.squared_error(network, batch)
        return value * (float("nan") if len(calls) == 5 else 1)

    monkeypatch.setattr(module, "loss", loss, raising=False)
    given = {"channels": 2, "depth": 1, "patch": 8, **SHORT}
    with pytest.raises(UserError, match=r"the loss became nan at step 3 \(epoch 2\), learning rate") as error:
        train(case, tmp_path, "qrnn3d", given)
    last = tmp_path / "state" / "last.ckpt"
    assert str(last) in str(error.value)
    assert torch.load(last, weights_only=True)["progress"]["step"] == 2
    assert not (tmp_path / "model.pt").exists()


# Training steps of a method's own


def test_a_method_that_prepares_its_training(case, tmp_path):
    model = train(case, tmp_path, "eigenfilter", FILTER)
    content = load_model(model)
    assert content["model_state"]["basis"].any(), "the basis was learned, and saved"
    assert content["training"]["memory"]["trainable"] > 0
    assert all(row["loss"] > 0 for row in content["history"])
    method = find_method("denoising", "eigenfilter")
    with CaseFile(case.folder / "case.h5", [case.folder / "s.h5"]) as opened:
        name = opened.names("test")[0]
        noisy, truth = opened.noisy(name), opened.truth(name).cube
        result = make_denoiser(method, content["settings"], model=model)(noisy, opened.wavelength_nm)
    assert ((result - truth) ** 2).mean() < ((noisy - truth) ** 2).mean()


def test_it_goes_on_where_it_was(case, tmp_path, monkeypatch):
    whole = load_model(train(case, tmp_path / "whole", "eigenfilter", FILTER))
    module = find_method("denoising", "eigenfilter").load()
    loss = module.loss
    calls = []

    def stopping(network, batch):
        calls.append(1)
        if len(calls) == 5:
            raise Stop
        return loss(network, batch)

    monkeypatch.setattr(module, "loss", stopping)
    with pytest.raises(Stop):
        train(case, tmp_path / "parts", "eigenfilter", {**FILTER, "checkpoint_every_s": 0})
    assert torch.load(tmp_path / "parts" / "state" / "last.ckpt", weights_only=True)["progress"]["step"] == 3
    monkeypatch.undo()
    parts = load_model(train(case, tmp_path / "parts", "eigenfilter", FILTER))
    assert equal(parts["model_state"], whole["model_state"])


def test_prepare_is_given_the_training_cubes(case, tmp_path, monkeypatch):
    given = {}

    class Offset(nn.Module):
        def __init__(self):
            super().__init__()
            self.value = nn.Parameter(torch.zeros(1))

        def forward(self, noisy):
            return noisy + self.value

    def prepare(_, cubes, *, noise, seed):
        given.update(cubes=list(cubes), noise=noise, seed=seed)

        def draw(_, device, size):
            return {"ones": torch.ones(size, device=device)}

        return draw

    module = SimpleNamespace(
        build=lambda **_: Offset(),
        prepare=prepare,
        loss=lambda network, batch: (network.value - batch["ones"]).square().mean(),
    )
    method = find_method("denoising", "qrnn3d")
    monkeypatch.setattr(type(method), "load", lambda _: module)
    content = load_model(train(case, tmp_path, "qrnn3d", SHORT, seed=4))
    assert len(given["cubes"]) == 2
    assert {tuple(cube.shape) for cube in given["cubes"]} == {(6, 18, 20)}
    assert {cube.device.type for cube in given["cubes"]} == {"cpu"}
    assert given["seed"] == ("c", 4)
    assert given["noise"].components
    assert content["training"]["memory"]["trainable"] == 1
    # Adam's first steps are as long as the learning rate, towards 1
    assert 0 < float(content["model_state"]["value"]) <= 4 * 1e-2


def test_the_start_is_part_of_the_key(case, encoder, tmp_path):
    content = load_model(train(case, tmp_path, "vit", {**TRANSFORMER, "epochs": 1}, start=encoder))
    method = find_method("denoising", "vit")
    settings = method.complete({**TRANSFORMER, "epochs": 1})
    effective = {
        name: value for name, value in settings.items() if name not in (*NEUTRAL_SETTINGS, "encoder", "weights")
    }
    with CaseFile(case.folder / "case.h5", [case.folder / "s.h5"]) as opened:
        assert content["key"] == step_key("code", opened.content, effective, 0, sha256_of(encoder))


def test_a_finished_training_prepares_nothing(case, tmp_path, monkeypatch):
    first = load_model(train(case, tmp_path, "eigenfilter", FILTER))
    module = find_method("denoising", "eigenfilter").load()

    def refuse(*_, **__):
        raise Stop

    monkeypatch.setattr(module, "prepare", refuse)
    again = load_model(train(case, tmp_path, "eigenfilter", FILTER))
    assert equal(first["model_state"], again["model_state"])
    assert again["training"] == first["training"], "what it cost is what it cost then"
    with pytest.raises(Stop):
        train(case, tmp_path, "eigenfilter", {**FILTER, "window": 10})
