"""What a selection does to the sample table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.artefacts import MiningRun, SelectionRun, Standings
from pipeline.cycle import Cycle
from pipeline.dataset.store import MINED_STATES, SampleStore
from pipeline.in_order import in_order
from pipeline.records import Fate, Sample, Split, State, among, counted, of_images, samples_from_table, samples_to_table
from pipeline.selection.fates import count_pasted, is_learnt, is_soft
from pipeline.selection.machine_labels import NESTED, differ, machine_labels, with_labels
from pipeline.settings import SelectionSettings

HELD_BACK_SELECTION = "held_back_selection.parquet"
"""The fates of held-back proposals, as if their images were of the pool; see `cross_fitting`."""
COUNTED = ["image_id", "label", "p_correct", "hit_fraction", "checks", "fate", "reason"]
"""Columns of the selection by which images are chosen and outcomes counted: the others are most of a large table."""
_TOGETHER = 32_768
"""Images whose rows are laid out at once."""
_THREADS = 2
"""Stretches of the table that are changed at once, beside writing."""

Verdicts = Callable[[pc.Expression], pa.Table]
"""Reads rows of the selection by a filter on `image_id`: columns of `SELECTION_SCHEMA`."""


@dataclass(frozen=True)
class Outcome:
    """What was decided in a cycle.

    Attributes:
        queued: Images that wait for people.
        pseudo: Images that are pseudo-labelled.
        unread: Images that cannot be read any more, with the reason.
        cycle: Its number.
        opened_at: UTC; machine boxes carry it.
    """

    queued: frozenset[str]
    pseudo: frozenset[str]
    unread: Mapping[str, str]
    cycle: int
    opened_at: datetime

    def state_of(self, image_id: str) -> State:
        """What becomes of an image of the pool."""
        if image_id in self.unread:
            return State.QUARANTINED
        if image_id in self.queued:
            return State.QUEUED
        return State.PSEUDO if image_id in self.pseudo else State.POOL


def account(
    selection: pa.Table, outcome: Outcome, version: int, incomplete: int, settings: SelectionSettings
) -> SelectionRun:
    """Count what was decided.

    Args:
        selection: Columns `COUNTED` at least.
        outcome: What became of the images.
        version: Of the dataset, that holds it.
        incomplete: Images that are not pseudo-labelled because too many of their objects may be missed.
        settings: Which boxes are learnt softly.
    """
    written = selection.filter(of_images(outcome.pseudo))
    sure = counted(written.filter(pc.field("fate") == Fate.PSEUDO.value)["label"])
    return SelectionRun(
        version=version,
        pseudo_images=len(outcome.pseudo),
        pseudo_boxes=sum(sure.values()),
        soft_boxes=len(written.filter(is_soft(settings.soft_from))),
        incomplete_images=incomplete,
        queued=len(outcome.queued),
        dropped=counted(selection["fate"]).get(Fate.DROP.value, 0),
        pseudo_by_class=dict(sorted(sure.items())),
        pasted=count_pasted(selection, settings.soft_from),
    )


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
    return [*own, *_as_if_pseudo_labeled(past, labeled)]


def _as_if_pseudo_labeled(cycle: Cycle, labeled: Iterable[Sample]) -> list[Sample]:
    """What a cycle would have written on its held-back images had nobody labelled them; images with a box to learn."""
    settings, standings = cycle.settings.selection, cycle.find(Standings)
    mistrusted = among("label", standings.withdrawn if standings else [])
    selection = cycle.folder.read_table(HELD_BACK_SELECTION).filter(~mistrusted)
    taught = set(selection.filter(is_learnt(settings.soft_from))["image_id"].to_pylist())
    rows = samples_to_table(replace(one, state=State.PSEUDO) for one in labeled if one.image_id in taught)
    return samples_from_table(with_labels(rows, machine_labels(selection, settings, cycle.opened_at)))


def changed_rows(
    store: SampleStore, outcome: Outcome, verdicts: Verdicts, settings: SelectionSettings
) -> Iterator[pa.Table]:
    """Rows of the pool that the selection gives another state or other boxes, some images at a time.

    Args:
        store: The sample table.
        outcome: What was decided.
        verdicts: What was decided about proposals.
        settings: Which boxes are learnt softly, and which are ignored.

    Yields:
        Columns of `SAMPLE_SCHEMA`, in the order of `image_id`.
    """

    def change(batch: pa.RecordBatch) -> pa.Table:
        return _changed(pa.Table.from_batches([batch]), outcome, verdicts, settings)

    rows = store.stream(states=MINED_STATES, splits=[Split.POOL], batch_rows=_TOGETHER)
    yield from filter(len, in_order(change, rows, _THREADS, ahead=_THREADS))


def _changed(rows: pa.Table, outcome: Outcome, verdicts: Verdicts, settings: SelectionSettings) -> pa.Table:
    """Those of some rows that get another state or other boxes."""
    all_states = pa.array(map(outcome.state_of, rows["image_id"].to_pylist()), pa.string())
    # Most of a large pool was in it and stays, without boxes.
    touched = pc.or_(*(pc.not_equal(column, State.POOL.value) for column in (rows["state"], all_states)))
    old, states = rows.filter(touched), all_states.filter(touched)
    if not len(old):
        return old
    pseudo = old["image_id"].filter(pc.equal(states, State.PSEUDO.value)).to_pylist()
    labels = machine_labels(verdicts(of_images(pseudo)), settings, outcome.opened_at)
    notes = zip(old["image_id"].to_pylist(), old["note"].to_pylist(), strict=True)
    columns = {
        "state": states,
        "note": pa.array([outcome.unread.get(image_id, note) for image_id, note in notes], pa.string()),
        "cycle": pa.array(np.full(len(old), outcome.cycle, dtype=np.int32)),
    }
    new = with_labels(old, labels)
    for name, column in columns.items():
        new = new.set_column(new.column_names.index(name), name, column)
    changed = pc.not_equal(old["state"], states).to_numpy()
    for name in NESTED:
        changed |= differ(old[name], new[name])
    return new.filter(pa.array(changed))
