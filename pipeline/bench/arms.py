"""What each arm of `crosscheck bench training` learns from: the labelled images, and the pool as the arm sees it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.boxes import as_boxes
from pipeline.detector.inference.predictor import detect_images
from pipeline.records import Box, Sample, Source, Split, State, make_box_id
from pipeline.stages.backend import simulated_annotator
from pipeline.stages.cycle import Cycle, Progress, only_one, silent
from pipeline.stages.finetune import training_samples
from pipeline.stages.mine import MINED_STATES, mine, mining_predictor
from pipeline.stages.select import select

LABELLED, OURS, ALL = "labelled", "ours", "all"
NAIVE = {"naive-0.5": 0.5, "naive-0.9": 0.9}
"""Least confidence of the pseudo-labels of each naive arm."""
ABLATIONS = {
    "no-mixup": ("training.mixup.enabled=false",),
    "mosaic": ("training.mosaic.enabled=true",),
    "label-smoothing": ("training.label_smoothing=0.05",),
    "ohem": ("training.classification=ohem",),
    "smoothed-ohem": ("training.classification=ohem", "training.label_smoothing=0.05"),
    "no-triplet": ("training.triplet.enabled=false",),
    "no-ema": ("training.ema_decay=0",),
    "ignore": ("training.ignore_regions=true",),
    "certified-only": ("selection.soft_from=null", "training.ignore_regions=true"),
    "no-soft-weights": ("training.soft_weights=false",),
    "teacher": ("training.teacher.enabled=true",),
    "strong-view": ("training.augment.strong.enabled=true",),
    "copy-paste": ("training.copy_paste.enabled=true",),
    "burn-in": ("training.burn_in=0.2",),
    "half-pseudo": ("training.pseudo_share=0.5",),
    "natural-share": ("training.pseudo_share=1.0",),
    "no-fusion": ("mining.fusion.enabled=false",),
    "no-localisation-bias": ("selection.correct_localisation=false",),
}
"""Each is `ours` with these overrides; where these concern training alone, the pseudo-labels are the same."""
GOING_ON = ("training.pseudo_share=0.75", "training.burn_in=0")
"""How `ours` and the naive arms go on: the detector has learnt the labels before, so all images come at once. Naive
labels are taken as they are: all weights 1, no ignore regions."""
ARMS = (LABELLED, *NAIVE, OURS, ALL)


@dataclass(frozen=True)
class Graded:
    """Pseudo-labels of the pool held against its hidden truth, after the fact.

    Attributes:
        images: Pseudo-labelled images.
        boxes: Pseudo-boxes.
        judged: Of these, those that the annotator can judge.
        right: Right ones among them.
        true_boxes: True boxes of the whole pool.
        regions: Ignore regions on the pseudo-labelled images.
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
        """Share of the pool's true boxes that are found; None for a pool without any."""
        return self.right / self.true_boxes if self.true_boxes else None


def naive_labels(cycle: Cycle, confidence: float) -> list[Sample]:
    """Pool images with every detection of at least a confidence as a label, as if people had drawn it.

    Args:
        cycle: A trained cell; its detector labels.
        confidence: 0 to 1.

    Returns:
        Images with at least one such detection.
    """
    settings, model_id = cycle.settings, str(cycle.artefact("metrics")["candidate"])
    pool = {one.image_id: one for one in cycle.store.samples(states=MINED_STATES, splits=[Split.POOL])}
    predictor = mining_predictor(cycle, model_id, "fp32")
    labelled: list[Sample] = []
    for batch, found in detect_images(
        predictor,
        [one.ref for one in pool.values()],
        max_pixels=settings.data.max_image_pixels,
        threads=settings.mining.decode_threads,
        faults=[],
    ):
        for index, (ref, every) in enumerate(zip(batch.refs, found, strict=True)):
            sure = every[every.scores >= confidence]
            corners = as_boxes(batch.to_original(index, sure.boxes)).tolist()
            boxes = tuple(
                _box(ref.image_id, settings.data.labels[label - 1], box, score, model_id)
                for box, label, score in zip(corners, sure.labels.tolist(), sure.scores.tolist(), strict=True)
            )
            if boxes:
                labelled.append(replace(pool[ref.image_id], state=State.PSEUDO, boxes=boxes, ignore=()))
    return labelled


def _box(image_id: str, label: str, corners: list[float], score: float, model_id: str) -> Box:
    x1, y1, x2, y2 = corners
    box_id = make_box_id(image_id, label, corners, model_id)
    return Box(box_id, x1, y1, x2, y2, label, Source.PSEUDO, score, model_id=model_id)


def our_labels(cycle: Cycle, progress: Progress = silent) -> list[Sample]:
    """Pool images as the pipeline's own stages label them: mined, calibrated on val, certified and decided.

    Args:
        cycle: A trained cell; nobody is asked anything in it.
        progress: Told while it mines.

    Returns:
        Images with certified or soft labels, and ignore regions for the settings to use or not.
    """
    with only_one(cycle.settings):
        mine(cycle, progress)
        select(cycle)
    return [one for one in training_samples(cycle.store) if one.state is State.PSEUDO]


def grade(cycle: Cycle, pseudo: list[Sample]) -> Graded:
    """Let the annotator count what of the pseudo-labels is right; only counts leave it.

    Args:
        cycle: The cell.
        pseudo: Its pseudo-labelled images.
    """
    annotator = simulated_annotator(cycle.settings)
    counts = annotator.grade({one.image_id: one.boxes for one in pseudo}, cycle.settings.selection.match_iou)
    pool = cycle.store.table(columns=["image_id"], states=MINED_STATES, splits=[Split.POOL])["image_id"].to_pylist()
    boxes = [box for one in pseudo for box in one.boxes]
    return Graded(
        images=len(pseudo),
        boxes=len(boxes),
        judged=sum(judged for judged, _ in counts.values()),
        right=sum(right for _, right in counts.values()),
        true_boxes=sum(annotator.count(pool).values()),
        regions=sum(len(one.ignore) for one in pseudo),
        certified=sum(box.p_correct is not None and box.source is Source.PSEUDO for box in boxes),
    )
