"""`crosscheck bench labels`: what so many images labelled by people in all are worth, by what is done with them.

Every arm has the same images of people and none besides; the test split measures. It goes through two cycles in which
nobody is asked anything: the second goes on from the first with its labels of the pool. All but `split` find the length
of their runs with a committee, which needs no val:

- `labelled`: every image teaches, and no label of the pool does
- `ours`: every image teaches and calibrates, and the pool is labelled by the committee
- `naive-0.5`: every image teaches, and every detection of that confidence in the pool
- `split`: without cross-fitting, so that of every four images one teaches and three are val
- `all`: every image of the set is labelled
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import ClassVar

from pipeline.artefacts import CommitteeRun, GateOutcome, Metrics, MiningRun, TrainingRun
from pipeline.bench.arms import ALL, LABELLED, NAIVE, OURS
from pipeline.bench.pool_labels import PseudoLabelTruth, compare_with_truth, naive_labels
from pipeline.bench.scenario import EVERY_IMAGE, OPENED_AT, Scenario, alone, learn, short_hash
from pipeline.bench.second_half import branch
from pipeline.cycle import Cycle, finish_cycle, open_cycle
from pipeline.dataset.store import SampleStore
from pipeline.errors import SettingsError
from pipeline.progress import Progress
from pipeline.records import Sample, Split, State
from pipeline.runners import runner_of
from pipeline.seeds import derive_seed
from pipeline.settings import Settings
from pipeline.stages.importing import import_new
from pipeline.stages.mine import mine
from pipeline.stages.select import select

SPLIT, NAIVE_ARM = "split", "naive-0.5"
LABELS_ARMS = (LABELLED, SPLIT, OURS, NAIVE_ARM, ALL)
IN_ALL = (12, 24, 48, 90)
TAUGHT = 4
"""With `split`, one of so many labelled images teaches."""
COMMITTEE = 2


@dataclass(frozen=True)
class LabelsResult:
    """One arm of one set.

    Attributes:
        set: Name of the set.
        labels: Images labelled by people, in all but the test split.
        seed: Draws them.
        arm: Among `LABELS_ARMS`.
        map: mAP on test of the model in use after two cycles; None where it has no true box.
        map50: AP50 on test, likewise.
        steps: Of the models in use, both cycles.
        minutes: Of training, committees included, and of mining, on the machine that it ran on.
        promoted: Whether the second cycle's model passed its gate.
        committee: Members that the first cycle trained; 1 where val decides.
        held_back_map: Their mAP on the images that each has not learnt, on average; None without a committee.
        pseudo: The truth about the labels of the pool that the second cycle learnt; None where it has none by design.
    """

    MADE_BY: ClassVar[str] = "crosscheck bench labels"

    set: str
    labels: int
    seed: int
    arm: str
    map: float | None
    map50: float | None
    steps: int
    minutes: float
    promoted: bool
    committee: int = COMMITTEE
    held_back_map: float | None = None
    pseudo: PseudoLabelTruth | None = None


@dataclass(frozen=True)
class LabelsCell:
    """A set, a number of labelled images, a seed, and an arm; arms with the same first cycle share it.

    Attributes:
        scenario: Where `labelled` counts the images in all.
        arm: Among `LABELS_ARMS`.

    Raises:
        SettingsError: There is no such arm.
    """

    scenario: Scenario
    arm: str

    def __post_init__(self) -> None:
        if self.arm not in LABELS_ARMS:
            raise SettingsError(f"Expected arms among {', '.join(LABELS_ARMS)}, got {self.arm!r}")

    @property
    def start(self) -> Settings:
        """Those of the first cycle, in which val has no images of its own."""
        settings = self.scenario.settings(f"selection.committee={COMMITTEE}", "selection.query.images=0")
        members = 1 if self.arm == SPLIT else settings.selection.committee
        sources = tuple(source for source in settings.data.sources if source.split is not Split.VAL)
        changed = {
            "data": settings.data.model_copy(update={"sources": sources}),
            "selection": settings.selection.model_copy(update={"committee": members}),
            "workspace": f"{settings.workspace}-labels-{members}",
        }
        return settings.model_copy(update=changed)

    @property
    def name(self) -> str:
        """Name of its file."""
        own = self.start
        count = "all" if self.arm == ALL else self.scenario.labelled
        return f"{own.name}-{count}-{own.seed}-{self.arm}-{own.digest()}"

    def measure(self, progress: Progress) -> LabelsResult:
        """Go through both cycles; a killed run goes on."""
        settings = self.start
        first = self._first(settings, progress)
        mining = short_hash(settings.model_dump(mode="json", include={"mining", "selection"}))
        cycle = branch(first, settings.model_copy(update={"workspace": f"{settings.workspace}-{self.arm}-{mining}"}))
        with alone(cycle.settings):
            labels = len(_labeled(cycle.store))
            self._label_pool(cycle, progress)
            finish_cycle(cycle, OPENED_AT)
            second = open_cycle(cycle.settings, OPENED_AT)
            learn(second, progress)
        return self._result(labels, cycle, second)

    def _first(self, settings: Settings, progress: Progress) -> Cycle:
        with alone(settings):
            cycle = open_cycle(settings, OPENED_AT)
            import_new(cycle, progress)
            if self.arm == SPLIT:
                _take_val(cycle.store, settings.seed)
            learn(cycle, progress)
        return cycle

    def _label_pool(self, cycle: Cycle, progress: Progress) -> None:
        """Label the pool as the arm does; nothing happens where that is done."""
        if self.arm in {OURS, SPLIT}:
            with runner_of(cycle.settings.runner) as runner:
                mine(cycle, progress, runner)
            select(cycle)
        elif self.arm in NAIVE:
            labels = [_of_nobody(sample) for sample in naive_labels(cycle, NAIVE[self.arm])]
            cycle.store.commit(labels, reason="naive labels", key="naive labels", cycle=0)

    def _result(self, labels: int, first: Cycle, second: Cycle) -> LabelsResult:
        test, promoted = _in_use(first, second)
        committee, pseudo = first.find(CommitteeRun), first.store.samples(states=[State.PSEUDO])
        runs = [cycle.read(TrainingRun).run for cycle in (first, second)]
        return LabelsResult(
            first.settings.name,
            labels,
            first.settings.seed,
            self.arm,
            test.map,
            test.map50,
            sum(run.steps for run in runs[: 1 + promoted]),
            round(sum(map(_seconds, (first, second))) / 60, 2),
            promoted,
            len(committee.members) if committee else 1,
            _held_back_map(committee),
            None if self.arm in {LABELLED, ALL} else compare_with_truth(first, pseudo),
        )


def labels_cells(
    configs: Sequence[Path], counts: Sequence[int], seeds: Sequence[int], arms: Sequence[str], scenario: Scenario
) -> list[LabelsCell]:
    """Every set with every number of labelled images, seed and arm; `all` once for each set and seed.

    Args:
        configs: Settings files of simulated projects.
        counts: Images labelled by people, in all.
        seeds: Each draws other images.
        arms: Among `LABELS_ARMS`.
        scenario: Whose root and overrides serve all.
    """
    cells = []
    for seed, config, count, arm in product(seeds, configs, counts, arms):
        labelled = EVERY_IMAGE if arm == ALL else count
        cells.append(LabelsCell(replace(scenario, config=config, labelled=labelled, seed=seed), arm))
    return list(dict.fromkeys(cells))


def _labeled(store: SampleStore) -> list[Sample]:
    return store.labeled(Split.TRAIN) + store.labeled(Split.VAL)


def _take_val(store: SampleStore, seed: int) -> None:
    """Make val of most labelled images; at least two teach."""
    order = sorted(store.labeled(Split.TRAIN), key=lambda sample: derive_seed(seed, "val", sample.image_id))
    val = [replace(sample, split=Split.VAL) for sample in order[max(2, len(order) // TAUGHT) :]]
    store.commit(val, reason=f"{len(val)} labelled images are val", key="val")


def _of_nobody(sample: Sample) -> Sample:
    """Labels that no committee wrote teach the champion and no member."""
    return replace(sample, boxes=tuple(replace(box, model_id=None) for box in sample.boxes))


def _in_use(first: Cycle, second: Cycle) -> tuple[Metrics, bool]:
    """How the model in use does on test, and whether it is the second cycle's."""
    outcome = second.read(GateOutcome)
    return (outcome if outcome.promoted else first.read(GateOutcome)).test, outcome.promoted


def _held_back_map(committee: CommitteeRun | None) -> float | None:
    known = [member.map for member in committee.members if member.map is not None] if committee else []
    return fmean(known) if known else None


def _seconds(cycle: Cycle) -> float:
    committee, mining = cycle.find(CommitteeRun), cycle.find(MiningRun)
    members = committee.members if committee else ()
    training = [cycle.read(TrainingRun).run, *(member.run for member in members)]
    return sum(run.train_seconds for run in training) + (mining.seconds if mining else 0.0)
