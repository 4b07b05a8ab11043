"""What answers take by the settings `labeling.seconds`, with the machine's boxes and without."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.artefacts import PricedAnswers
from pipeline.artefacts.sums import Sums
from pipeline.records import ANOTHER_CLASS, INEXACT, Answer, Source
from pipeline.settings import SecondsSettings


@dataclass(frozen=True, slots=True)
class Actions(Sums):
    """What a person did with the machine's boxes of an image, and drew beside them."""

    accepted: int = 0
    moved: int = 0
    relabelled: int = 0
    deleted: int = 0
    added: int = 0


def actions_of(answer: Answer) -> Actions:
    """Count what became of the machine's boxes.

    A corrected box of a class that fewer of the corrected boxes have in the end was given another class; any other was
    moved, or said to be inexact.

    Args:
        answer: Of one person.
    """
    treated = Counter(verdict for _, verdict in answer.verdicts)
    before = Counter(label for label, verdict in answer.verdicts if verdict == Source.CORRECTED)
    after = Counter(box.label for box in answer.boxes if box.source is Source.CORRECTED)
    open_boxes = sum(region.reason in {INEXACT, ANOTHER_CLASS} for region in answer.ignore)
    relabelled = min(treated[Source.CORRECTED], max(0, (before - after).total() - open_boxes))
    return Actions(
        accepted=treated[Source.ACCEPTED],
        moved=treated[Source.CORRECTED] - relabelled,
        relabelled=relabelled,
        deleted=treated["deleted"],
        added=sum(box.source is Source.HUMAN for box in answer.boxes),
    )


def seconds_of(answer: Answer, seconds: SecondsSettings) -> float:
    """Price an answer: a look at the image, what became of each machine box, and what was drawn beside them.

    A box that is verified takes `verify`, whatever is said of it.

    Args:
        answer: Of one person.
        seconds: The prices.

    Returns:
        Seconds; a skipped image takes a look.
    """
    did = actions_of(answer)
    drawn = seconds.look + did.added * seconds.draw
    if answer.verified:
        return drawn + len(answer.verdicts) * seconds.verify
    return (
        drawn
        + did.accepted * seconds.verify
        + did.relabelled * seconds.relabel
        + did.moved * seconds.adjust
        + did.deleted * seconds.delete
    )


def price(answers: Iterable[Answer], known: Mapping[str, Answer], seconds: SecondsSettings) -> PricedAnswers:
    """Price the first answers on images that were shown with boxes.

    Args:
        answers: New and changed.
        known: Answers of earlier harvests by annotation.
        seconds: The prices.
    """
    first = (answer for answer in answers if answer.verdicts and answer.annotation_id not in known)
    each = (
        PricedAnswers(1, seconds_of(answer, seconds), seconds.look + len(answer.boxes) * seconds.draw)
        for answer in first
    )
    return sum(each, PricedAnswers())
