"""What a selection does to the sample table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.artefacts import MiningRun, SelectionRun, Standings
from pipeline.cycle import Cycle
from pipeline.dataset.store import SampleStore
from pipeline.records import Fate, Sample, Source, State, among, of_images, samples_from_table
from pipeline.selection.fates import boxes_of, count_pasted, is_learnt, is_soft, regions
from pipeline.settings import SelectionSettings

HELD_BACK_SELECTION = "held_back_selection.parquet"
"""The fates of held-back proposals, as if their images were of the pool; see `cross_fitting`."""


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


def account(outcome: Outcome, version: int, incomplete: int, settings: SelectionSettings) -> SelectionRun:
    """Count what was decided.

    Args:
        outcome: It.
        version: Of the dataset, that holds it.
        incomplete: Images that are not pseudo-labelled because too many of their objects may be missed.
        settings: Which boxes are learnt softly.
    """
    written = outcome.selection.filter(of_images(outcome.pseudo))
    sure = written.filter(pc.field("fate") == Fate.PSEUDO.value)["label"].to_pylist()
    return SelectionRun(
        version=version,
        pseudo_images=len(outcome.pseudo),
        pseudo_boxes=len(sure),
        soft_boxes=len(written.filter(is_soft(settings.soft_from))),
        incomplete_images=incomplete,
        queued=len(outcome.queued),
        dropped=outcome.selection["fate"].to_pylist().count(Fate.DROP.value),
        pseudo_by_class=dict(sorted(Counter(sure).items())),
        pasted=count_pasted(outcome.selection, settings.soft_from),
    )


class Written:
    """Pseudo-labelled images, as a selection writes them.

    Args:
        selection: Columns of `SELECTION_SCHEMA`, of these images.
        settings: Which boxes are learnt softly, and which are ignored.
        opened_at: UTC; machine boxes carry it.
    """

    def __init__(self, selection: pa.Table, settings: SelectionSettings, opened_at: datetime) -> None:
        learnt = is_soft(settings.soft_from)
        taught = selection.filter(is_learnt(settings.soft_from))
        self._image_ids = set(taught["image_id"].to_pylist())
        self._sure = boxes_of(selection, Fate.PSEUDO, opened_at)
        self._soft = boxes_of(selection.filter(learnt), Fate.ASK, opened_at, Source.SOFT)
        unsure = boxes_of(selection.filter(~learnt), Fate.ASK, opened_at)
        weak = boxes_of(selection.filter(pc.field("p_correct") >= settings.ignore_from), Fate.DROP, opened_at)
        self._left_out = ((unsure, "unsure"), (weak, "weak"))

    @staticmethod
    def of_held_back(cycle: Cycle) -> Written:
        """What a cycle would have written on its held-back images had nobody labelled them."""
        standings = cycle.find(Standings)
        selection = cycle.folder.read_table(HELD_BACK_SELECTION)
        mistrusted = among("label", standings.withdrawn if standings else [])
        return Written(selection.filter(~mistrusted), cycle.settings.selection, cycle.opened_at)

    def label(self, sample: Sample) -> Sample:
        """An image with the machine's boxes in place of all others."""
        boxes = (*self._sure.get(sample.image_id, []), *self._soft.get(sample.image_id, []))
        ignore = tuple(region for some, why in self._left_out for region in regions(some.get(sample.image_id, []), why))
        return replace(sample, state=State.PSEUDO, boxes=boxes, ignore=ignore)

    def pseudo_labeled(self, samples: Iterable[Sample]) -> list[Sample]:
        """Those of some images that have a box to learn from, with the machine's boxes."""
        return [self.label(sample) for sample in samples if sample.image_id in self._image_ids]


def written_by(cycle: Cycle, champion: str | None, labeled: Iterable[Sample]) -> list[Sample]:
    """Pseudo-labelled images of the pool, and held-back images as if they were, by the committee of one champion.

    None at all where the cycle before was not mined by it: then the champion itself wrote them, which has learnt every
    fold.
    """
    past = cycle.before()
    mined = past.find(MiningRun) if past else None
    if past is None or mined is None or mined.model_id != champion or not past.folder.exists(HELD_BACK_SELECTION):
        return []
    pool = cycle.store.samples(states=[State.PSEUDO])
    own = [sample for sample in pool if all(box.model_id == champion for box in sample.boxes)]
    return [*own, *Written.of_held_back(past).pseudo_labeled(labeled)]


def changed_rows(store: SampleStore, outcome: Outcome, settings: SelectionSettings) -> list[Sample]:
    """Rows of the pool that the selection gives another state or other boxes.

    Args:
        store: The sample table.
        outcome: What was decided.
        settings: Which boxes are learnt softly, and which are ignored.
    """
    written = Written(outcome.selection.filter(of_images(outcome.pseudo)), settings, outcome.opened_at)

    def decided(sample: Sample) -> Sample:
        image_id = sample.image_id
        bare = replace(sample, boxes=(), ignore=(), cycle=outcome.cycle)
        if image_id in outcome.unread:
            return replace(bare, state=State.QUARANTINED, note=outcome.unread[image_id])
        if image_id in outcome.queued:
            return replace(bare, state=State.QUEUED)
        if image_id in outcome.pseudo:
            return written.label(bare)
        return replace(bare, state=State.POOL)

    # Most of a large pool was in it and stays, without boxes.
    touched = of_images({*outcome.queued, *outcome.pseudo, *outcome.unread})
    samples = samples_from_table(store.pool().filter((pc.field("state") != State.POOL.value) | touched))
    pairs = ((sample, decided(sample)) for sample in samples)
    return [new for old, new in pairs if (old.state, old.boxes, old.ignore) != (new.state, new.boxes, new.ignore)]
