"""Simulated specimens: what is planted is there, what is not planted is not, and the files are real."""

import hashlib
import json
from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hsipipe.bands.spectrum import rgb_bands
from hsipipe.errors import UserError
from hsipipe.scenes.simulation.specimens.design import planted
from hsipipe.scenes.simulation.specimens.files import simulate_specimens
from hsipipe.scenes.simulation.specimens.pigments import band_centres, bump
from hsipipe.scenes.simulation.specimens.simulate import portraits, portray, specimen_items

SMALL = {"individuals": 2, "size": 24, "bands": 30}


@pytest.fixture(scope="module")
def many():
    """Per image of a set large enough for accuracies: mean spectra of the whole, of the pattern and of the rest."""
    found = {name: [] for name in ("mean", "parts", "scaled", "species", "specimen", "session", "wavelength_nm")}
    for item in specimen_items(individuals=48, size=28, bands=60, seed=5, regions=True):
        cube = item.cube * np.float32(item.source["scale"])
        inside = cube[:, item.valid]
        core = item.labels[item.valid] == 2
        found["mean"].append(inside.mean(1))
        found["parts"].append(np.concatenate([inside[:, core].mean(1), inside[:, ~core].mean(1)]))
        found["scaled"].append((inside / inside.max(1, keepdims=True)).mean(1))
        for name in ("species", "specimen", "session"):
            found[name].append(item.source["metadata"][name])
    return {name: np.array(values) for name, values in found.items()} | {"wavelength_nm": item.wavelength_nm}


def accuracy(features, labels, groups):
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000))
    return cross_val_score(model, features, labels, groups=groups, cv=GroupKFold(4)).mean()


def within(many, kind, features):
    pair = next(pair for pair in planted().pairs if pair.kind == kind)
    chosen = np.isin(many["species"], pair.species)
    return accuracy(features[chosen], many["species"][chosen], many["specimen"][chosen])


# Of 96 specimens at chance, the standard deviation of the accuracy is 5 points: bounds stand three away and more.
@pytest.mark.parametrize("kind", ["ultraviolet", "far-red", "arrangement"])
def test_pairs_are_metameric_in_colour(many, kind):
    camera = list(rgb_bands(many["wavelength_nm"]))
    paper = [int(np.abs(many["wavelength_nm"] - nm).argmin()) for nm in (450, 550, 650)]
    for bands in (camera, paper):
        assert within(many, kind, many["mean"][:, bands]) < 0.66
        # Nor does it help to know the pattern.
        assert within(many, kind, many["parts"][:, [*bands, *(band + 60 for band in bands)]]) < 0.66


@pytest.mark.parametrize("kind", ["ultraviolet", "far-red"])
def test_all_bands_tell_a_pair_apart_but_the_mean_not_fully(many, kind):
    assert 0.72 < within(many, kind, many["mean"]) < 0.97
    assert within(many, kind, many["parts"]) > 0.97


def test_arrangement_is_not_in_the_mean_but_in_the_place(many):
    assert within(many, "arrangement", many["mean"]) < 0.66
    assert within(many, "arrangement", many["parts"]) > 0.95


def test_albedo_is_lost_by_scaling_each_band(many):
    assert within(many, "albedo", many["mean"]) > 0.9
    assert within(many, "albedo", many["scaled"]) < within(many, "albedo", many["mean"]) - 0.15


def test_session_is_decodable_and_the_mean_leaves_room(many):
    assert accuracy(many["mean"], many["session"], many["specimen"]) > 0.9
    assert 0.55 < accuracy(many["mean"], many["species"], many["specimen"]) < 0.88


def test_only_the_window_differs():
    """Noise-free: the two of a pair, given the same traits, differ in the planted window alone."""
    wavelength_nm = band_centres(408)
    for low, high in planted().windows_nm.values():
        outside = (wavelength_nm <= low) | (wavelength_nm >= high)
        height = bump(wavelength_nm, (low, high))
        assert (height[outside] == 0).all()
        assert height[~outside].min() > 0
        assert bump(np.array([(low + high) / 2]), (low, high))[0] == pytest.approx(1)
        assert high < 400 or low > 700


