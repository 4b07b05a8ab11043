"""p(correct) and its certificates, from held-back images that the model was not trained on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pipeline.boxes import as_boxes
from pipeline.matching import match_proposals, matched_corners, objects_shown
from pipeline.mining.consistency import gather_evidence
from pipeline.mining.redetection import prices
from pipeline.records import Sample, Split
from pipeline.selection.calibrator import folds_of
from pipeline.selection.cascade import Cascade, fit_cascade, out_of_fold
from pipeline.selection.certificates import Certificate, Certificates, certify_class
from pipeline.selection.clusters import error_correlation
from pipeline.selection.localisation_bias import LocalisationBias, corners_of, fit_localisation_bias
from pipeline.selection.missed_objects import MissedObjectsModel, fit_missed_objects, recall_by_class_and_size
from pipeline.selection.quality import measure
from pipeline.settings import MiningSettings, Settings
from pipeline.stages.cycle import Cycle
from pipeline.stages.finetune import labeled_samples

CASCADE, MISSED, BIAS = "cascade.json", "missed_objects.json", "localisation_bias.json"
LOOSE_IOU = 0.4
"""A misplaced proposal overlaps its object at least so much."""
_COST_ONLY = {"batch_size", "chunk_images", "decode_threads", "max_hosts_cached"}
"""Settings of mining that change what it costs and nothing that it finds."""
_RESTED_ON = {"match_iou", "target_precision", "confidence", "folds", "min_class_boxes", "correct_localisation"}
"""Settings of selection that certificates depend on."""


@dataclass(frozen=True)
class HeldBack:
    """Proposals whose truth is known.

    Attributes:
        rounds: Proposals of held-back images with their evidence after each round of pastes, and the `group_id` of
            their image, so that no fold is judged on near-duplicates of what it was fitted on.
        bias: How they are misplaced; nothing where `selection.correct_localisation` is off.
        placed: The proposals where they truly lie, as far as other images tell.
        matched: int64[N], which box of its image each of `placed` is, -1 for none.
        objects: str[N], the class of the object that each of `placed` shows, whatever its own; '' for none.
        samples: The held-back images.
    """

    rounds: tuple[pa.Table, ...]
    bias: LocalisationBias
    placed: pa.Table
    matched: NDArray[np.int64]
    objects: NDArray[np.str_]
    samples: list[Sample]

    @staticmethod
    def of(
        proposals: pa.Table,
        checks: pa.Table,
        samples: list[Sample],
        settings: Settings,
        bias: LocalisationBias | None = None,
    ) -> HeldBack:
        """Put the truth beside what was mined.

        Args:
            proposals: Columns of `PROPOSAL_SCHEMA`, of labelled images.
            checks: Columns of `CHECK_SCHEMA`, all of these proposals.
            samples: The images.
            settings: Rounds of pastes, and what a right box is.
            bias: What other images tell of how boxes are misplaced; without it each of these images is placed as the
                others of them tell.
        """
        family = {sample.image_id: sample.group_id for sample in samples}
        groups = pa.array([family[image_id] for image_id in proposals["image_id"].to_pylist()], pa.string())
        rounds = tuple(
            gather_evidence(proposals, checks, pastes).append_column("group_id", groups)
            for pastes in settings.mining.rounds
        )
        found, sizes = rounds[-1], _sizes(samples)
        if bias is None and settings.selection.correct_localisation:
            bias, placed = _placed_by_others(found, samples, settings.selection.folds)
        else:
            bias = bias or LocalisationBias()
            placed = bias.place(found, sizes)
        least = settings.selection.match_iou
        matched, objects = match_proposals(placed, samples, least), objects_shown(placed, samples, least)
        return HeldBack(rounds, bias, placed, matched, objects, samples)

    @property
    def right(self) -> NDArray[np.bool_]:
        """bool[N]."""
        return self.matched >= 0

    @property
    def evidence(self) -> pa.Table:
        """The proposals with all their evidence."""
        return self.rounds[-1]

    def prices(self, settings: MiningSettings) -> NDArray[np.float64]:
        """What each check of each proposal costs, see `pipeline.mining.redetection.prices`."""
        size = {sample.image_id: (sample.width, sample.height) for sample in self.samples}
        sizes = torch.tensor([size[image_id] for image_id in self.evidence["image_id"].to_pylist()]).reshape(-1, 2)
        return prices(as_boxes(corners_of(self.evidence)), sizes, settings).double().numpy()

    @property
    def groups(self) -> NDArray[np.intp]:
        """int[N]: which family of near-duplicates the image of each proposal belongs to."""
        names = self.evidence["group_id"].to_numpy(zero_copy_only=False)
        numbers: NDArray[np.intp] = np.unique(names, return_inverse=True)[1]
        return numbers


def _placed_by_others(found: pa.Table, samples: list[Sample], folds: int) -> tuple[LocalisationBias, pa.Table]:
    """How proposals are misplaced, and each of them placed as the images of other folds tell."""
    truth = matched_corners(found, samples, match_proposals(found, samples, LOOSE_IOU))
    labels, corners = found["label"].to_numpy(zero_copy_only=False).astype(str), corners_of(found)
    places, sizes = np.arange(len(found)), _sizes(samples)
    parts, rows = [found.slice(0, 0)], [places[:0]]
    for fitted, left_out in folds_of(found, folds) or [(places[:0], places)]:
        bias = fit_localisation_bias(labels[fitted], corners[fitted], truth[fitted])
        parts.append(bias.place(found.take(left_out), sizes))
        rows.append(left_out)
    return fit_localisation_bias(labels, corners, truth), pa.concat_tables(parts).take(np.argsort(np.concatenate(rows)))


def _sizes(samples: list[Sample]) -> pa.Table:
    return pa.table({name: [getattr(one, name) for one in samples] for name in ("image_id", "width", "height")})


def held_back(cycle: Cycle) -> HeldBack:
    """Read the held-back proposals of a cycle and mark the right ones."""
    proposals, checks = (cycle.folder.read_table(f"held_back_{name}.parquet") for name in ("proposals", "checks"))
    return HeldBack.of(proposals, checks, labeled_samples(cycle.store, Split.VAL), cycle.settings)


def calibrate(cycle: Cycle, model_id: str) -> Cascade:
    """Fit p(correct) on the held-back proposals, measure it out of fold, and certify thresholds.

    Writes `calibration.json` and `certificates.json`, and keeps the cascade, what it misses and how it
    misplaces boxes with the model.

    Args:
        cycle: The cycle; its held-back images are mined.
        model_id: The detector that they were mined with.

    Returns:
        What gives the pool's proposals their p(correct), and tells which of them are checked.
    """
    settings, known = cycle.settings.selection, held_back(cycle)
    mining = cycle.settings.mining
    given = (known.rounds, known.right, known.objects, known.prices(mining), settings)
    common: dict[str, Any] = {"rounds": mining.rounds, "budget": mining.budget, "model_id": model_id}
    p_correct, with_all = out_of_fold(*given, **common)
    cascade = fit_cascade(*given, **common)
    misses = fit_missed_objects(
        known.samples, known.evidence, p_correct, known.right, cycle.settings.data.labels, model_id
    )
    model = cycle.workspace.models.folder(model_id)
    model.write_json(CASCADE, cascade.to_json())
    model.write_json(MISSED, misses.to_json())
    model.write_json(BIAS, known.bias.to_json())
    recall = [asdict(one) for one in recall_by_class_and_size(known.samples, known.evidence, known.matched)]
    measures = _measures(cycle, known, p_correct, with_all)
    cycle.folder.write_json("calibration.json", {**measures, "recall": recall})
    promised = certify(known, p_correct, cycle.settings, model_id)
    cycle.folder.write_json("certificates.json", promised.to_json())
    return cascade


def certify(known: HeldBack, p_correct: NDArray[np.float64], settings: Settings, model_id: str) -> Certificates:
    """Certify every class.

    Args:
        known: The held-back proposals.
        p_correct: float[N], of models that have not seen their images.
        settings: The promised precision.
        model_id: The detector whose proposals these are.

    Returns:
        The promises.
    """
    labels = known.evidence["label"].to_numpy(zero_copy_only=False)
    correlation = error_correlation(p_correct, known.right, known.groups)
    target, confidence = settings.selection.target_precision, settings.selection.confidence

    def certificate(label: str) -> Certificate:
        own = labels == label
        given = (p_correct[own], known.right[own], known.groups[own])
        return certify_class(label, *given, target=target, confidence=confidence, correlation=correlation)

    classes = {label: certificate(label) for label in settings.data.labels}
    return Certificates(model_id, calibration_set(known.samples, settings), target, confidence, correlation, classes)


def calibration_set(samples: list[Sample], settings: Settings) -> str:
    """Hash of what certificates rest on beside the detector.

    Args:
        samples: The held-back images.
        settings: Those of mining and of calibration are part of it.

    Returns:
        12 hex digits; the order of images and of their boxes has no part in it.
    """
    rested_on = {
        "images": sorted(
            [
                one.image_id,
                sorted([box.label, *box.xyxy] for box in one.boxes),
                sorted([*region.xyxy] for region in one.ignore),
            ]
            for one in samples
        ),
        "labels": settings.data.labels,
        "mining": settings.mining.model_dump(mode="json", exclude=_COST_ONLY),
        "selection": settings.selection.model_dump(mode="json", include=_RESTED_ON),
    }
    return hashlib.sha256(json.dumps(rested_on, sort_keys=True).encode()).hexdigest()[:12]


class Calibrated(NamedTuple):
    """What is known of a detector from held-back images.

    Attributes:
        cascade: Gives p(correct).
        certificates: What is promised.
        misses: What no proposal finds.
        bias: Where boxes truly lie.
    """

    cascade: Cascade
    certificates: Certificates
    misses: MissedObjectsModel
    bias: LocalisationBias


def load_calibration(cycle: Cycle, known: HeldBack) -> Calibrated:
    """Read what `calibrate` wrote for the model that this cycle mined with.

    Args:
        cycle: The cycle.
        known: The held-back proposals as they are now.

    Returns:
        All four.

    Raises:
        ArtefactError: Nothing was calibrated, or the certificates are another model's or of another calibration set.
    """
    model_id = str(cycle.artefact("mining")["model_id"])
    promised = Certificates.from_json(cycle.folder.read_json("certificates.json"))
    promised.check(model_id, calibration_set(known.samples, cycle.settings))
    model = cycle.workspace.models.folder(model_id)
    cascade, misses = Cascade.from_json(model.read_json(CASCADE)), MissedObjectsModel.from_json(model.read_json(MISSED))
    return Calibrated(cascade, promised, misses, LocalisationBias.from_json(model.read_json(BIAS)))


def _measures(
    cycle: Cycle, known: HeldBack, p_correct: NDArray[np.float64], with_all: NDArray[np.float64]
) -> dict[str, Any]:
    """Every score beside ours, on the same boxes."""
    if len(p_correct) == 0:
        return {"boxes": 0, "evidence": {}, "reliability": {}}
    confidence, consistency, augmented, closeup = (
        np.nan_to_num(known.evidence[name].to_numpy(zero_copy_only=False).astype(np.float64))
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
    images = known.evidence["image_id"].to_numpy(zero_copy_only=False)
    true_boxes = sum(len(sample.boxes) for sample in known.samples)
    measured = {
        name: asdict(measure(score, known.right, images, true_boxes, cycle.settings.seed))
        for name, score in scores.items()
    }
    reliability = {name: one.pop("reliability") for name, one in measured.items()}
    return {"boxes": len(p_correct), "evidence": measured, "reliability": reliability}
