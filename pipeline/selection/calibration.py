"""From held-back images: p(correct), what a detector misses, how it misplaces boxes, what can be promised."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.artefacts import ALL_CLASSES, Calibration, Certificates, Reliability
from pipeline.records import Sample
from pipeline.selection.cascade import Cascade
from pipeline.selection.cascade_fitting import fit_cascade, out_of_fold
from pipeline.selection.certificates import ScoredBoxes, certify_class, highest_precision
from pipeline.selection.clusters import error_correlation
from pipeline.selection.held_back import HeldBack, cascade_plan
from pipeline.selection.localisation_bias import LocalisationBias
from pipeline.selection.missed_objects import MissedObjectsModel, fit_missed_objects, recall_by_class_and_size
from pipeline.selection.quality import measure_score, reliability
from pipeline.settings import Settings

_COST_ONLY = {"batch_size", "chunk_images", "decode_threads", "max_hosts_cached"}
"""Settings of mining that change what it costs and nothing that it finds."""
_RESTED_ON = {
    "committee",
    "rule",
    "match_iou",
    "target_precision",
    "confidence",
    "folds",
    "min_class_boxes",
    "correct_localisation",
    "drop_below",
}
"""Settings of selection that certificates depend on; and stacking, where it is on."""


@dataclass(frozen=True)
class CalibratedModel:
    """What is known of a detector; kept beside its weights.

    Attributes:
        cascade: Gives p(correct), and tells which boxes are checked.
        missed: Expects objects that no proposal finds.
        bias: Where boxes truly lie.
    """

    FILE: ClassVar[str] = "calibrated.json"
    MADE_BY: ClassVar[str] = "crosscheck mine"

    cascade: Cascade
    missed: MissedObjectsModel
    bias: LocalisationBias


@dataclass(frozen=True)
class Calibrated:
    """The outcome of a calibration.

    Attributes:
        p_correct: float[N], of each held-back proposal, from models that have not seen its image.
        model: What is kept with the model.
        calibration: What was measured.
        certificates: What is promised.
    """

    p_correct: NDArray[np.float64] = field(compare=False)
    model: CalibratedModel
    calibration: Calibration
    certificates: Certificates


def calibrate(held_back: HeldBack, settings: Settings, model_id: str) -> Calibrated:
    """Fit p(correct) on held-back proposals, measure it out of fold, and certify thresholds.

    Args:
        held_back: Proposals of labelled images, with all their checks.
        settings: The project.
        model_id: The detector that they were mined with.
    """
    known, plan = held_back.known_boxes(settings), cascade_plan(settings, model_id)
    p_correct, with_all = out_of_fold(known, plan)
    missed = fit_missed_objects(held_back.samples, held_back.evidence, p_correct, held_back.right, settings.data.labels)
    return Calibrated(
        p_correct,
        CalibratedModel(fit_cascade(known, plan), missed, held_back.bias),
        _measure(held_back, p_correct, with_all, settings.seed),
        certify(held_back, p_correct, settings, model_id),
    )


def certify(held_back: HeldBack, p_correct: NDArray[np.float64], settings: Settings, model_id: str) -> Certificates:
    """Certify every class, and all together.

    Args:
        held_back: The held-back proposals.
        p_correct: float[N], of models that have not seen their images.
        settings: The promised precision.
        model_id: The detector whose proposals these are.

    Returns:
        The promises.
    """
    labels = held_back.evidence["label"].to_numpy(zero_copy_only=False)
    correlation = error_correlation(p_correct, held_back.right, held_back.groups)
    target, confidence = settings.selection.target_precision, settings.selection.confidence
    every = ScoredBoxes(p_correct, held_back.right, held_back.groups)
    boxes = {label: every[np.flatnonzero(labels == label)] for label in settings.data.labels}
    boxes[ALL_CLASSES] = every
    promises = {
        label: certify_class(label, own, target=target, confidence=confidence, correlation=correlation)
        for label, own in boxes.items()
    }
    highest = {
        label: highest_precision(own, confidence=confidence, correlation=correlation) for label, own in boxes.items()
    }
    together = promises.pop(ALL_CLASSES)
    return Certificates(
        model_id,
        calibration_set(held_back.samples, settings),
        target,
        confidence,
        correlation,
        promises,
        together,
        {label: precision for label, precision in highest.items() if precision is not None},
    )


def calibration_set(samples: Sequence[Sample], settings: Settings) -> str:
    """Hash of what certificates rest on beside the detector.

    Args:
        samples: The held-back images.
        settings: Those of mining and of calibration are part of it.

    Returns:
        12 hex digits; the order of images and of their boxes has no part in it.
    """
    stacking = {"stacking"} if settings.selection.stacking else set()
    rested_on = {
        "images": sorted(
            [
                sample.image_id,
                sorted([box.label, *box.xyxy] for box in sample.boxes),
                sorted([*region.xyxy] for region in sample.ignore),
            ]
            for sample in samples
        ),
        "labels": settings.data.labels,
        "mining": settings.mining.model_dump(mode="json", exclude=_COST_ONLY),
        "selection": settings.selection.model_dump(mode="json", include=_RESTED_ON | stacking),
    }
    return hashlib.sha256(json.dumps(rested_on, sort_keys=True).encode()).hexdigest()[:12]


def _measure(
    held_back: HeldBack, p_correct: NDArray[np.float64], with_all: NDArray[np.float64], seed: int
) -> Calibration:
    """Every score beside ours, on the same boxes."""
    recall = tuple(recall_by_class_and_size(held_back.samples, held_back.evidence, held_back.matched))
    if len(p_correct) == 0:
        return Calibration(0, recall=recall)
    confidence, consistency, augmented, closeup = (
        np.nan_to_num(held_back.evidence[name].to_numpy(zero_copy_only=False).astype(np.float64))
        for name in ("score", "consistency", "tta_score", "closeup_score")
    )
    scores = {
        "confidence": confidence,
        "consistency": consistency,
        "product": confidence * consistency,
        "augmented view": augmented,
        "close-up": closeup,
        "all evidence": with_all,
        "crosscheck": p_correct,
    }
    images = held_back.evidence["image_id"].to_numpy(zero_copy_only=False)
    true_boxes = sum(len(sample.boxes) for sample in held_back.samples)
    return Calibration(
        len(p_correct),
        {name: measure_score(score, held_back.right, images, true_boxes, seed) for name, score in scores.items()},
        recall,
        _by_class(held_back, {"crosscheck": p_correct, "consistency": consistency}),
    )


def _by_class(held_back: HeldBack, scores: Mapping[str, NDArray[np.float64]]) -> dict[str, dict[str, Reliability]]:
    """Reliability of some scores on the boxes of each class, names ascending."""
    labels = held_back.evidence["label"].to_numpy(zero_copy_only=False)
    return {
        str(label): {
            name: reliability(score[labels == label], held_back.right[labels == label])
            for name, score in scores.items()
        }
        for label in np.unique(labels)
    }
