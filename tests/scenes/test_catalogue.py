from pathlib import Path

import pytest

from hsipipe.errors import UserError
from hsipipe.files import sha256_of
from hsipipe.scenes.catalogue import COLUMNS, ROLES, read_catalogue

CATALOGUE = Path(__file__).parents[2] / "config" / "scenes.tsv"
HASH = "0123456789abcdef" * 4
ROW = {
    "scene": "one",
    "file": "images/one.mat",
    "role": "image",
    "key": "data",
    "url": "https://example.org/one.mat",
    "mirror": "",
    "sha256": HASH,
    "bytes": "12",
    "licence": "CC0-1.0",
    "note": "a note",
}


def write(path, *rows, header=COLUMNS):
    path.write_text("\n".join("\t".join(row) for row in [header, *rows]) + "\n")
    return path


def row(**changes):
    return [(ROW | changes)[column] for column in COLUMNS]


def test_rows_become_entries(tmp_path):
    path = write(
        tmp_path / "scenes.tsv",
        row(),
        row(role="labels", key="map"),
        row(scene="simulated-two", sha256="", bytes="", mirror="file:///data/two.mat"),
    )
    path.write_text(path.read_text() + "\n# a remark\n")
    catalogue = read_catalogue(path)
    assert list(catalogue) == ["one", "simulated-two"]
    one, two = catalogue.values()
    assert [file.role for file in one.files] == ["image", "labels"]
    assert [file.file for file in one.downloads] == ["images/one.mat"]
    assert one.in_role("labels")[0].key == "map"
    assert one.files[0].bytes == 12
    assert one.files[0].sha256 == HASH
    assert not one.simulated
    assert two.simulated
    assert two.files[0].sha256 is None
    assert two.files[0].bytes is None


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"scene": "One Two"}, "scene"),
        ({"file": "../one.mat"}, "file"),
        ({"file": "/one.mat"}, "file"),
        ({"file": "a//b.mat"}, "file"),
        ({"file": "one.mat.part"}, "file"),
        ({"file": ""}, "file"),
        ({"role": "lables"}, "did you mean 'labels'"),
        ({"url": "ftp://example.org/one.mat"}, "url"),
        ({"url": "https://user:secret@example.org/one.mat"}, "url"),
        ({"url": ""}, "url"),
        ({"mirror": "one.mat"}, "mirror"),
        ({"sha256": HASH[:-1]}, "sha256"),
        ({"sha256": HASH.upper()}, "sha256"),
        ({"bytes": "12 kB"}, "bytes"),
        ({"bytes": "0"}, "bytes"),
    ],
)
def test_malformed_rows_name_file_and_line(tmp_path, changes, word):
    path = write(tmp_path / "scenes.tsv", row(), row(**({"scene": "other"} | changes)))
    with pytest.raises(UserError, match=r"scenes\.tsv:3") as caught:
        read_catalogue(path)
    assert word in str(caught.value)


def test_repeated_and_contradicting_rows_are_refused(tmp_path):
    with pytest.raises(UserError, match="twice"):
        read_catalogue(write(tmp_path / "a.tsv", row(), row(note="again")))
    with pytest.raises(UserError, match="disagree in bytes"):
        read_catalogue(write(tmp_path / "b.tsv", row(), row(role="labels", bytes="13")))


def test_wrong_columns_cells_or_no_file(tmp_path):
    with pytest.raises(UserError, match="wrong columns"):
        read_catalogue(write(tmp_path / "a.tsv", row(), header=COLUMNS[:-1]))
    with pytest.raises(UserError, match=r"b\.tsv:2.*number of cells"):
        read_catalogue(write(tmp_path / "b.tsv", row()[:-1]))
    (tmp_path / "empty.tsv").write_text("")
    with pytest.raises(UserError, match="wrong columns"):
        read_catalogue(tmp_path / "empty.tsv")
    with pytest.raises(UserError, match="cannot be read"):
        read_catalogue(tmp_path / "absent.tsv")


def test_the_catalogue_of_the_project():
    catalogue = read_catalogue(CATALOGUE)
    for entry in catalogue.values():
        roles = {file.role for file in entry.files}
        assert roles <= set(ROLES)
        assert roles & {"image", "archive"} or {"endmembers", "abundances"} <= roles, entry.name
        assert all(file.licence for file in entry.files), entry.name
    potsdam = catalogue["enmap-potsdam"]
    assert len(potsdam.in_role("image")) == len(potsdam.in_role("labels")) == 14
    assert all(file.url.startswith("https://") for entry in catalogue.values() for file in entry.files)


def test_hashes_are_those_of_the_real_files(real_data):
    known = {file.sha256: file for entry in read_catalogue(CATALOGUE).values() for file in entry.files if file.sha256}
    there = {sha256_of(path): path for path in real_data.rglob("*") if path.is_file()}
    missing = [file.file for sha256, file in known.items() if sha256 not in there]
    assert not missing
    for sha256, file in known.items():
        assert there[sha256].stat().st_size == file.bytes
