"""Labels sent to review on the real server: tasks of their own, with the reason, and a version that keeps the rest."""

from __future__ import annotations

import pytest

from pipeline.labeling.label_studio.backend import review_title
from pipeline.records import Source, Split
from pipeline.stages.review import push_reviews
from pipeline.stages.review_harvest import harvest_reviews
from tests.labeling.label_studio.conftest import Desk
from tests.labeling.label_studio.test_outcomes import Project
from tests.labeling.label_studio.test_server import moved, region, shown

pytestmark = pytest.mark.label_studio

TWICE = region("twice", 10.3, 10, 20, 30)


def test_a_label_drawn_twice_is_reviewed_and_mended(desk, people, tmp_path):
    owner, colleague = people
    project = Project(desk, tmp_path)
    project.push("doubled", "sound")
    for name, task in project.tasks(owner).items():
        owner.submit(task["id"], shown(task), *([TWICE] if name == "doubled" else []))
    project.harvest()
    kept, twice = project.rows()["doubled"].boxes
    assert push_reviews(project.settings, project.backend(), 5).created == 1
    assert push_reviews(project.settings, project.backend(), 5).existing == 1

    reviews = Desk(desk.server, desk.images, desk.root, review_title(desk.title), tmp_path)
    ((image, task),) = reviews.tasks(owner).items()
    assert image == project.ids["doubled"]
    assert task["data"]["kind"] == "review"
    assert task["data"]["reason"] == "labels to review; one bolt or two?"
    results = task["predictions"][0]["result"]
    assert {entry["id"] for entry in results} == {kept.box_id, twice.box_id}
    (note,) = [entry for entry in results if entry["type"] == "textarea"]
    assert note["value"]["text"] == ["perhaps a duplicate"]
    places = {entry["id"]: place for place, entry in enumerate(results) if entry["type"] == "rectanglelabels"}
    colleague.submit(task["id"], moved(task, places[kept.box_id], width=40))

    summary = harvest_reviews(project.settings, project.backend())
    assert (summary.answered, summary.changed, summary.notes) == (1, 1, ())
    (mended,) = project.rows()["doubled"].boxes
    assert (mended.source, mended.annotator) == (Source.CORRECTED, colleague.email)
    assert mended.score == kept.score
    assert (project.rows()["doubled"].split, project.rows()["sound"].boxes[0].annotator) == (Split.TRAIN, owner.email)
    assert project.harvest(full=True).answered == 0
    assert project.rows()["doubled"].boxes == (mended,)
    assert project.tasks(owner).keys() == {"doubled", "sound"}
    assert push_reviews(project.settings, project.backend(), 5).created == 0


def test_the_title_of_the_reviews_is_short_enough_for_the_server():
    assert review_title("parts") == "parts review"
    assert review_title("x" * 50) == f"{'x' * 43} review"
