"""Labels with planted mistakes are found, reviewed by the simulated annotator and come back as a version."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.artefacts import CycleEnd, CycleHarvest, HarvestSummary, PushRun, ReviewWork
from pipeline.bench.human_work import HumanWork, work_until
from pipeline.cycle import Cycle, open_cycle
from pipeline.dataset.store import SampleStore
from pipeline.errors import SettingsError
from pipeline.labeling.annotators import labeling_backend
from pipeline.labeling.feedback.harvests import HarvestLog
from pipeline.labeling.feedback.intake import Intake
from pipeline.labeling.feedback.provenance import blame_image
from pipeline.labeling.feedback.review_log import ReviewLog
from pipeline.records import Box, Sample, Source, Split, State, Task, TaskKind, make_box_id
from pipeline.report.collect import collect
from pipeline.report.contents import IndexContents
from pipeline.report.page import render_index, render_lead
from pipeline.settings import Settings, load_settings
from pipeline.stages.harvest import harvest, harvest_now
from pipeline.stages.importing import import_sources
from pipeline.stages.review import labels_to_review, push_reviews, push_reviews_in
from pipeline.stages.review_harvest import harvest_reviews, harvest_reviews_in
from pipeline.workspace import Workspace
from tests.builders import MOMENT
from tests.end_to_end.project import write_config
from tests.report.reading import Page
from tests.report.scenes import reader

SPOILED = 3


class Project:
    """A project whose pool was answered, in some images with one box twice."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.workspace = Workspace(settings.workspace)
        self.backend = labeling_backend(settings, None)
        import_sources(settings, MOMENT)
        self.store = SampleStore(self.workspace.samples_uri)
        pool = self.store.samples(states=[State.POOL])
        blank = {"value": 1.0, "reason": "", "kind": TaskKind.BLIND, "asked_at": MOMENT}
        self.backend.push([Task(image.image_id, image.uri, image.width, image.height, (), **blank) for image in pool])
        self.harvest()
        self.spoiled = self.rows([image.image_id for image in pool])[:SPOILED]
        self.store.commit([self.spoil(row) for row in self.spoiled], reason="spoiled", key="spoiled")

    def spoil(self, row: Sample) -> Sample:
        first, *others = row.boxes
        return replace(row, boxes=(first, self.doubled(first, row), *others))

    def doubled(self, box: Box, row: Sample) -> Box:
        corners = (box.x1, box.y1, box.x2 - 1, box.y2)
        return replace(box, x2=box.x2 - 1, box_id=make_box_id(row.image_id, box.label, corners, "twice"))

    def rows(self, image_ids) -> list[Sample]:
        return self.store.by_ids(image_ids)

    def harvest(self, **how) -> HarvestSummary:
        return harvest_now(Intake(self.settings, self.backend), **how)

    def reviewed(self) -> HarvestSummary:
        return harvest_reviews(self.settings, self.backend)


@pytest.fixture
def project(tiny_data, tmp_path) -> Project:
    return Project(load_settings(write_config(tmp_path, tiny_data)))


def test_what_is_wrong_is_found_first(project):
    queue = labels_to_review(project.settings)
    assert set(queue.images["image_id"].to_pylist()) == {row.image_id for row in project.spoiled}
    assert set(queue.suspects["suspicion"].to_pylist()) == {"duplicate"}


def test_a_review_mends_labels_and_keeps_who_drew_the_others(project):
    before = {row.image_id: row for row in project.spoiled}
    pushed = push_reviews(project.settings, project.backend, 10)
    assert pushed.created == SPOILED
    summary = project.reviewed()
    assert (summary.answered, summary.changed, summary.notes) == (SPOILED, SPOILED, ())
    assert summary.boxes["deleted"] == SPOILED
    assert summary.version == project.store.version()
    assert project.store.history()[-1].why.startswith(f"review of labels: {SPOILED} images mended")
    for row in project.rows(before):
        assert len(row.boxes) == len(before[row.image_id].boxes)
        assert {box.annotation_id for box in row.boxes} == {f"simulated-{row.image_id[:16]}"}
        assert row.split is Split.TRAIN


