import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from hsipipe.degrade.noise import Noise, noisy_item, parse_noise
from hsipipe.degrade.noise_presets import PRESETS
from hsipipe.errors import UserError

MIXED = (
    "gaussian:sigma=0.05,sigma_high=0.2+noniid-gaussian:sigma_low=0,sigma_high=0.1+poisson-gaussian:peak=100,sigma=0.01"
    "+stripe:fraction=0.1,fraction_high=0.3,intensity=0.2,per_band_columns=true,bands=1/3"
    "+deadline:fraction=0.05,width=1,width_high=3,bands=0.3+impulse:fraction=0.1,bands=0.3+clip"
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def residual(spec, value=0.5, shape=(2, 30, 64, 80), seed=0):
    clean = torch.full(shape, value)
    return parse_noise(spec).apply(clean, generator(seed)) - clean


@pytest.mark.parametrize("spec", [*PRESETS, MIXED])
def test_shape_type_determinism_and_clean_untouched(spec):
    noise = parse_noise(spec)
    clean = torch.rand(2, 9, 16, 20)
    kept = clean.clone()
    first, again, other = (noise.apply(clean, generator(seed)) for seed in (1, 1, 2))
    assert first.shape == clean.shape
    assert first.dtype == clean.dtype
    assert first.isfinite().all()
    assert torch.equal(first, again)
    assert torch.equal(clean, kept)
    assert torch.equal(first, other) == (spec == "none")


@pytest.mark.parametrize("spec", [*PRESETS, MIXED])
def test_description_gives_the_noise_back(spec):
    noise = parse_noise(spec)
    assert parse_noise(noise.describe()) == noise
    assert parse_noise(noise.describe()["components"]) == noise


@pytest.mark.parametrize("spec", ["hyspecnet", "mixed-5", MIXED])
def test_one_generator_per_image_is_independent_of_the_batch(spec):
    noise = parse_noise(spec)
    clean = torch.rand(3, 9, 16, 20)
    batch = noise.apply(clean, [generator(seed) for seed in (5, 6, 7)])
    for index, seed in enumerate((5, 6, 7)):
        assert torch.equal(batch[index], noise.apply(clean[index : index + 1], generator(seed))[0])


def test_gaussian_has_its_standard_deviation():
    noise = residual("gaussian:sigma=30/255")
    assert noise.std() == pytest.approx(30 / 255, rel=0.01)
    assert abs(noise.mean()) < 0.001


def test_blind_gaussian_draws_one_level_per_image():
    levels = residual("gaussian-blind", shape=(40, 4, 40, 40)).flatten(1).std(dim=1)
    bands = residual("gaussian-blind", shape=(3, 20, 60, 60)).flatten(2).std(dim=2)
    assert levels.min() < 20 / 255 < 60 / 255 < levels.max()
    assert levels.min() > 9.5 / 255
    assert levels.max() < 71 / 255
    assert (bands.std(dim=1) / bands.mean(dim=1)).max() < 0.05


def test_noniid_levels_are_the_four_of_the_benchmark():
    spread = residual("noniid", shape=(4, 60, 50, 50)).flatten(2).std(dim=2) * 255
    nearest = (spread.flatten()[:, None] - torch.tensor([10.0, 30, 50, 70])).abs()
    assert (nearest.min(dim=1).values < 3).all()
    assert set(nearest.argmin(dim=1).tolist()) == {0, 1, 2, 3}


def test_benchmark_noise_has_the_published_psnr():
    # PSNR of the noisy images that the HSDT paper (ICCV 2023) prints for ICVL: it does not depend on the image for
    # Gaussian noise and stripes. Non-iid: mean over bands of 20 log10(255 / sigma), 18.25 on their draw of bands.
    clean = torch.rand(8, 93, 64, 64)
    for name, published in {
        "gaussian-30": 18.59,
        "gaussian-50": 14.15,
        "gaussian-70": 11.23,
        "mixed-1": 18.25,
        "mixed-2": 17.80,
    }.items():
        error = (parse_noise(name).apply(clean, generator(3)) - clean).square().mean(dim=(2, 3))
        assert float((-10 * error.log10()).mean()) == pytest.approx(published, abs=0.6 if "mixed" in name else 0.02)


def test_stripes_share_columns_between_bands_and_are_constant_down_the_column():
    noise = residual("stripe:fraction=0.4,intensity=0.5", shape=(3, 20, 16, 128))
    assert torch.allclose(noise, noise[:, :, :1].expand_as(noise), atol=1e-7)
    striped = noise[:, :, 0].abs() > 0
    assert (striped.any(dim=1).sum(dim=1) == 51).all()  # floor(0.4 * 128)
    assert torch.equal(striped.any(dim=1), striped.all(dim=1))
    assert not torch.equal(striped[0], striped[1])
    offsets = noise[:, :, 0][striped]
    assert offsets.abs().max() <= 0.5 + 1e-6
    assert offsets.std() == pytest.approx(0.5 / math.sqrt(3), rel=0.05)


def test_stripes_per_band():
    noise = residual(
        "stripe:fraction=0.05,fraction_high=0.15,intensity=0.25,per_band_columns=true,bands=1/3", shape=(2, 30, 4, 100)
    )
    striped = noise[:, :, 0].abs() > 0
    touched = striped.any(dim=2)
    assert touched.sum(dim=1).tolist() == [10, 10]
    counts = striped.sum(dim=2)[touched]
    assert counts.min() >= 5
    assert counts.max() < 15
    assert len(counts.unique()) > 3
    assert len(torch.unique(striped[0][touched[0]], dim=0)) > 5


def test_impulses_are_salt_and_pepper_at_their_rate():
    noisy = residual("impulse:fraction=0.2,salt=0.25") + 0.5
    assert set(noisy.unique().tolist()) == {0.0, 0.5, 1.0}
    assert (noisy == 1).float().mean() == pytest.approx(0.05, abs=0.003)
    assert (noisy == 0).float().mean() == pytest.approx(0.15, abs=0.004)


def test_impulse_levels_are_drawn_per_band():
    rates = (residual("impulse:levels=0.1:0.3:0.5:0.7", shape=(2, 40, 40, 40)) != 0).float().mean(dim=(2, 3))
    assert ((rates.flatten()[:, None] - torch.tensor([0.1, 0.3, 0.5, 0.7])).abs().min(dim=1).values < 0.05).all()
    assert rates.max() - rates.min() > 0.3


def test_dead_lines_cover_whole_columns_of_their_width():
    noisy = residual("deadline:fraction=0.03,width=4,value=-1", shape=(2, 10, 8, 100)) + 0.5
    dead = noisy == -1
    assert torch.equal(dead.any(dim=2), dead.all(dim=2))
    counts = dead[:, :, 0].sum(dim=2)
    assert counts.max() <= 12  # three lines of four columns, fewer where they overlap or meet the edge
    assert counts.min() >= 4
    assert (noisy[~dead] == 0.5).all()
    one = (residual("deadline:fraction=0.03,width=1", shape=(2, 10, 8, 100)) != 0)[:, :, 0].sum(dim=2)
    assert (one == 3).all()


def test_dead_line_width_range_reaches_both_ends():
    dead = residual("deadline:fraction=0.001,width=1,width_high=3", shape=(4, 60, 2, 50))[:, :, 0] != 0
    assert set(dead.sum(dim=2).flatten().tolist()) == {1, 2, 3}


def test_poisson_variance_is_proportional_to_the_signal():
    for value in (0.1, 0.8):
        noise = residual("poisson-gaussian:peak=50,sigma=0.02", value=value)
        assert noise.var() == pytest.approx(value / 50 + 0.02**2, rel=0.03)
        assert noise.mean() == pytest.approx(0, abs=0.002)
    assert residual("poisson-gaussian:peak=50", value=-1.0).unique().tolist() == [1.0]  # negative counts as no light


def test_clip():
    noisy = residual("gaussian:sigma=1+clip:low=-0.2,high=0.7") + 0.5
    assert noisy.min() == pytest.approx(-0.2)
    assert noisy.max() == pytest.approx(0.7)


def test_hyspecnet_statistics_against_an_independent_simulation():
    random = np.random.default_rng(0)
    offsets = np.where(random.random((400, 1)) < 51 / 128, random.uniform(-0.5, 0.5, (400, 200)), 0)
    expected = np.clip(0.3 + 0.27 * random.standard_normal((100, 400, 200)) + offsets, 0, 1)
    found = parse_noise("hyspecnet").apply(torch.full((1, 202, 128, 128), 0.3), generator())
    assert found.mean() == pytest.approx(expected.mean(), abs=0.005)
    assert found.std() == pytest.approx(expected.std(), rel=0.02)
    assert (found == 0).float().mean() == pytest.approx((expected == 0).mean(), abs=0.01)


def test_mixed_5_gives_each_kind_its_own_third():
    noise = parse_noise(
        [{**part, "levels": [0.0]} if part["type"] == "noniid-gaussian" else part for part in PRESETS["mixed-5"]]
    )
    changed = noise.apply(torch.full((4, 30, 20, 60), 0.5), generator(4)) - 0.5
    striped = (changed.abs() <= 0.25 + 1e-6).all(dim=(2, 3)) & (changed != 0).any(dim=(2, 3))
    columns = (changed == -0.5).all(dim=2).any(dim=2)
    both = (changed == 0.5).any(dim=(2, 3))
    assert striped.sum(dim=1).tolist() == [10] * 4
    assert columns.sum(dim=1).tolist() == [10] * 4
    assert both.sum(dim=1).tolist() == [10] * 4
    assert not (striped & columns).any()
    assert not (columns & both).any()


def test_more_parts_than_bands_start_again():
    noise = parse_noise("gaussian:sigma=1,bands=0.6+gaussian:sigma=1,bands=0.6")
    touched = (noise.apply(torch.zeros(1, 10, 4, 4), generator()) != 0).any(dim=(2, 3)).sum()
    assert touched == 6  # the second six do not fit behind the first, so they are the first again


def test_half_precision_image():
    noisy = parse_noise(MIXED).apply(torch.rand(1, 6, 8, 20).half(), generator())
    assert noisy.dtype == torch.float16
    assert noisy.isfinite().all()


def test_noisy_item_is_seeded_by_its_parts():
    clean = torch.rand(5, 8, 8)
    noise = parse_noise("hyspecnet")
    one = noisy_item(clean, noise, "case", 0, "tile_1")
    assert one.shape == clean.shape
    assert torch.equal(one, noisy_item(clean, noise, "case", 0, "tile_1"))
    assert not torch.equal(one, noisy_item(clean, noise, "case", 0, "tile_2"))


def test_known():
    known = parse_noise("hyspecnet").known()
    assert known["sigma"] == pytest.approx(0.27)
    assert known["clip"] == (0, 1)
    assert known["stripes"]["fraction"] == 0.4
    assert known["other"] == []
    assert parse_noise("gaussian:sigma=0.3+gaussian:sigma=0.4").known()["sigma"] == pytest.approx(0.5)
    assert parse_noise("none").known() == {"sigma": 0.0, "clip": None, "stripes": None, "other": []}
    mixed = parse_noise("mixed-4").known()
    assert mixed["sigma"] is None
    assert mixed["other"] == ["noniid-gaussian", "impulse"]


def test_presets_and_text_can_be_joined():
    assert parse_noise("gaussian-30+clip") == parse_noise([{"type": "gaussian", "sigma": 30 / 255}, "clip"])
    assert parse_noise({"type": "clip"}) == parse_noise("clip:low=0,high=1")
    assert parse_noise("none").components == ()
    assert parse_noise("hyspecnet").name == "hyspecnet"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hyspecnett", "did you mean 'hyspecnet'"),
        ("gausian:sigma=0.1", "did you mean 'gaussian'"),
        ([{"type": "strip", "fraction": 0.1}], "did you mean 'stripe'"),
        ("gaussian:sigm=0.1", "did you mean 'sigma'"),
        ("gaussian", "needs sigma"),
        ("stripe:fraction=0.1", "needs intensity"),
        ("gaussian:sigma", "expected setting=value"),
        ("gaussian:sigma=abc", "must be a number"),
        ("gaussian:sigma=1/0", "must be a number"),
        ("gaussian:sigma=nan", "must be finite"),
        ("gaussian:sigma=-1", "at least 0"),
        ("gaussian:sigma=0.2,sigma_high=0.1", "must not be below sigma"),
        ("gaussian:sigma=0.1,bands=0", "above 0"),
        ("stripe:fraction=1.4,intensity=1", "at most 1"),
        ("stripe:fraction=0.1,intensity=1,per_band_columns=maybe", "true or false"),
        ("deadline:fraction=0.1,width=1.5", "whole number"),
        ("impulse", "either fraction or levels"),
        ("impulse:levels=0.1:2", "at most 1"),
        ("noniid-gaussian:sigma_low=0.1", "either sigma_low and sigma_high, or levels"),
        ("poisson-gaussian:peak=0", "above 0"),
        ("clip:low=1,high=0", "must be above low"),
        ([{"sigma": 0.1}], "needs a type"),
        (7, "preset's name"),
    ],
)
def test_mistakes_are_named(spec, message):
    with pytest.raises(UserError, match=message):
        parse_noise(spec)


def test_wrong_batches():
    noise = parse_noise("gaussian-30")
    with pytest.raises(ValueError, match="floating-point batch"):
        noise.apply(torch.zeros(3, 4, 4), generator())
    with pytest.raises(ValueError, match="floating-point batch"):
        noise.apply(torch.zeros(1, 3, 4, 4, dtype=torch.int16), generator())
    with pytest.raises(ValueError, match="2 generators for 3 images"):
        noise.apply(torch.zeros(3, 3, 4, 4), [generator(), generator()])


def test_parsing_does_not_import_torch():
    code = "import sys; from hsipipe.degrade.noise import parse_noise as p; p('mixed-5'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.gpu
def test_cpu_generator_gives_the_same_noise_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    clean = torch.rand(2, 9, 16, 20)
    for name in ("hyspecnet", "mixed-5", MIXED):
        noise: Noise = parse_noise(name)
        expected = noise.apply(clean, generator())
        assert torch.allclose(noise.apply(clean.cuda(), generator()).cpu(), expected, atol=1e-6)
        own = noise.apply(clean.cuda(), torch.Generator("cuda").manual_seed(0))
        assert own.is_cuda
        assert own.isfinite().all()
