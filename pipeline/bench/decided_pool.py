"""A pool whose truth is known, decided as the pipeline decides, and the objects that pseudo-labelling leaves out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.artefacts import Certificate
from pipeline.bench.labeled_mining import Applied
from pipeline.boxes import as_boxes, intersection_over_first
from pipeline.detector.models.targets import IGNORED_SHARE
from pipeline.records import Fate, Sample, of_images
from pipeline.selection.fates import decide, expected_background, is_background, pseudo_images
from pipeline.selection.held_back import HeldBack
from pipeline.selection.localisation_bias import xyxy_of
from pipeline.selection.missed_objects import MissedObjectsModel, fit_missed_objects
from pipeline.settings import Settings


@dataclass(frozen=True)
class PseudoLabeling:
    """How many objects pseudo-labelling leaves out.

    Attributes:
        images: Pseudo-labelled images.
        boxes: Pseudo-labels in them.
        missed: Objects of all images that no pseudo-label marks and no ignore region would cover.
        background: Those of them in pseudo-labelled images: training takes them for background.
    """

    images: int
    boxes: int
    missed: int
    background: int


@dataclass(frozen=True)
class DecidedPool:
    """A pool whose truth is known, and what was decided about it.

    Attributes:
        boxes: Its proposals beside the truth.
        selection: Their fates.
        missed: Expects objects that no proposal finds.
    """

    boxes: HeldBack
    selection: pa.Table
    missed: MissedObjectsModel

    @property
    def image_ids(self) -> list[str]:
        """Its K images."""
        return [sample.image_id for sample in self.boxes.samples]

    def expected_never_proposed(self, p_correct: NDArray[np.float64]) -> NDArray[np.float64]:
        """float[K]: objects of each image that no proposal is expected to find."""
        return np.asarray(self.missed.predict(self.selection, p_correct, self.image_ids).sum(1))

    def never_proposed(self) -> NDArray[np.int64]:
        """int[K]: objects of each image that no proposal finds."""
        matched = Counter(self.boxes.evidence["image_id"].filter(pa.array(self.boxes.right)).to_pylist())
        return np.array([len(sample.boxes) - matched[sample.image_id] for sample in self.boxes.samples], dtype=np.int64)

    def pseudo_label(self, ignore_from: float, share: float) -> PseudoLabeling:
        """Pseudo-label the images with fewest expected objects in the background.

        Args:
            ignore_from: Least p(correct) of dropped boxes that become ignore regions.
            share: Of all images, 0 to 1.
        """
        background = is_background(None, ignore_from)
        expected = expected_background(self.selection, self.missed, self.image_ids, background)
        kept = [name for name, low in zip(self.image_ids, expected <= np.quantile(expected, share), strict=True) if low]
        written = pseudo_images(self.selection.filter(of_images(kept)), set(), None)
        missed = self._missed(ignore_from)
        sure = self.selection.filter(pc.field("fate") == Fate.PSEUDO.value)
        return PseudoLabeling(
            images=len(written),
            boxes=len(sure.filter(of_images(written))),
            missed=sum(missed.values()),
            background=sum(missed[image_id] for image_id in written),
        )

    def _missed(self, ignore_from: float) -> dict[str, int]:
        """Objects of each image that no pseudo-label marks and no ignore region would cover."""
        fate, image = (self.selection[name].to_numpy(zero_copy_only=False) for name in ("fate", "image_id"))
        likely = self.selection["p_correct"].to_numpy() >= ignore_from
        ignored = (fate == Fate.ASK.value) | ((fate == Fate.DROP.value) & likely)
        sure, corners = fate == Fate.PSEUDO.value, xyxy_of(self.selection)
        missed = {}
        for sample in self.boxes.samples:
            own = image == sample.image_id
            missed[sample.image_id] = _uncovered(sample, self.boxes.matched[own & sure], corners[own & ignored])
        return missed


def decide_pool(applied: Applied, certificates: Mapping[str, Certificate], settings: Settings) -> DecidedPool:
    """Give the pool's proposals their fates.

    Args:
        applied: The pool, and what held-back images teach.
        certificates: By class; a class without one is written from the promised precision on, so that there is
            something to compare.
        settings: The project.
    """
    held_back, pool, target = applied.held_back, applied.pool, settings.selection.target_precision
    missed = fit_missed_objects(
        held_back.samples, held_back.evidence, applied.out_of_fold, held_back.right, settings.data.labels
    )
    promised = {
        label: certificate if certificate.certified else replace(certificate, threshold=target)
        for label, certificate in certificates.items()
    }
    return DecidedPool(pool, decide(pool.corrected, applied.p_correct, promised, settings.selection), missed)


def _uncovered(sample: Sample, matched: NDArray[np.int64], ignored: NDArray[np.float64]) -> int:
    """Objects that are neither marked nor mostly in an ignore region."""
    marked = set(matched.tolist())
    unmarked = [box.xyxy for number, box in enumerate(sample.boxes) if number not in marked]
    objects, regions = as_boxes(unmarked), as_boxes(ignored)
    if len(objects) == 0 or len(regions) == 0:
        return len(unmarked)
    return len(unmarked) - int((intersection_over_first(objects, regions) > IGNORED_SHARE).any(1).sum())
