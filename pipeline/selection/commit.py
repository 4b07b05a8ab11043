"""What a selection does to the sample table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.artefacts import MiningRun, SelectionRun, Standings
from pipeline.cycle import Cycle
from pipeline.dataset.store import SampleStore
from pipeline.records import Fate, Sample, State, among, counted, of_images, samples_from_table, samples_to_table
from pipeline.selection.fates import count_pasted, is_learnt, is_soft
from pipeline.selection.machine_labels import NESTED, differ, machine_labels, with_labels
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
    sure = counted(written.filter(pc.field("fate") == Fate.PSEUDO.value)["label"])
    return SelectionRun(
        version=version,
        pseudo_images=len(outcome.pseudo),
        pseudo_boxes=sum(sure.values()),
        soft_boxes=len(written.filter(is_soft(settings.soft_from))),
        incomplete_images=incomplete,
        queued=len(outcome.queued),
        dropped=counted(outcome.selection["fate"]).get(Fate.DROP.value, 0),
        pseudo_by_class=dict(sorted(sure.items())),
        pasted=count_pasted(outcome.selection, settings.soft_from),
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


def changed_rows(store: SampleStore, outcome: Outcome, settings: SelectionSettings) -> pa.Table:
    """Rows of the pool that the selection gives another state or other boxes.

    Args:
        store: The sample table.
        outcome: What was decided.
        settings: Which boxes are learnt softly, and which are ignored.
    """
    # Most of a large pool was in it and stays, without boxes.
    touched = of_images({*outcome.queued, *outcome.pseudo, *outcome.unread})
    old = store.pool().filter((pc.field("state") != State.POOL.value) | touched)
    unread, queued, pseudo = (
        pc.is_in(old["image_id"], pa.array(sorted(images), pa.string())).to_numpy()
        for images in (outcome.unread, outcome.queued, outcome.pseudo)
    )
    states = [State.QUARANTINED, State.QUEUED, State.PSEUDO]
    state = np.select([unread, queued, pseudo], [one.value for one in states], State.POOL.value)
    pseudo = of_images(old["image_id"].filter(pa.array(state == State.PSEUDO.value)).to_pylist())
    labels = machine_labels(outcome.selection.filter(pseudo), settings, outcome.opened_at)
    notes = zip(old["image_id"].to_pylist(), old["note"].to_pylist(), strict=True)
    columns = {
        "state": pa.array(state, pa.string()),
        "note": pa.array([outcome.unread.get(image_id, note) for image_id, note in notes], pa.string()),
        "cycle": pa.array(np.full(len(old), outcome.cycle, dtype=np.int32)),
    }
    new = with_labels(old, labels)
    for name, column in columns.items():
        new = new.set_column(new.column_names.index(name), name, column)
    changed = old["state"].to_numpy() != state
    for name in NESTED:
        changed |= differ(old[name], new[name])
    return new.filter(pa.array(changed))
