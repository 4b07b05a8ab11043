"""Several people's answers to one image: which labels come of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from pipeline.labeling.feedback.agreement import agreement, consensus
from pipeline.records import Answer
from pipeline.settings.labeling import LabelingSettings


@dataclass(frozen=True, slots=True)
class Verdict:
    """What counts among several answers.

    Attributes:
        answer: The answer that counts; None while people disagree and one more is asked.
        agreement: How far the two latest people agree, 0 to 1; None where one person answered.
        note: What a person should know; empty for nothing.
        disputed: No other person agrees with the latest one, where that one counts; else no two people agree.
    """

    answer: Answer | None
    agreement: float | None = None
    note: str = ""
    disputed: bool = False


def settle(given: Sequence[Answer], settings: LabelingSettings) -> Verdict | None:
    """Decide by `labeling.several_answers`.

    Args:
        given: Everything that people say about one image, latest last; of one person only the latest words count.
        settings: How to decide, and what it means to agree.

    Returns:
        What counts; None where everybody skipped.
    """
    by_person = {answer.annotator: answer for answer in given if not answer.skipped}
    answers = sorted(by_person.values(), key=lambda answer: (answer.updated_at, answer.annotation_id))
    if not answers:
        return None
    if len(answers) == 1:
        return Verdict(answers[0])
    pairs = {
        (older, newer): agreement(answers[older].boxes, answers[newer].boxes, settings.same_box_iou)
        for older, newer in combinations(range(len(answers)), 2)
    }
    (_, newer), best = max(pairs.items(), key=lambda pair: (pair[1], pair[0][1]))
    disputed = best < settings.agreement
    last = pairs[len(answers) - 2, len(answers) - 1]
    if settings.several_answers == "latest":
        closest = max(share for pair, share in pairs.items() if pair[1] == len(answers) - 1)
        return Verdict(answers[-1], last, disputed=closest < settings.agreement)
    if settings.several_answers == "consensus":
        agreed = consensus(answers, settings.same_box_iou)
        ignored = len(agreed.ignore) - len({region for answer in answers for region in answer.ignore})
        note = f"{ignored} boxes that not most of {len(answers)} people drew are ignored" if ignored else ""
        return Verdict(agreed, last, note, disputed)
    if not disputed:
        return Verdict(answers[newer], last)
    note = f"{len(answers)} people disagree: agreement {best:.2f}, expected {settings.agreement:.2f}; asked again"
    return Verdict(None, last, note, disputed)
