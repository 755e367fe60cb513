"""A small representation case through prepare, fit, predict, score and draw, as the workflow goes."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from hsipipe.bands.selection import fit_bands
from hsipipe.cases.split import split_scenes
from hsipipe.cli import main
from hsipipe.errors import UserError
from hsipipe.methods import find_method
from hsipipe.report.style import save_figure
from hsipipe.scenes.scene import Item, Scene, write_scene
from hsipipe.scenes.simulation.specimens.simulate import specimen_items
from hsipipe.scores import collect_scores, write_scores
from hsipipe.settings import settings_from
from hsipipe.tasks import load_task
from hsipipe.tasks.representation.case import CaseFile
from hsipipe.tasks.representation.images import crop_to_mask
from hsipipe.tasks.representation.model_file import load_embedder
from hsipipe.tasks.representation.prediction import read_embeddings
from hsipipe.tasks.representation.settings import FIGURES, USED_BY, CaseSettings
from hsipipe.tasks.representation.shared.stages import bands_of_stage, stages_from

BANDS = 12
SMALL = {"epochs": 1, "steps_per_epoch": 2, "batch_size": 8}
VARIANTS = {
    "majority": ("majority", {}),
    "mean": ("mean_spectrum", {}),
    "rgb": ("mean_spectrum", {"bands": {"strategy": "rgb"}}),
    "pca": ("pca", {"components": 4}),
    "untrained": ("untrained", {}),
    "simclr": ("simclr", SMALL),
    "supervised": ("supervised", SMALL),
}


def settings_of(**given):
    return settings_from(CaseSettings, {"scenes": ["s"], "size": 24, "folds": 3, **given}, "x.yaml")


def step(settings, name):
    values = asdict(settings)
    return {key: values[key] for key in USED_BY[name]}


def prepared(folder, settings, items, *, bands=None):
    scenes = [folder / "s.h5"]
    write_scene(scenes[0], items, name="s", simulated=True)
    with Scene(scenes[0]) as scene:
        units = split_scenes([scene], settings.split)
        selection = fit_bands(
            bands or {"strategy": "all"}, wavelength_nm=scene.wavelength_nm, good_bands=scene.good_bands
        )
    case = folder / "case.h5"
    load_task("representation", "prepare")(scenes, units, selection, step(settings, "prepare"), name="c", output=case)
    return case, scenes, units


def run(folder, made, settings, variant, name, given, *, seed=0, start=None):
    case, scenes, units = made
    method = find_method("representation", name)
    complete = method.complete(given)
    here = folder / variant / f"seed{seed}"
    here.mkdir(parents=True, exist_ok=True)
    model = None
    if method.is_fitted:
        model = here / "model.pt"
        load_task("representation", "fit")(
            case, scenes, units, method, complete,
            case_settings={}, seed=seed, key="k", state=here / "state", output=model,
            curves=here / "curves.png", samples=here / "samples.png", start=start,
        )  # fmt: skip
    paths = {key: here / key for key in ("output", "kept", "record")}
    load_task("representation", "predict")(
        case, scenes, method, complete, case_settings=step(settings, "predict"), seed=seed, model=model, **paths
    )
    scores = load_task("representation", "score")(case, scenes, paths["output"], case_settings=step(settings, "score"))
    write_scores(here / "scores.csv", scores, task="representation", case="c", variant=variant, seed=seed)
    return {**paths, "model": model, "scores": here / "scores.csv", "values": {one.metric: one.value for one in scores}}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("representation")
    settings = settings_of(
        importance_nm=60, windows_nm=[[355, 397]], pairs=[["ultraviolet-absent", "ultraviolet-present"]]
    )
    items = specimen_items(species=4, individuals=6, sides=2, size=24, bands=BANDS, seed=1)
    made = prepared(folder, settings, items)
    runs = {variant: run(folder, made, settings, variant, *told) for variant, told in VARIANTS.items()}
    collect_scores([done["scores"] for done in runs.values()], folder / "scores.csv")
    return folder, settings, made, runs


def test_no_individual_lies_on_both_sides_and_every_one_is_tested_once(study):
    case = study[2][0]
    with CaseFile(case) as opened:
        tested = []
        for seed in range(3):
            train, test = opened.fold(seed)
            assert not {*opened.groups[train]} & {*opened.groups[test]}
            tested += [*test]
        assert sorted(tested) == list(range(len(opened)))
        assert opened.simulated
        images, masks = opened.read([3, 1], bands=[0, 5])
        assert images.shape == (2, 2, 24, 24)
        assert not images[:, 0][~masks].any()
        whole, _ = opened.read(np.arange(len(opened)))
        np.testing.assert_array_equal(whole[[3, 1]][:, [0, 5]], images)


def test_rivals_are_what_they_say(study):
    _, _, made, runs = study
    with CaseFile(made[0]) as opened:
        images, masks = opened.read(np.arange(len(opened)))
    expected = np.stack([image[:, mask].mean(axis=1) for image, mask in zip(images, masks, strict=True)])
    np.testing.assert_allclose(read_embeddings(runs["mean"]["output"]).values, expected, rtol=1e-4)
    assert read_embeddings(runs["rgb"]["output"]).values.shape[1] == 3
    assert read_embeddings(runs["pca"]["output"]).values.shape[1] == 4
    assert runs["majority"]["values"]["probe"] == pytest.approx(25)
    assert runs["majority"]["values"]["pairs"] == pytest.approx(50)
    assert runs["mean"]["values"]["probe"] > 30
    assert 1 <= runs["mean"]["values"]["planted_rank"] <= 20


def test_a_training_tells_its_course_and_leaves_its_fold_out(study):
    runs = study[3]
    record = json.loads(runs["simclr"]["record"].read_text())
    (row,) = record["history"]
    assert row["gradient_norm"] > 0
    assert row["memory_mb"] > 0
    assert record["fold"] == 0
    untrained, trained = (load_embedder(runs[name]["model"]) for name in ("untrained", "simclr"))
    assert untrained.content["training"]["memory"]["trainable"] == 0
    assert trained.content["training"]["memory"]["trainable"] > 1000


def test_embeddings_depend_on_the_file_alone(study):
    _, _, made, runs = study
    embedder = load_embedder(runs["simclr"]["model"])
    with CaseFile(made[0]) as opened:
        images, masks = opened.read([0, 7])
    np.testing.assert_allclose(
        embedder.embed(images, masks), read_embeddings(runs["simclr"]["output"]).values[[0, 7]], atol=1e-5
    )


@pytest.mark.parametrize(
    "given",
    [
        {"contrast": {"loss_type": "combined"}},
        {"contrast": {"loss": "vicreg"}, "attention": True},
        {"micro_batch": 4},
        {"stages": [{"bands": 4, "share": 0.5}, {"bands": 12, "share": 0.5}]},
        {"augmentation": {"preset": "spectral", "band_subset": "random"}},
        {"stem": "adapter", "augmentation": {"preset": "geometry", "band_subset": "disjoint"}},
        {"normalisation": "pca", "components": 5},
        {"validation_share": 0.3, "loader": {"memory_mb": 0}},
        {"bands": {"strategy": "variance", "count": 5}, "augmentation": "upstream", "normalisation": "peer"},
    ],
    ids=str,
)
def test_every_way_of_training_runs(study, tmp_path, given):
    _, settings, made, _ = study
    done = run(tmp_path, made, settings, "variant", "simclr", {**SMALL, **given})
    assert 0 <= done["values"]["probe"] <= 100


def test_images_read_ahead_train_as_images_in_memory_do(study, tmp_path):
    _, settings, made, runs = study
    read = run(tmp_path, made, settings, "read", "simclr", {**SMALL, "loader": {"memory_mb": 0}})
    np.testing.assert_allclose(
        read_embeddings(read["output"]).values, read_embeddings(runs["simclr"]["output"]).values, atol=1e-5
    )


def test_a_network_of_few_bands_is_where_one_of_all_bands_starts(study, tmp_path):
    _, settings, made, _ = study
    few = run(tmp_path, made, settings, "few", "simclr", {**SMALL, "bands": {"strategy": "uniform", "count": 4}})
    slow = {**SMALL, "learning_rate": 1e-12}
    tuned = run(tmp_path, made, settings, "tuned", "simclr", slow, start=few["model"])
    first, second = (load_embedder(done["model"]).network for done in (few, tuned))
    pairs = zip(first.encoder.backbone.parameters(), second.encoder.backbone.parameters(), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one.detach(), other.detach(), atol=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({**SMALL, "batch_size": 4}, "batch"),
        ({**SMALL, "batch_size": 1, "contrast": {"loss": "vicreg"}}, "batch"),
        ({**SMALL, "batch_size": 500}, "the training part has"),
        ({**SMALL, "stages": [{"bands": 99, "share": 1.0}]}, "more bands than the 12"),
        ({**SMALL, "stages": [{"bands": 3, "share": 0.5}]}, "must sum to 1"),
        ({**SMALL, "bands": {"strategy": "list", "bands": [99]}}, "99"),
        ({**SMALL, "augmentation": {"hue": 0.5}}, "hue"),
    ],
)
def test_a_mistake_is_told_in_one_line(study, tmp_path, given, message):
    _, settings, made, _ = study
    with pytest.raises(UserError, match=message):
        run(tmp_path, made, settings, "wrong", "simclr", given)


@pytest.mark.parametrize("kind", list(FIGURES))
def test_every_figure_is_drawn(study, tmp_path, kind):
    folder, settings, made, runs = study
    figure = {"kind": kind, "case": "c", "title": "", "metric": "probe", "variants": list(VARIANTS)}
    load_task("representation", "draw")(
        figure,
        case=made[0],
        scenes=made[1],
        case_settings=step(settings, "draw"),
        scores=folder / "scores.csv",
        kept={variant: runs[variant]["kept"] for variant in VARIANTS},
        records={variant: runs[variant]["record"] for variant in VARIANTS},
        outputs=[tmp_path / "a.png"],
    )
    assert (tmp_path / "a.png").stat().st_size > 5000
    assert save_figure is not None


def test_patches_of_a_scene_stand_in_for_specimens(tmp_path):
    generator = np.random.default_rng(0)
    labels = np.repeat([1, 2], 12)[None].repeat(24, 0)
    labels[0] = 0
    cube = (100 + 50 * labels + generator.normal(0, 5, (BANDS, 24, 24))).astype(np.float32)
    item = Item(cube, labels=labels, wavelength_nm=np.linspace(400, 900, BANDS), class_names=["low"])
    settings = settings_of(patch=5, stride=2, block=6, folds=2)
    made = prepared(tmp_path, settings, [item])
    with CaseFile(made[0]) as opened:
        assert opened.species == ["class 2", "low"]
        assert opened.shape == (BANDS, 5, 5)
        train, test = opened.fold(0)
        places = np.array([[int(part) for part in one.name.split(":")[-1].split("-")] for one in opened.identities])
        apart = np.abs(places[train][:, None] - places[test][None]).max(axis=2)
        assert apart.min() > 2  # half a patch
    assert run(tmp_path, made, settings, "mean", "mean_spectrum", {})["values"]["probe"] > 95


def test_a_specimen_keeps_its_proportions_and_its_mean():
    mask = np.zeros((40, 60), bool)
    mask[10:30, 5:55] = True
    cube = np.where(mask, np.linspace(1, 2, 60)[None, None], 0).repeat(2, 0)
    image, inside = crop_to_mask(cube, mask, size=32)
    assert image.shape == (2, 32, 32)
    rows, cols = (np.ptp(np.nonzero(inside)[axis]) + 1 for axis in (0, 1))
    assert cols / rows == pytest.approx(50 / 20, rel=0.15)
    assert image[:, inside].mean() == pytest.approx(cube[:, mask].mean(), rel=0.01)
    large, inside = crop_to_mask(cube, mask, size=120)
    assert large[:, inside].mean() == pytest.approx(cube[:, mask].mean(), rel=0.01)
    with pytest.raises(UserError, match="no specimen"):
        crop_to_mask(cube, np.zeros_like(mask), size=8)


def test_stages_follow_from_the_share_of_the_training():
    import torch

    centres = torch.linspace(400, 800, 40)
    stages = stages_from([{"bands": 4, "share": 0.5}, {"bands": 40, "share": 0.5}], bands=40)
    assert bands_of_stage(stages, 0.0, centres).tolist() == [5, 15, 24, 34]
    assert len(bands_of_stage(stages, 0.49, centres)) == 4
    assert len(bands_of_stage(stages, 0.6, centres)) == 40
    assert len(bands_of_stage(stages, 1.0, centres)) == 40


def test_a_folder_is_embedded_from_the_command_line(study, tmp_path, capsys):
    from hsipipe.scenes.simulation.specimens.files import simulate_specimens

    simulate_specimens(tmp_path / "folder", species=2, individuals=2, sides=1, size=24, bands=BANDS, seed=3)
    model = str(study[3]["simclr"]["model"])
    assert main(["embed", str(tmp_path / "folder"), str(tmp_path / "e.csv"), "--model", model]) == 0
    import pandas as pd

    table = pd.read_csv(tmp_path / "e.csv")
    assert len(table) == 4
    assert {"name", "species", "specimen", "e1"} <= set(table.columns)
    assert np.isfinite(table.filter(regex="^e[0-9]").to_numpy()).all()
    assert main(["embed", str(tmp_path / "folder"), str(tmp_path / "e.txt"), "--model", model]) == 2
    assert "not written in this format" in capsys.readouterr().err
