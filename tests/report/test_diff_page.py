"""The page of a difference: what it shows of each image, what it leaves out, and how it stands in a browser."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.dataset.store import SampleStore
from pipeline.errors import ImageFault
from pipeline.records import Source, State
from pipeline.report.diff_page import Compared, render_diff
from pipeline.settings import ReportSettings
from tests.browser import CHROMIUM, chromium
from tests.builders import box, image_id, sample

HOSTILE = "<script>alert(1)</script>"
KEPT = box(10, 10, 40, 40, box_id="kept")
GONE = box(100, 100, 140, 140, label="gear", box_id="gone")
WAS, BECAME = box(60, 10, 100, 50, box_id="was"), box(60, 10, 100, 50, label="nut", box_id="became")
ADDED = box(200, 20, 260, 90, label=HOSTILE, source=Source.HUMAN, box_id="added", annotator="ann")


def pixels(uri, longest_side_px):
    if "broken" in uri:
        raise ImageFault(uri, "cannot be read")
    return np.full((240, 320, 3), 120, np.uint8)


@pytest.fixture
def store(tmp_path):
    found = SampleStore(str(tmp_path / "samples"))
    first = [sample("changed", KEPT, GONE, WAS), sample("broken", GONE), sample("same", KEPT), sample("pool", KEPT)]
    found.commit(first, reason="import", key="import")
    changed = [
        sample("changed", KEPT, BECAME, ADDED),
        sample("broken"),
        sample("pool", KEPT, state=State.SKIPPED),
        sample("new", ADDED, uri=f"/images/{HOSTILE}.jpg"),
    ]
    found.commit(changed, reason="harvest", key="harvest")
    return found


def page(store, images=10, old=0, new=1):
    return render_diff(store, Compared("parts", old, new, images), pixels, ReportSettings())


def test_an_image_is_shown_before_and_after(store):
    html = page(store)
    assert "1 image added, 0 removed, 1 of another state; boxes changed in 3 images." in html
    assert "1 box added, 1 box removed, 1 box changed" in html
    assert "before: 3 boxes" in html
    assert html.count('class="mark is-kept"') == 2
    assert html.count('class="mark is-became"') == 2
    assert html.count('class="mark is-gone"') == 1
    assert html.count('class="mark is-new"') == 2
    assert "the version does not hold this image" in html
    assert "cannot be read" in html
    assert "same.jpg" not in html
    assert "labeled → skipped" in html


def test_those_with_the_most_changes_come_first_and_the_rest_is_counted(store):
    html = page(store, images=1)
    assert "changed.jpg" in html
    assert "broken.jpg" not in html
    assert "1 of 3 images shown, 2 are not." in html
    assert "are not." not in page(store)


def test_texts_are_escaped(store):
    html = page(store)
    assert HOSTILE not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_equal_versions_have_no_images(store):
    html = page(store, old=1, new=1)
    assert "No box changed." in html
    assert "boxes changed in 0 images." in html


def test_the_way_back_swaps_the_sides(store):
    html = page(store, old=1, new=0)
    assert "The image was removed." in html
    assert html.count('class="mark is-gone"') == 2
    assert html.count('class="mark is-new"') == 1


def test_the_same_versions_give_the_same_bytes(store):
    assert page(store) == page(store)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_page_is_quiet_offline_and_fits(store, tmp_path):
    many = [
        replace(sample(f"more {number}", *([ADDED] * (number % 2)), KEPT), image_id=image_id(f"more {number}"))
        for number in range(9)
    ]
    store.commit(many, reason="more", key="more")
    file = tmp_path / "diff.html"
    file.write_text(page(store, new=2))
    with chromium() as browser:
        for scheme, width in (("light", 1280), ("dark", 390)):
            view = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            complaints, requests = [], []
            view.on("console", lambda message, found=complaints: found.append(message.text))
            view.on("request", lambda asked, found=requests: found.append(asked.url))
            view.goto(file.as_uri())
            assert complaints == []
            assert [url for url in requests if not url.startswith("data:")] == [file.as_uri()]
            assert view.evaluate("document.documentElement.scrollWidth") <= width
            tiles = view.locator(".card").first.locator(".tile")
            left, right = (tiles.nth(place).bounding_box() for place in (0, 1))
            assert left["y"] == pytest.approx(right["y"], abs=1)
            assert left["x"] + left["width"] <= right["x"]
            view.close()
