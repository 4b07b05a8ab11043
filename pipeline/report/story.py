"""What a person must know first: the cycle in one sentence, and its four numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.artefacts import ReviewWork, SelectionRun
from pipeline.report.contents import CycleContents, Turn, measured
from pipeline.report.wording import change, count, difference, duration, interval, percent, plural, share

PASTED_NOUNS = {"pseudo": ("pseudo-label",), "soft": ("soft label",), "ask": ("box in doubt", "boxes in doubt")}
"""Boxes that are pasted, by fate."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A number that stands large on the page, with what it is and what qualifies it."""

    name: str
    value: str
    detail: str


def headline(turns: Sequence[Turn]) -> str:
    """The last cycle in one sentence, without any untrusted text.

    Args:
        turns: Ascending, at least one.
    """
    turn = turns[-1]
    human = f"with {plural(turn.labeled_images, 'human-labeled image')}"
    asked = f"{plural(turn.asked_images, 'image')} asked" if turn.asked_images else "nobody asked"
    return f"Cycle {turn.cycle}: {_precision(turns)} {human}; {_pseudo(turn)}; {asked}"


def pasted_line(selected: SelectionRun | None) -> str:
    """How much of what teaches or is asked about was pasted into labelled images; empty where nothing was."""
    counted = [
        f"{count(own.pasted)} of {plural(own.boxes, *PASTED_NOUNS[fate])}"
        for fate, own in (selected.pasted if selected else {}).items()
        if own.boxes and fate in PASTED_NOUNS
    ]
    return f"Pasted into labelled images: {', '.join(counted)}" if counted else ""


def reviewed_line(turns: Sequence[Turn]) -> str:
    """What people found in all labels that they reviewed so far, in one sentence; empty where they reviewed nothing."""
    work = sum((turn.reviews for turn in turns), ReviewWork())
    if not work.answered:
        return ""
    mistaken = f" ({percent(round(work.mistaken, 2))})" if work.mistaken is not None else ""
    time = f", in {duration(work.hours * 3600)} of people's time" if work.hours is not None else ""
    reviewed = plural(work.answered, "labelled image")
    return f"{reviewed} reviewed, {count(work.changed)} of them{mistaken} held a mistake{time}"


def facts(contents: CycleContents) -> tuple[Fact, ...]:
    """The four numbers of a cycle: precision, labels of people, pseudo-labels, questions."""
    turn = contents.turn
    now = turn.metrics(turn.reported_split)
    ends = f"95 % interval {interval(now.interval)}" if now and now.interval else ""
    held = "not promoted" if turn.gate and not turn.gate.promoted else ""
    qualified = (_since_first(contents.turns) or "nothing earlier to compare with", ends, held)
    certified = f"; {count(turn.certified)} of {plural(turn.classes, 'class', 'classes')} certified"
    soft = f"and {plural(turn.soft_boxes, 'soft label')}, " if turn.soft_boxes else ""
    pool = f"of {plural(contents.pool, 'image')} in the pool" if contents.versions else ""
    return (
        Fact(f"mAP on {turn.reported_split}", share(now.map if now else None), "; ".join(filter(None, qualified))),
        Fact(
            "images labeled by people",
            count(turn.labeled_images),
            f"{_boxes(turn)}{plural(turn.answered_images, 'image')} answered this time",
        ),
        Fact(
            "pseudo-labels",
            count(turn.pseudo_boxes),
            f"{soft}in {plural(turn.pseudo_images, 'image')}{certified if turn.classes else ''}",
        ),
        Fact("images asked", count(turn.asked_images), pool),
    )


def _boxes(turn: Turn) -> str:
    return "" if turn.labeled_boxes is None else f"{plural(turn.labeled_boxes, 'box', 'boxes')}; "


def _precision(turns: Sequence[Turn]) -> str:
    turn = turns[-1]
    metrics = turn.metrics(turn.reported_split)
    if metrics is None or turn.gate is None:
        return "no model trained,"
    since = _since_first(turns)
    text = f"{turn.reported_split} mAP {share(metrics.map)}{f' ({since})' if since else ''}"
    return text if turn.gate.promoted else f"{text}, but the new model was not promoted,"


def _since_first(turns: Sequence[Turn]) -> str:
    """`+0.051 since cycle 0`; empty where no earlier cycle was measured on the same split."""
    history = measured(turns, turns[-1].reported_split)
    if len(history) < 2 or history[-1][0] is not turns[-1]:
        return ""
    (first, then), (_, now) = history[0], history[-1]
    return f"{change(difference(now.map, then.map))} since cycle {first.cycle}"


def _pseudo(turn: Turn) -> str:
    soft = f", {plural(turn.soft_boxes, 'soft label')}" if turn.soft_boxes else ""
    if turn.pseudo_boxes:
        certified = plural(turn.certified, "certified class", "certified classes")
        return f"{plural(turn.pseudo_boxes, 'pseudo-label')} of {certified}{soft}"
    return f"no pseudo-labels{'' if turn.certified else ', as no class is certified'}{soft}"
