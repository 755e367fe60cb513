"""Folders of specimens: pairs, metadata, calibration, masks, and what is refused."""

import csv
import logging
import shutil

import numpy as np
import pytest

from hsipipe.errors import UserError
from hsipipe.scenes.convert import convert
from hsipipe.scenes.scene import Scene
from hsipipe.scenes.simulation.specimens.files import simulate_specimens
from hsipipe.scenes.simulation.specimens.simulate import specimen_items
from hsipipe.scenes.specimens.calibration import (
    Reference,
    check_wavelengths,
    read_reference,
    scaling_of,
    to_reflectance,
)
from hsipipe.scenes.specimens.files import list_files, reference_of
from hsipipe.scenes.specimens.mask import dead_lines, otsu_threshold, separate_specimen
from hsipipe.scenes.specimens.metadata import match_table, parse_name
from hsipipe.scenes.specimens.reader import is_specimen_folder, read_specimens

NM = "wavelength = {400, 410, 420}\n"


def write(folder, name, values=None, *, extra="", header="{}.bil.hdr", nm=NM, seed=0):
    """A pair of three bands, six lines, five samples."""
    folder.mkdir(parents=True, exist_ok=True)
    if values is None:
        values = np.random.default_rng([seed, *name.encode()]).integers(100, 999, (3, 6, 5)).astype("<u2")
    suffix = ".raw" if ".raw" in header or header == "{}.hdr" else ".bil"
    (folder / f"{name}{suffix}").write_bytes(values.transpose(1, 0, 2).astype("<u2").tobytes())
    (folder / header.format(name)).write_text(
        f"ENVI\nsamples = {values.shape[2]}\nlines = {values.shape[1]}\nbands = {values.shape[0]}\nheader offset = 0\n"
        f"data type = 12\ninterleave = bil\nbyte order = 0\nwavelength units = nm\n{nm}{extra}"
    )
    return values


