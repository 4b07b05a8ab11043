"""Going back: to the champion before, or to before a cycle that was not finished."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.artefacts import GateOutcome
from pipeline.cycle import only_one, require_finished_cycles, unfinished_cycle
from pipeline.dataset.store import SampleStore
from pipeline.detector.models.registry import champion_before, champions, reinstate
from pipeline.errors import PipelineError
from pipeline.records import Sample, State
from pipeline.settings import Settings
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Rollback:
    """What a rollback did.

    Attributes:
        champion: The model that is champion again.
        withdrawn: The model that was.
        images: Images that went back to the pool.
        version: The dataset version after it; None where there is no table.
    """

    champion: str
    withdrawn: str
    images: int
    version: int | None


def rollback(settings: Settings) -> Rollback:
    """Make the champion before this one the champion again.

    A certificate promises nothing of another model, so that labels which the withdrawn one wrote must not teach the
    next: their images go back to the pool, in a new dataset version. The next cycle trains from the champion that is in
    use again, mines the pool with it, and calibrates and certifies it anew.

    Args:
        settings: The project.

    Raises:
        ArtefactError: There is no champion before this one.
        PipelineError: A cycle is under way, or another run.
    """
    workspace = Workspace(settings.workspace)
    with only_one(settings):
        require_finished_cycles(settings, "with the champion that would be withdrawn")
        champion, withdrawn = champion_before(workspace.models), champions(workspace.models)[-1]
        # In this order: where it is killed in between, it can be repeated.
        images, version = _take_back(SampleStore(workspace.samples_uri), withdrawn, settings)
        reinstate(workspace.models, champion)
        return Rollback(champion, withdrawn, images, version)


def discard_cycle(settings: Settings) -> int:
    """Drop the cycle that was not finished, and what it committed.

    The champion before it is champion again; models that it trained stay on disk.

    Returns:
        Its number.

    Raises:
        PipelineError: There is none.
    """
    workspace, number = Workspace(settings.workspace), unfinished_cycle(settings)
    if number is None:
        raise PipelineError("Expected an unfinished cycle to discard, found none.")
    store = SampleStore(workspace.samples_uri)
    history = store.history() if store.exists() else []
    before = [version.number for version in history if version.cycle is None or version.cycle < number]
    if before:
        store.restore(max(before), f"cycle {number} discarded")
    folder = workspace.cycle(number)
    if folder.exists(GateOutcome.FILE):
        reinstate(workspace.models, folder.read_record(GateOutcome.FILE, GateOutcome).champion)
    workspace.folder("cycles").remove(f"{number:04d}")
    return number


def _take_back(store: SampleStore, model_id: str, settings: Settings) -> tuple[int, int | None]:
    if not store.exists():
        return 0, None
    freed: list[Sample] = [
        replace(sample, state=State.POOL, boxes=(), ignore=())
        for sample in store.samples(states=[State.PSEUDO])
        if any(box.model_id == model_id for box in sample.boxes)
    ]
    if not freed:
        return 0, store.version()
    version = store.commit(
        freed,
        reason=f"model {model_id} withdrawn: {len(freed)} images back to the pool",
        key=f"rollback from {model_id} at version {store.version()}",
        settings_digest=settings.digest(),
    )
    return len(freed), version
