"""Training the committee: a detector for each fold, which it does not learn."""

from __future__ import annotations

from pipeline.artefacts import CommitteeRun
from pipeline.cycle import Cycle
from pipeline.progress import Progress, silent
from pipeline.runners import ALONE, Runner
from pipeline.selection.committee_training import KEPT, committee_training


def train_committee(cycle: Cycle, progress: Progress = silent, runner: Runner = ALONE) -> CommitteeRun | None:
    """Train a member for each fold; members that are done stay when a run is killed.

    A member starts from its own model of the cycle before, which has not learnt its fold either.

    Args:
        cycle: The cycle.
        progress: Called after every member, and in this process after every step.
        runner: Who trains; members that each need several processes are trained here, one after the other.

    Returns:
        The committee; None where the settings want none.

    Raises:
        DataError: A member would have nothing to learn.
    """
    if cycle.settings.selection.committee == 1:
        return None
    alone = cycle.settings.training.devices * cycle.settings.training.nodes > 1
    made = cycle.once(CommitteeRun, lambda: _train(cycle, progress, ALONE if alone else runner))
    cycle.folder.remove(KEPT)
    return made


def _train(cycle: Cycle, progress: Progress, runner: Runner) -> CommitteeRun:
    training = committee_training(cycle, progress)
    runner.run(training, progress)
    members = tuple(map(training.member, training.items))
    return CommitteeRun(
        dataset_version=cycle.store.version(),
        members=members,
        dealt=training.dealt,
        stacked=cycle.settings.selection.stacking,
    )