def table(folder, rows, columns="specimen,species,side,session,split"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata.csv").write_text("\n".join([columns, *rows]) + "\n")


def four(folder, **settings):
    """Two species of two specimens with a table."""
    for species in ("alba", "nigra"):
        for number in (1, 2):
            write(folder / species, f"{species}-{number}_D", **settings)
    table(folder, [f"{s}-{n},{s},D,may,{p}" for s in ("alba", "nigra") for n, p in ((1, "train"), (2, "test"))])


def read(folder, **settings):
    return {item.name: item for item in read_specimens(folder, **settings)}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    simulate_specimens(folder, species=4, individuals=4, sides=2, size=40, bands=40, seed=2)
    return folder


@pytest.fixture(scope="module")
def truth():
    return {i.name: i for i in specimen_items(species=4, individuals=4, sides=2, size=40, bands=40, seed=2)}


def test_simulated_specimens_come_back(simulated, truth, caplog):
    with caplog.at_level(logging.INFO):
        found = read(simulated)
    assert set(found) == set(truth)
    for name, item in found.items():
        known = truth[name]
        np.testing.assert_array_equal(item.cube, known.cube)
        np.testing.assert_allclose(item.wavelength_nm, known.wavelength_nm)
        assert item.source["metadata"] == known.source["metadata"]
        assert item.source["scale"] == pytest.approx(1e-4)
        assert item.source["simulated"] is True
        overlap = (item.valid & known.valid).sum() / (item.valid | known.valid).sum()
        assert overlap > 0.85
        lost = np.flatnonzero((known.cube == 0).all(axis=(0, 2))).tolist()
        assert item.source["dead_lines"].get("rows", []) == lost
        assert not item.valid[lost].any()
    lines = [r.getMessage() for r in caplog.records if r.name == "hsipipe.scenes.specimens.reader"]
    assert len(lines) == 1
    for part in (
        "32 images of 16 specimens, 4 species",
        "metadata.csv",
        "40 bands",
        "Otsu",
        "reflectance scale factor",
    ):
        assert part in lines[0]


def test_references_give_reflectance_and_take_the_session_away(tmp_path):
    settings = {"species": 2, "individuals": 6, "sides": 1, "size": 32, "bands": 24, "seed": 3}
    simulate_specimens(tmp_path, references=True, **settings)
    raw = read(tmp_path, references="ignore")
    found = read(tmp_path)
    plain = {item.name: item for item in specimen_items(**settings)}
    gains = {"session-1": 0.9, "session-2": 1.0, "session-3": 1.1}
    for name, item in found.items():
        assert item.source["calibration"] == "white and dark reference"
        assert item.cube.dtype == np.float32
        assert raw[name].source["calibration"] == "nothing (counts)"
        assert raw[name].cube.max() > 2000
        # The uncalibrated set holds gain and tilt (0.15 at the ends, 0 in the middle), the calibrated one neither.
        known = plain[name]
        middle = slice(11, 13)
        ratio = known.cube[middle][:, known.valid].mean() * 1e-4 / item.cube[middle][:, known.valid].mean()
        assert ratio == pytest.approx(gains[item.source["metadata"]["session"]], rel=0.02)


def test_headers_of_all_names_and_folders_below(tmp_path):
    for folder, header in (("a", "{}.bil.hdr"), ("b/c", "{}.hdr"), ("d", "{}.raw.hdr")):
        write(tmp_path / folder, f"{folder[0]}x_1D_040917", header=header)
        write(tmp_path / folder, f"{folder[0]}x_2D_040917", header=header)
    write(tmp_path / "e", "ex_1D_040917", header="{}.bil.hdr")
    write(tmp_path / "e", "ex_2D_040917", header="{}.bil.hdr")
    (tmp_path / "e" / "ex_2D_040917.bil.hdr").rename(tmp_path / "e" / "ex_2D_040917.hdr")
    found = read(tmp_path)
    assert len(found) == 8
    assert {item.source["metadata"]["species"] for item in found.values()} == {"a", "c", "d", "e"}


def test_names_without_a_table_and_the_log_says_so(tmp_path, caplog):
    values = write(tmp_path / "Pieris rapae", "Pieris rapae_1D_040917")
    write(tmp_path / "Pieris rapae", "Pieris rapae_1V_040917")
    write(tmp_path / "Pieris rapae", "Pieris rapae_12D_040918")
    with caplog.at_level(logging.INFO):
        found = read(tmp_path)
    assert "named by names of folders and files (no metadata.csv)" in caplog.text
    first = found["Pieris rapae_1D_040917"]
    np.testing.assert_array_equal(first.cube, values)
    assert first.source["metadata"] == {
        "specimen": "Pieris rapae_1",
        "species": "Pieris rapae",
        "side": "dorsal",
        "session": "040917",
        "split": "",
    }
    assert found["Pieris rapae_1V_040917"].source["metadata"]["specimen"] == "Pieris rapae_1"
    assert found["Pieris rapae_12D_040918"].source["metadata"]["specimen"] == "Pieris rapae_12"


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("Genus species_1D_040917", ("Genus species_1", "dorsal", "040917")),
        ("Genus_species_A7v_20170904", ("Genus_species_A7", "ventral", "20170904")),
        ("Genus species_1X_040917", None),
        ("corn-kernel-hyperspectral", None),
    ],
)
def test_parse_name(stem, expected):
    parsed = parse_name(stem)
    assert (None if parsed is None else (parsed["specimen"], parsed["side"], parsed["session"])) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("white", ("", "white")),
        ("darkReference", ("", "dark")),
        ("session-1_dark_ref", ("session-1", "dark")),
        ("white_ref_040917", ("040917", "white")),
        ("Pieris white_1D_040917", None),
        ("albedo-dark-01_dorsal", None),
        ("edelwhite", None),
    ],
)
def test_names_of_references(name, expected):
    assert reference_of(name) == expected


