"""`crosscheck bench calibration`: which score separates right boxes from wrong ones, and whether promises are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.artefacts import Certificate, ScoreQuality
from pipeline.bench.box_scores import Scores, score_boxes
from pipeline.bench.labeled_mining import Applied, LabeledMining
from pipeline.bench.scenario import ScenarioCell, ScenarioResult
from pipeline.progress import Progress
from pipeline.selection.calibration import certify
from pipeline.selection.calibrator import feature_matrix
from pipeline.selection.class_affinity import NOTHING
from pipeline.selection.held_back import HeldBack
from pipeline.selection.quality import auroc, auroc_gain, measure_score


@dataclass(frozen=True)
class BoxCount:
    """Images, their proposals, and how many of these are right."""

    images: int
    boxes: int
    right: int


@dataclass(frozen=True)
class MeasuredScore:
    """Quality of one score, and the 95 % interval of its gain in AUROC over confidence, None where undefined."""

    quality: ScoreQuality
    gain: tuple[float, float] | None


@dataclass(frozen=True)
class WrongBoxes:
    """One kind of wrong box.

    Attributes:
        kind: `another class`, `duplicate`, or `misplaced or background`.
        boxes: How many there are.
        auroc: By score, the chance that a right box scores above one of these.
    """

    kind: str
    boxes: int
    auroc: Mapping[str, float | None]


@dataclass(frozen=True)
class PromiseCheck:
    """A certificate compared with images that nothing learnt from.

    Attributes:
        label: The certified class.
        threshold: Least p(correct) of its pseudo-labels.
        target: Promised precision.
        lower_bound: Of the precision, by the held-back images.
        boxes: Pseudo-labels that it would let through on test.
        right: Right ones among them.
    """

    label: str
    threshold: float
    target: float
    lower_bound: float | None
    boxes: int
    right: int


@dataclass(frozen=True)
class CalibrationResult(ScenarioResult):
    """Every score in one scenario.

    Attributes:
        held_back: What p(correct) was fitted on.
        pool: What was measured: the test split.
        scores: By name.
        wrong_boxes: One row per kind.
        promises: One row per certified class.
    """

    MADE_BY: ClassVar[str] = "crosscheck bench calibration"

    held_back: BoxCount
    pool: BoxCount
    scores: Mapping[str, MeasuredScore]
    wrong_boxes: tuple[WrongBoxes, ...]
    promises: tuple[PromiseCheck, ...]


@dataclass(frozen=True)
class CalibrationCell(ScenarioCell):
    """A scenario in which every score is measured.

    Attributes:
        held_back: Most images of val to fit p(correct) on; None: all.
    """

    held_back: int | None = None

    @property
    def varied(self) -> tuple[object, ...]:
        """The number of held-back images, if limited."""
        return () if self.held_back is None else (self.held_back,)

    def measure(self, progress: Progress) -> CalibrationResult:
        """Fit on val, measure on test."""
        settings = self.settings
        mining = LabeledMining.trained(settings, progress)
        applied = mining.applied(self.held_back, progress)
        scores = score_boxes(mining, applied)
        certificates = certify(applied.held_back, applied.out_of_fold, settings, mining.model_id)
        certified = [certificate for certificate in certificates.classes.values() if certificate.certified]
        return CalibrationResult(
            **vars(self.identity),
            held_back=_count(applied.held_back),
            pool=_count(applied.pool),
            scores={name: _measured(score, applied.pool, settings.seed) for name, score in scores.items()},
            wrong_boxes=_wrong_boxes(applied.pool, scores),
            promises=tuple(_promise(certificate, applied, certificates.target) for certificate in certified),
        )


def _measured(score: NDArray[np.float64], pool: HeldBack, seed: int) -> MeasuredScore:
    images = pool.evidence["image_id"].to_numpy(zero_copy_only=False)
    quality = measure_score(score, pool.right, images, sum(len(sample.boxes) for sample in pool.samples), seed)
    if quality.auroc is None:
        return MeasuredScore(quality, None)
    confidence = feature_matrix(pool.evidence, ("score",))[:, 0]
    return MeasuredScore(quality, auroc_gain(score, confidence, pool.right, images, seed))


def _wrong_boxes(pool: HeldBack, scores: Scores) -> tuple[WrongBoxes, ...]:
    """How well right boxes are distinguished from each kind of wrong ones."""
    labels = pool.evidence["label"].to_numpy(zero_copy_only=False).astype(str)
    wrong, empty = ~pool.right, pool.objects == NOTHING
    kinds = {
        "another class": wrong & ~empty & (pool.objects != labels),
        "duplicate": wrong & (pool.objects == labels),
        "misplaced or background": wrong & empty,
    }

    def of_kind(kind: str, rows: NDArray[np.bool_]) -> WrongBoxes:
        compared = rows | pool.right
        values = {name: auroc(score[compared], pool.right[compared]) for name, score in scores.items()}
        return WrongBoxes(kind, int(rows.sum()), values)

    return tuple(of_kind(kind, rows) for kind, rows in kinds.items())


def _promise(certificate: Certificate, applied: Applied, target: float) -> PromiseCheck:
    assert certificate.threshold is not None, "it is certified"
    labels = applied.pool.evidence["label"].to_numpy(zero_copy_only=False)
    written = (labels == certificate.label) & (applied.p_correct >= certificate.threshold)
    return PromiseCheck(
        label=certificate.label,
        threshold=certificate.threshold,
        target=target,
        lower_bound=certificate.lower_bound,
        boxes=int(written.sum()),
        right=int(applied.pool.right[written].sum()),
    )


def _count(boxes: HeldBack) -> BoxCount:
    return BoxCount(len(boxes.samples), len(boxes.right), int(boxes.right.sum()))
