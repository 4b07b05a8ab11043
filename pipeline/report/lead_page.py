"""The page for whoever leads the annotators: how far they are, how they get on, and what a person should look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pipeline.artefacts import AnswerPace, CycleHarvest
from pipeline.records import State
from pipeline.report.contents import CycleContents
from pipeline.report.tables import Cell, Column, Table, numbers_table
from pipeline.report.wording import KINDS, NOTHING, count, percent, plural, seconds, share


def headline(contents: CycleContents) -> str:
    """How far the project is, in one line."""
    states = _states(contents)
    by_people, waiting = states.get(State.LABELED, 0), contents.queue.num_rows
    every = sum(number for state, number in states.items() if state != State.QUARANTINED)
    done = f"{count(by_people)} of {plural(every, 'image')} labelled by people"
    return f"{done} ({percent(round(by_people / every, 2))}), {count(waiting)} waiting for an answer" if every else done


def progress(contents: CycleContents) -> Table:
    """Images by where they stand."""
    return numbers_table("Images", "State", "Images", _states(contents))


def kinds(contents: CycleContents) -> Table:
    """Work by kind of task, in all answers so far.

    Returns:
        One row per kind that is asked or was answered.
    """
    answered = _harvest(contents).people.kinds
    waiting = Counter(contents.queue["kind"].to_pylist())
    columns = (
        Column("Kind", numeric=False, hint="blind tasks and audits show no boxes to the annotator"),
        Column("Waiting"),
        *_PACE,
        Column(
            "Left open",
            hint="verified images with something not answered, which the detector does not learn",
        ),
    )
    rows: list[tuple[Cell, ...]] = []
    for kind, name in KINDS.items():
        pace = answered.get(kind, AnswerPace())
        if kind in answered or waiting[kind]:
            rows.append((name, count(waiting[kind]), *_pace(pace), count(pace.in_part)))
    return Table("Work by kind of task", columns, tuple(rows))


def annotators(contents: CycleContents) -> Table:
    """Work by person, in all answers so far."""
    found = _harvest(contents)
    looked_at = Counter(remark.annotator for remark in found.remarks)
    columns = (
        Column("Person", numeric=False),
        *_PACE,
        Column("Compared", hint="answers of other people to the same images"),
        Column("Agreement", hint="mean over these: twice the matched IoU over all boxes, 1 for the same boxes"),
        Column("To look at", hint="answers of this cycle that a second look is due to, see below"),
    )
    people: Mapping[str, AnswerPace] = found.people.annotators
    rows = tuple(
        (name, *_pace(pace), count(pace.compared), share(pace.agreement), count(looked_at[name]))
        for name, pace in people.items()
    )
    return Table("Work by person", columns, rows)


_PACE = (
    Column("Answered"),
    Column("Skipped"),
    Column("Boxes per image"),
    Column("Seconds per image", hint="median of the answers that state their time"),
)


def _pace(pace: AnswerPace) -> tuple[str, ...]:
    boxes = f"{pace.boxes / pace.answered:.1f}" if pace.answered else NOTHING
    return (count(pace.answered), count(pace.skipped), boxes, seconds(pace.median_s))


def _harvest(contents: CycleContents) -> CycleHarvest:
    return contents.harvest or CycleHarvest()


def _states(contents: CycleContents) -> Mapping[str, int]:
    return contents.versions[-1].counts.get("images", {}) if contents.versions else {}
