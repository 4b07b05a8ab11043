"""Asking people about the images that wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import ArtefactError
from pipeline.labeling.backend import LabelingBackend
from pipeline.records import Fate, Sample, Split, State, Task, TaskKind, of_images, samples_from_table
from pipeline.selection.fates import boxes_of
from pipeline.selection.query import doubts
from pipeline.settings import Settings
from pipeline.stages.cycle import Cycle, Progress, load_cycle, silent, timed
from pipeline.workspace import Workspace

ARTEFACT, QUEUE, SELECTION = "push.json", "queue.parquet", "selection.parquet"
UNASKED = (State.POOL, State.PSEUDO, State.QUARANTINED)
"""Images of the pool that nobody need be asked about."""


def push(cycle: Cycle, backend: LabelingBackend | None, progress: Progress = silent) -> dict[str, Any]:
    """Push every image that waits for an answer, and take back questions that need no answer any more.

    Args:
        cycle: The cycle.
        backend: Who answers; None pushes nothing.
        progress: Told while it goes on.

    Returns:
        `push.json`: what was created, what was there, what was refused, and what became of open questions.

    Raises:
        RemoteError: The service is down or refuses.
    """
    return cycle.once("push", lambda: _push(cycle, backend, progress))


def push_failed(cycle: Cycle, reason: str) -> dict[str, Any]:
    """Note that nothing could be pushed; the images wait, and the next cycle pushes them.

    Returns:
        `push.json`.
    """
    return cycle.once("push", lambda: {"created": 0, "existing": 0, "refused": {}, "failed": reason})


def push_now(settings: Settings, backend: LabelingBackend | None, progress: Progress = silent) -> dict[str, Any]:
    """Push what the last selection queued, whether its cycle has ended or not; pushing again adds nothing.

    Args:
        settings: The project.
        backend: Who answers; None pushes nothing.
        progress: Told while it goes on.

    Returns:
        What this push did, and the `cycle`. It becomes `push.json` where the cycle has not pushed, or could not.

    Raises:
        ArtefactError: Nothing was ever selected.
        RemoteError: The service is down or refuses.
    """
    workspace = Workspace(settings.workspace)
    numbers = [number for number in workspace.cycles() if workspace.cycle(number).exists(QUEUE)]
    if not numbers:
        raise ArtefactError(f"Expected a queue in {workspace.uri}, found none. Run `crosscheck mine` first.")
    cycle = load_cycle(settings.workspace, max(numbers))
    told = timed(lambda: _push(cycle, backend, progress))
    if not cycle.folder.exists(ARTEFACT) or "failed" in cycle.folder.read_json(ARTEFACT):
        cycle.folder.write_json(ARTEFACT, told)
    return {"cycle": cycle.number, **told}


def _push(cycle: Cycle, backend: LabelingBackend | None, progress: Progress) -> dict[str, Any]:
    if backend is None:
        return {"created": 0, "existing": 0, "refused": {}}
    unasked = cycle.store.table(columns=["image_id"], states=UNASKED, splits=[Split.POOL])["image_id"].to_pylist()
    result = backend.push(
        queued_tasks(cycle), lambda done, total: progress("pushing tasks", done, total), frozenset(unasked)
    )
    _queue_begun(cycle, result.begun)
    return {
        "created": len(result.created),
        "existing": len(result.existing),
        "refused": dict(result.refused),
        "updated": len(result.updated),
        "withdrawn": len(result.withdrawn),
        "begun": len(result.begun),
    }


def _queue_begun(cycle: Cycle, image_ids: Sequence[str]) -> None:
    """Have images wait whose answer somebody has begun, although they would not be asked about now."""
    rows = cycle.store.table(states=[State.POOL, State.PSEUDO]).filter(of_images(image_ids)) if image_ids else None
    if rows is None or not len(rows):
        return
    samples = [
        replace(sample, state=State.QUEUED, boxes=(), ignore=(), cycle=cycle.number)
        for sample in samples_from_table(rows)
    ]
    cycle.store.commit(
        samples,
        reason=f"cycle {cycle.number}: {len(samples)} answers begun",
        key=f"cycle {cycle.number} push {datetime.now(UTC).isoformat()}",
        cycle=cycle.number,
        settings_digest=cycle.settings.digest(),
    )


def queued_tasks(cycle: Cycle) -> list[Task]:
    """Tasks for every queued image, best first, with the boxes that a person may see."""
    samples = {sample.image_id: sample for sample in cycle.store.samples(states=[State.QUEUED])}
    selection = cycle.folder.read_table(SELECTION)
    shown = [boxes_of(selection, fate, cycle.opened_at) for fate in (Fate.PSEUDO, Fate.ASK)]
    unsure = doubts(selection, cycle.settings.selection.target_precision)
    model_id = str(cycle.artefact("mining")["model_id"])

    def task(row: dict[str, Any], sample: Sample) -> Task:
        kind = TaskKind(row["kind"])
        boxes = [box for by_image in shown for box in by_image.get(sample.image_id, [])]
        return Task(
            image_id=sample.image_id,
            uri=sample.uri,
            width=sample.width,
            height=sample.height,
            boxes=tuple(boxes) if kind is TaskKind.ASK else (),
            value=row["value"],
            reason=row["reason"],
            kind=kind,
            cycle=cycle.number,
            model_id=model_id,
            asked_at=cycle.opened_at,
            doubts={box.box_id: unsure[box.box_id] for box in boxes if box.box_id in unsure},
        )

    queue = cycle.folder.read_table(QUEUE).to_pylist()
    return [task(row, samples[row["image_id"]]) for row in queue if row["image_id"] in samples]
