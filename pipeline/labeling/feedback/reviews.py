"""Answers of reviews become labels: what a person left as it was keeps who drew it; only the rest is theirs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.artefacts import HarvestSummary
from pipeline.dataset.store import SampleStore
from pipeline.errors import RowsGoneError
from pipeline.labeling.feedback.effort import hours_spent
from pipeline.labeling.feedback.naming import named
from pipeline.labeling.feedback.review_log import ReviewLog
from pipeline.records import Answer, Box, Sample, Source, State
from pipeline.settings import Settings
from pipeline.workspace import Workspace

_CHANGED = "its labels have changed since it was sent to review; the answer is left out"


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What becomes of one image.

    Attributes:
        row: With its labels as they are now; None where they stay.
        note: Why an answer could not be taken in; empty where it was.
    """

    row: Sample | None = None
    note: str = ""


def commit_reviews(settings: Settings, log: ReviewLog, name: str, cycle: int | None) -> HarvestSummary:
    """Finish a saved harvest of reviews; doing it twice commits once.

    Args:
        settings: The project.
        log: Of its reviews.
        name: Which harvest, the last one.
        cycle: Written into changed rows; None between cycles.
    """
    store, harvest = SampleStore(Workspace(settings.workspace).samples_uri), log.harvest(name)
    known = {answer.annotation_id: answer for answer in log.answers(log.finished())}
    new = [answer for answer in harvest.answers if known.get(answer.annotation_id) != answer]
    latest = {answer.image_id: answer for answer in sorted(new, key=_moment) if not answer.skipped}
    outcomes = _review(store, log, list(latest.values()), {*known, *(answer.annotation_id for answer in new)})
    rows = [replace(outcome.row, cycle=cycle) for outcome in outcomes.values() if outcome.row]
    version = store.version()
    if rows:
        version = store.commit(
            rows,
            reason=f"review of labels: {len(rows)} images mended",
            key=f"{log.COMMITTED_AS}{name}",
            cycle=cycle,
            settings_digest=settings.digest(),
        )
    left_out = [(image, outcome.note) for image, outcome in outcomes.items() if outcome.note]
    taken = [answer for answer in latest.values() if not outcomes[answer.image_id].note]
    notes = (*harvest.notes, *left_out)
    uris = {row.image_id: row.uri for row in store.by_ids(subject for subject, _ in notes)}
    summary = HarvestSummary(
        answered=len(latest),
        skipped=len({answer.image_id for answer in new} - latest.keys()),
        boxes=dict(Counter(verdict for answer in taken for verdict in _verdicts(answer))),
        hours=hours_spent(new, known),
        annotators=dict(Counter(answer.annotator for answer in new)),
        notes=named(notes, uris, {answer.image_id: answer.link for answer in new}),
        version=version,
        watermark=harvest.watermark,
        changed=len(rows),
        left_out=len(left_out),
    )
    log.finish(name, summary)
    return summary


def reviewed(row: Sample | None, shown: Mapping[str, Box], answer: Answer, reviews: Collection[str]) -> Reviewed:
    """Give an image the labels that a review leaves it.

    Args:
        row: The image as it is now; None where the table has it no more.
        shown: The labels that the person saw, by `box_id`.
        answer: Theirs; `proposal_id` of an accepted or corrected box says which label it was.
        reviews: Ids of annotations that are reviews.
    """
    if row is None or row.state is not State.LABELED:
        return Reviewed(note="it is no labelled image any more; the answer is left out")
    others = [box for box in row.boxes if box.box_id not in shown and box.annotation_id not in reviews]
    begun = [box for box in answer.boxes if box.source is not Source.HUMAN]
    if others or any(box.proposal_id not in shown for box in begun):
        return Reviewed(note=_CHANGED)
    boxes = tuple(_as_label(box, shown.get(box.proposal_id or "")) for box in answer.boxes)
    ignore = tuple(dict.fromkeys((*row.ignore, *answer.ignore)))
    same = {box.box_id for box in boxes} == {box.box_id for box in row.boxes} and ignore == row.ignore
    return Reviewed(None if same else replace(row, boxes=boxes, ignore=ignore))


def _as_label(box: Box, shown: Box | None) -> Box:
    """The label as it was where the person left it so; else theirs, with what is known of what it was."""
    if shown is None or box.source is Source.ACCEPTED:
        return shown or box
    return replace(
        box,
        score=shown.score,
        consistency=shown.consistency,
        p_correct=shown.p_correct,
        model_id=shown.model_id,
        proposal_id=shown.proposal_id or shown.box_id,
    )


def _review(
    store: SampleStore, log: ReviewLog, answers: Sequence[Answer], reviews: Collection[str]
) -> dict[str, Reviewed]:
    rows = {row.image_id: row for row in store.by_ids(answer.image_id for answer in answers)}
    shown = _shown(store, log.asked().versions, rows)
    return {
        answer.image_id: reviewed(rows.get(answer.image_id), shown.get(answer.image_id, {}), answer, reviews)
        for answer in answers
    }


def _shown(store: SampleStore, versions: Mapping[str, int], rows: Mapping[str, Sample]) -> dict[str, dict[str, Box]]:
    """The labels of each image as they were when people were asked; as they are now where those rows are gone."""
    by_version: dict[int, list[str]] = defaultdict(list)
    for image_id in rows:
        if image_id in versions:
            by_version[versions[image_id]].append(image_id)
    found = dict(rows)
    for version, image_ids in by_version.items():
        try:
            found |= {row.image_id: row for row in store.by_ids(image_ids, version)}
        except RowsGoneError:
            continue
    return {image_id: {box.box_id: box for box in row.boxes} for image_id, row in found.items()}


def _verdicts(answer: Answer) -> list[str]:
    return [*(verdict for _, verdict in answer.verdicts), *("added" for box in answer.boxes if _is_new(box))]


def _is_new(box: Box) -> bool:
    return box.source is Source.HUMAN


def _moment(answer: Answer) -> tuple[object, str]:
    return answer.updated_at, answer.annotation_id
