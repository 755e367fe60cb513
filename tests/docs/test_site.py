"""The site builds without a warning, and needs no server and no network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = (
    "index.html",
    "tutorials/denoise.html",
    "reference/config.html",
    "reference/api/metrics.html",
    "benchmarks/fusion.html",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` does."""
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-3000:]
    assert "WARNING" not in built.stderr
    return folder


def test_pages_of_all_kinds_are_there_and_nothing_is_loaded_from_elsewhere(site):
    for name in PAGES:
        assert (site / name).is_file()
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for attribute in ('src="http', "url(http", 'rel="stylesheet" href="http', 'rel="preconnect"'):
            assert attribute not in text, f"{page.relative_to(site)} loads something from elsewhere"


@pytest.mark.parametrize("width", [1280, 390])
def test_pages_open_from_a_folder(site, browser, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    told = []
    page.on("console", lambda message: told.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on(
        "request", lambda asked: None if asked.url.startswith(("file:", "data:", "blob:")) else told.append(asked.url)
    )
    for name in PAGES:
        page.goto((site / name).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{name} is too wide"
    assert told == []
    page.close()


def test_search_finds_a_word_from_a_folder(site, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto((site / "index.html").as_uri())
    page.click(".md-search__input")
    page.type(".md-search__input", "hermite")
    page.wait_for_selector(".md-search-result__item", timeout=20_000)
    assert "Degradation" in page.inner_text(".md-search-result__list")
    page.close()
