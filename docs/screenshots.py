"""Pictures of what people look at: the report, the explorer and figures of the demo; run by `make docs`.

    python docs/screenshots.py --results results --report report.zip --output site/images

Where there are no results, or no browser, the committed pictures stay, and the program says so. To renew those:
`--output docs/images`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# A browser of its own, that asks nobody for updates and needs neither a GPU nor a sandbox of the kernel.
SWITCHES = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
FIGURES = {"demo-visual.png": "denoising-visual.png", "signatures.png": "representation-signatures.png"}
WINDOW = {"width": 1280, "height": 800}
COLOURS = 200
SETTLING_MS = 3000


@contextmanager
def window() -> Iterator[Any]:
    """A page of a browser of this machine.

    Raises:
        RuntimeError: there is none, Playwright is not installed, or the page lacks what is looked for.
    """
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        raise RuntimeError(f"no browser: none of {', '.join(BROWSERS)} is on the PATH")
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise RuntimeError("the Python package playwright is not installed") from error
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(SWITCHES))
        try:
            yield browser.new_page(viewport=WINDOW)
        except Error as error:
            raise RuntimeError(f"the page is not as expected: {error.message.splitlines()[0]}") from error
        finally:
            browser.close()


def picture_report(archive: Path, target: Path) -> None:
    """A table in a report that Snakemake packed into an archive."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
        (start,) = Path(folder).rglob("report.html")
        with window() as page:
            page.goto(start.resolve().as_uri())
            page.get_by_text("Tables", exact=True).click()
            page.locator("tr", has_text="denoising").locator('[iconname="eye"]').first.click()
            page.wait_for_timeout(SETTLING_MS)
            page.screenshot(path=target)
    reduce(target, target)


def picture_explorer(file: Path, target: Path, *, part: str = "title") -> None:
    """The explorer, from the element `part` on, once it has drawn itself."""
    with window() as page:
        page.goto(file.resolve().as_uri())
        page.wait_for_selector(".view[data-ready]")
        page.evaluate("id => document.getElementById(id).scrollIntoView({behavior: 'instant'})", part)
        page.screenshot(path=target)
    reduce(target, target)


def reduce(source: Path, target: Path, *, widest: int = 1400) -> None:
    """A picture of few colours and at most so many pixels across, small enough to be kept."""
    from PIL import Image

    picture = Image.open(source).convert("RGB")
    if picture.width > widest:
        picture = picture.resize((widest, round(picture.height * widest / picture.width)), Image.Resampling.LANCZOS)
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


def make_pictures(results: Path, report: Path, output: Path) -> list[str]:
    """Make what can be made into a folder; what was made and what was not, a line each."""
    output.mkdir(parents=True, exist_ok=True)
    told = []
    figures = results / "papers" / "demo" / "figures"
    for name, figure in FIGURES.items():
        if (figures / figure).is_file():
            reduce(figures / figure, output / name)
            told.append(f"{name}: from {figures / figure}")
        else:
            told.append(f"{name}: as committed, since there is no {figures / figure}")
    explorer = results / "explorer" / "index.html"
    pages = {
        "report.png": (report, picture_report),
        "explorer.png": (explorer, picture_explorer),
        "explorer-run.png": (explorer, partial(picture_explorer, part="run")),
    }
    for name, (source, draw) in pages.items():
        kept = "as committed" if (HERE / "images" / name).is_file() else "left out"
        if not source.is_file():
            told.append(f"{name}: {kept}, since there is no {source}")
            continue
        try:
            draw(source, output / name)
            told.append(f"{name}: from {source}")
        except RuntimeError as error:
            told.append(f"{name}: {kept}: {error}")
    return told


def main() -> int:
    """Make the pictures that can be made, and tell which."""
    parser = argparse.ArgumentParser(
        description="Pictures of the report, the explorer and figures, for the documentation."
    )
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--report", type=Path, default=Path("report.zip"))
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    print("\n".join(make_pictures(options.results, options.report, options.output)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
