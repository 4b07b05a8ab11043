"""A network that drops three of ten requests, before or after they are carried out."""

from __future__ import annotations

import pytest
import stamina

from pipeline.errors import RemoteError
from tests.labeling.label_studio.proxy import proxied
from tests.labeling.label_studio.test_outcomes import Project
from tests.labeling.label_studio.test_server import shown

pytestmark = pytest.mark.label_studio

NAMES = tuple(f"image {number}" for number in range(12))
MOST_NIGHTS = 20


@pytest.fixture
def proxy(server):
    with proxied(server.url) as found, stamina.set_testing(True, attempts=5, cap=True):
        found.unreliable = 0.3
        yield found


def until_it_ends(run):
    """What a schedule does: a run that fails is run again."""
    for _ in range(MOST_NIGHTS - 1):
        try:
            return run()
        except RemoteError:
            continue
    return run()


def test_push_and_harvest_are_complete_and_nothing_is_double(desk, people, proxy, tmp_path):
    settings = desk.settings(url=proxy.url, page_size=3).model_dump(mode="json")
    project = Project(desk, tmp_path, label_studio=settings)
    until_it_ends(lambda: project.push(*NAMES))
    tasks, (first, *_) = project.tasks(people[0]), people
    assert tasks.keys() == set(NAMES)
    assert all(len(entry["predictions"]) == 1 for entry in tasks.values())
    assert first.session.get("/api/projects/", params={"title": desk.title}).json()["count"] == 1
    tabs = first.session.get("/api/dm/views/", params={"project": desk.project(first)["id"]}).json()
    titles = [tab["data"]["title"] for tab in tabs]
    assert len(set(titles)) == len(titles) > 0

    for name in NAMES:
        first.submit(tasks[name]["id"], shown(tasks[name]))
    assert until_it_ends(project.harvest).answered == len(NAMES)
    assert until_it_ends(project.harvest).answered == 0
    assert all(str(row.state) == "labeled" and len(row.boxes) == 1 for row in project.rows().values())
    assert proxy.dropped >= 8
