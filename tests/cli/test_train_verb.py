"""`hsipipe train denoising CASE VARIANT`: with and without the encoder that a variant starts from, and mistakes."""

import sys

import numpy as np
import pytest
import torch
import yaml

from hsipipe.cases.bands import select_case_bands
from hsipipe.cases.split import SplitSettings, split_scenes, write_split
from hsipipe.cli import main
from hsipipe.scenes.scene import Item, Scene, write_scene
from hsipipe.tasks import load_task
from hsipipe.training.model_file import load_model

SHORT = {"epochs": 1, "steps_per_epoch": 1, "batch_size": 1, "precision": "float32"}
CONFIG = {
    "paper": "tiny",
    "scenes": {"s": {"simulate": {"rows": 16, "cols": 16}}},
    "denoising": {
        "cases": {
            "c": {"scenes": ["s"], "noise": "gaussian:sigma=0.2"},
            "unmade": {"scenes": ["s"], "noise": "hyspecnet"},
        },
        "variants": {
            "noisy": {"method": "noisy"},
            "qrnn": {"method": "qrnn3d", "channels": 2, "depth": 1, "patch": 8, **SHORT},
            "pretrained": {
                **{"method": "mae", "preset": "tiny", "image_size": 8, "decoder_width": 16, "decoder_depth": 1},
                **{"decoder_heads": 2, **SHORT},
            },
            "vit": {
                **{"method": "vit", "encoder": "pretrained", "preset": "tiny", "image_size": 8, "head": "fc"},
                **SHORT,
            },
        },
    },
    "tables": {"t": {"task": "denoising", "cases": ["c"], "metrics": ["mpsnr"]}},
}
MODEL = "results/denoising/c/{}/seed0/model.pt"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a config, a scene, and a case made of it."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
    generator = np.random.default_rng(0)
    items = [
        Item(
            generator.random((4, 16, 16)).astype(np.float32), name=f"i{number}", wavelength_nm=np.linspace(450, 900, 4)
        )
        for number in range(3)
    ]
    scene_file, case = folder / "results/scenes/s.h5", folder / "results/denoising/c"
    scene_file.parent.mkdir(parents=True)
    case.mkdir(parents=True)
    write_scene(scene_file, items, name="s")
    with Scene(scene_file) as scene:
        units = split_scenes([scene], SplitSettings(fractions=(0.34, 0.33, 0.33)))
        selection = select_case_bands([scene], units, {"strategy": "all"})
    write_split(case / "split.csv", units)
    settings = {"noise": "gaussian:sigma=0.2", "seed": 0}
    load_task("denoising", "prepare")([scene_file], units, selection, settings, name="c", output=case / "case.h5")
    return folder


@pytest.fixture(autouse=True)
def inside(made, monkeypatch):
    monkeypatch.chdir(made)


def train(variant, *more, case="c"):
    return main(["train", "denoising", case, variant, "--config", "tiny.yaml", "--gpus", "0", *more])


def assignments(**settings):
    return [text for name, value in settings.items() for text in ("--set", f"{name}={value}")]


def complaint(capsys):
    """What went to standard error: one line, no traceback."""
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    (error,) = [line for line in lines if line.startswith("error: ")]
    assert lines[-1] == error, "and nothing after it"
    assert "Traceback" not in captured.err
    return error


def test_a_variant_without_its_encoder_says_how_to_make_it(made, capsys):
    assert train("vit") == 2
    path = MODEL.format("pretrained")
    assert complaint(capsys) == (
        f"error: {path}: does not exist; make it with `snakemake {path} --configfile tiny.yaml`, or --set encoder=none"
    )
    assert not (made / "results/denoising/c/vit").exists()


def test_the_encoder_of_the_same_seed_is_meant(capsys):
    assert train("vit", "--seed", "3") == 2
    assert "pretrained/seed3/model.pt: does not exist" in complaint(capsys)


