"""Every score for "this box is right" that is compared with ours, on the boxes of a pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.bench.labeled_mining import Applied, LabeledMining
from pipeline.boxes import as_boxes
from pipeline.detector.inference.predictor import Detections, Predictor
from pipeline.mining.augmented_view import compare_augmented_view
from pipeline.records import NEIGHBOUR_FIELDS
from pipeline.selection.calibrator import feature_matrix, fit_calibrator
from pipeline.selection.cascade import stage_of
from pipeline.selection.class_affinity import AFFINITY
from pipeline.selection.held_back import HeldBack
from pipeline.selection.localisation_bias import xyxy_of

Scores = Mapping[str, NDArray[np.float64]]
"""By name, a score for each box of the pool; higher = more likely right."""
NEIGHBOURS = tuple(name for name, _ in NEIGHBOUR_FIELDS)


def score_boxes(mining: LabeledMining, applied: Applied) -> Scores:
    """Score the boxes of a pool in every way.

    Returns:
        The detector's own scores; p(correct) by ever more evidence; and `crosscheck`, p(correct) by as much evidence as
        the budget pays for.
    """
    evidence, cascade = applied.pool.evidence, applied.cascade
    names = ("score", "consistency", "tta_score", "closeup_score")
    confidence, consistency, augmented, closeup = feature_matrix(evidence, names).T
    detection, everything = cascade.stages[0].features, cascade.stages[-1].features

    def without(features: Sequence[str], *left_out: str) -> NDArray[np.float64]:
        fitted = fit_calibrator(
            applied.held_back.evidence,
            applied.held_back.right,
            min_class_boxes=mining.settings.selection.min_class_boxes,
            features=[name for name in features if name not in left_out],
            model_id=mining.model_id,
        )
        return fitted.predict(evidence)

    return {
        "confidence": confidence,
        "consistency": consistency,
        "product": confidence * consistency,
        "flip agreement": flip_agreement(mining.miner.predictor, applied.pool),
        "augmented view": augmented,
        "close-up": closeup,
        "detection without neighbours and affinity": without(detection, *NEIGHBOURS, *AFFINITY),
        "detection without affinity": without(detection, *AFFINITY),
        "detection": cascade.predict_on(0, evidence),
        "detection and pastes": cascade.predict_on(stage_of(0, pasted=True), evidence),
        "detection and augmented view": cascade.predict_on(stage_of(1), evidence),
        "all evidence without affinity": without(everything, *AFFINITY),
        "all evidence": cascade.predict_on(-1, evidence),
        "crosscheck": applied.p_correct,
    }


def flip_agreement(predictor: Predictor, boxes: HeldBack) -> NDArray[np.float64]:
    """Detect in mirrored images.

    Returns:
        float[N]: best score of its class at the place of each proposal, 0 where nothing is detected there.
    """
    evidence = boxes.evidence
    images = evidence["image_id"].to_numpy(zero_copy_only=False)
    corners = as_boxes(xyxy_of(evidence))
    numbers = [predictor.labels.index(label) + 1 for label in evidence["label"].to_pylist()]
    labels = torch.tensor(numbers, dtype=torch.int64)
    agreement = np.zeros(len(images))
    for batch in predictor.stream(sample.ref for sample in boxes.samples):
        rows = [np.flatnonzero(images == ref.image_id) for ref in batch.refs]
        proposals = [
            Detections(batch.to_input(index, corners[own]), torch.ones(len(own)), labels[own], torch.zeros(len(own), 0))
            for index, own in enumerate(rows)
        ]
        seen = compare_augmented_view(predictor, batch.images, proposals, enlarged=1.0)
        agreement[np.concatenate(rows)] = torch.cat([match.score for match in seen])
    return agreement
