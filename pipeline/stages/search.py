"""A backbone for a project: a path of the default body that is fast here and finds much on split val."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from pipeline.dataset.store import SampleStore
from pipeline.detector.search.evolution import Evolution
from pipeline.detector.search.one_shot import PathResult, Search, search, train_alone
from pipeline.detector.search.space import WHOLE
from pipeline.detector.training.fit import TrainingJob
from pipeline.errors import DataError, SettingsError
from pipeline.progress import Progress, silent
from pipeline.records import Split
from pipeline.seeds import derive_seed
from pipeline.settings import DetectorSettings, Settings, lasting_digest
from pipeline.workspace import Workspace

CHECKPOINTS = "search"
"""Their folder in the workspace, until the search ends."""


@dataclass(frozen=True)
class SearchRequest:
    """What is searched for, and how long.

    Attributes:
        steps: Of the supernet, and of each path that is trained alone.
        evolution: How paths are searched for.
        compare: Random paths, about as fast as the found one, that are trained alone beside it and the whole body;
            0 trains none.
    """

    steps: int
    evolution: Evolution
    compare: int = 0


@dataclass(frozen=True)
class SearchRun:
    """What came of a search.

    Attributes:
        seed: Of the settings.
        steps: Of the supernet, and of each path that was trained alone.
        limit: Most that a path might take, relative to the whole body.
        judged: Paths that were looked at.
        train: Images that were learnt.
        val: Images that paths were judged by.
        test: Images that trained paths were measured on.
        paths: The whole body, the found path, then random ones.
    """

    MADE_BY: ClassVar[str] = "crosscheck models search"

    seed: int
    steps: int
    limit: float
    judged: int
    train: int
    val: int
    test: int
    paths: tuple[PathResult, ...]

    @property
    def found(self) -> PathResult:
        """The path that was found."""
        return next(each for each in self.paths if each.origin == "found")


def search_body(settings: Settings, request: SearchRequest, progress: Progress = silent) -> SearchRun:
    """Search a body for a project, in which nothing changes.

    Each training of a search that was killed goes on from its last checkpoint; what was trained through is not trained
    again, and no path is judged again.

    Args:
        settings: The project.
        request: The search.
        progress: Called after every step and path.

    Raises:
        SettingsError: The project's backbone is not the default one, or no path is within the limit.
        DataError: There are no labelled images to learn from, to judge paths by, or to compare them on.
    """
    _require_default_body(settings.detector)
    workspace = Workspace(settings.workspace)
    store = SampleStore(workspace.samples_uri)
    train, val, test = (store.labeled(split) for split in (Split.TRAIN, Split.VAL, Split.TEST))
    sizes = len(train), len(val), len(test)
    if not all(sizes if request.compare else sizes[:2]):
        raise DataError(
            "Expected labelled images of splits train, val and, with --compare, test; "
            f"found {sizes[0]}, {sizes[1]} and {sizes[2]}"
        )
    settings = _in_one_process(settings, request.steps)
    job = TrainingJob(
        settings,
        train,
        [],
        derive_seed(settings.seed, "search"),
        workspace.folder(CHECKPOINTS),
        identity=f"{lasting_digest(settings)} {store.version()}",
        steps=request.steps,
    )
    plan = Search(job, val, request.evolution)
    outcome = search(plan, request.compare, progress)
    paths = outcome.paths
    if request.compare:
        paths = tuple(
            replace(each, trained_map=round(train_alone(plan, each.path, test, progress), 4)) for each in paths
        )
    workspace.remove(CHECKPOINTS)
    return SearchRun(settings.seed, request.steps, request.evolution.limit, outcome.judged, *sizes, paths)


def _in_one_process(settings: Settings, steps: int) -> Settings:
    """Several processes would each draw a path."""
    training = settings.training.model_copy(update={"devices": 1, "nodes": 1, "steps": steps})
    return settings.model_copy(update={"training": training})


def _require_default_body(detector: DetectorSettings) -> None:
    try:
        DetectorSettings.model_validate({**detector.model_dump(), "path": WHOLE})
    except ValueError as fault:
        raise SettingsError(f"A search expects the default body: {fault}") from fault
