"""A saved harvest becomes labels: merged, committed, and summed up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from pipeline.artefacts import Audits, HarvestSummary
from pipeline.dataset.store import SampleStore
from pipeline.labeling.backend import Harvest, LabelingBackend
from pipeline.labeling.feedback.audit import count_audits
from pipeline.labeling.feedback.effort import hours_spent, timed_answers
from pipeline.labeling.feedback.harvests import COMMITTED_AS, HarvestLog
from pipeline.labeling.feedback.merge import Answers, MergeResult, merge_answers
from pipeline.labeling.feedback.naming import named
from pipeline.labeling.feedback.prices import price
from pipeline.labeling.feedback.replaced_images import replaced_images
from pipeline.labeling.feedback.retractions import KEPT_BY_RESTORE, deleted_answers, undone_by_restoring
from pipeline.labeling.feedback.review_log import ReviewLog, not_reviewed_since
from pipeline.labeling.feedback.scrutiny import Scrutiny
from pipeline.records import Answer, Sample, State
from pipeline.settings import Settings
from pipeline.workspace import Workspace

_CHANGED_AFTER = timedelta(seconds=1)


@dataclass(frozen=True)
class Intake:
    """What takes answers in.

    Attributes:
        settings: The project.
        backend: Who answers; None: nobody.
        cycle: The cycle under way, None between cycles.
        again: Take in answers that a restored version undid as well.
    """

    settings: Settings
    backend: LabelingBackend | None
    cycle: int | None = None
    again: bool = False

    def commit(self, log: HarvestLog, name: str) -> HarvestSummary:
        """Finish a saved harvest; doing it twice commits and asks once.

        Args:
            log: The project's harvests.
            name: Which, the last one.
        """
        earlier = [other for other in log.names() if other < name]
        harvest = log.harvest(name)
        known = _known(log, earlier, harvest)
        new = [answer for answer in harvest.answers if known.get(answer.annotation_id) != answer]
        unchanged = [answer for answer in harvest.answers if known.get(answer.annotation_id) == answer]
        store = SampleStore(Workspace(self.settings.workspace).samples_uri)
        replaced, notes = replaced_images(store.by_ids(answer.image_id for answer in new))
        gone, lost = deleted_answers(harvest, known)
        undone = [] if self.again or harvest.images is None else undone_by_restoring(log, earlier, store, unchanged)
        kept = {answer.image_id for answer in undone} - {answer.image_id for answer in new}
        if kept:
            notes.append(("harvest", KEPT_BY_RESTORE.format(len(kept))))
        standing = [*harvest.standing, *(answer for answer in unchanged if answer.image_id not in kept)]
        standing = not_reviewed_since(standing, ReviewLog(Workspace(self.settings.workspace)).reviewed_at(store))
        gone = {image: annotations for image, annotations in gone.items() if image not in kept}
        touched = {answer.image_id for answer in (*new, *standing)} | gone.keys()
        merged = merge_answers(
            [replaced.get(sample.image_id, sample) for sample in store.by_ids(touched)],
            Answers(new, standing, gone),
            self.cycle,
            self.settings.labeling,
        )
        rows = [*(replace(row, cycle=self.cycle) for row in replaced.values()), *merged.samples]
        version = store.version()
        if rows:
            version = store.commit(
                rows,
                reason=f"harvest of {len(rows)} answered images",
                key=f"{COMMITTED_AS}{name}",
                cycle=self.cycle,
                settings_digest=self.settings.digest(),
            )
        self._ask_on(merged)
        every_note = (*harvest.notes, *notes, *lost, *merged.notes)
        images = store.by_ids({*touched, *(subject for subject, _ in every_note)})
        uris = {row.image_id: row.uri for row in images}
        links = {answer.image_id: answer.link for answer in (*standing, *new)}
        summary = replace(
            summarize(new, known, merged, count_audits(self.settings, new)),
            boxes=_labels_from(new, images),
            priced=price(new, known, self.settings.labeling.seconds),
            notes=named(every_note, uris, links),
            remarks=Scrutiny(self.settings, uris, merged.disagreements).remarks(new),
            version=version,
            watermark=harvest.watermark,
            undone=tuple(answer.annotation_id for answer in undone if answer.image_id in kept),
        )
        log.finish(name, summary)
        return summary

    def _ask_on(self, merged: MergeResult) -> None:
        if self.backend is not None:
            self.backend.mark_disputed(merged.disputed, merged.settled)
            if merged.ask_again:
                self.backend.ask_again(merged.ask_again)


def summarize(
    answers: Sequence[Answer], known: Mapping[str, Answer], merged: MergeResult, audits: Mapping[int, Audits]
) -> HarvestSummary:
    """Sum up what new answers brought.

    Args:
        answers: New and changed.
        known: Answers of earlier harvests by annotation.
        merged: What they did to the table.
        audits: Pseudo-labels that they confirmed blindly.
    """
    return HarvestSummary(
        answered=merged.counts.get("answered", 0),
        skipped=merged.counts.get("skipped", 0),
        empty=merged.counts.get("empty", 0),
        hours=hours_spent(answers, known),
        timed=timed_answers(answers, known),
        agreements=merged.agreements,
        asked_again=len(merged.ask_again),
        annotators=dict(Counter(answer.annotator for answer in answers)),
        audits=audits,
    )


def _labels_from(answers: Sequence[Answer], images: Sequence[Sample]) -> dict[str, int]:
    """Boxes of the table that come from these answers, by source."""
    annotations = {answer.annotation_id for answer in answers}
    boxes = (box for image in images if image.state is State.LABELED for box in image.boxes)
    return dict(Counter(str(box.source) for box in boxes if box.annotation_id in annotations))


def _known(log: HarvestLog, earlier: Sequence[str], harvest: Harvest) -> dict[str, Answer]:
    """Earlier answers by annotation, read only where something may have changed."""
    changed = any(answer.updated_at - answer.created_at > _CHANGED_AFTER for answer in harvest.answers)
    if harvest.images is None and not changed:
        return {}
    return {answer.annotation_id: answer for answer in log.answers(earlier)}