def test_a_specimen_of_the_table_is_no_reference(tmp_path):
    write(tmp_path, "moth-dark")
    write(tmp_path, "moth-b")
    table(tmp_path, ["moth-dark,moth,,,", "moth-b,moth,,,"])
    assert set(read(tmp_path)) == {"moth-dark", "moth-b"}


def test_tables_match_by_side_file_and_species(tmp_path):
    files = [tmp_path / "a" / "x_dorsal.bil", tmp_path / "b" / "x_dorsal.bil", tmp_path / "c" / "odd.bil"]
    rows = [
        {"specimen": "x", "species": "b", "side": "dorsal", "session": "", "split": ""},
        {"specimen": "z", "species": "c", "side": "", "session": "", "split": "", "file": "c/odd.bil"},
        {"specimen": "gone", "species": "c", "side": "dorsal", "session": "", "split": ""},
    ]
    matched, absent = match_table(rows, files, tmp_path, tmp_path / "metadata.csv")
    assert matched == {files[1]: rows[0], files[2]: rows[1]}
    assert absent == ["gone_dorsal"]
    with pytest.raises(UserError, match="fits several files"):
        match_table([rows[0] | {"species": "q"}], files, tmp_path, tmp_path / "metadata.csv")


def test_gain_and_scale(tmp_path):
    for number, extra in enumerate(
        ("reflectance scale factor = 10000\n", "gain = 0.5\n", "data gain values = {1, 2, 3}\n", "")
    ):
        write(tmp_path, f"m_{number + 1}D_0409", extra=extra)
    found = list(read(tmp_path).values())
    assert [item.source["calibration"] for item in found] == [
        "reflectance scale factor",
        "gain",
        "data gain values",
        "nothing (counts)",
    ]
    assert [item.source["scale"] for item in found] == [1e-4, 0.5, 1.0, 1.0]
    assert [item.cube.dtype.kind for item in found] == ["u", "u", "f", "u"]
    stored = np.fromfile(tmp_path / "m_3D_0409.bil", "<u2").reshape(6, 3, 5).transpose(1, 0, 2)
    np.testing.assert_array_equal(found[2].cube, stored * np.array([1, 2, 3])[:, None, None])
    assert read(tmp_path, gain=False)["m_2D_0409"].source["scale"] == 1.0
    (tmp_path / "m_2D_0409.bil.hdr").open("a").write("data gain values = {1, 2}\n")
    with pytest.raises(UserError, match="one number, or one per band"):
        read(tmp_path)


def test_flat_field_by_hand():
    counts = np.full((2, 1, 2), 150, np.uint16)
    reference = Reference(np.array([[250, 450], [100, 100]], "f4"), np.array([[50, 50], [100, 120]], "f4"), ("w", "d"))
    reflectance, good = to_reflectance(counts, reference, white_reflectance=0.8)
    np.testing.assert_allclose(reflectance[0, 0], [0.8 * 100 / 200, 0.8 * 100 / 400])
    assert good.tolist() == [True, False]
    assert (reflectance[1] == 0).all()


def test_a_session_without_reference_is_refused(tmp_path):
    four(tmp_path)
    write(tmp_path, "june_white", np.full((3, 2, 5), 1000, "u2"))
    write(tmp_path, "june_dark", np.full((3, 2, 5), 10, "u2"))
    with pytest.raises(UserError, match="no white and dark reference of session 'may'"):
        read(tmp_path)
    assert len(read(tmp_path, references="ignore")) == 4
    for which in ("white", "dark"):
        for end in (".bil", ".bil.hdr"):
            (tmp_path / f"june_{which}{end}").rename(tmp_path / f"{which}{end}")
    item = read(tmp_path)["alba-1_D"]
    raw = read(tmp_path, references="ignore")["alba-1_D"].cube
    np.testing.assert_allclose(item.cube, 0.99 * (raw - 10.0) / 990, rtol=1e-5)


