"""The first questions of a project that has no label yet."""

from __future__ import annotations

from pipeline.artefacts import Decision, SelectionRun
from pipeline.cycle import Cycle
from pipeline.detector.models.champion import champion_of
from pipeline.errors import DataError
from pipeline.progress import Progress, silent
from pipeline.records import SELECTION_SCHEMA, Split, State, samples_from_table
from pipeline.selection.commit import Outcome, changed_rows
from pipeline.selection.first_questions import first_queue, unlike_images


def nothing_to_learn(cycle: Cycle) -> bool:
    """Whether a project has neither a label to learn from nor a model, but people who can be asked for labels."""
    asked = cycle.settings.labeling.asks_people
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
    free = [sample.ref for sample in pool if sample.state is not State.QUEUED]
    queued = [*waiting, *unlike_images(cycle, free, wanted, progress)]
    cycle.folder.write_table("selection.parquet", SELECTION_SCHEMA.empty_table())
    cycle.folder.write_table("queue.parquet", first_queue(queued))
    return Decision(waiting=len(queued), shown_from=None)


def _commit(cycle: Cycle) -> SelectionRun:
    queued = frozenset(cycle.folder.read_table("queue.parquet", ["image_id"])["image_id"].to_pylist())
    outcome = Outcome(queued, frozenset(), {}, cycle.number, cycle.opened_at)
    verdicts = SELECTION_SCHEMA.empty_table().filter
    version = cycle.store.commit(
        changed_rows(cycle.store, outcome, verdicts, cycle.settings.selection),
        reason=f"cycle {cycle.number}: first questions",
        key=f"cycle {cycle.number} {cycle.opened_at.isoformat()} select",
        cycle=cycle.number,
        settings_digest=cycle.settings.digest(),
    )
    return SelectionRun(version=version, queued=len(queued))
