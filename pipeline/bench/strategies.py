"""`crosscheck bench strategies`: how good a detector the same human work makes, by what people are asked.

Every strategy runs the real loop in a workspace of its own: it trains, chooses images, the simulated annotator answers
them, and it trains again, each time for as long as the trainer finds. All start from the same labelled images and the
same trained detector. A round is one number of labelled images; every round is one file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import ClassVar

from pipeline.artefacts import GateOutcome, Metrics
from pipeline.bench.human_work import work_until
from pipeline.bench.scenario import Scenario, ScenarioCell, ScenarioResult, alone, short_hash, train
from pipeline.bench.second_half import branch
from pipeline.cycle import Cycle, finish_cycle, load_cycle
from pipeline.errors import SettingsError
from pipeline.loop import (
    COMMITTEE,
    FINETUNE,
    GATE,
    HARVEST,
    IMPORT,
    MINE,
    PUSH,
    SELECT,
    Surroundings,
    annotators_from_environment,
    begin_cycle,
    run_steps,
)
from pipeline.progress import Progress
from pipeline.settings import Settings, load_settings

OURS = "crosscheck"
PUBLISHED = "published"
BY_HAND = "by_hand"
_NO_PASTES = ("mining.budget=0", "mining.look_budget=0")
_ALL_ASKED = ("selection.query.blind_share=0", "selection.audit_share=0")
"""Rivals spend every question on what they choose."""
STRATEGIES: Mapping[str, tuple[str, ...]] = {
    BY_HAND: ("selection.query.strategy=random", "selection.query.blind_share=1", "selection.audit_share=0"),
    "random": _ALL_ASKED,
    "entropy": _ALL_ASKED,
    "margin": _ALL_ASKED,
    "least_confidence": _ALL_ASKED,
    "core_set": _ALL_ASKED,
    "ssm": _ALL_ASKED,
    "cald": _ALL_ASKED,
    "ppal": _ALL_ASKED,
    PUBLISHED: (
        *_ALL_ASKED,
        "selection.query.strategy=ssm",
        "selection.rule=consistency",
        "mining.proposal_score=0.5",
        "mining.hosts=5",
        "mining.margin=0",
        "mining.window=100",
        "mining.scale_jitter=0",
        "mining.paste_px=4096",
        "mining.placement=uniform",
        "mining.hit_iou=0.5",
        "mining.hit_score=0.5",
    ),
    OURS: (),
}
"""Changes to the settings by strategy: one of `selection.query.strategy`, the published rule whole, or random images on
which every box is drawn, as without any machine."""
_NEEDS_PASTES = {"ssm", PUBLISHED}
PER_ROUND = {"deeppcb": 20}
OTHER_PER_ROUND = 10
"""Images that are asked each round, by set and of other sets."""
START = 10
ROUNDS = 10
_BEFORE_THE_ANSWER = (IMPORT, HARVEST, COMMITTEE, FINETUNE, GATE)
_ASKING = (MINE, SELECT, PUSH)


@dataclass(frozen=True)
class RoundResult(ScenarioResult):
    """One detector on the way of a strategy.

    Attributes:
        strategy: Among `STRATEGIES`.
        pseudo: Whether it learnt from pseudo-labels too.
        round: From 0, before anything was asked.
        images: Images that people have labelled or looked at so far, those for calibration included.
        boxes: Boxes that they have drawn or corrected so far.
        seconds: What that took.
        map: mAP on test of the detector in use; None where test has no true box.
        map50: AP50, likewise.
        answered_map: mAP on test of the detector that this round trained, whatever the gate says of it.
    """

    MADE_BY: ClassVar[str] = "crosscheck bench strategies"

    strategy: str
    pseudo: bool
    round: int
    images: int
    boxes: int
    seconds: float
    map: float | None
    map50: float | None
    answered_map: float | None


@dataclass(frozen=True)
class RoundCell(ScenarioCell):
    """A round of a strategy in a scenario; the rounds before it are run first where they have not been.

    Attributes:
        strategy: Among `STRATEGIES`.
        pseudo: Whether pseudo-labels teach.
        round: From 0.
        per_round: Images asked each round; None: as `PER_ROUND` says.

    Raises:
        SettingsError: There is no such strategy.
    """

    strategy: str
    pseudo: bool
    round: int
    per_round: int | None = None

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise SettingsError(f"Expected strategies among {', '.join(STRATEGIES)}, got {self.strategy!r}")

    @property
    def changes(self) -> tuple[str, ...]:
        """Of the strategy: what is asked, and what is pasted and learnt for it."""
        spared = _NO_PASTES if not self.pseudo and self.strategy not in {*_NEEDS_PASTES, OURS} else ()
        return (
            f"selection.query.images={self._asked}",
            *([] if self.strategy in {PUBLISHED, BY_HAND} else [f"selection.query.strategy={self.strategy}"]),
            *STRATEGIES[self.strategy],
            *spared,
            *([] if self.pseudo else ["selection.max_pseudo_images=0"]),
        )

    @property
    def varied(self) -> tuple[object, ...]:
        """The name of the strategy is for readers; the settings have the rest."""
        return (self.strategy, "pseudo" if self.pseudo else "plain", self.round)

    @property
    def settings(self) -> Settings:
        """Those of the strategy, in its own workspace."""
        settings = super().settings
        way = f"{self.strategy}-{short_hash(settings.model_dump(mode='json', exclude={'workspace'}))}"
        return settings.model_copy(update={"workspace": f"{settings.workspace}-{way}"})

    def measure(self, progress: Progress) -> RoundResult:
        """Run the loop up to this round; what is finished of it is not repeated."""
        settings = self.settings
        branch(train(self.scenario.settings(), progress), settings)
        with alone(settings):
            cycle = _cycle(settings, self.round, Surroundings(annotators_from_environment, progress))
        work, outcome, in_use = work_until(cycle), cycle.read(GateOutcome), _in_use(cycle)
        return RoundResult(
            **vars(self.identity),
            strategy=self.strategy,
            pseudo=self.pseudo,
            round=self.round,
            images=work.images,
            boxes=work.boxes,
            seconds=round(work.seconds, 1),
            map=in_use.map,
            map50=in_use.map50,
            answered_map=outcome.test.map,
        )

    @property
    def _asked(self) -> int:
        return self.per_round or PER_ROUND.get(load_settings(self.scenario.config).name, OTHER_PER_ROUND)


@dataclass(frozen=True)
class Plan:
    """Which rounds of which strategies are measured.

    Attributes:
        strategies: Among `STRATEGIES`.
        pseudo: With pseudo-labels, without, or both.
        rounds: How many, the first, before anything was asked, included.
        per_round: Images asked each round; None: as `PER_ROUND` says.
    """

    strategies: Sequence[str] = tuple(STRATEGIES)
    pseudo: Sequence[bool] = (False, True)
    rounds: int = ROUNDS
    per_round: int | None = None

    def cells(self, scenarios: Sequence[Scenario]) -> list[RoundCell]:
        """Round by round, so that a benchmark that is stopped early compares what it has."""
        return [
            RoundCell(scenario, strategy, pseudo, number, self.per_round)
            for number, scenario, strategy, pseudo in product(
                range(self.rounds), scenarios, self.strategies, self.pseudo
            )
        ]


def strategy_scenarios(
    configs: Sequence[Path], seeds: Sequence[int], root: Path, overrides: Sequence[str] = ()
) -> list[Scenario]:
    """Every set with every seed, each beginning with `START` labelled images; all sets with one seed before the next.

    Args:
        configs: Settings files of simulated projects.
        seeds: Each draws other images.
        root: Folder of the benchmark's workspaces.
        overrides: `section.key=value` texts, laid over the files.
    """
    return [Scenario(config, START, seed, root, tuple(overrides)) for seed, config in product(seeds, configs)]


def _cycle(settings: Settings, number: int, around: Surroundings) -> Cycle:
    """A cycle whose detector is trained and measured; every cycle before it is finished."""
    while (cycle := begin_cycle(settings)).number < number:
        run_steps(cycle, (*_BEFORE_THE_ANSWER, *_ASKING), around)
        finish_cycle(cycle, datetime.now(UTC))
    if cycle.number > number:
        return load_cycle(settings.workspace, number)
    run_steps(cycle, _BEFORE_THE_ANSWER, around)
    return cycle


def _in_use(cycle: Cycle) -> Metrics:
    """On test, the detector that the gate leaves in use."""
    outcomes = [past.read(GateOutcome) for past in cycle.up_to_here()]
    return next(outcome.test for outcome in reversed(outcomes) if outcome.promoted)