def test_masks_from_file_ignored_values_and_contrast(tmp_path):
    four(tmp_path)
    mask = np.zeros((6, 5), np.uint8)
    mask[2:4, 1:3] = 1
    np.save(tmp_path / "alba" / "alba-1_D_mask.npy", mask)
    ignored = np.full((3, 6, 5), 7, "u2")
    ignored[:, 1:4, 1:4] = np.random.default_rng(0).integers(100, 900, (3, 3, 3))
    write(tmp_path / "alba", "alba-2_D", ignored, extra="data ignore value = 7\n")
    contrast = np.random.default_rng(1).integers(90, 110, (3, 24, 20))
    contrast[:, 6:18, 5:15] += 800
    contrast[:, 10:12, 9:11] -= 800  # a dark spot inside belongs to the specimen
    write(tmp_path / "nigra", "nigra-1_D", contrast.astype("u2"))
    found = read(tmp_path)
    assert found["alba-1_D"].source["mask"] == "mask file"
    np.testing.assert_array_equal(found["alba-1_D"].valid, mask == 1)
    assert found["alba-2_D"].source["mask"] == "data ignore value"
    assert found["alba-2_D"].valid.sum() == 9
    assert found["nigra-1_D"].source["mask"].startswith("Otsu")
    expected = np.zeros((24, 20), bool)
    expected[6:18, 5:15] = True
    np.testing.assert_array_equal(found["nigra-1_D"].valid, expected)
    assert read(tmp_path, mask="none")["nigra-1_D"].valid.all()
    np.save(tmp_path / "alba" / "alba-1_D_mask.npy", np.zeros((6, 5), np.uint8))
    with pytest.raises(UserError, match=r"alba-1_D_mask.npy.*no pixel"):
        read(tmp_path)


def test_otsu_parts_two_groups():
    values = np.concatenate([np.full(30, 1.0), np.full(10, 5.0)])
    assert 1 < otsu_threshold(values) < 5
    skimage = pytest.importorskip("skimage.filters", exc_type=ImportError)
    mixed = np.random.default_rng(0).normal([0, 6], 1, (500, 2)).ravel()
    assert otsu_threshold(mixed) == pytest.approx(skimage.threshold_otsu(mixed), abs=0.2)


def test_no_specimen_stands_out_of_noise_free_even_ground():
    assert separate_specimen(np.full((3, 20, 20), 5), np.ones((20, 20), bool)) is None
    assert separate_specimen(np.ones((3, 1, 50)), np.ones((1, 50), bool)) is None


def test_dead_lines_and_columns():
    cube = np.random.default_rng(0).integers(1, 999, (9, 7, 8))
    cube[:6, :, 5] = 0
    cube[:4, :, 2] = 0  # in fewer than half of the bands
    cube[:, 3] = 12  # crosses the dead column
    rows, cols = dead_lines(cube)
    assert np.flatnonzero(rows).tolist() == [3]
    assert np.flatnonzero(cols).tolist() == [5]
    declared = np.ones((7, 8), bool)
    cube[:, :2] = 0  # background, as the file says, and no flaw of the camera
    declared[:2] = False
    assert np.flatnonzero(dead_lines(cube, declared)[0]).tolist() == [3]
    assert np.flatnonzero(dead_lines(cube)[0]).tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    ("wavelength_nm", "word"),
    [
        (None, "no wavelengths"),
        ([400, 410, 405, 420], "do not rise"),
        ([400, 400, 410], "do not rise"),
        ([10, 20, 30], "outside"),
        ([400, 410, 420, 440, 450, 460, 470], "jump"),
        ([400, 410, np.nan], "outside"),
    ],
)
def test_wavelengths_that_no_spectrometer_has(tmp_path, wavelength_nm, word):
    with pytest.raises(UserError, match=word):
        check_wavelengths(wavelength_nm, file=tmp_path / "x.hdr")


def test_slow_dispersion_is_fine_and_the_camera_of_the_paper(tmp_path):
    camera = 348.39 + 1.1332 * np.arange(408)
    np.testing.assert_array_equal(check_wavelengths(camera, file=tmp_path), camera)
    check_wavelengths(400 * 1.01 ** np.arange(80), file=tmp_path)
    check_wavelengths(camera, file=tmp_path, reference=camera + 0.01)
    with pytest.raises(UserError, match="other wavelengths than the first"):
        check_wavelengths(camera, file=tmp_path, reference=camera + 1.1332)


