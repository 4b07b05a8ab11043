"""Two people at the real page: one verifies boxes by keys, the other corrects. Screenshots: `build/screenshots`."""

from __future__ import annotations

import hashlib
from dataclasses import replace
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
from scripts.labeling_page import LabelingPage
from tests.browser import chromium, needs_chromium
from tests.builders import box, sample
from tests.end_to_end.project import write_config
from tests.labeling.label_studio.conftest import COLLEAGUE

pytestmark = [pytest.mark.label_studio, *needs_chromium]

SCREENSHOTS = Path(__file__).parents[3] / "build/screenshots/verification"
BOLT, GEAR, WASHER, NOTHING = (227, 116, 292, 141), (32, 182, 70, 224), (48, 5, 90, 51), (150, 40, 190, 80)
FIRST_KEY = "text=Alt+. shows each box in turn"
VERIFIED, CORRECTED = "4 boxes to verify; really a gear?", "1 bolt may be missed, upper left"


@pytest.fixture
def asked(desk):
    """Four boxes to verify (two right, one of another class, one wrong), and one to correct."""
    for name, seed in (("one", 3), ("two", 16)):
        Image.fromarray(draw_scene(0.3, np.random.default_rng(seed)).pixels).save(desk.images / f"{name}.png")
    shown = [box(*BOLT, "bolt"), box(*GEAR, "gear"), box(*WASHER, "nut"), box(*NOTHING, "nut")]
    first = desk.task("one", *shown, value=3.0, reason=VERIFIED, kind=TaskKind.VERIFY, rank=1)
    second = desk.task("two", box(*NOTHING, "nut"), value=1.0, reason=CORRECTED, rank=2)
    return [replace(task, image_id=hashlib.sha256(Path(task.uri).read_bytes()).hexdigest()) for task in (first, second)]


@pytest.fixture
def settings(desk, asked, tmp_path):
    """A project whose two images wait for an answer."""
    labeling = {"backend": "label_studio", "label_studio": desk.settings().model_dump(mode="json")}
    data = {"labels": list(DEMO_LABELS), "sources": []}
    made = load_settings(write_config(tmp_path / "project", tmp_path, data=data, labeling=labeling))
    waiting = sample(split=Split.POOL, state=State.QUEUED)
    rows = [replace(waiting, image_id=task.image_id, uri=task.uri, group_id=task.image_id) for task in asked]
    SampleStore(Workspace(made.workspace).samples_uri).commit(rows, reason="two images wait", key="start")
    return made


@pytest.fixture
def pages(server):
    """A page for each of two people, each with a login of their own."""
    logins = [(server.email, server.password), COLLEAGUE]
    with chromium() as browser:
        expect.set_options(timeout=60_000)
        opened = []
        for email, password in logins:
            page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
            page.set_default_timeout(60_000)
            opened.append(LabelingPage(page, server.url, SCREENSHOTS))
            opened[-1].log_in(email, password)
        yield opened


def test_one_verifies_by_a_key_a_box_while_another_corrects_the_next_image(
    desk, people, asked, settings, pages, server
):
    backend = labeling_backend(settings, SecretStr(server.api_key))
    backend.push(asked)
    project = desk.project(people[0])["id"]
    owner, colleague = pages
    owner.open_queue(project)
    owner.ready(VERIFIED)
    colleague.open_queue(project)
    colleague.ready(CORRECTED)  # nobody else meets the image that the owner has open
    colleague.shot("correction")
    expect(colleague.page.locator("text=looked at")).to_have_count(0)
    expect(colleague.page.locator(FIRST_KEY)).to_be_hidden()

    owner.strokes.clear()
    expect(owner.page.locator(FIRST_KEY)).to_be_visible()
    before = owner.image_top()
    lines = [owner.next_box()]
    expect(owner.page.locator(FIRST_KEY)).to_be_hidden()
    assert owner.image_top() == before, "the image stays where it is"
    owner.shot("first-box")
    lines += [owner.next_box(), owner.next_box()]
    owner.press(str(DEMO_LABELS.index("washer") + 1))
    lines.append(owner.next_box())
    owner.press("x")
    owner.press("n")
    owner.shot("verified")
    assert lines == ["bolt", "gear", "nut", "nut"]
    owner.press("Control+Enter")
    expect(owner.page.locator("text=No More Tasks Left in Queue")).to_be_visible()
    assert owner.strokes == {"keys": 4 + 2 + 1 + 1}

    colleague.select(NOTHING)
    colleague.press("Backspace")
    colleague.press("Control+Enter")
    expect(colleague.page.locator("text=No More Tasks Left in Queue")).to_be_visible()

    summary = harvest_now(Intake(settings, backend))
    assert summary.notes == ()
    assert (summary.answered, summary.empty) == (2, 1)
    assert summary.annotators == {server.email: 1, COLLEAGUE[0]: 1}
    rows = {row.image_id: row for row in SampleStore(Workspace(settings.workspace).samples_uri).samples()}
    verified = rows[asked[0].image_id]
    found = {(one.label, one.source): one.xyxy for one in verified.boxes}
    assert set(found) == {("bolt", Source.ACCEPTED), ("gear", Source.ACCEPTED), ("washer", Source.CORRECTED)}
    assert found["washer", Source.CORRECTED] == pytest.approx(WASHER, abs=1e-3)
    assert (verified.ignore, verified.state) == ((), State.LABELED)
    assert rows[asked[1].image_id].boxes == ()


def test_what_a_verification_leaves_open_is_learnt_from_by_nobody_and_shows_in_its_tab(
    desk, people, asked, settings, pages, server
):
    backend = labeling_backend(settings, SecretStr(server.api_key))
    backend.push(asked[:1])
    project = desk.project(people[0])["id"]
    owner, _ = pages
    owner.open_queue(project)
    owner.ready(VERIFIED)
    owner.next_box()
    owner.next_box()
    owner.press("i")
    owner.press("m")
    owner.press("Control+Enter")
    expect(owner.page.locator("text=No More Tasks Left in Queue")).to_be_visible()
    harvest_now(Intake(settings, backend))
    (row,) = SampleStore(Workspace(settings.workspace).samples_uri).by_ids([asked[0].image_id])
    assert [(one.label, one.source) for one in row.boxes] == [("bolt", Source.ACCEPTED)]
    reasons = [region.reason for region in row.ignore]
    assert reasons == ["inexact", "unanswered", "unanswered", "unanswered"]
    assert row.ignore[-1].xyxy == (0, 0, 320, 240)
    assert titles_with_tasks(people[0], project) == {"left open"}


def titles_with_tasks(person, project):
    """Which of the two tabs about verification list a task."""
    views = person.session.get("/api/dm/views/", params={"project": project}).json()
    ours = {view["data"]["title"]: view["id"] for view in views if view["data"]["title"] in {"to verify", "left open"}}
    counts = {
        title: person.session.get("/api/tasks/", params={"view": view, "project": project}).json()["total"]
        for title, view in ours.items()
    }
    return {title for title, count in counts.items() if count}
