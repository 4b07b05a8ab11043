"""What a selection does to the sample table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.store import SampleStore
from pipeline.records import Fate, Sample, Source, State, of_images, samples_from_table
from pipeline.selection.fates import boxes_of, is_soft, regions
from pipeline.settings import SelectionSettings


@dataclass(frozen=True)
class Outcome:
    """What was decided in a cycle.

    Attributes:
        selection: Columns of `SELECTION_SCHEMA`.
        queued: Images that wait for people.
        pseudo: Images that are pseudo-labelled.
        unread: Images that cannot be read any more, with the reason.
        cycle: Its number.
        opened_at: UTC; machine boxes carry it.
    """

    selection: pa.Table
    queued: frozenset[str]
    pseudo: frozenset[str]
    unread: Mapping[str, str]
    cycle: int
    opened_at: datetime


def changed_rows(store: SampleStore, outcome: Outcome, settings: SelectionSettings) -> list[Sample]:
    """Rows of the pool that the selection gives another state or other boxes.

    Args:
        store: The sample table.
        outcome: What was decided.
        settings: Which boxes are learnt softly, and which are ignored.
    """
    written = outcome.selection.filter(of_images(outcome.pseudo))
    learnt = is_soft(settings.soft_from)
    sure = boxes_of(written, Fate.PSEUDO, outcome.opened_at)
    soft = boxes_of(written.filter(learnt), Fate.ASK, outcome.opened_at, Source.SOFT)
    unsure = boxes_of(written.filter(~learnt), Fate.ASK, outcome.opened_at)
    weak = boxes_of(written.filter(pc.field("p_correct") >= settings.ignore_from), Fate.DROP, outcome.opened_at)
    left_out = ((unsure, "unsure"), (weak, "weak"))

    def decided(sample: Sample) -> Sample:
        image_id = sample.image_id
        bare = replace(sample, boxes=(), ignore=(), cycle=outcome.cycle)
        if image_id in outcome.unread:
            return replace(bare, state=State.QUARANTINED, note=outcome.unread[image_id])
        if image_id in outcome.queued:
            return replace(bare, state=State.QUEUED)
        if image_id in outcome.pseudo:
            boxes = (*sure.get(image_id, []), *soft.get(image_id, []))
            ignore = tuple(region for some, why in left_out for region in regions(some.get(image_id, []), why))
            return replace(bare, state=State.PSEUDO, boxes=boxes, ignore=ignore)
        return replace(bare, state=State.POOL)

    # Most of a large pool was in it and stays, without boxes.
    touched = of_images({*outcome.queued, *outcome.pseudo, *outcome.unread})
    samples = samples_from_table(store.pool().filter((pc.field("state") != State.POOL.value) | touched))
    pairs = ((sample, decided(sample)) for sample in samples)
    return [new for old, new in pairs if (old.state, old.boxes, old.ignore) != (new.state, new.boxes, new.ignore)]