def test_nothing_is_reviewed_twice(project):
    push_reviews(project.settings, project.backend, 10)
    assert push_reviews(project.settings, project.backend, 10).existing == SPOILED
    project.reviewed()
    version = project.store.version()
    assert project.reviewed() == HarvestSummary()
    assert project.store.version() == version
    assert labels_to_review(project.settings).images.num_rows == 0


def test_a_review_is_no_first_label_and_no_audit(project):
    names = HarvestLog(project.workspace).names()
    push_reviews(project.settings, project.backend, 10)
    project.reviewed()
    assert HarvestLog(project.workspace).names() == names
    assert ReviewLog(project.workspace).reviewed() == {row.image_id for row in project.spoiled}
    assert project.harvest().answered == 0


def test_a_harvest_of_every_answer_undoes_no_review(project):
    push_reviews(project.settings, project.backend, 10)
    project.reviewed()
    mended = project.rows(row.image_id for row in project.spoiled)
    project.harvest(full=True)
    assert project.rows(row.image_id for row in project.spoiled) == mended


def test_a_restore_undoes_a_review(project):
    spoiled = project.store.version()
    push_reviews(project.settings, project.backend, 10)
    project.reviewed()
    log = ReviewLog(project.workspace)
    assert log.reviewed_at(project.store).keys() == {row.image_id for row in project.spoiled}
    project.store.restore(spoiled, "by hand")
    assert log.reviewed_at(project.store) == {}


def test_a_killed_harvest_is_finished_once(project):
    push_reviews(project.settings, project.backend, 10)
    log = ReviewLog(project.workspace)
    log.save(project.backend.for_reviews().harvest())
    assert project.reviewed().changed == SPOILED
    assert project.reviewed() == HarvestSummary()
    assert len(log.names()) == 1


def test_blame_tells_of_a_review(project):
    name = project.spoiled[0].image_id
    push_reviews(project.settings, project.backend, 10)
    project.reviewed()
    said = [change for change in blame_image(project.workspace, name) if change.version.why.startswith("review")]
    assert {change.change for change in said} == {"box removed", "proposal deleted"}
    assert "deleted by simulated" in {change.detail for change in said}


def test_the_reviewer_errs_anew(project):
    """Who reviews with the mistakes of the first time would find nothing."""
    settings = project.settings.model_copy(deep=True)
    simulated = settings.labeling.simulated.model_copy(update={"error_rate": 0.5})
    labeling = settings.labeling.model_copy(update={"simulated": simulated})
    backend = labeling_backend(settings.model_copy(update={"labeling": labeling}), None)
    tasks = [
        Task(row.image_id, row.uri, row.width, row.height, (), 1.0, "", TaskKind.BLIND, asked_at=MOMENT)
        for row in project.store.samples(splits=[Split.TRAIN])
        if row.boxes and row.boxes[0].source is Source.HUMAN
    ]
    reviewer = backend.for_reviews()
    reviewer.push([replace(task, kind=TaskKind.REVIEW) for task in tasks])
    first = {answer.image_id: [box.xyxy for box in answer.boxes] for answer in backend.harvest().answers}
    again = {answer.image_id: [box.xyxy for box in answer.boxes] for answer in reviewer.harvest().answers}
    assert again.keys() <= first.keys()
    assert any(again[name] != first[name] for name in again)


def test_somebody_has_to_answer(project):
    with pytest.raises(SettingsError, match="Expected somebody who answers"):
        push_reviews(project.settings, None, 5)


def with_share(settings: Settings, share: float) -> Settings:
    query = settings.selection.query.model_copy(update={"review_share": share})
    return settings.model_copy(update={"selection": settings.selection.model_copy(update={"query": query})})


