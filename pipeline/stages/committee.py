"""Training the committee: a detector for each fold, which it does not learn."""

from __future__ import annotations

from dataclasses import replace

from pipeline.artefacts import CommitteeRun, Member, MiningRun
from pipeline.cycle import Cycle
from pipeline.detector.evaluation.labeled_detections import detect_labeled
from pipeline.detector.evaluation.metrics import measure
from pipeline.detector.models.champion import champion_of
from pipeline.detector.models.registry import ModelCard
from pipeline.detector.models.saved import save_model
from pipeline.detector.training.fit import TrainingJob, fit, labeled_predictor
from pipeline.detector.training.length import settings_of_member
from pipeline.detector.training.start import goes_on, starting_point
from pipeline.progress import Progress, silent
from pipeline.records import Sample, Split, State
from pipeline.seeds import cycle_seed, derive_seed
from pipeline.selection.commit import HELD_BACK_SELECTION, Written
from pipeline.selection.cross_fitting import Committee, Lesson, committee_of, deal, lessons
from pipeline.settings import Settings, lasting_digest

KEPT = "members"


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
    pseudo = _written_by(cycle, champion, labeled + val) if before else []
    training = _Training(cycle, _of_members(settings), before)
    members = tuple(training.member(lesson, progress) for lesson in lessons(folds, before, labeled, val, pseudo))
    return CommitteeRun(dataset_version=store.version(), members=members, dealt=folds.dealt)


def _of_members(settings: Settings) -> Settings:
    training = settings_of_member(settings.training, settings.selection.committee)
    return settings.model_copy(update={"training": training})


def _written_by(cycle: Cycle, champion: str | None, labeled: list[Sample]) -> list[Sample]:
    """Pseudo-labelled images of the pool, and held-back images as if they were, by the committee of one champion.

    None where the cycle before was not mined by it: then the champion itself wrote them, which has learnt every fold.
    """
    past = cycle.before()
    mined = past.find(MiningRun) if past else None
    if past is None or mined is None or mined.model_id != champion or not past.folder.exists(HELD_BACK_SELECTION):
        return []
    pool = cycle.store.samples(states=[State.PSEUDO])
    own = [sample for sample in pool if all(box.model_id == champion for box in sample.boxes)]
    return [*own, *Written.of_held_back(past).pseudo_labeled(labeled)]


class _Training:
    """How the members of a cycle are trained."""

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
        card = ModelCard(
            settings.data.labels,
            settings.detector,
            settings.training,
            cycle.store.version(),
            parent,
            cycle.number,
            settings.seed,
        )
        level = measure(detect_labeled(labeled_predictor(settings, detector), job.held_back), settings.seed).map
        return Member(save_model(members, detector, card), parent, len(job.held_back), level, run)
