"""Tables about one evaluation: classes by object size, types of error, and what is forgotten."""

from __future__ import annotations

from pipeline.artefacts import ERROR_TYPES, GateOutcome, Metrics
from pipeline.report.tables import Column, Table
from pipeline.report.wording import change, count, cut, share, with_interval

_CLASSES_SHOWN = 30


def class_sizes(metrics: Metrics, split: str) -> Table:
    """AP of every class with its interval and by size of the objects, the worst first.

    Args:
        metrics: On one split.
        split: Its name.

    Returns:
        One row per class with an interval.
    """
    columns = (
        Column("Class", numeric=False),
        Column("AP [95 %]"),
        Column("small", hint="objects under 32 x 32 pixels"),
        Column("medium", hint="objects under 96 x 96 pixels"),
        Column("large"),
    )
    classes = {label: own for label, own in metrics.per_class.items() if own.interval is not None}
    shown = sorted(classes, key=lambda label: (classes[label].ap is None, classes[label].ap, label))[:_CLASSES_SHOWN]
    rows = tuple(
        (
            label,
            with_interval(classes[label].ap, classes[label].interval),
            *(share(size) for size in (classes[label].ap_small, classes[label].ap_medium, classes[label].ap_large)),
        )
        for label in shown
    )
    note = cut(len(rows), len(classes), "classes", "metrics.json")
    return Table(f"Each class on {split}, by size of the objects", columns, rows, note)


def errors(metrics: Metrics, split: str) -> Table:
    """Types of error (TIDE), the costliest first.

    Args:
        metrics: On one split.
        split: Its name.

    Returns:
        One row per type; no rows where they were not measured.
    """
    columns = (
        Column("Error", numeric=False),
        Column("What it is", numeric=False),
        Column("AP50 lost", hint="what mean AP50 would gain if only this were put right"),
        Column("Number", hint="boxes at any confidence; of the type missed, objects"),
    )
    costs = sorted(metrics.errors.items(), key=lambda pair: (-pair[1].ap50, pair[0]))
    rows = tuple((kind, ERROR_TYPES.get(kind, ""), share(cost.ap50), count(cost.count)) for kind, cost in costs)
    return Table(f"Errors on {split}, the costliest first", columns, rows)


def forgotten(gate: GateOutcome) -> Table:
    """Classes that the new model surely finds less well than the champion.

    Returns:
        One row per class, the largest loss first; no rows where none is.
    """
    columns = (
        Column("Forgotten class", numeric=False),
        Column("AP before"),
        Column("AP now"),
        Column("Change [95 %]"),
    )
    rows = tuple(
        (
            loss.label,
            share(loss.before),
            share(loss.after),
            f"{change(loss.after - loss.before)} [{change(loss.interval[0])} to {change(loss.interval[1])}]",
        )
        for loss in gate.forgotten
    )
    return Table("Classes that the new model surely finds less well on val", columns, rows)
