"""How numbers, moments and names are put in words, the same on every page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pipeline.records import TaskKind

NOTHING = "–"
"""Stands where there is no number."""
KINDS = {
    TaskKind.ASK: "to correct",
    TaskKind.VERIFY: "to verify",
    TaskKind.BLIND: "blind",
    TaskKind.AUDIT: "audit",
    TaskKind.REVIEW: "review",
}
"""How people call the kinds of tasks."""


def count(number: int | None) -> str:
    """`1234` as `1,234`."""
    return NOTHING if number is None else f"{number:,}"


def plural(number: int, noun: str, plural_noun: str = "") -> str:
    """`1 box`, `1,234 boxes`: the number and its noun."""
    return f"{number:,} {noun if number == 1 else plural_noun or noun + 's'}"


def share(value: float | None) -> str:
    """A number from 0 to 1 with three decimals."""
    return NOTHING if value is None else f"{value:.3f}"


def change(value: float | None) -> str:
    """A difference with its sign and three decimals, with a true minus."""
    if value is None:
        return NOTHING
    return f"{value:+.3f}".replace("-", "−") if round(value, 3) else "±0.000"


def signed(number: int) -> str:
    """A difference of whole numbers with its sign: `+1,234`, `−5`, or `±0`."""
    return f"{number:+,}".replace("-", "−") if number else "±0"


def difference(value: float | None, before: float | None) -> float | None:
    """`value - before`; None where either is None."""
    return None if value is None or before is None else value - before


def percent(value: float) -> str:
    """A share as whole or tenths of percent, `95 %`."""
    return f"{value * 100:.4g} %"


def interval(ends: Sequence[float] | None) -> str:
    """`0.380–0.444`; empty where there is none."""
    return "" if ends is None else f"{ends[0]:.3f}–{ends[1]:.3f}"


def with_interval(value: float | None, ends: Sequence[float] | None) -> str:
    """`0.412 [0.380–0.444]`, or the number alone."""
    return share(value) if ends is None else f"{share(value)} [{interval(ends)}]"


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s` or `2 h 07 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{minutes} min {rest:02d} s" if hours < 1 else f"{hours} h {minutes_left:02d} min"


def seconds(value: float | None) -> str:
    """`4.0 s`."""
    return NOTHING if value is None else f"{value:.1f} s"


def moment(when: datetime) -> str:
    """A moment in UTC to the minute; a moment without a zone is taken as UTC."""
    zoned = when if when.tzinfo else when.replace(tzinfo=UTC)
    return f"{zoned.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def short_id(identity: str | None) -> str:
    """The first twelve characters of an id."""
    return NOTHING if not identity else identity[:12]


def file_name(uri: str) -> str:
    """The last part of a path or URI."""
    return uri.rstrip("/").rsplit("/", 1)[-1] or uri


def listing(names: Iterable[str], most: int = 6) -> str:
    """`a, b and c`, or the first few and how many more."""
    listed = list(names)
    if len(listed) > most:
        return f"{', '.join(listed[:most])} and {count(len(listed) - most)} more"
    return " and ".join(filter(None, [", ".join(listed[:-1]), *listed[-1:]]))


def sentence(text: str) -> str:
    """A text that ends with a full stop."""
    return text if text.endswith(".") else f"{text}."


def cut(shown: int, total: int, noun: str, where: str) -> str:
    """`12 of 3,410 boxes shown; all in selection.parquet.`; empty where nothing is cut."""
    return "" if shown >= total else f"{count(shown)} of {count(total)} {noun} shown; all in {where}."
