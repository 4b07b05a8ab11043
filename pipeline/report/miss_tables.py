"""What detection never sees, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.report.measures import Recall
from pipeline.report.tables import Column, Table
from pipeline.report.wording import count, with_interval


def recall(rows: Sequence[Recall]) -> Table:
    """How many objects of each class and size any proposal finds, the least found first.

    Args:
        rows: A row a class and size.
    """
    columns = (
        Column("Class", numeric=False),
        Column("Size", numeric=False, hint="by area: small under 32 x 32 pixels, large from 96 x 96 on"),
        Column("Found [95 %]", hint="share of the objects that any proposal found, however unsure"),
        Column("Never proposed"),
        Column("Held-back objects"),
    )
    ordered = sorted(rows, key=lambda one: (one.found / one.objects, one.label))
    shown = tuple(
        (
            one.label,
            one.size,
            with_interval(one.found / one.objects, (one.lower, one.upper)),
            count(one.objects - one.found),
            count(one.objects),
        )
        for one in ordered
    )
    return Table("What is found at all, by class and size", columns, shown)
