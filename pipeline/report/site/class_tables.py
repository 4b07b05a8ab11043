"""Tables on the page of a class: its boxes, precision and promises by cycle, and what it is taken for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.artefacts import ClassMetrics, Recall
from pipeline.records import Source, Split
from pipeline.report.evidence_tables import promise
from pipeline.report.names import page_name, up, version_page
from pipeline.report.people_tables import ACCEPTED, accepted
from pipeline.report.site.class_contents import ClassContents, ClassTurn
from pipeline.report.site.class_counts import BoxCounts
from pipeline.report.tables import Cell, Column, Link, Table, numbers_table
from pipeline.report.wording import NOTHING, count, share, with_interval

_CYCLE = Column("Cycle", numeric=False)


def now(boxes: BoxCounts) -> Table:
    """Boxes of the newest version, one row per split."""
    columns = (Column("Split", numeric=False), Column("All"), *map(Column, Source))
    rows = tuple(
        (str(split), count(sum(own.values())), *(count(own.get(source, 0)) for source in Source))
        for split in Split
        if (own := boxes.get(split, {}))
    )
    return Table("Boxes now, by split and source", columns, rows)


def boxes_by_cycle(contents: ClassContents) -> Table:
    """Boxes in the last version of each cycle, the latest first."""
    columns = (
        _CYCLE,
        Column("Version", numeric=False, hint="the last of the cycle"),
        Column("Boxes"),
        *map(Column, Source),
        *(Column(f"in {split}") for split in Split),
    )
    rows = tuple(
        (_cycle(turn, contents), *_boxes(turn)) for turn in _latest_first(contents) if turn.version is not None
    )
    return Table("Boxes by cycle", columns, rows)


def precision_by_cycle(contents: ClassContents) -> Table:
    """AP of the class by cycle, the latest first."""
    columns = (
        _CYCLE,
        Column(f"AP {contents.checked} [95 %]"),
        Column("AP test [95 %]"),
        Column("AP50 test"),
        Column("True boxes in test"),
    )
    rows = tuple(
        (
            _cycle(turn, contents),
            _ap(turn.val),
            _ap(turn.test),
            share(turn.test.ap50 if turn.test else None),
            count(turn.test.boxes if turn.test else None),
        )
        for turn in _latest_first(contents)
        if turn.val or turn.test
    )
    return Table("Average precision by cycle", columns, rows)


def promises_by_cycle(contents: ClassContents) -> Table:
    """Certificates by cycle, the latest first."""
    columns = (
        _CYCLE,
        Column("Certificate", numeric=False),
        Column("Threshold", hint="on p(correct)"),
        Column("Held-back boxes right", hint="right boxes among all held-back boxes above the threshold"),
        Column("Certified precision", hint="lower bound"),
        Column("Pseudo-labels", hint="boxes that the cycle wrote into the dataset version"),
        Column("Audited right", hint="boxes that people drew too when they did not see them"),
        Column("What would be needed", numeric=False),
    )
    rows = tuple(
        (_cycle(turn, contents), *_promise(turn))
        for turn in _latest_first(contents)
        if turn.certificate or turn.standing
    )
    return Table("Certificates by cycle", columns, rows)


def accepted_by_cycle(contents: ClassContents) -> Table:
    """What people did with the machine's boxes of the class, in all answers up to each cycle, the latest first."""
    rows = tuple(
        (_cycle(turn, contents), *accepted(turn.accepted)) for turn in _latest_first(contents) if turn.accepted
    )
    return Table("The machine's boxes in all answers up to each cycle", (_CYCLE, *ACCEPTED), rows)


def recall(rows: Sequence[Recall]) -> Table:
    """How many objects of each size any proposal finds, in held-back images."""
    columns = (
        Column("Size", numeric=False, hint="by area: small under 32 x 32 pixels, large from 96 x 96 on"),
        Column("Found [95 %]", hint="share of the objects that any proposal found, however unsure"),
        Column("Never proposed"),
        Column("Held-back objects"),
    )
    shown = tuple(
        (
            row.size,
            with_interval(row.found / row.objects, (row.lower, row.upper)),
            count(row.objects - row.found),
            count(row.objects),
        )
        for row in rows
    )
    return Table("What is found at all, by size", columns, shown)


def reliability(contents: ClassContents) -> Table:
    """The numbers behind the reliability of p(correct)."""
    columns = (Column("Mean p(correct)"), Column("Share right"), Column("Boxes"))
    bins = contents.reliability.get("crosscheck", ())
    rows = tuple((share(mean), share(right), count(boxes)) for mean, right, boxes in bins)
    return Table("Held-back boxes by p(correct)", columns, rows)


def taken_for(counts: Mapping[str, int], split: str) -> Table:
    """What objects of the class are taken for, the most frequent first."""
    return numbers_table(f"Its objects in {split} are taken for", "Class", "Detections", counts)


def mistaken(counts: Mapping[str, int], split: str) -> Table:
    """Objects of which classes are taken for this one, the most frequent first."""
    return numbers_table(f"What is taken for it in {split}", "Class of the object", "Detections", counts)


def _latest_first(contents: ClassContents) -> Sequence[ClassTurn]:
    return contents.turns[::-1]


def _cycle(turn: ClassTurn, contents: ClassContents) -> Cell:
    return Link(str(turn.cycle), up(page_name(turn.cycle))) if turn.cycle in contents.pages else str(turn.cycle)


def _boxes(turn: ClassTurn) -> tuple[Cell, ...]:
    version = turn.version or 0
    link = Link(str(version), up(version_page(version)))
    if turn.boxes is None:
        return (link, count(turn.total), *[NOTHING] * (len(Source) + len(Split)))
    by_source = (sum(own.get(source, 0) for own in turn.boxes.values()) for source in Source)
    by_split = (sum(turn.boxes.get(split, {}).values()) for split in Split)
    return (link, count(turn.total), *map(count, by_source), *map(count, by_split))


def _promise(turn: ClassTurn) -> tuple[Cell, ...]:
    standing = turn.standing
    withdrawn = bool(standing and standing.withdrawn)
    audited = f"{count(standing.right)} of {count(standing.boxes)}" if standing and standing.boxes else NOTHING
    needs = (standing.needed if standing else "", turn.certificate.needed if turn.certificate else "")
    return (
        *promise(turn.certificate, withdrawn=withdrawn),
        count(turn.pseudo),
        audited,
        "; ".join(filter(None, needs)) or NOTHING,
    )


def _ap(metrics: ClassMetrics | None) -> str:
    return with_interval(metrics.ap, metrics.interval) if metrics else NOTHING
