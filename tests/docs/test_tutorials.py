"""What the tutorials let a reader write works; what they print is made by docs/follow.py, which is tested here too."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch
import yaml

from hsipipe import methods
from hsipipe.config.load import load_paper

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ("report.png",)  # docs/screenshots.py
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))


def written(page, name):
    """The content of a file that a tutorial lets its reader write."""
    text = (ROOT / "docs" / "tutorials" / page).read_text(encoding="utf-8")
    return re.search(rf"<!-- file: {re.escape(name)} -->\n```\w+\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)[1]


@pytest.fixture(scope="module")
def follow():
    spec = importlib.util.spec_from_file_location("follow", ROOT / "docs" / "follow.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_method_of_the_tutorial_denoises_and_describes_itself(tmp_path, monkeypatch):
    folder = "src/hsipipe/tasks/denoising/methods/spectral_bilateral"
    place = tmp_path / "denoising" / "methods" / "spectral_bilateral"
    place.mkdir(parents=True)
    (place / "method.yaml").write_text(written("add-a-method.md", f"{folder}/method.yaml"))
    monkeypatch.setattr(methods, "TASKS_FOLDER", tmp_path)
    settings = methods._read(place / "method.yaml").complete({})
    space = {}
    exec(written("add-a-method.md", f"{folder}/model.py"), space)
    generator = torch.Generator().manual_seed(0)
    # Two materials side by side: a filter of alike spectra smooths within each and keeps the edge.
    spectra = torch.rand(2, 40, generator=generator)
    clean = torch.cat(
        [spectra[0].view(1, 40, 1, 1).expand(1, 40, 24, 12), spectra[1].view(1, 40, 1, 1).expand(1, 40, 24, 12)], -1
    )
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=generator)
    denoised = space["denoise"](noisy, **settings)
    assert (denoised - clean).square().mean() < 0.1 * (noisy - clean).square().mean()
    for shape in ((1, 3, 1, 1), (2, 5, 4, 30)):
        assert torch.isfinite(space["denoise"](torch.rand(shape), **settings)).all()


def test_study_of_the_classes_is_complete():
    paper = load_paper(yaml.safe_load(written("segment.md", "land.yaml")), file="land.yaml")
    assert {run.variant for run in paper.runs()} == {"lda", "svm", "smoothed"}


def test_study_of_the_new_method_names_it_and_its_rivals():
    listed = yaml.safe_load(written("add-a-method.md", "mine.yaml"))
    for name in [
        name for name, given in listed["denoising"]["variants"].items() if "spectral_bilateral" in given["method"]
    ]:
        listed["denoising"]["variants"][name] = {"method": "svd"}  # the method is the reader's, not ours
    paper = load_paper(listed, file="mine.yaml")
    assert {run.case for run in paper.runs()} == {"my-gaussian", "my-stripes"}
    assert {"noisy", "constant", "mine", "oracle"} <= {run.variant for run in paper.runs()}


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_every_shown_output_is_there_and_every_picture(page, follow):
    for found in follow.BLOCK.finditer(page.read_text(encoding="utf-8")):
        if found["shown"] and found["mark"] is None and found["language"] == "bash":
            assert len(found["shown"].strip().splitlines()) > 2, f"{page.name} has not been followed: {found['body']}"
        if found["image"]:
            assert found["picture"] or Path(found["image"]).name in SCREENSHOTS, (
                "made by following the page, or a screenshot"
            )
            assert (page.parent / found["image"]).is_file()


def test_following_a_page(follow, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- file: word.txt -->\n```text\nseven\n```\n\n```bash\ncat word.txt\n```\n\n```text\neight\n```\n\n"
        "<!-- not run -->\n```bash\nfalse\n```\n"
    )
    assert "```bash\ncat word.txt\n```\n\n```text\nseven\n```" in follow.follow(page, tmp_path)
    page.write_text("```bash\necho no\nfalse\n```\n")
    with pytest.raises(follow.FollowingError, match=r"ended with 1:\nno"):
        follow.follow(page, tmp_path)


def test_pictures_of_all_pages_are_small():
    sizes = [path.stat().st_size for path in (ROOT / "docs" / "images").rglob("*.png")]
    assert 0 < sum(sizes) < 2_000_000
