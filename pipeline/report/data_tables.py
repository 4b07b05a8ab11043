"""Tables about the data and the run: versions, who drew what, faulty files, and where time went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.artefacts import MiningCost, MiningRun, PastedBoxes
from pipeline.dataset.diff import ChangeCounts, tally
from pipeline.dataset.versions import Version
from pipeline.records import ImportIssue, Source
from pipeline.report.names import class_page, model_page, version_page
from pipeline.report.tables import Cell, Column, Table, linked, stacked
from pipeline.report.wording import NOTHING, count, cut, duration, moment, share, short_id

_CLASSES_SHOWN = 30


def count_boxes(samples: pa.Table) -> dict[str, dict[str, int]]:
    """Count the boxes of a version by label and source.

    Args:
        samples: At least the column `boxes` of `SAMPLE_SCHEMA`.

    Returns:
        Numbers by label, then source, both in alphabetical order; empty without boxes.
    """
    boxes = pa.Table.from_struct_array(pc.list_flatten(samples["boxes"].combine_chunks()))
    return tally(boxes, "label", "source")


def versions(
    history: Sequence[Version], changes: Mapping[int, ChangeCounts], most: int, pages: frozenset[str] = frozenset()
) -> Table:
    """Dataset versions and what each changed, the latest first.

    Args:
        history: Ascending.
        changes: What each version changed against its parent, by number.
        most: Rows shown, the latest.
        pages: Names of the pages to link to.

    Returns:
        One row per version.
    """
    shown = list(history)[-most:]
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
    rows = tuple(_version_row(version, changes.get(version.number), pages) for version in reversed(shown))
    note = cut(len(shown), len(history), "versions", "the output of crosscheck versions list")
    return Table("Dataset versions and what changed, the latest first", columns, rows, note)


def class_sources(numbers: Mapping[str, Mapping[str, int]], pages: frozenset[str] = frozenset()) -> Table:
    """Boxes by class and source, with a stacked bar, the most frequent class first.

    Args:
        numbers: By label, then source.
        pages: Names of the pages to link to.

    Returns:
        One row per class and a row of sums; no rows without boxes.
    """
    sources = [*Source, *sorted({name for own in numbers.values() for name in own} - set(Source))]
    totals = {label: sum(own.values()) for label, own in numbers.items()}
    longest = max(totals.values(), default=0)
    columns = (
        Column("Class", numeric=False),
        Column("All"),
        Column("By source", numeric=False),
        *(Column(source) for source in sources),
    )
    rows: list[tuple[Cell, ...]] = []
    for label in sorted(numbers, key=lambda name: (-totals[name], name))[:_CLASSES_SHOWN]:
        own = {str(source): numbers[label].get(source, 0) for source in sources}
        bar = stacked(own, longest, {source: f"{source}: {count(number)}" for source, number in own.items()})
        rows.append((linked(label, class_page(label), pages), count(totals[label]), bar, *map(count, own.values())))
    sums = (sum(own.get(source, 0) for own in numbers.values()) for source in sources)
    foot = ("All classes", count(sum(totals.values())), "", *map(count, sums))
    note = cut(len(rows), len(numbers), "classes", "the output of crosscheck versions show")
    return Table("Boxes by class and by who or what drew them", columns, tuple(rows), note, foot if rows else ())


def issues(faults: Sequence[ImportIssue]) -> Table:
    """Every file that something was wrong with, the most serious first. Never cut.

    Returns:
        One row per issue: quarantined files first, then by action, problem and file.
    """
    columns = tuple(Column(title, numeric=False) for title in ("File", "Problem", "What was found", "What was done"))
    ranked = sorted(faults, key=lambda issue: (issue.action != "quarantined", issue.action, issue.problem, issue.uri))
    rows = tuple((issue.uri, spaced(issue.problem), issue.detail, spaced(issue.action)) for issue in ranked)
    return Table("Every file with a problem", columns, rows)


def count_issues(faults: Sequence[ImportIssue]) -> dict[str, int]:
    """Files by what was done about them, the most frequent first."""
    return dict(Counter(spaced(issue.action) for issue in faults).most_common())


def times(caption: str, part: str, seconds: Mapping[str, float]) -> Table:
    """Time by part of a run, in the order given, with a bar and the sum.

    Args:
        caption: What it shows.
        part: What the parts are, `Stage`.
        seconds: By part.
    """
    columns = (Column(part, numeric=False), Column("Time"), Column("Beside the longest", numeric=False))
    longest = max(seconds.values(), default=0.0)
    rows = tuple(
        (name, duration(time), stacked({"time": time}, longest, {"time": duration(time)}))
        for name, time in seconds.items()
    )
    return Table(caption, columns, rows, foot=("Sum", duration(sum(seconds.values())), "") if rows else ())


PASTED_FATES = {"pseudo": "pseudo-labeled", "soft": "soft label", "ask": "asked", "drop": "dropped"}
"""What became of a box, in words, by the keys of `SelectionRun.pasted`."""


def mining_seconds(mining: MiningRun) -> dict[str, float]:
    """Seconds of mining by step: of the held-back images that calibrate it, which often take most, then of the pool."""
    parts = (("held back", mining.held_back_cost), ("pool", mining.cost))
    return {f"{step}, {images}": time for images, cost in parts for step, time in cost.seconds.items()}


def mining_costs(mining: MiningRun) -> Table:
    """What mining did in the pool and in the held-back images that calibrate it."""
    columns = (
        Column("Images", numeric=False),
        Column("Number"),
        Column("Proposals"),
        Column("Augmented views", hint="images detected a second time, mirrored and enlarged"),
        Column("Close-ups", hint="boxes shown enlarged in their own surroundings"),
        Column("Pastes", hint="boxes shown in another image"),
        Column("Canvases", hint="images that close-ups and pastes were packed into"),
        Column("Forward passes", hint="over batches of canvases"),
        Column("Pasted share", hint="of the boxes that are to teach or to be asked about"),
    )
    rows = (
        ("pool", count(mining.images), *_cost(mining.cost)),
        ("held back", count(mining.held_back_images), *_cost(mining.held_back_cost)),
    )
    return Table("What mining did", columns, rows)


def pasted_by_fate(pasted: Mapping[str, PastedBoxes]) -> Table:
    """How many boxes of each fate were pasted into labelled images, and how often they were found again there."""
    columns = (
        Column("What became of them", numeric=False),
        Column("Boxes"),
        Column("Pasted"),
        Column("Share", hint="of the boxes that were pasted"),
        Column("Pastes per box"),
        Column("Found again", hint="share of the pastes"),
    )
    rows = tuple(
        (
            PASTED_FATES.get(fate, fate),
            count(own.boxes),
            count(own.pasted),
            share(own.share),
            f"{own.pastes / own.pasted:.1f}" if own.pasted else NOTHING,
            share(own.hits / own.pastes if own.pastes else None),
        )
        for fate, own in pasted.items()
    )
    return Table("Boxes that were pasted into labelled images", columns, rows)


def spaced(kind: str) -> str:
    """A stored kind such as `near_duplicate` as words."""
    return kind.replace("_", " ")


def moved(change: ChangeCounts | None) -> str:
    """Images of a change by transition, `10 pool → queued`."""
    if change is None:
        return NOTHING
    return ", ".join(f"{count(number)} {name.replace('->', ' → ')}" for name, number in sorted(change.images.items()))


def _version_row(version: Version, change: ChangeCounts | None, pages: frozenset[str]) -> tuple[Cell, ...]:
    return (
        linked(str(version.number), version_page(version.number), pages),
        moment(version.timestamp),
        version.why,
        moved(change) or "none",
        _boxes(change.added, change.added_labels) if change else NOTHING,
        _boxes(change.removed, change.removed_labels) if change else NOTHING,
        count(version.count("boxes")),
        linked(short_id(version.model_id), model_page(version.model_id), pages),
    )


def _boxes(by_source: Mapping[str, int], by_label: Mapping[str, int]) -> str:
    if not sum(by_source.values()):
        return "none"
    sources = ", ".join(f"{count(number)} {name}" for name, number in sorted(by_source.items()) if number)
    labels = ", ".join(f"{name} {count(number)}" for name, number in sorted(by_label.items()) if number)
    return f"{sources} ({labels})" if labels else sources


def _cost(cost: MiningCost) -> tuple[str, ...]:
    numbers = (cost.proposals, cost.augmented_views, cost.closeups, cost.pastes, cost.canvases, cost.passes)
    return (*map(count, numbers), share(cost.pasted_share))