def cut(folder):
    path = folder / "alba" / "alba-2_D.bil"
    path.write_bytes(path.read_bytes()[:-2])
    return r"alba-2_D.bil: has another size .*178 bytes, 180 expected"


def lengthen(folder):
    path = folder / "alba" / "alba-2_D.bil"
    path.write_bytes(path.read_bytes() + b"xx")
    return r"alba-2_D.bil: has another size .*182 bytes"


def no_header(folder):
    (folder / "nigra" / "nigra-1_D.bil.hdr").unlink()
    return r"nigra-1_D.bil: has no ENVI header; expected nigra-1_D.bil.hdr"


def no_data(folder):
    (folder / "nigra" / "nigra-1_D.bil").unlink()
    return "nigra-1_D.bil.hdr: has no data file"


def no_wavelengths(folder):
    write(folder / "alba", "alba-1_D", nm="")
    return "alba-1_D.bil.hdr: wavelength: has no wavelengths"


def other_wavelengths(folder):
    write(folder / "nigra", "nigra-1_D", nm="wavelength = {500, 510, 520}\n")
    return "nigra-1_D.bil.hdr: wavelength: has other wavelengths"


def two_splits(folder):
    write(folder / "alba", "alba-1_V")
    with open(folder / "metadata.csv", "a") as stream:
        stream.write("alba-1,alba,V,may,test\n")
    return "metadata.csv: split: specimen 'alba-1' is in two splits"


def two_species(folder):
    write(folder / "alba", "alba-1_V")
    with open(folder / "metadata.csv", "a") as stream:
        stream.write("alba-1,nigra,V,may,train\n")
    return "specimen 'alba-1' is in two species"


def one_of_a_class(folder):
    rows = (folder / "metadata.csv").read_text().splitlines()
    (folder / "metadata.csv").write_text("\n".join(rows[:-1]) + "\n")
    return "species 'nigra' has 1 specimen"


def same_data(folder):
    shutil.copy(folder / "alba" / "alba-1_D.bil", folder / "nigra" / "nigra-2_D.bil")
    return "nigra-2_D.bil: holds the same data"


def wrong_hash(folder):
    (folder / "SHA256SUMS").write_text("0" * 64 + "  alba/alba-1_D.bil\n")
    return "alba-1_D.bil: has another SHA-256"


def no_species_column(folder):
    table(folder, ["alba-1,x"], columns="specimen,genus")
    return "metadata.csv: has no column 'species'"


def unknown_split(folder):
    table(folder, ["alba-1,alba,D,may,tset"])
    return "unknown split 'tset'; did you mean 'test'"


def empty_cell(folder):
    table(folder, ["alba-1,,D,may,test"])
    return "line 2: species: is empty"


def foreign_table(folder):
    table(folder, ["rubra-1,rubra,D,may,test"])
    return "metadata.csv: fits no file"


def two_rows(folder):
    with open(folder / "metadata.csv", "a") as stream:
        stream.write("alba-1,alba,D,may,train\n")
    return "two rows for one file"


def missing_table(folder):
    (folder / "metadata.csv").unlink()
    (folder / "metadata.csv").mkdir()
    shutil.rmtree(folder / "alba")
    shutil.rmtree(folder / "nigra")
    return "holds no specimen"


