"""`crosscheck bench evidence`: what each kind of evidence adds to p(correct), checks by another detector among them.

All proposals of the test images are checked in every way, with as many pastes as the method allows, and p(correct) is
fitted on the other folds of the same images with more and more of that. The other detector learnt from the images
that another seed draws; it did not propose these boxes, and did not learn from the hosts that it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pyarrow as pa
import torch
from torchvision.ops import box_iou

from pipeline.bench.labeled_mining import LabeledMining
from pipeline.bench.scenario import ScenarioCell, ScenarioResult
from pipeline.boxes import as_boxes
from pipeline.detector.inference.predictor import Predictor, detect_images
from pipeline.mining.checker import CheckEverything
from pipeline.mining.consistency import gather_evidence
from pipeline.mining.hosts import load_hosts
from pipeline.mining.miner import Mined
from pipeline.progress import Progress
from pipeline.records import VISIBLE_SHARE, Sample, Split
from pipeline.selection.calibrator import CLOSER, LOOKED, PASTED, Floats, fit_calibrator, folds_of
from pipeline.selection.cascade import BARE
from pipeline.selection.cascade_fitting import KnownBoxes
from pipeline.selection.class_affinity import affinity_out_of_fold, fit_affinities, measure_affinity, with_affinity
from pipeline.selection.quality import auroc, recall_at
from pipeline.settings import SelectionSettings

PASTES = 5
"""Most pastes per box, as arXiv 1803.09867 has it."""
OTHERS = tuple(f"other_{name}" for name in PASTED)
"""What pastes tell that another detector looks at."""
WORD = ("other_score", "other_overlap")
"""What another detector says of the same image: its surest box of the class at the same place."""
SAME_PLACE_IOU = 0.5
LOOKS = (*LOOKED, *CLOSER)
KINDS: Mapping[str, tuple[str, ...]] = {
    "detection": (),
    "pastes": PASTED,
    "pastes seen by another": OTHERS,
    "pastes seen by both": (*PASTED, *OTHERS),
    "another's word": WORD,
    "looks": LOOKS,
    "looks and pastes": (*LOOKS, *PASTED),
    "looks, and pastes seen by another": (*LOOKS, *OTHERS),
    "looks, and pastes seen by both": (*LOOKS, *PASTED, *OTHERS),
    "looks and another's word": (*LOOKS, *WORD),
    "everything": (*LOOKS, *PASTED, *OTHERS, *WORD),
}
"""What is known beside the detection itself, by the name of each kind of evidence."""
WITH_SHARE: Mapping[str, tuple[str, ...]] = {
    "visible share": (VISIBLE_SHARE,),
    "looks and visible share": (*LOOKS, VISIBLE_SHARE),
    "looks, pastes and visible share": (*LOOKS, *PASTED, VISIBLE_SHARE),
}
"""Kinds that need a detector with `detector.visible_box`."""


@dataclass(frozen=True)
class EvidenceResult(ScenarioResult):
    """How well p(correct) tells right boxes from wrong ones, by what it knows.

    Attributes:
        boxes: Proposals.
        right: How many of them are right.
        consistency: AUROC of consistency alone, by who looks: `self` or `other`.
        auroc: Of p(correct), by a name in `KINDS`, or `WITH_SHARE`.
        recall_at_p95: Likewise, share of the true boxes above the threshold at which 95 % are right.
    """

    MADE_BY: ClassVar[str] = "crosscheck bench evidence"

    boxes: int
    right: int
    consistency: Mapping[str, float | None]
    auroc: Mapping[str, float | None]
    recall_at_p95: Mapping[str, float]


@dataclass(frozen=True)
class EvidenceCell(ScenarioCell):
    """A scenario whose test images are mined.

    Attributes:
        images: Most images of the test split.
        other: The seed of the other detector.
    """

    images: int
    other: int

    @property
    def changes(self) -> tuple[str, ...]:
        """As many pastes as the method has."""
        return (f"mining.hosts={PASTES}",)

    @property
    def varied(self) -> tuple[object, ...]:
        """How much is mined, and who else looks."""
        return self.images, self.other

    def measure(self, progress: Progress) -> EvidenceResult:
        """Mine the test images by both detectors, and fit p(correct) on every kind of evidence."""
        mining = LabeledMining.trained(self.settings, progress)
        other = LabeledMining.trained(replace(self.scenario, seed=self.other).settings(*self.changes), progress)
        samples = mining.samples(Split.TEST, self.images)
        mined = mining.mine(samples)
        boxes = mining.with_truth(mined, samples)
        known = boxes.known_boxes(self.settings)
        own = known.evidence
        seen = _seen_by_another(mining, other, samples, mined.proposals)
        for name in seen.column_names:
            own = own.append_column(name, seen[name])
        known = replace(known, evidence=own)
        kinds = {**KINDS, **WITH_SHARE} if VISIBLE_SHARE in own.column_names else KINDS
        p_correct = out_of_fold(known, self.settings.selection, mining.model_id, kinds)
        objects = sum(len(sample.boxes) for sample in samples)
        consistency = {"self": "consistency", "other": "other_consistency"}
        return EvidenceResult(
            **vars(self.identity),
            boxes=len(known.right),
            right=int(known.right.sum()),
            consistency={who: auroc(own[name].to_numpy(), known.right) for who, name in consistency.items()},
            auroc={kind: auroc(score, known.right) for kind, score in p_correct.items()},
            recall_at_p95={kind: recall_at(score, known.right, objects, 0.95) for kind, score in p_correct.items()},
        )


def _seen_by_another(
    mining: LabeledMining, other: LabeledMining, samples: list[Sample], proposals: pa.Table
) -> pa.Table:
    """What another detector says of proposals: columns of `OTHERS` and `WORD`, in order."""
    learnt = {sample.image_id for sample in other.samples(Split.TRAIN)}
    hosts = [sample for sample in mining.samples(Split.TRAIN) if sample.image_id not in learnt]
    predictor = other.miner.predictor
    unseen = load_hosts(hosts, mining.settings.data.labels, predictor)
    miner = replace(mining.miner, predictor=predictor, hosts=unseen)
    proposed = set(proposals["image_id"].to_pylist())  # in other images this detector would propose for itself
    refs = [sample.ref for sample in samples if sample.image_id in proposed]
    checks = miner.mine(refs, CheckEverything(), Mined(proposals)).checks
    evidence = gather_evidence(proposals, checks)
    columns = {own: evidence[name] for own, name in zip(OTHERS, PASTED, strict=True)}
    score, overlap = _word(predictor, samples, proposals)
    return pa.table({**columns, WORD[0]: pa.array(score), WORD[1]: pa.array(overlap)})


def _word(predictor: Predictor, samples: list[Sample], proposals: pa.Table) -> tuple[Floats, Floats]:
    """Of each proposal, the score of another's surest box of its class at its place, and how much it overlaps."""
    images = proposals["image_id"].to_numpy(zero_copy_only=False)
    labels = proposals["label"].to_numpy(zero_copy_only=False)
    corners = np.stack([proposals[name].to_numpy() for name in ("x1", "y1", "x2", "y2")], axis=1)
    score, overlap = np.zeros(len(images)), np.zeros(len(images))
    names = np.array(predictor.labels)
    for batch, detections in detect_images(predictor, predictor.stream(sample.ref for sample in samples)):
        for number, (ref, found) in enumerate(zip(batch.refs, detections, strict=True)):
            rows = np.flatnonzero(images == ref.image_id)
            if len(rows) and len(found):
                iou = box_iou(as_boxes(corners[rows]), batch.to_original(number, found.boxes))
                same = torch.from_numpy(labels[rows][:, None] == names[found.labels.numpy() - 1][None])
                best, which = ((iou >= SAME_PLACE_IOU) & same).mul(found.scores).max(1)
                score[rows] = best.numpy()
                overlap[rows] = (iou.gather(1, which[:, None])[:, 0] * (best > 0)).numpy()
    return score, overlap


