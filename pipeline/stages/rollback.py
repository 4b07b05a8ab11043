"""Going back to the champion before, and taking back what the one that is withdrawn has written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipeline.dataset.store import SampleStore
from pipeline.detector.models.registry import champion_before, champions, reinstate
from pipeline.errors import PipelineError
from pipeline.records import Sample, State
from pipeline.settings import Settings
from pipeline.stages.cycle import DONE, only_one
from pipeline.workspace import Workspace


def rollback(settings: Settings) -> dict[str, Any]:
    """Make the champion before this one the champion again.

    A certificate promises nothing of another model, so that labels which the withdrawn one wrote must not teach the
    next: their images go back to the pool, in a new dataset version. The next cycle trains from the champion that is in
    use again, mines the pool with it, and calibrates and certifies it anew.

    Args:
        settings: The project.

    Returns:
        `champion`, `withdrawn`, `images` (how many went back to the pool) and `version`; None where there is no table.

    Raises:
        ArtefactError: There is no champion before this one.
        PipelineError: A cycle is under way, or another run.
    """
    workspace = Workspace(settings.workspace)
    with only_one(settings):
        unfinished = [number for number in workspace.cycles() if not workspace.cycle(number).exists(DONE)]
        if unfinished:
            raise PipelineError(
                f"Expected every cycle to be finished, cycle {max(unfinished)} is under way with the champion that "
                "would be withdrawn. Finish it with `crosscheck cycle`, or drop it with `crosscheck cycle --discard`."
            )
        champion, withdrawn = champion_before(workspace.models), champions(workspace.models)[-1]
        # In this order: where it is killed in between, it can be repeated.
        images, version = _take_back(SampleStore(workspace.samples_uri), withdrawn, settings)
        reinstate(workspace.models, champion)
        return {"champion": champion, "withdrawn": withdrawn, "images": images, "version": version}


def _take_back(store: SampleStore, model_id: str, settings: Settings) -> tuple[int, int | None]:
    if not store.exists():
        return 0, None
    written = [
        one for one in store.samples(states=[State.PSEUDO]) if any(box.model_id == model_id for box in one.boxes)
    ]
    if not written:
        return 0, store.version()
    freed: list[Sample] = [replace(one, state=State.POOL, boxes=(), ignore=()) for one in written]
    version = store.commit(
        freed,
        reason=f"model {model_id} withdrawn: {len(freed)} images back to the pool",
        key=f"rollback from {model_id} at version {store.version()}",
        settings_digest=settings.digest(),
    )
    return len(freed), version
