"""The pages in a real browser: nothing complains, nothing is fetched, nothing is wider than a phone."""

import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.artefacts import AnswerPace, ClassStanding, CycleHarvest, People
from pipeline.bench.strategies import RoundResult
from pipeline.bench.work_saved import summarize
from pipeline.bench.work_saved_page import render_work_saved
from pipeline.report import IndexContents, render_cycle, render_index, render_lead
from pipeline.settings import ReportSettings
from tests.browser import chromium, needs_chromium
from tests.report.builders import certificate, certificates, cycle_contents, opening, turns
from tests.report.scenes import reader, scenes
from tests.report.small_site import HOSTILE_LABEL, KINDS, write_site

pytestmark = needs_chromium

RESULTS = [
    RoundResult(name, 10, seed, strategy, False, number, 10, 50, 900.0 + 100 * number, 0.2 + 0.1 * number, 0.4, 0.2)
    for name in ("cells", "cards")
    for strategy in ("crosscheck", "random")
    for seed in (0, 1)
    for number in range(4)
]
LEVELS = {"cells": 0.45}
SCREENSHOTS = Path(__file__).parents[2] / "build/screenshots"


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The accessibility checker, from npm; without npm or a network there is none."""
    folder = tmp_path_factory.mktemp("axe")
    command = ["npm", "pack", "axe-core@4.10.2", "--cache", str(folder / "cache")]
    try:
        subprocess.run(command, cwd=folder, check=True, timeout=60, capture_output=True)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("needs axe-core from npm")
    with tarfile.open(folder / "axe-core-4.10.2.tgz") as archive:
        archive.extract("package/axe.min.js", folder, filter="data")
    return str(folder / "package" / "axe.min.js")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    images = scenes(20)
    contents = cycle_contents(images)
    pages = {
        "cycle-0002.html": render_cycle(contents, reader(images), ReportSettings(gallery_images=4)),
        "lead.html": render_lead(contents, reader(images)),
        "index.html": render_index(IndexContents.of(contents, ["cycle-0002.html"])),
        "strategies.html": render_work_saved(summarize(RESULTS, LEVELS), RESULTS, LEVELS),
    }
    for name, html in pages.items():
        (folder / name).write_text(html)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The report of a project with every kind of page, whose class and files have hostile names."""
    return write_site(tmp_path_factory.mktemp("site"))


@pytest.mark.parametrize("name", ["cycle-0002.html", "index.html", "lead.html", "strategies.html"])
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


