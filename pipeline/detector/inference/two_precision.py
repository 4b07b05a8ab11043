"""int8 for every image, float32 for the doubtful ones: precision gating (arXiv 2002.07136), an image at a time.

The paper computes each value of a layer from its high bits first, and from all bits where the outcome is above a learnt
threshold. Here the gate is the answer of the whole network in int8, since ONNX Runtime has no gate within a layer, and
its threshold is read off labelled images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.detector.inference.predictor import Detections, Predictor
from pipeline.folder import Folder
from pipeline.records import ImageRef

DOUBTS = "onnx_two_precision.json"
SPREAD = 0.1
"""How far int8 moves scores, as the scale of a logistic distribution of their logits. On labelled images of bccd the
logits of scores from 0.05 to 0.2 differed from those of float32 by a standard deviation of 0.16, which is 0.09."""
_EPSILON = 1e-6
"""Scores nearer to 0 or 1 count as being so far from it."""


@dataclass(frozen=True)
class LabelledDoubts:
    """Doubts of the labelled images from which thresholds are read, kept with the exported network.

    Attributes:
        decision_score: Doubt is about scores near this one.
        doubts: Of each image, at least one.
    """

    decision_score: float
    doubts: tuple[float, ...]

    def threshold(self, share: float) -> float:
        """Doubt above which float32 is asked, so that it is asked of about a share of such images.

        Args:
            share: 0 to 1; 0 gives infinity, 1 minus infinity, whatever the doubts.
        """
        if share in {0.0, 1.0}:
            return -math.inf if share else math.inf
        return float(np.quantile(self.doubts, 1 - share))


def doubt(found: Detections, decision_score: float) -> float:
    """Tell how many detections int8 is expected to have put on the wrong side of a threshold on scores.

    Args:
        found: What int8 found in one image.
        decision_score: The threshold, 0 to 1.

    Returns:
        Sum over detections of sigmoid(-|logit(score) - logit(decision_score)| / SPREAD), 0 for none; higher = less
        certain. It depends on nothing but this image's answer.
    """
    threshold = torch.tensor(decision_score, dtype=torch.float64)
    distance = (found.scores.double().logit(_EPSILON) - threshold.logit(_EPSILON)).abs()
    return float(torch.sigmoid(-distance / SPREAD).sum())


def labelled_doubts(int8: Predictor, kept: Folder, labelled: Sequence[ImageRef]) -> LabelledDoubts:
    """Measure the doubts of labelled images once, and keep them with the model.

    Args:
        int8: Computes in int8; its settings have the decision score.
        kept: The model's folder.
        labelled: The images.

    Raises:
        ValueError: No image can be read.
    """
    decision_score = int8.settings.decision_score
    if kept.exists(DOUBTS):
        before = kept.read_record(DOUBTS, LabelledDoubts)
        if before.decision_score == decision_score:
            return before
    doubts = tuple(doubt(found, decision_score) for images in int8.inputs(labelled) for found in int8(images))
    if not doubts:
        raise ValueError("Two precisions expect labelled images to take the threshold on doubt from, found none")
    kept.write_record(DOUBTS, measured := LabelledDoubts(decision_score, doubts))
    return measured


class TwoPrecision(Predictor):
    """Asks float32 about the images of which int8 is in doubt. Canvases, whose windows are of many images, stay int8's.

    Args:
        int8: Looks at every image.
        float32: The same detector, looks at the doubtful ones.
        threshold: Above this doubt an image is doubtful.
    """

    def __init__(self, int8: Predictor, float32: Predictor, threshold: float) -> None:
        self.settings, self.detector, self.device = int8.settings, int8.detector, int8.device
        self.int8, self.float32, self._threshold = int8, float32, threshold

    def is_doubtful(self, found: Detections) -> bool:
        """Whether float32 is asked about an image, judged by what int8 found in it."""
        return doubt(found, self.settings.decision_score) > self._threshold

    def __call__(self, images: Tensor) -> list[Detections]:
        """Detect; as `Predictor`."""
        found = self.int8(images)
        doubtful = [index for index, of_one in enumerate(found) if self.is_doubtful(of_one)]
        if doubtful:
            for index, exact in zip(doubtful, self.float32(images[doubtful]), strict=True):
                found[index] = exact
        return found

    def detect_canvases(self, images: Tensor) -> list[Detections]:
        """Detect in canvases; as `Predictor`."""
        return self.int8.detect_canvases(images)
