"""Training the committee: a detector for each fold, which it does not learn."""

from __future__ import annotations

from dataclasses import replace

from pipeline.artefacts import CommitteeRun
from pipeline.cycle import Cycle
from pipeline.detector.models.champion import champion_of
from pipeline.detector.training.length import settings_of_member
from pipeline.progress import Progress, silent
from pipeline.records import Split
from pipeline.selection.commit import written_by
from pipeline.selection.committee_training import KEPT, CommitteeTraining
from pipeline.selection.cross_fitting import committee_of, deal, lessons
from pipeline.settings import Settings


def train_committee(cycle: Cycle, progress: Progress = silent) -> CommitteeRun | None:
    """Train a member for each fold; members that are done stay when a run is killed.

    A member starts from its own model of the cycle before, which has not learnt its fold either.

    Args:
        cycle: The cycle.
        progress: Called after every step.

    Returns:
        The committee; None where the settings want none.

    Raises:
        DataError: A member would have nothing to learn.
    """
    if cycle.settings.selection.committee == 1:
        return None
    made = cycle.once(CommitteeRun, lambda: _train(cycle, progress))
    cycle.folder.remove(KEPT)
    return made


def _train(cycle: Cycle, progress: Progress) -> CommitteeRun:
    settings, store = cycle.settings, cycle.store
    champion, count = champion_of(cycle.workspace), settings.selection.committee
    before = committee_of(cycle.workspace, champion)
    if before is not None and before.folds.count != count:
        before = None  # it had other folds, so that no member may go on
    labeled, val = store.labeled(Split.TRAIN), store.labeled(Split.VAL)
    folds = replace(before.folds, groups={}) if before else deal([*labeled, *val], count)
    pseudo = written_by(cycle, champion, labeled + val) if before else []
    training = CommitteeTraining(cycle, _of_members(settings), before)
    members = tuple(training.member(lesson, progress) for lesson in lessons(folds, before, labeled, val, pseudo))
    return CommitteeRun(dataset_version=store.version(), members=members, dealt=folds.dealt)


def _of_members(settings: Settings) -> Settings:
    training = settings_of_member(settings.training, settings.selection.committee)
    return settings.model_copy(update={"training": training})
