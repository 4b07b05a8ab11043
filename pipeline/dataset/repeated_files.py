"""Files with the same bytes: one of them becomes the row of the table, the others are named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pipeline.dataset.formats.entry import ImportResult
from pipeline.records import ImportIssue, Sample, Source, Split, State

SIDES = {Split.TEST: 0, Split.VAL: 1, Split.TRAIN: 2, Split.POOL: 2}
"""What must be kept apart, first come first served: test, val, and learning (train and pool)."""

_PEOPLE = frozenset({Source.HUMAN, Source.ACCEPTED, Source.CORRECTED})


def keep_one_a_file(samples: Iterable[Sample], rank: Callable[[Sample], Any]) -> ImportResult:
    """Keep one sample for each `image_id`.

    Args:
        samples: May repeat an image.
        rank: The sample with the lowest rank is kept, the first one where several share it.

    Returns:
        The kept samples in the order of their first appearance, and an issue for each of the others; none for a
        labeled file that is listed in the pool as well, as the pool may be the folder that holds everything.
    """
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        found[sample.image_id].append(sample)
    kept: list[Sample] = []
    issues: list[ImportIssue] = []
    for same in found.values():
        best = min(same, key=rank)
        kept.append(best)
        dropped = (other for other in same if other is not best)
        issues.extend(
            _issue(region, best) for region in dropped if region.uri != best.uri or region.state is not State.POOL
        )
    return ImportResult(tuple(kept), tuple(issues))


def settle_with_table(samples: Iterable[Sample], rows: Mapping[str, Sample]) -> ImportResult:
    """Decide between new samples, and between them and rows of the table, with the same bytes.

    A usable one goes before a quarantined one, then test before val before learning, then labels from people before
    imported ones before none. Of two imports the newer one goes first, so that corrected files replace what they
    gave before; otherwise the row of the table stays. What an import brings again is passed over without an issue.

    Args:
        samples: What an import found, in order.
        rows: Rows of the table by `image_id`, at least those that `samples` name.

    Returns:
        New samples that are to be committed, each `image_id` once, and an issue for every file left out.
    """
    news = [sample for sample in samples if not is_repeat(sample, rows.get(sample.image_id))]
    # A quarantined file that is imported anew is no duplicate of itself.
    met = {
        sample.image_id for sample in news if sample.image_id in rows and not _is_renewed(sample, rows[sample.image_id])
    }
    old = [row for image_id, row in rows.items() if image_id in met]
    settled = keep_one_a_file([*old, *news], rank=lambda sample: _rank(sample, rows.get(sample.image_id) is sample))
    fresh = tuple(sample for sample in settled.samples if rows.get(sample.image_id) is not sample)
    return ImportResult(fresh, settled.issues)


def is_repeat(sample: Sample, row: Sample | None) -> bool:
    """Tell whether a sample says nothing that its row in the table does not say already.

    Args:
        sample: A new sample.
        row: The row with the same `image_id`, None where there is none.
    """
    if row is None or sample.uri != row.uri:
        return False
    if sample.state is State.POOL:
        return row.state is not State.QUARANTINED
    if (sample.split, sample.state, sample.group_id) != (row.split, row.state, row.group_id):
        return False
    return _objects(sample) == _objects(row) and (sample.state is State.LABELED or sample.note == row.note)


def _is_renewed(sample: Sample, row: Sample) -> bool:
    return row.state is State.QUARANTINED and sample.uri == row.uri


def _rank(sample: Sample, is_row: bool) -> tuple[bool, int, int, bool]:
    labeled = sample.state is State.LABELED
    by_people = labeled and any(box.source in _PEOPLE for box in sample.boxes)
    # An empty answer has no box that could tell; only a cycle labels images without an import.
    by_people |= labeled and not sample.boxes and sample.cycle is not None
    trust = 0 if by_people else 1 if labeled else 2
    newer_first = sample.state is State.QUARANTINED or trust == 1
    return (sample.state is State.QUARANTINED, SIDES[sample.split], trust, is_row == newer_first)


def _objects(sample: Sample) -> set[tuple[Any, ...]]:
    """Labels and corners, to a hundredth of a pixel, whoever drew them and when."""
    boxes = {(box.label, *(round(value, 2) for value in box.xyxy)) for box in sample.boxes}
    return boxes | {(region.reason, *(round(value, 2) for value in region.xyxy)) for region in sample.ignore}


def _issue(dropped: Sample, kept: Sample) -> ImportIssue:
    detail = f"same bytes as {kept.uri} ({kept.state} in {kept.split}), which is kept"
    if dropped.state is kept.state is State.LABELED and _objects(dropped) != _objects(kept):
        detail += f"; their boxes differ ({len(dropped.boxes)} and {len(kept.boxes)}), look at both"
    return ImportIssue(dropped.uri, "duplicate", detail, "left_out")
