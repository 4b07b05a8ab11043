"""p(correct) and its certificates, from held-back images that the model was not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.matching import mark_right
from pipeline.mining.consistency import gather_evidence
from pipeline.records import Sample, Split
from pipeline.selection.calibrate import Calibrator, fit_calibrator, out_of_fold
from pipeline.selection.certify import Certificate, certify_class
from pipeline.selection.quality import measure
from pipeline.stages.cycle import Cycle
from pipeline.stages.finetune import labeled_samples

CALIBRATOR = "calibrator.json"


@dataclass(frozen=True)
class HeldBack:
    """Proposals whose truth is known.

    Attributes:
        evidence: Proposals of held-back images with their evidence.
        right: bool[N].
        samples: The held-back images.
    """

    evidence: pa.Table
    right: NDArray[np.bool_]
    samples: list[Sample]

    @property
    def misses_without_proposals(self) -> float:
        """True boxes in an image in which nothing was proposed; the mean number missed where there is no such image."""
        proposed = set(self.evidence["image_id"].to_pylist())
        silent = [len(sample.boxes) for sample in self.samples if sample.image_id not in proposed]
        if silent:
            return float(np.mean(silent))
        missed = sum(len(sample.boxes) for sample in self.samples) - int(self.right.sum())
        return missed / max(1, len(self.samples))


def held_back(cycle: Cycle) -> HeldBack:
    """Read the held-back proposals of a cycle and mark the right ones."""
    proposals = cycle.folder.read_table("held_back_proposals.parquet")
    evidence = gather_evidence(proposals, cycle.folder.read_table("held_back_checks.parquet"))
    samples = labeled_samples(cycle.store, Split.VAL)
    return HeldBack(evidence, mark_right(evidence, samples, cycle.settings.selection.match_iou), samples)


def calibrate(cycle: Cycle, known: HeldBack) -> tuple[Calibrator, dict[str, Certificate]]:
    """Fit p(correct), measure it out of fold, and certify thresholds.

    Writes `calibration.json` and `certificates.json`, and keeps the calibrator with the model.

    Returns:
        The calibrator and the certificates by class name.
    """
    settings, model_id = cycle.settings.selection, str(cycle.artefact("mining")["model_id"])
    common: dict[str, Any] = {"min_class_boxes": settings.min_class_boxes, "model_id": model_id}
    p_correct = out_of_fold(known.evidence, known.right, folds=settings.folds, **common)
    calibrator = fit_calibrator(known.evidence, known.right, **common)
    labels = known.evidence["label"].to_numpy(zero_copy_only=False)
    certificates = {
        label: certify_class(
            label,
            p_correct[labels == label],
            known.right[labels == label],
            target=settings.target_precision,
            confidence=settings.confidence,
        )
        for label in cycle.settings.data.labels
    }
    cycle.workspace.models.folder(model_id).write_json(CALIBRATOR, calibrator.to_json())
    cycle.folder.write_json("calibration.json", _measures(cycle, known, p_correct))
    cycle.folder.write_json("certificates.json", _promises(cycle, certificates))
    return calibrator, certificates


def _measures(cycle: Cycle, known: HeldBack, p_correct: NDArray[np.float64]) -> dict[str, Any]:
    """Every score beside ours, on the same boxes."""
    if len(p_correct) == 0:
        return {"boxes": 0, "evidence": {}, "reliability": {}}
    confidence, consistency, agreement = (
        np.nan_to_num(known.evidence[name].to_numpy(zero_copy_only=False).astype(np.float64))
        for name in ("score", "consistency", "agreement")
    )
    scores = {
        "confidence": confidence,
        "consistency": consistency,
        "product": confidence * consistency,
        "agreement": agreement,
        "crosscheck": p_correct,
    }
    images = known.evidence["image_id"].to_numpy(zero_copy_only=False)
    true_boxes = sum(len(sample.boxes) for sample in known.samples)
    measured = {
        name: asdict(measure(score, known.right, images, true_boxes, cycle.settings.seed))
        for name, score in scores.items()
    }
    reliability = {name: one.pop("reliability") for name, one in measured.items()}
    return {"boxes": len(p_correct), "evidence": measured, "reliability": reliability}


def _promises(cycle: Cycle, certificates: Mapping[str, Certificate]) -> dict[str, Any]:
    settings = cycle.settings.selection
    classes = {label: one.to_json() for label, one in certificates.items()}
    return {"target": settings.target_precision, "confidence": settings.confidence, "classes": classes}
