"""Proposals of labelled images that the detector has not learnt from, beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pipeline.boxes import as_boxes
from pipeline.detector.evaluation.proposal_matching import match_proposals, matched_boxes, objects_shown
from pipeline.mining.consistency import gather_evidence
from pipeline.mining.forecast import paste_prices
from pipeline.mining.miner import Mined
from pipeline.mining.redetection import prices
from pipeline.records import SAMPLE_SCHEMA, Sample
from pipeline.selection.calibrator import folds_of
from pipeline.selection.cascade_fitting import CascadePlan, KnownBoxes
from pipeline.selection.class_affinity import MEMBER
from pipeline.selection.cross_fitting import Folds
from pipeline.selection.localisation_bias import LocalisationBias, fit_localisation_bias, xyxy_of
from pipeline.settings import Settings

LOOSE_IOU = 0.4
"""A misplaced proposal overlaps its object at least so much."""


@dataclass(frozen=True)
class HeldBack:
    """Proposals whose truth is known.

    Attributes:
        evidence: Proposals of held-back images with all their evidence, and the `group_id` of their image, so that no
            fold is judged on near-duplicates of what it was fitted on.
        bias: How they are misplaced; nothing where `selection.correct_localisation` is off.
        corrected: The proposals where they truly lie, as far as other images tell.
        matched: int64[N], which box of its image each of `corrected` is, -1 for none.
        objects: str[N], the class of the object that each of `corrected` shows, whatever its own; '' for none.
        samples: The held-back images.
        members: How many detectors proposed them; `evidence` says which, as `class_affinity.MEMBER`.
    """

    evidence: pa.Table
    bias: LocalisationBias
    corrected: pa.Table
    matched: NDArray[np.int64]
    objects: NDArray[np.str_]
    samples: Sequence[Sample]
    members: int = 1

    @property
    def right(self) -> NDArray[np.bool_]:
        """bool[N]."""
        return self.matched >= 0

    @property
    def groups(self) -> NDArray[np.intp]:
        """int[N]: which family of near-duplicates the image of each proposal belongs to."""
        names = self.evidence["group_id"].to_numpy(zero_copy_only=False)
        numbers: NDArray[np.intp] = np.unique(names, return_inverse=True)[1]
        return numbers

    def known_boxes(self, settings: Settings) -> KnownBoxes:
        """What a cascade is fitted on."""
        size = {sample.image_id: (sample.width, sample.height) for sample in self.samples}
        sizes = torch.tensor([size[image_id] for image_id in self.evidence["image_id"].to_pylist()]).reshape(-1, 2)
        looks = prices(as_boxes(xyxy_of(self.evidence)), sizes, settings.mining)[:, :2]
        pastes = paste_prices(self.evidence, sizes, settings.detector.image_size_px, settings.mining)
        cost = torch.cat([looks, pastes], dim=1).double().numpy()
        return KnownBoxes(self.evidence, self.right, self.objects, cost, self.members)


def cascade_plan(settings: Settings, model_id: str) -> CascadePlan:
    """How the cascade of a project is fitted for one detector."""
    mining = settings.mining
    proposing = mining.proposal_passes + settings.selection.stacking  # the partner looks once
    passes = None if mining.passes is None else mining.passes - proposing
    return CascadePlan(settings.selection, model_id, mining.budget, mining.look_budget, passes)


def hold_back(
    mined: Mined,
    samples: Sequence[Sample],
    settings: Settings,
    bias: LocalisationBias | None = None,
    folds: Folds | None = None,
) -> HeldBack:
    """Put the truth beside what was mined.

    Args:
        mined: What was found in labelled images; its proposals and checks count.
        samples: The images.
        settings: What a right box is.
        bias: How boxes are misplaced, as other images tell; without it each of these images is corrected as the others
            of them tell.
        folds: Which member of a committee proposed for which image; without it there is but one detector.
    """
    folds = folds or Folds()
    by_image = {sample.image_id: sample for sample in samples}
    images = [by_image[image_id] for image_id in mined.proposals["image_id"].to_pylist()]
    evidence = gather_evidence(mined.proposals, mined.checks)
    evidence = evidence.append_column("group_id", pa.array([image.group_id for image in images], pa.string()))
    evidence = evidence.append_column(MEMBER, pa.array(map(folds.of_sample, images), pa.int64()))
    if bias is None and settings.selection.correct_localisation:
        bias, corrected = _corrected_out_of_fold(evidence, samples, settings.selection.folds)
    else:
        bias = bias or LocalisationBias()
        corrected = bias.correct(evidence, _sizes(samples))
    least = settings.selection.match_iou
    matched, objects = match_proposals(corrected, samples, least), objects_shown(corrected, samples, least)
    return HeldBack(evidence, bias, corrected, matched, objects, samples, folds.count)


def _corrected_out_of_fold(
    evidence: pa.Table, samples: Sequence[Sample], folds: int
) -> tuple[LocalisationBias, pa.Table]:
    """How proposals are misplaced, and each of them corrected as the images of other folds tell."""
    truth = matched_boxes(evidence, samples, match_proposals(evidence, samples, LOOSE_IOU))
    labels, boxes = evidence["label"].to_numpy(zero_copy_only=False).astype(str), xyxy_of(evidence)
    rows, sizes = np.arange(len(evidence)), _sizes(samples)
    parts, order = [evidence.slice(0, 0)], [rows[:0]]
    for fitted, left_out in folds_of(evidence, folds) or [(rows[:0], rows)]:
        bias = fit_localisation_bias(labels[fitted], boxes[fitted], truth[fitted])
        parts.append(bias.correct(evidence.take(left_out), sizes))
        order.append(left_out)
    corrected = pa.concat_tables(parts).take(np.argsort(np.concatenate(order)))
    return fit_localisation_bias(labels, boxes, truth), corrected


def _sizes(samples: Sequence[Sample]) -> pa.Table:
    columns = {name: SAMPLE_SCHEMA.field(name).type for name in ("image_id", "width", "height")}
    return pa.table(
        {name: pa.array([getattr(sample, name) for sample in samples], kind) for name, kind in columns.items()}
    )
