"""Asking people about the images that wait."""

from __future__ import annotations

from typing import Any

from pipeline.errors import ArtefactError
from pipeline.labeling.backend import LabelingBackend
from pipeline.records import Fate, Sample, State, Task, TaskKind
from pipeline.selection.decide import boxes_of
from pipeline.settings import Settings
from pipeline.stages.cycle import Cycle, Progress, load_cycle, silent, timed
from pipeline.workspace import Workspace

ARTEFACT, QUEUE, SELECTION = "push.json", "queue.parquet", "selection.parquet"


def push(cycle: Cycle, backend: LabelingBackend | None, progress: Progress = silent) -> dict[str, Any]:
    """Push every image that waits for an answer; those pushed before are left alone.

    Args:
        cycle: The cycle.
        backend: Who answers; None pushes nothing.
        progress: Told while it goes on.

    Returns:
        `push.json`: what was created, what was there, what was refused.

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
    result = backend.push(queued_tasks(cycle), lambda done, total: progress("pushing tasks", done, total))
    return {"created": len(result.created), "existing": len(result.existing), "refused": dict(result.refused)}


def queued_tasks(cycle: Cycle) -> list[Task]:
    """Tasks for every queued image, best first, with the boxes that a person may see."""
    samples = {sample.image_id: sample for sample in cycle.store.samples(states=[State.QUEUED])}
    selection = cycle.folder.read_table(SELECTION)
    shown = [boxes_of(selection, fate, cycle.opened_at) for fate in (Fate.PSEUDO, Fate.ASK)]
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
        )

    queue = cycle.folder.read_table(QUEUE).to_pylist()
    return [task(row, samples[row["image_id"]]) for row in queue if row["image_id"] in samples]
