"""A table as data: what the one table macro of the templates draws."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.report.tiles import Tile
from pipeline.report.wording import count


@dataclass(frozen=True, slots=True)
class Column:
    """A column's title, whether its cells are numbers, and a line that explains it."""

    title: str
    numeric: bool = True
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Badge:
    """A word with a tone: `good`, `bad`, `warn` or `note`. The word alone carries the meaning."""

    text: str
    tone: str


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a bar: what it is of, its share of the column's longest bar in percent, and its number."""

    kind: str
    percent: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A stacked bar; the numbers behind it stand in other cells of the row."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A link to another page of the report, to a place on this one, or to a task in the labelling tool."""

    text: str
    target: str


Cell = str | Badge | Bar | Link | Tile


def linked(text: str, page: str, pages: Collection[str]) -> Cell:
    """A link where there is such a page, else the text alone."""
    return Link(text, page) if page in pages else text


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption; the first column names the row.

    Attributes:
        caption: What it shows.
        columns: Left to right.
        rows: One cell per column; text is untrusted and escaped by the template.
        note: What is cut, below the table.
        foot: A last row of sums; empty for none.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    foot: tuple[Cell, ...] = ()


def stacked(numbers: Mapping[str, float], longest: float, shown: Mapping[str, str]) -> Bar:
    """Lay numbers end to end.

    Args:
        numbers: By kind, in drawing order; zeros are left out.
        longest: The sum that fills the whole width.
        shown: How each number reads.

    Returns:
        The bar; without parts where `longest` is 0.
    """
    kept = [(kind, number) for kind, number in numbers.items() if number > 0 and longest > 0]
    return Bar(tuple(Part(kind, round(100 * number / longest, 2), shown[kind]) for kind, number in kept))


def numbers_table(caption: str, name: str, number: str, counts: Mapping[str, int]) -> Table:
    """A table of names and their numbers, the largest first."""
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    rows = tuple((key, count(value)) for key, value in ranked)
    return Table(caption, (Column(name, numeric=False), Column(number)), rows)


def text_table(caption: str, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table of texts, rows in the given order."""
    return Table(caption, tuple(Column(title, numeric=False) for title in titles), tuple(tuple(row) for row in rows))
