"""Tables about the data: its versions, who drew what, what people were asked and answered, and faulty files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.records import ImportIssue, Source
from pipeline.report.artefacts import Change, Version
from pipeline.report.contents import Turn
from pipeline.report.measures import Acceptance, AcceptanceCount, AuditCount
from pipeline.report.tables import Cell, Column, Table, stacked
from pipeline.report.tiles import Album
from pipeline.report.wording import NOTHING, count, cut, duration, file_name, moment, share, short_id, with_interval

_THUMB_PX = 128
_CLASSES_SHOWN = 30


def count_boxes(samples: pa.Table) -> dict[str, dict[str, int]]:
    """Count the boxes of a version by label and source.

    Args:
        samples: `SAMPLE_SCHEMA`.

    Returns:
        Numbers by label, then source, both in alphabetical order; empty without boxes.
    """
    boxes = pc.list_flatten(samples["boxes"].combine_chunks())
    columns = {name: pc.struct_field(boxes, name) for name in ("label", "source")}
    counted = pa.table(columns).group_by(["label", "source"]).aggregate([([], "count_all")])
    found: dict[str, dict[str, int]] = {}
    for row in counted.sort_by([("label", "ascending"), ("source", "ascending")]).to_pylist():
        found.setdefault(row["label"], {})[row["source"]] = row["count_all"]
    return found


def versions(found: Sequence[Version], most: int) -> Table:
    """Dataset versions and what each changed, the latest first.

    Args:
        found: Ascending.
        most: Rows shown, the latest.

    Returns:
        A row a version.
    """
    shown = list(found)[-most:]
    columns = (
        Column("Version", numeric=False),
        Column("Committed", numeric=False),
        Column("Why", numeric=False),
        Column("Images changed", numeric=False),
        Column("Boxes added", numeric=False),
        Column("Boxes removed", numeric=False),
        Column("Boxes in all"),
        Column("Model", numeric=False),
    )
    rows = tuple(_version_row(version) for version in reversed(shown))
    note = cut(len(shown), len(found), "versions", "the output of crosscheck versions list")
    return Table("Dataset versions and what changed, the latest first", columns, rows, note)


def class_sources(found: Mapping[str, Mapping[str, int]]) -> Table:
    """Boxes by class and source, with a stacked bar, the most frequent class first.

    Args:
        found: Numbers by label, then source.

    Returns:
        A row a class and a row of sums; no rows without boxes.
    """
    sources = [*Source, *sorted({name for one in found.values() for name in one} - set(Source))]
    totals = {label: sum(one.values()) for label, one in found.items()}
    longest = max(totals.values(), default=0)
    columns = (
        Column("Class", numeric=False),
        Column("All"),
        Column("By source", numeric=False),
        *(Column(source) for source in sources),
    )
    rows: list[tuple[Cell, ...]] = []
    for label in sorted(found, key=lambda name: (-totals[name], name))[:_CLASSES_SHOWN]:
        numbers = {str(source): found[label].get(source, 0) for source in sources}
        bar = stacked(numbers, longest, {source: f"{source}: {count(number)}" for source, number in numbers.items()})
        rows.append((label, count(totals[label]), bar, *(count(number) for number in numbers.values())))
    sums = (sum(one.get(source, 0) for one in found.values()) for source in sources)
    foot = ("All classes", count(sum(totals.values())), "", *(count(number) for number in sums))
    note = cut(len(rows), len(found), "classes", "the output of crosscheck versions show")
    return Table("Boxes by class and by who or what drew them", columns, tuple(rows), note, foot if rows else ())


def effort(turns: Sequence[Turn], most: int) -> Table:
    """What people were asked and what they answered, by cycle.

    Args:
        turns: Ascending.
        most: Rows shown, the latest.

    Returns:
        A row a cycle, the latest first, and a row of sums over all cycles.
    """
    shown = list(turns)[-most:]
    columns = (
        Column("Cycle", numeric=False),
        Column("Images asked"),
        Column("Boxes shown", hint="the machine's boxes on the images asked"),
        Column("Images answered", hint="harvested in this cycle, so mostly asked in earlier ones"),
        Column("Boxes answered"),
        Column("Hours"),
    )
    rows = tuple(
        (
            str(turn.cycle),
            count(turn.asked_images),
            count(turn.asked_boxes),
            count(turn.answered_images),
            count(turn.answered_boxes),
            _hours(turn.hours),
        )
        for turn in reversed(shown)
    )
    known = [turn.hours for turn in turns if turn.hours is not None]
    foot = (
        "All cycles",
        count(sum(turn.asked_images for turn in turns)),
        count(sum(turn.asked_boxes for turn in turns)),
        count(sum(turn.answered_images for turn in turns)),
        count(sum(turn.answered_boxes for turn in turns)),
        _hours(sum(known) if known else None),
    )
    return Table(
        "What people were asked and answered", columns, rows, cut(len(shown), len(turns), "cycles", "index.html"), foot
    )


def acceptance(found: Acceptance) -> Table:
    """What people do with boxes that they see, beside what they draw without seeing them.

    Args:
        found: Counts of all answers so far.

    Returns:
        A row a class and a row of sums; no rows without boxes.
    """
    columns = (
        Column("Class", numeric=False),
        Column("Boxes shown", hint="the machine's boxes on answered images"),
        Column("Accepted unchanged", hint="share of the boxes shown, with its exact 95 % interval"),
        Column("Corrected"),
        Column("Deleted"),
        Column("Added", hint="drawn by people where the machine showed nothing"),
        Column("Boxes withheld", hint="the machine's boxes on blind tasks"),
        Column(
            "Confirmed blind", hint="share of the boxes withheld that people drew too, with its exact 95 % interval"
        ),
        Column("Missed", hint="drawn on blind tasks where the machine would have shown nothing"),
    )
    rows = tuple((label, *_accepted(one)) for label, one in sorted(found.classes.items()))
    images = f"{count(found.images.get('shown', 0))} images with boxes, {count(found.images.get('blind', 0))} blind"
    foot = ("All classes", *_accepted(found.everything)) if rows else ()
    return Table(f"The machine's boxes, seen and not seen ({images})", columns, rows, foot=foot)


def queue(asked: pa.Table, album: Album, most: int) -> Table:
    """What people are asked and why, in the order of asking.

    Args:
        asked: `QUEUE_SCHEMA`.
        album: Holds the images of the rows shown.
        most: Rows shown, the first.

    Returns:
        A row an image, with a small image without boxes.
    """
    columns = (
        Column("No.", numeric=False),
        Column("Image", numeric=False),
        Column("File", numeric=False),
        Column("Why", numeric=False),
        Column("Kind", numeric=False, hint="audit and blind tasks show no boxes to the annotator"),
        Column("Value", hint="worth of asking, higher is asked sooner"),
        Column("Expected corrections"),
        Column("Expected misses"),
        Column("Boxes"),
    )
    shown = asked.sort_by("rank").slice(0, most).to_pylist()
    rows = tuple(
        (
            str(row["rank"] + 1),
            album.tile(row["image_id"], _THUMB_PX),
            file_name(album.uri(row["image_id"])),
            row["reason"] or "",
            row["kind"],
            share(row["value"]),
            share(row["expected_corrections"]),
            share(row["expected_missed"]),
            count(row["boxes"]),
        )
        for row in shown
    )
    return Table("The queue", columns, rows, cut(len(rows), asked.num_rows, "images", "queue.parquet"))


def issues(found: Sequence[ImportIssue]) -> Table:
    """Every file that something was wrong with, the most serious first. Never cut.

    Returns:
        A row an issue: quarantined files first, then by action, problem and file.
    """
    columns = tuple(Column(title, numeric=False) for title in ("File", "Problem", "What was found", "What was done"))
    ranked = sorted(found, key=lambda one: (one.action != "quarantined", one.action, one.problem, one.uri))
    rows = tuple((one.uri, spaced(one.problem), one.detail, spaced(one.action)) for one in ranked)
    return Table("Every file with a problem", columns, rows)


def stages(caption: str, seconds: Mapping[str, float]) -> Table:
    """Time by stage, in the order given, with a bar and the sum."""
    columns = (Column("Stage", numeric=False), Column("Time"), Column("", numeric=False))
    longest = max(seconds.values(), default=0.0)
    rows = tuple(
        (stage, duration(time), stacked({"time": time}, longest, {"time": duration(time)}))
        for stage, time in seconds.items()
    )
    return Table(caption, columns, rows, foot=("Sum", duration(sum(seconds.values())), "") if rows else ())


def count_issues(found: Sequence[ImportIssue]) -> dict[str, int]:
    """Files by what was done about them, the most frequent first."""
    return dict(Counter(spaced(one.action) for one in found).most_common())


def spaced(kind: str) -> str:
    """A stored kind such as `near_duplicate` as words."""
    return kind.replace("_", " ")


def moved(change: Change | None) -> str:
    """Images of a change by transition, `10 pool → queued`."""
    if change is None:
        return NOTHING
    return ", ".join(f"{count(number)} {name.replace('->', ' → ')}" for name, number in sorted(change.images.items()))


def _version_row(version: Version) -> tuple[Cell, ...]:
    change = version.change
    return (
        str(version.number),
        moment(version.timestamp),
        version.reason,
        moved(change) or "none",
        _boxes(change.added, change.added_labels) if change else NOTHING,
        _boxes(change.removed, change.removed_labels) if change else NOTHING,
        count(version.count("boxes")),
        short_id(version.model_id),
    )


def _boxes(by_source: Mapping[str, int], by_label: Mapping[str, int]) -> str:
    if not sum(by_source.values()):
        return "none"
    sources = ", ".join(f"{count(number)} {name}" for name, number in sorted(by_source.items()) if number)
    labels = ", ".join(f"{name} {count(number)}" for name, number in sorted(by_label.items()) if number)
    return f"{sources} ({labels})" if labels else sources


def _accepted(one: AcceptanceCount) -> tuple[str, ...]:
    def told(shares: AuditCount) -> str:
        return with_interval(shares.precision, shares.interval)

    counts = (one.corrected, one.deleted, one.added, one.blind)
    return (count(one.shown), told(one.unchanged), *map(count, counts), told(one.confirmation), count(one.missed))


def _hours(hours: float | None) -> str:
    return NOTHING if hours is None else f"{hours:.1f}"
