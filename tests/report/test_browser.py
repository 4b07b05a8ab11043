"""The pages in a real browser: nothing complains, nothing is fetched, nothing is wider than a phone."""

from pathlib import Path

import pytest

from pipeline.artefacts import ClassStanding
from pipeline.report import IndexContents, render_cycle, render_index, render_lead
from pipeline.settings import ReportSettings
from tests.browser import chromium, needs_chromium
from tests.report.builders import cycle_contents
from tests.report.scenes import reader, scenes

pytestmark = needs_chromium

SCREENSHOTS = Path(__file__).parents[2] / "build/screenshots"


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    images = scenes(20)
    contents = cycle_contents(images)
    pages = {
        "cycle-0002.html": render_cycle(contents, reader(images), ReportSettings(gallery_images=4)),
        "lead.html": render_lead(contents, reader(images)),
        "index.html": render_index(IndexContents.of(contents, ["cycle-0002.html"])),
    }
    for name, html in pages.items():
        (folder / name).write_text(html)
    return folder


@pytest.mark.parametrize("name", ["cycle-0002.html", "index.html", "lead.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_are_quiet_offline_and_fit(browser, files, name, scheme, width):
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda fault: complaints.append(str(fault)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((files / name).as_uri())
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [(files / name).as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 26)")
    page.close()


def test_the_index_leads_to_the_cycle_and_back(browser, files):
    page = browser.new_page()
    page.goto((files / "index.html").as_uri())
    page.click("tbody a")
    page.wait_for_url("**/cycle-0002.html")
    assert page.locator("h1").inner_text().startswith("Cycle 2:")
    page.click("header a >> nth=0")
    page.wait_for_url("**/index.html")
    assert page.locator("h1").inner_text().startswith("workshop parts:")
    page.close()


def test_an_image_enlarges_by_keyboard_and_boxes_can_be_hidden(browser, files):
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.goto((files / "cycle-0002.html").as_uri())
    frame = page.locator("#asked .frame").first
    small = frame.bounding_box()["width"]
    page.locator("#asked summary").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#asked details[open]", state="attached")
    assert frame.bounding_box()["width"] > 2 * small
    page.keyboard.press("Enter")
    page.wait_for_selector("#asked details[open]", state="detached")
    assert frame.bounding_box()["width"] == small
    mark = page.locator("#asked .mark").first
    mark.wait_for(state="visible")
    page.uncheck("#boxes-asked")
    mark.wait_for(state="hidden")
    page.close()


def test_boxes_lie_on_the_image_where_they_should(browser, files):
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.goto((files / "cycle-0002.html").as_uri())
    frame = page.locator("#dropped .frame").first
    outer, inner = frame.bounding_box(), frame.locator(".mark").first.bounding_box()
    left = float(frame.locator(".mark").first.evaluate("mark => parseFloat(mark.style.left)"))
    assert inner["x"] - outer["x"] == pytest.approx(outer["width"] * left / 100, abs=1)
    assert inner["y"] + inner["height"] <= outer["y"] + outer["height"] + 1
    page.close()


def test_printing_fits_the_paper(browser, files):
    page = browser.new_page(viewport={"width": 720, "height": 1000}, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    page.goto((files / "cycle-0002.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 720
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_withdrawn_class_stands_at_the_top_and_in_its_row(browser, tmp_path, scheme):
    needed = "withdrawn in cycle 2: people found 61 of 80 audited boxes; 59 right ones in a row bring it back"
    standing = ClassStanding(
        since=2, boxes=80, right=61, withdrawn_in=2, failed_boxes=80, failed_right=61, needed=needed
    )
    images = scenes(20)
    contents = cycle_contents(images, standings={"bolt": standing})
    file = tmp_path / "cycle-0002.html"
    file.write_text(render_cycle(contents, reader(images), ReportSettings(gallery_images=4)))
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page.goto(file.as_uri())
    notice = page.locator(f"text=No pseudo-labels of bolt: {needed}.")
    assert notice.is_visible()
    assert (
        page.locator("#certificates tr", has_text="withdrawn in cycle 2").locator("th, td").first.inner_text() == "bolt"
    )
    badge = page.locator("#certificates tr", has_text="bolt").locator("text=/^withdrawn$/")
    assert badge.is_visible()
    for table in page.locator("#certificates table").all():
        assert table.bounding_box()["width"] <= page.locator("#certificates").bounding_box()["width"], "cut off"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"report-withdrawn-{scheme}.png")
    page.locator("#certificates").screenshot(path=SCREENSHOTS / f"report-withdrawn-row-{scheme}.png")
    page.close()