def test_without_an_encoder(capsys, tmp_path):
    assert train("vit", "--set", "encoder=none", "--output", str(tmp_path / "m.pt")) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "m.pt")
    content = load_model(tmp_path / "m.pt")
    assert content["settings"]["encoder"] == "none"
    assert content["training"]["started_from"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loss_curves.png", "m.pt", "samples.png"]


def test_the_encoder_and_then_what_starts_from_it(capsys):
    assert train("pretrained") == 0
    path = MODEL.format("pretrained")
    assert capsys.readouterr().out.strip() == path
    assert train("vit") == 0
    assert load_model(MODEL.format("vit"))["training"]["started_from"] == path
    # other settings never pass for the paper's
    assert train("vit", *assignments(head="skip")) == 0
    own = capsys.readouterr().out.splitlines()[-1]
    assert own.startswith("results/denoising/c/vit-")
    assert load_model(own)["settings"]["head"] == "skip"
    assert load_model(MODEL.format("vit"))["settings"]["head"] == "fc"
    # a file of weights takes the encoder's place
    assert train("vit", *assignments(weights=path), "--output", "w/m.pt") == 0
    assert load_model("w/m.pt")["training"]["started_from"] == path
    assert load_model("w/m.pt")["key"] == load_model(MODEL.format("vit"))["key"]


class Trap:
    """Says so if it is ever unpickled."""

    def __reduce__(self):
        return (open, ("unpickled", "w"))


@pytest.fixture(scope="module")
def weights(made):
    """Files that are no weights of the encoder: another network's, a pickled object, text."""
    torch.save({"layer.weight": torch.zeros(3, 3)}, made / "other.pt")
    torch.save({"state_dict": Trap()}, made / "trap.pt")
    (made / "text.pt").write_text("no weights")
    (made / "text.safetensors").write_text("no weights")


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize(
    ("variant", "settings", "message"),
    [
        ("vit", {"weights": "other.pt"}, "the weights are not of a vision transformer (found layer.weight)"),
        ("vit", {"weights": "trap.pt"}, "trap.pt: holds Python objects"),
        ("vit", {"weights": "text.pt"}, "text.pt: "),
        ("vit", {"weights": "text.safetensors"}, "text.safetensors: is not a safetensors file"),
        ("vit", {"weights": "gone.pt"}, "gone.pt: does not exist; give a file of weights"),
        ("vit", {"encoder": "qrnn"}, "encoder: must be a variant of method 'mae', or none (found qrnn, of method"),
        ("vit", {"encoder": "none", "image_size": 10}, "image_size: must be a multiple of the token's patch of 4"),
        ("vit", {"encoder": "none", "image_size": 20}, "training units of 16 pixels"),
        ("vit", {"encoder": "none", "adapt": "lora", "rank": 0}, "rank: must be at least 1"),
        ("vit", {"encoder": "none", "adapt": "lora", "rank": 97}, "rank: must be a whole number from 1 to"),
        ("vit", {"encoder": "none", "adapt": "lora", "dropout": 1}, "dropout: must be below 1"),
        ("vit", {"encoder": "none", "adapt": "lorra"}, "adapt"),
        ("vit", {"encoder": "none", "targets": "[q, x]", "adapt": "lora"}, "unknown target of an adapter 'x'"),
        ("vit", {"encoder": "preetrained"}, "did you mean 'pretrained'"),
        ("vit", {"enkoder": "none"}, "unknown setting of method 'vit' 'enkoder'; did you mean 'encoder'"),
        ("pretrained", {"mask_ratio": 1}, "mask_ratio: must be below 1"),
        ("qrnn", {"learning_rate": 0}, "learning_rate: must be above 0"),
        ("qrnn", {"schedule": "steps", "step_epochs": "[]"}, "schedule `steps` needs epochs"),
        ("noisy", {}, "method 'noisy' is direct: there is nothing to train"),
        ("vitt", {}, "unknown denoising variant 'vitt'; did you mean 'vit'"),
    ],
)
def test_mistakes_are_told_in_one_line(made, capsys, variant, settings, message):
    assert train(variant, *assignments(**settings)) == 2
    assert message in complaint(capsys)
    assert not (made / "unpickled").exists()


def test_a_case_that_is_not_made(capsys):
    assert train("qrnn", case="unmade") == 2
    told = complaint(capsys)
    assert "results/denoising/unmade/case.h5: does not exist" in told
    assert "snakemake results/denoising/unmade/case.h5 --configfile tiny.yaml" in told


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"adapt": "qlora"}, "4-bit weights need"), ({"optimizer": "adamw8bit"}, "adamw8bit")],
)
def test_what_needs_bitsandbytes_says_so(capsys, monkeypatch, settings, message):
    for module in ["bitsandbytes", *(name for name in sys.modules if name.startswith("bitsandbytes."))]:
        monkeypatch.setitem(sys.modules, module, None)
    assert train("vit", *assignments(encoder="none", **settings)) == 2
    told = complaint(capsys)
    assert message in told
    assert "bitsandbytes" in told


def test_a_loss_that_is_not_finite_is_told_with_step_and_rate(capsys):
    settings = {"learning_rate": 1e30, "epochs": 2, "steps_per_epoch": 3, "checkpoint_every_s": 0}
    assert train("qrnn", *assignments(**settings)) == 2
    told = complaint(capsys)
    assert "learning_rate: " in told
    assert "at step " in told
    assert "learning rate 1e+30" in told


def test_memory_that_is_not_enough_names_what_to_change(capsys, monkeypatch):
    from hsipipe.tasks.denoising import fit

    real, calls = fit.squared_error, []

    def greedy(network, batch):
        calls.append(1)
        if len(calls) == 1:  # without values: memory is only reckoned
            return real(network, batch)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(fit, "squared_error", greedy)
    assert train("qrnn", *assignments(batch_size=4)) == 2
    told = complaint(capsys)
    assert "out of memory on cpu during step 0" in told
    assert "lower batch_size (now 4) and raise accumulate (now 1)" in told


def test_wrong_names_of_a_config_are_found_before_anything_runs(tmp_path, capsys):
    def told(change):
        config = yaml.safe_load(yaml.safe_dump(CONFIG))
        change(config["denoising"]["variants"])
        (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(config))
        assert main(["train", "denoising", "c", "vit", "--config", str(tmp_path / "wrong.yaml")]) == 2
        return complaint(capsys)

    assert "names no variant of method 'mae' (found qrnn)" in told(lambda found: found["vit"].update(encoder="qrnn"))
    assert "differs from its encoder 'pretrained' in preset" in told(lambda found: found["vit"].update(preset="small"))
    assert "rank: must be at least 1" in told(lambda found: found["vit"].update(rank=0))
    assert "define one, or `encoder: none`" in told(lambda found: found.pop("pretrained"))
