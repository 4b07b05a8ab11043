"""Every fault that a network and a server have, from a real server in between: what is tried again, what is left."""

from __future__ import annotations

import pytest
import stamina
from stamina.instrumentation import RetryDetails, get_on_retry_hooks, set_on_retry_hooks

from pipeline.errors import RemoteError
from pipeline.labeling.feedback.harvests import HarvestLog
from pipeline.labeling.feedback.intake import Intake
from pipeline.stages.harvest import harvest_now
from pipeline.workspace import Workspace
from tests.builders import box, image_id
from tests.labeling.label_studio.proxy import Fault, proxied
from tests.labeling.label_studio.test_outcomes import Project
from tests.labeling.label_studio.test_server import shown

pytestmark = pytest.mark.label_studio

IMPORT, LIST, TOKEN = r"^POST /api/projects/\d+/import", r"^GET /api/tasks/", r"^POST /api/token/refresh/"


@pytest.fixture
def proxy(server):
    with proxied(server.url) as found, stamina.set_testing(True, attempts=5, cap=True):
        yield found


def tasks(desk):
    return [desk.task(name, box(score=0.5)) for name in ("one", "two", "three")]


PASSING = [429, 500, 502, 503, 504, "cut", "lost"]


@pytest.mark.parametrize("do", PASSING)
def test_a_listing_or_a_token_that_failed_for_a_while_is_asked_for_again(desk, people, proxy, do):
    proxy.faults = [Fault(do, LIST), Fault(do, TOKEN, 1 if do not in {"cut", "lost"} else 0)]
    backend = desk.backend(url=proxy.url)
    assert len(backend.push(tasks(desk)).created) == 3
    (first, *_) = people
    entry = desk.tasks(first)[image_id("one")]
    first.submit(entry["id"], shown(entry))
    proxy.faults = [Fault(do, LIST, 2)]
    assert len(backend.harvest().answers) == 1
    assert all(fault.times == 0 for fault in proxy.faults)


@pytest.mark.parametrize("do", [429, 500, 502, 503, "cut", "lost"])
def test_an_import_that_failed_once_is_made_once(desk, people, proxy, do):
    proxy.faults = [Fault(do, IMPORT)]
    result = desk.backend(url=proxy.url, page_size=2).push(tasks(desk))
    assert (len(result.created), result.refused) == (3, {})
    assert len(desk.tasks(people[0])) == 3
    arrived = sum(request.startswith("POST") and "/import" in request for request in proxy.requests)
    assert arrived == (2 if do in {"cut", "lost"} else 3), "what is there is not sent again"


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (401, r"refuses the token \(401\).*LABEL_STUDIO_API_KEY"),
        (403, r"may not \(403\)"),
        (429, "got 429"),
        (500, "got 500"),
        (502, "got 502"),
        ("cut", "RemoteProtocolError"),
        ("silent", "ReadTimeout"),
    ],
    ids=["401", "403", "429", "500", "502", "cut", "silent"],
)
def test_a_fault_that_lasts_ends_in_one_message_and_nothing_half_written(desk, people, proxy, tmp_path, do, message):
    project = Project(desk, tmp_path, labels=("bolt", "nut"))
    project.push("one")
    entry = project.tasks(people[0])["one"]
    people[0].submit(entry["id"], shown(entry))
    before = project.store.version()
    proxy.faults = [Fault(do, LIST, 99)]
    backend = desk.backend(url=proxy.url, timeout_s=1.0 if do == "silent" else 60.0)
    with pytest.raises(RemoteError, match=message) as caught:
        harvest_now(Intake(project.settings, backend))
    assert str(caught.value).startswith(f"Label Studio at {proxy.url}: could not list tasks")
    listings = sum("/api/tasks/" in request for request in proxy.requests)
    assert listings == (1 if do in {401, 403} else 5)
    assert (project.store.version(), HarvestLog(Workspace(project.settings.workspace)).names()) == (before, [])
    with pytest.raises(RemoteError, match=message):
        backend.push([desk.task("new", box(score=0.5))])
    assert len(desk.tasks(people[0])) == 1

    proxy.faults = []
    assert harvest_now(Intake(project.settings, desk.backend(url=proxy.url))).answered == 1
    assert backend.push([desk.task("new", box(score=0.5))]).created == (image_id("new"),)


@pytest.mark.parametrize(
    ("header", "waits"), [("0.01", 0.01), ("86400", 0.02), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None)]
)
def test_the_server_says_how_long_to_wait_and_is_believed_within_bounds(desk, proxy, monkeypatch, header, waits):
    monkeypatch.setattr("pipeline.labeling.label_studio.connection._LONGEST_RETRY_AFTER_S", 0.02)
    stamina.set_testing(False)
    seen: list[RetryDetails] = []
    hooks = get_on_retry_hooks()
    set_on_retry_hooks([seen.append])
    try:
        proxy.faults = [Fault(429, r"^GET /api/projects", headers={"Retry-After": header})]
        desk.backend(url=proxy.url).harvest()
    finally:
        set_on_retry_hooks(hooks)
    (retry,) = seen
    assert retry.wait_for == waits if waits else retry.wait_for > 0.02, "the usual backoff where it says nothing of use"
