"""`crosscheck bench frames`: whether the frames around a box tell more of it than its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from sklearn.metrics import average_precision_score, log_loss

from pipeline.bench.frame_sequences import FrameDetector, Sequences
from pipeline.bench.moving_windows import frame_id
from pipeline.bench.scenario import ScenarioCell, ScenarioResult, train
from pipeline.cycle import Cycle
from pipeline.detector.evaluation.proposal_matching import mark_right
from pipeline.detector.inference.predictor import PredictionSettings, Predictor
from pipeline.detector.models.champion import require_champion
from pipeline.detector.models.saved import load_model
from pipeline.mining.columns import CORNERS
from pipeline.progress import Progress
from pipeline.records import Sample, Split
from pipeline.selection.calibrator import CHEAP, Calibrator, Flags, Floats, fit_calibrator, folds_of
from pipeline.selection.flicker import DOUBTED, LOST, LOW, find_flicker
from pipeline.selection.quality import auroc, auroc_gain
from pipeline.selection.smoothing import MovingAverage, fit_smoother
from pipeline.selection.tracks import link

OWN, AVERAGE, AVERAGE_LOST, GRU = "own frame", "moving average", "moving average, lost frames 0", "GRU"
"""What p(correct) is judged by."""
ANY_LOW = "every box of low p(correct)"
_EDGE = 1e-6


@dataclass(frozen=True)
class JudgedBy:
    """p(correct) of every box of the test sequences.

    Attributes:
        by: One of `OWN`, `AVERAGE`, `AVERAGE_LOST` and `GRU`.
        auroc: Chance that a right box is above a wrong one; None where all are right, or all wrong.
        ap: Average precision of the boxes by it; None where none is right.
        log_loss: Mean, in nats; lower = better.
        behind: 95 % interval, over images, of the AUROC of the GRU less this one; None where either is undefined.
    """

    by: str
    auroc: float | None
    ap: float | None
    log_loss: float
    behind: tuple[float, float] | None


@dataclass(frozen=True)
class FlickerCount:
    """Frames of one kind, and how many of them show an object of the class at that place."""

    kind: str
    count: int
    right: int


@dataclass(frozen=True)
class FramesResult(ScenarioResult):
    """Of one trained detector; the smoother is fitted on sequences of val, everything is measured on those of test.

    Attributes:
        sequences: Of test, one per image.
        frames: Of each.
        boxes: In all of them.
        right: Of these.
        tracks: They are linked to.
        epochs: The smoother was fitted for.
        judged: By each way.
        flicker: Doubted and lost frames by the GRU, and every box that its own frame doubts, for comparison.
    """

    sequences: int
    frames: int
    boxes: int
    right: int
    tracks: int
    epochs: int
    judged: tuple[JudgedBy, ...]
    flicker: tuple[FlickerCount, ...]


@dataclass(frozen=True)
class FramesCell(ScenarioCell):
    """One trained detector.

    Attributes:
        frames: Of a sequence.
    """

    frames: int = 12

    @property
    def varied(self) -> tuple[object, ...]:
        """How many frames."""
        return (self.frames,)

    def measure(self, progress: Progress) -> FramesResult:
        """Train, make sequences of val and test, detect in them, fit on val, measure on test."""
        cycle = train(self.settings, progress)
        model_id = require_champion(cycle.workspace, "to measure")
        predictor = Predictor(load_model(cycle.workspace.models, model_id), PredictionSettings.of(cycle.settings))
        detector = FrameDetector(predictor, cycle.settings, model_id, self.frames)
        val, test = (detector.sequences(_whole(cycle, split), split, progress) for split in (Split.VAL, Split.TEST))
        return compare(val, test, self.identity, self.frames, model_id)


def _whole(cycle: Cycle, split: Split) -> list[Sample]:
    """Labelled images without regions that nothing is known of."""
    return [sample for sample in cycle.store.labeled(split) if not sample.ignore]


def compare(val: Sequences, test: Sequences, identity: ScenarioResult, frames: int, model_id: str) -> FramesResult:
    """Fit on some sequences, measure on others.

    Args:
        val: To fit p(correct) and the smoother on.
        test: Of other images.
        identity: Of the scenario; its seed drives the smoother and the bootstrap.
        frames: Of a sequence.
        model_id: Of the detector.
    """
    seed = identity.seed
    smoother = fit_smoother(link(val.boxes), val.boxes, out_of_fold(val, model_id), val.right, seed)
    own, tracks = _calibrator(val.boxes, val.right, model_id).predict(test.boxes), link(test.boxes)
    ways = {
        OWN: own,
        AVERAGE: MovingAverage()(tracks, own),
        AVERAGE_LOST: MovingAverage(lost=0.0)(tracks, own),
        GRU: smoother(tracks, test.boxes, own),
    }
    flicker = find_flicker(test.boxes, tracks, own, ways[GRU])
    low = own < LOW
    return FramesResult(
        **vars(identity),
        sequences=len({sample.group_id for sample in test.samples}),
        frames=frames,
        boxes=len(own),
        right=int(test.right.sum()),
        tracks=len(tracks.frames),
        epochs=smoother.epochs,
        judged=tuple(judge(way, ways, test, seed) for way in ways),
        flicker=(*count_flicker(flicker, test), FlickerCount(ANY_LOW, int(low.sum()), int(test.right[low].sum()))),
    )


def judge(by: str, ways: Mapping[str, Floats], sequences: Sequences, seed: int) -> JudgedBy:
    """Measure p(correct) against the truth.

    Args:
        by: Which way.
        ways: p(correct) of each box in every way, the GRU's among them.
        sequences: What it speaks of, at least one box.
        seed: Drives the bootstrap.
    """
    p_correct, right = ways[by], sequences.right
    area, behind = auroc(p_correct, right), None
    if area is not None:
        images = sequences.boxes["group_id"].to_numpy(zero_copy_only=False)
        behind = auroc_gain(ways[GRU], p_correct, right, images, seed)
    ap = float(average_precision_score(right, p_correct)) if right.any() else None
    loss = log_loss(right, p_correct.clip(_EDGE, 1 - _EDGE), labels=[False, True])
    return JudgedBy(by, area, ap, float(loss), behind)


def out_of_fold(sequences: Sequences, model_id: str) -> Floats:
    """p(correct) of each box by a model that has not seen its sequence; NaN for what no fold leaves out."""
    p_correct = np.full(len(sequences.right), np.nan)
    for fitted, left_out in folds_of(sequences.boxes, 5):
        calibrator = _calibrator(sequences.boxes.take(fitted), sequences.right[fitted], model_id)
        p_correct[left_out] = calibrator.predict(sequences.boxes.take(left_out))
    return p_correct


def count_flicker(flicker: pa.Table, sequences: Sequences) -> list[FlickerCount]:
    """How many doubted boxes are right, and how many lost frames hold an object that no proposal is right about.

    Args:
        flicker: Columns of `FLICKER_SCHEMA`.
        sequences: What it was found in.
    """
    doubted = flicker["row"].drop_null().to_numpy()
    lost = flicker.filter(flicker["row"].is_null())
    pairs = zip(lost["sequence"].to_pylist(), lost["frame"].to_pylist(), strict=True)
    image_ids = pa.array([frame_id(sequence, frame) for sequence, frame in pairs], pa.string())
    # Scored below every proposal, so that what is lost gets the objects that these leave.
    scores = pa.repeat(pa.scalar(-1.0, pa.float32()), len(lost))
    columns = ["image_id", *CORNERS, "label", "score"]
    placed = lost.append_column("image_id", image_ids).append_column("score", scores).select(columns)
    boxes = pa.concat_tables([sequences.boxes.select(columns), placed])
    right = mark_right(boxes, sequences.samples, sequences.match_iou)[len(sequences.right) :]
    return [
        FlickerCount(DOUBTED, len(doubted), int(sequences.right[doubted].sum())),
        FlickerCount(LOST, len(right), int(right.sum())),
    ]


def _calibrator(boxes: pa.Table, right: Flags, model_id: str) -> Calibrator:
    return fit_calibrator(boxes, right, min_class_boxes=30, features=CHEAP, model_id=model_id)
