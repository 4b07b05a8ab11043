"""The page of a dataset version, from a small workspace."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pipeline.cycle import Cycle, open_cycle
from pipeline.dataset.row_removal import remove_rows
from pipeline.dataset.store import SampleStore
from pipeline.dataset.tags import tag_version
from pipeline.records import Source, State
from pipeline.report.site.version_page import held
from pipeline.settings import Settings
from pipeline.stages.report import renew_index, report
from tests.builders import box, sample
from tests.report.builders import MOMENT
from tests.report.reading import Page

HOSTILE = "<b onload='x'>\u202e\"&{{ 7*7 }}"


@pytest.fixture
def cycle(tmp_path, monkeypatch):
    """A project of three versions: an import, a harvest in cycle 0, and a command between cycles."""
    read = lambda uri, *_: type("Read", (), {"pixels": np.full((24, 32, 3), 90, np.uint8)})  # noqa: E731
    monkeypatch.setattr("pipeline.report.album.read_image", read)
    data = {"labels": ["bolt", "nut"], "sources": []}
    settings = Settings.model_validate({"name": HOSTILE, "workspace": str(tmp_path), "data": data})
    store = SampleStore(Cycle(settings, 0, MOMENT).workspace.samples_uri)
    store.commit([sample("one", box()), sample("two")], reason="import", key="import")
    answer = sample("two", box(5, 5, 25, 25, label=HOSTILE, source=Source.HUMAN, box_id="b"))
    store.commit([answer], reason=f"harvest {HOSTILE}", key="harvest", cycle=0, model_id="m1", details={"a": HOSTILE})
    store.commit([sample("three", state=State.POOL)], reason="more", key="more")
    return open_cycle(settings, MOMENT)


def page(cycle, number):
    return Page(cycle.workspace.reports.folder("versions").read_bytes(f"{number:04d}.html").decode())


def data(cycle, number):
    return json.loads(cycle.workspace.reports.folder("data").read_bytes(f"versions-{number:04d}.json"))


def text(page):
    return " ".join(element.text for element in page.elements)


def test_each_version_says_where_it_comes_from_and_what_it_changed(cycle):
    report(cycle)
    shown = page(cycle, 1)
    assert shown.all("h1")[0].text == f"Version 1: harvest {HOSTILE}"
    assert {"../cycle-0000.html", "../versions/0000.html", "../versions/0002.html"} <= set(shown.values("href"))
    assert "0 images added, 0 removed, 0 of another state; boxes changed in 1 image." in text(shown)
    assert shown.table("Boxes by source")[1:] == [["human", "1", "+1"], ["import", "1", "±0"]]
    assert shown.table("Boxes by class")[1] == [HOSTILE, "1", "+1"]
    assert "a command between cycles" in text(page(cycle, 2))
    assert "This is the first version" in text(page(cycle, 0))
    assert "../versions/0003.html" not in page(cycle, 2).values("href")


def test_images_lie_beside_the_page_and_load_when_they_are_seen(cycle):
    report(cycle)
    images = [element.attributes for element in page(cycle, 1).all("img")]
    assert len(images) == 2, "before and after"
    assert {each["loading"] for each in images} == {"lazy"}
    (file,) = {each["src"].removeprefix("../images/") for each in images}
    assert cycle.workspace.reports.folder("images").names() == [file]


def test_the_data_of_a_page_hold_its_numbers(cycle):
    report(cycle)
    found = data(cycle, 1)
    assert found["version"]["counts"]["boxes"] == {"human": 1, "import": 1}
    assert found["differences"] == [
        {"of": "box", "change": "added", "which": "human", "label": HOSTILE, "number": 1, "iou": None}
    ]
    assert "../data/versions-0001.json" in page(cycle, 1).values("href")


def test_pages_of_versions_whose_rows_are_gone_say_so(cycle):
    report(cycle)
    cycle.store.commit([sample("one", box(label="nut")), sample("two"), sample("four")], reason="r", key="r")
    remove_rows(cycle.store.uri, [], apply=True)
    renew_index(cycle.settings)
    gone = page(cycle, 1)
    assert "removed by `crosscheck versions vacuum`" in text(gone)
    assert ["boxes added, by source", "human", "1"] in gone.table("What it changed, as it was counted")
    assert gone.all("img") == []
    assert data(cycle, 1)["differences"] == []


def test_only_versions_that_show_something_new_are_written_again(cycle):
    reports = cycle.workspace.reports
    report(cycle)
    before = {name: reports.folder("versions").read_bytes(name) for name in reports.folder("versions").names()}
    report(cycle)
    tag_version(cycle.workspace, "release-1", 0)
    cycle.store.commit([sample("five")], reason="five", key="five")
    renew_index(cycle.settings)
    after = {name: reports.folder("versions").read_bytes(name) for name in reports.folder("versions").names()}
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"0000.html", "0002.html", "0003.html"}, "a tag, a next version, a new one"
    assert "release-1" in text(page(cycle, 0))


@pytest.mark.parametrize(
    ("now", "before", "rows"),
    [
        ({}, {}, ()),
        ({"images": {"pool": 3}}, {}, (("pool", "3", "+3"),)),
        ({"images": {}}, {"images": {"pool": 1200}}, (("pool", "0", "−1,200"),)),
    ],
)
def test_what_is_held_stands_beside_the_parent(now, before, rows):
    assert tuple(row for table in held(now, before) for row in table.rows) == rows


def test_what_a_version_changed_is_read_once_for_all_pages(cycle, monkeypatch):
    compared, real = [], SampleStore.changed_rows
    monkeypatch.setattr(
        SampleStore, "changed_rows", lambda store, old, new: compared.append((old, new)) or real(store, old, new)
    )
    report(cycle)
    assert compared == [(0, 1), (1, 2)]
    first = page(cycle, 1).all("img")
    cycle.workspace.folder("reports").folder("versions").remove("0001.html")
    renew_index(cycle.settings)
    assert compared == [(0, 1), (1, 2)], "nor when a page is made again"
    assert [image.attributes for image in page(cycle, 1).all("img")] == [image.attributes for image in first]


def test_more_images_than_were_kept_are_compared_again(cycle):
    fewer = replace(cycle, settings=with_images(cycle.settings, 0))
    report(fewer)
    assert not page(fewer, 1).all("img")
    report(replace(cycle, settings=with_images(cycle.settings, 3)))
    assert len(page(cycle, 1).all("img")) == 2, "before and after"


def with_images(settings, number):
    return settings.model_copy(update={"report": settings.report.model_copy(update={"gallery_images": number})})
