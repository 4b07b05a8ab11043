"""Answers become labels: which one counts, and which images change by it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from pipeline.labeling.feedback.adjudication import settle
from pipeline.records import Answer, Region, Sample, Split, State
from pipeline.settings.labeling import LabelingSettings

Note = tuple[str, str]

_KEPT_REASONS = frozenset({"crowd", "difficult"})
_HELD_BACK = frozenset({Split.VAL, Split.TEST})


@dataclass(frozen=True, slots=True)
class Answers:
    """What people say of some images.

    Attributes:
        new: New and changed ones, in any order; several for one image are several people, or one person's older words.
        standing: Those that were taken in before and still hold.
        gone: Ids of annotations that were deleted, by image.
    """

    new: Sequence[Answer]
    standing: Sequence[Answer] = ()
    gone: Mapping[str, AbstractSet[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What answers do to the sample table.

    Attributes:
        samples: Images whose row changes, in the order of their first answers.
        counts: `answered` and `skipped` images, and how many of the answered are `empty`; changed or not.
        notes: What a person should know: (image id, what was found).
        agreements: How far the last two people agree about each image that several answered, 0 to 1.
        disagreements: Those of them about which people disagree: how far the last two agree, by image.
        ask_again: Images that one person more has to answer.
        disputed: Images that people disagree about.
        settled: The other images of these answers.
    """

    samples: tuple[Sample, ...]
    counts: dict[str, int]
    notes: tuple[Note, ...]
    agreements: tuple[float, ...] = ()
    disagreements: Mapping[str, float] = field(default_factory=dict)
    ask_again: tuple[str, ...] = ()
    disputed: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()


