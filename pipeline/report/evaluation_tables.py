"""Tables about one evaluation: classes by object size, kinds of mistakes, and what is forgotten."""

from __future__ import annotations

from pipeline.detector.evaluation.error_types import ERROR_TYPES
from pipeline.report.measures import Gate, Metrics
from pipeline.report.tables import Column, Table
from pipeline.report.wording import change, count, cut, share, with_interval

_CLASSES_SHOWN = 30


def class_sizes(metrics: Metrics, split: str) -> Table:
    """AP of every class with its interval and by size of the objects, the worst first.

    Args:
        metrics: On one split.
        split: Its name.

    Returns:
        A row a class; no rows where neither was measured.
    """
    columns = (
        Column("Class", numeric=False),
        Column("AP [95 %]"),
        Column("small", hint="objects under 32 x 32 pixels"),
        Column("medium", hint="objects under 96 x 96 pixels"),
        Column("large"),
    )
    known = {label: one for label, one in metrics.per_class.items() if one.interval is not None}
    shown = sorted(known, key=lambda label: (known[label].ap is None, known[label].ap, label))[:_CLASSES_SHOWN]
    rows = tuple(
        (
            label,
            with_interval(known[label].ap, known[label].interval),
            *(share(size) for size in (known[label].ap_small, known[label].ap_medium, known[label].ap_large)),
        )
        for label in shown
    )
    note = cut(len(rows), len(known), "classes", "metrics.json")
    return Table(f"Each class on {split}, with what the draw of images leaves open", columns, rows, note)


def mistakes(metrics: Metrics, split: str) -> Table:
    """Kinds of mistakes, the costliest first.

    Args:
        metrics: On one split.
        split: Its name.

    Returns:
        A row a kind; no rows where they were not measured.
    """
    columns = (
        Column("Mistake", numeric=False),
        Column("What it is", numeric=False),
        Column("AP50 lost", hint="what mean AP50 would gain if only this were put right"),
        Column("Boxes", hint="at any confidence; missed objects for the last"),
    )
    kinds = sorted(metrics.errors, key=lambda kind: (-metrics.errors[kind].ap50, kind))
    rows = tuple(
        (kind, ERROR_TYPES.get(kind, ""), share(metrics.errors[kind].ap50), count(metrics.errors[kind].count))
        for kind in kinds
    )
    return Table(f"Mistakes on {split}, the costliest first", columns, rows)


def forgotten(gate: Gate) -> Table:
    """Classes that the new model surely finds less well than the champion.

    Returns:
        A row a class, the largest loss first; no rows where none is.
    """
    columns = (
        Column("Forgotten class", numeric=False),
        Column("AP before"),
        Column("AP now"),
        Column("Change [95 %]"),
    )
    rows = tuple(
        (
            one.label,
            share(one.before),
            share(one.after),
            f"{change(one.after - one.before)} [{change(one.interval[0])} to {change(one.interval[1])}]",
        )
        for one in gate.forgotten
    )
    return Table("Classes that the new model finds less well on val, surely", columns, rows)
