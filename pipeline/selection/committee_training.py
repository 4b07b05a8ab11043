"""Training the members of a committee, each of which a killed run does not lose."""

from __future__ import annotations

from pipeline.artefacts import Member
from pipeline.cycle import Cycle
from pipeline.detector.evaluation.metrics import map_on
from pipeline.detector.models.registry import ModelCard
from pipeline.detector.models.saved import save_model
from pipeline.detector.training.fit import TrainingJob, fit, labeled_predictor
from pipeline.detector.training.start import goes_on, starting_point
from pipeline.progress import Progress
from pipeline.seeds import cycle_seed, derive_seed
from pipeline.selection.cross_fitting import Committee, Lesson
from pipeline.settings import Settings, lasting_digest

KEPT = "members"
"""Folder of the cycle where members that are done wait for the others."""


class CommitteeTraining:
    """How the members of a cycle are trained.

    Args:
        cycle: The cycle.
        settings: Those of a member.
        before: The committee whose members may go on; None where every member starts anew.
    """

    def __init__(self, cycle: Cycle, settings: Settings, before: Committee | None) -> None:
        self._cycle = cycle
        self._settings = settings
        self._before = before

    def member(self, lesson: Lesson, progress: Progress) -> Member:
        """Train a member, unless that was done before the run was killed."""
        cycle, parent = self._cycle, self._parent(lesson)
        seed = cycle_seed(derive_seed(cycle.settings.seed, "member", lesson.fold), cycle.number)
        identity = f"{lasting_digest(cycle.settings)} {seed} {cycle.store.version()} {parent}"
        kept, name = cycle.folder.folder(KEPT, str(lesson.fold)), f"{derive_seed(0, identity):x}.json"
        if not kept.exists(name):
            job = TrainingJob(self._settings, lesson.samples, lesson.held_back, seed, kept, identity)
            kept.write_record(name, self._fit(job, parent, progress))
        return kept.read_record(name, Member)

    def _parent(self, lesson: Lesson) -> str | None:
        before = self._before.run.members[lesson.fold].model_id if self._before and lesson.goes_on else None
        return before if goes_on(self._cycle.workspace.members, before, self._settings) else None

    def _fit(self, job: TrainingJob, parent: str | None, progress: Progress) -> Member:
        cycle, settings, members = self._cycle, job.settings, self._cycle.workspace.members
        detector = starting_point(members, parent, settings, job.seed)
        run = fit(detector, job, progress)
        card = ModelCard.of(settings, cycle.store.version(), parent, cycle.number)
        level = map_on(labeled_predictor(settings, detector), job.held_back)
        return Member(save_model(members, detector, card), parent, len(job.held_back), level, run)