ARABIC = "\u202e\u0645\u0633\u0645\u0627\u0631"
HOSTILE = {"long": "w" * 500, "right to left": ARABIC * 40, "marks": "<b>'\"&{{ 7*7 }}</b> " * 20}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("width", [390, 1280])
def test_names_of_any_kind_fit_and_show_as_text(browser, tmp_path, name, width):
    """A project, its classes, its files and its people."""
    images = [replace(scene, uri=f"/{name}/{place}{name}.jpg") for place, scene in enumerate(scenes(4))]
    own = cycle_contents(images, class_sources={name: {"human": 3}}, commands=(name,))
    own = replace(
        own,
        opening=opening(name=name),
        harvest=CycleHarvest(answered=1, annotators={name: 1}, people=People(annotators={name: AnswerPace(1)})),
        certificates=certificates(certificate(name, certified=False, needed=name)),
    )
    pages = {
        "cycle": render_cycle(own, reader(images), ReportSettings(gallery_images=2)),
        "lead": render_lead(own, reader(images)),
        "index": render_index(IndexContents.of(own, [])),
    }
    page = browser.new_page(viewport={"width": width, "height": 800})
    for kind, html in pages.items():
        (tmp_path / f"{kind}.html").write_text(html)
        page.goto((tmp_path / f"{kind}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, kind
        assert name.split()[0] in page.locator("body").inner_text(), kind
    page.close()


def test_a_table_is_sorted_by_any_column_by_keyboard(browser, files):
    page = browser.new_page()
    page.goto((files / "cycle-0002.html").as_uri())
    table = page.locator("table", has_text="The queue").first
    rows = table.locator("tbody tr")
    files_of = lambda: [rows.nth(place).locator("td").nth(1).inner_text() for place in range(rows.count())]  # noqa: E731
    before = files_of()
    head = table.locator("thead th", has_text="File")
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert (files_of(), head.get_attribute("aria-sort")) == (sorted(before), "ascending")
    page.keyboard.press("Enter")
    assert (files_of(), head.get_attribute("aria-sort")) == (sorted(before, reverse=True), "descending")
    table.locator("thead button", has_text="Rank").click()
    assert files_of() == before
    assert head.get_attribute("aria-sort") is None
    page.close()


def test_numbers_are_sorted_as_numbers_and_sums_stay_at_the_foot(browser, tmp_path):
    many = turns(12)
    contents = IndexContents("many", tuple(replace(turn, answered_images=turn.cycle * 500) for turn in many))
    (tmp_path / "index.html").write_text(render_index(contents))
    page = browser.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    table = page.locator("table", has_text="What people were asked and answered").first
    table.locator("thead button", has_text="Images answered").click()
    answered = [text.split("\t")[3] for text in table.locator("tbody tr").all_inner_texts()]
    assert answered == [f"{cycle * 500:,}" for cycle in range(12)]
    assert table.locator("tfoot th").inner_text() == "All cycles"
    page.close()


def test_a_long_table_is_searched_and_a_short_one_has_no_field(browser, files):
    page = browser.new_page()
    page.goto((files / "cycle-0002.html").as_uri())
    queue = page.locator(".table", has=page.locator("caption", has_text="The queue"))
    rows = queue.locator("tbody tr")
    word = rows.first.locator("td").nth(1).inner_text()
    total = rows.count()
    queue.get_by_label("Search this table").fill(word.upper())
    assert [row.is_visible() for row in rows.all()].count(True) == 1
    assert queue.locator("output").inner_text() == f"1 of {total} rows"
    queue.get_by_label("Search this table").fill("")
    assert all(row.is_visible() for row in rows.all())
    short = page.locator(".table", has=page.locator("caption", has_text="Boxes that count, by source"))
    assert short.locator("input").count() == 0
    page.close()


@pytest.mark.parametrize("name", ["cycle-0002.html", "index.html", "lead.html", "strategies.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(browser, files, axe, name, scheme):
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page.goto((files / name).as_uri())
    page.add_script_tag(path=axe)
    found = page.evaluate("axe.run()")["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found] == []
    page.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_pages_in_folders_are_quiet_offline_and_fit(browser, site, kind, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda fault: complaints.append(str(fault)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(site[kind].as_uri())
    assert complaints == []
    root = site["index"].parent.as_uri()
    assert all(url.startswith(("data:", root)) for url in requests), requests
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_axe_finds_no_violation_on_pages_in_folders(browser, site, axe, kind, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(site[kind].as_uri())
    page.add_script_tag(path=axe)
    found = page.evaluate("axe.run()")["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found] == []
    page.close()


@pytest.mark.parametrize("kind", KINDS)
def test_every_link_leads_somewhere(browser, site, kind):
    page = browser.new_page()
    page.goto(site[kind].as_uri())
    links = page.evaluate("[...document.links].map(link => link.href)")
    for link in links:
        target, _, anchor = link.removeprefix("file://").partition("#")
        assert Path(target).is_file(), link
        assert not anchor or page.locator(f"[id='{anchor}']").count() == 1
    assert site["index"].as_uri() in links or kind == "index"
    page.close()


def test_the_way_from_the_index_through_versions_by_keyboard(browser, site):
    page = browser.new_page()
    page.goto(site["index"].as_uri())
    link = page.locator("#versions tbody a").first
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/versions/0003.html")
    page.get_by_role("link", name="← Version 2").press("Enter")
    page.wait_for_url("**/versions/0002.html")
    page.get_by_role("link", name="Version 3 →").press("Enter")
    page.wait_for_url("**/versions/0003.html")
    page.close()


def test_images_load_when_they_come_into_view_and_boxes_lie_on_them(browser, site):
    page = browser.new_page(viewport={"width": 1000, "height": 600})
    page.goto(site["version"].as_uri())
    image = page.locator("#before-after img").last
    assert image.get_attribute("loading") == "lazy"
    image.scroll_into_view_if_needed()
    page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=image.element_handle())
    frame = page.locator("#before-after .frame").last
    outer, inner = frame.bounding_box(), frame.locator(".mark").last.bounding_box()
    assert outer["x"] - 1 <= inner["x"] <= inner["x"] + inner["width"] <= outer["x"] + outer["width"] + 1
    page.close()


@pytest.mark.parametrize("kind", ["class", "version"])
@pytest.mark.parametrize("width", [390, 1280])
def test_hostile_labels_show_as_text_in_folders(browser, site, kind, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(site[kind].as_uri())
    assert HOSTILE_LABEL[:40] in page.locator("main").inner_text()
    assert page.locator("main b[onclick]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
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