def test_a_share_of_every_push_is_review(project):
    """Three images a cycle: one of cycle 0 is for review, and nobody is sent any where there is no share."""
    log = ReviewLog(project.workspace)
    push_reviews_in(open_cycle(project.settings, MOMENT), project.backend)
    assert log.asked().versions == {}
    cycle = Cycle(with_share(project.settings, 0.34), 0, MOMENT)
    push_reviews_in(cycle, project.backend)
    assert len(log.asked().versions) == 1
    harvest_reviews_in(cycle, project.backend)
    assert project.store.history()[-1].cycle == 0
    assert len(log.reviewed()) == 1


def test_a_cycle_that_goes_on_reviews_nothing_anew(project):
    """What a cycle has begun to learn from stays as it is."""
    cycle = open_cycle(with_share(project.settings, 1.0), MOMENT)
    push_reviews(project.settings, project.backend, 10)
    cycle.write(CycleHarvest())
    cycle.write(PushRun())
    version, asked = project.store.version(), ReviewLog(project.workspace).asked()
    harvest_reviews_in(cycle, project.backend)
    push_reviews_in(cycle, project.backend)
    assert (project.store.version(), ReviewLog(project.workspace).asked()) == (version, asked)


def next_cycle(cycle: Cycle) -> Cycle:
    cycle.write(CycleEnd(MOMENT))
    return open_cycle(cycle.settings, MOMENT)


def page_of(cycle: Cycle, what: str) -> Page:
    contents = collect(cycle)
    index = IndexContents.of(contents, ())
    return Page(render_lead(contents, reader([])) if what == "lead" else render_index(index))


def test_reviews_count_as_work_of_people_once(project):
    """Reviewed between cycles, so that the cycle counts them, and the next one does not."""
    first = open_cycle(project.settings, MOMENT)
    before = harvest(first, project.backend)
    assert (before.reviews, before.review_harvests) == (ReviewWork(), 0)
    push_reviews(project.settings, project.backend, 10)
    project.reviewed()
    second = next_cycle(first)
    counted = harvest(second, project.backend)
    said = list(ReviewLog(project.workspace).answers(["000000"]))
    seconds = sum(answer.lead_time_s for answer in said)
    reviews = counted.reviews
    assert (reviews.answered, reviews.changed, reviews.mistaken) == (SPOILED, SPOILED, 1.0)
    assert reviews.hours == pytest.approx(seconds / 3600)
    assert seconds > 0
    assert counted.people.kinds["review"].answered == SPOILED
    assert sum(pace.answered for pace in counted.people.annotators.values()) == len(
        {answer.annotation_id for answer in (*said, *HarvestLog(project.workspace).answers(["000000"]))}
    )
    mended = reviews.boxes.get("corrected", 0) + reviews.boxes.get("added", 0)
    work = work_until(first) + HumanWork(SPOILED, mended, seconds)
    assert work_until(second) == replace(work, seconds=pytest.approx(work.seconds))
    third = next_cycle(second)
    assert harvest(third, project.backend).reviews == ReviewWork()


@pytest.mark.parametrize("what", ["index", "lead"])
def test_the_pages_show_every_review(project, what):
    first = open_cycle(project.settings, MOMENT)
    shown = sum(len(row.boxes) for row in project.rows(row.image_id for row in project.spoiled))
    push_reviews(project.settings, project.backend, 10)
    project.reviewed()
    harvest(first, project.backend)
    page = page_of(first, what)
    header, own, total = page.table("Labels that people reviewed")
    answers = list(ReviewLog(project.workspace).answers(["000000"]))
    row = dict(zip(header, own, strict=True))
    assert own[1:] == total[1:]
    assert (row["Images reviewed"], row["Held a mistake*"], row["Share*"]) == (str(SPOILED), str(SPOILED), "1.000")
    assert sum(int(row[name]) for name in ("Labels kept", "Corrected", "Deleted")) == shown
    assert int(row["Added"]) == sum(box.source is Source.HUMAN for answer in answers for box in answer.boxes)
    assert row["Hours"] == f"{sum(answer.lead_time_s for answer in answers) / 3600:.1f}"
    assert f"{SPOILED} labelled images reviewed, {SPOILED} of them (100 %) held a mistake" in " ".join(
        element.text for element in page.all("p")
    )
