"""Going back to the champion before."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.cycle import between_cycles
from pipeline.dataset.model_labels import take_back_labels
from pipeline.dataset.store import SampleStore
from pipeline.detector.models.registry import champion_before, champions, reinstate
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
    with between_cycles(settings, "with the champion that would be withdrawn"):
        champion, withdrawn = champion_before(workspace.models), champions(workspace.models)[-1]
        # In this order: where it is killed in between, it can be repeated.
        store = SampleStore(workspace.samples_uri)
        images = take_back_labels(store, withdrawn, settings.digest())
        reinstate(workspace.models, champion)
        return Rollback(champion, withdrawn, images, store.version() if store.exists() else None)
