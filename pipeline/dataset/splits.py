"""Duplicates never straddle learning and evaluation: what is tested on has not been learnt from.

There are three sides: test, val, and learning (train and pool). A group of near-duplicates stays on the first of these
that it touches; its images on the others are quarantined, with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.dataset.formats.entry import ImportResult
from pipeline.dataset.near_duplicates import FINGERPRINT_BITS, distances, join_near, pack_fingerprints
from pipeline.dataset.repeated_files import SIDES, is_repeat, settle_with_table
from pipeline.dataset.store import SampleStore
from pipeline.records import ImportIssue, Sample, Split, State


class _Row(NamedTuple):
    """What the comparison needs of an image, new or in the table."""

    image_id: str
    uri: str
    split: str
    state: str
    group_id: str
    fingerprint: str


_ROW_SCHEMA = pa.schema([(name, pa.string()) for name in _Row._fields])


class _Verdict(NamedTuple):
    """What becomes of an image in a group of several; no issue where it stays in use."""

    group_id: str
    issue: ImportIssue | None


def separate(result: ImportResult, bits: int, store: SampleStore | None = None) -> ImportResult:
    """Settle exact and near duplicates among new images and those in the table, and keep the sides apart.

    Of files with the same bytes one row is kept, see `settle_with_table`; so an import can be repeated. Near-duplicates
    share a `group_id`; where a group touches several sides, its images on the later ones are quarantined, be they new
    or in the table.

    Args:
        result: What an import found; an `image_id` may repeat.
        bits: Images whose fingerprints differ in at most so many of 256 bits are near-duplicates, transitively.
        store: The table; none, or one without a version, for the first import.

    Returns:
        The samples to commit, each `image_id` once: new ones, and rows of the table that change; and all issues.
    """
    rows = _rows_by_id(store, [sample.image_id for sample in result.samples])
    settled = settle_with_table([_in_group(sample, rows) for sample in result.samples], rows)
    apart = keep_apart(settled.samples, store, bits)
    fresh, moved = apart.samples[: len(settled.samples)], apart.samples[len(settled.samples) :]
    news = (sample for sample in fresh if not is_repeat(sample, rows.get(sample.image_id)))
    return ImportResult((*news, *moved), (*result.issues, *settled.issues, *apart.issues))


def keep_apart(fresh: Sequence[Sample], store: SampleStore | None, bits: int) -> ImportResult:
    """Give near-duplicates one group, and quarantine those of a group that lie on a later side than it.

    Args:
        fresh: New rows and rows that replace those of the table, each `image_id` once.
        store: The table, see `separate`.
        bits: Images whose fingerprints differ in at most so many of 256 bits are near-duplicates, transitively.

    Returns:
        The fresh rows, then rows of the table that change; and an issue for each one that is quarantined.
    """
    new = _comparable(pa.Table.from_pylist([_row(sample)._asdict() for sample in fresh], schema=_ROW_SCHEMA))
    replaced = pa.array([sample.image_id for sample in fresh], pa.string())
    verdicts: dict[str, _Verdict] = {}
    if new.num_rows:
        others = _comparable(_every_row(store)).filter(~pc.field("image_id").isin(replaced))
        verdicts = _judge(others, new, bits)
    moved = _changed(store, {image_id: verdicts[image_id] for image_id in verdicts.keys() - set(replaced.to_pylist())})
    judged = (_apply(sample, verdicts.get(sample.image_id)) for sample in (*fresh, *moved))
    return ImportResult(tuple(judged), tuple(verdict.issue for verdict in verdicts.values() if verdict.issue))


def _in_group(sample: Sample, rows: Mapping[str, Sample]) -> Sample:
    """An image that is in the table stays in its group."""
    row = rows.get(sample.image_id)
    return replace(sample, group_id=row.group_id) if row else sample


def _rows_by_id(store: SampleStore | None, image_ids: Collection[str]) -> dict[str, Sample]:
    if store is None or not image_ids or not store.exists():
        return {}
    return {sample.image_id: sample for sample in store.by_ids(image_ids)}


def _every_row(store: SampleStore | None) -> pa.Table:
    """What the comparison needs of all rows: boxes are most of a table."""
    if store is None or not store.exists():
        return _ROW_SCHEMA.empty_table()
    return store.table(columns=_Row._fields).cast(_ROW_SCHEMA)


def _row(sample: Sample) -> _Row:
    return _Row(*(str(getattr(sample, name)) for name in _Row._fields))


def _comparable(rows: pa.Table) -> pa.Table:
    return rows.filter((pc.field("state") != State.QUARANTINED.value) & (pc.field("fingerprint") != ""))


def _judge(old: pa.Table, new: pa.Table, bits: int) -> dict[str, _Verdict]:
    """Verdicts by `image_id`, for every image of a group that has several members, one of them new."""
    every = pa.concat_tables([old, new])
    packed = pack_fingerprints(every["fingerprint"].to_pylist())
    known = every["group_id"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    groups = join_near(packed, bits, known, compared=len(old))
    touched = np.zeros(groups.max() + 1, dtype=bool)
    touched[groups[len(old) :]] = True
    touched &= np.bincount(groups) > 1
    members_of = np.flatnonzero(touched[groups])
    rows = {place: _Row(**row) for place, row in zip(members_of, every.take(members_of).to_pylist(), strict=True)}
    verdicts: dict[str, _Verdict] = {}
    order = np.argsort(groups, kind="stable")
    bounds = np.searchsorted(groups[order], np.arange(len(touched) + 1))
    for group in np.flatnonzero(touched):
        members = order[bounds[group] : bounds[group + 1]]
        group_id = min(rows[i].group_id for i in (members[members < len(old)] if members[0] < len(old) else members))
        issues = _judge_group([rows[i] for i in members], packed[members])
        verdicts.update({rows[i].image_id: _Verdict(group_id, issue) for i, issue in zip(members, issues, strict=True)})
    return verdicts


def _judge_group(rows: Sequence[_Row], packed: NDArray[np.uint64]) -> Iterator[ImportIssue | None]:
    """An issue for each image of a group that lies on another side than the group."""
    sides = np.array([SIDES[Split(row.split)] for row in rows])
    stay = np.flatnonzero(sides == sides.min())
    for i, row in enumerate(rows):
        if sides[i] == sides.min():
            yield None
            continue
        bits = distances(packed[i], packed[stay])
        nearest = rows[stay[bits.argmin()]]
        detail = (
            f"near-duplicate of {nearest.uri} in {nearest.split} ({bits.min()} of {FINGERPRINT_BITS} bits differ); "
            f"it was {row.state} in {row.split}"
        )
        yield ImportIssue(row.uri, "near_duplicate", detail, "quarantined")


def _changed(store: SampleStore | None, verdicts: Mapping[str, _Verdict]) -> list[Sample]:
    """Rows of the table that a verdict changes."""
    return [
        row
        for image_id, row in _rows_by_id(store, verdicts).items()
        if verdicts[image_id].issue is not None or verdicts[image_id].group_id != row.group_id
    ]


def _apply(sample: Sample, verdict: _Verdict | None) -> Sample:
    if verdict is None:
        return sample
    if verdict.issue is None:
        return replace(sample, group_id=verdict.group_id)
    return replace(sample, group_id=verdict.group_id, state=State.QUARANTINED, note=verdict.issue.detail)