def merge_answers(
    samples: Iterable[Sample], answers: Answers, cycle: int | None, settings: LabelingSettings | None = None
) -> MergeResult:
    """Give every answered image the labels of the answer that counts.

    Among several people's answers the settings decide, see `settle`. A skip takes no labels away: it counts only
    while nobody else has labeled the image. A labeled image from the pool is for training from then on; an image of val
    or test stays there. Crowds and difficult objects of an import stay ignored. An image whose only answers were
    deleted goes back to the pool; one of val or test keeps its labels.

    Args:
        samples: Rows of the table; those without an answer are passed over.
        answers: New ones, those that stand, and those that were deleted.
        cycle: Written into changed rows; None between cycles.
        settings: Whose answer counts; the latest by default.

    Returns:
        Changed rows, counts and notes. An answer that changes nothing makes no row; one for an unknown or a
        quarantined image makes a note. Only new answers are counted and noted.
    """
    rows = {sample.image_id: sample for sample in samples}
    outcomes = _outcomes(rows, answers, cycle, settings or LabelingSettings())
    new = {answer.image_id for answer in answers.new}
    ours = {image: outcome for image, outcome in outcomes.items() if image in new}
    counts = Counter(kind for outcome in ours.values() for kind in outcome.kinds)
    agreements = {image: outcome.agreement for image, outcome in ours.items() if outcome.agreement is not None}
    return MergeResult(
        samples=tuple(
            outcome.row
            for image, outcome in outcomes.items()
            if outcome.row is not None and _content(outcome.row) != _content(rows[image])
        ),
        counts={kind: counts[kind] for kind in ("answered", "skipped", "empty")},
        notes=tuple(_notes(answers, outcomes)),
        agreements=tuple(agreements.values()),
        disagreements={image: agreement for image, agreement in agreements.items() if ours[image].disputed},
        ask_again=tuple(image for image, outcome in ours.items() if outcome.ask_again),
        disputed=tuple(image for image, outcome in outcomes.items() if outcome.disputed),
        settled=tuple(image for image, outcome in outcomes.items() if not outcome.disputed),
    )


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What becomes of one image: its row (None: as it is), what to count and to say of it."""

    row: Sample | None = None
    kinds: tuple[str, ...] = ()
    note: str = ""
    agreement: float | None = None
    ask_again: bool = False
    disputed: bool = False


def _outcomes(
    rows: Mapping[str, Sample], answers: Answers, cycle: int | None, settings: LabelingSettings
) -> dict[str, _Outcome]:
    """What becomes of every image of the answers, by image."""
    by_image: dict[str, list[Answer]] = defaultdict(list)
    every = [*answers.new, *answers.standing]
    for answer in sorted(every, key=lambda answer: (answer.updated_at, answer.annotation_id)):
        by_image[answer.image_id].append(answer)
    outcomes = {
        image: _outcome(rows.get(image), given, answers.gone.get(image, frozenset()), cycle, settings)
        for image, given in by_image.items()
    }
    return outcomes | {
        image: _taken_away(row, answers.gone[image], cycle)
        for image, row in rows.items()
        if image in answers.gone and image not in by_image
    }


def _notes(answers: Answers, outcomes: Mapping[str, _Outcome]) -> Iterator[Note]:
    """Notes on new answers, then on what became of their images and of those without an answer."""
    for answer in answers.new:
        for note in answer.notes:
            yield answer.image_id, f"annotation {answer.annotation_id}, {note}"
    unchanged = {answer.image_id for answer in answers.standing} - {answer.image_id for answer in answers.new}
    for image, outcome in outcomes.items():
        if outcome.note and image not in unchanged:
            yield image, outcome.note


def _outcome(
    row: Sample | None, given: Sequence[Answer], gone: AbstractSet[str], cycle: int | None, settings: LabelingSettings
) -> _Outcome:
    latest = given[-1]
    if row is None or row.state is State.QUARANTINED:
        place = "the sample table" if row is None else f"use, it is quarantined: {row.note}"
        return _Outcome(note=f"answered by {latest.annotator}, but not in {place}")
    verdict = settle(given, settings)
    if verdict is None:
        if _labeled_by_others(row, given, gone):
            return _Outcome(note=f"skipped by {latest.annotator}; the labels it has are kept")
        note = f"skipped by {latest.annotator}"
        skipped = replace(row, state=State.SKIPPED, boxes=(), ignore=_kept_regions(row), note=note, cycle=cycle)
        return _Outcome(skipped, ("skipped",))
    if verdict.answer is None:
        waiting = row if row.split in _HELD_BACK else replace(_unlabeled(row, State.QUEUED, cycle), note=verdict.note)
        return _Outcome(waiting, ("answered",), verdict.note, verdict.agreement, True, verdict.disputed)
    labeled = _labeled(row, verdict.answer, cycle)
    kinds = ("answered",) if labeled.boxes or labeled.is_answered_in_part else ("answered", "empty")
    return _Outcome(labeled, kinds, verdict.note, verdict.agreement, disputed=verdict.disputed)


def _labeled(row: Sample, answer: Answer, cycle: int | None) -> Sample:
    return replace(
        row,
        state=State.LABELED,
        split=Split.TRAIN if row.split is Split.POOL else row.split,
        boxes=answer.boxes,
        ignore=(*_kept_regions(row), *answer.ignore),
        note="; ".join(answer.notes),
        cycle=cycle,
    )


def _unlabeled(row: Sample, state: State, cycle: int | None) -> Sample:
    return replace(row, state=state, split=Split.POOL, boxes=(), ignore=_kept_regions(row), cycle=cycle)


def _labeled_by_others(row: Sample, given: Sequence[Answer], gone: AbstractSet[str]) -> bool:
    withdrawn = {answer.annotation_id for answer in given} | gone
    others = {box.annotation_id for box in row.boxes} - withdrawn
    return row.state is State.LABELED and bool(others or (not row.boxes and not gone))


def _taken_away(row: Sample, gone: AbstractSet[str], cycle: int | None) -> _Outcome:
    """What becomes of an image whose every answer was deleted."""
    theirs = row.state is State.SKIPPED or (
        row.state is State.LABELED and {box.annotation_id for box in row.boxes} <= gone
    )
    if not theirs:
        return _Outcome()
    note = f"its answer was deleted (annotation {', '.join(sorted(gone))})"
    if row.split in _HELD_BACK:
        return _Outcome(note=f"{note}; an image of {row.split} keeps its labels")
    return _Outcome(replace(_unlabeled(row, State.POOL, cycle), note=note), note=f"{note}; back to the pool")


def _kept_regions(row: Sample) -> tuple[Region, ...]:
    return tuple(region for region in row.ignore if region.reason in _KEPT_REASONS)


def _content(sample: Sample) -> tuple[object, ...]:
    """What makes a row another one; who drew the same boxes once more, and when, does not."""
    boxes = sorted((box.label, box.xyxy, str(box.source)) for box in sample.boxes)
    ignore = sorted((region.reason, region.xyxy) for region in sample.ignore)
    return (sample.state, sample.split, boxes, ignore)
