"""The first questions of a project that has no label yet: images unlike each other, to be drawn from nothing."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline.artefacts import Decision, SelectionRun
from pipeline.cycle import Cycle
from pipeline.detector.inference.image_features import ImageFeatures, image_features
from pipeline.detector.models.champion import champion_of
from pipeline.detector.models.detector import build_detector
from pipeline.detector.training.fit import labeled_predictor
from pipeline.errors import DataError
from pipeline.progress import Progress, silent
from pipeline.records import QUEUE_SCHEMA, SELECTION_SCHEMA, ImageRef, Split, State, TaskKind, samples_from_table
from pipeline.seeds import cycle_seed, numpy_generator
from pipeline.selection.commit import Outcome, changed_rows
from pipeline.selection.diversity import diverse

LOOKED_AT = 5000
"""Images of a larger pool among which the first are sought, drawn at random: diversity needs no more."""
REASON = "one of the first images: please draw every object"


def nothing_to_learn(cycle: Cycle) -> bool:
    """Whether a project has neither a label to learn from nor a model, but people who can be asked for labels."""
    asked = cycle.settings.labeling.backend != "none"
    return asked and not cycle.store.labeled(Split.TRAIN) and champion_of(cycle.workspace) is None


def first_questions(cycle: Cycle, progress: Progress = silent) -> SelectionRun:
    """Queue images that a pretrained backbone finds unlike each other; those that wait already stay.

    The tables are those of `select`, so that a push and a report need not know that no model was there.

    Args:
        cycle: The cycle.
        progress: Called while images are looked at.

    Raises:
        DataError: The pool is empty.
    """
    cycle.once(Decision, lambda: _decide(cycle, progress))
    return cycle.once(SelectionRun, lambda: _commit(cycle))


def _decide(cycle: Cycle, progress: Progress) -> Decision:
    pool = samples_from_table(cycle.store.pool())
    if not pool:
        raise DataError(
            f"Expected labelled training images or a pool in {cycle.store.uri}, found neither. Import some first."
        )
    waiting = [sample.image_id for sample in pool if sample.state is State.QUEUED]
    wanted = max(0, cycle.settings.selection.query.images - len(waiting))
    refs = [sample.ref for sample in pool if sample.state is not State.QUEUED]
    order = numpy_generator(cycle.settings.seed, "first questions").permutation(len(refs))[:LOOKED_AT]
    seen = _look(cycle, [refs[index] for index in sorted(order.tolist())], progress) if wanted else None
    chosen = _unlike(seen, wanted, cycle.settings.seed) if seen else []
    cycle.folder.write_table("selection.parquet", SELECTION_SCHEMA.empty_table())
    cycle.folder.write_table("queue.parquet", _queue([*waiting, *chosen]))
    return Decision(waiting=len(waiting) + len(chosen), shown_from=None)


def _look(cycle: Cycle, refs: list[ImageRef], progress: Progress) -> ImageFeatures:
    settings = cycle.settings
    detector = build_detector(
        settings.detector, settings.data.labels, settings.training, cycle_seed(settings.seed, cycle.number)
    )
    return image_features(labeled_predictor(settings, detector), refs, progress)


def _unlike(seen: ImageFeatures, count: int, seed: int) -> list[str]:
    vectors = seen.vectors.astype(np.float64)
    return [seen.image_ids[index] for index in diverse(vectors, np.ones(len(vectors)), count, seed).tolist()]


def _queue(image_ids: list[str]) -> pa.Table:
    rows = [
        {
            "image_id": image_id,
            "rank": rank,
            "value": 1.0,
            "expected_corrections": 0.0,
            "expected_missed": 0.0,
            "boxes": 0,
            "kind": TaskKind.ASK.value,
            "reason": REASON,
        }
        for rank, image_id in enumerate(image_ids)
    ]
    return pa.Table.from_pylist(rows, schema=QUEUE_SCHEMA)


def _commit(cycle: Cycle) -> SelectionRun:
    queued = frozenset(cycle.folder.read_table("queue.parquet", ["image_id"])["image_id"].to_pylist())
    outcome = Outcome(SELECTION_SCHEMA.empty_table(), queued, frozenset(), {}, cycle.number, cycle.opened_at)
    version = cycle.store.commit(
        changed_rows(cycle.store, outcome, cycle.settings.selection),
        reason=f"cycle {cycle.number}: first questions",
        key=f"cycle {cycle.number} {cycle.opened_at.isoformat()} select",
        cycle=cycle.number,
        settings_digest=cycle.settings.digest(),
    )
    return SelectionRun(version=version, queued=len(queued))
