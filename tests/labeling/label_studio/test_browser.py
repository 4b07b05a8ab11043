"""An annotator at the real page: from the queue to the dataset version. Screenshots go to `build/screenshots`."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from pydantic import SecretStr

from pipeline.dataset.demo import DEMO_LABELS
from pipeline.dataset.demo.scene import draw_scene
from pipeline.dataset.store import SampleStore
from pipeline.labeling.annotators import labeling_backend
from pipeline.labeling.feedback.intake import Intake
from pipeline.records import Source, Split, State, TaskKind
from pipeline.settings import load_settings
from pipeline.stages.harvest import harvest_now
from pipeline.workspace import Workspace
from scripts.labeling_page import LabelingPage, centre
from tests.browser import chromium, needs_chromium
from tests.builders import box, sample
from tests.end_to_end.project import write_config

pytestmark = [pytest.mark.label_studio, *needs_chromium]

SCREENSHOTS = Path(__file__).parents[3] / "build/screenshots"
BOLT, GEAR, WASHER = (227, 116, 292, 141), (32, 182, 70, 224), (48, 5, 90, 51)
"""Where the parts of the first image lie, in pixels."""
ASIDE = (28, -32)
"""How far the machine's gear lies from the part."""
REASON = "2 washers may be missed, upper left; really a gear? found again in 1 of 5 images"
DOUBT = "found again in 1 of 5 images"


def moved(corners, offset):
    return tuple(place + offset[axis % 2] for axis, place in enumerate(corners))


@pytest.fixture
def asked(desk):
    """Two questions: an image with a right, a misplaced and a wrong box, and one without a likely box."""
    for name, seed in (("one", 3), ("two", 16)):
        Image.fromarray(draw_scene(0.3, np.random.default_rng(seed)).pixels).save(desk.images / f"{name}.png")
    bolt = box(*BOLT, "bolt", p_correct=0.97, model_id="m1")
    gear = box(*moved(GEAR, ASIDE), "gear", p_correct=0.41, model_id="m1")
    nut = box(150, 40, 190, 80, "nut", p_correct=0.3, model_id="m1")
    doubts = {gear.box_id: DOUBT, nut.box_id: "perhaps not a nut"}
    first = desk.task("one", gear, nut, bolt, value=3.0, reason=REASON, doubts=doubts, rank=1)
    second = desk.task("two", value=1.0, reason="please draw every object", kind=TaskKind.BLIND, rank=2)
    return [replace(task, image_id=hashlib.sha256(Path(task.uri).read_bytes()).hexdigest()) for task in (first, second)]


@pytest.fixture
def settings(desk, asked, tmp_path):
    """A project whose two images wait for an answer."""
    labeling = {"backend": "label_studio", "label_studio": desk.settings().model_dump(mode="json")}
    data = {"labels": list(DEMO_LABELS), "sources": [], "descriptions": {"washer": "a flat ring"}}
    made = load_settings(write_config(tmp_path / "project", tmp_path, data=data, labeling=labeling))
    waiting = sample(split=Split.POOL, state=State.QUEUED)
    rows = [replace(waiting, image_id=task.image_id, uri=task.uri, group_id=task.image_id) for task in asked]
    SampleStore(Workspace(made.workspace).samples_uri).commit(rows, reason="two images wait", key="start")
    return made


@pytest.fixture
def page(server):
    with chromium() as browser:
        opened = browser.new_page(viewport={"width": 1400, "height": 900})
        opened.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        yield LabelingPage(opened, server.url, SCREENSHOTS)


