"""Proposals in sequences that are made of labelled images, beside the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.bench.moving_windows import Frame, frames_of
from pipeline.dataset.images import read_image
from pipeline.detector.evaluation.proposal_matching import mark_right
from pipeline.detector.inference.predictor import Detections, Predictor, detect_batch
from pipeline.detector.inference.stream import ImageBatch, stack_images
from pipeline.errors import DataError
from pipeline.mining.columns import corner_columns
from pipeline.mining.proposals import class_scores, compare_neighbours
from pipeline.progress import Progress
from pipeline.records import NEIGHBOUR_FIELDS, Sample, Split
from pipeline.selection.calibrator import Flags
from pipeline.settings import Settings


@dataclass(frozen=True)
class Sequences:
    """Proposals in the frames of sequences.

    Attributes:
        boxes: `sequence`, `frame`, `frames`, `image_id` of the frame, `group_id` (the sequence), `x1` to `y2` in pixels
            of the frame, `label`, `model_id`, and the features that p(correct) is fitted on.
        samples: Every frame with its true boxes.
        right: bool[N], by the overlap that `match_iou` asks for.
        match_iou: A right box overlaps a true one at least so much.
    """

    boxes: pa.Table
    samples: list[Sample]
    right: Flags
    match_iou: float


@dataclass(frozen=True)
class FrameDetector:
    """Makes sequences of images, and detects in them.

    Attributes:
        predictor: The detector.
        settings: Of the project.
        model_id: Of the detector.
        frames: Of a sequence.
    """

    predictor: Predictor
    settings: Settings
    model_id: str
    frames: int

    def sequences(self, samples: Sequence[Sample], split: Split, progress: Progress) -> Sequences:
        """One sequence per image.

        Raises:
            DataError: Nothing is detected in any.
        """
        tables, frames = [], []
        for number, sample in enumerate(samples, 1):
            image = read_image(sample.uri, self.settings.data.max_image_pixels)
            longest = self.predictor.image_size_px
            own = frames_of(sample, image.pixels, self.frames, longest, self.settings.seed)
            tables += list(self._detect(own))
            frames += [frame.sample for frame in own]
            progress(f"sequences of {split}", number, len(samples))
        if not any(map(len, tables)):
            raise DataError(f"Expected boxes in the sequences of {split}, found none. Train for more steps.")
        boxes = pa.concat_tables(tables)
        match_iou = self.settings.selection.match_iou
        return Sequences(boxes, frames, mark_right(boxes, frames, match_iou), match_iou)

    def _detect(self, frames: Sequence[Frame]) -> Iterator[pa.Table]:
        """What each frame of a sequence shows."""
        for start in range(0, len(frames), self.predictor.batch_size):
            part = frames[start : start + self.predictor.batch_size]
            pixels = [frame.pixels for frame in part]
            sizes = [(len(each), each.shape[1]) for each in pixels]
            batch = ImageBatch([frame.sample.ref for frame in part], stack_images(pixels), sizes)
            for index, found in enumerate(detect_batch(self.predictor, batch)):
                yield self._table(part[index].sample, start + index, self._best(found))

    def _best(self, found: Detections) -> Detections:
        mining = self.settings.mining
        return found[found.scores >= mining.proposal_score][: mining.proposals_per_image]

    def _table(self, frame: Sample, number: int, found: Detections) -> pa.Table:
        labels, neighbours = self.predictor.labels, compare_neighbours(found)
        scores = class_scores(found, len(labels))
        texts = {
            "sequence": frame.group_id,
            "image_id": frame.image_id,
            "group_id": frame.group_id,
            "model_id": self.model_id,
        }
        return pa.table(
            {
                **{name: pa.repeat(text, len(found)) for name, text in texts.items()},
                "frame": pa.repeat(number, len(found)),
                "frames": pa.repeat(self.frames, len(found)),
                **corner_columns(found.boxes),
                "label": pa.array([labels[own - 1] for own in found.labels.tolist()], pa.string()),
                "score": found.scores.numpy(),
                "entropy": scores.entropy.numpy(),
                "runner_up": scores.runner_up.numpy(),
                **{name: getattr(neighbours, name).numpy() for name, _ in NEIGHBOUR_FIELDS},
            }
        )
