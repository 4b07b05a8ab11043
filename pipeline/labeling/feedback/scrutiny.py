"""Answers that a second look is due to: given very fast, waved through, drawn twice, or unlike another person's."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from torchvision.ops import box_iou

from pipeline.artefacts import AnswerRemark, Decision
from pipeline.boxes import as_boxes
from pipeline.labeling.feedback.prices import seconds_of
from pipeline.records import Answer, of_images
from pipeline.selection.showing import is_shown
from pipeline.settings import Settings
from pipeline.workspace import Workspace

FAST_SHARE = 0.2
"""An answer that took less than this share of what its actions take by `labeling.seconds` is very fast."""
UNLIKELY = 0.05
"""All boxes unchanged is remarked where the chance that all of them are right is less than this."""
MANY_BOXES = 5
"""An empty answer is remarked where so many boxes were shown."""


@dataclass(frozen=True)
class Scrutiny:
    """What answers are held against.

    Attributes:
        settings: The project.
        uris: Where each image lies.
        disagreements: How far the last two people agree about images that people disagree about.
    """

    settings: Settings
    uris: Mapping[str, str] = field(default_factory=dict)
    disagreements: Mapping[str, float] = field(default_factory=dict)

    def remarks(self, answers: Sequence[Answer]) -> tuple[AnswerRemark, ...]:
        """Look answers over.

        Args:
            answers: New and changed; skipped ones are passed over.

        Returns:
            What was found, in the order of the answers; several remarks may be about one.
        """
        given = [answer for answer in answers if not answer.skipped]
        chances = _chances(self.settings, given)
        return tuple(
            AnswerRemark(kind, answer.image_id, self.uris.get(answer.image_id, ""), answer.annotator, text, answer.link)
            for answer in given
            for kind, text in self._remarks(answer, chances.get(answer.annotation_id, ()))
        )

    def _remarks(self, answer: Answer, chances: Sequence[float]) -> Iterator[tuple[str, str]]:
        usual = seconds_of(answer, self.settings.labeling.seconds)
        if answer.lead_time_s is not None and answer.lead_time_s < FAST_SHARE * usual:
            yield "fast", f"answered in {answer.lead_time_s:.1f} s, where its actions take about {usual:.0f} s"
        kept = [verdict for _, verdict in answer.verdicts if verdict == "accepted"]
        if kept and len(kept) == len(answer.verdicts) and math.prod(chances) < UNLIKELY:
            wrong = round(len(chances) - sum(chances))
            yield "unchanged", f"all {len(kept)} boxes left unchanged, of which about {wrong} are expected to be wrong"
        doubled = _doubled(answer, self.settings.labeling.same_box_iou)
        if doubled:
            yield "overlapping", f"boxes of {' and '.join(doubled)} overlap another of their class: one object twice?"
        if not answer.boxes and len(answer.verdicts) >= MANY_BOXES:
            yield "empty", f"answered empty, where {len(answer.verdicts)} boxes were shown"
        if answer.image_id in self.disagreements:
            expected = self.settings.labeling.agreement
            share = self.disagreements[answer.image_id]
            yield "disagreement", f"the last two people agree by {share:.2f}, expected {expected:.2f}"


def _chances(settings: Settings, answers: Sequence[Answer]) -> dict[str, list[float]]:
    """By annotation, p(correct) of the boxes that were shown; none where the cycle that asked is not known."""
    by_cycle: dict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.cycle is not None and answer.verdicts:
            by_cycle[answer.cycle].append(answer)
    chances: dict[str, list[float]] = {}
    for number, given in by_cycle.items():
        folder = Workspace(settings.workspace).cycle(number)
        if not (folder.exists("selection.parquet") and folder.exists(Decision.FILE)):
            continue
        images = of_images(answer.image_id for answer in given)
        rows = folder.read_table("selection.parquet", None, images)
        shown = rows.filter(pa.array(is_shown(rows, folder.read_record(Decision.FILE, Decision).shown_from)))
        by_image: dict[str, list[float]] = defaultdict(list)
        for row in shown.select(["image_id", "p_correct"]).to_pylist():
            by_image[row["image_id"]].append(row["p_correct"])
        chances |= {answer.annotation_id: by_image[answer.image_id] for answer in given}
    return chances


def _doubled(answer: Answer, iou: float) -> list[str]:
    """Classes of which two boxes lie at one place."""
    corners = as_boxes([box.xyxy for box in answer.boxes])
    labels = np.array([box.label for box in answer.boxes], dtype=object)
    twice = (box_iou(corners, corners).numpy() >= iou) & (labels[:, None] == labels[None, :])
    return sorted(set(labels[np.triu(twice, 1).any(1)].tolist()))
