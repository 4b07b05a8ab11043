"""Several detectors as one: what their boxes agree on (weighted boxes fusion, arXiv 1910.13302)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pipeline.detector.inference.box_fusion import fuse
from pipeline.detector.inference.predictor import Detections, Predictor


class Committee(Predictor):
    """Detectors over the same classes at the same input size.

    A box lies at the mean of what members say, weighed by score, and its score is the mean of theirs, 0 of those that
    do not find it. Embeddings are those of the member that is surest.

    Args:
        members: At least one.
        same_iou: From this overlap on, boxes of one class are one object.

    Raises:
        ValueError: Members differ in classes or input size.
    """

    def __init__(self, members: Sequence[Predictor], same_iou: float) -> None:
        first = members[0]
        for member in members[1:]:
            mine, theirs = ((one.labels, one.image_size_px) for one in (member, first))
            if mine != theirs:
                raise ValueError(
                    f"A committee expects members with the same classes and image_size_px, got {mine} beside {theirs}"
                )
        self.settings, self.detector, self.device = first.settings, first.detector, first.device
        self.members, self._same_iou = tuple(members), same_iou

    def __call__(self, images: Tensor) -> list[Detections]:
        """Detect; as `Predictor`."""
        seen = [member(images) for member in self.members]
        return [fuse(of_one, self._same_iou) for of_one in zip(*seen, strict=True)]
