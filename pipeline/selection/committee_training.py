"""Training the members of a committee, side by side where a runner does that; a killed run loses none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

from pipeline.artefacts import Member
from pipeline.cycle import Cycle, load_cycle
from pipeline.detector.evaluation.metrics import map_on
from pipeline.detector.models.champion import champion_of
from pipeline.detector.models.registry import ModelCard
from pipeline.detector.models.saved import save_model
from pipeline.detector.training.fit import TrainingJob, fit, labeled_predictor
from pipeline.detector.training.length import settings_of_member
from pipeline.detector.training.start import goes_on, starting_point
from pipeline.folder import Folder
from pipeline.progress import Progress, silent
from pipeline.records import Split
from pipeline.runners import Work
from pipeline.runners.work import Prepare
from pipeline.seeds import cycle_seed, derive_seed
from pipeline.selection.boosting import errors_of_member
from pipeline.selection.commit import written_by
from pipeline.selection.cross_fitting import Committee, Lesson, committee_of, deal, lessons
from pipeline.settings import Settings, lasting_digest

KEPT = "members"
"""Folder of the cycle where members that are done wait for the others."""


def committee_training(cycle: Cycle, progress: Progress = silent) -> CommitteeTraining:
    """What the members of a cycle learn; the same whenever and wherever it is asked.

    Args:
        cycle: The cycle.
        progress: Called after every step that is trained here, and as images are looked at before.

    Raises:
        DataError: A member would have nothing to learn.
    """
    settings, store = cycle.settings, cycle.store
    champion, count = champion_of(cycle.workspace), settings.selection.committee
    before = committee_of(cycle.workspace, champion)
    if before is not None and before.folds.count != count:
        before = None  # it had other folds, so that no member may go on
    store.training()  # which says what a project without any label needs
    labeled, val = store.labeled(Split.TRAIN), store.labeled(Split.VAL)
    folds = replace(before.folds, groups={}) if before else deal([*labeled, *val], count)
    folds = replace(folds, stacked=settings.selection.stacking)
    pseudo = written_by(cycle, champion, labeled + val) if before else []
    return CommitteeTraining(cycle, before, lessons(folds, before, labeled, val, pseudo), folds.dealt, progress)


@dataclass(frozen=True)
class CommitteeTraining(Work[int, Member]):
    """Folds, for each of which a member is trained.

    Attributes:
        cycle: The cycle.
        before: The committee whose members may go on; None where every member starts anew.
        lessons: What each member learns, by fold.
        dealt: The fold of each group of near-duplicates.
        progress: Called after every step.
    """

    NAME = "training the committee"
    UNIT = "members of the committee"
    RELIEF = "raise training.accumulate"

    cycle: Cycle
    before: Committee | None
    lessons: Sequence[Lesson]
    dealt: Mapping[str, int]
    progress: Progress

    @property
    def items(self) -> Sequence[int]:
        """The folds."""
        return [lesson.fold for lesson in self.lessons]

    @property
    def place(self) -> str:
        """Where members are saved, and their checkpoints: whoever takes over from a lost worker goes on from there."""
        return self.cycle.settings.workspace

    @property
    def elsewhere(self) -> Prepare[int, Member]:
        """Reads there what members learn."""
        return partial(_trains, self.cycle.settings.workspace, self.cycle.number)

    def is_done(self, fold: int) -> bool:
        """Tell whether its member was trained before the run was killed."""
        return self._kept(fold).exists(self._name(fold))

    def keep(self, fold: int, member: Member) -> None:
        """Note that its member is trained."""
        self._kept(fold).write_record(self._name(fold), member)

    def member(self, fold: int) -> Member:
        """The member that was trained for it."""
        return self._kept(fold).read_record(self._name(fold), Member)

    def here(self, fold: int) -> Member:
        """Train its member."""
        lesson, identity = self.lessons[fold], self._identity(fold)
        job = TrainingJob(
            self._settings,
            lesson.samples,
            lesson.held_back,
            self._seed(fold),
            self._kept(fold),
            identity,
            errors=errors_of_member(
                self._settings, self.cycle.workspace, self._parents[fold], lesson.samples, self.progress
            ),
        )
        return self._fit(job, self._parents[fold])

    def _kept(self, fold: int) -> Folder:
        return self.cycle.folder.folder(KEPT, str(fold))

    def _name(self, fold: int) -> str:
        return f"{derive_seed(0, self._identity(fold)):x}.json"

    def _seed(self, fold: int) -> int:
        return cycle_seed(derive_seed(self.cycle.settings.seed, "member", fold), self.cycle.number)

    def _identity(self, fold: int) -> str:
        return f"{lasting_digest(self.cycle.settings)} {self._seed(fold)} {self._version} {self._parents[fold]}"

    @cached_property
    def _settings(self) -> Settings:
        settings = self.cycle.settings
        training = settings_of_member(settings.training, settings.selection.committee)
        return settings.model_copy(update={"training": training})

    @cached_property
    def _version(self) -> int:
        return self.cycle.store.version()

    @cached_property
    def _parents(self) -> list[str | None]:
        """What each member starts from; None for pretrained weights."""
        before = self.before.run.members if self.before else ()
        earlier = [before[lesson.fold].model_id if before and lesson.goes_on else None for lesson in self.lessons]
        members = self.cycle.workspace.members
        return [model_id if goes_on(members, model_id, self._settings) else None for model_id in earlier]

    def _fit(self, job: TrainingJob, parent: str | None) -> Member:
        settings, members = job.settings, self.cycle.workspace.members
        detector = starting_point(members, parent, settings, job.seed, job.samples)
        run = fit(detector, job, self.progress)
        card = ModelCard.of(settings, self._version, parent, self.cycle.number)
        level = map_on(labeled_predictor(settings, detector), job.held_back)
        return Member(save_model(members, detector, card), parent, len(job.held_back), level, run)


def _trains(workspace: str, number: int) -> Callable[[int], Member]:
    return committee_training(load_cycle(workspace, number)).here
