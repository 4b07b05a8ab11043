"""Labels that are perhaps wrong: found, and sent to people."""

from __future__ import annotations

from pipeline.artefacts import PushRun
from pipeline.cycle import Cycle
from pipeline.dataset.merging.plan import disputed_images
from pipeline.dataset.store import SampleStore
from pipeline.errors import ArtefactError, SettingsError
from pipeline.labeling.backend import LabelingBackend
from pipeline.labeling.feedback.review_log import ReviewLog
from pipeline.labeling.feedback.review_questions import ask_for_reviews
from pipeline.progress import Progress, silent
from pipeline.selection.held_back_detections import held_back_detections
from pipeline.selection.review_queue import ReviewQueue, review_queue
from pipeline.selection.review_share import review_images
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
    passed_over, disputed = ReviewLog(workspace).reviewed(), disputed_images(store)
    return review_queue(store, held_back_detections(workspace), settings.labeling.seconds, passed_over, disputed)


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
    questions = ask_for_reviews(Workspace(settings.workspace), labels_to_review(settings).first(images))
    return backend.for_reviews().push(questions.tasks, progress, questions.unasked).counted()


def push_reviews_in(cycle: Cycle, backend: LabelingBackend | None, progress: Progress = silent) -> None:
    """Send the share `selection.query.review_share` of a cycle's questions to review."""
    images = review_images(cycle.settings.selection.query, cycle.number)
    if images and backend is not None and not cycle.has(PushRun):
        push_reviews(cycle.settings, backend, images, progress)