def out_of_fold(
    known: KnownBoxes, settings: SelectionSettings, model_id: str, kinds: Mapping[str, tuple[str, ...]]
) -> Mapping[str, Floats]:
    """p(correct) of each box by models that have not seen its image.

    Args:
        known: Proposals of one detector whose truth is known.
        settings: How it is fitted.
        model_id: The detector.
        kinds: What is known beside the detection, by name.

    Returns:
        float[N] for each kind.
    """
    p_correct: dict[str, Floats] = {kind: np.zeros(len(known.right)) for kind in kinds}
    for fitted, left_out in folds_of(known.evidence, settings.folds):
        seen, unseen = known.take(fitted), known.take(left_out)
        inner = affinity_out_of_fold(seen.evidence, seen.objects, folds_of(seen.evidence, settings.folds))
        table = with_affinity(seen.evidence, inner)
        affinities = fit_affinities(seen.evidence, seen.objects, 1)
        asked = with_affinity(unseen.evidence, measure_affinity(unseen.evidence, affinities))
        for kind, names in kinds.items():
            model = fit_calibrator(
                table,
                seen.right,
                min_class_boxes=settings.min_class_boxes,
                features=(*BARE, *names),
                model_id=model_id,
            )
            p_correct[kind][left_out] = model.predict(asked)
    return p_correct
