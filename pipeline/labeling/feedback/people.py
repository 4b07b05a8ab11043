"""How people get on: seconds per image by kind of task and by person, and how far each agrees with the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from statistics import fmean, median

from pipeline.artefacts import AnswerPace, People
from pipeline.labeling.feedback.agreement import agreement
from pipeline.labeling.feedback.asked_kinds import kinds_of
from pipeline.records import Answer, TaskKind
from pipeline.settings import Settings
from pipeline.workspace import Workspace


def count_people(settings: Settings, answers: Iterable[Answer], reviews: Iterable[Answer] = ()) -> People:
    """Sum up all answers so far.

    Args:
        settings: The project.
        answers: Of all harvests, in order; the last word of each annotation counts.
        reviews: Of all harvests of reviews, likewise. They are compared with nobody's: who reviews sees other labels.

    Returns:
        By kind of task (of answers whose cycle is known, and of reviews) and by person.
    """
    last, reviewed = _last_words(answers), _last_words(reviews)
    agreements = _agreements(last, settings.labeling.same_box_iou)
    by_kind: dict[TaskKind, list[Answer]] = defaultdict(list)
    by_person: dict[str, list[Answer]] = defaultdict(list)
    for kind, answer in _with_kinds(Workspace(settings.workspace), last):
        by_kind[kind].append(answer)
    by_kind[TaskKind.REVIEW] += reviewed
    for answer in (*last, *reviewed):
        by_person[answer.annotator].append(answer)
    return People(
        kinds={str(kind): _pace(by_kind[kind]) for kind in TaskKind if by_kind[kind]},
        annotators={name: _pace(given, agreements.get(name, ())) for name, given in sorted(by_person.items())},
    )


def _last_words(answers: Iterable[Answer]) -> list[Answer]:
    return list({answer.annotation_id: answer for answer in answers}.values())


def _with_kinds(workspace: Workspace, answers: Sequence[Answer]) -> Iterable[tuple[TaskKind, Answer]]:
    by_cycle: dict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.cycle is not None:
            by_cycle[answer.cycle].append(answer)
    for number, given in sorted(by_cycle.items()):
        kinds = kinds_of(workspace.cycle(number), given)
        yield from ((kinds[answer.image_id], answer) for answer in given if answer.image_id in kinds)


def _pace(given: Sequence[Answer], agreements: Sequence[float] = ()) -> AnswerPace:
    answered = [answer for answer in given if not answer.skipped]
    times = [answer.lead_time_s for answer in answered if answer.lead_time_s is not None]
    return AnswerPace(
        answered=len(answered),
        skipped=len(given) - len(answered),
        boxes=sum(len(answer.boxes) for answer in answered),
        in_part=sum(answer.is_in_part for answer in answered),
        timed=len(times),
        median_s=median(times) if times else None,
        compared=len(agreements),
        agreement=fmean(agreements) if agreements else None,
    )


def _agreements(answers: Sequence[Answer], iou: float) -> dict[str, list[float]]:
    """For each person, how far they agree with each other person on each image that both answered whole."""
    by_image: dict[str, dict[str, Answer]] = defaultdict(dict)
    for answer in sorted(answers, key=lambda answer: answer.updated_at):
        if not (answer.skipped or answer.is_in_part):
            by_image[answer.image_id][answer.annotator] = answer
    found: dict[str, list[float]] = defaultdict(list)
    for by_person in by_image.values():
        for one, two in combinations(by_person, 2):
            share = agreement(by_person[one].boxes, by_person[two].boxes, iou)
            found[one].append(share)
            found[two].append(share)
    return found
