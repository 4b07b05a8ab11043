"""Labels that are perhaps wrong: found, sent to people, and taken back as a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pipeline.artefacts import CycleHarvest, HarvestSummary, PushRun
from pipeline.artefacts.review import ReviewsAsked
from pipeline.cycle import Cycle
from pipeline.dataset.store import SampleStore
from pipeline.errors import ArtefactError, SettingsError
from pipeline.labeling.backend import LabelingBackend
from pipeline.labeling.feedback.review_log import ReviewLog
from pipeline.labeling.feedback.reviews import commit_reviews
from pipeline.progress import Progress, silent
from pipeline.records import Sample, Task, TaskKind
from pipeline.selection.held_back_detections import held_back_detections
from pipeline.selection.review_queue import ReviewQueue, review_queue
from pipeline.selection.review_share import review_images
from pipeline.selection.review_tasks import review_tasks
from pipeline.settings import Settings
from pipeline.workspace import Workspace


def labels_to_review(settings: Settings) -> ReviewQueue:
    """Find labelled images that nobody has reviewed and whose labels are perhaps wrong, best first.

    Raises:
        ArtefactError: There is no sample table.
    """
    workspace = Workspace(settings.workspace)
    store = SampleStore(workspace.samples_uri)
    if not store.exists():
        raise ArtefactError(f"Expected a sample table in {workspace.uri}, found none. Run `crosscheck import` first.")
    passed_over = ReviewLog(workspace).reviewed()
    return review_queue(store, held_back_detections(workspace), settings.labeling.seconds, passed_over)


def push_reviews(
    settings: Settings, backend: LabelingBackend | None, images: int, progress: Progress = silent
) -> PushRun:
    """Send the best images to review; pushing again adds nothing, and takes back what is no longer among them.

    Args:
        settings: The project.
        backend: Who answers.
        images: Most that wait for a review.
        progress: Called while it goes on.

    Raises:
        ArtefactError: There is no sample table.
        RemoteError: The service is down or refuses.
        SettingsError: Nobody answers.
    """
    if backend is None:
        raise SettingsError("Expected somebody who answers, got labeling.backend: none. Set it to ask people.")
    workspace, queue = Workspace(settings.workspace), labels_to_review(settings).first(images)
    store, log = SampleStore(workspace.samples_uri), ReviewLog(workspace)
    version = store.version()
    samples = store.by_ids(queue.images["image_id"].to_pylist(), version)
    cycle = max(workspace.cycles(), default=0)
    blank = Task("", "", 0, 0, (), 0.0, "", TaskKind.REVIEW, cycle, asked_at=datetime.now(UTC))
    asked = log.asked().versions
    waiting = asked.keys() - log.reviewed()
    log.ask(ReviewsAsked({**asked, **_shown_in(store, asked, samples, version)}))
    tasks = review_tasks(samples, queue, blank)
    unasked = frozenset(waiting - {task.image_id for task in tasks})
    return backend.for_reviews().push(tasks, progress, unasked).counted()


def harvest_reviews(
    settings: Settings, backend: LabelingBackend | None, cycle: int | None = None, progress: Progress = silent
) -> HarvestSummary:
    """Take in what people said in reviews since the last time, as a version where anything changed.

    Args:
        settings: The project.
        backend: Who answers; None: nobody.
        cycle: The cycle under way, None between cycles.
        progress: Called while it goes on.

    Raises:
        RemoteError: The service is down or refuses.
    """
    log = ReviewLog(Workspace(settings.workspace))
    unfinished = log.unfinished()
    if unfinished is not None:
        return commit_reviews(settings, log, unfinished, cycle)
    if backend is None or not log.asked().versions:
        return HarvestSummary()
    found = backend.for_reviews().harvest(log.watermark(), progress)
    return commit_reviews(settings, log, log.save(found), cycle) if found.answers else HarvestSummary()


def harvest_reviews_in(cycle: Cycle, backend: LabelingBackend | None, progress: Progress = silent) -> None:
    """Take reviews in before the cycle's own harvest, once: what it learns and calibrates on stays as it is."""
    if not cycle.has(CycleHarvest):
        harvest_reviews(cycle.settings, backend, cycle.number, progress)


def push_reviews_in(cycle: Cycle, backend: LabelingBackend | None, progress: Progress = silent) -> None:
    """Send the share `selection.query.review_share` of a cycle's questions to review."""
    images = review_images(cycle.settings.selection.query, cycle.number)
    if images and backend is not None and not cycle.has(PushRun):
        push_reviews(cycle.settings, backend, images, progress)


def _shown_in(store: SampleStore, asked: Mapping[str, int], samples: Sequence[Sample], version: int) -> dict[str, int]:
    """The version whose labels people see: an older one where a task has been there since and nothing changed."""
    before: dict[str, Sample] = {}
    for number in {asked[sample.image_id] for sample in samples if sample.image_id in asked}:
        own = [sample.image_id for sample in samples if asked.get(sample.image_id) == number]
        before |= {row.image_id: row for row in store.by_ids(own, number)}
    same = {sample.image_id for sample in samples if _boxes(before.get(sample.image_id)) == _boxes(sample)}
    return {image_id: asked[image_id] if image_id in same else version for image_id in map(_id, samples)}


def _boxes(sample: Sample | None) -> frozenset[str] | None:
    return None if sample is None else frozenset(box.box_id for box in sample.boxes)


def _id(sample: Sample) -> str:
    return sample.image_id
