"""`crosscheck bench training`: what pseudo-labels add, between the labelled images alone and all labels.

Every arm trains twice, as the first two cycles of a project do, and is measured on the test split. Each half is as long
as `val` finds, at most `training.steps`. The first starts from pretrained weights and new layers drawn from the same
seed, and learns the labelled images (`all`: every label); its detector makes the pseudo-labels. The second goes on from
there: `labelled` with the labelled images alone, `boosting-1` and `boosting-3` likewise with `training.boosting`, the
others with their pseudo-labels as well. `val` calibrates, certifies and gates as well; no arm learns from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from pipeline.artefacts import ClassMetrics, GateOutcome, TrainingRun
from pipeline.bench.arms import ABLATIONS, ALL, ARMS, BOOSTED, LABELLED, NAIVE, NOBODY_ASKED, SECOND_HALF
from pipeline.bench.pool_labels import PseudoLabelTruth, compare_with_truth, naive_labels, our_labels
from pipeline.bench.scenario import EVERY_IMAGE, ScenarioCell, ScenarioResult, labelled_images, short_hash, train
from pipeline.bench.second_half import GateVerdict, SecondHalf, branch
from pipeline.cycle import Cycle
from pipeline.detector.training.checkpoint import CHECKPOINT
from pipeline.errors import SettingsError
from pipeline.progress import Progress
from pipeline.records import Sample
from pipeline.settings import Settings, load_settings

BUDGETS = {"bccd": 5, "deeppcb": 10, "cards": 10}
"""Labelled images by set: so few that labels of the pool still teach something."""
_PLAIN = {LABELLED, ALL, *BOOSTED}
"""Arms without pseudo-labels by design."""


@dataclass(frozen=True)
class ArmResult(ScenarioResult):
    """One arm in one scenario.

    Attributes:
        arm: Among `ARMS`, `BOOSTED` and `ABLATIONS`.
        map: mAP on test.
        map50: AP50 on test.
        per_class: The same by class.
        map_before: mAP on test after the first half.
        steps: Of both halves.
        seconds: Of the second half.
        images_per_s: Images shown per second in it.
        gate: On val.
        pseudo: The truth about its pseudo-labels; None for an arm that has none by design.
    """

    MADE_BY: ClassVar[str] = "crosscheck bench training"

    arm: str
    map: float | None
    map50: float | None
    per_class: Mapping[str, ClassMetrics]
    map_before: float | None
    steps: int
    seconds: float
    images_per_s: float
    gate: GateVerdict
    pseudo: PseudoLabelTruth | None = None


@dataclass(frozen=True)
class ArmCell(ScenarioCell):
    """A scenario and an arm; arms with the same detector or the same labels of the pool share them.

    Attributes:
        arm: Among `ARMS`, `BOOSTED` and `ABLATIONS`.

    Raises:
        SettingsError: There is no such arm.
    """

    arm: str

    def __post_init__(self) -> None:
        arms = (*ARMS, *BOOSTED, *ABLATIONS)
        if self.arm not in arms:
            raise SettingsError(f"Expected arms among {', '.join(arms)}, got {self.arm!r}")

    @property
    def start(self) -> Settings:
        """Those of the first half."""
        return (replace(self.scenario, labelled=EVERY_IMAGE) if self.arm == ALL else self.scenario).settings()

    @property
    def settings(self) -> Settings:
        """Those of the second half.

        The workspace of an arm with labels of ours is named by how its detector is trained and how the pool is
        labelled, so that ablations share their labels.
        """
        start = self.start
        if self.arm in {LABELLED, ALL}:
            return start
        if self.arm in {*NAIVE, *BOOSTED}:
            changes = BOOSTED.get(self.arm, SECOND_HALF)
            return self.scenario.settings(*changes).model_copy(update={"workspace": start.workspace})
        own = self.scenario.settings(NOBODY_ASKED, *ABLATIONS.get(self.arm, ()))
        labelled_by = own.model_dump(mode="json", include={"mining", "selection"})
        return own.model_copy(update={"workspace": f"{start.workspace}-{short_hash(labelled_by)}"})

    @property
    def identity(self) -> ScenarioResult:
        """What the result says of its scenario, in which `all` starts as the other arms do."""
        return replace(super().identity, labelled=labelled_images(self.scenario.settings()))

    @property
    def name(self) -> str:
        """Name of its file; without pseudo-labels it depends only on what names the workspace."""
        settings, own = self.settings, self.identity
        digest = Path(settings.workspace).name.rpartition("-")[2] if self.arm in _PLAIN else settings.digest()
        return f"{own.set}-{own.labelled}-{own.seed}-{self.arm}-{digest}"

    def measure(self, progress: Progress) -> ArmResult:
        """Train both halves; a killed run goes on."""
        settings, base = self.settings, train(self.start, progress)
        pseudo = self._pseudo_labels(base, settings, progress)
        half = SecondHalf(base, settings, base.workspace.folder("arms", self.name))
        detector, run = half.fit(pseudo or [], progress)
        test = half.on_test(detector)
        result = ArmResult(
            **vars(self.identity),
            arm=self.arm,
            map=test.map,
            map50=test.map50,
            per_class=test.per_class,
            map_before=base.read(GateOutcome).test.map,
            steps=base.read(TrainingRun).run.steps + run.steps,
            seconds=run.train_seconds,
            images_per_s=run.images_per_s,
            gate=half.gate(detector),
            pseudo=None if pseudo is None else compare_with_truth(base, pseudo),
        )
        half.checkpoints.remove(CHECKPOINT)
        return result

    def _pseudo_labels(self, base: Cycle, settings: Settings, progress: Progress) -> list[Sample] | None:
        """The arm's labels of the pool; None where it has none by design."""
        if self.arm in _PLAIN:
            return None
        if self.arm in NAIVE:
            return naive_labels(base, NAIVE[self.arm])
        return our_labels(branch(base, settings), progress)


def default_budget(config: Path) -> int:
    """Labelled images of a set: as in `BUDGETS`, else as its settings say."""
    settings = load_settings(config)
    return BUDGETS.get(settings.name, labelled_images(settings))
