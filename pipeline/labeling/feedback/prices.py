"""What answers take by the settings `labeling.seconds`, with the machine's boxes and without."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pipeline.artefacts import PricedAnswers
from pipeline.records import Answer, Source
from pipeline.settings import SecondsSettings


def seconds_of(answer: Answer, seconds: SecondsSettings) -> float:
    """Price an answer: a look at the image, what became of each machine box, and what was drawn beside them.

    A corrected box of a class that fewer of the corrected boxes have in the end was given another class; any other was
    moved. A box that is verified takes `verify`, whatever is said of it.

    Args:
        answer: Of one person.
        seconds: The prices.

    Returns:
        Seconds; a skipped image takes a look.
    """
    drawn = sum(box.source is Source.HUMAN for box in answer.boxes)
    if answer.verified:
        return seconds.look + len(answer.verdicts) * seconds.verify + drawn * seconds.draw
    treated = Counter(verdict for _, verdict in answer.verdicts)
    before = Counter(label for label, verdict in answer.verdicts if verdict == Source.CORRECTED)
    after = Counter(box.label for box in answer.boxes if box.source is Source.CORRECTED)
    relabelled = min(treated[Source.CORRECTED], (before - after).total())
    return (
        seconds.look
        + treated[Source.ACCEPTED] * seconds.verify
        + relabelled * seconds.relabel
        + (treated[Source.CORRECTED] - relabelled) * seconds.adjust
        + treated["deleted"] * seconds.delete
        + drawn * seconds.draw
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