@pytest.mark.parametrize("number", range(4))
def test_twins_of_a_pair_differ_in_what_is_planted_only(number):
    """The same individual drawn as either species of a pair: its noise-free reflectance, band by band."""
    pair, wavelength_nm = planted().pairs[number], band_centres(408)
    metadata = {"specimen": "twin", "species": "any", "side": "dorsal", "session": "session-1", "split": "train"}
    first, second = (portray(pair, which, metadata, wavelength_nm, 32, 0) for which in (0, 1))
    np.testing.assert_array_equal(first.regions, second.regions)
    difference = np.abs(first.reflectance - second.reflectance).max(axis=(1, 2))
    means = [portrait.reflectance[:, portrait.inside].mean(1) for portrait in (first, second)]
    if pair.kind == "albedo":
        # At the rim the card shines through; elsewhere the ratio is that of the two species in every band.
        ratio = second.reflectance[:, first.inside] / first.reflectance[:, first.inside]
        np.testing.assert_allclose(np.median(ratio, axis=1), 1.22 / 0.82, rtol=1e-5)
        return
    low, high = pair.window_nm
    inside = (wavelength_nm > low) & (wavelength_nm < high)
    assert difference[~inside].max() == 0
    assert difference[inside].max() > 0.1
    if pair.kind == "arrangement":
        np.testing.assert_allclose(means[0], means[1], rtol=1e-4)
    else:
        # PLANTED_MEAN at the maximum of the bump, times this individual's brightness.
        assert (means[1] - means[0]).max() == pytest.approx(0.042, rel=0.2)


def test_mean_spectra_of_an_arrangement_pair_agree(many):
    first, second = planted().pairs[3].species
    uv = (many["wavelength_nm"] > 355) & (many["wavelength_nm"] < 397)
    a, b = (many["mean"][many["species"] == name][:, uv].mean(1) for name in (first, second))
    error = np.sqrt(a.var() / len(a) + b.var() / len(b))
    assert abs(a.mean() - b.mean()) < 3 * error


def test_planted_height_adds_the_same_to_both_arrangements():
    design = planted()
    made = list(portraits(design, individuals=2, sides=1, size=32, bands=60, seed=1))
    chosen = [p for p in made if p.metadata["species"] in design.pairs[3].species]
    assert {p.metadata["species"] for p in chosen} == set(design.pairs[3].species)
    for portrait in chosen:
        core, ring = portrait.regions == 2, portrait.regions == 3
        assert core.sum() == ring.sum() == round(0.24 * portrait.inside.sum())
        assert not (core & ring).any()
        assert (core | ring)[~portrait.inside].sum() == 0


def test_sessions_are_crossed_with_species_and_splits_keep_individuals():
    about = [item.source["metadata"] for item in specimen_items(sides=2, individuals=12, size=16, bands=8)]
    assert len(about) == 8 * 12 * 2
    assert set(Counter((row["species"], row["session"]) for row in about).values()) == {8}
    split = {}
    for row in about:
        assert split.setdefault(row["specimen"], row["split"]) == row["split"]
    shares = Counter(split.values())
    assert set(shares) == {"train", "val", "test"}
    assert shares["train"] == max(shares.values())
    smallest = [item.source["metadata"]["split"] for item in specimen_items(species=2, individuals=2, size=16, bands=8)]
    assert smallest == ["train", "test"] * 2


def test_same_seed_same_data_whatever_else_is_made():
    first = {item.name: item for item in specimen_items(species=8, **SMALL)}
    again = {item.name: item for item in specimen_items(species=2, individuals=3, size=24, bands=30)}
    for name, item in again.items():
        if name in first:
            np.testing.assert_array_equal(item.cube, first[name].cube)
    other = next(specimen_items(species=2, seed=1, **SMALL))
    assert (other.cube != first[other.name].cube).any()


