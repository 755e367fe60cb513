"""A paper in one archive: what is in it, equal bytes for equal results, and every way to spoil it told by `verify`."""

import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from hsipipe.cli import main
from hsipipe.errors import UserError
from hsipipe.files import sha256_of
from hsipipe.provenance.bundle import write_bundle
from hsipipe.provenance.explain import explain
from hsipipe.provenance.places import MANIFEST
from hsipipe.provenance.verify import verify

ENDINGS = ("zip", "tar", "tar.gz")
RUN = "results/denoising/c/net/seed0"
PAPER = "results/papers/p"
pytestmark = pytest.mark.usefixtures("study")


@pytest.fixture
def unpacked(tmp_path):
    """A bundle, unpacked to a folder."""
    write_bundle("p", tmp_path / "p.zip", models=True)
    shutil.unpack_archive(tmp_path / "p.zip", tmp_path / "unpacked")
    return tmp_path / "unpacked"


def replace(folder, name, content):
    """Put another content into a bundle, and its hash into the manifest, as a forger would."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][name] = {"sha256": sha256_of(folder / name), "bytes": len(content)}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def pack(folder, path):
    """An archive of a folder, by another program."""
    form = {".zip": "zip", ".tar": "tar"}[path.suffix]
    return Path(shutil.make_archive(str(path.with_suffix("")), form, folder))


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_bundle_holds_the_paper_and_is_verified(tmp_path, ending):
    bundle = write_bundle("p", tmp_path / f"p.{ending}")
    wanted = {
        f"{PAPER}/config.yaml",
        f"{PAPER}/scores.csv",
        f"{PAPER}/tables/t.csv",
        f"{PAPER}/tables/t.html",
        f"{PAPER}/claims.md",
        f"{RUN}/scores.csv",
        f"{RUN}/run.json",
        f"{RUN}/.steps/train_method-model.json",
        "results/denoising/c/split.csv",
        "results/scenes/.steps/simulate_scene-field.json",
        "requirements.lock",
    }
    assert wanted <= set(bundle.names)
    assert any(name.startswith("results/.code/") for name in bundle.names)
    assert not any(name.endswith(("model.pt", "kept.h5", "field.h5")) for name in bundle.names)
    verdict = verify(bundle.path)
    assert verdict.problems == []
    assert verdict.files == len(bundle.names)
    assert verdict.recomputed == [f"{PAPER}/claims.csv", f"{PAPER}/tables/t.csv"]
    assert verdict.about["paper"] == "p"
    assert set(verdict.about["code"]["libraries"]) >= {"numpy"}


@pytest.mark.parametrize("ending", ENDINGS)
def test_equal_results_give_equal_bytes(tmp_path, ending):
    first = write_bundle("p", tmp_path / f"first.{ending}").path.read_bytes()
    for path in Path("results").rglob("*.csv"):
        path.touch()
    assert write_bundle("p", tmp_path / f"second.{ending}").path.read_bytes() == first


def test_models_and_predictions_by_choice(tmp_path):
    with_models = set(write_bundle("p", tmp_path / "p.tar", models=True).names)
    with_all = set(write_bundle("p", tmp_path / "p.tar", models=True, predictions=True).names)
    assert f"{RUN}/model.pt" in with_models
    assert f"{RUN}/kept.h5" in with_all - with_models
    assert verify(tmp_path / "p.tar").problems == []


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path):
    inner = tmp_path / "z.zip"  # models are zip archives inside
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("weights", "x")
    path = write_bundle("p", tmp_path / "p.tar", report=inner).path
    assert zipfile.is_zipfile(path)
    assert verify(path).problems == []


def test_by_config_file_and_from_elsewhere(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bundle = write_bundle(str(study / PAPER / "config.yaml"), tmp_path / "p.zip", root=study)
    assert verify(bundle.path).problems == []


def test_an_unpacked_bundle_is_verified(unpacked):
    verdict = verify(unpacked)
    assert verdict.problems == []
    assert len(verdict.recomputed) == 2


def test_numbers_of_an_unpacked_bundle_are_explained(unpacked):
    table = unpacked / PAPER / "tables/t.csv"
    found = explain(table, variant="net", metric="mpsnr")
    assert found.problems == []
    assert "results/scenes/field.h5  [not in this bundle]" in "\n".join(found.tree.lines())
    (unpacked / f"{RUN}/model.pt").unlink()
    assert explain(table, variant="net", metric="mpsnr").problems == [f"{RUN}/model.pt: is missing"]


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda folder: (folder / f"{RUN}/model.pt").unlink(), f"{RUN}/model.pt: missing"),
        (lambda folder: (folder / "more.txt").touch(), "more.txt: added, the manifest does not list it"),
        (
            lambda folder: (folder / f"{RUN}/model.pt").write_text("weights of seed 9"),
            f"{RUN}/model.pt: altered, its sha256 is another one",
        ),
        (
            lambda folder: (folder / f"{RUN}/model.pt").write_text("weights"),
            f"{RUN}/model.pt: altered, 7 bytes instead of 17",
        ),
        (
            lambda folder: (folder / f"{RUN}/model.pt").write_text("weights of seed 0 and more"),
            f"{RUN}/model.pt: altered, more than 17 bytes instead of 17",
        ),
    ],
)
@pytest.mark.parametrize("ending", [None, "zip", "tar"])
def test_what_differs_is_listed(unpacked, tmp_path, spoil, problem, ending):
    spoil(unpacked)
    bundle = unpacked if ending is None else pack(unpacked, tmp_path / f"spoiled.{ending}")
    assert verify(bundle).problems == [problem]


def test_all_that_differs_is_listed_and_told_by_the_verb(unpacked, capsys):
    (unpacked / f"{RUN}/model.pt").unlink()
    (unpacked / f"{PAPER}/scores.csv").write_text("")
    assert main(["verify", str(unpacked)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "2 problems" in lines[-1]
    assert main(["verify", str(unpacked), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["verified"] is False
    assert len(told["problems"]) == 2


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        (
            f"{PAPER}/tables/t.csv",
            b"22.25",
            b"32.25",
            "the table prints 32.25 ± 2.47487, its runs give 22.25 ± 2.47487",
        ),
        (f"{PAPER}/tables/t.md", b"22.25", b"32.25", f"{PAPER}/tables/t.md: is not what its scores give"),
        (f"{PAPER}/claims.csv", b"reproduced", b"not reproduced", f"{PAPER}/claims.csv: is not what its scores give"),
        (
            f"{PAPER}/scores.csv",
            b"mpsnr,20,",
            b"mpsnr,90,",
            f"{PAPER}/scores.csv: has other scores than {RUN}/scores.csv",
        ),
        (f"{RUN}/scores.csv", b"mpsnr,20,", b"mpsnr,90,", f"{RUN}/scores.csv: is not what its record says was made"),
        (f"{RUN}/scores.csv", b"mpsnr,20,", b"mpsnr,90,", f"{RUN}/scores.csv: is not what collect_scores read"),
    ],
)
def test_a_forged_file_is_found_by_computing_anew(unpacked, name, old, new, problem):
    before = (unpacked / name).read_bytes()
    assert old in before
    replace(unpacked, name, before.replace(old, new))
    assert any(problem in line for line in verify(unpacked).problems)


def test_tables_of_other_code_are_compared_by_their_numbers(unpacked):
    record = f"{PAPER}/tables/.steps/write_table-t.json"
    content = json.loads((unpacked / record).read_text())
    replace(unpacked, record, json.dumps({**content, "code": "of another version"}).encode())
    assert verify(unpacked).problems == []
    table = f"{PAPER}/tables/t.csv"
    replace(unpacked, table, (unpacked / table).read_bytes().replace(b"22.25", b"32.25"))
    assert any("prints 32.25" in line for line in verify(unpacked).problems)


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil"])
@pytest.mark.parametrize("ending", ["zip", "tar"])
def test_an_archive_that_leaves_its_folder_is_refused(tmp_path, name, ending):
    path = tmp_path / f"evil.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, "x")
    else:
        with tarfile.open(path, "w") as tar:
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(UserError, match="leaves the folder"):
        verify(path)


def test_links_are_refused(unpacked, tmp_path):
    with tarfile.open(tmp_path / "link.tar", "w") as tar:
        info = tarfile.TarInfo("results")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(info)
    info = zipfile.ZipInfo("results")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(info, "/etc")
    (unpacked / "more").symlink_to("/etc/hostname")
    for bundle in (tmp_path / "link.tar", tmp_path / "link.zip", unpacked):
        with pytest.raises(UserError, match="holds a link"):
            verify(bundle)


def test_a_manifest_that_leaves_the_folder_is_refused(unpacked):
    manifest = json.loads((unpacked / MANIFEST).read_text())
    manifest["files"]["../evil"] = {"sha256": "0" * 64, "bytes": 1}
    (unpacked / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="leaves the folder"):
        verify(unpacked)


def test_a_manifest_that_promises_far_too_much_is_refused(unpacked, tmp_path):
    manifest = json.loads((unpacked / MANIFEST).read_text())
    manifest["files"][f"{RUN}/model.pt"]["bytes"] = 1 << 40
    (unpacked / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="far more than it holds"):
        verify(pack(unpacked, tmp_path / "big.zip"))


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_cut_archive_is_no_bundle(tmp_path, ending):
    path = write_bundle("p", tmp_path / f"p.{ending}").path
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])  # more than the zeros at the end of a tar
    assert main(["verify", str(path)]) in (1, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "none.zip"], "does not exist"),
        (["verify", "results"], "is no bundle: it has no manifest.json"),
        (["verify", f"{PAPER}/scores.csv"], "is no bundle: neither a zip nor a tar archive"),
        (["bundle", "q", "-o", "q.zip"], "There are: p"),
        (["bundle", "p", "-o", "p.rar"], "name it .zip or .tar"),
        (["bundle", "p", "-o", "p.zip", "--report", "none.zip"], "none.zip: does not exist"),
        (["bundle", "p", "-o", "p.zip", "--report", "manifest.json"], "the name of another part"),
        (["bundle", "p"], "--output"),
    ],
)
def test_mistakes_are_one_line(capsys, arguments, message):
    Path("manifest.json").touch()
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error:")
    assert message in line


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 3}', '{"format": "other", "files": {}}'])
def test_a_damaged_manifest(unpacked, text):
    (unpacked / MANIFEST).write_text(text)
    with pytest.raises(UserError, match=r"manifest|format"):
        verify(unpacked)


def test_results_that_are_not_all_there_or_were_changed_are_not_bundled():
    scores = Path(f"{RUN}/scores.csv")
    before = scores.read_text()
    scores.write_text(before + "\n")
    with pytest.raises(UserError, match="was changed after its step had written it"):
        write_bundle("p", "p.zip")
    scores.write_text(before)
    Path(f"{PAPER}/tables/t.csv").unlink()
    with pytest.raises(UserError, match=r"tables/t.csv: the paper was not run to its end"):
        write_bundle("p", "p.zip")
    assert not Path("p.zip").exists()


def test_results_that_do_not_belong_together_are_not_bundled(remake_scene):
    remake_scene(level=3.0)
    with pytest.raises(
        UserError, match=r"case.h5: was made from an earlier results/scenes/field.h5; run the paper again"
    ):
        write_bundle("p", "p.zip")
