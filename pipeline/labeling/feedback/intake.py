"""A saved harvest becomes labels: merged, committed, and summed up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import timedelta

from pipeline.artefacts import Audits, HarvestSummary
from pipeline.dataset.store import SampleStore
from pipeline.labeling.backend import Harvest, LabelingBackend
from pipeline.labeling.feedback.audit import count_audits
from pipeline.labeling.feedback.effort import hours_spent, timed_answers
from pipeline.labeling.feedback.harvests import COMMITTED_AS, HarvestLog
from pipeline.labeling.feedback.merge import Answers, MergeResult, Note, merge_answers
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
class _News:
    """What a harvest says that earlier ones did not.

    Attributes:
        known: Earlier answers, by annotation.
        new: New and changed answers.
        standing: Answers that were taken in before and still hold.
        gone: Ids of annotations that were deleted, by image.
        undone: Answers that a restored version undid and that nobody changed since.
        replaced: Rows of images whose file was replaced since they were imported, by image.
        notes: What a person should know: (image id, what was found).
    """

    known: Mapping[str, Answer]
    new: Sequence[Answer]
    standing: Sequence[Answer]
    gone: Mapping[str, AbstractSet[str]]
    undone: Sequence[Answer]
    replaced: Mapping[str, Sample]
    notes: Sequence[Note]

    @property
    def images(self) -> AbstractSet[str]:
        """Images whose labels these may change."""
        return {answer.image_id for answer in (*self.new, *self.standing)} | self.gone.keys()


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
        store = SampleStore(Workspace(self.settings.workspace).samples_uri)
        harvest = log.harvest(name)
        news = self._news(log, name, harvest, store)
        merged = merge_answers(
            [news.replaced.get(sample.image_id, sample) for sample in store.by_ids(news.images)],
            Answers(news.new, news.standing, news.gone),
            self.cycle,
            self.settings.labeling,
        )
        rows = [*(replace(row, cycle=self.cycle) for row in news.replaced.values()), *merged.samples]
        version = self._commit_rows(store, rows, name)
        self._ask_on(merged)
        every_note = (*harvest.notes, *news.notes, *merged.notes)
        images = store.by_ids({*news.images, *(subject for subject, _ in every_note)})
        uris = {row.image_id: row.uri for row in images}
        links = {answer.image_id: answer.link for answer in (*news.standing, *news.new)}
        summary = replace(
            summarize(news.new, news.known, merged, count_audits(self.settings, news.new)),
            boxes=_labels_from(news.new, images),
            priced=price(news.new, news.known, self.settings.labeling.seconds),
            notes=named(every_note, uris, links),
            remarks=Scrutiny(self.settings, uris, merged.disagreements).remarks(news.new),
            version=version,
            watermark=harvest.watermark,
            undone=tuple(answer.annotation_id for answer in news.undone),
        )
        log.finish(name, summary)
        return summary

    def _news(self, log: HarvestLog, name: str, harvest: Harvest, store: SampleStore) -> _News:
        """Compare a harvest with those before it."""
        earlier = [other for other in log.names() if other < name]
        known = _known(log, earlier, harvest)
        new = [answer for answer in harvest.answers if known.get(answer.annotation_id) != answer]
        unchanged = [answer for answer in harvest.answers if known.get(answer.annotation_id) == answer]
        replaced, notes = replaced_images(store.by_ids(answer.image_id for answer in new))
        gone, lost = deleted_answers(harvest, known)
        undone = [] if self.again or harvest.images is None else undone_by_restoring(log, earlier, store, unchanged)
        kept = {answer.image_id for answer in undone} - {answer.image_id for answer in new}
        if kept:
            notes.append(("harvest", KEPT_BY_RESTORE.format(len(kept))))
        standing = [*harvest.standing, *(answer for answer in unchanged if answer.image_id not in kept)]
        return _News(
            known=known,
            new=new,
            standing=not_reviewed_since(standing, ReviewLog(Workspace(self.settings.workspace)).reviewed_at(store)),
            gone={image: annotations for image, annotations in gone.items() if image not in kept},
            undone=[answer for answer in undone if answer.image_id in kept],
            replaced=replaced,
            notes=(*notes, *lost),
        )

    def _commit_rows(self, store: SampleStore, rows: Sequence[Sample], name: str) -> int:
        """The version that holds the rows; the newest where there are none."""
        if not rows:
            return store.version()
        return store.commit(
            rows,
            reason=f"harvest of {len(rows)} answered images",
            key=f"{COMMITTED_AS}{name}",
            cycle=self.cycle,
            settings_digest=self.settings.digest(),
        )

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