@pytest.mark.parametrize(
    "spoil",
    [
        cut,
        lengthen,
        no_header,
        no_data,
        no_wavelengths,
        other_wavelengths,
        two_splits,
        two_species,
        one_of_a_class,
        same_data,
        wrong_hash,
        no_species_column,
        unknown_split,
        empty_cell,
        foreign_table,
        two_rows,
        missing_table,
    ],
    ids=lambda function: function.__name__,
)
def test_mistakes_in_one_line(tmp_path, spoil):
    four(tmp_path)
    assert len(read(tmp_path)) == 4
    message = spoil(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_unpaired_and_unlisted_files_are_told(tmp_path, caplog):
    four(tmp_path)
    (tmp_path / "lonely.bil").write_bytes(b"xx")
    write(tmp_path / "alba", "stray")
    with open(tmp_path / "metadata.csv", "a") as stream:
        csv.writer(stream).writerow(["alba-9", "alba", "D", "may", "test"])
    with pytest.raises(UserError, match=r"lonely.bil: has no ENVI header"):
        read(tmp_path)
    assert len(read(tmp_path, unpaired="skip")) == 4
    for part in ("1 without a header: lonely.bil", "1 not in the table: stray.bil", "without a file: alba-9_D"):
        assert part in caplog.text


def test_choices_are_checked_at_once(tmp_path):
    with pytest.raises(UserError, match="did you mean 'auto'"):
        read_specimens(tmp_path, mask="aut")
    with pytest.raises(UserError, match="does not exist"):
        read_specimens(tmp_path / "nowhere")


def test_one_specimen_of_a_class_can_be_embedded(tmp_path):
    write(tmp_path / "alba", "a_1D_0409")
    with pytest.raises(UserError, match="1 specimen"):
        read(tmp_path)
    assert len(read(tmp_path, least_specimens=1)) == 1


def test_a_config_of_a_folder_makes_a_scene(simulated, truth, tmp_path):
    assert is_specimen_folder(simulated)
    convert([str(simulated)], tmp_path / "s.h5", name="s")
    with Scene(tmp_path / "s.h5") as scene:
        assert scene.simulated
        assert scene.items == sorted(truth)
        item = scene.read(scene.items[0])
        assert item.source["metadata"] == truth[scene.items[0]].source["metadata"]
        np.testing.assert_allclose(scene.wavelength_nm, truth[scene.items[0]].wavelength_nm)


def test_other_folders_stay_what_they_were(tmp_path):
    write(tmp_path, "a")
    write(tmp_path, "b")
    assert not is_specimen_folder(tmp_path)
    convert(tmp_path, tmp_path / "s.h5")
    with Scene(tmp_path / "s.h5") as scene:
        assert scene.items == ["a", "b"]
        assert not scene.simulated
    table(tmp_path, ["1,2"], columns="name,size")
    assert not is_specimen_folder(tmp_path)
    named = tmp_path / "named"
    write(named, "Pieris rapae_1D_040917")
    write(named, "Pieris rapae_2D_040917")
    assert is_specimen_folder(named)


def test_real_line_scanner_files(real_data):
    corn, dark = real_data / "envi_bil_corn_kernel", real_data / "envi_bil_dark_reference"
    if not corn.is_dir() or not dark.is_dir():
        pytest.skip("the ENVI files are not on this machine")
    (item,) = read_specimens(corn, least_specimens=1, references="ignore")
    assert item.cube.shape == (580, 31, 43)
    assert item.source["metadata"]["specimen"] == "corn-kernel-hyperspectral"
    assert item.source["metadata"]["species"] == "envi_bil_corn_kernel"
    assert item.source["mask"].startswith("Otsu")
    # A kernel fills a part of the frame, and is brighter than what it lies on.
    assert 0.1 < item.valid.mean() < 0.9
    assert item.cube[:, item.valid].mean() > 2 * item.cube[:, ~item.valid].mean()
    files = list_files(dark)
    assert list(files.references) == [("", "dark")]
    assert not files.specimens
    header = files.references["", "dark"]
    reference = read_reference(header, header, (978, 100, 1600))
    assert reference.dark.shape == (978, 1600)
    assert 2 <= reference.dark.min() <= reference.dark.max() <= 47
    with pytest.raises(UserError, match="another number of bands"):
        read_reference(header, header, (580, 31, 43))
    from hsipipe.scenes.readers.envi_header import read_envi_header

    assert scaling_of(read_envi_header(header)).how == "none"
