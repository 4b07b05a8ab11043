"""`crosscheck bench mining`: cost and AUROC of checks, beside a plain detection pass and the published rule."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.artefacts import MiningCost
from pipeline.bench.labeled_mining import LabeledMining
from pipeline.bench.measures import Stopwatch, correlation
from pipeline.bench.published_rule import PublishedRule
from pipeline.bench.scenario import ScenarioCell, ScenarioResult
from pipeline.detector.inference.predictor import Predictor, detect_images
from pipeline.mining.miner import Mined
from pipeline.mining.reference import HOSTS
from pipeline.progress import Progress
from pipeline.records import Sample, Split
from pipeline.seeds import numpy_generator
from pipeline.selection.calibrator import feature_matrix
from pipeline.selection.cascade import Cascade
from pipeline.selection.held_back import HeldBack
from pipeline.selection.quality import auroc, recall_at

REPEATS = 3
"""A plain pass and mining are timed this often, in turn, and the median counts; with every box checked, once."""
STEPS = ("decode", "detect", "propose", "paste", "match")
"""Where mining spends its time, by the names of `MiningCost.seconds`."""


@dataclass(frozen=True)
class EngineRun:
    """One way to mine the same images.

    Attributes:
        seconds: It takes.
        cost_over_plain_pass: The same, in plain detection passes over the same images.
        speedup_same_boxes: How much longer the published rule takes for the same boxes with as many pastes; None where
            nothing was pasted.
        pasted_share: Share of the boxes that are to teach or to be asked about that were pasted.
        pastes_per_box: Pastes that each of these was looked for in, on average.
        windows_per_canvas: Close-ups and pastes on each canvas, on average.
        cost: What it does.
    """

    seconds: float
    cost_over_plain_pass: float
    speedup_same_boxes: float | None
    pasted_share: float | None
    pastes_per_box: float | None
    windows_per_canvas: float | None
    cost: MiningCost

    @staticmethod
    def of(cost: MiningCost, seconds: float, plain_s: float, published_paste_s: float) -> EngineRun:
        """From what was counted and timed.

        Args:
            cost: Of mining.
            seconds: Of mining.
            plain_s: Of a plain detection pass.
            published_paste_s: Of one paste by the published rule.
        """
        same = published_paste_s * cost.readings
        return EngineRun(
            seconds,
            seconds / plain_s,
            same / seconds if cost.readings else None,
            cost.pasted_share,
            cost.pastes_per_box,
            cost.windows_per_canvas,
            cost,
        )

    def share_of(self, step: str) -> float:
        """Share of the measured time that a step of `STEPS` takes."""
        return self.cost.seconds.get(step, 0.0) / sum(self.cost.seconds.values())


@dataclass(frozen=True)
class MiningResult(ScenarioResult):
    """Mining beside what it has to beat, in one scenario.

    Attributes:
        images: Mined images of the test split.
        proposals: Boxes that were proposed in them.
        published_proposals: Those of them that the published rule checked, and AUROC is measured on.
        plain_seconds: Of a plain detection pass, by the same engine; on processors, processor time, as all times here
            but those by step.
        published_seconds: Of the published rule: whole hosts, one forward pass each, torch in full precision.
        published_pastes: That it made in this time.
        engine: Mining as it is: every box that is not dropped is pasted, within the budget.
        everything: Mining with every box checked in every way.
        auroc: By score: `published`, `confidence`, `engine` (p(correct)) and `consistency` (with every box checked).
        auroc_of_all: Of all proposals: `confidence`, `detection` (p(correct) before anything is pasted), `engine`,
            `consistency` of what the engine pasted, and `everything` (p(correct) with every box checked).
        recall_at_p95: Likewise, share of the true boxes above the threshold at which 95 % are right.
        published_with_itself: Correlation of the published rule's consistency under two seeds.
        engine_with_published: Correlation of the engine's consistency with it.
    """

    MADE_BY: ClassVar[str] = "crosscheck bench mining"

    images: int
    proposals: int
    published_proposals: int
    plain_seconds: float
    published_seconds: float
    published_pastes: int
    engine: EngineRun
    everything: EngineRun
    auroc: Mapping[str, float | None]
    auroc_of_all: Mapping[str, float | None]
    recall_at_p95: Mapping[str, float]
    published_with_itself: float | None
    engine_with_published: float | None


@dataclass(frozen=True)
class MiningCell(ScenarioCell):
    """A scenario in which mining is measured.

    Attributes:
        images: Most images of the test split.
        proposals: Most proposals that the published rule checks, which is slow.
    """

    images: int
    proposals: int

    @property
    def varied(self) -> tuple[object, ...]:
        """How much is mined."""
        return self.images, self.proposals

    def measure(self, progress: Progress) -> MiningResult:
        """Mine the same images in every way, in one run."""
        mining = LabeledMining.trained(self.settings, progress)
        # Other processes must not count; a processor that waits for a GPU computes nothing, and its time must.
        on_gpu = mining.miner.predictor.device.type == "cuda"
        watch = Stopwatch(time.perf_counter if on_gpu else time.process_time)
        samples, cascade = mining.samples(Split.TEST, self.images), mining.cascade()
        engine, everything = _mine_both_ways(mining, samples, cascade, watch)
        boxes, checked = (mining.with_truth(mined, samples) for mined in (engine, everything))
        count = len(boxes.right)
        rows = np.sort(numpy_generator(mining.settings.seed, "reference").permutation(count)[: self.proposals])
        published, repeated = _published(mining, boxes, rows, watch, progress)
        consistency = feature_matrix(checked.evidence, ("consistency",))[rows, 0]
        scores = {
            "published": published,
            "confidence": feature_matrix(boxes.evidence, ("score",))[rows, 0],
            "engine": cascade.predict(boxes.evidence)[rows],
            "consistency": consistency,
        }
        objects = sum(len(sample.boxes) for sample in samples)
        of_all = {
            "confidence": feature_matrix(boxes.evidence, ("score",))[:, 0],
            "detection": cascade.predict_on(0, boxes.evidence),
            "engine": cascade.predict(boxes.evidence),
            "consistency": feature_matrix(boxes.evidence, ("consistency",))[:, 0],
            "everything": cascade.predict_on(-1, checked.evidence),
        }
        plain_s, published_s = watch.median("plain"), watch.total("published")
        pastes = HOSTS * len(rows)

        def run(seconds: float, cost: MiningCost) -> EngineRun:
            return EngineRun.of(cost, seconds, plain_s, published_s / pastes)

        return MiningResult(
            **vars(self.identity),
            images=len(samples),
            proposals=count,
            published_proposals=len(rows),
            plain_seconds=plain_s,
            published_seconds=published_s,
            published_pastes=pastes,
            engine=run(watch.median("engine"), engine.cost),
            everything=run(watch.total("everything"), everything.cost),
            auroc={name: auroc(score, boxes.right[rows]) for name, score in scores.items()},
            auroc_of_all={name: auroc(score, boxes.right) for name, score in of_all.items()},
            recall_at_p95={name: recall_at(score, boxes.right, objects, 0.95) for name, score in of_all.items()},
            published_with_itself=correlation(published, repeated),
            engine_with_published=correlation(consistency, published),
        )


def _mine_both_ways(
    mining: LabeledMining, samples: list[Sample], cascade: Cascade, watch: Stopwatch
) -> tuple[Mined, Mined]:
    """Mine within the budget, in turn with a plain detection pass, and then with every box checked."""
    for _ in range(REPEATS):
        with watch.time("plain"):
            _detect(mining.miner.predictor, samples)
        with watch.time("engine"):
            engine = mining.mine(samples, cascade)
    with watch.time("everything"):
        everything = mining.mine(samples)
    return engine, everything


def _published(
    mining: LabeledMining, boxes: HeldBack, rows: NDArray[np.intp], watch: Stopwatch, progress: Progress
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Consistency of some proposals by the published rule, under two seeds; the first run is timed."""
    proposals, seed = boxes.evidence.take(rows), mining.settings.seed
    wanted = set(proposals["image_id"].to_pylist())
    samples = [sample for sample in boxes.samples if sample.image_id in wanted]
    rule = PublishedRule(mining.full_precision(), mining.miner.hosts)
    with watch.time("published"):
        published = rule.consistency(proposals, samples, seed, progress)
    return published, rule.consistency(proposals, samples, seed + 1_000_000, progress)


def _detect(predictor: Predictor, samples: list[Sample]) -> None:
    """A plain detection pass."""
    # Images of one shape side by side, as mining has them.
    refs = sorted((sample.ref for sample in samples), key=lambda ref: (ref.height / ref.width, ref.image_id))
    for _ in detect_images(predictor, predictor.stream(refs)):
        pass