def test_items_are_what_a_scene_takes():
    item = next(specimen_items(regions=True, species=2, individuals=2, size=20))
    assert item.cube.shape == (408, 20, 20)
    assert item.cube.dtype == np.uint16
    np.testing.assert_allclose(item.wavelength_nm[[0, 407]], [348.39, 348.39 + 1.1332 * 407])
    assert item.labels.shape == (20, 20)
    assert set(np.unique(item.labels)) == {0, 1, 2, 3}
    assert 0.2 < item.valid.mean() < 0.8
    assert item.source["simulated"] is True
    reflectance = item.cube[:, item.valid] * item.source["scale"]
    assert 0 < reflectance.mean() < 0.7


def test_fewer_bands_are_bins_of_the_same_range():
    centres = band_centres(60)
    half = (centres[1] - centres[0]) / 2
    assert centres[0] - half == pytest.approx(348.39 - 1.1332 / 2)
    assert centres[-1] + half == pytest.approx(348.39 + 1.1332 * 407.5)


def test_dead_lines_are_rare_and_invalid():
    items = list(specimen_items(individuals=8, size=20, bands=10))
    dead = [(item.cube == 0).all(axis=(0, 2)) for item in items]
    share = np.mean([lines.any() for lines in dead])
    assert 0.02 < share < 0.25
    assert all(not item.valid[lines].any() for item, lines in zip(items, dead, strict=True))


def test_noise_grows_with_the_root_of_the_signal():
    from hsipipe.scenes.simulation.specimens.pigments import camera_response
    from hsipipe.scenes.simulation.specimens.simulate import add_noise

    portrait = next(portraits(planted(species=2), individuals=2, sides=1, size=16, bands=8, seed=0))
    wavelength_nm = band_centres(8)
    deviations = []
    for level in (0.1, 0.4):
        even = np.full((8, 200, 200), level, np.float32)
        deviations.append((add_noise(even.copy(), portrait, wavelength_nm, seed=0) - even).std(axis=(1, 2)))
    # Read noise (0.002 over the response) is added in squares to the photon noise.
    response = camera_response(wavelength_nm)
    for level, found in zip((0.1, 0.4), deviations, strict=True):
        np.testing.assert_allclose(found, np.sqrt(0.5 * level / response / 60**2 + (0.002 / response) ** 2), rtol=0.02)


def test_files_are_complete_and_checked(tmp_path):
    simulate_specimens(tmp_path, species=2, sides=2, references=True, masks=True, **SMALL)
    data = sorted(tmp_path.rglob("*.bil"))
    assert len(data) == 2 * 2 * 2 + 3 * 2
    for path in data:
        assert path.with_name(path.name + ".hdr").is_file()
    sums = dict(reversed(line.split("  ")) for line in (tmp_path / "SHA256SUMS").read_text().splitlines())
    assert {str(path.relative_to(tmp_path)) for path in data} == set(sums)
    assert all(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest for name, digest in sums.items())
    table = (tmp_path / "metadata.csv").read_text().splitlines()
    assert table[0] == "specimen,species,side,session,split"
    assert len(table) == 9
    design = json.loads((tmp_path / "design.json").read_text())
    assert design["windows_nm"] == {"ultraviolet": [355.0, 397.0]}
    assert design["simulated"] is True


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"species": 3}, "pairs"),
        ({"individuals": 1}, "individuals"),
        ({"bands": 409}, "bands"),
        ({"sessions": 0}, "s"),
    ],
)
def test_impossible_numbers_are_refused(tmp_path, wrong, word):
    with pytest.raises(UserError, match=word):
        specimen_items(**wrong)
    with pytest.raises(UserError, match=word):
        simulate_specimens(tmp_path / "x", **wrong)
    assert not (tmp_path / "x").exists()


def test_later_rounds_of_pairs_have_names_of_their_own():
    design = planted(species=12)
    assert len(set(design.species)) == 12
    assert "far-red-present-2" in design.species
    assert "far-red-2" in design.windows_nm
    assert sum(design.gains) == pytest.approx(3)
    assert sum(design.tilts) == pytest.approx(0)
