"""Fixtures that all tests share."""

import importlib
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

# Before torch is imported: tests are small, and on a busy machine torch's threads wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real scenes: HSIPIPE_MIRROR, or shared/data beside the repository; skips when absent."""
    folder = Path(os.environ.get("HSIPIPE_MIRROR", ROOT.parent / "shared" / "data"))
    if not (folder / "abu").is_dir():
        pytest.skip("the real scenes are not on this machine")
    return folder


# Without these, Chromium asks for hosts on the network by itself.
BROWSER_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium, driven by Playwright; skips where none is installed."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[*BROWSER_OPTIONS])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def docs_generator() -> ModuleType:
    """The module docs/generate/pages.py, which makes the pages of the reference of the code."""
    sys.path.insert(0, str(ROOT / "docs" / "generate"))
    try:
        return importlib.import_module("pages")
    finally:
        sys.path.remove(str(ROOT / "docs" / "generate"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long tests of the workflow first: of two processes one begins with them, and the other takes the rest."""
    items.sort(key=lambda item: item.get_closest_marker("workflow") is None)
