"""What was harvested before, held against what people say now: answers that were deleted, or undone by a restore."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from pipeline.dataset.restoring import is_undone, restores_images
from pipeline.dataset.store import SampleStore
from pipeline.dataset.versions import standing_versions
from pipeline.labeling.backend import Harvest
from pipeline.labeling.feedback.harvests import HarvestLog
from pipeline.records import Answer

KEPT_BY_RESTORE = (
    "{} images keep the labels of the version that was restored, although they were answered before; "
    "`crosscheck harvest --full --again` takes these answers in again"
)
_NAMED = 20
"""Images that are named one by one where a whole project may be gone."""


def deleted_answers(harvest: Harvest, known: Mapping[str, Answer]) -> tuple[dict[str, set[str]], list[tuple[str, str]]]:
    """Annotations that people deleted, by image, and a note on images whose task is gone as well.

    A task that is gone says nothing about labels, so these are kept.

    Args:
        harvest: Finds deletions only where all answers were asked for.
        known: Answers of earlier harvests by annotation.
    """
    if harvest.images is None:
        return {}, []
    images, standing = set(harvest.images), {answer.annotation_id for answer in harvest.answers}
    gone: dict[str, set[str]] = defaultdict(set)
    for annotation_id, answer in known.items():
        if annotation_id not in standing:
            gone[answer.image_id].add(annotation_id)
    lost = sorted(image for image in gone if image not in images)
    notes = [(image, "its task is gone from the labeling tool; its labels are kept") for image in lost[:_NAMED]]
    if len(lost) > _NAMED:
        notes.append(("harvest", f"the tasks of {len(lost) - _NAMED} more answered images are gone; labels are kept"))
    return {image: annotations for image, annotations in gone.items() if image in images}, notes


def undone_by_restoring(
    log: HarvestLog, earlier: Sequence[str], store: SampleStore, answers: Sequence[Answer]
) -> list[Answer]:
    """Those of these answers that became labels only in versions, or on images, that a later restore undid.

    Args:
        log: The project's harvests.
        earlier: Names of the harvests before this one.
        store: The sample table.
        answers: That were harvested before and stand unchanged.
    """
    versions = standing_versions(store.history())
    numbers, restoring = {version.number for version in versions}, [*filter(restores_images, versions)]
    summaries = {name: log.summary(name) for name in earlier}
    standing = {name: summary for name, summary in summaries.items() if summary.version in numbers}
    if len(standing) == len(earlier) and not restoring:
        return []
    taken_in: dict[str, tuple[Answer, int]] = {}

    def is_label(answer: Answer, until: int) -> bool:
        """Whether it became one, and no version up to this one brought its image back."""
        known, since = taken_in.get(answer.annotation_id, (None, 0))
        between = (version for version in restoring if version.number <= until)
        return known == answer and not is_undone(answer.image_id, since, between)

    for name, summary in standing.items():
        version, undone = summary.version or 0, set(summary.undone)
        for answer in log.answers([name]):
            if answer.annotation_id in undone:
                taken_in.pop(answer.annotation_id, None)
            elif not is_label(answer, version):
                taken_in[answer.annotation_id] = answer, version
    return [answer for answer in answers if not is_label(answer, versions[0].number)]