def test_an_annotator_answers_skips_and_changes_their_mind(desk, people, asked, settings, page, server):
    backend = labeling_backend(settings, SecretStr(server.api_key))
    backend.push(asked)
    page.log_in(server.email, server.password)
    page.page.goto(f"{server.url}/projects/{desk.project(people[0])['id']}/data")
    expect(page.page.locator(f"text={REASON}").first).to_be_visible()
    page.shot("queue")
    page.page.locator('button:has-text("Label All Tasks")').click()
    expect(page.page.locator("text=Labeling Instructions")).to_be_visible()
    page.shot("instructions")
    page.click("Close modal")

    page.ready(REASON)
    page.shot("proposals")
    assert (
        page.page.locator(".lsf-outliner-item input").evaluate_all("all => all.filter(one => one.readOnly).length") == 2
    )
    notes = page.page.locator(".lsf-outliner-item input:visible")
    assert notes.count() == 2
    page.select(moved(GEAR, ASIDE))
    page.drag(centre(moved(GEAR, ASIDE)), centre(GEAR))
    expect(notes).to_have_count(1)  # of the box that nobody has changed
    expect(page.page.locator(".lsf-outliner-item__control_type_score:visible")).to_have_count(2)
    page.select((150, 40, 190, 80))
    page.page.keyboard.press("Backspace")
    page.draw("3", WASHER)
    page.shot("answered")
    page.click("Submit current annotation")

    page.ready("please draw every object")
    page.shot("no-boxes")
    page.click("skip-task")
    expect(page.page.locator("text=No More Tasks Left in Queue")).to_be_visible()
    page.shot("done")
    first = harvest_now(Intake(settings, backend))
    assert (first.answered, first.skipped) == (1, 1)
    kept = labels(settings, asked[0])
    assert set(kept) == {("bolt", Source.ACCEPTED), ("gear", Source.CORRECTED), ("washer", Source.HUMAN)}

    page.page.locator('button:has-text("Go to Previous Task")').click()
    page.click("Previous task")
    page.ready(REASON)
    page.select(BOLT)
    page.page.keyboard.press("Backspace")
    page.shot("changed")
    with page.page.expect_response(lambda reply: "/api/annotations/" in reply.url and reply.request.method == "PATCH"):
        page.page.locator('button:has-text("Update")').first.click()
    before = datetime.now(UTC)
    assert harvest_now(Intake(settings, backend)).answered == 1
    store = SampleStore(Workspace(settings.workspace).samples_uri)
    assert store.history()[-1].timestamp >= before
    rows = {row.image_id: row for row in store.samples()}
    assert rows[asked[1].image_id].state is State.SKIPPED
    assert (rows[asked[0].image_id].state, rows[asked[0].image_id].split) == (State.LABELED, Split.TRAIN)
    found = labels(settings, asked[0])
    assert set(found) == {("gear", Source.CORRECTED), ("washer", Source.HUMAN)}
    assert found["gear", Source.CORRECTED] == pytest.approx(GEAR, abs=2)
    assert found["washer", Source.HUMAN] == pytest.approx(WASHER, abs=2)
    assert kept["bolt", Source.ACCEPTED] == pytest.approx(BOLT, abs=1e-3)


def test_the_score_that_sorts_the_queue_is_not_shown_as_confidence(desk, people, asked, settings, page, server):
    labeling_backend(settings, SecretStr(server.api_key)).push(asked)
    page.log_in(server.email, server.password)
    for task in asked:
        entry = desk.tasks(people[0])[task.image_id]
        page.page.goto(f"{server.url}/projects/{desk.project(people[0])['id']}/data?task={entry['id']}")
        page.ready(task.reason)
        score = page.page.locator('span[title^="Prediction score"]')
        page.shot(f"from-the-table-{task.kind}")
        expect(page.page.locator(".lsf-annotation-button__info").first).to_be_visible()
        assert score.count() == 1, "the page names it otherwise: the style has to follow"
        assert score.is_hidden()


def labels(settings, task):
    """The boxes of an image in the dataset as it is now."""
    rows = SampleStore(Workspace(settings.workspace).samples_uri).samples()
    (row,) = [one for one in rows if one.image_id == task.image_id]
    return {(one.label, one.source): one.xyxy for one in row.boxes}
