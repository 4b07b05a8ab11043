"""`crosscheck bench training --curve`: mAP on test by the number of labelled images, each run as long as it finds.

Every point is trained from pretrained weights, on labels of people alone. `val` tells how long the run is; it is the
same for every number of labelled images, and larger than what a project with five of them would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import ClassVar

from pipeline.artefacts import EndOfRun, GateOutcome, TrainingRun
from pipeline.bench.scenario import EVERY_IMAGE, Scenario, ScenarioCell, ScenarioResult, train
from pipeline.progress import Progress
from pipeline.settings import load_settings

FEW = (5, 10, 20)
MIDDLE = {"deeppcb": 90}
OTHER_MIDDLE = 47
"""About a fifth of the labelled images of a public set; of the others."""


@dataclass(frozen=True)
class CurvePoint(ScenarioResult):
    """One trained detector; `labelled` is how many images it learnt from.

    Attributes:
        map: mAP on test; None where it has no true box.
        map50: AP50 on test, likewise.
        steps: Of the run.
        minutes: In the training loop, on the machine that it ran on.
        ended_by: What ended it.
    """

    MADE_BY: ClassVar[str] = "crosscheck bench training --curve"

    map: float | None
    map50: float | None
    steps: int
    minutes: float
    ended_by: EndOfRun


@dataclass(frozen=True)
class CurveCell(ScenarioCell):
    """A point of the curve, in a scenario."""

    def measure(self, progress: Progress) -> CurvePoint:
        """Train; a killed run goes on."""
        cycle = train(self.settings, progress)
        run, test = cycle.read(TrainingRun).run, cycle.read(GateOutcome).test
        return CurvePoint(
            **vars(replace(self.identity, labelled=run.labeled_images)),
            map=test.map,
            map50=test.map50,
            steps=run.steps,
            minutes=round(run.train_seconds / 60, 2),
            ended_by=run.ended_by,
        )


def curve_cells(
    configs: Sequence[Path], labelled: Sequence[int], seeds: Sequence[int], root: Path, overrides: Sequence[str] = ()
) -> list[CurveCell]:
    """The points of the curves of some sets.

    Args:
        configs: Settings files of simulated projects.
        labelled: Images that start labelled; none: few, a middle number and all.
        seeds: Each draws other images.
        root: Folder of the benchmark's workspaces.
        overrides: `section.key=value` texts, laid over the files.

    Returns:
        One cell each, all sets and numbers with one seed before the next.
    """
    return [
        CurveCell(Scenario(config, count, seed, root, tuple(overrides)))
        for seed, config in product(seeds, configs)
        for count in labelled or _counts(config)
    ]


def _counts(config: Path) -> tuple[int, ...]:
    return (*FEW, MIDDLE.get(load_settings(config).name, OTHER_MIDDLE), EVERY_IMAGE)
