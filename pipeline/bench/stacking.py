"""`crosscheck bench stacking`: what a second member of the committee adds, as evidence and by weighted boxes fusion.

The members are the first pair of a committee of four with `selection.stacking`, which learn the same half of the
labelled images. Member 0 proposes in the test images, which nobody learns, with member 1 beside it, and p(correct) is
fitted on the other folds of these images. Beside it is weighted boxes fusion (arXiv 1910.13302) of the same two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pyarrow as pa

from pipeline.artefacts import Opening
from pipeline.bench.evidence import LOOKS, out_of_fold
from pipeline.bench.labeled_mining import LabeledMining
from pipeline.bench.scenario import OPENED_AT, ScenarioCell, ScenarioResult, alone
from pipeline.cycle import Cycle, open_cycle
from pipeline.detector.evaluation.average_precision import coco_average_precision
from pipeline.detector.evaluation.labeled_detections import beside_truth, detect_labeled
from pipeline.detector.evaluation.proposal_matching import mark_right
from pipeline.detector.inference.committee import Committee
from pipeline.detector.inference.predictor import Predictor
from pipeline.mining.columns import CORNERS
from pipeline.mining.miner import Miner
from pipeline.mining.preparation import Proposer, miner_of
from pipeline.progress import Progress
from pipeline.records import Sample, Split
from pipeline.selection.calibrator import PASTED, STACKED, Floats
from pipeline.selection.committee_training import committee_training
from pipeline.selection.quality import auroc, recall_at
from pipeline.settings import Settings
from pipeline.stages.importing import import_new
from pipeline.workspace import Workspace

PAIR = 2
"""Members of the four that are trained."""
KINDS: Mapping[str, tuple[str, ...]] = {
    "p(correct), detection": (),
    "p(correct), detection, stacked": STACKED,
    "p(correct), looks and pastes": (*LOOKS, *PASTED),
    "p(correct), looks and pastes, stacked": (*LOOKS, *PASTED, *STACKED),
}
"""What is known beside the detection of member 0."""
MEMBER, FUSED = "score of member 0", "weighted boxes fusion of both"


@dataclass(frozen=True)
class Judged:
    """How well a score ranks boxes in the test images.

    Attributes:
        map: COCO's mean average precision.
        auroc: Of right boxes against wrong ones; None where all are right, or all wrong.
        recall_at_p95: Share of the true boxes above the threshold at which 95 % are right.
        boxes: How many.
    """

    map: float | None
    auroc: float | None
    recall_at_p95: float
    boxes: int


@dataclass(frozen=True)
class StackingResult(ScenarioResult):
    """One pair.

    Attributes:
        ways: By name; those of `KINDS` and `MEMBER` rank the same boxes.
    """

    MADE_BY: ClassVar[str] = "crosscheck bench stacking"

    ways: Mapping[str, Judged]


@dataclass(frozen=True)
class StackingCell(ScenarioCell):
    """A committee in pairs.

    Attributes:
        images: Most images of the test split.
    """

    images: int

    @property
    def changes(self) -> tuple[str, ...]:
        """The committee; boxes stay where they were detected, so that all ways are judged alike."""
        return "selection.committee=4", "selection.stacking=true", "selection.correct_localisation=false"

    @property
    def varied(self) -> tuple[object, ...]:
        """How much is mined."""
        return (self.images,)

    def measure(self, progress: Progress) -> StackingResult:
        """Train a pair, and judge what it says of test images."""
        settings = self.settings
        cycle, (miner, partner) = _trained(settings, progress)
        mining = LabeledMining(cycle, replace(miner, partner=partner.predictor))
        samples = mining.samples(Split.TEST, self.images)
        boxes = mining.with_truth(mining.mine(samples), samples)
        table = boxes.evidence
        scores = {MEMBER: table["score"].to_numpy().astype(np.float64)}
        scores |= out_of_fold(boxes.known_boxes(settings), settings.selection, mining.model_id, KINDS)
        ways = {name: self._judged(table, score, samples) for name, score in scores.items()}
        both = Committee([miner.predictor, partner.predictor], settings.mining.fusion.same_iou)
        fused = _detected(both, samples, settings.mining.proposal_score)
        ways[FUSED] = self._judged(fused, fused["score"].to_numpy().astype(np.float64), samples)
        return StackingResult(**vars(self.identity), ways=ways)

    def _judged(self, boxes: pa.Table, score: Floats, samples: Sequence[Sample]) -> Judged:
        settings = self.settings
        right = mark_right(boxes, samples, settings.selection.match_iou)
        true_boxes = sum(len(sample.boxes) for sample in samples)
        overall = _average_precision(boxes, score, samples, settings.data.labels)
        return Judged(overall, auroc(score, right), recall_at(score, right, true_boxes, 0.95), len(boxes))


def _trained(settings: Settings, progress: Progress) -> tuple[Cycle, list[Miner]]:
    """The first pair of a committee, each with hosts that it learnt; what is trained stays when a run is killed."""
    with alone(settings):
        if not Workspace(settings.workspace).cycle(0).exists(Opening.FILE):
            open_cycle(settings, OPENED_AT)
        cycle = Cycle(settings, 0, OPENED_AT)
        import_new(cycle, progress)
        training = committee_training(cycle, progress)
        for fold in range(PAIR):
            if not training.is_done(fold):
                training.keep(fold, training.here(fold))
    ids = [training.member(fold).model_id for fold in range(PAIR)]
    hosts = [lesson.samples for lesson in training.lessons[:PAIR]]
    proposers = [Proposer(cycle.workspace.members, *pair) for pair in zip(ids, hosts, strict=True)]
    return cycle, [miner_of(cycle, proposer, proposer.weights) for proposer in proposers]


def _detected(predictor: Predictor, samples: Sequence[Sample], least: float) -> pa.Table:
    """Detections from a score on: columns `image_id`, `x1` to `y2`, `label` and `score`."""
    found = detect_labeled(predictor, samples)
    names = np.array(found.labels, dtype=object)
    table = pa.table(
        {
            "image_id": pa.array(np.array(found.image_ids, dtype=object)[found.image], pa.string()),
            **{name: pa.array(found.boxes[:, side].astype(np.float32)) for side, name in enumerate(CORNERS)},
            "label": pa.array(names[found.classes - 1], pa.string()),
            "score": pa.array(found.scores.astype(np.float32)),
        }
    )
    return table.filter(pa.array(found.scores >= least))


def _average_precision(
    boxes: pa.Table, score: Floats, samples: Sequence[Sample], labels: Sequence[str]
) -> float | None:
    """COCO's mean average precision of boxes that are ranked by a score."""
    images = boxes["image_id"].to_numpy(zero_copy_only=False)
    corners = np.stack([boxes[name].to_numpy().astype(np.float64) for name in CORNERS], axis=1)
    numbers = np.array([labels.index(label) + 1 for label in boxes["label"].to_pylist()], dtype=np.int64)
    order = np.argsort(-score, kind="stable")
    rows = {sample.image_id: order[images[order] == sample.image_id] for sample in samples}
    by_image = {image_id: (corners[own], score[own], numbers[own]) for image_id, own in rows.items()}
    return coco_average_precision(beside_truth(labels, samples, by_image, []))[0]["map"]
