"""A tiny fusion case through prepare, predict, score and draw, as the workflow goes; what it holds is read back."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.ndimage import convolve

from hsipipe.cases.bands import select_case_bands
from hsipipe.cases.split import split_scenes
from hsipipe.degrade.psf import make_psf
from hsipipe.errors import UserError
from hsipipe.methods import find_method
from hsipipe.report.style import save_figure
from hsipipe.scenes.scene import Item, Scene, write_scene
from hsipipe.scores import collect_scores, write_scores
from hsipipe.settings import settings_from
from hsipipe.tasks import load_task
from hsipipe.tasks.fusion.case import CaseFile
from hsipipe.tasks.fusion.figures.mixing import plot_latents
from hsipipe.tasks.fusion.settings import FIGURES, USED_BY, CaseSettings
from hsipipe.tasks.predictions import read_kept

NM = np.linspace(420, 900, 12)
ROWS, COLS, RATIO = 26, 33, 4  # cropped to 24 x 32
PSFS = ["gaussian:sigma=1.5,size=5", "delta"]


def settings_of(**given):
    case = {"scenes": ["s"], "ratio": RATIO, "psfs": PSFS, "srf": 3, "snr_hsi_db": None, "snr_msi_db": None}
    return settings_from(CaseSettings, {**case, **given}, "x.yaml")


def step(settings, name):
    return {key: getattr(settings, key) for key in USED_BY[name]}


def prepared(folder, settings, *, items=2, dead=None):
    generator = np.random.default_rng(3)
    made = []
    for number in range(items):
        abundances = generator.random((3, ROWS, COLS))
        spectra = generator.random((12, 3)) + 0.2
        cube = 4000 * np.einsum("ck,kij->cij", spectra, abundances).astype(np.float32)
        valid = np.ones((ROWS, COLS), bool)
        valid[:3, :2] = number == 0
        good = np.ones(12, bool)
        if dead is not None:
            good[dead] = number != 1
        made.append(Item(cube, name=f"i{number}", valid=valid, good_bands=good, wavelength_nm=NM))
    scenes = [folder / "s.h5"]
    write_scene(scenes[0], made, name="s")
    with Scene(scenes[0]) as scene:
        units = split_scenes([scene], settings.split)
        bands = select_case_bands([scene], units, {"strategy": "all"})
    case = folder / "case.h5"
    load_task("fusion", "prepare")(scenes, units, bands, step(settings, "prepare"), name="c", output=case)
    return case, scenes


VARIANTS = {
    "bicubic": ("bicubic", {}),
    "linear": ("ridge", {"degree": 1}),
    "oracle": ("oracle", {}),
    "network": ("spectramorph", {"num_endmembers": 3, "epochs": 5, "hidden_size": 8}),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fusion")
    settings = settings_of(figure_unit=1, figure_psf=1, snr_hsi_db=40, snr_msi_db=45)
    case, scenes = prepared(folder, settings)
    kept, records, written = {}, {}, []
    for variant, (name, given) in VARIANTS.items():
        run = folder / variant / "seed0"
        run.mkdir(parents=True)
        method = find_method("fusion", name)
        paths = {key: run / key for key in ("output", "kept", "record")}
        load_task("fusion", "predict")(
            case, scenes, method, method.complete(given), case_settings=step(settings, "predict"), seed=0, **paths
        )
        scores = load_task("fusion", "score")(case, scenes, paths["output"], case_settings=step(settings, "score"))
        write_scores(run / "scores.csv", scores, task="fusion", case="c", variant=variant, seed=0)
        written.append(run / "scores.csv")
        kept[variant], records[variant] = paths["kept"], paths["record"]
    collect_scores(written, folder / "scores.csv")
    return {"case": case, "scenes": scenes, "kept": kept, "records": records, "scores": folder / "scores.csv"}


def test_the_images_are_what_the_forward_model_says(tmp_path):
    settings = settings_of()
    case, scenes = prepared(tmp_path, settings)
    with CaseFile(case, scenes) as opened:
        assert len(opened.items) == 4
        item = opened.items[0]
        pair, truth = opened.pair(item), opened.truth(item)
        assert truth.cube.shape == (12, 24, 32)
        assert pair.lr_hsi.shape == (12, 6, 8)
        assert np.percentile(truth.cube, 99.9) == pytest.approx(1, abs=1e-5)
        kernel = make_psf(PSFS[0])
        blurred = np.stack([convolve(band, kernel, mode="reflect") for band in truth.cube.astype(float)])
        expected = blurred.reshape(12, 6, 4, 8, 4).mean(axis=(2, 4))
        np.testing.assert_allclose(pair.lr_hsi, expected, atol=1e-6)
        np.testing.assert_allclose(pair.hr_msi, np.einsum("mc,cij->mij", pair.srf, truth.cube), atol=1e-6)
        np.testing.assert_allclose(pair.blur.forward(truth.cube), pair.lr_hsi, atol=1e-6)
        delta = opened.pair(opened.items[1])
        assert opened.psf_name(opened.items[1]) == "delta"
        np.testing.assert_array_equal(delta.hr_msi, pair.hr_msi)


def test_noise_has_the_asked_for_ratio_and_depends_on_the_seed_alone(tmp_path):
    clean, _ = prepared(tmp_path, settings_of())
    (tmp_path / "again").mkdir()
    (tmp_path / "other").mkdir()
    noisy, scenes = prepared(tmp_path / "again", settings_of(snr_hsi_db=20, snr_msi_db=30))
    other, _ = prepared(tmp_path / "other", settings_of(snr_hsi_db=20, snr_msi_db=30, seed=1))
    with CaseFile(clean, scenes) as a, CaseFile(noisy, scenes) as b, CaseFile(other, scenes) as c:
        pairs = [opened.pair(opened.items[0]) for opened in (a, b, c)]
        assert len({a.content, b.content, c.content}) == 3
    for name, snr in (("lr_hsi", 20), ("hr_msi", 30)):
        pure, with_noise, redrawn = (getattr(pair, name).astype(float) for pair in pairs)
        found = 10 * np.log10((pure**2).mean() / ((with_noise - pure) ** 2).mean())
        assert found == pytest.approx(snr, abs=0.7)
        assert not np.array_equal(with_noise, redrawn)


def test_the_peers_degradation_replaces_what_is_not_given():
    plain, peer = settings_of(), settings_of(peer=True)
    assert (plain.axis, plain.edge, plain.scaling, plain.fwhm_factor) == ("measured", "reflect", "factor", 2.3548)
    assert (peer.axis, peer.edge, peer.scaling, peer.fwhm_factor) == ("stretched", "zero", "percentiles", 4.2)
    assert settings_of(peer=True, edge="reflect").edge == "reflect"
    assert plain.border == RATIO
    assert settings_of(border=0).border == 0


def test_the_peer_case_is_clipped_and_its_psf_is_the_papers(tmp_path):
    case, scenes = prepared(tmp_path, settings_of(peer=True, psfs=["airy"]))
    with CaseFile(case, scenes) as opened:
        truth = opened.truth(opened.items[0])
        assert truth.cube.min() == 0
        assert truth.cube.max() == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(opened.psfs["airy"], make_psf("airy_peer"))
        assert opened.response.axis == "stretched"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ratio": 1}, "ratio: must be at least 2"),
        ({"psfs": ["gausian"]}, "did you mean 'gaussian'"),
        ({"psfs": ["gaussian:sigma=-1"]}, "sigma: must be positive"),
        ({"psfs": []}, "psfs"),
        ({"figure_psf": 2}, "the case has 2 PSFs"),
        ({"axis": "true"}, "axis"),
        ({"bands": {"strategy": "al"}}, "did you mean 'all'"),
    ],
)
def test_mistakes_in_a_config_are_named(given, message):
    with pytest.raises(UserError, match=message):
        settings_of(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"srf": 16}, "lies outside the HSI's bands"),
        ({"srf": 5}, "unknown spectral response"),
        ({"ratio": 16}, "smaller"),
    ],
)
def test_scenes_that_do_not_fit_the_case_are_refused_and_nothing_is_left(tmp_path, given, message):
    with pytest.raises(UserError, match=message):
        prepared(tmp_path, settings_of(**given))
    assert not (tmp_path / "case.h5").exists()


def test_a_band_that_one_unit_lacks_is_in_no_score_of_it(tmp_path):
    settings = settings_of(psfs=["delta"])
    case, scenes = prepared(tmp_path, settings, items=3, dead=4)
    method = find_method("fusion", "bicubic")
    paths = {key: tmp_path / key for key in ("output", "kept", "record")}
    load_task("fusion", "predict")(case, scenes, method, {}, case_settings=step(settings, "predict"), seed=0, **paths)
    scores = load_task("fusion", "score")(case, scenes, paths["output"], case_settings=step(settings, "score"))
    assert all(np.isfinite(score.value) for score in scores)
    with CaseFile(case, scenes) as opened:
        goods = [opened.truth(item).good for item in opened.items]
    assert goods[0].all()
    assert np.flatnonzero(~goods[1]).tolist() == [4]


def test_runs_are_scored_and_the_rivals_are_in_order(study):
    import pandas as pd

    frame = pd.read_csv(study["scores"])
    assert set(frame.item) == {f"s/i{unit}@0-0/{psf}" for unit in range(2) for psf in PSFS}
    means = frame[frame.metric == "psnr"].groupby("variant").value.mean()
    assert means["oracle"] > means["linear"] > means["bicubic"]
    assert not frame.metric.str.startswith("spectramorph").any()
    record = json.loads(study["records"]["network"].read_text())
    assert record["kind"] == "per-scene"
    assert record["units"] == 4
    assert len(record["found"]) == 4


def test_what_pictures_show_is_kept(study):
    arrays = read_kept(study["kept"]["network"])
    assert arrays["item"] == "s/i1@0-0/delta"
    assert arrays["prediction"].shape == (12, 24, 32)
    assert arrays["endmembers"].shape == (3, 12)
    assert arrays["latents"].shape == (3, 24, 32)
    mixed = np.einsum("kc,kij->cij", arrays["endmembers"], arrays["latents"])
    np.testing.assert_allclose(np.clip(mixed, 0, 1), arrays["prediction"], atol=1e-4)


@pytest.mark.parametrize("kind", FIGURES)
def test_every_kind_of_figure_is_drawn(study, kind, tmp_path):
    about = {"kind": kind, "case": "c", "title": "Some title", "metric": "psnr"}
    outputs = [tmp_path / "f.png", tmp_path / "f.svg"]
    load_task("fusion", "draw")(about, case_settings={}, **study, outputs=outputs)
    assert outputs[0].read_bytes().startswith(b"\x89PNG")
    assert outputs[1].stat().st_size > 3000
    plt.close("all")


def test_a_figure_of_endmembers_needs_a_method_that_has_some(study, tmp_path):
    about = {"kind": "endmembers", "case": "c", "title": "", "metric": "psnr"}
    given = {
        **study,
        "kept": {"bicubic": study["kept"]["bicubic"]},
        "records": {"bicubic": study["records"]["bicubic"]},
    }
    with pytest.raises(UserError, match="none of the figure's variants has endmembers"):
        load_task("fusion", "draw")(about, case_settings={}, **given, outputs=[tmp_path / "f.png"])


def test_latent_maps_share_one_scale_about_zero(tmp_path):
    figure = plot_latents(np.stack([np.full((4, 5), value) for value in (-1.0, 0.5)]), title="t")
    limits = {image.get_clim() for axis in figure.axes for image in axis.images}
    assert limits == {(-1.0, 1.0)}
    save_figure(figure, [tmp_path / "l.png"])
