import json
import re
from pathlib import Path

import pytest

from hsipipe.errors import UserError
from hsipipe.report.explorer.page import write_page

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


@pytest.fixture
def page(browser, page_file):
    """The page, opened; the test fails if it complained or asked for anything."""
    tab = browser.new_page(viewport={"width": 1200, "height": 900})
    told, asked = [], []
    tab.on("console", lambda message: told.append(message.text))
    tab.on("pageerror", lambda error: told.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(page_file.as_uri())
    tab.wait_for_selector(".view[data-ready]")
    yield tab
    assert told == []
    assert [url for url in asked if not url.startswith("data:")] == [page_file.as_uri()]
    tab.close()


def variants(page):
    return page.locator("#leaderboard-table tbody button").all_inner_texts()


def choose(page, name, value):
    page.select_option(f"#{name}", value)
    page.wait_for_selector(".view[data-ready]")


def test_the_best_by_the_metric_stands_first_and_the_oracle_last(page):
    assert page.inner_text("#title") == "Small </script><b>study</b>"
    assert variants(page) == ["good", "poor", "oracle"]
    assert "30.00 ± 0.50" in page.inner_text("#leaderboard-table")
    choose(page, "metric", "sam")
    assert variants(page) == ["poor", "good", "oracle"]


def test_a_click_and_a_key_open_a_run(page):
    page.click("#leaderboard-table button[data-variant=poor]")
    assert page.inner_text("#run-title") == "poor on small (simulated)"
    assert "hsipipe explain results/denoising/small/poor/seed0/scores.csv" in page.inner_text("#run-facts")
    page.focus("#tradeoff-chart g.point[data-variant=good]")
    page.keyboard.press("Enter")
    assert page.inner_text("#run-title") == "good on small (simulated)"


def test_what_is_chosen_stands_in_the_address(page, browser):
    choose(page, "metric", "sam")
    page.click("#leaderboard-table button[data-variant=good]")
    address = page.evaluate("location.href")
    other = browser.new_page()
    other.goto(address)
    other.wait_for_selector(".view[data-ready]")
    assert other.inner_text("#run-title") == "good on small (simulated)"
    assert other.input_value("#metric") == "sam"
    other.close()


def test_spectra_are_those_of_the_pixel_that_keys_choose(page, cubes):
    page.focus(".cube .stack")
    for key in ("ArrowUp", "ArrowUp", "ArrowRight"):
        page.keyboard.press(key)
    row, col = map(int, page.get_attribute(".cube [data-pixel]", "data-pixel").split(","))
    assert (row, col) == (8, 13)
    told = page.inner_text(".cube figure .legend")
    band = int(re.search(r"Band (\d+)", page.inner_text(".cube figcaption"))[1])
    for name in ("truth", "noisy input", "good"):
        value = float(re.search(rf"{name} (-?[\d.]+)", told)[1])
        assert value == pytest.approx(cubes[name][band, row, col], abs=0.01)


def test_sliders_move_band_and_split(page):
    before = page.inner_text(".cube figcaption >> nth=0")
    page.focus(".cube input[type=range][aria-label=Band]")
    page.keyboard.press("Home")
    assert page.inner_text(".cube figcaption >> nth=0") == "Band 0 (450 nm)" != before
    split = page.locator(".cube input[aria-label^='How much']")
    split.focus()
    page.keyboard.press("End")
    clip = page.locator(".cube canvas.over").evaluate("node => getComputedStyle(node).clipPath")
    assert clip == "inset(0px 0% 0px 0px)"
    assert page.locator(".cube .split").evaluate("node => node.style.left") == "100%"


def test_errors_are_those_of_what_is_compared(page, cubes):
    page.locator(".cube select").nth(0).select_option("poor")
    page.wait_for_function("document.querySelectorAll('.cube figure').length == 4")
    band = int(re.search(r"Band (\d+)", page.inner_text(".cube figcaption"))[1])
    captions = page.locator(".cube figcaption").all_inner_texts()
    for name in ("poor", "good"):
        told = next(text for text in captions if text.startswith(f"Error of {name}"))
        error = (cubes[name][band] - cubes["truth"][band]).astype(float)
        assert float(told.rsplit(" ", 1)[1]) == pytest.approx((error**2).mean() ** 0.5, abs=0.01)


def test_maps_say_what_a_pixel_is_and_where_a_classifier_is_wrong(page):
    choose(page, "task", "segmentation")
    page.focus(".map .stack")
    for key in ("ArrowUp", "ArrowUp", "ArrowUp", "ArrowLeft", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.inner_text(".map [data-pixel]") == "Row 0, column 0. labels: grass; lda: water."
    assert "1 of 16 test pixels" in page.inner_text(".map")


def test_points_are_told_one_by_one(page):
    choose(page, "task", "representation")
    page.focus(".points svg[role=application]")
    page.keyboard.press("ArrowRight")
    assert page.inner_text(".points [data-point]") == "two"
    assert "moth" in page.inner_text(".points dl")


def test_tables_show_published_numbers_beside_ours(page):
    assert page.locator("#table-shown td").all_inner_texts() == ["good", "trained", "30.00 ± 0.50", "26.90"]
    choose(page, "table", "second")
    assert page.locator("#table-shown td").all_inner_texts()[-1] == "–"
    assert page.inner_text("#table-notes") == "A note below"
    assert "table=second" in page.evaluate("location.href")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_the_contrast_of_wcag_aa(page, scheme):
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate(CONTRAST) == []


def test_it_fits_a_phone(page):
    page.set_viewport_size({"width": 360, "height": 740})
    page.wait_for_timeout(200)
    for task in ("denoising", "segmentation", "representation"):
        choose(page, "task", task)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_data_of_another_version_is_left_out_and_told(tmp_path, paper):
    for name, version in (("new", paper["format"]), ("old", "hsipipe-explorer-0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "explorer.json").write_text(json.dumps({**paper, "format": version}))
    files = [tmp_path / name / "explorer.json" for name in ("new", "old")]
    write_page(files, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert "another version of the code made them: old" in text
    assert text.count("data-paper=") == 1
    with pytest.raises(UserError, match="another version"):
        write_page(files[1:], tmp_path / "index.html")
