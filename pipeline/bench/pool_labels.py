"""Pseudo-labels of the pool as each arm of `crosscheck bench training` makes them, and how many of them are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.artefacts import GateOutcome
from pipeline.bench.scenario import alone
from pipeline.boxes import as_boxes
from pipeline.cycle import Cycle
from pipeline.detector.inference.predictor import detect_images
from pipeline.detector.models.saved import load_model
from pipeline.detector.training.fit import labeled_predictor
from pipeline.labeling.annotators import simulated_annotator
from pipeline.progress import Progress, silent
from pipeline.records import Box, Sample, Source, State, make_box_id, samples_from_table
from pipeline.runners import runner_of
from pipeline.stages.mine import mine
from pipeline.stages.select import select


@dataclass(frozen=True)
class PseudoLabelTruth:
    """Pseudo-labels compared with the hidden truth of the pool, after the fact.

    Attributes:
        images: Pseudo-labelled images.
        boxes: Pseudo-boxes.
        judged: Boxes whose truth the annotator can tell; wrong boxes in ignore regions, for instance, are left out.
        right: Right ones among these.
        true_boxes: Of the whole pool.
        regions: Ignore regions in the pseudo-labelled images.
        certified: Boxes under a certificate.
    """

    images: int
    boxes: int
    judged: int
    right: int
    true_boxes: int
    regions: int
    certified: int

    @property
    def precision(self) -> float | None:
        """Share of the judged boxes that are right; None without boxes."""
        return self.right / self.judged if self.judged else None

    @property
    def recall(self) -> float | None:
        """Share of the pool's true boxes that a pseudo-box marks; None for a pool without true boxes."""
        return self.right / self.true_boxes if self.true_boxes else None


def naive_labels(cycle: Cycle, confidence: float) -> list[Sample]:
    """Pool images with every detection of at least a confidence as a label, as if people had drawn it.

    Args:
        cycle: A trained scenario; its candidate labels.
        confidence: 0 to 1.

    Returns:
        Images with at least one such detection.
    """
    settings, model_id = cycle.settings, cycle.read(GateOutcome).candidate
    pool = {sample.image_id: sample for sample in samples_from_table(cycle.store.pool())}
    predictor = labeled_predictor(settings, load_model(cycle.workspace.models, model_id))
    labels: list[Sample] = []
    for batch, detections in detect_images(predictor, predictor.stream(sample.ref for sample in pool.values())):
        for index, (ref, detected) in enumerate(zip(batch.refs, detections, strict=True)):
            sure = detected[detected.scores >= confidence]
            corners = as_boxes(batch.to_original(index, sure.boxes)).tolist()
            boxes = tuple(
                _box(ref.image_id, settings.data.labels[label - 1], box, score, model_id)
                for box, label, score in zip(corners, sure.labels.tolist(), sure.scores.tolist(), strict=True)
            )
            if boxes:
                labels.append(replace(pool[ref.image_id], state=State.PSEUDO, boxes=boxes, ignore=()))
    return labels


def _box(image_id: str, label: str, corners: list[float], score: float, model_id: str) -> Box:
    x1, y1, x2, y2 = corners
    box_id = make_box_id(image_id, label, corners, model_id)
    return Box(box_id, x1, y1, x2, y2, label, Source.PSEUDO, score, model_id=model_id)


def our_labels(cycle: Cycle, progress: Progress = silent) -> list[Sample]:
    """Pool images as the pipeline's own stages label them: mined, calibrated on val, certified and decided.

    Args:
        cycle: A trained scenario in which nobody is asked anything.
        progress: Called while it mines.

    Returns:
        Images with certified or soft labels, and ignore regions for the settings to use or not.

    Raises:
        Taken: Another process works in its workspace.
    """
    with alone(cycle.settings), runner_of(cycle.settings.runner) as runner:
        mine(cycle, progress, runner)
        select(cycle)
    return cycle.store.samples(states=[State.PSEUDO])


def compare_with_truth(cycle: Cycle, pseudo: Sequence[Sample]) -> PseudoLabelTruth:
    """Let the annotator count which pseudo-labels of a scenario are right; only counts leave it."""
    annotator = simulated_annotator(cycle.settings)
    counts = annotator.grade({sample.image_id: sample.boxes for sample in pseudo}, cycle.settings.selection.match_iou)
    pool = cycle.store.pool(["image_id"])["image_id"].to_pylist()
    boxes = [box for sample in pseudo for box in sample.boxes]
    return PseudoLabelTruth(
        images=len(pseudo),
        boxes=len(boxes),
        judged=sum(judged for judged, _ in counts.values()),
        right=sum(right for _, right in counts.values()),
        true_boxes=sum(annotator.count(pool).values()),
        regions=sum(len(sample.ignore) for sample in pseudo),
        certified=sum(box.p_correct is not None and box.source is Source.PSEUDO for box in boxes),
    )
